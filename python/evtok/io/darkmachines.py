"""Text of the Dark Machines challenge: ``event;process;weight;MET;METphi;type,E,pt,eta,phi;...`` in MeV.

In: a file, plain or gzip, local or an fsspec URL. Out: `Events` with the columns energy, pt (GeV), eta, phi
(rad) and type, and the fields event, weight, MET (GeV), METphi (rad) and process. The grammar is stated in
cpp/include/evtok/darkmachines.hpp; `evtok.reference.parse_darkmachines` is its readable definition.

Text carries no checksum. A file that was cut inside its last number may still read, with another number
there; one that was cut between two objects reads with fewer objects, one cut between two lines with fewer
events. Compare the size or sha256 of the file with its source to exclude that; gzip files carry both, and
they are checked.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from evtok.errors import InputFileError, SchemaError
from evtok.events import Events
from evtok.io.darkmachines_records import BadRecord, RecordIndex, RecordReader, process_names
from evtok.io.presets import load_schema
from evtok.io.schema import Schema
from evtok.io.text_stream import GZIP_MAGIC, TextStream
from evtok.io.wanted import select

__all__ = ["BadRecord", "DarkMachinesFile", "looks_like"]

#: Object types of the format, in the order of the parser's table of codes.
TYPES = ("j", "b", "e-", "e+", "m-", "m+", "g")
COLUMNS = ("energy", "pt", "eta", "phi", "type")
FIELDS = ("event", "weight", "MET", "METphi")

#: More bad records than this, and the file is refused as a whole.
MAX_PROBLEMS = 10_000

_NO_CODE = 255
_NUMBER = rb"-?(?:[0-9]++\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_OTHER_LINES = rb"(?:[^\x00-\x08\x0e-\x1f\r\n]*[\r\n])*?"  # of text: the first record may be a bad one
_HEADER = re.compile(
    _OTHER_LINES
    + rb"-?[0-9]+;[ -+\--:<-~]{1,256};"
    + (_NUMBER + b";" + _NUMBER + b";" + _NUMBER)
    + rb"(?:[;\r\n]|\Z)"
)


def looks_like(first_bytes: bytes) -> bool:
    """Tell whether a file that begins with these bytes (1 KiB, say) is Dark Machines text, plain or gzip."""
    if first_bytes.startswith(GZIP_MAGIC):
        try:
            first_bytes = zlib.decompressobj(31).decompress(first_bytes, 4096)
        except zlib.error:
            return False
    return _HEADER.match(first_bytes) is not None


class DarkMachinesFile:
    """One Dark Machines text file, read in order or by ranges of records.

    Parameters
    ----------
    path : str
        Local path or fsspec URL, plain or gzip.
    schema : Schema or mapping or str
        Gives `types` (some of j b e- e+ m- m+ g, in the order of their codes) and the unit of energy.
    storage_options : mapping, optional
        Options of the fsspec file system.
    dtype : "float32" or "float64"
        Of energy, pt, eta, phi, MET and METphi. Text is read to the nearest float64, scaled there, and
        rounded once. The weight is always float64.
    on_bad_line : "raise" or "skip"
        What to do with a record that cannot be read: raise, or leave it out and list it in `problems`.
    processes : sequence of str, optional
        Names of the codes of the field ``process``; by default those of the file, in the order in which
        they come.
    threads : int, optional
        Threads of the parser; the result does not depend on it.

    Notes
    -----
    Events are counted and addressed by records, the non-empty lines. A record that is left out keeps its
    number: in every range, records = events + problems.

    Every iteration opens the file anew: iterations are independent of each other, of threads and of forks.
    """

    format = "darkmachines"

    def __init__(
        self,
        path: str,
        schema: Schema | Mapping[str, Any] | str = "darkmachines",
        *,
        storage_options: Mapping[str, Any] | None = None,
        dtype: npt.DTypeLike = "float32",
        on_bad_line: Literal["raise", "skip"] = "raise",
        processes: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> None:
        self.path = path
        self.schema = load_schema(schema)
        self._codes = _codes(self.schema, path)
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise TypeError(f"dtype: expected float32 or float64, got {np.dtype(dtype)}")
        if on_bad_line not in ("raise", "skip"):
            raise ValueError(f"on_bad_line: expected 'raise' or 'skip', got {on_bad_line!r}")
        self._float64 = np.dtype(dtype) == np.float64
        self._skip = on_bad_line == "skip"
        self._storage_options = storage_options
        self._processes = None if processes is None else tuple(processes)
        self._threads = 0 if threads is None else threads
        self._index: RecordIndex | None = None
        self._problems: dict[int, BadRecord] = {}
        self._open().close()  # a path that is wrong fails here

    # ---- what the file holds ----------------------------------------------------------------------------

    @property
    def n_events(self) -> int:
        """Records in the file, counted at the first use, with those that turn out to be bad."""
        return self._counted().n_records

    @property
    def column_names(self) -> tuple[str, ...]:
        """Columns that this file can deliver."""
        return COLUMNS

    @property
    def field_names(self) -> tuple[str, ...]:
        """Fields that this file delivers by default; ``process`` comes when it is asked for."""
        return FIELDS

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of the codes of the field ``process``; unless given, the first use reads the whole file."""
        if self._processes is None:
            with self._open() as text:
                self._processes = process_names(text)
        return self._processes

    @property
    def problems(self) -> list[BadRecord]:
        """The records that were left out so far, in the order of the file."""
        return [self._problems[record] for record in sorted(self._problems)]

    # ---- reading ----------------------------------------------------------------------------------------

    def iter_events(
        self,
        start: int,
        stop: int,
        chunk: int,
        columns: Iterable[str] | None = None,
        fields: Iterable[str] | None = None,
    ) -> Iterator[Events]:
        """Yield the events of records [start, stop) in order, from at most `chunk` records at a time.

        Parameters
        ----------
        start, stop : int
            Records, ``0 <= start <= stop <= n_events``.
        chunk : int
            Records at a time.
        columns, fields : iterable of str, optional
            What to deliver. The first field of a record, ``event``, is no unique number in published files.
            The field ``process`` (int32, an index into `processes`) is delivered only when named.

        Raises
        ------
        InputFileError
            A record that cannot be read, with its line; a file that ends early; more than `MAX_PROBLEMS` bad
            records.
        SchemaError
            A column or field that is not there.
        """
        for events, bad in self._iter(start, stop, chunk, columns, fields, skip=self._skip):
            self._note(bad)
            if len(events):
                yield events

    def iter_records(
        self, start: int, stop: int, chunk: int, columns: Iterable[str] | None, fields: Iterable[str] | None
    ) -> Iterator[tuple[Events, list[BadRecord]]]:
        """Yield the events of records [start, stop) in order, with the records that cannot be read.

        Parameters are those of `iter_events`; `on_bad_line` and `problems` have no part in it.

        Yields
        ------
        events : Events
            Of the next records, at most `chunk`, without the bad ones; there may be none.
        bad : list of BadRecord
            The bad ones, in order: ``len(events) + len(bad)`` is the number of records.

        Raises
        ------
        InputFileError
            A file that ends early.
        SchemaError
            A column or field that is not there.
        """
        return self._iter(start, stop, chunk, columns, fields, skip=True)

    def _iter(
        self,
        start: int,
        stop: int,
        chunk: int,
        columns: Iterable[str] | None,
        fields: Iterable[str] | None,
        *,
        skip: bool,
    ) -> Iterator[tuple[Events, list[BadRecord]]]:
        wanted = select(columns, COLUMNS, "columns", self.path)
        wanted_fields = (
            FIELDS if fields is None else select(fields, (*FIELDS, "process"), "fields", self.path)
        )
        if not 0 <= start <= stop or chunk < 1:
            raise ValueError(f"expected 0 <= start <= stop and chunk >= 1, got {start}, {stop} and {chunk}")
        if start == stop:
            return
        options = {
            "codes": self._codes,
            "processes": self.processes if "process" in wanted_fields else None,
            "energy_divisor": self.schema.energy_divisor,
            "skip_bad": skip,
            "float64": self._float64,
            "threads": self._threads,
        }
        with self._open() as text:
            reader = RecordReader(text, options)
            if start:
                self._seek(reader, start, stop)
            while reader.record < stop:
                parts, bad = reader.read(min(chunk, stop - reader.record))
                full = [part for part in parts if len(part["offsets"]) > 1] or parts[:1]
                pieces = [self._events(part, wanted, wanted_fields) for part in full]
                yield (pieces[0] if len(pieces) == 1 else Events.concatenate(pieces)), bad

    def close(self) -> None:
        """Nothing stays open between iterations; this only forgets what was counted."""
        self._index = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open(self) -> TextStream:
        return TextStream(self.path, self._storage_options)

    def _counted(self) -> RecordIndex:
        if self._index is None:
            with self._open() as text:
                self._index = RecordIndex(text)
        return self._index

    def _seek(self, reader: RecordReader, start: int, stop: int) -> None:
        index = self._counted()
        if stop > index.n_records:
            raise InputFileError(
                f"{self.path}: holds {index.n_records} records; {start} to {stop} were asked for"
            )
        index.seek(reader, start)

    def _note(self, bad: list[BadRecord]) -> None:
        self._problems.update((problem.record, problem) for problem in bad)
        if len(self._problems) > MAX_PROBLEMS:
            raise InputFileError(
                f"{self.path}: more than {MAX_PROBLEMS} records cannot be read, the first of them: "
                f"line {self.problems[0].line}: {self.problems[0].reason}; it is corrupt or of another format"
            )

    def _events(self, part: dict[str, Any], columns: tuple[str, ...], fields: tuple[str, ...]) -> Events:
        return Events(
            part["offsets"],
            {name: part["columns"][name] for name in columns},
            {name: part["fields"][name] for name in fields},
            units={name: unit for name in (*columns, *fields) if (unit := self.schema.unit(name))},
            types=self.schema.types,
        )


def _codes(schema: Schema, path: str) -> list[int]:
    """Return the code of each of `TYPES` in a schema."""
    unknown = [name for name in schema.types if name not in TYPES]
    if unknown or not schema.types:
        raise SchemaError(
            f"{path}: schema {schema.name}: types: expected some of {', '.join(TYPES)} (Dark Machines text), "
            f"got {', '.join(unknown) or 'none'}"
        )
    return [schema.types.index(name) if name in schema.types else _NO_CODE for name in TYPES]
