"""The peers of the lookup benchmark: what an experienced user would write with each package, and write well.

Each takes float32 codes (K, D) once, then rows (n, D), and returns ids (n,); all with the same number of threads, where
they use threads. For cosine all of them get codes and rows of length 1, which is not timed: then the largest product
and the least distance are the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from evtok.bench import nearest_faiss
from evtok.bench.nearest_data import Array
from evtok.bench.nearest_faiss import Find, Prepared

# Distances that numpy and torch hold at a time: 16 MiB.
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Peer:
    """One call of a package.

    Attributes
    ----------
    name : str
    package, module : str
        As pip calls it, and what is imported.
    prepare : callable
        Codes (K, D), threads and rows like those to come, to what finds ids.
    pairs : int
        Rows times codes that one call handles at most.
    metrics : tuple of str
    small_calls : bool
        Takes part in small calls.
    reached : bool
        The peer that the aim of a shape is about.
    set_up : callable, optional
        Codes to what finds ids, without looking for the best settings.
    """

    name: str
    package: str
    module: str
    prepare: Callable[[Array, int, Array], Prepared]
    pairs: int
    metrics: tuple[str, ...] = ("l2", "cosine")
    small_calls: bool = False
    reached: bool = False
    set_up: Callable[[Array], Find] | None = None


class Call:
    """A peer, ready to find the ids of rows."""

    def __init__(self, peer: Peer, codes: Array, metric: str, threads: int, x: Array) -> None:
        self._given = _unit if metric == "cosine" else _as_is
        self._prepared = peer.prepare(self._given(codes), threads, self._given(x))
        self.notes = tuple(f"{peer.name}: {note}" for note in self._prepared.notes)

    def over(self, pieces: Sequence[Array]) -> Callable[[], list[Any]]:
        """Return what makes one call for each of `pieces`, and returns the ids of each."""
        given = [self._given(piece) for piece in pieces]
        prepared = self._prepared

        def run() -> list[Any]:
            with prepared.settings():
                return [prepared.find(piece) for piece in given]

        return run


def _as_is(x: Array) -> Array:
    return x


def _unit(x: Array) -> Array:
    norm = np.sqrt(np.square(x, dtype=np.float64).sum(axis=1, keepdims=True))
    unit: Array = (x / norm).astype(np.float32)
    return unit


# ---- how each is called ------------------------------------------------------------------------------------------


def _numpy(codes: Array, threads: int, x: Array) -> Prepared:
    squares, doubled = np.square(codes).sum(axis=1), np.ascontiguousarray(-2 * codes.T)
    at_once = max(1, _CHUNK // len(codes))

    def find(x: Array) -> Any:
        ids = np.empty(len(x), np.int64)
        for first in range(0, len(x), at_once):
            distance = x[first : first + at_once] @ doubled
            distance += squares
            distance.argmin(axis=1, out=ids[first : first + at_once])
        return ids

    return Prepared(find)


def _torch(codes: Array, threads: int, x: Array) -> Prepared:
    torch = import_module("torch")
    torch.set_num_threads(threads)
    squares, transposed = torch.from_numpy(np.square(codes).sum(axis=1)), torch.from_numpy(codes).T
    at_once = max(1, _CHUNK // len(codes))

    def find(x: Array) -> Any:
        rows = torch.from_numpy(x)
        ids = torch.empty(len(x), dtype=torch.int64)
        with torch.inference_mode():
            for first in range(0, len(x), at_once):
                distance = torch.addmm(squares, rows[first : first + at_once], transposed, alpha=-2)
                torch.argmin(distance, 1, out=ids[first : first + at_once])
        return ids.numpy()

    return Prepared(find)


def _sklearn(codes: Array, threads: int, x: Array) -> Prepared:
    argmin = import_module("sklearn.metrics").pairwise_distances_argmin
    return Prepared(lambda x: argmin(x, codes))


def _scipy(codes: Array, threads: int, x: Array) -> Prepared:
    vq = import_module("scipy.cluster.vq").vq
    return Prepared(lambda x: vq(x, codes, check_finite=False)[0])


def _vector_quantize_pytorch(codes: Array, threads: int, x: Array) -> Prepared:
    torch = import_module("torch")
    torch.set_num_threads(threads)
    made = import_module("vector_quantize_pytorch").VectorQuantize
    layer = made(dim=codes.shape[1], codebook_size=len(codes)).eval()
    layer.codebook = torch.from_numpy(codes)

    def find(x: Array) -> Any:
        with torch.inference_mode():
            return layer(torch.from_numpy(x)[None])[1][0].numpy()

    return Prepared(find)


_FEW_PAIRS, _NO_LIMIT = 1 << 27, 1 << 62

PEERS = (
    Peer("numpy", "numpy", "numpy", _numpy, _FEW_PAIRS, small_calls=True),
    Peer(
        *("FAISS IndexFlatL2", "faiss-cpu", "faiss", partial(nearest_faiss.prepare, name="IndexFlatL2")),
        *(_NO_LIMIT,),
        small_calls=True,
        reached=True,
        set_up=partial(nearest_faiss.index, name="IndexFlatL2"),
    ),
    Peer(
        *("FAISS IndexFlatIP", "faiss-cpu", "faiss", partial(nearest_faiss.prepare, name="IndexFlatIP")),
        *(_NO_LIMIT, ("cosine",)),
        reached=True,
    ),
    Peer("torch", "torch", "torch", _torch, _FEW_PAIRS, small_calls=True),
    Peer("scikit-learn", "scikit-learn", "sklearn.metrics", _sklearn, _FEW_PAIRS),
    Peer("scipy", "scipy", "scipy.cluster.vq", _scipy, _FEW_PAIRS),
    Peer(
        *("vector-quantize-pytorch", "vector-quantize-pytorch", "vector_quantize_pytorch"),
        _vector_quantize_pytorch,
        1 << 24,  # the layer holds some 30 bytes for each
    ),
)
