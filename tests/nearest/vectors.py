"""Codebooks and rows on which a search for the nearest code can go wrong, and the comparison with the definition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

import evtok
from evtok import _core, reference

Array = npt.NDArray[Any]
Rng = np.random.Generator

METRICS = ("l2", "dot", "cosine")


def _gaussian(rng: Rng, n: int, k: int, d: int) -> tuple[Array, Array]:
    return rng.normal(size=(n, d)), rng.normal(size=(k, d))


def _clustered(rng: Rng, n: int, k: int, d: int) -> tuple[Array, Array]:
    codes = rng.normal(size=(k, d))
    return codes[rng.integers(0, k, n)] + rng.normal(0, 0.01, (n, d)), codes


def _momenta(rng: Rng, n: int, k: int, d: int) -> tuple[Array, Array]:
    """Raw pT of about 100 GeV far from the origin: the expanded formula loses its digits here."""
    return 2000 + rng.exponential(100, (n, d)), 2000 + rng.exponential(100, (k, d))


def _heavy_tailed(rng: Rng, n: int, k: int, d: int) -> tuple[Array, Array]:
    """Rows near the codes, and rows of up to 1e12 times their size, which no 16-bit integer holds."""
    x = rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-3, 12, (n, 1)) * (rng.random((n, d)) < 0.7)
    return x, rng.normal(size=(k, d))


def _outlier(rng: Rng, n: int, k: int, d: int) -> tuple[Array, Array]:
    """One code far away sets the scale of the integers, so that the others differ by less than their rounding."""
    codes = rng.normal(0, 1e-3, (k, d))
    codes[rng.integers(0, k)] = 100
    return rng.normal(0, 1e-3, (n, d)), codes


def _grid(rng: Rng, n: int, k: int, d: int) -> tuple[Array, Array]:
    """Small integers: distances tie, exactly, everywhere."""
    return rng.integers(-2, 3, (n, d)) / 2, rng.integers(-1, 2, (k, d)) * 1.0


def _equal(rng: Rng, n: int, k: int, d: int) -> tuple[Array, Array]:
    return rng.normal(size=(n, d)), np.broadcast_to(rng.normal(size=d), (k, d))


def _few(rng: Rng, n: int, k: int, d: int) -> tuple[Array, Array]:
    """Three codes, many times each."""
    return rng.normal(size=(n, d)), rng.normal(size=(3, d))[rng.integers(0, 3, k)]


def _symmetric(rng: Rng, n: int, k: int, d: int) -> tuple[Array, Array]:
    """Codes come as pairs c and -c, and rows as zeros of either sign or at right angles to many codes."""
    half = rng.normal(size=(k - k // 2, d))
    x = np.where(rng.random((n, d)) < 0.5, 0.0, -0.0)
    x[::2, 0] = rng.normal(size=len(x[::2]))
    return x, np.concatenate([half, -half[: k // 2]])


def _shell(rng: Rng, n: int, k: int, d: int) -> tuple[Array, Array]:
    """Codes on a sphere and rows at its centre: all distances are equal but for their rounding."""
    centre, directions = rng.normal(size=d), rng.normal(size=(k, d)) + 1e-9
    codes = centre + directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return centre + rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-12, -3, (n, 1)), codes


def _last_bits(rng: Rng, n: int, k: int, d: int) -> tuple[Array, Array]:
    """Codes and rows that differ in their last bits."""
    base = rng.normal(size=d)
    unit = np.spacing(base.astype(np.float32)).astype(np.float64)
    return base + unit * rng.integers(-6, 7, (n, d)), base + unit * rng.integers(-4, 5, (k, d))


def _scaled(size: float) -> Callable[[Rng, int, int, int], tuple[Array, Array]]:
    def make(rng: Rng, n: int, k: int, d: int) -> tuple[Array, Array]:
        x, codes = _clustered(rng, n, k, d) if n % 2 else _gaussian(rng, n, k, d)
        return x * size, codes * size

    return make


KINDS: dict[str, Callable[[Rng, int, int, int], tuple[Array, Array]]] = {
    "gaussian": _gaussian,
    "clustered": _clustered,
    "momenta": _momenta,
    "heavy-tailed": _heavy_tailed,
    "outlier": _outlier,
    "grid": _grid,
    "equal": _equal,
    "few": _few,
    "symmetric": _symmetric,
    "shell": _shell,
    "last bits": _last_bits,
    "1e30": _scaled(1e30),  # squares overflow float32
    "1e18": _scaled(1e18),  # and here a few of them
    "1e-14": _scaled(1e-14),  # at the end of the range of the filter
    "1e-20": _scaled(1e-20),  # squares are subnormal numbers of float32
    "1e-30": _scaled(1e-30),  # squares are zero
    "1e-40": _scaled(1e-40),  # vectors are subnormal numbers
}


def problem(
    kind: str, n: int, n_codes: int, n_dims: int, dtype: npt.DTypeLike = np.float32, seed: int = 0
) -> tuple[Array, Array]:
    """Make rows (n, D) and codes (K, D); some rows are codes, and some are zero."""
    rng = np.random.default_rng([seed, n, n_codes, n_dims, *kind.encode()])
    x, codes = KINDS[kind](rng, n, n_codes, n_dims)
    x, codes = np.array(x, dtype), np.array(codes, dtype)
    if n > 3:
        x[1::7] = codes[rng.integers(0, n_codes, len(x[1::7]))]
        x[3::11] = np.where(rng.random((len(x[3::11]), n_dims)) < 0.5, 0.0, -0.0)
    return x, codes


@contextmanager
def instruction_set(name: str) -> Iterator[None]:
    """Compute with one instruction set: "scalar" is the specification as it stands, without boxes or filter."""
    _core.force_isa(name)
    try:
        yield
    finally:
        _core.unforce_isa()


def everything(x: Array, codes: Array | evtok.Codebook, **options: Any) -> tuple[Array, Array, Array]:
    """Ids, values and margins; rows that are refused have id -1."""
    ids, values, margin = evtok.nearest(
        x, codes, return_distance=True, return_margin=True, on_invalid="sentinel", **options
    )
    return ids, values, margin


def specified(
    x: Array, codes: Array, metric: str = "l2", k: int = 1, **options: Any
) -> tuple[Array, Array, Array]:
    """The same from the readable definition."""
    ids, values, margin = reference.nearest(x, codes, metric=metric, k=k, **options)
    return (ids, values, margin) if k > 1 else (ids[:, 0], values[:, 0], margin)


def assert_same_bits(got: tuple[Array, ...], expected: tuple[Array, ...]) -> None:
    """Equal shapes, dtypes and bits; any NaN is as good as another."""
    for ours, wanted in zip(got, expected, strict=True):
        assert (ours.dtype, ours.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_array_equal(ours, wanted)
        if wanted.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(ours[ours == 0]), np.signbit(wanted[wanted == 0]))
