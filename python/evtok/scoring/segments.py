"""Reductions over the values of each event: token scores to event scores."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _backend, _core
from evtok.codebook._rows import OnInvalid, check_on_invalid, natural_dtype
from evtok.errors import InvalidEventsError

Array = npt.NDArray[Any]

# Reduction of segments.hpp.
_SUM, _MEAN, _MAX, _TOP_MEAN = range(4)
_REDUCTIONS = {"sum": _SUM, "mean": _MEAN, "max": _MAX, "top-mean": _TOP_MEAN}

_NAN = float("nan")


def segment_sum(
    values: Any,
    offsets: Any,
    *,
    weights: Any | None = None,
    types: Any | None = None,
    type_weights: Any | None = None,
    empty: float = 0.0,
    on_invalid: OnInvalid = "raise",
    threads: int | None = None,
) -> Any:
    """Return the sum of the weighted values of each event.

    Parameters
    ----------
    values : real numbers (m,)
        NumPy array, torch tensor, CuPy array, or flat awkward array; of all events, one after the other. float16,
        bfloat16 and integers (on a GPU those of up to 32 bits) are taken as float32 or float64, exactly.
    offsets : integers (n + 1,)
        Event i holds the values offsets[i] to offsets[i + 1] - 1.
    weights : real numbers (m,), optional
        Of each value; finite, not below 0. A value of weight 0 is as if it were not there.
    types : uint8 (m,), optional
        The type of each value, for `type_weights`.
    type_weights : real numbers (T,), optional
        The weight of each type, finite and not below 0; rounded once to the dtype of the values. With `weights`, the
        two are multiplied.
    empty : float
        The result for events without values.
    on_invalid : {"raise", "sentinel"}
        What to do with an event that has a value or a weight that is NaN or infinite, or a weight below 0, or whose
        result overflows: refuse the call, or make its result NaN.
    threads : int, optional
        Threads to use; by default `EVTOK_NUM_THREADS` or the CPUs that this process may use.

    Returns
    -------
    float32 or float64 array (n,), of the dtype and kind of the values
        Added in float64, in an order that the number of the values of the event alone decides.

    Raises
    ------
    TypeError
        Arrays that do not hold real numbers, types that are not uint8, weights that the dtype of the values would
        round.
    ValueError
        Shapes that do not fit. Hostile offsets, a type without a weight, an invalid event (`InvalidEventsError`,
        naming the first).
    """
    return _reduce(_SUM, 1, values, offsets, weights, types, type_weights, empty, on_invalid, threads)


def segment_mean(
    values: Any,
    offsets: Any,
    *,
    weights: Any | None = None,
    types: Any | None = None,
    type_weights: Any | None = None,
    empty: float = _NAN,
    on_invalid: OnInvalid = "raise",
    threads: int | None = None,
) -> Any:
    """Return the weighted mean of the values of each event: the sum over the sum of the weights.

    An event whose weights are all 0 has no values, and is given `empty`. The arguments, the result and the errors are
    those of `segment_sum`.
    """
    return _reduce(_MEAN, 1, values, offsets, weights, types, type_weights, empty, on_invalid, threads)


def segment_max(
    values: Any,
    offsets: Any,
    *,
    weights: Any | None = None,
    types: Any | None = None,
    type_weights: Any | None = None,
    empty: float = _NAN,
    on_invalid: OnInvalid = "raise",
    threads: int | None = None,
) -> Any:
    """Return the largest weighted value of each event.

    Values of weight 0 take no part, so they cannot be the largest where the others are below 0. The arguments, the
    result and the errors are those of `segment_sum`.
    """
    return _reduce(_MAX, 1, values, offsets, weights, types, type_weights, empty, on_invalid, threads)


def segment_top_mean(
    values: Any,
    offsets: Any,
    k: int,
    *,
    weights: Any | None = None,
    types: Any | None = None,
    type_weights: Any | None = None,
    empty: float = _NAN,
    on_invalid: OnInvalid = "raise",
    threads: int | None = None,
) -> Any:
    """Return the mean of the `k` largest weighted values of each event, or of all of them where there are fewer.

    Weights scale the values; the mean over the k is a plain one. Values of weight 0 take no part. The other arguments,
    the result and the errors are those of `segment_sum`.
    """
    k = operator.index(k)
    if not 1 <= k < 2**31:
        raise ValueError(f"k: expected 1 to {2**31 - 1}, got {k}")
    return _reduce(_TOP_MEAN, k, values, offsets, weights, types, type_weights, empty, on_invalid, threads)


def _reduce(
    reduction: int,
    k: int,
    values: Any,
    offsets: Any,
    weights: Any | None,
    types: Any | None,
    type_weights: Any | None,
    empty: float,
    on_invalid: OnInvalid,
    threads: int | None,
) -> Any:
    check_on_invalid(on_invalid)
    if _arrays.on_gpu(values):
        from evtok.cuda.segments import reduce_segments as on_gpu

        return on_gpu(values, offsets, weights, types, type_weights, reduction, k, empty, on_invalid)
    with _core.FloatEnvironment():  # conversions too follow the contract's mode, not a caller's
        given = _one_dimension(values, "values")
        dtype = natural_dtype(given, "values")
        check_empty(empty, dtype)
        starts, begin, end = _arrays.check_offsets(
            _arrays.offsets(offsets, "offsets"), len(given), max(1, len(given)), threads
        )
        x = np.require(given[begin:end], dtype, ("C", "A"))
        w = None if weights is None else _weights(weights, len(given), dtype)[begin:end]
        codes, of_types = _types(types, type_weights, len(given), dtype)
        codes = None if codes is None else codes[begin:end]
        if codes is not None and of_types is not None:
            _check_types(codes, len(of_types), begin)
        out = _arrays.result(len(starts) - 1, dtype)
        invalid, first = _core.reduce_segments(
            x, starts, w, codes, of_types, reduction, k, float(empty), threads or 0, out
        )
        if invalid and on_invalid == "raise":
            raise _invalid(first, x, starts, w)
        _backend.used_native()
        return _arrays.like(out, values)


def reduce_surprise(
    name: str,
    surprise: npt.NDArray[np.float32],
    offsets: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float32],
    k: int,
    threads: int,
) -> npt.NDArray[np.float32]:
    """Return what `segment_mean`, "sum", "max" or "top-mean" return, of arrays that a detector made.

    Their dtypes and shapes are not looked at again, which takes longer than one event does.

    Parameters
    ----------
    name : {"sum", "mean", "max", "top-mean"}
    surprise, weights : contiguous float32 (m,)
    offsets : contiguous int64 (n + 1,)
        From 0 to m, never down.
    k : int
        Of "top-mean".
    threads : int
        0 for the default.
    """
    out = np.empty(len(offsets) - 1, np.float32)
    empty = 0.0 if name == "sum" else _NAN
    invalid, first = _core.reduce_segments(
        surprise, offsets, weights, None, None, _REDUCTIONS[name], k, empty, threads, out
    )
    if invalid:
        raise _invalid(first, surprise, offsets, weights)
    _backend.used_native()
    return out


def _invalid(first: int, x: Array, starts: Array, weights: Array | None) -> InvalidEventsError:
    event = slice(int(starts[first]), int(starts[first + 1]))
    return invalid_event(first, x[event], None if weights is None else weights[event])


def _one_dimension(x: Any, name: str) -> Array:
    array = _arrays.to_numpy(x, name)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one dimension, got shape {array.shape}")
    return array


def _weights(weights: Any, n: int, dtype: np.dtype[Any]) -> Array:
    array = _one_dimension(weights, "weights")
    if len(array) != n:
        raise ValueError(f"weights: expected {n} of them, one for each value, got {len(array)}")
    if natural_dtype(array, "weights").itemsize > dtype.itemsize:
        raise TypeError(
            f"weights: {array.dtype} would be rounded to the {dtype} of the values; convert one of them"
        )
    return np.require(array, dtype, ("C", "A"))


def _types(
    types: Any | None, type_weights: Any | None, n: int, dtype: np.dtype[Any]
) -> tuple[npt.NDArray[np.uint8] | None, Array | None]:
    if types is None and type_weights is None:
        return None, None
    if types is None or type_weights is None:
        raise ValueError("types, type_weights: one is of no use without the other")
    codes = _one_dimension(types, "types")
    if codes.dtype != np.uint8:
        raise TypeError(f"types: expected uint8, got {codes.dtype}")
    if len(codes) != n:
        raise ValueError(f"types: expected {n} of them, one for each value, got {len(codes)}")
    return np.require(codes, np.uint8, ("C", "A")), weights_of_types(type_weights, dtype)


def weights_of_types(type_weights: Any, dtype: np.dtype[Any]) -> Array:
    """Return the weight of each type, rounded once to `dtype`."""
    with np.errstate(over="ignore"):
        table = _one_dimension(type_weights, "type_weights").astype(dtype)
    if not (np.isfinite(table).all() and (table >= 0).all()):
        raise ValueError("type_weights: expected finite numbers, not below 0")
    return np.ascontiguousarray(table)


def _check_types(codes: npt.NDArray[np.uint8], n_types: int, begin: int) -> None:
    if len(codes) and int(codes.max()) >= n_types:
        at = int(np.argmax(codes >= n_types))
        raise unknown_type(begin + at, int(codes[at]), n_types)


def unknown_type(at: int, code: int, n_types: int) -> InvalidEventsError:
    """Say that value `at` has a type without a weight."""
    return InvalidEventsError(
        f"types: value {at} has the type {code}, which has no weight: type_weights has {n_types}"
    )


def check_empty(empty: float, dtype: np.dtype[Any]) -> None:
    """Refuse a result for empty events that `dtype` does not hold."""
    with np.errstate(over="ignore"):
        if np.isinf(dtype.type(empty)) and not np.isinf(empty):
            raise ValueError(f"empty: expected a number that {dtype} holds, got {empty}")


def invalid_event(event: int, values: Array, weights: Array | None) -> InvalidEventsError:
    """Say what is wrong with an event of these values and weights."""
    return InvalidEventsError(
        f'values: event {event} {_fault(values, weights)}; drop such events, or use on_invalid="sentinel"'
    )


def _fault(values: Array, weights: Array | None) -> str:
    for name, array in (("value", values), ("weight", weights)):
        if array is None:
            continue
        wrong = np.flatnonzero(~np.isfinite(array) | ((array < 0) & (name == "weight")))
        if wrong.size:
            return f"has the {name} {array[wrong[0]]} in place {wrong[0]}"
    return "has a result that overflows"
