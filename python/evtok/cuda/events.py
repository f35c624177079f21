"""`GpuEvents`: events whose offsets and columns lie on a GPU, checked there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from evtok import _arrays
from evtok.cuda.arrays import Place, View
from evtok.errors import InvalidEventsError
from evtok.events import MAX_PER_EVENT, MAX_TYPES, TYPE_COLUMN, Events

_FLOATS = ("float32", "float64")
_NARROW_FLOATS = ("float16", "bfloat16")  # become float32, exactly
_INTEGERS = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64")
_OFFSETS = ("int32", "uint32", "int64")


class GpuEvents:
    """Events as ragged columns on a GPU: what `Events` are on the host, for tokenizers that encode there.

    Parameters
    ----------
    offsets : int32, uint32 or int64 array (n_events + 1,)
        Objects of event `i` are rows ``offsets[i]:offsets[i + 1]`` of every column.
    columns : mapping of str to array (m,)
        Torch CUDA tensors, or CuPy arrays (or others with ``__cuda_array_interface__``), all of one package and on one
        device, float32, float64 or integer. Arrays on the host are copied there; at least one must lie there already.
    fields : mapping of str to array (n_events,), optional
        One array per property of an event.
    units : mapping of str to str, optional
        Units of columns and fields.
    types : sequence of str, optional
        Names of the codes in the column ``type``. At most 256.
    max_per_event : int, optional
        More objects than this in one event is an error.

    Raises
    ------
    InvalidEventsError
        As `Events`.
    TypeError
        A dtype that is no real number, or arrays of two packages.
    ValueError
        Arrays on two devices.
    MissingBackendError
        This evtok was built without CUDA.

    Notes
    -----
    The checks wait for the device once, on the current stream. Contiguous arrays are kept without a copy; nobody may
    write to them while the events are used.
    """

    __slots__ = ("_columns", "_fields", "_longest", "_n_objects", "_offsets", "_types", "_units")

    def __init__(
        self,
        offsets: Any,
        columns: Mapping[str, Any],
        fields: Mapping[str, Any] | None = None,
        *,
        units: Mapping[str, str] | None = None,
        types: Sequence[str] = (),
        max_per_event: int = MAX_PER_EVENT,
    ) -> None:
        if len(types) > MAX_TYPES:
            raise InvalidEventsError(f"types: expected at most {MAX_TYPES} names, got {len(types)}")
        named_columns = {f"columns[{name!r}]": x for name, x in columns.items()}
        named_fields = {f"fields[{name!r}]": x for name, x in (fields or {}).items()}
        self._types = tuple(types)
        self._units = MappingProxyType(dict(units or {}))
        place = Place(offsets=offsets, **named_columns, **named_fields)
        with place:
            kept = {name: _column(place, x, name) for name, x in named_columns.items()}
            kept_fields = {name: _column(place, x, name) for name, x in named_fields.items()}
            lengths = {name: view.shape[0] for name, view in zip(columns, kept.values(), strict=True)}
            if len(set(lengths.values())) > 1:
                raise InvalidEventsError(f"columns: expected one length for all, got {lengths}")
            content = next(iter(lengths.values())) if lengths else None
            by_name = dict(zip(columns, kept.values(), strict=True))
            checked, begin, end = self._checked(place, offsets, content, by_name, max_per_event)
            self._offsets = checked.array
            self._n_objects = end - begin
            whole = content is None or (begin == 0 and end == content)
            self._columns = MappingProxyType(
                {name: view.array if whole else view.array[begin:end] for name, view in by_name.items()}
            )
            self._fields = MappingProxyType(
                {name: view.array for name, view in zip(fields or {}, kept_fields.values(), strict=True)}
            )
        n_events = len(self)
        for name, view in kept_fields.items():
            if view.shape[0] != n_events:
                raise InvalidEventsError(
                    f"{name}: expected one value for each of the {n_events} events, got {view.shape[0]}"
                )

    def _checked(
        self, place: Place, offsets: Any, content: int | None, columns: dict[str, View], max_per_event: int
    ) -> tuple[View, int, int]:
        """Check offsets and type codes, which become uint8 in `columns`; return offsets from 0, and what they cover."""
        given = place.view(offsets, "offsets", _OFFSETS)
        if len(given.shape) != 1 or not given.size:
            raise InvalidEventsError(
                f"offsets: expected shape (n_events + 1,) with at least one value, got {given.shape}"
            )
        n_events = given.size - 1
        checked = place.empty(given.shape, "int64")
        found = place.empty((6,), "int64")  # an OffsetsSummary, and a status of the type codes
        place.cuda.clear_statuses(found.address + 32, 1, place.stream)
        check = getattr(place.cuda, f"check_offsets_{given.dtype}")
        largest = np.iinfo(np.int64).max if content is None else content
        check(given.address, n_events, largest, max_per_event, checked.address, found.address, place.stream)
        codes = columns.get(TYPE_COLUMN)
        if codes is not None and codes.dtype not in _FLOATS:
            narrow = place.empty(codes.shape, "uint8")
            run = getattr(place.cuda, f"narrow_codes_{codes.dtype}")
            n_types = len(self._types) or MAX_TYPES
            run(codes.address, codes.size, n_types, narrow.address, found.address + 32, place.stream)
            columns[TYPE_COLUMN] = narrow
        elif codes is not None and self._types:
            raise TypeError(f"columns['type']: expected integer codes into types, got {codes.dtype}")
        begin, end, self._longest, faults, bad, first_bad = (int(value) for value in place.get(found))
        if faults:
            _arrays.check_offsets(place.get(given), largest, max_per_event)  # raises
        if bad and codes is not None:
            self._raise_bad_code(int(place.package.get(codes.array[first_bad : first_bad + 1])[0]), first_bad)
        return checked, begin, end

    def _raise_bad_code(self, code: int, row: int) -> None:
        if not self._types:
            raise InvalidEventsError(f"columns['type']: expected codes from 0 to 255, got {code}")
        raise InvalidEventsError(
            f"columns['type']: object {row} has code {code}, but types names {len(self._types)} codes: "
            f"{', '.join(self._types)}"
        )

    @property
    def offsets(self) -> Any:
        """int64 (n_events + 1,) on the device, starting at 0."""
        return self._offsets

    @property
    def columns(self) -> Mapping[str, Any]:
        """Name to array (m,) on the device; the column ``type`` is uint8."""
        return self._columns

    @property
    def fields(self) -> Mapping[str, Any]:
        """Name to array (n_events,) on the device."""
        return self._fields

    @property
    def units(self) -> Mapping[str, str]:
        """Name of a column or field to its unit."""
        return self._units

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the codes in the column ``type``."""
        return self._types

    @property
    def n_objects(self) -> int:
        """Objects in all events together."""
        return self._n_objects

    @property
    def longest(self) -> int:
        """Objects of the event that has most."""
        return self._longest

    def __len__(self) -> int:
        return int(self._offsets.shape[0]) - 1

    def to_host(self) -> Events:
        """Return the same events as NumPy arrays."""
        return self._host(0, len(self))

    def event_of(self, row: int) -> tuple[int, Events]:
        """Return the number of the event that an object (a row of the columns) is of, and the event on the host."""
        place = Place(offsets=self._offsets)
        with place:
            starts = place.package.get(self._offsets)
        event = int(np.searchsorted(starts, row, side="right")) - 1
        return event, self._host(event, event + 1)

    def _host(self, start: int, stop: int) -> Events:
        place = Place(offsets=self._offsets)
        with place:
            get = place.package.get
            starts = get(self._offsets[start : stop + 1])
            begin, end = int(starts[0]), int(starts[-1])
            columns = {name: get(x[begin:end]) for name, x in self._columns.items()}
            fields = {name: get(x[start:stop]) for name, x in self._fields.items()}
        return Events(
            starts - begin,
            columns,
            fields,
            units=self._units,
            types=self._types,
            max_per_event=max(end - begin, MAX_PER_EVENT),
        )

    def __repr__(self) -> str:
        return (
            f"<GpuEvents: {len(self)} events, {self.n_objects} objects, columns {', '.join(self._columns)}>"
        )


def _column(place: Place, x: Any, name: str) -> View:
    """View a column: float32, float64, an integer dtype that `narrow_codes` takes for types, or any for others."""
    view = place.view(x, name, (*_FLOATS, *_NARROW_FLOATS, *_INTEGERS))
    if len(view.shape) != 1:
        raise InvalidEventsError(f"{name}: expected one dimension, got shape {view.shape}")
    wanted = view.dtype
    if wanted in _NARROW_FLOATS:
        wanted = "float32"
    elif wanted in ("bool", "int8", "int16", "uint16"):
        wanted = "int32"
    elif wanted == "uint32":
        wanted = "int64"
    if wanted == view.dtype:
        return view
    array = place.package.cast(view.array, wanted)
    return View(array, place.package.address(array), view.shape, wanted)


def as_float(place: Place, x: Any, name: str) -> View:
    """View a column as float32 or float64: integers of up to 32 bits become float64.

    Raises
    ------
    TypeError
        64-bit integers, which float64 may round.
    """
    view = place.view(x, name, (*_FLOATS, "uint8", "int32", "int64"), ndim=1)
    if view.dtype in _FLOATS:
        return view
    if view.dtype == "int64":
        raise TypeError(
            f"{name}: 64-bit integers are not taken on a GPU, as float64 may round them; convert the column to "
            "float64 or to 32-bit integers"
        )
    array = place.package.cast(view.array, "float64")
    return View(array, place.package.address(array), view.shape, "float64")
