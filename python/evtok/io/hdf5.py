"""Padded arrays in HDF5 files: LHC Olympics (PyTables and blosc), JetNet, ADC2021, top tagging tables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok._optional import require
from evtok.errors import InputFileError, SchemaError
from evtok.io.faults import reading
from evtok.io.padded import PaddedFile
from evtok.io.paths import Location
from evtok.io.schema import Place, Schema

Array = npt.NDArray[Any]

#: Filters of HDF5 itself, and those that hdf5plugin registers (bzip2, lzf, blosc, lz4, bitshuffle, zstd,
#: blosc2). A file that names another one would make HDF5 look for a plugin, which is code.
_BUILT_IN = frozenset({1, 2, 3, 4, 5, 6, 32000})
_PLUGINS = frozenset({307, 32001, 32004, 32008, 32015, 32026})

#: One compressed chunk is decompressed as a whole, so its declared size is limited before that.
_MAX_CHUNK_BYTES = 1 << 30

#: Zeros compress well, but no codec here does better than this.
_MAX_RATIO = 100_000


class HDF5File(PaddedFile):
    """One HDF5 file."""

    format = "HDF5"

    def __init__(self, path: str, schema: Schema) -> None:
        super().__init__(path, schema)
        h5py = require("h5py", extra="io")
        location = Location(path)
        self._handle = location.handle() if location.is_url else None
        self._datasets: dict[str, tuple[Any, str]] = {}
        try:
            with reading(path, "the HDF5 file"):
                self._file = h5py.File(self._handle or path, "r")
        except BaseException:
            if self._handle:
                self._handle.close()
            raise
        try:
            self._bind()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._handle:
            self._handle.close()

    def _find(self, place: Place) -> str | None:
        if not place.dataset:
            raise SchemaError(
                f"{self.path}: schema {self.schema.name} names no dataset, which an HDF5 file needs"
            )
        for name in place.dataset:
            with reading(self.path, f"dataset {name}"):
                dataset = self._resolve(name)
                if dataset is None:
                    continue
                key = f"{name}[{place.record}]" if place.record else name
                fields = dataset.dtype.names or ()
                if place.record not in (*fields, "") or bool(fields) != bool(place.record):
                    raise SchemaError(
                        f"{self.path}: schema {self.schema.name} expects {key}; {name} holds "
                        f"{', '.join(fields) or dataset.dtype}"
                    )
                dtype = dataset.dtype[place.record] if place.record else dataset.dtype
                if dtype.base.kind not in "fiub" or dtype.base.itemsize > 8:
                    raise SchemaError(
                        f"{self.path}: {key} holds {dtype}, expected real numbers of up to 64 bits"
                    )
                self._datasets[key] = (dataset, place.record)
                return key
        if place == self.schema.arrays[0].place:
            with reading(self.path, "the list of datasets"):
                there = ", ".join(list(self._file)[:12]) or "nothing"
            raise SchemaError(
                f"{self.path}: schema {self.schema.name} needs {' or '.join(place.dataset)}; the file has "
                f"{there}"
            )
        return None

    def _resolve(self, name: str) -> Any:
        """Return a dataset of this very file, refusing links and storage that lead out of it."""
        h5py = require("h5py", extra="io")
        node: Any = self._file
        for part in name.split("/"):
            if not isinstance(node, h5py.Group) or part not in node:
                link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
                if link is not None and not isinstance(link, h5py.HardLink):
                    raise InputFileError(
                        f"{self.path}: {name} is a link that leads nowhere, or to another file"
                    )
                return None
            if not isinstance(node.get(part, getlink=True), h5py.HardLink):
                raise InputFileError(
                    f"{self.path}: {name} is a soft or external link, which is not followed; copy the data "
                    "into the file (h5repack)"
                )
            node = node[part]
        if not isinstance(node, h5py.Dataset):
            return None
        self._check(name, node)
        return node

    def _check(self, name: str, dataset: Any) -> None:
        if dataset.is_virtual or dataset.external:
            raise InputFileError(
                f"{self.path}: {name} keeps its data in other files (virtual or external storage), which "
                "are not opened"
            )
        creation = dataset.id.get_create_plist()
        filters = {creation.get_filter(k)[0] for k in range(creation.get_nfilters())}
        unknown = filters - _BUILT_IN - _PLUGINS
        if unknown:
            raise InputFileError(
                f"{self.path}: {name} is compressed with HDF5 filter {min(unknown)}, which is not "
                "supported; use h5repack"
            )
        if filters & _PLUGINS:
            require("hdf5plugin", extra="io")  # its import registers blosc and the like with HDF5
        if not dataset.shape:
            raise SchemaError(f"{self.path}: {name} is a single value, expected an array")
        size, stored = math.prod(dataset.shape) * dataset.dtype.itemsize, dataset.id.get_storage_size()
        chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize if dataset.chunks else 0
        if size > stored * _MAX_RATIO or chunk > _MAX_CHUNK_BYTES:
            raise InputFileError(
                f"{self.path}: {name} claims {size} bytes in chunks of {chunk}, but {stored} are stored; "
                "the file is corrupt or hostile"
            )

    def _shape(self, name: str) -> tuple[int, ...]:
        dataset, record = self._datasets[name]
        return tuple(dataset.shape) + (dataset.dtype[record].shape if record else ())

    def _row_bytes(self, name: str) -> int:
        dataset, _ = self._datasets[name]
        return int(math.prod(dataset.shape[1:]) * dataset.dtype.itemsize)

    def _read(self, name: str, start: int, stop: int) -> Array:
        dataset, record = self._datasets[name]
        rows = dataset[start:stop]
        return np.asarray(rows[record] if record else rows)
