"""Threads of Python and of the pool, OpenMP beside them, and signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from evtok import _core
from python_process import COMMON, lines, run


def digitize(x: np.ndarray, edges: np.ndarray, threads: int = 0) -> np.ndarray:
    codes = np.full(x.size, -1, np.int64)
    _core.digitize(x, edges, False, False, threads, codes)
    return codes


# ---- threads ----------------------------------------------------------------------------------------------


def test_p24_many_python_threads_at_once() -> None:
    rng = np.random.default_rng(1)
    edges = np.linspace(-2, 2, 31)
    inputs = [rng.normal(size=1000 + k) for k in range(8)]
    expected = [np.digitize(x, edges) for x in inputs]
    right: list[bool] = []

    def call_often(k: int) -> None:
        right.extend(np.array_equal(digitize(inputs[k], edges, 1 + k % 3), expected[k]) for _ in range(1000))

    threads = [threading.Thread(target=call_often, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(right), all(right)) == (8000, True)


@pytest.mark.alone
def test_p24_the_gil_is_released() -> None:
    """A Python thread makes progress while another one is inside a kernel."""
    x = np.random.default_rng(2).normal(size=5_000_000)
    edges = np.sort(np.random.default_rng(3).normal(size=5000))
    digitize(x[:1000], edges)
    inside = threading.Event()
    ticks: list[float] = []
    result: list[tuple[float, float]] = []

    def call() -> None:
        inside.set()
        start = time.perf_counter()
        digitize(x, edges, 1)
        result.append((start, time.perf_counter()))

    thread = threading.Thread(target=call)
    thread.start()
    inside.wait()
    while thread.is_alive():
        ticks.append(time.perf_counter())
        time.sleep(0.001)
    thread.join()
    start, end = result[0]
    assert end - start > 0.05, "the call was too short to tell"
    assert sum(start < tick < end for tick in ticks) >= 5


def test_p28_default_threads_follow_the_affinity_mask() -> None:
    code = """
    allowed = sorted(os.sched_getaffinity(0))
    from evtok import _core
    print(_core.available_cpus() <= len(allowed), _core.default_threads() == _core.available_cpus())
    os.sched_setaffinity(0, allowed[:1])
    print(_core.available_cpus(), _core.default_threads())
    before = threads_of_process()
    assert agrees(threads=0)
    print(threads_of_process() - before)
    """
    assert lines(code) == ["True", "True", "1", "1", "0"]


def test_p28_evtok_num_threads_sets_the_default() -> None:
    code = """
    from evtok import _core
    before = threads_of_process()
    assert agrees(threads=0)
    print(_core.default_threads(), threads_of_process() - before)
    assert agrees(threads=2)
    print(threads_of_process() - before)
    """
    assert lines(code, EVTOK_NUM_THREADS="3") == ["3", "2", "2"]


@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5"])
def test_p28_a_wrong_evtok_num_threads_fails_the_import(value: str) -> None:
    result = run("import evtok", EVTOK_NUM_THREADS=value)
    assert result.returncode == 1
    assert f"ImportError: EVTOK_NUM_THREADS={value}: expected a whole number" in result.stderr


@pytest.mark.parametrize("threads", [-1, -(2**31), 4097, 2**31 - 1])
def test_p28_impossible_numbers_of_threads_are_refused(threads: int) -> None:
    x, edges = np.zeros(3), np.zeros(1)
    counts, skipped = np.zeros((1, 1, 65536), np.uint64), np.zeros((1, 2), np.uint64)
    calls = (
        lambda: digitize(x, edges, threads),
        lambda: _core.natural_log(x, threads, np.empty(3)),
        lambda: _core.count_digits(x, 0.0, 1.0, False, 0, np.zeros(1, np.uint64), threads, counts, skipped),
        lambda: _core.jet_axis(np.array([0, 3]), x, x, x, threads, np.empty(1), np.empty(1), np.empty(1)),
        lambda: _core.multiply_adds(1, threads),
    )
    for call in calls:
        with pytest.raises(ValueError, match="threads: expected 0"):
            call()


def test_p28_idle_threads_sleep_and_small_calls_start_none() -> None:
    code = """
    from evtok import _core
    before = threads_of_process()
    assert agrees(n=1000, threads=8)
    print(threads_of_process() - before)
    assert agrees(threads=4)
    after = threads_of_process()
    for _ in range(20):
        assert agrees(threads=4)
    print(threads_of_process() - after)
    time.sleep(0.05)
    used = time.process_time()
    time.sleep(0.5)
    print(time.process_time() - used < 0.05)
    """
    assert lines(code) == ["0", "0", "True"]


# ---- OpenMP -----------------------------------------------------------------------------------------------

OPENMP = """
def openmp():
    with open("/proc/self/maps") as maps:
        names = {line.split("/")[-1].strip() for line in maps if "/" in line}
    return sorted(n for n in names if any(k in n for k in ("libgomp", "libomp", "libiomp")))
"""


def test_p27_no_openmp_runtime_comes_with_evtok() -> None:
    assert lines(f"{OPENMP}\nfrom evtok import _core\nassert agrees()\nprint(openmp())") == ["[]"]


@pytest.mark.parametrize("order", ["torch, evtok", "evtok, torch"])
def test_p27_beside_torch_there_is_torchs_runtime_alone(order: str) -> None:
    pytest.importorskip("torch")
    code = f"""
import {order}
import torch
from evtok import _core
torch.set_num_threads(3)
a = torch.rand(300, 300)
expected = a @ a
assert agrees(threads=2)
print(torch.equal(a @ a, expected), torch.get_num_threads(), *openmp())
"""
    alone = lines(f"{OPENMP}\nimport torch\na = torch.rand(300, 300)\na @ a\nprint(*openmp())")
    assert lines(OPENMP + code) == ["True", "3", *alone]


# ---- signals ----------------------------------------------------------------------------------------------

LONG_CALL = """
from evtok import _core
x = np.random.default_rng(0).normal(size=8_000_000).astype(np.float32)
edges = np.sort(np.random.default_rng(1).normal(size=4000)).astype(np.float32)
digitize(x[:10], edges)
print("ready", flush=True)
try:
    while True:
        digitize(x, edges, THREADS)
except KeyboardInterrupt:
    print(time.clock_gettime(time.CLOCK_MONOTONIC), flush=True)
print(agrees(), flush=True)
"""


@pytest.fixture
def interrupted(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    code = COMMON + LONG_CALL.replace("THREADS", str(request.param))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.alone
@pytest.mark.parametrize("delay", [0.05, 0.33, 0.71])
@pytest.mark.parametrize("interrupted", [1, 4], indirect=True, ids=lambda n: f"{n} threads")
def test_p29_ctrl_c_stops_a_kernel(interrupted: subprocess.Popen[str], delay: float) -> None:
    """KeyboardInterrupt within 0.2 s, and the next call works."""
    assert interrupted.stdout is not None
    assert interrupted.stdout.readline() == "ready\n"
    time.sleep(delay)
    pressed = time.clock_gettime(time.CLOCK_MONOTONIC)
    interrupted.send_signal(signal.SIGINT)
    caught = float(interrupted.stdout.readline())
    assert caught - pressed < 0.2
    assert interrupted.stdout.readline() == "True\n"
    assert interrupted.wait(20) == 0


def test_p29_a_handler_that_raises_keeps_its_own_exception() -> None:
    code = """
    import signal
    from evtok import _core
    def handler(number, frame):
        raise TimeoutError("enough")
    signal.signal(signal.SIGALRM, handler)
    x = np.zeros(8_000_000, np.float32)
    edges = np.sort(np.random.default_rng(1).normal(size=4000)).astype(np.float32)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        while True:
            digitize(x, edges, 2)
    except TimeoutError as error:
        print(error, agrees())
    """
    assert lines(code) == ["enough", "True"]
