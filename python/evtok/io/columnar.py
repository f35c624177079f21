"""Files whose columns have names (ROOT, Parquet): a schema is bound to them, chunks of columns become events.

A format adds one class with `names` and `_stream`; all else (which columns are touched, units, types,
merging, errors) is here, once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays
from evtok.errors import InputFileError, InvalidEventsError, SchemaError
from evtok.events import MAX_PER_EVENT, TYPE_COLUMN, Events
from evtok.io import merge
from evtok.io.binding import BoundObject, bind_objects
from evtok.io.derive import derive
from evtok.io.faults import reading
from evtok.io.schema import DERIVED, FieldRule, Schema
from evtok.io.types import codes_of
from evtok.io.wanted import select, to_gev

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Ragged:
    """One ragged column of a chunk: objects of event `i` are ``content[offsets[i]:offsets[i + 1]]``."""

    offsets: Array
    content: Array


Column = Array | Ragged


@dataclass(frozen=True)
class _Plan:
    """What one call reads and delivers."""

    columns: tuple[str, ...]
    fields: tuple[str, ...]
    sources: tuple[str, ...]


class ColumnarFile:
    """One open file with named columns; see the module's docstring for what a format adds."""

    format = ""

    def __init__(self, path: str, schema: Schema) -> None:
        self.path = path
        self.schema = schema
        self.n_events = 0
        self._objects: list[BoundObject] = []
        self._fields: dict[str, str] = {}

    def _bind(self, names: Collection[str]) -> None:
        """Bind the schema to the names of the file; called once by a format, when it has opened the file."""
        self._objects = bind_objects(self.schema, names, self.path)
        for name, rule in self.schema.fields.items():
            found = next((source for source in rule.sources if source in names), None)
            if found is not None:
                self._fields[name] = found

    # ---- what a format implements
    # ------------------------------------------------------------------------------

    def _stream(
        self, sources: tuple[str, ...], start: int, stop: int, chunk: int
    ) -> Iterator[dict[str, Column]]:
        """Yield the columns `sources` of events [start, stop) in order, at most `chunk` events at a time."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""

    # ---- reading
    # -----------------------------------------------------------------------------------------------

    @property
    def column_names(self) -> tuple[str, ...]:
        """Columns that this file can deliver."""
        return self.schema.column_names

    @property
    def field_names(self) -> tuple[str, ...]:
        """Fields that this file can deliver: those of the schema whose sources are there."""
        names = self.schema.field_names
        return tuple(
            n for n in names if n in self._fields or set(DERIVED.get(n, ("?",))) <= set(self._fields)
        )

    def iter_events(
        self,
        start: int,
        stop: int,
        chunk: int,
        columns: Iterable[str] | None = None,
        fields: Iterable[str] | None = None,
    ) -> Iterator[Events]:
        """Yield events [start, stop) in order, at most `chunk` at a time, reading only what is asked for.

        Raises
        ------
        InputFileError
            A part of the file that cannot be read, naming the column and the entries.
        """
        plan = self._plan(columns, fields)
        position = start
        stream = self._stream(plan.sources, start, stop, chunk)
        while position < stop:
            upto = min(position + chunk, stop)
            try:
                with reading(self.path, f"{self.format} entries {position} to {upto}"):
                    arrays = next(stream, None)
            except InputFileError as error:
                raise self._blame(error, plan.sources, position, upto) from error
            if arrays is None:
                raise InputFileError(
                    f"{self.path}: ends at entry {position}, but its metadata claims {self.n_events}"
                )
            events = self._assemble(plan, arrays, position)
            if len(events) == 0 or position + len(events) > stop:
                raise InputFileError(f"{self.path}: entries from {position} do not add up with its metadata")
            position += len(events)
            yield events

    def _blame(
        self, error: InputFileError, sources: tuple[str, ...], start: int, stop: int
    ) -> InputFileError:
        """Name the first column that cannot be read alone, in the error about all of them."""
        for source in sources:
            try:
                with reading(self.path, f"{source}, entries {start} to {stop}"):
                    list(self._stream((source,), start, stop, stop - start))
            except InputFileError as narrow:
                return narrow
        return error

    def _plan(self, columns: Iterable[str] | None, fields: Iterable[str] | None) -> _Plan:
        wanted = select(columns, self.column_names, "columns", self.path)
        wanted_fields = select(fields, self.field_names, "fields", self.path)
        sources: dict[str, None] = {}
        for bound in self._objects:
            own = [bound.columns[n] for n in _stored(wanted, bound.columns)]
            if TYPE_COLUMN in wanted and bound.type_column:
                own.append(bound.type_column)
            if not any(
                isinstance(source, str) for source in own
            ):  # something must tell how many objects there are
                own += [source for source in bound.columns.values() if isinstance(source, str)][:1]
            sources.update((source, None) for source in own if isinstance(source, str))
        sources.update((self._fields[n], None) for n in _stored(wanted_fields, self._fields))
        return _Plan(wanted, wanted_fields, tuple(sources))

    # ---- columns to events
    # -------------------------------------------------------------------------------------

    def _assemble(self, plan: _Plan, arrays: dict[str, Column], first: int) -> Events:
        collections = [self._collection(plan, bound, arrays, first) for bound in self._objects]
        sizes = {len(collection.offsets) for collection in collections}
        if len(sizes) > 1:
            raise InputFileError(
                f"{self.path}: collections disagree on the number of events from entry {first}"
            )
        names = [
            *_stored(plan.columns, self._objects[0].columns),
            *([TYPE_COLUMN] if TYPE_COLUMN in plan.columns else []),
        ]
        offsets, stored = merge.merge(collections, {name: _dtype(name, collections) for name in names})
        fields = {n: self._field(n, arrays, first) for n in _stored(plan.fields, self._fields)}
        columns = derive(plan.columns, stored)
        units = {
            name: self.schema.unit(name) for name in (*plan.columns, *plan.fields) if self.schema.unit(name)
        }
        types = self.schema.types if TYPE_COLUMN in plan.columns else ()
        return Events(offsets, columns, derive(plan.fields, fields), units=units, types=types)

    def _collection(
        self, plan: _Plan, bound: BoundObject, arrays: dict[str, Column], first: int
    ) -> merge.Collection:
        offsets, contents = self._shared_offsets(bound, arrays, first)
        columns: dict[str, Array | float | int] = {}
        for name in _stored(plan.columns, bound.columns):
            source = bound.columns[name]
            if isinstance(source, str):
                columns[name] = to_gev(contents[source], self.schema, name)
            else:
                columns[name] = source
        if TYPE_COLUMN in plan.columns and bound.type_rule is not None:
            found = contents[bound.type_column] if bound.type_column else None
            columns[TYPE_COLUMN] = codes_of(
                bound.type_rule, found, self.schema.types, f"{self.path}: {bound.type_column}"
            )
        return merge.Collection(offsets, columns)

    def _shared_offsets(
        self, bound: BoundObject, arrays: dict[str, Column], first: int
    ) -> tuple[Array, dict[str, Array]]:
        """Check that every column of a collection has the same multiplicities, and return them once."""
        offsets: Array | None = None
        raw, begin, end = np.empty(0), 0, 0
        contents: dict[str, Array] = {}
        for source in dict.fromkeys((*bound.columns.values(), bound.type_column)):
            column = arrays.get(source) if isinstance(source, str) else None
            if column is None:
                continue
            if not isinstance(column, Ragged):
                raise SchemaError(
                    f"{self.path}: {source} has one value for each event, not a list of objects"
                )
            if offsets is None:
                raw = column.offsets
                try:
                    offsets, begin, end = _arrays.check_offsets(raw, len(column.content), MAX_PER_EVENT)
                except InvalidEventsError as error:
                    raise InputFileError(f"{self.path}: {source}, entries from {first}: {error}") from error
            elif len(column.content) < end or not np.array_equal(column.offsets, raw):
                raise InputFileError(
                    f"{self.path}: the columns of {bound.collection} have different numbers of objects in an event "
                    f"after entry {first} ({source}); the file is corrupt"
                )
            contents[str(source)] = column.content[begin:end]
        assert offsets is not None
        return offsets, contents

    def _field(self, name: str, arrays: dict[str, Column], first: int) -> Array:
        source = self._fields[name]
        column = arrays[source]
        if isinstance(column, Ragged):
            column = one_per_event(column, self.schema.fields[name], f"{self.path}: {source}", first)
        return to_gev(column, self.schema, name)


def one_per_event(column: Ragged, rule: FieldRule, where: str, first: int) -> Array:
    """Take the one value (or the first) of each event out of a ragged column."""
    counts = np.diff(column.offsets)
    wrong = counts < 1 if rule.take == "first" else counts != 1
    if wrong.any():
        event = int(np.flatnonzero(wrong)[0])
        raise InputFileError(
            f"{where}: expected one value in each event, entry {first + event} has {int(counts[event])}"
        )
    return column.content[column.offsets[:-1]]


def _stored(wanted: Iterable[str], there: Collection[str]) -> list[str]:
    """Names to read for `wanted`: themselves, or what they are derived from."""
    names: dict[str, None] = {}
    for name in wanted:
        names.update(dict.fromkeys((name,) if name in there else DERIVED.get(name, ())))
    return list(names)


def _dtype(name: str, collections: Sequence[merge.Collection]) -> np.dtype[Any]:
    if name == TYPE_COLUMN:
        return np.dtype(np.uint8)
    arrays = [c.columns[name] for c in collections if isinstance(c.columns[name], np.ndarray)]
    if not arrays:  # numbers of the schema alone: as precise as the other columns
        every = [value for c in collections for value in c.columns.values() if isinstance(value, np.ndarray)]
        arrays = [value for value in every if value.dtype.kind == "f"] or [np.empty(0)]
    return np.result_type(*[array.dtype for array in arrays if isinstance(array, np.ndarray)])
