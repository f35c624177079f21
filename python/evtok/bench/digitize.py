"""`evtok.digitize`, the drop-in, beside `numpy.digitize` and `torch.bucketize`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

import evtok
from evtok import _core
from evtok.bench.harness import Case, Contestant
from evtok.bench.machine import copy_limit, version_of
from evtok.bench.registry import Settings
from evtok.bench.tokenize import SEED, sha256

# One float32 read and one int64 written.
BYTES = {"read and written": 12.0, "with write-allocate": 20.0}


def cases(shape: dict[str, Any], settings: Settings) -> Iterator[Case]:
    """Yield the one case of the shape."""
    n, threads = shape["values"], settings.threads
    x = np.random.default_rng(SEED).normal(0, 2, n).astype(shape["dtype"])
    edges = np.linspace(-4, 4, shape["edges"]).astype(shape["dtype"])
    given = np.empty(n, np.int64)
    contestants = [
        Contestant(
            "evtok", lambda: evtok.digitize(x, edges, threads=threads), "ours", _core.version, threads
        ),
        Contestant(
            "evtok, out=",
            lambda: evtok.digitize(x, edges, threads=threads, out=given),
            "ours",
            _core.version,
            threads,
        ),
        Contestant("numpy.digitize", lambda: np.digitize(x, edges), "peer", np.__version__),
    ]
    absent = []
    if settings.peers and (version := version_of("torch")) is None:
        absent.append("torch")
    elif settings.peers:
        torch = import_module("torch")
        torch.set_num_threads(threads)
        x_, edges_ = torch.from_numpy(x), torch.from_numpy(edges)

        def by_torch() -> Any:
            return torch.bucketize(x_, edges_, right=True).numpy()

        contestants.append(Contestant("torch.bucketize", by_torch, "peer", version or "", threads))
    contestants.append(copy_limit(threads, BYTES["read and written"] * n))
    yield Case(
        "digitize",
        shape["name"],
        f"{shape['dtype']}, {shape['edges']} edges",
        "values",
        n,
        contestants,
        lambda: np.digitize(x.astype(np.float64), edges.astype(np.float64)),
        "numpy.digitize in float64",
        {"seed": SEED, "sha256": sha256(x, edges), "bytes": 12 * n},
        bytes_per_unit=BYTES,
        reach={"numpy.digitize": shape["reach"]} if "reach" in shape else {},
        absent=absent,
        notes=("the result is int64, as NumPy's",),
    )
