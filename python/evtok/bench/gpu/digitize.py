"""`evtok.digitize` on a GPU, beside `torch.bucketize`, the same compiled, and `cupy.digitize`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import evtok
from evtok.bench.digitize import BYTES
from evtok.bench.gpu.peers import OURS, Peers, Turns, compiled
from evtok.bench.harness import Case, Contestant
from evtok.bench.registry import Settings
from evtok.bench.tokenize import SEED, sha256


def cases(shape: dict[str, Any], settings: Settings) -> Iterator[Case]:
    """Yield the one case of the shape."""
    device = settings.device
    assert device is not None
    n = shape["values"]
    x = np.random.default_rng(SEED).standard_normal(n, shape["dtype"]) * np.array(2, shape["dtype"])
    edges = np.linspace(-4, 4, shape["edges"]).astype(shape["dtype"])
    turns, edges_ = Turns.of(device, x), device.put(edges)
    ours = Contestant("evtok", lambda: evtok.digitize(turns()[0], edges), *OURS)
    peers = Peers(device, settings.peers)

    def bucketize(torch: Any) -> Callable[[], Any]:
        return lambda: torch.bucketize(*turns(), edges_, right=True)

    def bucketize_compiled(torch: Any) -> Callable[[], Any]:
        run = compiled(torch, lambda x: torch.bucketize(x, edges_, right=True))
        return lambda: run(*turns())

    def by_cupy(cupy: Any) -> Callable[[], Any]:
        given = cupy.asarray(edges_)
        return lambda: cupy.digitize(cupy.asarray(*turns()), given)

    peers.add("torch.bucketize", "torch", bucketize)
    peers.add("torch.bucketize, compiled", "torch", bucketize_compiled)
    peers.add("cupy.digitize", "cupy", by_cupy)
    yield Case(
        *("digitize", shape["name"], f"{shape['dtype']}, {shape['edges']} edges", "values", n),
        [ours, *peers.contestants, device.copy_limit(BYTES["read and written"] * n)],
        lambda: evtok.digitize(x, edges),
        "evtok.digitize on the CPU",
        {"seed": SEED, "sha256": sha256(x, edges), "bytes": 12 * n},
        differences=device.count_differences,
        bytes_per_unit={"read and written": BYTES["read and written"]},
        absent=peers.absent,
        notes=[*peers.notes, "the result is int64, as NumPy's; the edges come from the host in each call"],
    )
