"""The peers of the report: how each is called, how evtok is called in its place, and how wrong each may be."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from importlib import import_module, metadata
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evtok.codebook import nearest
from evtok.compat.disagreement import bounds

Array = npt.NDArray[Any]
Answer = Callable[[Array, Array], Any]

_SAME = "compares numbers and rounds nothing: it never differs"
_EXPANDED = "computes |x|^2 - 2 x.c + |c|^2 in {}, which loses what the two have in common"


class Peer(NamedTuple):
    """One call of a peer.

    Attributes
    ----------
    name : str
    package : str
        As pip calls it.
    theirs, ours : callables of x (n, D) and codes (K, D)
        Their ids and ours, (n,).
    dtypes : dtypes of the inputs that the peer takes
    why : str
        Why its answers differ.
    distance : callable of one row and one code, or None
        What is minimised, exactly; None for bins, which compare numbers and round nothing.
    their_bound, our_bound : callables of one row and one code
        How far the computed distance may be from that.
    """

    name: str
    package: str
    theirs: Answer
    ours: Answer
    dtypes: tuple[type, ...]
    why: str
    distance: bounds.Bound | None = None
    their_bound: bounds.Bound | None = None
    our_bound: bounds.Bound | None = None

    @property
    def version(self) -> str | None:
        """The installed version, or None."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None


# ---- how each is called -------------------------------------------------------------------------------------------


def _scipy(x: Array, codes: Array, module: str) -> Any:
    return import_module(module).vq(x, codes)[0]


def _sklearn(x: Array, codes: Array, module: str) -> Any:
    return import_module(module).pairwise_distances_argmin(x, codes)


def _faiss(x: Array, codes: Array, module: str, index: str) -> Any:
    flat = getattr(import_module(module), index)(x.shape[1])
    flat.add(codes)
    return flat.search(x, 1)[1][:, 0]


def _torch_cdist(x: Array, codes: Array) -> Any:
    torch = import_module("torch")
    return torch.cdist(torch.from_numpy(x), torch.from_numpy(codes)).argmin(1).numpy()


def _torch_expanded(x: Array, codes: Array, dtype: str) -> Any:
    torch = import_module("torch")
    a, b = (torch.from_numpy(array).to(getattr(torch, dtype)) for array in (x, codes))
    squared = a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * (a @ b.T)
    return squared.argmin(1).numpy()


def _vector_quantize_pytorch(x: Array, codes: Array) -> Any:
    torch = import_module("torch")
    layer = import_module("vector_quantize_pytorch").VectorQuantize(dim=x.shape[1], codebook_size=len(codes))
    layer.eval().codebook = torch.from_numpy(codes)
    return layer(torch.from_numpy(x)[None])[1][0].numpy()


def _digitize(x: Array, codes: Array, module: str) -> Any:
    return import_module(module).digitize(x[:, 0], np.sort(codes[:, 0]))


def _searchsorted(x: Array, codes: Array, module: str) -> Any:
    return import_module(module).searchsorted(np.sort(codes[:, 0]), x[:, 0])


def _bucketize(x: Array, codes: Array, module: str) -> Any:
    values, edges = (
        import_module("torch").from_numpy(array[:, 0].copy()) for array in (x, np.sort(codes, axis=0))
    )
    return import_module(module).bucketize(values, edges).numpy()


def _nearest(x: Array, codes: Array) -> Any:
    return nearest(x, codes)


# ---- the peers ----------------------------------------------------------------------------------------------------

_OURS_FLOAT32 = partial(bounds.direct, unit=bounds.UNIT_FLOAT32)
_OURS_FLOAT64 = partial(bounds.direct, unit=bounds.UNIT_FLOAT64)
_PRODUCT_FLOAT32 = partial(bounds.product, unit=bounds.UNIT_FLOAT32)

PEERS = (
    Peer(
        "scipy.cluster.vq.vq",
        "scipy",
        partial(_scipy, module="scipy.cluster.vq"),
        partial(_scipy, module="evtok.compat.scipy"),
        (np.float32,),
        _EXPANDED.format("float32 from 5 features on"),
        bounds.squared_distance,
        partial(bounds.expanded, unit=bounds.UNIT_FLOAT32),
        _OURS_FLOAT32,
    ),
    Peer(
        "sklearn pairwise_distances_argmin",
        "scikit-learn",
        partial(_sklearn, module="sklearn.metrics"),
        partial(_sklearn, module="evtok.compat.sklearn"),
        (np.float32, np.float16),
        _EXPANDED.format("float64"),
        bounds.squared_distance,
        partial(bounds.expanded, unit=bounds.UNIT_FLOAT64),
        _OURS_FLOAT64,
    ),
    Peer(
        "faiss IndexFlatL2",
        "faiss-cpu",
        partial(_faiss, module="faiss", index="IndexFlatL2"),
        partial(_faiss, module="evtok.compat.faiss", index="IndexFlatL2"),
        (np.float32, np.float16),
        _EXPANDED.format("float32 in large calls, and (x - c)^2 in small ones"),
        bounds.squared_distance,
        partial(bounds.expanded, unit=bounds.UNIT_FLOAT32),
        _OURS_FLOAT32,
    ),
    Peer(
        "faiss IndexFlatIP",
        "faiss-cpu",
        partial(_faiss, module="faiss", index="IndexFlatIP"),
        partial(_faiss, module="evtok.compat.faiss", index="IndexFlatIP"),
        (np.float32, np.float16),
        "rounds the product of each feature, in an order that depends on the machine",
        bounds.negative_product,
        _PRODUCT_FLOAT32,
        _PRODUCT_FLOAT32,
    ),
    Peer(
        "torch.cdist(...).argmin",
        "torch",
        _torch_cdist,
        _nearest,
        (np.float32,),
        _EXPANDED.format("float32 from 26 rows or codes on") + ", and decides by its square root",
        bounds.squared_distance,
        partial(bounds.expanded_root, unit=bounds.UNIT_FLOAT32),
        _OURS_FLOAT32,
    ),
    Peer(
        "vector-quantize-pytorch eval",
        "vector-quantize-pytorch",
        _vector_quantize_pytorch,
        _nearest,
        (np.float32,),
        _EXPANDED.format("float32") + ", clamps it at 1e-8, and decides by its square root",
        bounds.squared_distance,
        partial(bounds.expanded_root, unit=bounds.UNIT_FLOAT32, clamp=Fraction(1e-8)),
        _OURS_FLOAT32,
    ),
    Peer(
        "torch expanded, bfloat16",
        "torch",
        partial(_torch_expanded, dtype="bfloat16"),
        _nearest,
        (np.float32,),
        "rounds the inputs and all that follows to 8 bits",
        bounds.squared_distance,
        partial(bounds.expanded, unit=bounds.UNIT_BFLOAT16, converted=2),
        _OURS_FLOAT32,
    ),
    Peer(
        "torch expanded, float16",
        "torch",
        partial(_torch_expanded, dtype="float16"),
        _nearest,
        (np.float16,),
        "rounds every step to 11 bits",
        bounds.squared_distance,
        bounds.expanded_float16,
        _OURS_FLOAT32,
    ),
    Peer(
        "numpy.digitize",
        "numpy",
        partial(_digitize, module="numpy"),
        partial(_digitize, module="evtok.compat.numpy"),
        (np.float32, np.float16),
        _SAME,
    ),
    Peer(
        "numpy.searchsorted",
        "numpy",
        partial(_searchsorted, module="numpy"),
        partial(_searchsorted, module="evtok.compat.numpy"),
        (np.float32, np.float16),
        _SAME,
    ),
    Peer(
        "torch.bucketize",
        "torch",
        partial(_bucketize, module="torch"),
        partial(_bucketize, module="evtok.compat.torch"),
        (np.float32, np.float16),
        _SAME,
    ),
)
