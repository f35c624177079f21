"""The readable definition of the scores of rows: distances, histograms, logits; one row (D,) at a time.

Slow, written to be read first, and the expected value in tests. NaN stands for a row without a score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.reference import bin_code, multiply_add

Row = npt.NDArray[np.float32]

_ZERO = np.float32(0)


def squared_distance(x: Row, y: Row) -> np.float32:
    """Sum of squared differences."""
    return squared_sum(np.subtract(x, y))


def squared_sum(x: Row) -> np.float32:
    """Sum of squares, each added by a fused multiply-add in the order of the components."""
    s = _ZERO
    for value in x:
        s = np.float32(multiply_add(value, value, s))
    return _score(s)


def reconstruction_error(x: Row, y: Row, mean: bool) -> np.float32:
    """Sum of squared differences, or their mean: the sum divided once."""
    s = squared_distance(x, y)
    return np.float32(s / np.float32(len(x))) if mean else s


def negative_max_logit(logits: Row) -> np.float32:
    """Return minus the largest."""
    return _score(np.float32(_ZERO - max(logits))) if not np.isnan(logits).any() else np.float32(np.nan)


def histogram_score(x: Row, edges: Sequence[Any], log_density: Sequence[Any]) -> np.float32:
    """Sum of minus the log density of each component's bin, in the order of the components."""
    s = _ZERO
    for value, borders, densities in zip(x, edges, log_density, strict=True):
        if not math.isfinite(value):
            return np.float32(np.nan)
        s = np.float32(s + np.float32(-densities[bin_code(float(value), borders)]))
    return _score(s)


def mahalanobis(
    x: Row, centres: Sequence[Row], factors: Sequence[npt.NDArray[np.float32]], whitened: Sequence[Row]
) -> tuple[np.float32, int]:
    """Least squared distance of x, whitened by the factor (D, D) of each class, and the first class that has it."""
    least, nearest = np.float32(np.inf), -1
    for k, (centre, factor, mean) in enumerate(zip(centres, factors, whitened, strict=True)):
        apart = np.subtract(x, centre)
        s = _ZERO
        for o in range(len(x)):
            y = _ZERO
            for j in range(o, len(x)):
                y = np.float32(multiply_add(factor[o, j], apart[j], y))
            z = np.float32(y - mean[o])
            s = np.float32(multiply_add(z, z, s))
        if s < least:
            least, nearest = s, k
    return _score(least), nearest


def _score(s: Any) -> np.float32:
    return np.float32(s) if math.isfinite(s) else np.float32(np.nan)
