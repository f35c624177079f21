"""Padded arrays in npy files, with companions (mask, labels, ...) beside them; never a pickled object."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.errors import InputFileError, SchemaError
from evtok.io.faults import reading
from evtok.io.padded import PaddedFile
from evtok.io.paths import Location
from evtok.io.schema import Place, Schema

Array = npt.NDArray[Any]


@dataclass
class _Npy:
    """One open npy file whose header fits its size."""

    handle: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize


class NpyFile(PaddedFile):
    """One npy file and its companions."""

    format = "npy"

    def __init__(self, path: str, schema: Schema) -> None:
        super().__init__(path, schema)
        self._npy: dict[str, _Npy] = {}
        try:
            self._bind()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and its companions."""
        for array in self._npy.values():
            array.handle.close()

    def _find(self, place: Place) -> str | None:
        path = self.path
        if place.replace:
            folder, slash, name = self.path.rpartition("/")
            if place.replace not in name:
                raise SchemaError(f"{self.path}: schema {self.schema.name}{self._hint()}")
            path = folder + slash + name.replace(place.replace, place.by)
            if not Location(path).is_url and not Path(path).is_file():
                return None
        elif place.dataset and self.schema.arrays[0].place != place:
            raise SchemaError(
                f"{self.path}: schema {self.schema.name} names datasets, which an npy file does not have"
            )
        if path not in self._npy:
            self._npy[path] = _open(path)
        return path

    def _hint(self) -> str:
        places = [rule.place for rule in self.schema.arrays]
        wanted = [p.replace for p in places if p.replace and p.replace not in self.path.rpartition("/")[2]]
        return (
            f"; open the file with {wanted[0]!r} in its name, this one may be its companion" if wanted else ""
        )

    def _shape(self, name: str) -> tuple[int, ...]:
        return self._npy[name].shape

    def _row_bytes(self, name: str) -> int:
        return self._npy[name].row_bytes

    def _read(self, name: str, start: int, stop: int) -> Array:
        array = self._npy[name]
        array.handle.seek(array.start + start * array.row_bytes)
        data = array.handle.read((stop - start) * array.row_bytes)
        if len(data) != (stop - start) * array.row_bytes:
            raise InputFileError(
                f"{name}: ends within rows {start} to {stop}; the file was truncated while it was open"
            )
        return np.frombuffer(data, array.dtype).reshape(stop - start, *array.shape[1:])


def _open(path: str) -> _Npy:
    """Open an npy file and check that its header and its size agree, before anything is allocated."""
    location = Location(path)
    handle = location.handle()
    try:
        with reading(path, "the npy header"):
            version = np.lib.format.read_magic(handle)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read(handle)
            start = handle.tell()
        if dtype.hasobject:
            raise InputFileError(
                f"{path}: holds Python objects (pickled), which are never loaded; save a plain numeric "
                "array with numpy.save"
            )
        if dtype.kind not in "fiub" or dtype.itemsize > 8 or not shape:
            raise InputFileError(
                f"{path}: holds {dtype} of shape {shape}, expected an array of real numbers of up to 64 bits"
            )
        if fortran and len(shape) > 1:
            raise InputFileError(
                f"{path}: is in Fortran order; save it with numpy.save(path, numpy.ascontiguousarray(x))"
            )
        expected, size = start + math.prod(shape) * dtype.itemsize, location.size()
        if expected != size:
            what = "truncated" if size < expected else "followed by other bytes"
            raise InputFileError(
                f"{path}: the header says {dtype} of shape {shape}, which makes {expected} bytes, but the "
                f"file has {size}; it is {what}"
            )
    except BaseException:
        handle.close()
        raise
    return _Npy(handle, shape, dtype, start)
