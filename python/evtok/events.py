"""`Events`: collision events as ragged columns, the one form in which events travel through evtok.

In: offsets and columns, an awkward array, or a zero-padded array with a mask.
Out: validated, immutable, contiguous columns that a kernel can trust.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
import numpy.typing as npt

from evtok import _arrays
from evtok.errors import InvalidEventsError

if TYPE_CHECKING:
    import awkward as ak

Array = npt.NDArray[Any]
Offsets = npt.NDArray[np.int64]

#: The name of the column that holds object types as codes into `Events.types`.
TYPE_COLUMN = "type"

#: More objects than this in one event is taken for a broken file, unless the caller says otherwise.
MAX_PER_EVENT = 1_000_000

#: The column ``type`` holds codes of 8 bits.
MAX_TYPES = 256


class Events:
    """Events as ragged columns: objects of all events one after the other, and where each event begins.

    Parameters
    ----------
    offsets : integer array (n_events + 1,)
        Objects of event `i` are rows ``offsets[i]:offsets[i + 1]`` of every column. int32, uint32 or int64.
    columns : mapping of str to array (m,)
        One array per property of an object (``pt``, ``eta``, ``phi``, ``mass``, ``type``, ...), float32, float64 or
        integer. Energies are in GeV, angles in radians.
    fields : mapping of str to array (n_events,), optional
        One array per property of an event (``MET``, ``METphi``, ``weight``, ``label``, ids).
    units : mapping of str to str, optional
        Units of columns and fields; names that are absent have none.
    types : sequence of str, optional
        Names of the codes in the column ``type``: code `k` is ``types[k]``. At most 256.
    max_per_event : int, optional
        More objects than this in one event is an error.

    Raises
    ------
    InvalidEventsError
        Offsets that do not start at 0 or above, decrease or end past the columns; columns or fields of another
        length; an event above `max_per_event`; a type code without a name, or more than 256 names.
    TypeError
        A dtype that is not a real number.

    Notes
    -----
    The arrays are kept without a copy when they are contiguous and of native byte order; `Events` never writes to
    them and hands out read-only views. Whoever keeps a writable reference must not write to it either.
    """

    __slots__ = ("_columns", "_fields", "_offsets", "_types", "_units")

    def __init__(
        self,
        offsets: npt.ArrayLike,
        columns: Mapping[str, Any],
        fields: Mapping[str, Any] | None = None,
        *,
        units: Mapping[str, str] | None = None,
        types: Sequence[str] = (),
        max_per_event: int = MAX_PER_EVENT,
    ) -> None:
        kept = {name: _arrays.column(value, f"columns[{name!r}]") for name, value in columns.items()}
        lengths = {name: len(value) for name, value in kept.items()}
        if len(set(lengths.values())) > 1:
            raise InvalidEventsError(f"columns: expected one length for all, got {lengths}")
        given = _arrays.offsets(offsets, "offsets")
        content = next(iter(lengths.values())) if lengths else int(given[-1])
        checked, begin, end = _arrays.check_offsets(given, content, max_per_event)
        if begin != 0 or end != content:
            kept = {name: value[begin:end] for name, value in kept.items()}
        n_events = len(checked) - 1
        kept_fields = {
            name: _arrays.column(value, f"fields[{name!r}]") for name, value in (fields or {}).items()
        }
        for name, value in kept_fields.items():
            if len(value) != n_events:
                raise InvalidEventsError(
                    f"fields[{name!r}]: expected one value for each of the {n_events} events, got {len(value)}"
                )
        self._set(checked, kept, kept_fields, dict(units or {}), tuple(types))
        self._check_types()

    @classmethod
    def _trusted(
        cls,
        offsets: Offsets,
        columns: dict[str, Array],
        fields: dict[str, Array],
        units: Mapping[str, str],
        types: tuple[str, ...],
    ) -> Self:
        """Wrap arrays that already keep every rule."""
        self = object.__new__(cls)
        self._set(offsets, columns, fields, dict(units), types)
        return self

    def _set(
        self,
        offsets: Offsets,
        columns: dict[str, Array],
        fields: dict[str, Array],
        units: dict[str, str],
        types: tuple[str, ...],
    ) -> None:
        self._offsets = _arrays.read_only(offsets)
        self._columns = MappingProxyType({k: _arrays.read_only(v) for k, v in columns.items()})
        self._fields = MappingProxyType({k: _arrays.read_only(v) for k, v in fields.items()})
        self._units = MappingProxyType(units)
        self._types = types

    def _check_types(self) -> None:
        if len(self._types) > MAX_TYPES:
            raise InvalidEventsError(f"types: expected at most {MAX_TYPES} names, got {len(self._types)}")
        codes = self._columns.get(TYPE_COLUMN)
        if codes is None or not self._types:
            return
        if codes.dtype.kind not in "iu":
            raise TypeError(f"columns['type']: expected integer codes into types, got {codes.dtype}")
        if codes.size and (int(codes.min()) < 0 or int(codes.max()) >= len(self._types)):
            bad = int(np.flatnonzero((codes < 0) | (codes >= len(self._types)))[0])
            raise InvalidEventsError(
                f"columns['type']: object {bad} has code {int(codes[bad])}, but types names "
                f"{len(self._types)} codes: {', '.join(self._types)}"
            )

    # ---- making events ----------------------------------------------------------------------------------------

    @classmethod
    def from_columns(
        cls,
        offsets: npt.ArrayLike,
        columns: Mapping[str, Any],
        fields: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Make events from offsets and columns; the same as ``Events(offsets, columns, fields, ...)``."""
        return cls(offsets, columns, fields, **options)

    @classmethod
    def from_awkward(
        cls,
        objects: ak.Array,
        fields: Mapping[str, Any] | None = None,
        *,
        units: Mapping[str, str] | None = None,
        types: Sequence[str] = (),
        max_per_event: int = MAX_PER_EVENT,
    ) -> Self:
        """Make events from an awkward array of lists of records, without a copy where its layout allows.

        Parameters
        ----------
        objects : ak.Array of type ``n * var * {pt: float32, ...}``
            Selections, masks and views are packed first. Missing values are refused.
        fields, units, types, max_per_event
            As for `Events`; a field may be an ``ak.Array`` of numbers.

        Raises
        ------
        TypeError
            The array is not a list of records of numbers.
        """
        offsets, columns = _arrays.from_awkward(objects)
        return cls(offsets, columns, fields, units=units, types=types, max_per_event=max_per_event)

    @classmethod
    def from_padded(
        cls,
        array: npt.ArrayLike,
        mask: npt.ArrayLike | None = None,
        names: Sequence[str] = ("pt", "eta", "phi"),
        fields: Mapping[str, Any] | None = None,
        *,
        padded_where_zero: str | None = None,
        units: Mapping[str, str] | None = None,
        types: Sequence[str] = (),
    ) -> Self:
        """Make events from a padded array of shape (n_events, slots, features).

        Parameters
        ----------
        array : array (n_events, slots, n_features)
            For (n_events, n_features, slots) pass ``array.swapaxes(1, 2)``, a view.
        mask : bool array (n_events, slots), optional
            True (or non-zero) where a slot holds an object.
        names : sequence of str
            Names of the features.
        padded_where_zero : str, optional
            Without a mask: the feature that is exactly 0 in an empty slot; the first one when not given.
        fields, units, types
            As for `Events`.

        Raises
        ------
        InvalidEventsError
            Shapes that do not fit together, an unknown feature, or both `mask` and `padded_where_zero`.
        """
        offsets, columns = _arrays.from_padded(array, mask, names, padded_where_zero)
        return cls(offsets, columns, fields, units=units, types=types)

    @classmethod
    def concatenate(cls, parts: Sequence[Events]) -> Self:
        """Join events end to end; columns, fields and types must agree."""
        if not parts:
            raise InvalidEventsError("parts: expected at least one Events, got none")
        head = parts[0]
        for k, part in enumerate(parts):
            if (set(part.columns), set(part.fields), part.types) != (
                set(head.columns),
                set(head.fields),
                head.types,
            ):
                raise InvalidEventsError(
                    f"parts[{k}]: expected columns {sorted(head.columns)}, fields {sorted(head.fields)} and types "
                    f"{head.types} as in parts[0], got {sorted(part.columns)}, {sorted(part.fields)}, {part.types}"
                )
        starts = np.cumsum([0] + [part.n_objects for part in parts], dtype=np.int64)
        offsets = np.concatenate(
            [np.zeros(1, np.int64)] + [p.offsets[1:] + s for p, s in zip(parts, starts, strict=False)]
        )
        return cls._trusted(
            offsets,
            {name: np.concatenate([part.columns[name] for part in parts]) for name in head.columns},
            {name: np.concatenate([part.fields[name] for part in parts]) for name in head.fields},
            head.units,
            head.types,
        )

    # ---- reading ----------------------------------------------------------------------------------------------

    @property
    def offsets(self) -> Offsets:
        """int64 (n_events + 1,), starting at 0, read-only."""
        return self._offsets

    @property
    def columns(self) -> Mapping[str, Array]:
        """Name to array (m,), contiguous and read-only."""
        return self._columns

    @property
    def fields(self) -> Mapping[str, Array]:
        """Name to array (n_events,), contiguous and read-only."""
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
        return int(self._offsets[-1])

    @property
    def multiplicity(self) -> npt.NDArray[np.int64]:
        """int64 (n_events,): objects in each event."""
        return np.diff(self._offsets)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __iter__(self) -> Iterator[Self]:
        """Iterate over events, each an `Events` of length 1."""
        for i in range(len(self)):
            yield self[i : i + 1]

    @overload
    def __getitem__(self, which: int) -> Self: ...
    @overload
    def __getitem__(self, which: slice | npt.ArrayLike) -> Self: ...
    def __getitem__(self, which: Any) -> Self:
        """Select events: an int, a slice, a boolean mask (n_events,) or integer indices; always gives `Events`."""
        if isinstance(which, (int, np.integer)):
            i = int(which)
            if not -len(self) <= i < len(self):
                raise IndexError(f"event {i}: there are {len(self)} events")
            i %= len(self)
            which = slice(i, i + 1)
        if isinstance(which, slice):
            start, stop, step = which.indices(len(self))
            if step == 1:
                return self._range(start, max(start, stop))
            which = np.arange(start, stop, step)
        index = np.asarray(which)
        if index.dtype == bool:
            if index.shape != (len(self),):
                raise IndexError(f"mask: expected shape ({len(self)},), got {index.shape}")
            index = np.flatnonzero(index)
        if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):  # an empty list is of float64
            raise IndexError(
                f"events: expected an int, a slice, a boolean mask or integer indices (k,), got {index.dtype} of "
                f"shape {index.shape}"
            )
        return self._take(index.astype(np.int64))

    def _range(self, start: int, stop: int) -> Self:
        begin, end = int(self._offsets[start]), int(self._offsets[stop])
        offsets = self._offsets[start : stop + 1]
        return self._trusted(
            offsets - begin if begin else offsets,
            {name: value[begin:end] for name, value in self._columns.items()},
            {name: value[start:stop] for name, value in self._fields.items()},
            self._units,
            self._types,
        )

    def _take(self, index: npt.NDArray[np.int64]) -> Self:
        counts = self.multiplicity[index]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        rows = np.repeat(self._offsets[:-1][index] - offsets[:-1], counts) + np.arange(offsets[-1])
        return self._trusted(
            offsets,
            {name: value[rows] for name, value in self._columns.items()},
            {name: value[index] for name, value in self._fields.items()},
            self._units,
            self._types,
        )

    def with_columns(self, **columns: Any) -> Self:
        """Return the same events with columns added or replaced; each is an array (m,)."""
        return type(self)(
            self._offsets, {**self._columns, **columns}, self._fields, units=self._units, types=self._types
        )

    def with_fields(self, **fields: Any) -> Self:
        """Return the same events with fields added or replaced; each is an array (n_events,)."""
        return type(self)(
            self._offsets, self._columns, {**self._fields, **fields}, units=self._units, types=self._types
        )

    def to_awkward(self) -> ak.Array:
        """Return ``n * var * {column: ...}`` as an awkward array that shares the memory of the columns."""
        return _arrays.to_awkward(self._offsets, self._columns)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arrays and names; what is unpickled is checked again, and read-only again."""
        parts = (self._offsets, dict(self._columns), dict(self._fields), dict(self._units), self._types)
        most = max(MAX_PER_EVENT, int(self.multiplicity.max(initial=0)))
        return _unpickled, (type(self), *parts, most)

    def __repr__(self) -> str:
        fields = f", fields: {', '.join(self._fields)}" if self._fields else ""
        return f"<Events: {len(self)} events, {self.n_objects} objects, columns: {', '.join(self._columns)}{fields}>"


def _unpickled(
    kind: type[Events],
    offsets: Offsets,
    columns: dict[str, Array],
    fields: dict[str, Array],
    units: dict[str, str],
    types: tuple[str, ...],
    max_per_event: int,
) -> Events:
    return kind(offsets, columns, fields, units=units, types=types, max_per_event=max_per_event)
