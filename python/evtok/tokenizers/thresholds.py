"""Edges of a transformed feature, folded into thresholds on the feature itself.

A transform such as ``log(pt) - 1.8`` is a function of real numbers. Since it is increasing, comparing its
value with an edge is the same as comparing its argument with a threshold, and the threshold is found once,
exactly. So binning ``log(pt)`` costs what binning ``pt`` costs, and no library's logarithm has a say in a
token.
"""

from __future__ import annotations

import math
import struct
import sys
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from evtok import _core
from evtok.errors import ArtefactError
from evtok.tokenizers import exact_reals

KINDS = ("identity", "log", "log10", "log2", "log1p", "sqrt", "asinh")

#: e, 2 and 10 to this power, and sinh of it, exceed every float64; to minus this power, they are below all.
_BEYOND = 2000

_BASES = {"log10": 10, "log2": 2}


@dataclass(frozen=True)
class _Limits:
    """Of a dtype, as float64. NumPy's finfo computes some of them, in whatever mode the process is in."""

    highest: float
    smallest: float  # above zero
    above_minus_one: float  # the next number


_LIMITS = {
    np.dtype(np.float32): _Limits((2 - 2.0**-23) * 2.0**127, 2.0**-149, 2.0**-24 - 1),
    # The bits of the smallest subnormal, which arithmetic that flushes subnormals would make 0.
    np.dtype(np.float64): _Limits(
        sys.float_info.max, struct.unpack("<d", struct.pack("<q", 1))[0], 2.0**-53 - 1
    ),
}


@dataclass(frozen=True)
class Transform:
    """An increasing function of one feature: ``t(x) = (f(x) - subtract) * multiply``.

    Parameters
    ----------
    kind : str
        The function f: ``identity``, ``log`` (natural), ``log10``, ``log2``, ``log1p``, ``sqrt``, ``asinh``.
    subtract, multiply : float
        Finite; `multiply` is positive. Both are taken as the exact values of these float64 numbers.

    Raises
    ------
    ValueError
        An unknown kind, or numbers outside these ranges.
    """

    kind: str = "identity"
    subtract: float = 0.0
    multiply: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"transform kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")
        for name in ("subtract", "multiply"):
            value = getattr(self, name)
            finite = isinstance(value, (int, float)) and abs(value) <= sys.float_info.max
            if isinstance(value, bool) or not finite:
                raise ValueError(f"transform {name}: expected a finite number, got {value!r}")
            object.__setattr__(self, name, float(value) + 0.0)
        if self.multiply <= 0:
            raise ValueError(f"transform multiply: expected a positive number, got {self.multiply}")

    def valid_range(self, dtype: npt.DTypeLike) -> tuple[float, float]:
        """Return the closed range of finite inputs of `dtype` (float32 or float64) at which t is defined."""
        limits = _LIMITS[_float_dtype(dtype)]
        if self.kind in ("log", "log10", "log2"):
            return limits.smallest, limits.highest
        if self.kind == "log1p":
            return limits.above_minus_one, limits.highest
        return (0.0 if self.kind == "sqrt" else -limits.highest), limits.highest

    def forward(self, value: float) -> float:
        """t(value) of one valid number, correctly rounded to float64: the same on every machine, and slow.

        Raises
        ------
        ValueError
            `value` lies outside `valid_range`.
        """
        lowest, highest = self.valid_range(np.float64)
        with _core.FloatEnvironment():
            if not lowest <= value <= highest:
                raise ValueError(f"{self.kind} is not defined at {value}: expected {lowest} to {highest}")
            number = _forward(self.kind, Fraction(value))
            shifted = exact_reals.affine(number, -Fraction(self.subtract), Fraction(self.multiply))
            return exact_reals.decide(shifted, _round_nearest)

    def inverse_float(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Inverse of t in float64, by NumPy's functions, in any shape; good enough for bin centres."""
        with _core.FloatEnvironment(), np.errstate(over="ignore"):
            q = np.asarray(values, np.float64) / self.multiply + self.subtract
            inverse: Any = {
                "identity": np.positive,
                "log": np.exp,
                "log10": partial(np.power, 10.0),
                "log2": np.exp2,
                "log1p": np.expm1,
                "sqrt": np.square,
                "asinh": np.sinh,
            }[self.kind]
            return np.asarray(inverse(np.maximum(q, 0.0) if self.kind == "sqrt" else q), np.float64)

    def to_config(self) -> dict[str, str | float]:
        """Return the JSON form; `from_config` reads it back."""
        return {"kind": self.kind, "subtract": self.subtract, "multiply": self.multiply}

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """Read the JSON form.

        Raises
        ------
        ArtefactError
            Keys other than kind, subtract and multiply, a missing one, or values that make no transform.
        """
        wanted = {"kind", "subtract", "multiply"}
        if not isinstance(config, dict) or set(config) != wanted:
            raise ArtefactError(f"transform: expected the keys {', '.join(sorted(wanted))}, got {config!r}")
        try:
            return cls(**config)
        except (TypeError, ValueError) as error:
            raise ArtefactError(str(error)) from error


def fold_edges(
    edges: npt.ArrayLike, transform: Transform, dtype: npt.DTypeLike, right: bool = False
) -> npt.NDArray[Any]:
    """Turn edges of ``t(x)`` into thresholds on x, in exact arithmetic.

    Parameters
    ----------
    edges : array of real numbers (n,)
        Edges in the transformed feature, taken as float64; in any order. The result keeps the order.
    transform : Transform
        The function t.
    dtype : float32 or float64
        The dtype of the column x.
    right : bool
        False for left-closed bins, True for right-closed ones.

    Returns
    -------
    array (n,) of `dtype`
        Left-closed: the smallest valid x with ``t(x) >= edge``: ``threshold <= x`` means ``edge <= t(x)``.
        Right-closed: the largest x with ``t(x) <= edge``: ``threshold < x`` means ``edge < t(x)``.
        Both hold for every x in `valid_range`. An edge that no finite x reaches gives +inf (left) or the
        largest finite value (right); one that every x exceeds gives the lowest valid value (left) or a value
        below it, -inf if there is no other (right). Infinite edges stay infinite. Zero is +0.

    Raises
    ------
    TypeError
        `dtype` is neither float32 nor float64.
    ValueError
        Edges that are NaN or not one-dimensional.
    """
    wanted = _float_dtype(dtype)
    with _core.FloatEnvironment():
        return _fold(np.asarray(edges, np.float64), transform, wanted, right)


def _fold(
    kept: npt.NDArray[np.float64], transform: Transform, wanted: np.dtype[np.floating], right: bool
) -> npt.NDArray[Any]:
    if kept.ndim != 1:
        raise ValueError(f"edges: expected shape (n,), got {kept.shape}")
    if np.isnan(kept).any():
        raise ValueError(f"edges: expected numbers, got NaN at {int(np.flatnonzero(np.isnan(kept))[0])}")
    return np.array([_threshold(float(edge), transform, wanted, right) for edge in kept], wanted)


def _threshold(edge: float, transform: Transform, dtype: np.dtype[np.floating], right: bool) -> float:
    if math.isinf(edge):
        return edge
    # t(x) >= edge is f(x) >= level, because multiply is positive.
    level = Fraction(edge) / Fraction(transform.multiply) + Fraction(transform.subtract)
    if transform.kind == "sqrt" and level < 0:  # below every square root, which has no inverse there
        return -math.inf if right else 0.0
    rounding = exact_reals.round_down if right else exact_reals.round_up
    return exact_reals.decide(_inverse(transform.kind, level), partial(rounding, dtype=dtype))


def _inverse(kind: str, level: Fraction) -> Fraction | exact_reals.Enclosure:
    """The x with f(x) = level: a Fraction, or irrational (by Lindemann, or since 2 and 10 are no powers)."""
    if kind == "identity":
        return level
    if kind == "sqrt":
        return level**2
    level = min(max(level, Fraction(-_BEYOND)), Fraction(_BEYOND))
    if kind == "asinh":
        return exact_reals.sinh(level)
    if kind == "log1p":
        return exact_reals.affine(exact_reals.exp(level), Fraction(-1), Fraction(1))
    return exact_reals.exp(level, _BASES.get(kind))


def _forward(kind: str, x: Fraction) -> Fraction | exact_reals.Enclosure:
    if kind == "identity":
        return x
    if kind == "sqrt":
        return exact_reals.sqrt(x)
    if kind == "asinh":
        return exact_reals.asinh(x)
    return exact_reals.ln(x + 1 if kind == "log1p" else x, _BASES.get(kind))


def _round_nearest(value: Fraction) -> float:
    try:
        return float(value) + 0.0  # Python rounds a Fraction to nearest-even, once
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _float_dtype(dtype: npt.DTypeLike) -> np.dtype[np.floating]:
    wanted = np.dtype(dtype)
    for known in (np.dtype(np.float32), np.dtype(np.float64)):
        if wanted == known:
            return known
    raise TypeError(f"dtype: expected float32 or float64, got {wanted}")
