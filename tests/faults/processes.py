"""P24, P26, P27: threads of Python, child processes, and other packages with threads of their own, in any order."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from faults import forks
from faults.kernels import KERNELS
from faults.rows import Row

#: Each computes with threads of its own, and starts them.
BESIDE = {
    "torch": "import torch; a = torch.rand(500, 500); a @ a",
    "faiss": "import faiss, numpy as np; v = np.ones((5000, 8), np.float32); faiss.knn(v, v, 3)",
    "sklearn": "import numpy as np; from sklearn.cluster import KMeans; KMeans(8, n_init=1).fit(np.eye(2000)[:, :8])",
}
COMPUTE = """
def compute():
    import numpy as np, evtok
    rng = np.random.default_rng(0)
    x = rng.normal(size=300_000)
    edges = np.linspace(-2, 2, 41)
    assert np.array_equal(evtok.digitize(x, edges, threads=4), np.digitize(x, edges))
    codes = rng.normal(size=(512, 4)).astype(np.float32)
    rows = np.resize(codes[::-1], (100_000, 4))
    assert np.array_equal(evtok.nearest(rows, codes, threads=4), np.resize(np.arange(512)[::-1], 100_000))
"""
CHILD = """
import multiprocessing, sys, time
{compute}
def child(queue):
    start = time.perf_counter()
    compute()
    queue.put(time.perf_counter() - start)
if __name__ == "__main__":
    method, used = sys.argv[1:]
    {beside}
    if used == "after use":
        compute()
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    process.join(60)
    assert process.exitcode == 0, process.exitcode
    print(queue.get())
    compute()
"""
ORDER = """
import sys
{compute}
def runtimes():
    with open("/proc/self/maps") as maps:
        files = {{line.split()[-1] for line in maps if "/" in line}}
    return sorted(f for f in files if any(k in f.rsplit("/")[-1] for k in ("libgomp", "libomp", "libiomp")))
def evtok():
    compute()
{functions}
for name in sys.argv[1:]:
    globals()[name]()
for name in sys.argv[1:]:
    globals()[name]()
print(runtimes())
"""


def run(work: Path, *, full: bool) -> Iterator[Row]:
    """All combinations, or some; 8 threads by 1000 calls of each kernel, or by 20."""
    beside = [name for name in BESIDE if find_spec(name)]
    yield _threads(full=full)
    yield _children(work, beside, full=full)
    yield _orders(work, beside, full=full)


def _children(work: Path, beside: list[str], *, full: bool) -> Row:
    row = Row(
        f"a child process that computes: fork, forkserver, spawn; before and after use; beside {', '.join(beside)}",
        "the child computes the right answer, and does not hang",
        ("right",),
    )
    cases = list(
        itertools.product(("fork", "forkserver", "spawn"), ("before use", "after use"), ["alone", *beside])
    )
    for method, used, name in cases if full else [case for case in cases if case[::2] == ("fork", "alone")]:
        # A package that hangs its own children is asked only to have been imported and used in the parent.
        program = work / "child.py"
        program.write_text(CHILD.format(compute=COMPUTE, beside=BESIDE.get(name, "pass")))
        outcome, said = _python(program, method, used)
        row.add("right" if outcome == "returned" else outcome, (method, used, name, said))
    return row


def _orders(work: Path, beside: list[str], *, full: bool) -> Row:
    row = Row(
        f"evtok and {', '.join(beside)} imported and used in any order, twice each",
        "no hang, and no OpenMP runtime in the process but those that are there without evtok",
        ("the runtimes of the others alone",),
    )
    program = work / "order.py"
    functions = "".join(f"def {name}():\n    {BESIDE[name]}\n" for name in beside)
    program.write_text(ORDER.format(compute=COMPUTE, functions=functions))
    orders = list(itertools.permutations(("evtok", *beside)))
    for order in orders if full else [("evtok", "torch")] if "torch" in beside else [("evtok",)]:
        outcome, said = _python(program, *order)
        alone = _python(program, *(name for name in order if name != "evtok"))
        if outcome == "returned" and said == alone[1]:
            row.add("the runtimes of the others alone")
        else:
            row.add("more runtimes" if outcome == "returned" else outcome, (order, said, alone))
        row.notes[:] = [f"runtimes of the others: {alone[1]}"]
    return row


def _python(program: Path, *arguments: str) -> tuple[str, str]:
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", program, *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "hung", ""
    return ("returned", done.stdout.strip()) if done.returncode == 0 else ("failed", done.stderr[-500:])


def _threads(*, full: bool) -> Row:
    calls = 1000 if full else 20
    row = Row(
        "8 threads at once call each public function that ends in a kernel",
        "the answer of one thread",
        ("right",),
    )
    row.notes.append(f"{calls} calls of each thread")
    for name in KERNELS:
        outcome = forks.run(_together, name, calls, timeout=600)
        if outcome.returned:
            row.outcomes["right"] += outcome.value[0]
            for _ in range(outcome.value[1]):
                row.add("wrong", name)
        else:
            row.add(outcome.how, (name, outcome.value))
    return row


def _together(name: str, calls: int) -> tuple[int, int]:
    """Return how many calls were right, and how many were not."""
    os.environ["EVTOK_NUM_THREADS"] = "2"
    prepare, n = KERNELS[name]
    call = prepare(min(2000, max(64, n // 5000)))
    expected = _bytes(call())
    right: list[bool] = []

    def often() -> None:
        right.extend(_bytes(call()) == expected for _ in range(calls))

    threads = [threading.Thread(target=often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(right), 8 * calls - sum(right)


def _bytes(answer: Any) -> bytes:
    if isinstance(answer, tuple):
        return b"".join(map(_bytes, answer))
    if hasattr(answer, "fingerprint"):
        inner = (answer.ids, answer.offsets) if hasattr(answer, "ids") else ()
        return str(answer.fingerprint).encode() + b"".join(np.asarray(part).tobytes() for part in inner)
    if hasattr(answer, "columns") and hasattr(answer, "offsets"):
        return b"".join(column.tobytes() for column in answer.columns.values()) + answer.offsets.tobytes()
    return np.asarray(answer).tobytes()
