"""P31: kill -9 at any moment leaves complete shards or none, and resuming gives the bytes of an undisturbed run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time

import evtok

#: Raise it by EVTOK_TEST_KILLS for a longer hunt; the default takes about half a minute.
KILLS = int(os.environ.get("EVTOK_TEST_KILLS", "20"))


def test_p31_kill_9_and_resume(program, folder, check, undisturbed, tmp_path):
    rng = random.Random(31)
    output = tmp_path / "out"
    in_flight = leftovers = 0
    command = [*program, "run", str(folder), str(output)]
    for _ in range(KILLS):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout.readline() == "GO\n"
            time.sleep(rng.uniform(0, 0.12))
            child.send_signal(signal.SIGKILL)
            finished = "DONE" in child.stdout.read()
        written = check(output)
        in_flight += not finished
        leftovers += any(p.name.endswith(".tmp") for p in output.iterdir())
        if written == len(undisturbed):
            subprocess.run(command, check=True, capture_output=True)
            assert evtok.verify(output).ok
            shutil.rmtree(output)
    assert in_flight >= KILLS // 3, "the kills came too late to test anything"
    assert leftovers, "no kill hit a file that was being written"
    subprocess.run(command, check=True, capture_output=True)
    assert check(output) == len(undisturbed)
    assert evtok.verify(output).ok
    assert not [p for p in output.iterdir() if p.name.endswith(".tmp")]


def test_ctrl_c_leaves_no_partial_shard(program, folder, check, undisturbed, tmp_path):
    output = tmp_path / "out"
    command = [*program, "run", str(folder), str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout.readline() == "GO\n"
        child.send_signal(signal.SIGINT)
        child.wait(timeout=20)
    assert check(output) <= len(undisturbed)
    # An interrupt between two bytecodes can leave a temporary file; the next run removes it.
    subprocess.run(command, check=True, capture_output=True)
    assert check(output) == len(undisturbed)
    assert not [p for p in output.iterdir() if p.name.endswith(".tmp")]
