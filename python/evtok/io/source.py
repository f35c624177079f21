"""`open_events`: files of any supported format, one after the other, as chunks of `Events`."""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from evtok.errors import InputFileError
from evtok.events import Events
from evtok.io.open_file import EventFile, open_file
from evtok.io.paths import Location, expand
from evtok.io.presets import load_schema
from evtok.io.schema import Schema


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
    """

    def __init__(
        self,
        locations: Sequence[Location],
        schema: Schema | None,
        chunk: int,
        columns: tuple[str, ...] | None,
        fields: tuple[str, ...] | None,
    ) -> None:
        self._open = _Open()
        self._locations = tuple(locations)
        self._chunk, self._columns, self._fields = chunk, columns, fields
        self._schema = schema
        self._files: list[InputFile] | None = None
        with self._reader(0) as first:
            self._schema = first.schema
            next(
                first.iter_events(0, 0, chunk, columns, fields), None
            )  # names that are not there fail here, not later
            self._first = self._describe(0, first)

    @property
    def paths(self) -> tuple[str, ...]:
        """The files, in the order in which they are read."""
        return tuple(location.path for location in self._locations)

    @property
    def schema(self) -> Schema:
        """The schema that reads every file: the one given, or the preset that fits the first file."""
        assert self._schema is not None
        return self._schema

    @property
    def chunk(self) -> int:
        """The most events in one chunk."""
        return self._chunk

    @property
    def files(self) -> list[InputFile]:
        """Every file with its number of events; the first use opens each file for its metadata."""
        if self._files is None:
            found = [self._first]
            for k in range(1, len(self._locations)):
                with self._reader(k) as reader:
                    found.append(self._describe(k, reader))
            self._files = found
        return list(self._files)

    @property
    def n_events(self) -> int:
        """Events in all files together, from their metadata."""
        return sum(file.n_events for file in self.files)

    def __iter__(self) -> Iterator[Events]:
        for k in range(len(self._locations)):
            yield from self.iter_range(k)

    def iter_range(
        self, file_index: int, start: int = 0, stop: int | None = None, chunk: int | None = None
    ) -> Iterator[Events]:
        """Yield events [start, stop) of one file in chunks.

        Parameters
        ----------
        file_index : int
            Index into `files`.
        start, stop : int
            Entries; `stop` None means the end of the file.
        chunk : int, optional
            The most events at a time; that of the source when not given.

        Raises
        ------
        IndexError
            A range outside of the file.
        InputFileError
            A part of the file that cannot be read.
        """
        with self._reader(file_index) as reader:
            stop = reader.n_events if stop is None else stop
            if not 0 <= start <= stop <= reader.n_events:
                raise IndexError(
                    f"{self._locations[file_index].path}: entries {start} to {stop} asked for, it has "
                    f"{reader.n_events}"
                )
            if start < stop:
                yield from reader.iter_events(
                    start, stop, _positive(chunk or self._chunk), self._columns, self._fields
                )

    def read(self, file_index: int = 0, start: int = 0, stop: int | None = None) -> Events:
        """Return events [start, stop) of one file; see `iter_range`."""
        parts = list(self.iter_range(file_index, start, stop))
        if len(parts) == 1:
            return parts[0]
        return Events.concatenate(parts) if parts else self._no_events()

    def _no_events(self) -> Events:
        for k in range(len(self._locations)):
            for events in self.iter_range(k, chunk=1):
                return events[:0]
        raise InputFileError(f"{', '.join(self.paths)}: no events at all, so their columns are unknown")

    def _describe(self, k: int, reader: EventFile) -> InputFile:
        location = self._locations[k]
        return InputFile(location.path, reader.n_events, location.size(), reader.format, reader.schema)

    @contextmanager
    def _reader(self, k: int) -> Iterator[EventFile]:
        """Borrow the file that this thread opened last, or open another; it is kept for the next call."""
        reader = self._open.take(k) or open_file(self._locations[k], self._schema)
        try:
            yield reader
        except BaseException:
            reader.close()
            raise
        self._open.keep(k, reader)

    def close(self) -> None:
        """Close the files that are kept open for the next call; the source can still be used."""
        self._open.clear()

    def __del__(self) -> None:
        if hasattr(self, "_open"):
            self._open.clear()

    def __enter__(self) -> EventSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._open = _Open()
        self.__dict__.update(state)

    def __repr__(self) -> str:
        more = f" and {len(self._locations) - 1} more" if len(self._locations) > 1 else ""
        return f"<EventSource: {self._locations[0]}{more}, schema {self.schema.name}>"


class _Open:
    """The last file of each thread of this process: a child must not move the file positions of its parent."""

    def __init__(self) -> None:
        self._readers: dict[tuple[int, int], tuple[int, EventFile]] = {}

    def take(self, k: int) -> EventFile | None:
        """Take file `k` out, if it is the one that this thread kept."""
        key = os.getpid(), threading.get_ident()
        kept = self._readers.pop(key, None)
        if kept is None or kept[0] == k:
            return kept[1] if kept else None
        kept[1].close()
        return None

    def keep(self, k: int, reader: EventFile) -> None:
        """Keep file `k` for this thread, in place of the one that it kept."""
        key = os.getpid(), threading.get_ident()
        before = self._readers.pop(key, None)
        self._readers[key] = (k, reader)
        if before is not None:
            before[1].close()

    def clear(self) -> None:
        """Close what this process keeps; the files of a parent are left to it."""
        for key in list(self._readers):
            kept = self._readers.pop(key, None)
            if kept is not None and key[0] == os.getpid():
                kept[1].close()


def open_events(
    paths: str | os.PathLike[str] | Iterable[Any] | Mapping[Any, str | None],
    schema: Schema | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    *,
    chunk: int = 65_536,
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
        The most events in one `Events`.
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
        None if columns is None else tuple([columns] if isinstance(columns, str) else columns),
        None if fields is None else tuple([fields] if isinstance(fields, str) else fields),
    )


def _positive(chunk: int) -> int:
    if operator.index(chunk) < 1:
        raise ValueError(f"chunk: expected a positive number of events, got {chunk!r}")
    return chunk
