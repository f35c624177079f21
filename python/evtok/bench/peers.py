"""The peers of the binning benchmarks: what an experienced user would write with each package, and write well.

Each takes float32 columns, their edges in float32 (which spares NumPy a conversion to float64), uint8 type codes and
the number of the first object id, and returns int32 ids ``first + ((type * n + pt) * n + eta) * n + phi``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]


def numpy_chain(
    types: npt.NDArray[np.uint8], columns: Sequence[Column], edges: Sequence[Column], first: int
) -> Ids:
    """Return the ids by `numpy.digitize` of each column; one thread."""
    ids = types.astype(np.int64)
    for x, borders in zip(columns, edges, strict=True):
        ids *= len(borders) + 1
        ids += np.digitize(x, borders)
    ids += first
    return ids.astype(np.int32)


def torch_chain(
    types: npt.NDArray[np.uint8], columns: Sequence[Column], edges: Sequence[Column], first: int, threads: int
) -> Callable[[], Ids]:
    """Return a call that gives the ids by `torch.bucketize` of each column."""
    torch = import_module("torch")
    torch.set_num_threads(threads)
    types_, first_ = torch.from_numpy(types.copy()), first
    columns_ = [torch.from_numpy(x.copy()) for x in columns]
    edges_ = [torch.from_numpy(e.copy()) for e in edges]

    def run() -> Any:
        ids = types_.to(torch.int32)
        for x, borders in zip(columns_, edges_, strict=True):
            ids.mul_(len(borders) + 1)
            ids.add_(torch.bucketize(x, borders, right=True, out_int32=True))
        return ids.add_(first_).numpy()

    return run


def numba_loop(
    types: npt.NDArray[np.uint8],
    columns: Sequence[Column],
    ranges: Sequence[tuple[float, float, bool]],
    n_edges: Sequence[int],
    first: int,
    threads: int,
) -> Callable[[], Ids]:
    """Return a call that gives the ids by one loop that computes each bin; not exact at the edges.

    `ranges` gives the first and the last edge of each column, and whether edges are equally spaced in its logarithm.
    """
    numba = import_module("numba")
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    logarithm = ranges[0][2]
    low = np.array([math.log(r[0]) if r[2] else r[0] for r in ranges], np.float32)
    high = np.array([math.log(r[1]) if r[2] else r[1] for r in ranges], np.float32)
    n0, n1, n2 = n_edges
    scale = ((np.array(n_edges) - 1) / (high - low)).astype(np.float32)

    @numba.njit(inline="always")  # type: ignore[untyped-decorator,unused-ignore]
    def bin_of(x: Any, low: Any, scale: Any, n: Any) -> Any:
        position = (x - low) * scale + np.float32(1)
        return np.int32(min(max(position, np.float32(0)), np.float32(n)))

    @numba.njit(parallel=True, fastmath=True)  # type: ignore[untyped-decorator,unused-ignore]
    def loop(types: Any, pt: Any, eta: Any, phi: Any) -> Any:
        ids = np.empty(len(pt), np.int32)
        for i in numba.prange(len(pt)):
            x = np.log(pt[i]) if logarithm else pt[i]
            key = np.int32(types[i]) * np.int32(n0 + 1) + bin_of(x, low[0], scale[0], n0)
            key = key * np.int32(n1 + 1) + bin_of(eta[i], low[1], scale[1], n1)
            ids[i] = np.int32(first) + key * np.int32(n2 + 1) + bin_of(phi[i], low[2], scale[2], n2)
        return ids

    # Contiguous copies that are writable: numba compiles another version for read-only arrays.
    arguments = [np.array(a) for a in (types, *columns)]
    return lambda: loop(*arguments)


def numba_search(
    types: npt.NDArray[np.uint8], columns: Sequence[Column], edges: Sequence[Column], first: int, threads: int
) -> Callable[[], Ids]:
    """Return a call that gives the ids by one loop with a binary search in each column."""
    numba = import_module("numba")
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))

    @numba.njit(inline="always")  # type: ignore[untyped-decorator,unused-ignore]
    def bin_of(x: Any, edges: Any) -> Any:
        low, length = np.int32(0), np.int32(len(edges))
        while length > 0:
            half = length // 2
            passed = x >= edges[low + half]
            low = low + half + 1 if passed else low
            length = length - half - 1 if passed else half
        return low

    @numba.njit(parallel=True)  # type: ignore[untyped-decorator,unused-ignore]
    def loop(types: Any, pt: Any, eta: Any, phi: Any, e0: Any, e1: Any, e2: Any) -> Any:
        ids = np.empty(len(pt), np.int32)
        for i in numba.prange(len(pt)):
            key = np.int32(types[i]) * np.int32(len(e0) + 1) + bin_of(pt[i], e0)
            key = key * np.int32(len(e1) + 1) + bin_of(eta[i], e1)
            ids[i] = np.int32(first) + key * np.int32(len(e2) + 1) + bin_of(phi[i], e2)
        return ids

    arguments = [np.array(a) for a in (types, *columns, *edges)]
    return lambda: loop(*arguments)
