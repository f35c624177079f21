"""Read one shard: memory-mapped, every byte checked before Arrow interprets it."""

from __future__ import annotations

import contextlib
import mmap
import os
from pathlib import Path
from typing import Any

from evtok._optional import require
from evtok.errors import ShardError
from evtok.jobs.batch import Batch
from evtok.jobs.durable import OutputFolder, describe
from evtok.jobs.record import Segment, ShardRecord
from evtok.jobs.shard_format import ShardLayout, from_record_batch

_REMEDY = "the file was altered after it was written: remove it and run the job again"


class ShardFile:
    """A shard and its record.

    Parameters
    ----------
    folder : Path
        Of the job.
    record, layout
        What the shard must be.
    verify : bool
        Check the hash of each batch when it is first read, and that of the end of the file now.

    Raises
    ------
    ShardError
        Missing, a link, of another size, or altered.
    """

    def __init__(
        self, folder: Path, record: ShardRecord, layout: ShardLayout, *, verify: bool = True
    ) -> None:
        self.path, self.record, self._layout = folder / record.name, record, layout
        self._bytes = _map(folder, record.name, record.size)
        self._unchecked = [verify] * len(record.batches)
        if verify:
            self._check(record.end, "its end")
        pa = require("pyarrow", extra="io")
        source = pa.BufferReader(pa.py_buffer(self._bytes))
        try:
            self._read, n_batches, schema = _open(source, layout.container)
        except (pa.ArrowException, OSError) as error:
            raise ShardError(f"{self.path}: not a shard of evtok ({error}); {_REMEDY}") from error
        layout.check_schema(schema, str(self.path))
        if n_batches != len(record.batches):
            raise ShardError(
                f"{self.path}: {n_batches} batches, its record has {len(record.batches)}; {_REMEDY}"
            )

    def raw(self) -> memoryview:
        """All bytes of the file."""
        return memoryview(self._bytes)

    def batch(self, k: int) -> Batch:
        """Return batch `k`: views into the file for Arrow, decompressed for Parquet."""
        expected = self.record.batches[k]
        if self._unchecked[k]:
            self._check(expected.segment, f"batch {k}")
        pa = require("pyarrow", extra="io")
        try:
            found = self._read(k)
            found.validate()  # Arrow believes the lengths of a file: beyond its buffers lies other memory
            batch = from_record_batch(found, self._layout)
        except (pa.ArrowException, OSError, ShardError) as error:
            raise ShardError(f"{self.path}: batch {k} cannot be read ({error}); {_REMEDY}") from error
        if (len(batch), batch.n_ids) != (expected.events, expected.ids):
            raise ShardError(f"{self.path}: batch {k} holds other counts than its record; {_REMEDY}")
        self._unchecked[k] = False
        return batch

    def _check(self, segment: Segment, what: str) -> None:
        xxhash = require("xxhash", extra="io")
        part = memoryview(self._bytes)[segment.offset : segment.offset + segment.size]
        if xxhash.xxh3_128_hexdigest(part) != segment.xxh3_128:
            raise ShardError(f"{self.path}: {what} does not have its recorded hash; {_REMEDY}")


def _map(folder: Path, name: str, size: int) -> mmap.mmap:
    path = folder / name
    try:
        with OutputFolder(folder, create=False) as opened:
            fd = opened.open(name)
    except ShardError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise ShardError(f"{path}: the shard is missing; run the job again to write it") from error
        raise
    try:
        found = os.fstat(fd).st_size
        if found != size or size == 0:
            raise ShardError(f"{path}: {found} bytes, its record has {size}; {_REMEDY}")
        return mmap.mmap(fd, size, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ShardError(f"{path}: cannot map the shard: {describe(error)}") from error
    finally:
        with contextlib.suppress(OSError):  # nothing was written through it
            os.close(fd)


def _open(source: Any, container: str) -> tuple[Any, int, Any]:
    if container == "arrow":
        reader = require("pyarrow.ipc", extra="io").open_file(source)
        return reader.get_batch, reader.num_record_batches, reader.schema
    file = require("pyarrow.parquet", extra="io").ParquetFile(source)
    return lambda k: _row_group(file, k), file.num_row_groups, file.schema_arrow


def _row_group(file: Any, k: int) -> Any:
    table = file.read_row_group(k, use_threads=False).combine_chunks()
    return table.to_batches()[0]
