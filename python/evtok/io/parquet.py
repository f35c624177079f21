"""Parquet files: records in lists (``Jet.list.item.pt``, as awkward writes them) and flat lists (``Jet_pt``).

Offsets and values are taken from Arrow's buffers without a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from evtok._optional import require
from evtok.errors import InputFileError, SchemaError
from evtok.io.chunk_size import OBJECTS_PER_CHUNK
from evtok.io.columnar import Column, ColumnarFile, Ragged
from evtok.io.faults import reading
from evtok.io.paths import Location
from evtok.io.schema import Schema

#: What writers call the inner levels of a list: parquet-cpp and awkward, Spark and the specification, old
#: Hive.
_LIST_LEVELS = (("list", "item"), ("list", "element"), ("bag", "array_element"), ("list", "array"))


#: Rows are decoded by so many at first, or about so many bytes of them: the objects in them are known only after
#: that. After so many batches, rows that hold few objects are decoded by more, and by no more than these: the next row
#: group may be of other events, and what it holds is encoded, in fewer bytes than it has in memory.
_ROWS, _FEWEST_ROWS, _BYTES = 8192, 64, 1 << 26
_BATCHES, _PARTS, _MOST_ROWS = 8, 4, 16_384

#: A column of a row group is read through a buffer of this many bytes, not as a whole.
_BUFFER = 1 << 20


class ParquetFile(ColumnarFile):
    """One Parquet file."""

    format = "Parquet"
    objects_per_chunk = OBJECTS_PER_CHUNK

    def __init__(self, path: str, schema: Schema, tree: str | None = None) -> None:
        super().__init__(path, schema)
        parquet = require("pyarrow.parquet", extra="io")
        self._file: Any = None
        location = Location(path)
        self._handle = location.handle() if location.is_url else None
        try:
            with reading(path, "the Parquet footer"):
                self._file = parquet.ParquetFile(
                    self._handle or path,
                    pre_buffer=location.is_url,
                    buffer_size=0 if location.is_url else _BUFFER,
                    page_checksum_verification=True,  # of the pages that have one
                )
                metadata = self._file.metadata
                # Not from its `schema`, which holds its metadata in a circle: of many files, gigabytes would wait for
                # the garbage collector.
                self._paths = _leaf_paths(self._file.reader.column_paths)
                rows = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
                self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(rows, dtype=np.int64)])
                self.n_events = int(metadata.num_rows)
            if min(rows, default=0) < 0 or self.n_events != self._starts[-1]:
                raise InputFileError(
                    f"{path}: its row groups do not add up to {self.n_events} rows; the file is corrupt"
                )
            self._bind(self._paths)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        if self._handle is not None:
            self._handle.close()

    def _stream(
        self, sources: tuple[str, ...], start: int, stop: int, chunk: int
    ) -> Iterator[dict[str, Column]]:
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        last = int(np.searchsorted(self._starts, stop, side="left"))
        position = int(self._starts[first])
        # A path that does not exist gives no column and no error; `sources` are names that the footer has.
        paths = [self._paths[source] for source in sources]
        waiting: list[Any] = []
        objects = 0
        for batch in self._batches(paths, first, last, chunk):
            begin, end = max(start - position, 0), min(stop - position, batch.num_rows)
            position += batch.num_rows
            if begin < end:
                part = batch if end - begin == batch.num_rows else batch.slice(begin, end - begin)
                size = _objects(part)
                n_rows = sum(one.num_rows for one in waiting)
                if waiting and (n_rows + part.num_rows > chunk or objects + size > self.objects_per_chunk):
                    yield self._columns(waiting, sources)
                    waiting, objects = [], 0
                if size > self.objects_per_chunk:
                    # Denser than the sizes in the footer told: as many slices as keep the chunks small.
                    step = max(1, part.num_rows * self.objects_per_chunk // size)
                    for at in range(0, part.num_rows, step):
                        yield self._columns([part.slice(at, step)], sources)
                    continue
                waiting.append(part)
                objects += size
        if waiting:
            yield self._columns(waiting, sources)

    def _batches(self, paths: list[str], first: int, last: int, chunk: int) -> Iterator[Any]:
        """Yield row groups [first, last) in batches, of more rows where those before held few objects."""
        rows, densest = min(chunk, _ROWS), 1.0
        while first < last:
            until = first + 1
            while until < last and self._starts[until] - self._starts[first] < _BATCHES * rows:
                until += 1
            fitting = min(rows, self._rows_at_once(first, until))
            for batch in self._file.iter_batches(fitting, list(range(first, until)), columns=paths):
                densest = max(densest, _objects(batch) / max(1, batch.num_rows))
                yield batch
            first = until
            few_objects = _PARTS * densest * _MOST_ROWS <= self.objects_per_chunk
            rows = min(chunk, _MOST_ROWS if few_objects else _ROWS)

    def _rows_at_once(self, first: int, last: int) -> int:
        """Return how many rows to decode at a time, from the sizes of the row groups.

        Not from the number of values of their columns: asking for these aborts the process where the footer
        is corrupt.
        """
        groups = [self._file.metadata.row_group(k) for k in range(first, last)]
        widest = max((one.total_byte_size / max(1, one.num_rows) for one in groups), default=1)
        return int(max(_FEWEST_ROWS, _BYTES / max(1, widest)))

    def _columns(self, batches: list[Any], sources: tuple[str, ...]) -> dict[str, Column]:
        # Not by Arrow's concatenation, which aborts the process where the offsets are corrupt.
        return {source: _join([self._column(one, source) for one in batches]) for source in sources}

    def _column(self, batch: Any, source: str) -> Column:
        path = self._paths[source].split(".")
        array = batch.column(path[0])
        offsets = None
        pyarrow = require("pyarrow", extra="io")
        parents = pyarrow.types
        at = 1
        while True:
            array = getattr(array, "storage", array)  # awkward registers an extension type of its own
            if array.null_count:
                raise InputFileError(
                    f"{self.path}: {source} has {array.null_count} missing values; fill or drop them when "
                    "writing the file"
                )
            if (parents.is_list(array.type) or parents.is_large_list(array.type)) and offsets is None:
                offsets, array = array.offsets.to_numpy(zero_copy_only=False), array.values
                array = array.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
                offsets = offsets - offsets[0] if offsets[0] else offsets
                at += 2
            elif parents.is_struct(array.type) and at < len(path):
                array = (
                    array.field(path[at])
                    if array.offset == 0
                    else array.flatten()[array.type.get_field_index(path[at])]
                )
                at += 1
            else:
                break
        if not (
            parents.is_integer(array.type)
            or parents.is_floating(array.type)
            or parents.is_boolean(array.type)
        ):
            raise SchemaError(
                f"{self.path}: {source} holds {array.type}, expected a number or a list of numbers per row"
            )
        values = array.to_numpy(zero_copy_only=False)
        return values if offsets is None else Ragged(offsets, values)


def _join(parts: list[Column]) -> Column:
    """Join a column of several batches; offsets that are wrong stay wrong, for the caller to refuse."""
    if len(parts) == 1:
        return parts[0]
    contents = [part.content if isinstance(part, Ragged) else part for part in parts]
    offsets = [part.offsets for part in parts if isinstance(part, Ragged)]
    if not offsets:
        return np.concatenate(contents)
    shifts = np.cumsum([0] + [int(one[-1]) for one in offsets])
    moved = [one[1:].astype(np.int64) + shift for one, shift in zip(offsets, shifts, strict=False)]
    return Ragged(np.concatenate([offsets[0][:1], *moved]), np.concatenate(contents))


def _objects(batch: Any) -> int:
    """Return about the objects in a batch: the length of its longest list column."""
    types = require("pyarrow", extra="io").types
    longest = batch.num_rows
    for column in batch.columns:
        column = getattr(column, "storage", column)
        if (types.is_list(column.type) or types.is_large_list(column.type)) and len(column):
            longest = max(longest, column.offsets[-1].as_py() - column.offsets[0].as_py())
    return int(longest)


def _leaf_paths(columns: Sequence[Sequence[str]]) -> dict[str, str]:
    """Map the names that schemas use (``Jet.pt``, ``Jet_pt``) to the paths of Parquet's leaf columns."""
    paths = {}
    for parts in columns:
        path = ".".join(parts)
        levels = path.split(".")
        if len(levels) >= 3 and tuple(levels[1:3]) in _LIST_LEVELS:
            levels = [levels[0], *levels[3:]]
        paths[".".join(levels)] = path
    return paths
