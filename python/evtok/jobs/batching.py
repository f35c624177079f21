"""Cut encoded chunks into batches of a fixed number of events, so that no byte depends on the chunks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evtok.events import Events
from evtok.jobs.batch import Array, Batch
from evtok.jobs.memory import Budget


class Batcher:
    """Collects encoded events and gives them back `n_events` at a time; `name` is that of the shard, for messages."""

    def __init__(self, name: str, n_events: int, budget: Budget) -> None:
        self._name, self._n_events, self._budget = name, n_events, budget
        self._parts: list[Batch] = []
        self._waiting = 0

    def add(self, encoded: Batch) -> Iterator[Batch]:
        """Add a chunk of any size; yield the full batches."""
        start, n = 0, len(encoded)
        while n - start:
            stop = min(n, start + self._n_events - self._waiting)
            self._parts.append(encoded.part(start, stop))
            self._waiting += stop - start
            start = stop
            self._budget.require_batch((a for part in self._parts for a in part.arrays()), self._name)
            if self._waiting == self._n_events:
                yield self._take()

    def rest(self) -> Iterator[Batch]:
        """Yield the last batch, if events are waiting."""
        if self._waiting:
            yield self._take()

    def _take(self) -> Batch:
        parts, self._parts, self._waiting = self._parts, [], 0
        return type(parts[0]).joined(parts, self._name)


def regroup(
    chunks: Iterator[tuple[Events, Array]], n_events: int, budget: Budget, name: str
) -> Iterator[tuple[Events, Array]]:
    """Yield the same events and their entries `n_events` at a time, however they come; the last may be fewer."""
    parts: list[tuple[Events, Array]] = []
    waiting = 0
    for events, entries in chunks:
        start = 0
        while start < len(events):
            stop = min(len(events), start + n_events - waiting)
            parts.append((events[start:stop], entries[start:stop]))
            waiting += stop - start
            start = stop
            budget.require_events([part for part, _ in parts], name)
            if waiting == n_events:
                yield _joined(parts)
                parts, waiting = [], 0
    if parts:
        yield _joined(parts)


def _joined(parts: list[tuple[Events, Array]]) -> tuple[Events, Array]:
    if len(parts) == 1:
        return parts[0]
    return Events.concatenate([events for events, _ in parts]), np.concatenate(
        [entries for _, entries in parts]
    )
