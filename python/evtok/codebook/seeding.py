"""Codes to start k-means from, drawn by a counter-based generator: the same on every machine and for any threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.codebook.codebook import Codebook

Array = npt.NDArray[Any]

#: Candidates for one pass over the rows: this many, or half as many as there are codes, up to the second number.
_CANDIDATES = 64
_MOST_CANDIDATES = 1024

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

    Notes
    -----
    As published, each code would need a pass over all rows. Here candidates are drawn many at a time, by the distances
    to the codes before this batch, and each is accepted with the probability (distance to all codes by now) / (distance
    before this batch). By this rejection the accepted ones have just the probabilities of k-means++.
    """
    new = codes = rows[draw_rows(len(rows), 1, uniforms(seed, 1, 1))]
    distances = np.full(len(rows), np.inf)
    n_draws = 0
    while len(codes) < k:
        to_new = Codebook._quiet(new).nearest(rows, return_distance=True, threads=threads)[1]
        np.minimum(distances, to_new, out=distances)
        n_draws += 1
        n_candidates = min(max(_CANDIDATES, len(codes) // 2), _MOST_CANDIDATES)
        u = uniforms(seed, 1 + n_draws, 2 * n_candidates)
        drawn = draw_by_weight(distances, u[:n_candidates])
        if not len(drawn):
            break
        accepted = accept(rows[drawn], distances[drawn], u[n_candidates:])
        new = rows[drawn[accepted]][: k - len(codes)]
        codes = np.concatenate([codes, new])
    return codes


def draw_by_weight(weights: npt.NDArray[np.float64], u: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Draw the rows at which the running sum of the weights passes the fractions u (m,) of their total.

    Returns
    -------
    int64 (m,)
        In the order of u; a row may come more than once. Empty if all weights are 0.
    """
    passed = np.cumsum(weights)  # one after another: the same bits everywhere
    total = passed[-1]
    if not np.isfinite(total):
        raise ValueError("x: squared distances overflow float64; scale the features down")
    if total == 0:
        return np.zeros(0, np.int64)
    last = np.searchsorted(passed, total, side="left")  # the last row of a weight above 0
    drawn: npt.NDArray[np.int64] = np.minimum(np.searchsorted(passed, u * total, side="right"), last)
    return drawn


def accept(
    candidates: Array, distances: npt.NDArray[np.float64], u: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Accept candidates in turn, with the probability that their squared distance has left.

    Parameters
    ----------
    candidates : array (m, D)
    distances : float64 (m,)
        Squared distances to the codes before, above 0.
    u : float64 (m,)
        From 0 to below 1.
    """
    columns = np.ascontiguousarray(candidates.T, np.float64)
    left = distances.copy()
    accepted = np.zeros(len(candidates), np.bool_)
    for i in range(len(candidates)):
        if not u[i] * distances[i] < left[i]:
            continue
        accepted[i] = True
        differences = columns - columns[:, i : i + 1]
        with np.errstate(over="ignore"):  # infinity is far enough
            # Accumulated, not summed: the order of the columns is kept everywhere.
            squares = np.add.accumulate(differences * differences, axis=0)
        np.minimum(left, squares[-1], out=left)
    return accepted
