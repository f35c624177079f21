"""Write one shard: record batches into an Arrow IPC or Parquet file, hashed while they are written."""

from __future__ import annotations

import hashlib
from typing import Any

from evtok._optional import require
from evtok.jobs.batch import Batch
from evtok.jobs.durable import AtomicFile
from evtok.jobs.record import BatchRecord, Segment
from evtok.jobs.shard_format import CONTAINERS, ContentHash, ShardLayout, to_record_batch


class HashingSink:
    """The file object that Arrow writes to: hashes the whole file, and each segment of it, in one pass."""

    closed = False

    def __init__(self, file: AtomicFile) -> None:
        self._file = file
        self._whole = hashlib.sha256()
        self._xxhash = require("xxhash", extra="io")
        self._part, self._start = self._xxhash.xxh3_128(), 0

    def write(self, data: Any) -> int:
        """Append `data`."""
        view = memoryview(data).cast("B")
        if self._file.discarded:  # a writer of Arrow that is torn down after a failure still tries to write
            return len(view)
        self._file.write(view)
        self._whole.update(view)
        self._part.update(view)
        return len(view)

    def tell(self) -> int:
        """Bytes so far."""
        return self._file.size

    def cut(self) -> Segment:
        """End a segment here: everything since the last cut."""
        segment = Segment(self._start, self._file.size - self._start, self._part.hexdigest())
        self._part, self._start = self._xxhash.xxh3_128(), self._file.size
        return segment

    def sha256(self) -> str:
        """Return the hash of all bytes so far."""
        return self._whole.hexdigest()

    def flush(self) -> None:
        """Bytes go out as they come; `AtomicFile.commit` makes them durable."""

    def close(self) -> None:
        """The owner of the file closes it."""

    def readable(self) -> bool:
        """No."""
        return False

    def writable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """No."""
        return False


class ShardWriter:
    """Writes batches of one shard into `file`; the caller commits the file."""

    def __init__(self, file: AtomicFile, layout: ShardLayout) -> None:
        self._layout, self._schema = layout, layout.schema()
        self._sink = HashingSink(file)
        self._content = ContentHash(layout.all_columns)
        self.batches: list[BatchRecord] = []
        self._writer = _open_writer(self._sink, layout.container, self._schema)

    def write(self, batch: Batch) -> None:
        """Append one batch."""
        self._writer.write_batch(to_record_batch(batch, self._layout, self._schema))
        self._content.update(batch)
        self.batches.append(BatchRecord(len(batch), batch.n_ids, self._sink.cut()))

    def finish(self) -> tuple[Segment, str, str]:
        """End the file; returns its last segment, the sha256 of all and the hash of the content."""
        self._writer.close()
        return self._sink.cut(), self._sink.sha256(), self._content.hexdigest()


def _open_writer(sink: HashingSink, container: str, schema: Any) -> Any:
    pa = require("pyarrow", extra="io")
    target = pa.PythonFile(sink, mode="w")
    if container == "arrow":
        return require("pyarrow.ipc", extra="io").new_file(target, schema)
    parquet = require("pyarrow.parquet", extra="io")
    return parquet.ParquetWriter(
        target, schema, compression=CONTAINERS[container], use_dictionary=False, write_page_checksum=True
    )
