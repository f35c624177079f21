"""Read ahead: a thread reads the next chunk while the caller encodes and writes the last one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def read_ahead(items: Iterable[T], depth: int = 1) -> Generator[T, None, None]:
    """Yield `items`, produced by a thread that is at most `depth` items ahead of a consumer.

    Readers and kernels release the GIL, so both sides run at the same time. An exception of `items` is raised
    here, in its place. Closing the generator stops the thread.
    """
    waiting: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(kind: str, value: T | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                waiting.put((kind, value), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:  # carried over to the caller
            put("error", error)

    thread = threading.Thread(target=produce, name="evtok-read-ahead", daemon=True)
    thread.start()
    try:
        yield from _consume(waiting)
    finally:
        stop.set()
        thread.join()


def _consume(waiting: queue.Queue[tuple[str, T | BaseException | None]]) -> Iterator[T]:
    while True:
        kind, value = waiting.get()
        if kind == "end":
            return
        if isinstance(value, BaseException) and kind == "error":
            raise value
        yield value  # type: ignore[misc]
