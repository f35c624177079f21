"""Where edges come from: given, spaced equally, or found from order statistics.

A binning has `n_edges`. One that is found from data has `ranks(n)`, the ranks it needs among n values, and a function
from the values at these ranks to its result. All results are float64; the values of a float32 column are exact in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, inf, isfinite, nan
from numbers import Real
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

Edges = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EqualFrequency:
    """Bins of equal content: ``edge[k - 1] = v[(k * n) // n_bins]`` for k = 1 to n_bins - 1.

    v are the values in ascending order, counted from 0. For left-closed bins every bin then holds
    ``n // n_bins`` values, or one more, if there are no ties. Ties make equal edges, and so empty bins.

    Parameters
    ----------
    n_bins : int
        From 1; a `Feature` needs an edge, so from 2 without `outer`.
    outer : bool
        Add the minimum and the maximum as outer edges, so that the end bins have a centre to be decoded to; with
        ``Feature(outside="clip")`` the codes stay the same. Needed for any ``outside`` but ``"codes"``.
    """

    n_bins: int
    outer: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_bins", whole_number(self.n_bins, "n_bins"))
        if not isinstance(self.outer, bool):
            raise ValueError(f"outer: expected True or False, got {self.outer!r}")

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return self.n_bins + 1 if self.outer else self.n_bins - 1

    def ranks(self, n: int) -> list[int]:
        """Ranks of the n_bins - 1 inner edges, and of the outer ones."""
        inner = [k * n // self.n_bins for k in range(1, self.n_bins)]
        return [0, *inner, n - 1] if self.outer else inner

    def edges(self, values: npt.ArrayLike) -> Edges:
        """Return the edges, (n_bins - 1,) or with the outer ones (n_bins + 1,), from the values at `ranks`."""
        return np.array(values, np.float64)


@dataclass(frozen=True)
class LookupTableBins:
    """The equal-frequency bins of the look-up-table tokenizer of the masked-token method; right-closed.

    The first ``n % n_bins`` bins hold ``n // n_bins + 1`` values, the others ``n // n_bins``. With e_k the
    number of values in the first k bins, the edges are ``[v[0] - margin, v[e_1 - 1], ..., v[e_n_bins - 1],
    v[n - 1] + margin]``: n_bins + 2 of them, so the labels run from 1 to n_bins + 1, and the last bin is
    empty. Zeros are left out before (`OrderStatistics(skip_zeros=True)`) and have the label 0.
    """

    n_bins: int
    margin: float = 1e-3

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_bins", whole_number(self.n_bins, "n_bins"))
        object.__setattr__(self, "margin", finite_number(self.margin, "margin"))
        if self.margin < 0:
            raise ValueError(f"margin: expected a number from 0, got {self.margin}")

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return self.n_bins + 2

    def ranks(self, n: int) -> list[int]:
        """Ranks of the minimum and of the last value in each bin; the last of these is the maximum."""
        size, larger = divmod(n, self.n_bins)
        ends = [k * size + min(k, larger) for k in range(1, self.n_bins + 1)]
        return [0, *(end - 1 for end in ends)]

    def edges(self, values: npt.ArrayLike) -> Edges:
        """Return the edges (n_bins + 2,), from the values at `ranks`."""
        v = np.array(values, np.float64)
        return np.concatenate([[v[0] - self.margin], v[1:], [v[-1] + self.margin]])


@dataclass(frozen=True)
class QuantileRange:
    """The range from one quantile to another: ``v[floor(lower * (n - 1))]`` to ``v[ceil(upper * (n - 1))]``.

    So both ends are values of the data, the range holds at least the fraction asked for, and 0 and 1 give the
    minimum and the maximum. The product is exact, not rounded.
    """

    lower: float = 0.0
    upper: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.lower < self.upper <= 1:
            raise ValueError(f"quantiles: expected 0 <= lower < upper <= 1, got {self.lower}, {self.upper}")

    def ranks(self, n: int) -> list[int]:
        """Ranks of the two ends."""
        return [floor(Fraction(self.lower) * (n - 1)), ceil(Fraction(self.upper) * (n - 1))]

    def range(self, values: npt.ArrayLike) -> tuple[float, float]:
        """Return the two ends, from the values at `ranks`."""
        low, high = np.array(values, np.float64)
        return float(low), float(high)


@dataclass(frozen=True)
class Explicit:
    """Edges given one by one, increasing, in the transformed feature."""

    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        values = np.asarray(self.edges, np.float64)
        if values.ndim != 1 or not values.size:
            raise ValueError(f"edges: expected one edge or more, got {self.edges}")
        if not np.isfinite(values).all() or (values[1:] < values[:-1]).any():
            raise ValueError(f"edges: expected increasing finite numbers, got {self.edges}")
        object.__setattr__(self, "edges", tuple(values.tolist()))

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return len(self.edges)


@dataclass(frozen=True)
class Uniform:
    """`n_edges` equally spaced edges from `low` to `high` in the transformed feature, as `numpy.linspace` makes them.

    Ends that are None are fitted: they become the quantiles `lower` and `upper` of the data.
    """

    n_edges: int
    low: float | None = None
    high: float | None = None
    lower: float = 0.0
    upper: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_edges", whole_number(self.n_edges, "n_edges"))
        for name in ("low", "high", "lower", "upper"):
            value = getattr(self, name)
            if value is not None or name in ("lower", "upper"):
                object.__setattr__(self, name, finite_number(value, name))
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low, high: expected low < high, got {self.low}, {self.high}")
        QuantileRange(self.lower, self.upper)  # raises if they are no range


Binning = Explicit | Uniform | EqualFrequency | LookupTableBins


def whole_number(value: Any, name: str, lowest: int = 1) -> int:
    """Return a whole number (NumPy's are fine) as an int; raises ValueError for anything else, booleans included."""
    try:
        number = index(value)
    except TypeError:
        number = lowest - 1
    if isinstance(value, bool) or number < lowest:
        raise ValueError(f"{name}: expected a whole number from {lowest}, got {value!r}")
    return number


def finite_number(value: object, name: str) -> float:
    """Return a finite number (NumPy's are fine) as a float, zero as +0; raises ValueError for anything else."""
    try:
        number = nan if isinstance(value, bool) or not isinstance(value, Real) else float(value) + 0.0
    except OverflowError:
        number = inf
    if not isfinite(number):
        raise ValueError(f"{name}: expected a finite number, got {value!r}")
    return number
