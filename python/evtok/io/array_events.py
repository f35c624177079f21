"""An awkward array of events, such as coffea's NanoEvents, read as if it were a file: by the columns of a schema.

Only the columns that are asked for are touched, so lazily loaded ones are loaded when they are needed, or never.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from evtok._optional import require
from evtok.errors import InvalidEventsError
from evtok.io.columnar import Column, ColumnarFile, Ragged
from evtok.io.schema import Schema


class ArrayEvents(ColumnarFile):
    """Events of an ``ak.Array`` of records.

    Parameters
    ----------
    events : ak.Array
        Records with collections as lists of records (``events.Jet.pt``) or as flat columns (``events.Jet_pt``), and
        fields the same way.
    schema : Schema
    """

    format = "array"

    def __init__(self, events: Any, schema: Schema) -> None:
        super().__init__("events", schema)
        self._events = events
        self._places: dict[str, tuple[str, ...]] = {}
        for name in events.fields:
            inner = events[name].fields
            self._places |= {f"{name}_{part}": (name, part) for part in inner} if inner else {name: (name,)}
        self._bind(self._places)

    def touched(self, columns: Iterable[str], fields: Iterable[str]) -> list[Any]:
        """Return the arrays that reading these columns and fields touches."""
        return [self._array(source) for source in self._plan(columns, fields).sources]

    def _array(self, source: str) -> Any:
        found = self._events
        for name in self._places[source]:
            found = found[name]
        return found

    def _stream(
        self, sources: tuple[str, ...], start: int, stop: int, chunk: int
    ) -> Iterator[dict[str, Column]]:
        for at in range(start, stop, chunk):
            upto = min(at + chunk, stop)
            yield {source: _column(self._array(source)[at:upto], source) for source in sources}


def _column(array: Any, name: str) -> Column:
    """Take the numbers of an array, or of its lists; without a copy where its layout allows."""
    ak = require("awkward", extra="io")
    array = ak.materialize(array) if hasattr(ak, "materialize") else array
    for axis in range(array.ndim):
        if ak.any(ak.is_none(array, axis=axis), axis=None):
            raise InvalidEventsError(f"events: {name} has missing values; fill or drop them before")
    for axis in range(array.ndim):
        array = ak.drop_none(array, axis=axis)  # of a type that could have had some
    layout = ak.to_packed(array).layout
    if isinstance(layout, ak.contents.RegularArray):
        layout = layout.to_ListOffsetArray64(True)
    inner = layout.content if isinstance(layout, ak.contents.ListOffsetArray) else layout
    if (
        not isinstance(inner, ak.contents.NumpyArray)
        or inner.data.ndim != 1
        or inner.dtype.kind not in "fiub"
    ):
        raise InvalidEventsError(
            f"events: {name} holds {array.type.content}, expected a number or a list of numbers"
        )
    content = np.asarray(inner.data)
    return content if inner is layout else Ragged(np.asarray(layout.offsets.data), content)
