"""What a token shard looks like: its columns, its metadata and the hashes of its content.

A shard is an Arrow IPC or Parquet file of record batches with a fixed number of events (the last may be
shorter): ``tokens`` list<uint16 or int32>, ``entry`` int64 (row of the event in its input file), then the
kept fields.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok._optional import require
from evtok.errors import JobError, ShardError

FORMAT_VERSION = 1
EVENTS_PER_BATCH = 16_384
MAX_IDS_PER_BATCH = 2**31 - 1
CONTAINERS = {"arrow": "none", "parquet": "zstd"}  # container: codec
PREFIX = "evtok."
ENTRY = ("entry", "int64")
#: What fields of events can be.
COLUMN_DTYPES = frozenset(
    [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)] + ["float32", "float64"]
)

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Batch:
    """One record batch as arrays: a fixed number of events and everything that a shard keeps of them."""

    offsets: npt.NDArray[np.int32]  # (n + 1,), from 0
    ids: Array  # (t,) uint16 or int32
    columns: Mapping[str, Array]  # "entry" and the kept fields, each (n,)

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True)
class ShardLayout:
    """Columns and metadata that all shards of a job have in common."""

    container: str
    vocab_size: int
    pad_id: int
    fingerprint: str
    numerics: int
    version: str
    columns: tuple[tuple[str, str], ...]  # (name, NumPy dtype) of "entry" and of the kept fields, in order

    @property
    def ids_dtype(self) -> np.dtype[Any]:
        """uint16 where the vocabulary fits, else int32."""
        return np.dtype(np.uint16 if self.vocab_size <= 65_536 else np.int32)

    @property
    def suffix(self) -> str:
        """End of the names of shards."""
        return f".{self.container}"

    def schema(self) -> Any:
        """Return the ``pyarrow.Schema`` with the metadata of the job."""
        pa = require("pyarrow", extra="io")
        fields = [pa.field("tokens", self.tokens_type(), nullable=False)]
        fields += [pa.field(name, pa.from_numpy_dtype(dtype), nullable=False) for name, dtype in self.columns]
        return pa.schema(fields, metadata={PREFIX + key: value for key, value in self.metadata().items()})

    def tokens_type(self) -> Any:
        """Return the ``pyarrow`` type of the column ``tokens``."""
        pa = require("pyarrow", extra="io")
        return pa.list_(pa.field("item", pa.from_numpy_dtype(self.ids_dtype), nullable=False))

    def metadata(self) -> dict[str, str]:
        """Return what a shard says of itself, without the prefix ``evtok.``."""
        return {
            "format": str(FORMAT_VERSION),
            "fingerprint": self.fingerprint,
            "vocab_size": str(self.vocab_size),
            "pad_id": str(self.pad_id),
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
    """Hash of the logical content of a shard: the same for Arrow and Parquet, for any compression."""

    def __init__(self, layout: ShardLayout) -> None:
        self._xxhash = require("xxhash", extra="io")
        columns = [["tokens", layout.ids_dtype.name], *([name, dtype] for name, dtype in layout.columns)]
        self._whole = hashlib.sha256(json.dumps(columns).encode())

    def update(self, batch: Batch) -> None:
        """Add the next batch."""
        part = self._xxhash.xxh3_128()
        for array in (batch.offsets, batch.ids, *batch.columns.values()):
            part.update(np.ascontiguousarray(array).view(np.uint8))
        self._whole.update(len(batch).to_bytes(8, "little") + part.digest())

    def hexdigest(self) -> str:
        """Return the hash of all batches so far."""
        return self._whole.hexdigest()


def to_record_batch(batch: Batch, layout: ShardLayout, schema: Any) -> Any:
    """Wrap a batch as a ``pyarrow.RecordBatch``, without a copy."""
    pa = require("pyarrow", extra="io")
    tokens = pa.ListArray.from_arrays(pa.array(batch.offsets), pa.array(batch.ids), type=layout.tokens_type())
    columns = [pa.array(batch.columns[name]) for name, _ in layout.columns]
    return pa.record_batch([tokens, *columns], schema=schema)


def from_record_batch(found: Any, layout: ShardLayout) -> Batch:
    """View a ``pyarrow.RecordBatch`` as arrays, without a copy."""
    tokens = found.column(0)
    offsets = tokens.offsets.to_numpy(zero_copy_only=True)
    ids = tokens.values.to_numpy(zero_copy_only=True)
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(ids):
        raise ShardError("tokens: the offsets of a batch do not span its ids")
    columns = {
        name: found.column(k).to_numpy(zero_copy_only=True) for k, (name, _) in enumerate(layout.columns, 1)
    }
    return Batch(offsets, ids, columns)


def check_batch_size(n_ids: int, name: str) -> None:
    """Refuse a batch whose offsets would not fit in int32."""
    if n_ids > MAX_IDS_PER_BATCH:
        raise JobError(
            f"{name}: {EVENTS_PER_BATCH} events hold {n_ids} tokens, more than the {MAX_IDS_PER_BATCH} of "
            "a record "
            "batch; set max_length in the tokenizer"
        )
