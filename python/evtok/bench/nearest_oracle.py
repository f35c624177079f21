"""The right ids of a lookup, from no fast kernel: float64 where its margin decides, the specification elsewhere.

In float64 the distances to all codes come from one product of matrices. Where the second nearest code is further than
all rounding of that and of the specification can explain, the nearest one is the answer. The other rows, which are few,
and as many more as take a moment, go through the scalar kernel, which is the specification itself; where both answer,
they must agree.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import Codebook, _core
from evtok.bench.harness import WrongResultError
from evtok.bench.machine import limited_threads

NAME = "the scalar specification, and float64 where its margin decides"

# Multiply-adds of the rows that go through the scalar kernel although float64 decides: below a second.
_SCALAR_WORK = 1 << 27
# Bytes of distances at a time, which stay in a cache unless codes are so many that rows become few.
_BLOCK_BYTES = 1 << 20

Array = npt.NDArray[Any]


def expected_ids(x: Array, codes: Array, metric: str, threads: int) -> npt.NDArray[np.int32]:
    """Return the id of each row of x (n, D), float32, among codes (K, D).

    Raises
    ------
    WrongResultError
        The scalar kernel and float64 say different things where both must be right.
    """
    ids, decided = by_float64(x, codes, metric, threads)
    n_looked_at = max(1, min(len(x), _SCALAR_WORK // codes.size))
    again = np.zeros(len(x), bool)
    again[np.linspace(0, len(x) - 1, n_looked_at).astype(np.int64)] = True
    again |= ~decided
    exact = by_specification(x[again], codes, metric, threads)
    wrong = int(np.count_nonzero((exact != ids[again]) & decided[again]))
    if wrong:
        raise WrongResultError(
            f"nearest: the scalar specification and float64 differ in {wrong} of {len(exact)} rows"
        )
    ids[again] = exact
    return ids


def by_specification(x: Array, codes: Array, metric: Any, threads: int) -> npt.NDArray[np.int32]:
    """Return the ids by the scalar kernel, which looks at every code."""
    forced = _core.active_isa()
    _core.force_isa("scalar")
    try:
        ids: npt.NDArray[np.int32] = Codebook(codes, metric=metric).nearest(x, threads=threads)
    finally:
        _core.force_isa(forced)
    return ids


def by_float64(
    x: Array, codes: Array, metric: str, threads: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Return the ids by float64, and for which rows the specification cannot have another.

    The specification's s lies within a factor 1 ± eta of the true squared distance, its product within eta |x| |c|,
    where 1 + eta = (1 + 2^-24)^(D + 2); normalising a code rounds once more, for which a product has two factors fewer.
    float64 itself loses at most 2^-52 (D + 8) (|x| + |c|)^2, with room to spare.
    """
    n_codes, n_dims = codes.shape
    table = codes.astype(np.float64)
    if metric == "cosine":
        table /= np.sqrt(np.square(table).sum(axis=1, keepdims=True))
    squares = np.square(table).sum(axis=1)
    largest = np.sqrt(squares.max())
    eta = np.expm1((n_dims + 2) * np.log1p(2.0**-24))
    # |c|^2 - 2 x.c, or -x.c: the bias is one more coordinate.
    table = np.column_stack([-2 * table, squares]).T if metric == "l2" else -table.T
    ids, decided = np.empty(len(x), np.int32), np.empty(len(x), bool)
    at_once = max(64, _BLOCK_BYTES // (8 * n_codes))

    def block(first: int) -> None:
        rows = x[first : first + at_once].astype(np.float64)
        norm2 = np.square(rows).sum(axis=1)
        norm = np.sqrt(norm2)
        lost = 2.0**-52 * (n_dims + 8) * np.square(norm + largest)
        values = (np.column_stack([rows, np.ones(len(rows))]) if metric == "l2" else rows) @ table
        best = values.argmin(axis=1)[:, None]
        least = np.take_along_axis(values, best, axis=1)[:, 0]
        np.put_along_axis(values, best, np.inf, axis=1)
        slack = (least + norm2 + lost) * eta / (1 - eta) if metric == "l2" else eta * norm * largest
        ids[first : first + at_once] = best[:, 0]
        decided[first : first + at_once] = values.min(axis=1) - least > 2 * (slack + lost)

    # One thread for each product: those of BLAS, started anew for each, would cost more than they do.
    with limited_threads(1), ThreadPoolExecutor(threads) as pool:
        list(pool.map(block, range(0, len(x), at_once)))
    return ids, decided
