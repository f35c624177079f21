"""Reductions over the values of each event, on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from evtok import _arrays, _backend
from evtok.codebook._rows import OnInvalid
from evtok.cuda.arrays import Place, View
from evtok.errors import InvalidEventsError
from evtok.scoring.segments import check_empty, invalid_event, unknown_type, weights_of_types

# The dtype that a reduction is computed in, which holds every value.
_COMPUTED_IN = {
    **dict.fromkeys(("float32", "float16", "bfloat16", "int8", "uint8", "int16", "uint16"), "float32"),
    **dict.fromkeys(("float64", "int32", "uint32"), "float64"),
}
_OFFSETS = ("int64", "int32", "uint32", "int16", "uint16", "int8", "uint8")

# As SegmentFault of cuda/segments.cuh counts.
_INVALID_EVENT, _UNKNOWN_TYPE, _BAD_OFFSETS = range(3)


def reduce_segments(
    values: Any,
    offsets: Any,
    weights: Any | None,
    types: Any | None,
    type_weights: Any | None,
    reduction: int,
    k: int,
    empty: float,
    on_invalid: OnInvalid,
) -> Any:
    """Return one number an event (n,), where `values` lie; arguments as those of `evtok.scoring.segment_sum`.

    Offsets and weights on the device are checked by the kernel: with ``on_invalid="sentinel"`` an event that they spoil
    is NaN.
    """
    place = Place(values=values, offsets=offsets, weights=weights, types=types, type_weights=type_weights)
    with place:
        x = place.view(values, "values", tuple(_COMPUTED_IN), ndim=1)
        x = _cast(place, x, _COMPUTED_IN[x.dtype], "values")
        check_empty(empty, np.dtype(x.dtype))
        starts = _cast(place, place.view(offsets, "offsets", _OFFSETS, ndim=1), "int64", "offsets")
        if not starts.size:
            raise InvalidEventsError(
                "offsets: expected shape (n_events + 1,) with at least one value, got (0,)"
            )
        w = None if weights is None else _weights(place, weights, "weights", x.dtype)
        if (types is None) != (type_weights is None):
            raise ValueError("types, type_weights: one is of no use without the other")
        codes = None if types is None else place.view(types, "types", ("uint8",), ndim=1)
        table = None
        if type_weights is not None:
            if not _arrays.on_gpu(type_weights):
                type_weights = weights_of_types(type_weights, np.dtype(x.dtype))
            table = _weights(place, type_weights, "type_weights", x.dtype)
        for name, each in (("weights", w), ("types", codes)):
            if each is not None and each.size != x.size:
                raise ValueError(f"{name}: expected {x.size} of them, one for each value, got {each.size}")
        n_events = starts.size - 1
        out, statuses = place.empty((n_events,), x.dtype), place.statuses(place.cuda.segment_faults)
        run = (
            place.cuda.reduce_segments_float32 if x.dtype == "float32" else place.cuda.reduce_segments_float64
        )
        run(
            x.address,
            x.size,
            starts.address,
            n_events,
            _address(w),
            _address(codes),
            _address(table),
            0 if table is None else table.size,
            reduction,
            k,
            float(empty),
            statuses.address,
            out.address,
            place.stream,
        )
        if on_invalid == "raise":
            _raise(place, statuses, x, starts, w, codes, table)
    _backend.used_cuda()
    return out.array


def _address(x: View | None) -> int:
    return 0 if x is None else x.address


def _cast(place: Place, x: View, dtype: str, name: str) -> View:
    return x if x.dtype == dtype else place.view(place.package.cast(x.array, dtype), name, (dtype,))


def _weights(place: Place, weights: Any, name: str, dtype: str) -> View:
    view = place.view(weights, name, tuple(_COMPUTED_IN), ndim=1)
    if name == "weights" and np.dtype(_COMPUTED_IN[view.dtype]).itemsize > np.dtype(dtype).itemsize:
        raise TypeError(
            f"weights: {view.dtype} would be rounded to the {dtype} of the values; convert one of them"
        )
    return _cast(place, view, dtype, name)


def _raise(
    place: Place,
    statuses: View,
    x: View,
    starts: View,
    w: View | None,
    codes: View | None,
    table: View | None,
) -> None:
    found = place.get(statuses)
    if not found[:, 0].any():
        return
    if found[_BAD_OFFSETS, 0]:
        event = int(found[_BAD_OFFSETS, 1])
        start, stop = (int(each) for each in place.package.get(starts.array[event : event + 2]))
        raise InvalidEventsError(
            f"offsets: event {event} goes from {start} to {stop}; expected places that do not fall, in 0 to {x.size}"
        )
    if found[_UNKNOWN_TYPE, 0] and codes is not None and table is not None:
        at = int(found[_UNKNOWN_TYPE, 1])
        raise unknown_type(at, int(place.package.get(codes.array[at : at + 1])[0]), table.size)
    event = int(found[_INVALID_EVENT, 1])
    start, stop = (int(each) for each in place.package.get(starts.array[event : event + 2]))
    values = place.package.get(x.array[start:stop])
    weights = None if w is None else place.package.get(w.array[start:stop])
    raise invalid_event(event, values, weights)
