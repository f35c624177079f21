"""RNTuples, ROOT's columnar format: fields of records (``Jet.pt``) and flat vectors (``Jet_pt``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.errors import InputFileError, SchemaError
from evtok.io.columnar import Column, ColumnarFile, Ragged
from evtok.io.faults import reading
from evtok.io.schema import Schema

Array = npt.NDArray[Any]

#: How uproot names the column that a part of an awkward form is read from.
_COLUMN = re.compile(r"column-(\d+)")


class RNTupleFile(ColumnarFile):
    """One RNTuple."""

    format = "ROOT RNTuple"

    def __init__(self, path: str, schema: Schema, ntuple: Any, file: Any) -> None:
        super().__init__(path, schema)
        self._ntuple, self._file = ntuple, file
        with reading(path, "the fields of the RNTuple"):
            self._bind(_paths(ntuple.field_records))
            clusters = ntuple.cluster_summaries
            self._starts = np.array([c.num_first_entry for c in clusters] + [ntuple.num_entries], np.int64)
            self.n_events = int(ntuple.num_entries)
        if (np.diff(self._starts) < 0).any() or self._starts[0] != 0:
            raise InputFileError(
                f"{path}: the clusters of the RNTuple do not follow each other; the file is corrupt"
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _stream(
        self, sources: tuple[str, ...], start: int, stop: int, chunk: int
    ) -> Iterator[dict[str, Column]]:
        columns = {source: self._columns_of(source) for source in sources}
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        while first < len(self._starts) - 1 and self._starts[first] < stop:
            # Pages are decoded by whole clusters: as many as make a chunk, at least one, then cut into chunks here.
            last = max(
                first + 1, int(np.searchsorted(self._starts, self._starts[first] + chunk, side="right")) - 1
            )
            origin = int(self._starts[first])
            begin, end = max(start, origin), min(stop, int(self._starts[last]))
            numbers = {k for pair in columns.values() for k in pair if k is not None}
            read = {k: self._clusters(k, first, last) for k in sorted(numbers)}
            for at in range(begin, end, chunk):
                rows = slice(at - origin, min(at + chunk, end) - origin)
                yield {source: _cut(read, pair, rows) for source, pair in columns.items()}
            first = last

    def _columns_of(self, source: str) -> tuple[int | None, int]:
        """Return the numbers of the columns that hold the offsets (if it is a list) and the values of a field."""
        with reading(self.path, f"the structure of {source}"):
            form, _ = self._ntuple[source].to_akform()
            offsets = None
            while True:
                key = _COLUMN.fullmatch(form.form_key or "")
                if type(form).__name__ == "ListOffsetForm" and offsets is None and key:
                    offsets, form = int(key[1]), form.content
                elif type(form).__name__ == "RecordForm" and len(form.contents) == 1:
                    form = form.contents[0]
                else:
                    break
        if type(form).__name__ != "NumpyForm" or form.inner_shape or not key:
            raise SchemaError(
                f"{self.path}: {source} holds {form.type}, expected a number or a list of numbers per entry"
            )
        return offsets, int(key[1])

    def _clusters(self, column: int, first: int, last: int) -> Array:
        """Decode a column of clusters [first, last); offsets run through them and start with 0."""
        # A column that was added late has no values for the entries before it; uproot fills them with zeros.
        late = int(self._ntuple.column_records[column].first_element_index) - int(self._starts[first])
        values: Array = self._ntuple.read_cluster_range(
            column, first, last, missing_element_padding=max(late, 0)
        )
        return values


def _cut(read: dict[int, Array], columns: tuple[int | None, int], rows: slice) -> Column:
    offsets, values = columns
    if offsets is None:
        return read[values][rows]
    return Ragged(read[offsets][rows.start : rows.stop + 1].astype(np.int64, copy=False), read[values])


def _paths(records: Sequence[Any]) -> frozenset[str]:
    """Join the names of fields to paths (``Jet.pt``), without the nameless levels of lists.

    uproot's own `keys` takes time quadratic in the number of fields: ten seconds for a NanoAOD file.
    """
    paths: list[str] = []
    for k, record in enumerate(records):  # a field comes after the one that holds it
        parent = record.parent_field_id
        above = "" if parent == k else paths[parent]
        name = "" if record.field_name == "_0" else record.field_name
        paths.append(f"{above}.{name}" if above and name else above or name)
    return frozenset(paths)
