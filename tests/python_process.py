"""Python in a process of its own, for tests about state that a process sets once."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

# Given to every subprocess: bins by evtok and whether they are NumPy's.
COMMON = """
import os, sys, time
import numpy as np

def digitize(x, edges, threads=0, right=False):
    codes = np.full(x.size, -1, np.int64)
    _core.digitize(x, edges, right, False, threads, codes)
    return codes

def agrees(n=300_000, threads=4):
    x = np.random.default_rng(n).normal(size=n).astype(np.float32)
    edges = np.linspace(-2, 2, 41).astype(np.float32)
    return np.array_equal(digitize(x, edges, threads), np.digitize(x, edges))

def threads_of_process():
    return len(os.listdir("/proc/self/task"))
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = COMMON + textwrap.dedent(code)
    env = {k: v for k, v in os.environ.items() if not k.startswith("EVTOK_")} | environment
    return subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=120
    )


def lines(code: str, **environment: str) -> list[str]:
    result = run(code, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()
