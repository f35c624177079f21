"""What a shard looks like: its columns, its metadata and the hashes of its content.

A shard is an Arrow IPC or Parquet file of record batches with a fixed number of events (the last may be
shorter): the columns of its product, such as ``tokens`` list<uint16 or int32>, then ``entry`` int64 (row of the event
in its input file), then the kept fields.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evtok._optional import require
from evtok.errors import ShardError
from evtok.jobs.batch import Batch
from evtok.jobs.product import Product

FORMAT_VERSION = 1
CONTAINERS = {"arrow": "none", "parquet": "zstd"}  # container: codec
PREFIX = "evtok."
ENTRY = ("entry", "int64")
#: What fields of events can be.
COLUMN_DTYPES = frozenset(
    [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)] + ["float32", "float64"]
)


@dataclass(frozen=True)
class ShardLayout:
    """Columns and metadata that all shards of a job have in common."""

    container: str
    product: Product
    fingerprint: str
    numerics: int
    version: str
    columns: tuple[tuple[str, str], ...]  # (name, NumPy dtype) of "entry" and of the kept fields, in order

    @property
    def suffix(self) -> str:
        """End of the names of shards."""
        return f".{self.container}"

    @property
    def all_columns(self) -> tuple[tuple[str, str], ...]:
        """Names and NumPy dtypes of all columns, in order."""
        return (*self.product.columns, *self.columns)

    def schema(self) -> Any:
        """Return the ``pyarrow.Schema`` with the metadata of the job."""
        pa = require("pyarrow", extra="io")
        fields = self.product.arrow_fields()
        fields += [pa.field(name, pa.from_numpy_dtype(dtype), nullable=False) for name, dtype in self.columns]
        return pa.schema(fields, metadata={PREFIX + key: value for key, value in self.metadata().items()})

    def metadata(self) -> dict[str, str]:
        """Return what a shard says of itself, without the prefix ``evtok.``."""
        return {
            "format": str(FORMAT_VERSION),
            "fingerprint": self.fingerprint,
            **self.product.metadata(),
            "numerics": str(self.numerics),
            "version": self.version,
        }

    def check_schema(self, found: Any, name: str) -> None:
        """Refuse a file whose columns or metadata are not those of this job."""
        expected = self.schema()
        if not found.equals(expected, check_metadata=False) or found.metadata != expected.metadata:
            raise ShardError(
                f"{name}: its columns or metadata are not those of its manifest; it is of another job"
            )


class ContentHash:
    """Hash of the logical content of `columns`, (name, NumPy dtype): the same for Arrow and Parquet, however packed."""

    def __init__(self, columns: Sequence[tuple[str, str]]) -> None:
        self._xxhash = require("xxhash", extra="io")
        self._whole = hashlib.sha256(json.dumps([list(column) for column in columns]).encode())

    def update(self, batch: Batch) -> None:
        """Add the next batch."""
        part = self._xxhash.xxh3_128()
        for array in batch.arrays():
            part.update(np.ascontiguousarray(array).view(np.uint8))
        self._whole.update(len(batch).to_bytes(8, "little") + part.digest())

    def hexdigest(self) -> str:
        """Return the hash of all batches so far."""
        return self._whole.hexdigest()


def to_record_batch(batch: Batch, layout: ShardLayout, schema: Any) -> Any:
    """Wrap a batch as a ``pyarrow.RecordBatch``, without a copy."""
    pa = require("pyarrow", extra="io")
    columns = [pa.array(batch.columns[name]) for name, _ in layout.columns]
    return pa.record_batch([*layout.product.to_arrow(batch), *columns], schema=schema)


def from_record_batch(found: Any, layout: ShardLayout) -> Batch:
    """View a ``pyarrow.RecordBatch`` as arrays, without a copy."""
    first = len(layout.product.columns)
    columns = {
        name: found.column(k).to_numpy(zero_copy_only=True)
        for k, (name, _) in enumerate(layout.columns, first)
    }
    return layout.product.from_arrow(found, columns)
