"""Text files as blocks of bytes: plain or gzip, local or behind an fsspec URL, in bounded memory."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any, Self

from evtok._optional import require
from evtok.errors import InputFileError
from evtok.io.faults import reading
from evtok.io.paths import Location

#: Bytes of text held at a time.
BLOCK = 4 * 1024 * 1024

#: Text of numbers compresses about 3 times; more than this, once it matters, is taken for a bomb.
MAX_RATIO = 200
RATIO_MATTERS = 64 * 1024 * 1024

GZIP_MAGIC = b"\x1f\x8b"


class TextStream:
    """One open text file; gzip is recognised by its first bytes, and decompressed block by block.

    Parameters
    ----------
    path : str
        Local path or fsspec URL.
    storage_options : mapping, optional
        Options of the fsspec file system.

    Raises
    ------
    InputFileError
        A file that cannot be opened or read, truncated or corrupt gzip, or text more than `MAX_RATIO` times
        longer than the gzip that holds it.
    """

    def __init__(self, path: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self.position = 0
        self._raw = _open(path, storage_options)
        try:
            with reading(path, "its first bytes", "check the path"):
                is_gzip = self._raw.read(2) == GZIP_MAGIC
                self._raw.seek(0)
        except BaseException:
            self._raw.close()
            raise
        self._file: Any = gzip.GzipFile(fileobj=self._raw, mode="rb") if is_gzip else self._raw

    def read(self) -> bytes:
        """Return the next bytes, about `BLOCK` of them; none at the end."""
        with reading(self.path, f"text from byte {self.position}"):
            data: bytes = self._file.read(BLOCK)
        self.position += len(data)
        if self._file is not self._raw and self.position > RATIO_MATTERS:
            compressed = max(1, self._raw.tell())
            if self.position > MAX_RATIO * compressed:
                raise InputFileError(
                    f"{self.path}: expected gzip of at most {MAX_RATIO} times its size, got {self.position} "
                    f"bytes of text from {compressed}; if they are wanted, decompress the file first"
                )
        return data

    def seek(self, position: int) -> None:
        """Continue at a byte of the text; in gzip, everything before it is decompressed again."""
        with reading(self.path, f"text from byte {position}"):
            self._file.seek(position)
        self.position = position

    def close(self) -> None:
        """Close the file."""
        if self._file is not self._raw:
            self._file.close()
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _open(path: str, storage_options: Mapping[str, Any] | None) -> Any:
    if not storage_options:
        return Location(path).handle()
    with reading(path, "it", "check the URL and storage_options"):
        return require("fsspec", extra="io").open(path, "rb", **storage_options).open()
