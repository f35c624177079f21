"""Which module makes the cases of each benchmark. A new benchmark is one line here and one module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evtok.bench import shapes

if TYPE_CHECKING:
    from evtok.bench.gpu.device import Device

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

#: The same on a GPU; see `evtok.bench.gpu`.
ON_GPU = {
    "tokenize": "evtok.bench.gpu.tokenize",
    "digitize": "evtok.bench.gpu.digitize",
    "nearest": "evtok.bench.gpu.nearest",
    "score": "evtok.bench.gpu.score",
    "encoder": "evtok.bench.gpu.encoder",
}


@dataclass(frozen=True)
class Settings:
    """What the user asked for.

    Attributes
    ----------
    threads : int
        Of ours and of the peers, on the host.
    peers : bool
        All that are installed, beside the reference.
    data : Path, optional
        The folder of event files.
    device : Device, optional
        A GPU: its benchmarks are run. None: those of the CPU.
    """

    threads: int
    peers: bool = False
    data: Path | None = None
    device: Device | None = None


def cases(benchmark: str, settings: Settings, shape: str | None = None) -> Iterator[Any]:
    """Yield the cases (or finished rows) of a benchmark, for its default shapes or the one named."""
    on_gpu = settings.device is not None
    module = import_module((ON_GPU if on_gpu else BENCHMARKS)[benchmark])
    for found in shapes.load(benchmark, shape, on_gpu=on_gpu):
        yield from module.cases(found, settings)
