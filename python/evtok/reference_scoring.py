"""The readable definition of the likelihoods of tokens (token_nll.hpp, float_functions.hpp).

Slow, written to be read first, and the expected value in tests. Every number is a float32, and every step rounds once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.reference import multiply_add

Floats = npt.NDArray[np.float32]

BLOCK, LANES = 256, 16

_LOG2_E, _LN2_HIGH, _LN2_LOW = (
    np.float32(float.fromhex(x)) for x in ("0x1.715476p+0", "0x1.62e430p-1", "-0x1.05c610p-29")
)
_EXP = tuple(
    np.float32(float.fromhex(x))
    for x in ("0x1.6a2256p-10", "0x1.123b02p-7", "0x1.5558f8p-5", "0x1.555490p-3", "0x1.fffffcp-2", "1", "1")
)
_LOG = tuple(
    np.float32(float.fromhex(x))
    for x in (
        *("0x1.1457c4p-4", "-0x1.de3c1cp-4", "0x1.e6f062p-4", "-0x1.fc2206p-4", "0x1.233768p-3"),
        *("-0x1.555c4ep-3", "0x1.99a4b6p-3", "-0x1.000006p-2", "0x1.555548p-2"),
    )
)


def exponential(x: npt.ArrayLike) -> Floats:
    """e**x of float32: 2**n e**r with the whole number n nearest to x / ln 2, and a polynomial in r."""
    x = np.clip(np.asarray(x, np.float32), np.float32(-104), np.float32(89))
    magic = np.float32(1.5 * 2**23)
    n = multiply_add(x, _LOG2_E, magic) - magic
    r = multiply_add(n, -_LN2_HIGH, x)
    r = multiply_add(n, -_LN2_LOW, r)
    p = np.broadcast_to(_EXP[0], r.shape)
    for coefficient in _EXP[1:]:
        p = multiply_add(p, r, coefficient)
    half = np.floor(n / 2)
    with np.errstate(over="ignore", under="ignore"):
        result: Floats = p * np.exp2(half) * np.exp2(n - half)
    return result


def logarithm(x: np.float32) -> np.float32:
    """Natural logarithm of a positive finite float32: k ln 2 + log(1 + f) with sqrt(1/2) <= 1 + f < sqrt(2)."""
    fraction, k = np.frexp(x)
    if fraction < np.int32(0x3F3504F3).view(np.float32):  # sqrt(1/2)
        fraction, k = fraction * np.float32(2), k - 1
    f, n = fraction - np.float32(1), np.float32(k)
    p: Any = _LOG[0]
    for coefficient in _LOG[1:]:
        p = multiply_add(p, f, coefficient)
    square = f * f
    rest = multiply_add(n, _LN2_LOW, square * f * p)
    rest = multiply_add(square, np.float32(-0.5), rest)
    return np.float32(multiply_add(n, _LN2_HIGH, f + rest))


def token_nll(
    hidden: Floats, weight: Floats, bias: Floats | None, targets: npt.NDArray[Any], ignore_index: int = -100
) -> Floats:
    """Negative log-likelihoods (n,) of targets (n,), for hidden rows (n, d), weights (V, d) and biases (V,).

    A row is NaN that is not finite, or where max|b| + d max|h| max|w| is 2**126 or more.
    """
    result = np.zeros(len(hidden), np.float32)
    largest_bias = 0.0 if bias is None else float(np.abs(bias).max())
    for i, (row, target) in enumerate(zip(hidden, targets, strict=True)):
        if target == ignore_index:
            continue
        bound = largest_bias + len(row) * float(np.abs(row).max()) * float(np.abs(weight).max())
        if not np.isfinite(row).all() or bound >= 2.0**126:
            result[i] = np.nan
            continue
        logits = np.zeros(len(weight), np.float32) if bias is None else bias.copy()
        for h_j, w_j in zip(row, weight.T, strict=True):
            logits = multiply_add(h_j, w_j, logits)
        result[i] = _nll(logits, int(target))
    return result


def nll_from_logits(logits: Floats, targets: npt.NDArray[Any], ignore_index: int = -100) -> Floats:
    """Negative log-likelihoods (n,) of targets (n,), for logits (n, V); NaN for rows that give the target none."""
    result = np.zeros(len(logits), np.float32)
    for i, (row, target) in enumerate(zip(logits, targets, strict=True)):
        if target == ignore_index:
            continue
        possible = np.isfinite(row[target]) and not np.isnan(row).any() and not np.isposinf(row).any()
        nll = _nll(row, int(target)) if possible else np.float32(np.nan)
        result[i] = nll if np.isfinite(nll) else np.nan  # where the target is too far below the largest
    return result


def _nll(logits: Floats, target: int) -> np.float32:
    """Sum exp(l - m) in lanes, block by block, with the largest logit m so far; then m - l[target] + log(sum)."""
    m, sums = np.finfo(np.float32).min, np.zeros(LANES, np.float32)
    for first in range(0, len(logits), BLOCK):
        block = logits[first : first + BLOCK]
        largest = max(m, block.max())
        with np.errstate(over="ignore"):
            terms = exponential(block - largest)
            scale = exponential(m - largest)
        added = np.zeros(LANES, np.float32)
        for v, term in enumerate(terms):
            added[v % LANES] += term
        sums, m = multiply_add(sums, scale, added), largest
    width = LANES // 2
    while width:
        sums = sums[:width] + sums[width : 2 * width]
        width //= 2
    with np.errstate(over="ignore"):
        return np.float32((m - logits[target]) + logarithm(sums[0]))
