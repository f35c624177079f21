"""Signals to a running job: SIGUSR1 prints its state, SIGTERM drops the current shard and ends it."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import Any

from evtok.jobs.progress import Listener


@contextlib.contextmanager
def signals(listener: Listener | None) -> Iterator[Listener]:
    """Yield a listener that also follows the job, for the signals; `listener` is told everything."""
    done, total, rate, shards, all_shards = 0, 0, 0.0, 0, 0

    def follow(event: dict[str, Any]) -> None:
        nonlocal done, total, rate, shards, all_shards
        if event["event"] == "start":
            done, total = event["proven_events"], event["events"]
            shards, all_shards = event["proven_shards"], event["shards"]
        elif event["event"] == "progress":
            done, rate = event["done_events"], event["events_per_s"]
        elif event["event"] == "shard":
            shards += 1
        if listener is not None:
            listener(event)

    def show(*_: object) -> None:
        print(
            f"evtok: {done} of {total} events, {shards} of {all_shards} shards, {rate:.0f} events/s",
            file=sys.stderr,
            flush=True,
        )

    def end(*_: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)}
    signal.signal(signal.SIGUSR1, show)
    signal.signal(signal.SIGTERM, end)
    try:
        yield follow
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
