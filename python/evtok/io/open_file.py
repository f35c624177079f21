"""One file: its format is sniffed, its schema given or found, and the reader of that format opens it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, runtime_checkable

from evtok.errors import InputFileError, SchemaError
from evtok.events import Events
from evtok.io.darkmachines_records import BadRecord
from evtok.io.paths import Location
from evtok.io.presets import DETECTION_ORDER, load_schema
from evtok.io.schema import Schema
from evtok.io.sniff import sniff


class EventFile(Protocol):
    """What a format gives: one open file."""

    @property
    def format(self) -> str:
        """What the file is, for people."""

    @property
    def n_events(self) -> int:
        """Events in the file, from its metadata."""

    @property
    def schema(self) -> Schema:
        """The schema that the file is read by."""

    def iter_events(
        self, start: int, stop: int, chunk: int, columns: Iterable[str] | None, fields: Iterable[str] | None
    ) -> Iterator[Events]:
        """Yield events [start, stop), at most `chunk` at a time."""

    def close(self) -> None:
        """Close the file."""


@runtime_checkable
class RecordFile(Protocol):
    """An `EventFile` of which single records may be bad, while the others can be read."""

    def iter_records(
        self, start: int, stop: int, chunk: int, columns: Iterable[str] | None, fields: Iterable[str] | None
    ) -> Iterator[tuple[Events, list[BadRecord]]]:
        """Yield the events of at most `chunk` records at a time, and those records that cannot be read."""


@runtime_checkable
class BoundedFile(Protocol):
    """An `EventFile` that bounds the objects of a chunk itself, because to seek in it is dear."""

    #: About the most objects in one chunk.
    objects_per_chunk: int


def _root(path: str, schema: Schema, tree: str | None) -> EventFile:
    from evtok.io.root import open_root

    return open_root(path, schema, tree)


def _parquet(path: str, schema: Schema, tree: str | None) -> EventFile:
    from evtok.io.parquet import ParquetFile

    return ParquetFile(path, schema)


def _hdf5(path: str, schema: Schema, tree: str | None) -> EventFile:
    from evtok.io.hdf5 import HDF5File

    return HDF5File(path, schema)


def _npy(path: str, schema: Schema, tree: str | None) -> EventFile:
    from evtok.io.npy import NpyFile

    return NpyFile(path, schema)


def _darkmachines(path: str, schema: Schema, tree: str | None) -> EventFile:
    from evtok.io.darkmachines import DarkMachinesFile

    return DarkMachinesFile(path, schema)


#: How a file of each sniffed format is opened.
READERS: Mapping[str, Callable[[str, Schema, str | None], EventFile]] = {
    "root": _root,
    "parquet": _parquet,
    "hdf5": _hdf5,
    "npy": _npy,
    "darkmachines": _darkmachines,
}


def open_file(location: Location, schema: Schema | None) -> EventFile:
    """Open one file; without a schema, the first preset that fits.

    Raises
    ------
    InputFileError
        The file is missing, empty, broken or unsupported.
    SchemaError
        The schema, or every preset for this format, does not fit.
    """
    kind = sniff(location)
    if location.tree is not None and kind != "root":
        raise InputFileError(
            f"{location.path}: tree {location.tree!r} asked for, but a {kind} file has no trees"
        )
    if schema is not None:
        if kind not in schema.formats:
            raise SchemaError(
                f"{location.path}: is a {kind} file, but schema {schema.name} is for "
                f"{', '.join(schema.formats)}"
            )
        return READERS[kind](location.path, schema, location.tree)
    reasons = []
    for name in DETECTION_ORDER:
        candidate = load_schema(name)
        if kind in candidate.formats:
            try:
                return READERS[kind](location.path, candidate, location.tree)
            except SchemaError as error:
                reasons.append(f"  {name}: {str(error).removeprefix(location.path + ': ')}")
    raise SchemaError(
        f"{location.path}: a {kind} file that no preset fits; pass schema= with a dict or a TOML file that "
        "names its "
        "columns. Tried:\n" + "\n".join(reasons)
    )
