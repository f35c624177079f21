"""Medians, quartiles, and how far a median can be trusted. No distribution is assumed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

#: The interval of a ratio holds its true median with this probability, if there are rounds enough.
CONFIDENCE = 0.999


def summary(samples: Sequence[float]) -> dict[str, Any]:
    """Return median, quartiles, minimum and number of `samples`."""
    q1, median, q3 = np.quantile(samples, [0.25, 0.5, 0.75])
    return {
        "median": float(median),
        "q1": float(q1),
        "q3": float(q3),
        "min": float(min(samples)),
        "n": len(samples),
    }


def median_interval(samples: Sequence[float]) -> dict[str, float]:
    """Return the median with an interval for the true one, from order statistics.

    The number of samples below the true median is binomial with probability one half, so the k-th smallest and the
    k-th largest enclose it with a probability that depends on nothing else. With few samples the interval goes from
    the smallest to the largest, and `confidence` is what that gives.
    """
    n, ordered = len(samples), sorted(samples)
    k = 1
    while _outside(n, k + 1) <= 1 - CONFIDENCE:
        k += 1
    return {
        "median": float(np.median(ordered)),
        "low": float(ordered[k - 1]),
        "high": float(ordered[n - k]),
        "confidence": 1 - _outside(n, k),
    }


def _outside(n: int, k: int) -> float:
    """Return the probability that the true median lies outside the k-th smallest to the k-th largest of n."""
    return float(min(1.0, 2 * sum(math.comb(n, i) for i in range(k)) / 2**n))
