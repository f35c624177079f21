"""Which module makes the cases of each benchmark. A new benchmark is one line here and one module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from evtok.bench import shapes

#: A module has ``cases(shape, settings)``, which yields `Case`s one at a time; one that measures something else than
#: time may yield finished rows instead, as dicts.
BENCHMARKS = {
    "tokenize": "evtok.bench.tokenize",
    "digitize": "evtok.bench.digitize",
    "nearest": "evtok.bench.nearest",
    "score": "evtok.bench.score",
    "encoder": "evtok.bench.encoder",
    "io": "evtok.bench.io",
}


@dataclass(frozen=True)
class Settings:
    """What the user asked for: threads of ours, peers beside the reference, and the folder of event files."""

    threads: int
    peers: bool = False
    data: Path | None = None


def cases(benchmark: str, settings: Settings, shape: str | None = None) -> Iterator[Any]:
    """Yield the cases (or finished rows) of a benchmark, for its default shapes or the one named."""
    module = import_module(BENCHMARKS[benchmark])
    for found in shapes.load(benchmark, shape):
        yield from module.cases(found, settings)
