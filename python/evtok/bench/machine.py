"""What the machine is, and what it can do: stated beside every number, and measured on the spot."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np

from evtok import _core, build_config
from evtok.bench.harness import Contestant, WrongResultError
from evtok.bench.statistics import summary

#: Packages that benchmarks compare with or depend on.
PEERS = (
    *("numpy", "torch", "numba", "pandas", "pyarrow", "uproot", "awkward"),
    *("faiss-cpu", "scikit-learn", "scipy", "vector-quantize-pytorch", "onnxruntime"),
)

_CPU0 = Path("/sys/devices/system/cpu/cpu0")
_MULTIPLY_ADD_STEPS = 2_000_000


def facts(threads: int) -> dict[str, Any]:
    """Return what is known about this machine; None where it cannot be read."""
    build = build_config()
    names = ("compiler", "compile_flags", "build_type", "isa", "isas_available", "cpus", "python", "platform")
    return {
        **{name: build[name] for name in names},
        "cpu": _proc("/proc/cpuinfo", "model name") or platform.processor() or None,
        "threads": threads,
        "caches": caches(),
        "memory": _proc("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "governor": _read(_CPU0 / "cpufreq" / "scaling_governor"),
        "megahertz": _proc("/proc/cpuinfo", "cpu MHz"),
        "hypervisor": "hypervisor" in (_proc("/proc/cpuinfo", "flags") or "").split(),
        "load": os.getloadavg()[0],
    }


def versions() -> dict[str, str | None]:
    """Return the version of each peer, None for one that is not installed."""
    return {name: version_of(name) for name in PEERS}


def version_of(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def caches() -> dict[str, int]:
    """Return the bytes of each cache that the first CPU sees, such as ``{"L1 Data": 32768}``."""
    found = {}
    for index in sorted(_CPU0.glob("cache/index*")):
        level, kind, size = (_read(index / name) for name in ("level", "type", "size"))
        if level and kind and size and size.endswith("K"):
            found[f"L{level} {kind}"] = int(size[:-1]) * 1024
    return found


def flush_bytes() -> int:
    """Bytes to write so that nothing of a benchmark's data stays in a cache: twice the largest."""
    return 2 * max([*caches().values(), 1 << 25])


def rates(threads: int, repeats: int = 9) -> dict[str, Any]:
    """Measure copy bandwidth (bytes read and written, each counted once) and float32 multiply-adds (two operations).

    Raises
    ------
    WrongResultError
        A loop that did not do its work.
    """
    copies = {
        name: copy_limit(threads, 1, streaming) for name, streaming in (("copy", True), ("copy_plain", False))
    }
    result: dict[str, Any] = {"threads": threads}
    for name, limit in copies.items():
        samples = _seconds(limit.run, repeats)
        result[name] = {"bytes_per_second": limit.traffic / samples["median"], "seconds": samples}
    limit = multiply_add_limit(threads)
    samples = _seconds(limit.run, repeats)
    result["multiply_add"] = {
        "operations_per_second": limit.operations / samples["median"],
        "fused": _core.active_isa() != "scalar",
        "seconds": samples,
    }
    return result


def multiply_add_limit(threads: int) -> Contestant:
    """Return float32 multiply-adds in registers (two operations each) as the limit of a case.

    Raises
    ------
    WrongResultError
        A loop that did not do its work.
    """
    count, mean = _core.multiply_adds(_MULTIPLY_ADD_STEPS, threads)
    if mean != 2.0:
        raise WrongResultError(f"machine: multiply-adds left {mean}, expected 2")

    def run() -> None:
        _core.multiply_adds(_MULTIPLY_ADD_STEPS, threads)

    return Contestant("multiply-adds", run, "limit", _core.version, threads, operations=2.0 * count)


@contextmanager
def limited_threads(threads: int, modules: Sequence[str] = ()) -> Iterator[None]:
    """Give the thread pools of other libraries (BLAS, OpenMP) so many threads for a while; evtok's own is not meant.

    `modules` are imported first, for a library that is loaded later would not be limited. Without threadpoolctl, which
    comes with scikit-learn, nothing changes.
    """
    for module in modules:
        import_module(module)
    try:
        limits = import_module("threadpoolctl").threadpool_limits
    except ImportError:
        yield
        return
    with limits(threads):
        yield


def copy_limit(threads: int, traffic: float, streaming: bool = True) -> Contestant:
    """Return the copy of an array that no cache holds, as the limit of a case.

    Parameters
    ----------
    threads : int
    traffic : float
        Bytes to read and write together, as the case does; more where a cache would hold so few.
    streaming : bool
        Write past the caches, which moves just these bytes. Otherwise the target is read before it is written
        (write-allocate), which is not counted.

    Raises
    ------
    WrongResultError
        A copy that is not equal.
    """
    n = int(max(traffic / 2, 2 * flush_bytes()))
    source = np.arange(n // 8, dtype=np.int64).view(np.uint8)
    target = np.empty_like(source)

    def run() -> None:
        _core.copy_bytes(source, streaming, threads, target)

    run()
    if not np.array_equal(source, target):
        raise WrongResultError("machine: the copy differs from its source")
    name = "copy" if streaming else "copy, write-allocate not counted"
    return Contestant(name, run, "limit", _core.version, threads, traffic=2.0 * source.size)


def _seconds(run: Any, repeats: int) -> dict[str, Any]:
    samples = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        run()
        samples.append(time.perf_counter() - begin)
    return summary(samples[1:])  # the first one warmed up


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _proc(path: str, name: str) -> str | None:
    """Return the first value of `name` in a file of lines ``name : value``."""
    for line in (_read(Path(path)) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None
