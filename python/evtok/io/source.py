"""`open_events`: files of any supported format, one after the other, as chunks of `Events`."""

from __future__ import annotations

import copy
import itertools
import operator
import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from evtok.errors import InputFileError
from evtok.events import Events
from evtok.io.chunk_size import OBJECTS_PER_CHUNK, ChunkSize
from evtok.io.darkmachines_records import BadRecord
from evtok.io.open_file import BoundedFile, EventFile, RecordFile, open_file
from evtok.io.open_readers import OpenReaders
from evtok.io.paths import Location, expand
from evtok.io.presets import load_schema
from evtok.io.schema import Schema

#: The most events in one chunk, where nobody says otherwise.
CHUNK = 65_536

_Records = Iterator[tuple[Events, list[BadRecord]]]


@dataclass(frozen=True)
class InputFile:
    """One input: its path, events in it, size in bytes, format, and the schema that reads it."""

    path: str
    n_events: int
    size: int
    format: str
    schema: Schema


class EventSource:
    """Files as chunks of events, read anew and in order each time that it is iterated over.

    Made by `open_events`. Safe to use from several threads, and after a fork: open files are never shared.
    With `files`, what is known of the files already, none is opened before it is read.
    """

    def __init__(
        self,
        locations: Sequence[Location],
        schema: Schema | None = None,
        chunk: int = CHUNK,
        columns: tuple[str, ...] | None = None,
        fields: tuple[str, ...] | None = None,
        files: Sequence[InputFile] = (),
    ) -> None:
        self._open = OpenReaders()
        self._locations = tuple(locations)
        self._chunk, self._columns, self._fields = chunk, columns, fields
        self._schema = schema
        self._files = dict(enumerate(files))
        if not files:
            self._check_names()
            self._file(0)

    def _check_names(self) -> None:
        """Fail now, not later, when the first file lacks a column or a field."""
        with self._reader(0) as first:
            self._schema = first.schema
            next(first.iter_events(0, 0, self._chunk, self._columns, self._fields), None)

    @property
    def paths(self) -> tuple[str, ...]:
        """The files, in the order in which they are read."""
        return tuple(location.path for location in self._locations)

    @property
    def trees(self) -> tuple[str | None, ...]:
        """The tree of each file, where one was asked for."""
        return tuple(location.tree for location in self._locations)

    @property
    def schema(self) -> Schema:
        """The schema that reads every file: the one given, or the preset that fits the first file."""
        assert self._schema is not None
        return self._schema

    @property
    def chunk(self) -> int:
        """The most events in one chunk; there are fewer where they hold many objects."""
        return self._chunk

    @property
    def files(self) -> list[InputFile]:
        """Every file with its number of events; the first use opens each file for its metadata."""
        return [self._file(k) for k in range(len(self._locations))]

    def _file(self, k: int) -> InputFile:
        if k not in self._files:
            path, size = self._locations[k].path, self._locations[k].size()
            with self._reader(k) as reader:
                self._files[k] = InputFile(path, reader.n_events, size, reader.format, reader.schema)
        return self._files[k]

    @property
    def n_events(self) -> int:
        """Events in all files together, from their metadata."""
        return sum(file.n_events for file in self.files)

    def __iter__(self) -> Iterator[Events]:
        for k in range(len(self._locations)):
            yield from self.iter_range(k)

    def iter_range(
        self, file_index: int, start: int = 0, stop: int | None = None, chunk: int | ChunkSize | None = None
    ) -> Iterator[Events]:
        """Yield events [start, stop) of one file in chunks, of few events where these hold many objects.

        Parameters
        ----------
        file_index : int
            Index into `files`.
        start, stop : int
            Entries; `stop` None means the end of the file.
        chunk : int or ChunkSize, optional
            The most events at a time; that of the source when not given. A `ChunkSize` keeps what it learned
            for the next range.

        Raises
        ------
        IndexError
            A file that is not there, or a range outside of it.
        InputFileError
            A part of the file that cannot be read.
        """
        for events, _ in self._pieces(file_index, start, stop, chunk, bad_too=False):
            yield events

    def iter_records(
        self, file_index: int, start: int = 0, stop: int | None = None, chunk: int | ChunkSize | None = None
    ) -> _Records:
        """Yield events [start, stop) of one file in chunks, with those that cannot be read one by one.

        Parameters and errors are those of `iter_range`, but a bad record of a text file is no error.

        Yields
        ------
        events : Events
            Without the bad ones; there may be none.
        bad : list of BadRecord
            The bad ones, in order, with their entry (`record`), line and reason. The chunk stands for
            ``len(events) + len(bad)`` entries. Only Dark Machines text has any.
        """
        yield from self._pieces(file_index, start, stop, chunk, bad_too=True)

    def _pieces(
        self, file_index: int, start: int, stop: int | None, chunk: int | ChunkSize | None, *, bad_too: bool
    ) -> _Records:
        """Yield a range in chunks of a size that follows the objects in them."""
        size = chunk if isinstance(chunk, ChunkSize) else ChunkSize(_positive(chunk or self._chunk))
        with self._reader(file_index) as reader:
            stop = reader.n_events if stop is None else stop
            if not 0 <= start <= stop <= reader.n_events:
                raise IndexError(
                    f"{self._locations[file_index].path}: entries {start} to {stop} asked for, it has "
                    f"{reader.n_events}"
                )
            if isinstance(reader, BoundedFile):
                reader.objects_per_chunk = size.objects or OBJECTS_PER_CHUNK
                yield from self._records(reader, start, stop, size.longest, bad_too)
                return
            steady = False
            while start < stop:
                upto = stop if steady else min(start + size.events, stop)
                with closing(self._records(reader, start, upto, size.events, bad_too)) as records:
                    for events, bad in records:
                        start += len(events) + len(bad)
                        yield events, bad
                        steady = size.learn(len(events), events.n_objects)
                        if not steady and start < upto:
                            break

    def _records(
        self, reader: EventFile, start: int, stop: int, chunk: int, bad_too: bool
    ) -> Generator[tuple[Events, list[BadRecord]], None, None]:
        what = start, stop, chunk, self._columns, self._fields
        if bad_too and isinstance(reader, RecordFile):
            yield from reader.iter_records(*what)
        else:
            yield from ((events, []) for events in reader.iter_events(*what))

    def read(self, file_index: int = 0, start: int = 0, stop: int | None = None) -> Events:
        """Return events [start, stop) of one file; see `iter_range`."""
        parts = list(self.iter_range(file_index, start, stop))
        if len(parts) == 1:
            return parts[0]
        if parts:
            return Events.concatenate(parts)
        first = self.first_event()
        if first is None:
            raise InputFileError(f"{', '.join(self.paths)}: no events at all, so their columns are unknown")
        return first[:0]

    def first_event(self) -> Events | None:
        """Return the first event that can be read; None when no file has one."""
        for k in range(len(self._locations)):
            if self._file(k).n_events:
                # The first record alone is read to its end, so that the file stays open for the next call.
                first = list(self.iter_records(k, 0, 1))
                for events, _ in itertools.chain(first, self.iter_records(k, 1)):
                    if len(events):
                        return events[:1]
        return None

    def select(self, columns: Iterable[str] | None, fields: Iterable[str] | None) -> EventSource:
        """Return a source of the same files that delivers other columns and fields, see `open_events`."""
        chosen = copy.copy(self)
        chosen._open = self._open  # what is open stays open
        chosen._columns, chosen._fields = _names(columns), _names(fields)
        chosen._check_names()
        return chosen

    @contextmanager
    def _reader(self, k: int) -> Iterator[EventFile]:
        """Borrow the file that this thread opened last, or open another; it is kept for the next call."""
        if not 0 <= k < len(self._locations):
            raise IndexError(f"file_index: there are {len(self._locations)} files, counted from 0; got {k}")
        reader = self._open.take(k) or open_file(self._locations[k], self._schema)
        try:
            yield reader
        except BaseException:
            reader.close()
            raise
        self._open.keep(k, reader)

    def hand_over(self) -> None:
        """Leave the file that this thread keeps open to the thread that reads next."""
        self._open.hand_over()

    def close(self) -> None:
        """Close the files that are kept open for the next call; the source can still be used."""
        self._open.clear()

    def __enter__(self) -> EventSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._open = OpenReaders()
        self.__dict__.update(state)

    def __repr__(self) -> str:
        more = f" and {len(self._locations) - 1} more" if len(self._locations) > 1 else ""
        return f"<EventSource: {self._locations[0]}{more}, schema {self.schema.name}>"


def open_events(
    paths: str | os.PathLike[str] | Iterable[Any] | Mapping[Any, str | None],
    schema: Schema | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    *,
    chunk: int = CHUNK,
    columns: Iterable[str] | None = None,
    fields: Iterable[str] | None = None,
) -> EventSource:
    """Open event files.

    Parameters
    ----------
    paths : str, path, list of these, or dict of path to tree
        Local paths and fsspec URLs. Wildcards are sorted; lists keep their order; ``file.root:Tree`` and
        ``{"file.root": "Tree"}`` name a tree.
    schema : str, path, mapping or Schema, optional
        A preset's name (`preset_names`), a TOML or JSON file, or the same as a dict. Without it, the first
        preset that fits the first file; see the result's ``schema.name``.
    chunk : int
        The most events in one `Events`. There are fewer where they hold many objects, about 2 million, so
        that memory stays bounded; no result depends on it.
    columns, fields : iterable of str, optional
        What to deliver; all that the schema gives when not given. Only the parts of a file that these need
        are read.

    Returns
    -------
    EventSource
        Re-iterable; yields `Events`, energies in GeV.

    Raises
    ------
    InputFileError
        A file that is missing, empty, broken or unsupported; it says what the file is and what would be
        supported.
    SchemaError
        A schema that is malformed or does not fit the file; it lists what is there.

    Examples
    --------
    >>> for events in open_events("data/*.root", columns=["pt", "eta", "phi", "type"]):  # doctest: +SKIP
    ...     print(events.multiplicity.mean(), events.columns["pt"])
    """
    return EventSource(
        expand(paths),
        None if schema is None else load_schema(schema),
        _positive(chunk),
        _names(columns),
        _names(fields),
    )


def _names(names: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple([names] if isinstance(names, str) else names)


def _positive(chunk: int) -> int:
    if operator.index(chunk) < 1:
        raise ValueError(f"chunk: expected a positive number of events, got {chunk!r}")
    return chunk
