"""How many rows each code has and what they add up to, in one pass: what k-means and moving averages are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _core
from evtok.codebook import _rows

Counts = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]

# Numbers of one call of the kernel: a few milliseconds, between which Python looks for Ctrl-C.
_NUMBERS_AT_ONCE = 1 << 22


def code_sums(x: Any, ids: Any, n_codes: int, *, threads: int | None = None) -> tuple[Counts, Sums]:
    """Count the rows of each code, and add them up.

    Parameters
    ----------
    x : real numbers (n, D)
        NumPy array or torch tensor on the CPU, any layout; float16, bfloat16 and integers are added exactly as stored.
    ids : integers (n,)
        The code of each row, as `evtok.nearest` gives it; -1 for a row that is left out.
    n_codes : int
        Number of codes, K.
    threads : int, optional
        Threads to use; by default `EVTOK_NUM_THREADS` or the CPUs that this process may use.

    Returns
    -------
    counts : int64 (K,)
    sums : float64 (K, D)

    Raises
    ------
    TypeError
        `x` are not real numbers, or `ids` not integers.
    ValueError
        An id is below -1 or not below K; the message names the row.

    Notes
    -----
    The rows of a code are added in their order, in float64, as ``numpy.add.at(sums, ids, x)`` does, bit for bit.
    Threads and instruction sets cannot change that; another order of the rows can change the last bits.
    """
    values = _arrays.to_numpy(x, "x")
    if values.ndim != 2:
        raise ValueError(f"x: expected shape (n, D), got {values.shape}")
    counts, sums = np.zeros(n_codes, np.int64), np.zeros((n_codes, values.shape[1]), np.float64)
    add_code_sums(values, ids, counts, sums, threads=threads)
    return counts, sums


def add_code_sums(x: Any, ids: Any, counts: Counts, sums: Sums, *, threads: int | None = None) -> None:
    """Add to `counts` (K,) and `sums` (K, D) in place what `code_sums` returns.

    Parts of an array added one after another give the same bits as the whole array, wherever it is cut.
    """
    rows = _rows.Rows(x)
    codes = _arrays.to_numpy(ids, "ids")
    if codes.dtype.kind not in "iu":
        raise TypeError(f"ids: expected integers, got {codes.dtype}")
    if codes.shape != rows.shape:
        raise ValueError(f"ids: expected one for each row of x, shape {rows.shape}, got {codes.shape}")
    if codes.size and not np.can_cast(codes.dtype, np.int32):
        low, high = int(codes.min()), int(codes.max())
        if low < -1 or high >= len(counts):
            raise ValueError(f"ids: expected -1 to {len(counts) - 1}, got {low} to {high}")
    codes = np.require(codes, np.int32, ("C", "A"))
    at_once = max(1, _NUMBERS_AT_ONCE // max(1, rows.values.shape[-1]))
    dtype = _rows.natural_dtype(rows.values, "x")
    for begin, end, piece in rows.pieces(dtype, _NUMBERS_AT_ONCE * dtype.itemsize):
        for start in range(begin, end, at_once):
            stop = min(end, start + at_once)
            _core.code_sums(
                piece[start - begin : stop - begin], codes[start:stop], threads or 0, counts, sums
            )
