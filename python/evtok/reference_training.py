"""The readable definition of codebook training: one number at a time, slow, and the expected value in tests.

Python's + - * / are those of IEEE 754 float64, so these give the bits of the library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Vectors = Sequence[Sequence[float]]

#: What finds the code of each row and the squared distance to it, for codes of the dtype of the rows.
Assign = Callable[[Array], tuple[Sequence[int], Sequence[float]]]


def code_sums(x: Vectors, ids: Sequence[int], n_codes: int) -> tuple[list[int], list[list[float]]]:
    """Count the rows of each code and add them up, in their order; -1 is no code."""
    counts = [0] * n_codes
    sums = [[0.0] * len(x[0]) for _ in range(n_codes)] if len(x) else [[] for _ in range(n_codes)]
    for row, code in zip(x, ids, strict=True):
        if code < 0:
            continue
        counts[code] += 1
        for j, value in enumerate(row):
            sums[code][j] += float(value)
    return counts, sums


# ---- drawing -----------------------------------------------------------------------------------------------


def philox(key: tuple[int, int], counter: int) -> list[int]:
    """Four words of 64 bits for one value of the counter: Philox4x64-10 (Salmon et al., SC 2011)."""
    mask = 2**64 - 1
    words = [counter >> shift & mask for shift in (0, 64, 128, 192)]
    k0, k1 = key
    for _ in range(10):
        product0, product1 = words[0] * 0xD2E7470EE14C6C93, words[2] * 0xCA5A826395121157
        words = [
            (product1 >> 64) ^ words[1] ^ k0,
            product1 & mask,
            (product0 >> 64) ^ words[3] ^ k1,
            product0 & mask,
        ]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & mask, (k1 + 0xBB67AE8584CAA73B) & mask
    return words


def uniforms(seed: int, stream: int, n: int) -> list[float]:
    """Return n numbers in [0, 1): the upper 53 bits of the words for the counters 1, 2, 3..."""
    words = [word for counter in range(1, n // 4 + 2) for word in philox((seed, stream), counter)]
    return [(word >> 11) / 2**53 for word in words[:n]]


def draw_rows(n: int, u: Sequence[float]) -> list[int]:
    """One row of each of ``len(u)`` equal parts of n rows."""
    rows = []
    for j, number in enumerate(u):
        first, end = j * n // len(u), (j + 1) * n // len(u)
        rows.append(first + min(int(number * (end - first)), end - first - 1))
    return rows


def draw_by_weight(weights: Sequence[float], u: Sequence[float]) -> list[int]:
    """The rows at which the running sum of the weights passes the fractions u of their total."""
    passed, sums = 0.0, []
    for weight in weights:
        passed += weight
        sums.append(passed)
    if not passed:
        return []
    last = sums.index(passed)
    return [min(sum(s <= number * passed for s in sums), last) for number in u]


def kmeans_plus_plus(x: Array, k: int, seed: int, assign: Assign, n_candidates: int) -> Array:
    """Rows drawn in proportion to their squared distances to those before: `n_candidates` for a pass over all rows.

    A candidate is accepted with the probability (squared distance by now) / (squared distance before this pass).
    """
    codes = [x[draw_rows(len(x), uniforms(seed, 1, 1))[0]]]
    n_passes = 0
    while len(codes) < k:
        distances = [float(s) for s in assign(np.array(codes))[1]]
        n_passes += 1
        u = uniforms(seed, 1 + n_passes, 2 * n_candidates)
        new: list[Array] = []
        for row, number in zip(draw_by_weight(distances, u[:n_candidates]), u[n_candidates:], strict=True):
            by_now = min([distances[row]] + [squared_distance(x[row], code) for code in new])
            if number * distances[row] < by_now:
                new.append(x[row])
        codes += new
    return np.array(codes[:k])


def squared_distance(a: Array, b: Array) -> float:
    """Sum of squared differences in float64, in the order of the columns."""
    total = 0.0
    for difference in (a.astype(np.float64) - b.astype(np.float64)).tolist():
        total += difference * difference
    return total


# ---- k-means -----------------------------------------------------------------------------------------------


def kmeans(
    x: Array, codes: Array, assign: Assign, max_iterations: int, tolerance: float
) -> tuple[Array, list[float], int]:
    """Lloyd's algorithm; returns the codes, the inertia of each pass, and how many empty codes were moved."""
    inertia: list[float] = []
    replaced = 0
    for iteration in range(max_iterations + 1):
        ids, distances = assign(codes)
        counts, sums = code_sums(x.tolist(), ids, len(codes))
        of_each = code_sums([[distance] for distance in distances], ids, len(codes))[1]
        inertia.append(math.fsum(total[0] for total in of_each))
        no_progress = iteration > 0 and inertia[-2] - inertia[-1] <= tolerance * inertia[-2]
        if (no_progress and 0 not in counts) or iteration == max_iterations:
            break
        for empty, row, donor in farthest_rows_to_empty_codes(x, ids, distances, counts):
            counts[donor] -= 1
            sums[donor] = [a - float(b) for a, b in zip(sums[donor], x[row], strict=True)]
            counts[empty], sums[empty] = 1, [float(value) for value in x[row]]
            replaced += 1
        moved = _means(codes, counts, sums)
        if 0 not in counts and np.array_equal(moved, codes):
            break
        codes = moved
    return codes, inertia, replaced


def mini_batch_kmeans(
    x: Array, codes: Array, assign: Assign, size: int, n_passes: int
) -> tuple[Array, list[float], int]:
    """The same with codes that move after every `size` rows.

    A code is the mean of the rows that it was nearest to, those of earlier passes counting half for each pass since.
    """
    n_codes = len(codes)
    weights, weighted = [0.0] * n_codes, [[0.0] * x.shape[1] for _ in range(n_codes)]
    inertia: list[float] = []
    replaced = 0
    for _ in range(n_passes):
        ids: list[int] = []
        distances: list[float] = []
        for start in range(0, len(x), size):
            found = assign(codes)
            ids += found[0][start : start + size]
            distances += found[1][start : start + size]
            counts, sums = code_sums(x[: len(ids)].tolist(), ids, n_codes)
            codes = _means(
                codes, [a + b for a, b in zip(weights, counts, strict=True)], _added(weighted, sums)
            )
        of_each = code_sums([[distance] for distance in distances], ids, n_codes)[1]
        inertia.append(math.fsum(total[0] for total in of_each))
        for empty, row, donor in farthest_rows_to_empty_codes(x, ids, distances, counts):
            counts[donor] -= 1
            sums[donor] = [a - float(b) for a, b in zip(sums[donor], x[row], strict=True)]
            counts[empty], sums[empty] = 1, [float(value) for value in x[row]]
            weights[empty], weighted[empty] = 0.0, [0.0] * x.shape[1]
            replaced += 1
        weights = [(a + b) / 2 for a, b in zip(weights, counts, strict=True)]
        weighted = [[value / 2 for value in row] for row in _added(weighted, sums)]
        codes = _means(codes, weights, weighted)
    return codes, inertia, replaced


def _added(a: Vectors, b: Vectors) -> list[list[float]]:
    return [[p + q for p, q in zip(*rows, strict=True)] for rows in zip(a, b, strict=True)]


def _means(codes: Array, weights: Sequence[float], sums: Vectors) -> Array:
    """The sums divided by the weights, where those are above 0."""
    moved = codes.copy()
    for code, weight in enumerate(weights):
        if weight > 0:
            moved[code] = [total / weight for total in sums[code]]
    return moved


def farthest_rows_to_empty_codes(
    x: Array, ids: Sequence[int], distances: Sequence[float], counts: Sequence[int]
) -> list[tuple[int, int, int]]:
    """Give empty codes, in order, the rows that lie farthest from theirs: (empty code, row, its code before).

    A row at distance 0 is not taken, nor the last row of a code, nor a vector twice.
    """
    left = list(counts)
    taken: list[list[float]] = []
    rows = sorted((i for i, s in enumerate(distances) if s > 0), key=lambda i: (-distances[i], i))
    chosen = []
    for row in rows:
        if left[ids[row]] >= 2 and x[row].tolist() not in taken:
            left[ids[row]] -= 1
            taken.append(x[row].tolist())
            chosen.append(row)
    empty = [code for code, count in enumerate(counts) if count == 0]
    return [(code, row, ids[row]) for code, row in zip(empty, chosen, strict=False)]


# ---- moving averages and health ----------------------------------------------------------------------------


def moving_average(
    cluster_size: Sequence[float],
    embed_sum: Vectors,
    x: Vectors,
    ids: Sequence[int],
    decay: float,
    epsilon: float,
) -> tuple[list[list[float]], list[float], list[list[float]]]:
    """Codes, sizes and sums after one batch, in float64; there must be rows now or before, and epsilon above 0."""
    n_codes = len(cluster_size)
    counts, sums = code_sums(x, ids, n_codes)
    sizes = [old * decay + new * (1 - decay) for old, new in zip(cluster_size, counts, strict=True)]
    totals = [
        [old * decay + new * (1 - decay) for old, new in zip(*both, strict=True)]
        for both in zip(embed_sum, sums, strict=True)
    ]
    total = 0.0
    for size in sizes:
        total += size
    smoothed = [(size + epsilon) / (total + n_codes * epsilon) * total for size in sizes]
    codes = [[value / size for value in row] for row, size in zip(totals, smoothed, strict=True)]
    return codes, sizes, totals


def perplexity(usage: Sequence[int]) -> float:
    """Exponential of the entropy, in nats, of the shares of the codes."""
    n = sum(usage)
    return math.exp(-math.fsum(count / n * math.log(count / n) for count in usage if count))
