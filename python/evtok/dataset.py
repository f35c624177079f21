"""`TokenDataset`: the shards of a job as one sequence of events, mapped and checked when first touched."""

from __future__ import annotations

import bisect
import operator
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from evtok.errors import FingerprintError, ShardError
from evtok.jobs import manifest as manifests
from evtok.jobs.batch import TokenBatch
from evtok.jobs.durable import OutputFolder
from evtok.jobs.manifest import Manifest, read_record, require_manifest
from evtok.jobs.shard_reader import ShardFile
from evtok.jobs.token_product import TokenProduct
from evtok.tokenizers import load_tokenizer
from evtok.tokens import Tokens

Array = npt.NDArray[Any]

_CACHED_BATCHES = 8  # of Parquet, which has to be decompressed; Arrow batches are views and all stay


class TokenDataset:
    """All events of a job, in the order of its inputs.

    Parameters
    ----------
    folder : path
        That `evtok tokenize` or `evtok.tokenize_files` wrote.
    verify : bool
        Check the hash of each record batch when it is first touched. Turning it off saves that one pass over
        the bytes and lets a flipped bit through.

    Raises
    ------
    JobError
        No manifest.
    ShardError
        The job is not finished; a document or a shard is altered, truncated or missing (a shard is looked at when
        it is first touched).
    FingerprintError
        The tokenizer in the folder is not the one that wrote the shards.

    Notes
    -----
    Shards of Parquet are for reading in order: an event at random costs decompressing its whole batch, and only the
    last few are kept. Take Arrow for training, which shuffles.

    ``dataset[i]`` is a read-only view (k,) into the mapped file, uint16 or int32. A dataset is pickled as its
    path, so it passes to workers of a ``torch.utils.data.DataLoader`` by fork and by spawn.
    """

    def __init__(self, folder: str | os.PathLike[str], *, verify: bool = True) -> None:
        self.folder = Path(folder)
        self._verify = verify
        with OutputFolder(self.folder, create=False) as opened:
            name = str(self.folder / manifests.NAME)
            self._manifest: Manifest = require_manifest(opened.read(manifests.NAME), name)
        self._manifest.require_finished(str(self.folder))
        plan = self._manifest.plan
        if not isinstance(plan.product, TokenProduct):
            raise ShardError(f"{self.folder}: holds {plan.product.NAME}, not tokens")
        self._product = plan.product
        self.tokenizer = load_tokenizer(self.folder / "tokenizer")
        if self.tokenizer.fingerprint != plan.fingerprint:
            raise FingerprintError(
                f"{self.folder}: the shards were written with the tokenizer {plan.fingerprint}, "
                f"the folder holds {self.tokenizer.fingerprint}"
            )
        self._layout = plan.layout()
        self._events_per_batch = plan.events_per_batch
        self._ends = np.cumsum([shard.events for shard in self._manifest.shards], dtype=np.int64).tolist()
        self._shards: dict[int, ShardFile] = {}
        self._batches: dict[tuple[int, int], TokenBatch] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, (str(self.folder), self._verify)

    # ---- what it is --------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Ids lie below it."""
        return self._product.vocab_size

    @property
    def pad_id(self) -> int:
        """Id that pads."""
        return self._product.pad_id

    @property
    def fingerprint(self) -> str:
        """Of the tokenizer that wrote the shards."""
        return self._layout.fingerprint

    @property
    def fields(self) -> tuple[str, ...]:
        """Names that `field` takes."""
        return tuple(name for name, _ in self._layout.columns)

    @property
    def n_tokens(self) -> int:
        """Ids in all events together."""
        return sum(shard.ids for shard in self._manifest.shards)

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._ends else 0

    def __repr__(self) -> str:
        return f"<TokenDataset: {len(self)} events, {self.n_tokens} tokens, fields: {', '.join(self.fields)}>"

    # ---- reading --------------------------------------------------------------------------------

    @overload
    def __getitem__(self, which: int) -> Array: ...
    @overload
    def __getitem__(self, which: slice) -> Tokens: ...
    def __getitem__(self, which: int | slice) -> Array | Tokens:
        """Return the ids (k,) of one event, a view; or the `Tokens` of a slice."""
        if isinstance(which, slice):
            return self._slice(*which.indices(len(self)))
        try:
            i = operator.index(which)
        except TypeError:
            raise TypeError(f"expected an int or a slice, got {which!r:.80}") from None
        if not -len(self) <= i < len(self):
            raise IndexError(f"event {i}: there are {len(self)} events")
        batch, k = self._locate(i % len(self))
        return batch.ids[batch.offsets[k] : batch.offsets[k + 1]]

    def __iter__(self) -> Iterator[Array]:
        """Yield the ids of every event, in order."""
        for batch in self.batches():
            for k in range(len(batch)):
                yield batch.ids[batch.offsets[k] : batch.offsets[k + 1]]

    def batches(self) -> Iterator[TokenBatch]:
        """Yield the record batches in order: offsets (n + 1,), ids (t,) and columns, read-only."""
        for shard in range(len(self._manifest.shards)):
            for k in range(len(self._shard(shard).record.batches)):
                yield self._batch(shard, k)

    def field(self, name: str) -> Array:
        """Return a kept field of every event, (n_events,); ``"entry"`` is its row in its file."""
        dtype = dict(self._layout.columns).get(name)
        if dtype is None:
            raise KeyError(f"{name!r}: the shards keep {', '.join(self.fields)}")
        parts = [batch.columns[name] for batch in self.batches()]
        return np.concatenate(parts) if parts else np.empty(0, dtype)

    def row(self, i: int) -> dict[str, Any]:
        """Return ``{"ids": (k,), "entry": ..., field: ...}`` of one event."""
        batch, k = self._locate(self._position(i))
        ids = batch.ids[batch.offsets[k] : batch.offsets[k + 1]]
        return {"ids": ids, **{name: values[k].item() for name, values in batch.columns.items()}}

    def file_of(self, i: int) -> str:
        """Return the path of the input that event `i` came from."""
        i = self._position(i)
        shard = self._manifest.shards[bisect.bisect_right(self._ends, i)]
        plan = self._manifest.plan
        return plan.inputs[plan.task(shard.index).file].path

    def file_indices(self) -> npt.NDArray[np.int32]:
        """Return the input that each event came from (n_events,), counted from 0 in the order of the job."""
        plan, shards = self._manifest.plan, self._manifest.shards
        files = np.array([plan.task(shard.index).file for shard in shards], np.int32)
        return np.repeat(files, [shard.events for shard in shards])

    # ---- finding --------------------------------------------------------------------------------

    def _position(self, i: int) -> int:
        i = operator.index(i)
        if not 0 <= i < len(self):
            raise IndexError(f"event {i}: expected 0 to {len(self) - 1}, there are {len(self)} events")
        return i

    def _locate(self, i: int) -> tuple[TokenBatch, int]:
        shard = bisect.bisect_right(self._ends, i)
        local = i - (self._ends[shard - 1] if shard else 0)
        return self._batch(shard, local // self._events_per_batch), local % self._events_per_batch

    def _slice(self, start: int, stop: int, step: int) -> Tokens:
        if step != 1:
            parts = [self[i] for i in range(start, stop, step)]
            counts = np.array([len(part) for part in parts], np.int64)
            return self._tokens(parts, counts)
        ids: list[Array] = []
        pieces = [np.empty(0, np.int64)]
        while start < stop:
            batch, k = self._locate(start)
            end = min(len(batch), k + stop - start)
            ids.append(batch.ids[batch.offsets[k] : batch.offsets[end]])
            pieces.append(np.diff(batch.offsets[k : end + 1]).astype(np.int64))
            start += end - k
        return self._tokens(ids, np.concatenate(pieces))

    def _tokens(self, parts: list[Array], counts: npt.NDArray[np.int64]) -> Tokens:
        ids = parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, self._product.ids_dtype), *parts])
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
        return Tokens(
            ids, offsets, fingerprint=self.fingerprint, pad_id=self.pad_id, vocab_size=self.vocab_size
        )

    def _batch(self, shard: int, k: int) -> TokenBatch:
        found = self._batches.get((shard, k))
        if found is None:
            read = self._shard(shard).batch(k)
            assert isinstance(read, TokenBatch)
            found = read
            if self._layout.container != "arrow" and len(self._batches) >= _CACHED_BATCHES:
                self._batches.pop(next(iter(self._batches)))
            self._batches[shard, k] = found
        return found

    def _shard(self, k: int) -> ShardFile:
        found = self._shards.get(k)
        if found is None:
            entry = self._manifest.shards[k]
            task = self._manifest.plan.task(entry.index)
            name = task.stem + ".json"
            with OutputFolder(self.folder, create=False) as opened:
                record = read_record(opened.read(name), self._manifest.plan, task, str(self.folder / name))
            if manifests.entry_of(record) != entry:
                raise ShardError(f"{self.folder / name}: the record and the manifest state different things")
            found = self._shards[k] = ShardFile(self.folder, record, self._layout, verify=self._verify)
        return found


def _open(folder: str, verify: bool) -> TokenDataset:
    return TokenDataset(folder, verify=verify)
