"""The native encoder in processes: Ctrl-C, handlers of signals, forks, threads, memory."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from python_process import lines

LONG = """
import numpy as np
from evtok.scoring import Encoder
rng = np.random.default_rng(0)
draw = lambda *shape: (rng.normal(size=shape) / 16).astype(np.float32)
layer = {"self_attn.in_proj_weight": draw(768, 256), "self_attn.out_proj.weight": draw(256, 256),
         "linear1.weight": draw(1024, 256), "linear2.weight": draw(256, 1024), "norm1.weight": draw(256),
         "norm2.weight": draw(256)}
encoder = Encoder([layer] * 8, heads=8)
"""


@pytest.mark.alone
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_stops_one_very_long_sequence(threads: int) -> None:
    """KeyboardInterrupt within 0.2 s, though one thread is in the middle of it; and the next call works."""
    code = (
        LONG
        + f"""
import time
x = draw(60_000, 256)
print("ready", flush=True)
try:
    encoder(x, offsets=[0, 100, 60_000], threads={threads})
except KeyboardInterrupt:
    print(time.clock_gettime(time.CLOCK_MONOTONIC), flush=True)
print(encoder(x[:9], offsets=[0, 9]).shape, flush=True)
"""
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.23)
        pressed = time.clock_gettime(time.CLOCK_MONOTONIC)
        process.send_signal(signal.SIGINT)
        assert float(process.stdout.readline()) - pressed < 0.2
        assert process.stdout.readline() == "(9, 256)\n"
        assert process.wait(20) == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_a_signals_handler_may_score_in_the_middle_of_a_call(threads: int) -> None:
    """It runs on the thread that is in the middle of a layer; both results have their own bits."""
    code = (
        LONG
        + f"""
import signal
small = Encoder([layer], heads=4)
x, y = draw(700, 256), draw(40, 256)
call = lambda: encoder(x, offsets=[0, 700], threads={threads})
expected, of_other = call(), small(y, offsets=[0, 40])
found = []
signal.signal(signal.SIGALRM, lambda *_: found.append(small(y, offsets=[0, 40])))
signal.setitimer(signal.ITIMER_REAL, 0.07)
result = call()
print(len(found) > 0, np.array_equal(result, expected), all(np.array_equal(one, of_other) for one in found))
"""
    )
    assert lines(code) == ["True"] * 3


def test_a_forked_child_computes_and_others_run_meanwhile() -> None:
    code = (
        LONG
        + """
import os, threading
x, offsets = draw(2000, 256), np.arange(0, 2001, 20)
expected = encoder(x, offsets=offsets, threads=2)
if os.fork() == 0:
    os._exit(0 if np.array_equal(encoder(x, offsets=offsets, threads=2), expected) else 1)
print(os.waitstatus_to_exitcode(os.wait()[1]))
ticks, done = 0, threading.Event()
def call():
    encoder(x, offsets=offsets, threads=1)
    done.set()
thread = threading.Thread(target=call)
thread.start()
while not done.wait(0.001):
    ticks += 1
print(ticks > 5)
"""
    )
    assert lines(code) == ["0", "True"]


def test_memory_is_that_of_tiles() -> None:
    """Beyond x and the result: query, key and value rows of all events alone would take 38 MB."""
    code = """
import resource
import numpy as np
from evtok.scoring import Encoder
draw = lambda *shape: np.ones(shape, np.float32)
layer = {"self_attn.in_proj_weight": draw(48, 16), "self_attn.out_proj.weight": draw(16, 16),
         "linear1.weight": draw(64, 16), "linear2.weight": draw(16, 64), "norm1.weight": draw(16),
         "norm2.weight": draw(16)}
encoder = Encoder([layer], heads=2)
x, offsets = draw(200_000, 16), np.arange(0, 200_001, 20)
encoder(x[:2000], offsets=offsets[:101], threads=2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = encoder(x, offsets=offsets, threads=2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < (result.nbytes + 8_000_000) // 1024)
"""
    assert lines(code) == ["True"]
