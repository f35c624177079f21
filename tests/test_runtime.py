"""The process around the kernels: import, instruction sets, floating-point mode, threads, signals, memory.

Most tests run in a subprocess, because they are about state that a process sets once.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from evtok import _core

OPTIONAL = [
    *("awkward", "cupy", "dask", "distributed", "fsspec", "h5py", "hdf5plugin", "hist", "lightning"),
    *("matplotlib", "mplhep", "pandas", "pyarrow", "rich", "safetensors", "torch", "typer", "uproot"),
]

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
    return subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=120)


def lines(code: str, **environment: str) -> list[str]:
    result = run(code, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def digitize(x: np.ndarray, edges: np.ndarray, threads: int = 0) -> np.ndarray:
    codes = np.full(x.size, -1, np.int64)
    _core.digitize(x, edges, False, False, threads, codes)
    return codes


# ---- import -----------------------------------------------------------------------------------------------


def test_import_costs_at_most_30_ms_more_than_numpy() -> None:
    """CPU time by its median, wall time by its minimum: other processes may compete for this machine."""
    code = """
    w, c = time.perf_counter(), time.process_time()
    import evtok
    print(time.perf_counter() - w, time.process_time() - c)
    """
    runs = [[float(word) for word in lines(code)] for _ in range(7)]
    wall, cpu = zip(*runs, strict=True)
    assert statistics.median(cpu) <= 0.030
    assert min(wall) <= 0.030


def test_p50_import_touches_no_optional_package() -> None:
    assert lines(f"import evtok; print([m for m in {OPTIONAL} if m in sys.modules])") == ["[]"]


def test_p50_numpy_alone_is_enough() -> None:
    """Without optional packages evtok imports and computes; what needs one names the extra to install."""
    code = f"""
    from importlib.abc import MetaPathFinder
    class Hidden(MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in {OPTIONAL}:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    sys.meta_path.insert(0, Hidden())
    import evtok
    from evtok import _core
    events = evtok.Events([0, 2, 3], {{"pt": np.ones(3, np.float32)}})
    print(agrees(), len(events))
    try:
        events.to_awkward()
    except evtok.errors.MissingBackendError as error:
        print("evtok[io]" in str(error))
    """
    assert lines(code) == ["True", "2", "True"]


# ---- instruction sets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", _core.available_isas())
def test_p2_evtok_isa_forces_an_instruction_set(isa: str) -> None:
    assert lines("from evtok import _core; print(_core.active_isa(), agrees())", EVTOK_ISA=isa) == [
        isa,
        "True",
    ]


def test_p2_without_evtok_isa_the_best_one_is_used() -> None:
    assert lines("from evtok import _core; print(_core.active_isa())") == [_core.available_isas()[-1]]


def test_p51_an_unknown_instruction_set_fails_the_import() -> None:
    result = run("import evtok", EVTOK_ISA="mmx")
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: EVTOK_ISA=mmx: unknown; expected scalar, avx2, avx512")


def test_p51_an_unavailable_instruction_set_fails_the_import() -> None:
    missing = [isa for isa in ("avx2", "avx512", "avx512_bf16") if isa not in _core.available_isas()]
    if not missing:
        pytest.skip("this CPU runs every instruction set")
    result = run("import evtok", EVTOK_ISA=missing[0])
    assert result.returncode == 1
    assert f"ImportError: EVTOK_ISA={missing[0]}: this CPU cannot run it" in result.stderr
    with pytest.raises(RuntimeError, match="cannot run it"):
        _core.force_isa(missing[0])
    with pytest.raises(ValueError, match="expected scalar, avx2"):
        _core.force_isa("mmx")


def test_p51_x86_64_v2_is_enough(tmp_path: Path) -> None:
    """On an emulated Nehalem (SSE4.2, no AVX): never an illegal instruction, and the same bins."""
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        pytest.skip("qemu-x86_64 is not installed (Debian: apt-get install qemu-user)")
    script = tmp_path / "script.py"
    script.write_text(COMMON + "from evtok import _core\nprint(_core.available_isas(), agrees(20_000, 2))\n")
    result = subprocess.run(
        [emulator, "-cpu", "Nehalem", sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (result.returncode, result.stdout.strip()) == (0, "['scalar'] True"), result.stderr


# ---- floating-point mode ----------------------------------------------------------------------------------


def test_p9_import_and_calls_leave_the_floating_point_mode() -> None:
    code = """
    import ctypes
    libm = ctypes.CDLL("libm.so.6")
    modes = []
    def look():
        tiny = np.array([5e-324, 1e-40])
        modes.append((libm.fegetround(), float(tiny[0]) != 0, bool((tiny * 1.0 != 0).all()),
                      bool(np.float32(1e-40) * np.float32(1) != 0)))
    look()
    from evtok import _core
    look()
    assert agrees()
    look()
    print(len(set(modes)), modes[0] == (0, True, True, True))
    """
    assert lines(code) == ["1", "True"]


def test_p9_subnormals_are_numbers_also_for_a_caller_who_flushes_them() -> None:
    pytest.importorskip("torch")
    code = """
    import torch
    from evtok import _core
    tiny = np.float32(1e-45)
    x = np.resize(np.array([-tiny, 0, tiny, 2 * tiny], np.float32), 300_000)
    edges = np.array([0, 2 * tiny], np.float32)
    expected = np.digitize(x, edges)
    flushing = torch.set_flush_denormal(True)
    codes = digitize(x, edges, 4)
    still = float(torch.tensor(1e-40) * 1.0) == 0
    torch.set_flush_denormal(False)
    print(flushing, still, np.array_equal(codes, expected), expected[:4].tolist() == [0, 1, 1, 2])
    """
    assert lines(code) == ["True"] * 4


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


# ---- errors -----------------------------------------------------------------------------------------------


def test_p30_out_of_memory_is_a_memory_error() -> None:
    code = """
    import resource
    from evtok import _core
    edges = np.arange(1 << 24, dtype=np.float64)
    x = edges[:100].copy()
    codes = np.empty(100, np.int64)
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), before[1]))  # too little to copy edges
    try:
        _core.digitize(x, edges, False, False, 1, codes)
    except MemoryError:
        print("MemoryError")
    resource.setrlimit(resource.RLIMIT_AS, before)
    print(agrees())
    """
    assert lines(code) == ["MemoryError", "True"]


def test_p30_errors_of_the_module_are_typed() -> None:
    x, edges, codes = np.zeros(3), np.zeros(2), np.zeros(3, np.int64)
    with pytest.raises(TypeError, match="incompatible function arguments"):
        _core.digitize(x.astype(np.float32), edges, False, False, 0, codes)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="incompatible function arguments"):
        _core.digitize(x, edges, False, False, 0, codes.astype(np.int32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"x: expected shape \(n,\), got \(3, 1\)"):
        _core.digitize(x.reshape(3, 1), edges, False, False, 0, codes)
    with pytest.raises(ValueError, match=r"codes: expected shape \(3,\), got \(2,\)"):
        _core.digitize(x, edges, False, False, 0, codes[:2])
    codes.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        _core.digitize(x, edges, False, False, 0, codes)


def test_p15_kernels_read_and_write_nothing_outside_their_arrays() -> None:
    """Arrays that end at a page without access: a vector load past the end would be a segmentation fault."""
    code = """
    import ctypes, mmap
    from evtok import _core
    libc = ctypes.CDLL(None, use_errno=True)
    page = mmap.PAGESIZE
    def guarded(dtype, n):
        memory = mmap.mmap(-1, 4 * page)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        assert libc.mprotect(ctypes.c_void_p(address + 3 * page), page, 0) == 0
        return np.frombuffer(memory, np.uint8)[3 * page - n * np.dtype(dtype).itemsize : 3 * page].view(dtype)
    for isa in _core.available_isas():
        _core.force_isa(isa)
        for dtype in (np.float32, np.float64):
            for n_edges in (1, 5, 41, 300):
                edges = guarded(dtype, n_edges)
                edges[:] = np.arange(n_edges) / 4
                for n in (1, 3, 7, 8, 15, 31, 33, 63, 65, 127, 300):
                    x, codes = guarded(dtype, n), guarded(np.int64, n)
                    x[:] = np.arange(n) / 8 - 1
                    x.flags.writeable = False
                    _core.digitize(x, edges, False, False, 1, codes)
                    assert np.array_equal(codes, np.digitize(x, edges))
    print("done")
    sys.stdout.flush()
    os._exit(0)  # mmap objects with views cannot be closed
    """
    assert lines(code) == ["done"]
