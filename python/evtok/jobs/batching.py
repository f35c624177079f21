"""Cut encoded chunks into batches of a fixed number of events, so that no byte depends on the chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.jobs.shard_format import EVENTS_PER_BATCH, Batch, check_batch_size

Array = npt.NDArray[Any]


class Batcher:
    """Collects encoded events and gives them back in batches.

    Parameters
    ----------
    name : str
        Of the shard, for messages.
    ids_dtype : dtype
        uint16 or int32; ids are of this dtype in every batch.
    """

    def __init__(self, name: str, ids_dtype: np.dtype[Any]) -> None:
        self._name, self._ids_dtype = name, ids_dtype
        self._counts: list[npt.NDArray[np.int64]] = []
        self._ids: list[Array] = []
        self._columns: list[Mapping[str, Array]] = []
        self._waiting = 0

    def add(
        self, offsets: npt.NDArray[np.int64], ids: Array, columns: Mapping[str, Array]
    ) -> Iterator[Batch]:
        """Add a chunk: offsets (n + 1,) from 0, ids (t,), columns (n,) each; yield the full batches."""
        start, n = 0, len(offsets) - 1
        while n - start:
            stop = min(n, start + EVENTS_PER_BATCH - self._waiting)
            self._counts.append(np.diff(offsets[start : stop + 1]))
            self._ids.append(ids[offsets[start] : offsets[stop]])
            self._columns.append({name: values[start:stop] for name, values in columns.items()})
            self._waiting += stop - start
            start = stop
            if self._waiting == EVENTS_PER_BATCH:
                yield self._take()

    def rest(self) -> Iterator[Batch]:
        """Yield the last batch, if events are waiting."""
        if self._waiting:
            yield self._take()

    def _take(self) -> Batch:
        counts = _joined(self._counts)
        offsets = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        check_batch_size(int(offsets[-1]), self._name)
        ids = _joined(self._ids).astype(self._ids_dtype, copy=False)
        columns = {name: _joined([part[name] for part in self._columns]) for name in self._columns[0]}
        self._counts, self._ids, self._columns, self._waiting = [], [], [], 0
        return Batch(offsets.astype(np.int32), ids, columns)


def _joined(parts: list[Any]) -> Array:
    return np.ascontiguousarray(parts[0] if len(parts) == 1 else np.concatenate(parts))
