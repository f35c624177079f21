"""Zero-padded arrays: every event has the same number of slots, and the empty ones are dropped.

A format adds how a place is found and how rows of it are read; layouts, masks, fields and types are here,
once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.errors import InputFileError, SchemaError
from evtok.events import TYPE_COLUMN, Events
from evtok.io.derive import derive
from evtok.io.faults import reading
from evtok.io.schema import DERIVED, ArrayRule, FieldRule, MaskRule, Place, Schema
from evtok.io.types import codes_of
from evtok.io.wanted import select, to_gev

Array = npt.NDArray[Any]

#: Rows are read in blocks of about this many bytes, which stay in the cache: a padded array is mostly zeros that are
#: dropped at once.
BLOCK_BYTES = 4 << 20


class PaddedFile:
    """One open file of padded arrays."""

    format = ""

    def __init__(self, path: str, schema: Schema) -> None:
        self.path = path
        self.schema = schema
        self.n_events = 0
        self._arrays: list[tuple[ArrayRule, str]] = []  # with the name of the place that was found
        self._mask: str | None = None
        self._fields: dict[str, str] = {}

    # ---- what a format implements
    # ------------------------------------------------------------------------------

    def _find(self, place: Place) -> str | None:
        """Name the array that `place` means, or None when there is none."""
        raise NotImplementedError

    def _shape(self, name: str) -> tuple[int, ...]:
        """Shape of a named array."""
        raise NotImplementedError

    def _row_bytes(self, name: str) -> int:
        """Bytes of one row of a named array, decompressed."""
        raise NotImplementedError

    def _read(self, name: str, start: int, stop: int) -> Array:
        """Read rows [start, stop) of a named array."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""

    # ---- binding
    # -----------------------------------------------------------------------------------------------

    def _bind(self) -> None:
        """Find every array of the schema and check its shape; a format calls this once the file is open."""
        for rule in self.schema.arrays:
            name = self._find(rule.place)
            if name is not None:
                self._check_layout(rule, name)
                self._arrays.append((rule, name))
            elif not rule.place.optional:
                raise SchemaError(
                    f"{self.path}: schema {self.schema.name} needs {self._describe(rule.place)}, which is "
                    "not there"
                )
        self.n_events = self._shape(self._arrays[0][1])[0]
        mask = self.schema.mask
        if mask is not None and mask.place is not None:
            self._mask = self._find(mask.place)
            if self._mask is None and not mask.empty_where_zero:
                raise SchemaError(
                    f"{self.path}: schema {self.schema.name} needs the mask {self._describe(mask.place)}, "
                    "which is not there"
                )
        if mask is None:
            raise SchemaError(
                f"{self.path}: schema {self.schema.name} has arrays but no mask: it must say which slots "
                "are empty"
            )
        for name, field in self.schema.fields.items():
            found = self._find(field.place) if field.place else None
            if found is not None and self._check_field(name, field, found):
                self._fields[name] = found
        for name in (
            *(name for _, name in self._arrays),
            *self._fields.values(),
            *([self._mask] if self._mask else []),
        ):
            if self._shape(name)[0] != self.n_events:
                raise InputFileError(
                    f"{self.path}: {name} has {self._shape(name)[0]} rows, expected {self.n_events} as in "
                    "the first array"
                )

    def _describe(self, place: Place) -> str:
        return (
            f"{place.by!r} in place of {place.replace!r} in its name"
            if place.replace
            else " or ".join(place.dataset)
        )

    def _check_layout(self, rule: ArrayRule, name: str) -> None:
        shape, wanted = self._shape(name), len(rule.features)
        if rule.layout == "event slot*feature":
            slots = rule.slots or (shape[1] // wanted if len(shape) == 2 else 0)
            fits = len(shape) == 2 and shape[1] >= slots * wanted > 0
            expected = f"(events, at least {slots or 'slots'} x {wanted})"
        else:
            axis = 2 if rule.layout == "event slot feature" else 1
            fits = (
                len(shape) == 3
                and shape[axis] == wanted
                and (rule.slots is None or shape[3 - axis] == rule.slots)
            )
            slots_text = str(rule.slots or "slots")
            expected = (
                f"(events, {slots_text}, {wanted})" if axis == 2 else f"(events, {wanted}, {slots_text})"
            )
        if not fits:
            table = "; a table with one row per event has no objects to tokenize" if len(shape) == 2 else ""
            what = "an array" if name == self.path else name
            raise SchemaError(
                f"{self.path}: schema {self.schema.name} expects {what} of shape {expected} for the features "
                f"{', '.join(rule.features)}, got {shape}{table}{self._hint()}"
            )

    def _hint(self) -> str:
        """Say more about an array that does not fit."""
        return ""

    def _check_field(self, name: str, rule: FieldRule, found: str) -> bool:
        shape = self._shape(found)
        if rule.place is not None and rule.place.column is not None:
            return (
                len(shape) == 2 and rule.place.column < shape[1]
            )  # LHCO black boxes have no column of labels
        if (rule.take == "one-hot") != (len(shape) == 2 and shape[1] > 1) or len(shape) > 2:
            expected = "(events, classes)" if rule.take == "one-hot" else "(events,)"
            raise SchemaError(
                f"{self.path}: schema {self.schema.name} expects {name} of shape {expected}, got {shape}"
            )
        return True

    # ---- reading
    # -----------------------------------------------------------------------------------------------

    @property
    def column_names(self) -> tuple[str, ...]:
        """Columns that this file can deliver."""
        there = {feature for rule, _ in self._arrays for feature in rule.features} | {TYPE_COLUMN}
        return tuple(n for n in self.schema.column_names if n in there or n in self.schema.derive)

    @property
    def field_names(self) -> tuple[str, ...]:
        """Fields that this file can deliver."""
        return tuple(n for n in self.schema.field_names if n in self._fields)

    def iter_events(
        self,
        start: int,
        stop: int,
        chunk: int,
        columns: Iterable[str] | None = None,
        fields: Iterable[str] | None = None,
    ) -> Iterator[Events]:
        """Yield events [start, stop) in order, at most `chunk` at a time; memory holds the filled slots.

        Raises
        ------
        InputFileError
            Rows that cannot be read, or a mask that is not 0 or 1, naming the array and the rows.
        """
        wanted = select(columns, self.column_names, "columns", self.path)
        wanted_fields = select(fields, self.field_names, "fields", self.path)
        stored = list(
            dict.fromkeys(
                s
                for n in wanted
                if n != TYPE_COLUMN
                for s in (DERIVED[n] if n in self.schema.derive else (n,))
            )
        )
        if TYPE_COLUMN in wanted and self.schema.type_rule and self.schema.type_rule.column:
            stored.append(self.schema.type_rule.column)
        step = max(1, BLOCK_BYTES // max(1, sum(self._row_bytes(name) for _, name in self._arrays)))
        for first in range(start, stop, chunk):
            last = min(first + chunk, stop)
            blocks = [
                self._block(at, min(at + step, last), stored, wanted_fields)
                for at in range(first, last, step)
            ]
            yield self._assemble(blocks, wanted, wanted_fields)

    def _block(
        self, start: int, stop: int, stored: Sequence[str], fields: Sequence[str]
    ) -> tuple[Array, dict[str, Array], dict[str, Array]]:
        """Read rows [start, stop): multiplicities (rows,), filled slots of each column, and fields."""
        read: dict[str, Array] = {}

        def rows(name: str) -> Array:
            if name not in read:
                with reading(self.path, f"{name}, rows {start} to {stop}"):
                    read[name] = self._read(name, start, stop)
                if len(read[name]) != stop - start:
                    raise InputFileError(
                        f"{self.path}: {name} ends within rows {start} to {stop}; the file is truncated"
                    )
            return read[name]

        def feature(wanted: str) -> Array:
            rule, name = next((r, n) for r, n in self._arrays if wanted in r.features)
            return _slots(rule, rows(name), rule.features.index(wanted))

        mask = self.schema.mask
        assert mask is not None
        filled = self._filled(mask, feature, rows, start)
        columns = {name: feature(name)[filled] for name in stored}
        values = {name: self._field(name, rows(self._fields[name]), start) for name in fields}
        return np.count_nonzero(filled, axis=1), columns, values

    def _filled(self, mask: MaskRule, feature: Any, rows: Any, start: int) -> Array:
        if self._mask is not None:
            values = rows(self._mask)
            values = values.reshape(len(values), -1)
        elif mask.feature:
            values = feature(mask.feature)
        else:
            result: Array = feature(mask.empty_where_zero) != 0
            return result
        filled: Array = values != 0
        is_type = self.schema.type_rule is not None and self.schema.type_rule.column == mask.feature
        if not is_type and not np.array_equal(values, filled):
            row = int(np.flatnonzero((values != filled).any(axis=1))[0])
            raise InputFileError(
                f"{self.path}: the mask of event {start + row} holds values other than 0 and 1"
            )
        expected = feature(self._arrays[0][0].features[0]).shape
        if filled.shape != expected:
            raise InputFileError(f"{self.path}: the mask has {filled.shape[1]} slots, expected {expected[1]}")
        return filled

    def _field(self, name: str, values: Array, start: int) -> Array:
        rule = self.schema.fields[name]
        if rule.take == "one-hot":
            if not ((values != 0).sum(axis=1) == 1).all():
                row = int(np.flatnonzero((values != 0).sum(axis=1) != 1)[0])
                raise InputFileError(f"{self.path}: {name} of event {start + row} is not one-hot")
            classes: Array = np.argmax(values != 0, axis=1)
            return classes
        column = rule.place.column if rule.place else None
        return np.ascontiguousarray(values[:, column] if column is not None else values.reshape(len(values)))

    def _assemble(
        self,
        blocks: list[tuple[Array, dict[str, Array], dict[str, Array]]],
        wanted: Sequence[str],
        fields: Sequence[str],
    ) -> Events:
        counts = _join([block[0] for block in blocks])
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
        stored = {n: to_gev(_join([b[1][n] for b in blocks]), self.schema, n) for n in blocks[0][1]}
        rule = self.schema.type_rule
        if TYPE_COLUMN in wanted and rule is not None:
            codes = codes_of(
                rule,
                stored[rule.column] if rule.column else None,
                self.schema.types,
                f"{self.path}: {rule.column}",
            )
            stored[TYPE_COLUMN] = (
                codes if isinstance(codes, np.ndarray) else np.full(int(offsets[-1]), codes, np.uint8)
            )
        return Events(
            offsets,
            derive(wanted, stored),
            {n: to_gev(_join([b[2][n] for b in blocks]), self.schema, n) for n in fields},
            units={n: self.schema.unit(n) for n in (*wanted, *fields) if self.schema.unit(n)},
            types=self.schema.types if TYPE_COLUMN in wanted else (),
        )


def _slots(rule: ArrayRule, values: Array, k: int) -> Array:
    """View feature `k` of an array as (rows, slots)."""
    if rule.layout == "event feature slot":
        return values[:, k, :]
    if rule.layout == "event slot feature":
        return values[:, :, k]
    n = len(rule.features)
    width = (rule.slots or values.shape[1] // n) * n
    return values[:, k:width:n]


def _join(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
