"""The readable definition of the reductions over events, one event at a time.

Slow, written to be read first, and the expected value in tests. `Invalid` stands for an event without a result.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evtok.reference import multiply_add

Array = npt.NDArray[Any]

_SUMS = 8


class Invalid(ValueError):
    """The event has no result."""


def event_weights(
    weights: Array | None, types: Array | None, type_weights: Array | None, like: Array
) -> Array:
    """Return the weight of each value: given, that of its type, their product (NaN for one below 0), or 1."""
    result = np.ones_like(like) if weights is None else weights.astype(like.dtype)
    if types is not None and type_weights is not None:
        of_types = type_weights.astype(like.dtype)[types]
        return of_types if weights is None else np.where(result < 0, np.nan, of_types * result)
    return result


def reduce_event(
    values: Array, weights: Array, reduction: Literal["sum", "mean", "max", "top_mean"], k: int, empty: float
) -> Any:
    """Reduce the values of one event, in their dtype.

    Raises
    ------
    Invalid
        A value or weight that is not finite, a weight below 0, or an overflow.
    """
    dtype = values.dtype.type
    if not (np.isfinite(values).all() and np.isfinite(weights).all() and (weights >= 0).all()):
        raise Invalid
    if not (weights != 0).any():
        return dtype(empty)
    with np.errstate(over="ignore"):
        if reduction in ("sum", "mean"):
            sums, totals = np.zeros(_SUMS), np.zeros(_SUMS)
            for i, (value, weight) in enumerate(zip(values, weights, strict=True)):
                sums[i % _SUMS] = multiply_add(np.float64(value), np.float64(weight), sums[i % _SUMS])
                totals[i % _SUMS] += weight
            result = dtype(_total(sums) / _total(totals) if reduction == "mean" else _total(sums))
        else:
            weighted = values * weights
            if not np.isfinite(weighted).all():
                raise Invalid
            largest_first = sorted(weighted[weights != 0], reverse=True)
            chosen = largest_first[: 1 if reduction == "max" else k]
            added = np.float64(0)
            for value in chosen:
                added = added + np.float64(value)
            result = dtype(added / len(chosen))
    if not np.isfinite(result):
        raise Invalid
    return result


def _total(p: Array) -> Any:
    return ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]))
