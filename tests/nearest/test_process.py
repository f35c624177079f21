"""P9, P24, P26, P29, P30: the process around a search: floating-point mode, threads, forks, Ctrl-C, memory."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

import evtok
from evtok import _core
from nearest.vectors import everything, problem
from python_process import COMMON, lines
from test_float_environment import FLUSH, UP, same_in

# ---- P9: floating-point mode ------------------------------------------------------------------------------------

modes = pytest.mark.parametrize("bits", [FLUSH, UP, FLUSH | UP], ids=["flush", "upward", "both"])


@modes
@pytest.mark.parametrize("isa", _core.available_isas())
def test_p9_a_callers_mode_reaches_no_distance(bits: int, isa: str) -> None:
    """Codes for each route; squares that are subnormal (1e-20), and vectors (1e-40). The mode is left as it was."""
    prepare = f"""
import evtok
_core.force_isa("{isa}")
rng = np.random.default_rng(0)
problems = []
for shape in ((40, 3), (2000, 2), (300, 16)):
    for size in (1.0, 1e-20, 1e-40):
        codes = (rng.normal(size=shape) * size).astype(np.float32)
        problems.append((codes, (rng.normal(size=(200, shape[1])) * size).astype(np.float32)))
"""
    compute = """
result = []
for codes, x in problems:
    codebook = evtok.Codebook(codes)
    ids, distance, margin = codebook.nearest(x, return_distance=True, return_margin=True, threads=3)
    result += [part.view(np.uint32) for part in (codebook.nearest(x), ids, distance, margin)]
result = np.concatenate(result)
"""
    assert same_in(bits, prepare, compute) == ["kept", "same"]


@modes
@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_p9_a_callers_mode_reaches_no_product(bits: int, metric: str) -> None:
    prepare = """
import evtok
rng = np.random.default_rng(0)
codes, x = rng.normal(size=(200, 8)), rng.normal(size=(100, 8)) * 10.0 ** rng.uniform(-42, 0, (100, 1))
codes, x = codes.astype(np.float32), x.astype(np.float32)
"""
    compute = f"""
ids, values = evtok.nearest(x, codes, metric="{metric}", return_distance=True, on_invalid="sentinel")
result = np.concatenate([ids.view(np.uint32), values.view(np.uint32)])
"""
    assert same_in(bits, prepare, compute) == ["kept", "same"]


@pytest.mark.parametrize("n_dims", [2, 16])
def test_p9_subnormal_distances_are_computed(isa: str, n_dims: int) -> None:
    """Codes whose distances are the smallest numbers of all: 0, 1, 4, 9... times 2^-149, and more of them than zero."""
    codes = np.zeros((100, n_dims), np.float32)
    codes[:, 0] = np.arange(100) * np.float32(2.0**-70)
    ids, distance, _ = everything(codes, codes)
    np.testing.assert_array_equal(ids, np.arange(100))
    x = np.zeros((40, n_dims), np.float32)
    x[:, 0] = np.float32(2.0**-70) * 200
    ids, distance, margin = everything(x, codes)
    assert (ids == 99).all()
    np.testing.assert_array_equal(distance, np.float32(2.0**-140) * 101**2)
    np.testing.assert_array_equal(margin, np.float32(2.0**-140) * (102**2 - 101**2))
    np.testing.assert_array_equal(evtok.nearest(x, codes), ids)


# ---- P24: threads of Python -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_codes", "n_dims"), [(30, 3), (1000, 2), (200, 16)], ids=["scan", "boxes", "filter"]
)
def test_p24_many_python_threads_share_a_codebook(n_codes: int, n_dims: int) -> None:
    """8 threads, each with rows of its own and its own number of threads."""
    codes = problem("gaussian", 1, n_codes, n_dims)[1]
    codebook = evtok.Codebook(codes)
    inputs = [problem("clustered", 60 + k, n_codes, n_dims)[0] for k in range(8)]
    expected = [codebook.nearest(x, threads=1) for x in inputs]
    wide = [codebook.nearest(x, dtype="float64", threads=1) for x in inputs]
    fresh = evtok.Codebook(codes)  # its float64 codes are prepared by whichever thread comes first
    right: list[bool] = []

    def call_often(k: int) -> None:
        for i in range(100):
            right.append(np.array_equal(fresh.nearest(inputs[k], threads=1 + k % 3), expected[k]))
            if i % 20 == k:
                right.append(np.array_equal(fresh.nearest(inputs[k], dtype="float64"), wide[k]))

    threads = [threading.Thread(target=call_often, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(right), all(right)) == (8 * 105, True)


@pytest.mark.alone
def test_p24_the_gil_is_released() -> None:
    """A Python thread makes progress while another one searches, and while one prepares a codebook."""
    codes = problem("gaussian", 1, 4096, 64)[1]
    x = np.tile(problem("gaussian", 1000, 4096, 64)[0], (20, 1))
    done = threading.Event()
    spans: list[tuple[float, float]] = []

    def work() -> None:
        start = time.perf_counter()
        codebook = evtok.Codebook(codes)
        for _ in range(20):
            codebook.nearest(x, k=2, threads=1)
            if time.perf_counter() - start > 0.3:
                break
        spans.append((start, time.perf_counter()))
        done.set()

    thread = threading.Thread(target=work)
    ticks = []
    thread.start()
    while not done.is_set():
        ticks.append(time.perf_counter())
        time.sleep(0.001)
    thread.join()
    inside = sum(spans[0][0] < tick < spans[0][1] for tick in ticks)
    assert inside > 20


# ---- P26: forks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_dims", [2, 16])
def test_p26_a_forked_child_searches_with_its_parents_codebook(n_dims: int) -> None:
    code = f"""
    import signal, evtok
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(500, {n_dims})).astype(np.float32)
    x = rng.normal(size=(20_000, {n_dims})).astype(np.float32)
    codebook = evtok.Codebook(codes)
    ids = codebook.nearest(x, threads=4)
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        start = time.perf_counter()
        right = np.array_equal(codebook.nearest(x, threads=4), ids)
        right = right and np.array_equal(evtok.Codebook(codes).nearest(x, threads=2), ids)
        os._exit(0 if right and time.perf_counter() - start < 2 else 1)
    print(os.waitpid(pid, 0)[1], np.array_equal(codebook.nearest(x, threads=3), ids))
    """
    assert lines(code) == ["0", "True"]


# ---- P29: Ctrl-C ------------------------------------------------------------------------------------------------

LONG_CALL = """
import evtok
rng = np.random.default_rng(0)
codes = rng.normal(size=SHAPE).astype(np.float32)
codebook = evtok.Codebook(codes)
some = rng.normal(size=(300, codes.shape[1])).astype(np.float32)
expected = codebook.nearest(some, k=K)
x = np.tile(some, (3000, 1))
print("ready", flush=True)
try:
    while True:
        codebook.nearest(x, k=K, threads=THREADS)
except KeyboardInterrupt:
    print(time.clock_gettime(time.CLOCK_MONOTONIC), flush=True)
print(np.array_equal(codebook.nearest(some, k=K), expected), flush=True)
"""


@pytest.fixture
def interrupted(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    shape, k, threads = request.param
    code = LONG_CALL.replace("SHAPE", str(shape)).replace("K)", f"{k})").replace("K,", f"{k},")
    code = COMMON + code.replace("THREADS", str(threads))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.alone
@pytest.mark.parametrize(
    "interrupted",
    [((8192, 4), 1, 1), ((8192, 4), 1, 3), ((16384, 64), 1, 2), ((16384, 64), 2, 2), ((100, 3), 5, 2)],
    indirect=True,
    ids=["boxes", "boxes, 3 threads", "filter", "every code", "few codes"],
)
def test_p29_ctrl_c_stops_a_search(interrupted: subprocess.Popen[str]) -> None:
    """KeyboardInterrupt within 0.2 s, and the next call works."""
    assert interrupted.stdout is not None
    assert interrupted.stdout.readline() == "ready\n"
    time.sleep(0.23)
    pressed = time.clock_gettime(time.CLOCK_MONOTONIC)
    interrupted.send_signal(signal.SIGINT)
    caught = float(interrupted.stdout.readline())
    assert caught - pressed < 0.2
    assert interrupted.stdout.readline() == "True\n"
    assert interrupted.wait(20) == 0


# ---- P30: memory that is not there ------------------------------------------------------------------------------


def test_p30_out_of_memory_is_a_memory_error() -> None:
    """With less and less address space, a codebook and a search fail as MemoryError or succeed; then all is well."""
    code = """
    import resource, evtok
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(65536, 32)).astype(np.float32)  # 8 MiB
    x = rng.normal(size=(2000, 32)).astype(np.float32)
    small = evtok.Codebook(codes[:4096])
    expected = small.nearest(x, threads=2)
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    outcomes = []
    for spare in range(0, 60, 3):
        resource.setrlimit(resource.RLIMIT_AS, (used + (spare << 20), before[1]))
        try:
            evtok.Codebook(codes)
            outcomes.append("made")
        except MemoryError:
            outcomes.append("refused")
        try:
            ids = small.nearest(x, threads=2)
            outcomes.append("right" if np.array_equal(ids, expected) else "wrong")
        except MemoryError:
            pass
        resource.setrlimit(resource.RLIMIT_AS, before)
    print("refused" in outcomes, "made" in outcomes, "wrong" in outcomes)
    print(np.array_equal(small.nearest(x), expected))
    """
    assert lines(code) == ["True", "True", "False", "True"]
