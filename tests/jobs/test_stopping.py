"""SIGTERM and Ctrl-C to a job with workers: it ends in time, what is recorded stays, and the next run goes on."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time

import pytest

import evtok
from evtok import _core
from evtok.jobs import dispatch

COMMAND = [sys.executable, "-c", "from evtok.cli import main; main()", "tokenize"]


@pytest.fixture
def command(tmp_path, inputs, tokenizer, jets_schema):
    tokenizer.save(tmp_path / "tok")
    (tmp_path / "jets.json").write_text(json.dumps(jets_schema))
    places = ["--tokenizer", tmp_path / "tok", "--schema", tmp_path / "jets.json", "-o", tmp_path / "out"]
    return [*COMMAND, *map(str, inputs), *map(str, places), "--events-per-shard", "100", "--log-json"]


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_stopped_job_keeps_its_shards_and_goes_on(
    command, number, code, said, tmp_path, inputs, job_hashes
):
    workers = str(min(2, _core.available_cpus()))
    with subprocess.Popen([*command, "--workers", workers], stderr=subprocess.PIPE, text=True) as child:
        for line in child.stderr:
            if '"event": "shard"' in line:
                break
        child.send_signal(number)
        begin = time.monotonic()
        rest = child.stderr.read()
        assert child.wait(timeout=60) == code
        assert time.monotonic() - begin < dispatch.DRAIN + 10
    assert f"{said}; what is recorded stays" in rest
    out = tmp_path / "out"
    recorded = {path.stem for path in out.glob("shard-*.json")}
    assert recorded
    assert not [path for path in out.iterdir() if path.name.endswith(".tmp")]
    done = subprocess.run([*command, "--memory", "64MiB"], capture_output=True, text=True, check=True)
    proven = next(json.loads(line) for line in done.stderr.splitlines() if '"event": "start"' in line)
    assert proven["proven_shards"] == len(recorded)
    assert evtok.verify(out).ok
    assert job_hashes(out) == job_hashes.undisturbed()


@pytest.fixture
def job_hashes(inputs, tokenizer, jets_schema, tmp_path):
    def measure(folder):
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("shard-*.arrow")}

    def undisturbed():
        settings = {"schema": jets_schema, "events_per_shard": 100}
        return measure(evtok.tokenize_files(inputs, tokenizer, tmp_path / "whole", **settings).folder)

    measure.undisturbed = undisturbed
    return measure


def test_workers_end_with_a_coordinator_that_is_killed(command):
    worker = 0
    with subprocess.Popen([*command, "--workers", "1"], stderr=subprocess.PIPE, text=True) as child:
        for line in child.stderr:
            if '"event": "shard"' in line:
                worker = int(json.loads(line)["worker"].rpartition(":")[2])
                break
        child.kill()
    assert worker
    limit = time.monotonic() + 20
    while _is_there(worker):
        assert time.monotonic() < limit, "the worker outlives its coordinator"
        time.sleep(0.05)


def _is_there(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
