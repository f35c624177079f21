"""What a running job says: events for a callback, which a bar, a log or a test may listen to.

Each event is a flat dictionary that JSON can hold. All have ``event`` and ``seconds`` (since the start):

=============  ====================================================================================
``start``      ``folder``, ``shards``, ``events``: what there is; ``proven_shards``, ``proven_events``: what
               earlier runs wrote and this one proved by hash
``progress``   ``done_events``, ``total_events``, ``events_per_s``, ``eta_s`` (None while unknown);
               ``done_events`` never falls
``shard``      ``name``, ``events``, ``ids``, ``bytes``, ``quarantined``, ``unknown``, ``truncated_events``,
               ``truncated_objects``, ``cut_objects``, ``sha256`` of a shard just recorded; the ``worker`` that wrote it
               (host and process id) in its ``attempt``, and its ``read_s``, ``encode_s`` and
               ``write_s`` (`evtok.jobs.stages`)
``task``       ``name``, ``attempt`` (from 1) of a task that was handed out
``retry``      ``name``, ``attempt`` that comes next, after ``wait_s`` seconds; ``worker`` (host and process id, or the
               address that a cluster knows it by) and ``reason`` of the one that failed
``unreadable`` ``name``, ``file``, ``start``, ``stop``, ``reason`` of a range that went to quarantine
``finish``     ``read``, ``written``, ``filtered``, ``quarantined``, ``unknown``, ``truncated_events``,
               ``truncated_objects``, ``cut_objects``, ``ids``, ``bytes``, ``complete``
``merge``      ``path``, ``bytes``, ``sha256`` of a file of scores; ``was_there``
=============  ====================================================================================
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

Listener = Callable[[dict[str, Any]], None]

_INTERVAL = 0.2  # seconds between two events "progress"


class Progress:
    """Counts events of a job and tells the listener."""

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener
        self._begin = time.monotonic()
        self._last = -_INTERVAL
        self._total = self._proven = self._done = 0

    def start(self, folder: str, shards: int, events: int, proven_shards: int, proven_events: int) -> None:
        """Say what there is to do."""
        self._total, self._proven, self._done = events, proven_events, proven_events
        self.say(
            "start",
            folder=folder,
            shards=shards,
            events=events,
            proven_shards=proven_shards,
            proven_events=proven_events,
        )

    def add(self, events: int) -> None:
        """Count events that were read and encoded."""
        self._done = min(self._done + events, self._total)
        if self.seconds - self._last >= _INTERVAL or self._done == self._total:
            self._last = self.seconds
            rate = (self._done - self._proven) / max(self.seconds, 1e-9)
            self.say(
                "progress",
                done_events=self._done,
                total_events=self._total,
                events_per_s=round(rate, 1),
                eta_s=round((self._total - self._done) / rate, 1) if rate else None,
            )

    def say(self, event: str, **content: Any) -> None:
        """Tell the listener."""
        if self._listener is not None:
            self._listener({"event": event, "seconds": round(self.seconds, 3), **content})

    @property
    def seconds(self) -> float:
        """Since the start of the job."""
        return time.monotonic() - self._begin
