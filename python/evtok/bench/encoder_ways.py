"""The fastest of several ways to call a package: a peer is timed as its experienced user would call it here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Way:
    """A way to do the work.

    Attributes
    ----------
    name : str
        What it sets, such as "fast path, 1 thread".
    run : callable
    threads : int
    """

    name: str
    run: Callable[[], Any]
    threads: int


def fastest(ways: Sequence[Way], trials: int = 2) -> tuple[Way, str]:
    """Return the way whose best time of some trials is the least, and a note that names it.

    The trials take turns, so that a machine that slows down meets all alike. One way is not tried.
    """
    if len(ways) == 1:
        return ways[0], ways[0].name
    best = [float("inf")] * len(ways)
    for way in ways:  # what a first call prepares is not its time
        way.run()
    for _ in range(trials):
        for k, way in enumerate(ways):
            begin = time.perf_counter()
            way.run()
            best[k] = min(best[k], time.perf_counter() - begin)
    chosen = ways[best.index(min(best))]
    return chosen, f"{chosen.name}, the fastest of {len(ways)} ways: {'; '.join(way.name for way in ways)}"
