"""Codes to start k-means from, drawn by a counter-based generator: the same on every machine and for any threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.codebook.codebook import Codebook

Array = npt.NDArray[Any]

#: Codes drawn one by one, each by the distances to all before it, as k-means++ is published. From then on a batch is
#: drawn by the same distances, of one code for every _CODES_PER_DRAW that exist: seeding would read the rows K times
#: otherwise.
_ONE_BY_ONE = 128
_CODES_PER_DRAW = 16

#: Rows that seeding looks at: a sample of this many, or of this many for each code where that is more.
_SAMPLE = 1 << 16
_SAMPLE_PER_CODE = 32


def check_key(seed: int, step: int) -> None:
    """Check that both fit in 64 bits."""
    for name, value in (("seed", seed), ("step", step)):
        if not 0 <= value < 2**64:
            raise ValueError(f"{name}: expected 0 to 2**64 - 1, got {value}")


def uniforms(seed: int, stream: int, n: int) -> npt.NDArray[np.float64]:
    """Return n numbers in [0, 1), those of one stream of one seed: Philox4x64-10, the upper 53 bits of each word.

    Parameters
    ----------
    seed, stream : int
        Each from 0 to 2**64 - 1; together they are the key.

    Raises
    ------
    ValueError
        `seed` or `stream` do not fit in 64 bits.
    """
    check_key(seed, stream)
    key = np.array([seed, stream], np.uint64)
    words = np.random.Philox(key=key).random_raw(n)
    return np.asarray(words >> np.uint64(11), np.float64) * 2.0**-53


def draw_rows(n: int, n_drawn: int, u: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Draw one row from each of `n_drawn` equal parts of n rows; the numbers increase.

    Parameters
    ----------
    n, n_drawn : int
        With ``n_drawn <= n``.
    u : float64 (n_drawn,)
        From 0 to below 1.
    """
    borders = np.array([j * n // n_drawn for j in range(n_drawn + 1)], np.int64)
    widths = np.diff(borders)
    rows: npt.NDArray[np.int64] = borders[:-1] + np.minimum((u * widths).astype(np.int64), widths - 1)
    return rows


def sample_size(n: int, k: int) -> int:
    """Return how many of n rows seeding looks at."""
    return min(n, max(_SAMPLE, _SAMPLE_PER_CODE * k))


def kmeans_plus_plus(rows: Array, k: int, seed: int, threads: int | None) -> Array:
    """Draw codes from rows (n, D), with a probability proportional to the squared distance to the nearest code so far.

    Returns
    -------
    array (at most k, D)
        Rows, each at a distance above 0 from all others: fewer than k if there are no more such rows.

    Raises
    ------
    ValueError
        Squared distances overflow.
    """
    first = draw_rows(len(rows), 1, uniforms(seed, 1, 1))
    codes = rows[first]
    new, distance = codes, np.full(len(rows), np.inf)
    n_draws = 0
    while True:
        to_new = Codebook(new).nearest(rows, return_distance=True, threads=threads)[1]
        np.minimum(distance, to_new, out=distance)
        if len(codes) == k:
            return codes
        n_drawn = 1 if len(codes) < _ONE_BY_ONE else len(codes) // _CODES_PER_DRAW
        n_draws += 1
        picked = draw_by_weight(distance, uniforms(seed, 1 + n_draws, min(n_drawn, k - len(codes))))
        if not len(picked):
            return codes
        new = _distinct(rows[picked])
        codes = np.concatenate([codes, new])


def draw_by_weight(weights: npt.NDArray[np.float64], u: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Draw the row at which the running sum of the weights passes each of ``(j + u[j]) / m`` of their total.

    Returns
    -------
    int64 (at most m,)
        Increasing; a row that is drawn twice comes once. Empty if all weights are 0.
    """
    passed = np.cumsum(weights)  # one after another: the same bits everywhere
    total = passed[-1]
    if not np.isfinite(total):
        raise ValueError("x: squared distances overflow float64; scale the features down")
    if total == 0:
        return np.zeros(0, np.int64)
    targets = (np.arange(len(u)) + u) / len(u) * total
    found = np.searchsorted(passed, targets, side="right")
    last = np.searchsorted(passed, total, side="left")  # the last row of a weight above 0
    return np.unique(np.minimum(found, last)).astype(np.int64)


def _distinct(rows: Array) -> Array:
    """Leave out rows that came before."""
    seen: set[bytes] = set()
    keep = []
    for i, row in enumerate(rows + 0.0):  # + 0 makes -0 into +0
        content = row.tobytes()
        if content not in seen:
            seen.add(content)
            keep.append(i)
    return rows[keep]
