"""FAISS as the peer of lookups, at its best: the index is made before, and the fastest of its settings is taken.

FAISS compares each row with each code one by one while n * D is below `distance_compute_blas_threshold` (128000), and
has kernels that are tens of times faster above: 30,000 rows of 4 dimensions can take longer than a million. These
kernels serve smaller calls too once the threshold is lowered. Where products of matrices are used (more than 16 or 32
dimensions, and inner products), the blocks of rows decide what stays in the caches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

from evtok.bench.nearest_data import Array

Find = Callable[[Array], Any]


class Settings(NamedTuple):
    """Global variables of FAISS, each after its prefix ``distance_compute_``."""

    blas_threshold: int
    blas_query_bs: int
    blas_database_bs: int


#: Its defaults, then its fast kernels for any size, with blocks of fewer and fewer rows.
CANDIDATES = (
    Settings(128_000, 4096, 1024),
    Settings(1, 4096, 1024),
    Settings(1, 1024, 1024),
    Settings(1, 256, 1024),
)


@dataclass(frozen=True)
class Prepared:
    """What a peer has made before it is timed.

    Attributes
    ----------
    find : callable
        Rows (n, D) to ids (n,).
    settings : callable
        A context in which `find` runs.
    notes : tuple of str
        What a reader of its numbers must know.
    """

    find: Find
    settings: Callable[[], AbstractContextManager[Any]] = nullcontext
    notes: tuple[str, ...] = ()


def index(codes: Array, name: str) -> Find:
    """Make an index of the codes; returns its search for one neighbour."""
    flat = getattr(import_module("faiss"), name)(codes.shape[1])
    flat.add(codes)
    return lambda x: flat.search(x, 1)[1][:, 0]


def prepare(codes: Array, threads: int, x: Array, name: str) -> Prepared:
    """Prepare a search for rows like x with the settings that are fastest for them."""
    faiss = import_module("faiss")
    faiss.omp_set_num_threads(threads)
    find = index(codes, name)
    fastest = min(CANDIDATES, key=lambda candidate: _seconds(find, candidate, x))
    values = ", ".join(f"{key}={value}" for key, value in fastest._asdict().items())
    note = f"{values}, the fastest of {len(CANDIDATES)} settings; {_vectors(faiss)}"
    return Prepared(find, lambda: set_to(fastest), (note,))


@contextmanager
def set_to(settings: Settings) -> Iterator[None]:
    """Set the global variables of FAISS for a while."""
    variables = import_module("faiss").cvar
    before = {key: getattr(variables, f"distance_compute_{key}") for key in settings._fields}
    for key, value in settings._asdict().items():
        setattr(variables, f"distance_compute_{key}", value)
    try:
        yield
    finally:
        for key, value in before.items():
            setattr(variables, f"distance_compute_{key}", value)


def _seconds(find: Find, settings: Settings, x: Array) -> float:
    # Enough rows to be on the same side of every threshold as all of them, and for two blocks.
    few = x[: max(8192, CANDIDATES[0].blas_threshold // x.shape[1] + 1)]
    samples = []
    with set_to(settings):
        for _ in range(4):
            begin = time.perf_counter()
            find(few)
            samples.append(time.perf_counter() - begin)
    return min(samples)


def _vectors(faiss: Any) -> str:
    """Say which instruction set FAISS has chosen, where it tells."""
    config = getattr(faiss, "SIMDConfig", None)
    return (
        f"instructions {config.get_level_name()}" if config else f"compiled for {faiss.get_compile_options()}"
    )
