"""Seconds that a task spends in each stage: reading events, encoding them, writing the shard.

Reading goes on in a thread of its own while the last chunk is encoded, so the stages overlap: their sum can exceed the
time of the task, and the rate of a stage is what it would reach if it never waited for the others.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

NAMES = ("read", "encode", "write")


@dataclass
class Stages:
    """Seconds of each of `NAMES`."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(NAMES, 0.0))

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the time that the ``with`` block takes to a stage."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - begin

    def to_json(self) -> dict[str, float]:
        """Return ``read_s``, ``encode_s`` and ``write_s``, as the log has them."""
        return {f"{name}_s": round(seconds, 4) for name, seconds in self.seconds.items()}


def timed_items(items: Iterable[T]) -> Iterator[tuple[T, float]]:
    """Yield each item with the seconds that it took to come."""
    iterator = iter(items)
    while True:
        begin = time.perf_counter()
        try:
            item = next(iterator)
        except StopIteration:
            return
        yield item, time.perf_counter() - begin


def worker_name() -> str:
    """Name this process as logs do: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"
