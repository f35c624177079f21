"""The process around the kernels: import, instruction sets, floating-point mode, errors."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evtok import _core
from python_process import COMMON, lines, run

OPTIONAL = [
    *("awkward", "cupy", "dask", "distributed", "fsspec", "h5py", "hdf5plugin", "hist", "lightning"),
    *("matplotlib", "mplhep", "pandas", "pyarrow", "rich", "safetensors", "torch", "typer", "uproot"),
]


# ---- import -----------------------------------------------------------------------------------------------


@pytest.mark.alone
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
