"""What a GPU is and can do, stated beside every number. Its clocks are read, never set."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

from evtok.bench.gpu.device import Device
from evtok.bench.harness import Contestant
from evtok.bench.machine import version_of
from evtok.bench.statistics import summary
from evtok.bench.text import scaled
from evtok.cuda.facts import facts as cuda_facts

#: Peers on a GPU, each by the names that it may be installed under.
PEERS = {
    "torch": ("torch",),
    "triton": ("triton",),
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "cuvs": ("cuvs-cu13", "cuvs-cu12", "cuvs"),
}

_STATE = (
    *("name", "driver_version", "pstate", "clocks.sm", "clocks.mem", "clocks.max.sm", "clocks.max.mem"),
    *("temperature.gpu", "power.draw", "power.limit", "clocks_event_reasons.active", "utilization.gpu"),
)


def facts() -> dict[str, Any]:
    """Return the build's CUDA, its devices, and the state of the first as nvidia-smi tells it."""
    return {"cuda": cuda_facts(), "state": state()}


def state() -> dict[str, str] | None:
    """Return clocks, temperature and the like of the first device; None where nvidia-smi does not tell."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    asked = [command, "--id=0", f"--query-gpu={','.join(_STATE)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=20)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    values = [value.strip() for value in done.stdout.strip().split(",")]
    return dict(zip(_STATE, values, strict=True)) if len(values) == len(_STATE) else None


def versions() -> dict[str, str | None]:
    """Return the version of each peer, None for one that is not installed."""
    return {name: version_of_any(name) for name in PEERS}


def version_of_any(peer: str) -> str | None:
    """Return the version of a peer under any of its names, or None."""
    return next((v for v in map(version_of, PEERS[peer]) if v is not None), None)


def rates(device: Device, repeats: int = 9) -> dict[str, Any]:
    """Measure copy bandwidth (bytes read and written, each counted once), and products of float32 and bfloat16.

    The state of the clocks is read right after each, while they still are what they were.
    """
    limits = {
        "copy": device.copy_limit(8e9),
        "multiply_add": device.product_limit("float32"),
        "bfloat16": device.product_limit("bfloat16"),
    }
    result: dict[str, Any] = {}
    for name, limit in limits.items():
        seconds = _seconds(device, limit, repeats)
        result[name] = {"seconds": seconds, "state": state()}
        what, full = ("bytes", limit.traffic) if limit.traffic else ("operations", limit.operations)
        result[name][f"{what}_per_second"] = full / seconds["median"]
    return result


def lines(gpu: dict[str, Any], measured: dict[str, Any]) -> Iterator[str]:
    """Say what the GPU is and can do."""
    for one in gpu["cuda"]["devices"][:1]:
        yield (
            f"{one['name']}, capability {one['capability']}, {one['multiprocessors']} multiprocessors, "
            f"CUDA {gpu['cuda']['toolkit']}"
        )
    if gpu["state"] is None:
        yield "clocks: nvidia-smi does not tell"
    else:
        yield ", ".join(f"{name} {value}" for name, value in gpu["state"].items() if name != "name")
    yield (
        f"copy {scaled(measured['copy']['bytes_per_second'])}B/s read and written, products of matrices: float32 "
        f"{scaled(measured['multiply_add']['operations_per_second'])}flop/s, bfloat16 "
        f"{scaled(measured['bfloat16']['operations_per_second'])}flop/s"
    )


def _seconds(device: Device, limit: Contestant, repeats: int) -> dict[str, Any]:
    clock = device.clock()
    samples = []
    for _ in range(repeats + 2):
        clock.flush()
        samples.append(clock.timed(limit.run)[0])
    return summary(samples[2:])  # the first ones warmed up
