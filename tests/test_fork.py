"""P26: a forked, forkserver'd or spawned child computes, whatever its parent computed before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# A file, because a spawned child imports its parent's program.
PROGRAM = """
import multiprocessing, signal, sys, time
import numpy as np

def bins_are_right(seed):
    from evtok import _core
    x = np.random.default_rng(seed).normal(size=300_000)
    edges = np.linspace(-2, 2, 41)
    codes = np.full(x.size, -1, np.int64)
    _core.digitize(x, edges, False, False, 4, codes)
    return np.array_equal(codes, np.digitize(x, edges))

def child(queue):
    import evtok
    signal.alarm(20)
    start = time.perf_counter()
    right = bins_are_right(2)
    queue.put((right, time.perf_counter() - start < 2))

if __name__ == "__main__":
    method, used_before, beside = sys.argv[1:]
    if beside == "torch":
        import torch
        a = torch.rand(400, 400)
        a @ a  # starts the threads of its OpenMP runtime
    if used_before == "used":
        assert bins_are_right(1)
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    process.join(60)
    assert process.exitcode == 0, f"the child ended with {process.exitcode}"
    print(*queue.get(), bins_are_right(3))
"""


@pytest.mark.parametrize("beside", ["alone", "torch"])
@pytest.mark.parametrize("used_before", ["used", "unused"])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_p26_a_child_process_computes(method: str, used_before: str, beside: str, tmp_path: Path) -> None:
    if beside == "torch":
        pytest.importorskip("torch")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), method, used_before, beside]
    env = {k: v for k, v in os.environ.items() if not k.startswith("EVTOK_")}
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert result.stdout.split() == ["True", "True", "True"], result.stderr


def test_p26_fork_while_other_threads_compute() -> None:
    """The child finds a fresh pool, although the parent's may be locked at that moment."""
    code = """
import os, signal, sys, threading
import numpy as np
from evtok import _core

x = np.random.default_rng(0).normal(size=200_000)
edges = np.linspace(-2, 2, 41)
expected = np.digitize(x, edges)

def right():
    codes = np.full(x.size, -1, np.int64)
    _core.digitize(x, edges, False, False, 3, codes)
    return np.array_equal(codes, expected)

stop = threading.Event()
answers = []
def work():
    while not stop.is_set():
        answers.append(right())
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
statuses = []
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        signal.alarm(5)
        os._exit(0 if right() else 1)
    statuses.append(os.waitpid(pid, 0)[1])
stop.set()
for thread in threads: thread.join()
print(sum(statuses), all(answers), len(answers) > 0)
"""
    options = ["-W", "ignore::DeprecationWarning"]  # Python 3.12 warns of every fork beside threads
    result = subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert result.stdout.split() == ["0", "True", "True"], result.stderr
