"""A feature of a binned tokenizer: which column, which bins, and what happens outside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from evtok.errors import ArtefactError
from evtok.tokenizers.artefact import closed
from evtok.tokenizers.edge_definitions import EqualFrequency, LookupTableBins, QuantileRange
from evtok.tokenizers.thresholds import Transform, fold_edges

Outside = Literal["codes", "clip", "unknown"]


@dataclass(frozen=True)
class Explicit:
    """Edges given one by one, increasing, in the transformed feature."""

    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        values = np.asarray(self.edges, np.float64)
        if values.ndim != 1 or not np.isfinite(values).all() or (np.diff(values) < 0).any():
            raise ValueError(f"edges: expected increasing finite numbers, got {self.edges}")
        object.__setattr__(self, "edges", tuple(float(e) for e in values))


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
        if not _is_count(self.n_edges):
            raise ValueError(f"n_edges: expected a whole number from 1, got {self.n_edges!r}")
        for end in (self.low, self.high):
            if end is not None and not np.isfinite(end):
                raise ValueError(f"low, high: expected finite numbers, got {self.low}, {self.high}")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low, high: expected low < high, got {self.low}, {self.high}")
        QuantileRange(self.lower, self.upper)  # raises if they are no range


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


Binning = Explicit | Uniform | EqualFrequency | LookupTableBins

_BINNINGS: Mapping[str, type[Any]] = {
    "explicit": Explicit,
    "uniform": Uniform,
    "equal_frequency": EqualFrequency,
    "lookup_table": LookupTableBins,
}


@dataclass(frozen=True)
class Feature:
    """One binned feature of an object (or of an event).

    Parameters
    ----------
    column : str
        Column of `Events` (a field, for a feature of the event).
    binning : Explicit, Uniform, EqualFrequency or LookupTableBins
        Where the edges come from. Edges are in the transformed feature.
    transform : Transform
        An increasing function applied first, folded into the edges.
    right : bool
        False: bins are ``[low, high)`` as in `numpy.digitize`; True: ``(low, high]`` as in `pandas.cut`.
    outside : {"codes", "clip", "unknown"}
        Values outside the edges get codes of their own, or those of the first and last bin, or are unknown.
    relative_to : str, optional
        A field of the event (the jet axis) that is subtracted first, in float64.
    wrap : bool
        Wrap the value to [-pi, pi) first, in float64, as ``(x + pi) % (2 * pi) - pi``.
    zero_is_code_zero : bool
        A value of exactly zero has code 0 whatever the edges say; the padding rule of the look-up-table scheme.
    """

    column: str
    binning: Binning
    transform: Transform = field(default_factory=Transform)
    right: bool = False
    outside: Outside = "codes"
    relative_to: str | None = None
    wrap: bool = False
    zero_is_code_zero: bool = False

    def __post_init__(self) -> None:
        if self.outside not in ("codes", "clip", "unknown"):
            raise ValueError(f"outside: expected 'codes', 'clip' or 'unknown', got {self.outside!r}")
        if self.zero_is_code_zero and (self.relative_to is not None or self.wrap):
            raise ValueError("zero_is_code_zero: has no meaning for a relative or wrapped feature")
        if isinstance(self.binning, LookupTableBins) and self.transform.kind != "identity":
            raise ValueError(
                "transform: look-up-table bins are made on the feature itself; leave the transform out"
            )

    @property
    def is_derived(self) -> bool:
        """True when the compared value is computed, in float64, rather than the column itself."""
        return self.relative_to is not None or self.wrap

    def to_config(self) -> dict[str, Any]:
        """Return the JSON form; `from_config` reads it back."""
        kind = next(name for name, made in _BINNINGS.items() if isinstance(self.binning, made))
        return {
            "column": self.column,
            "binning": {"kind": kind, **_fields(self.binning)},
            "transform": self.transform.to_config(),
            "right": self.right,
            "outside": self.outside,
            "relative_to": self.relative_to,
            "wrap": self.wrap,
            "zero_is_code_zero": self.zero_is_code_zero,
        }

    @classmethod
    def from_config(cls, config: Any, where: str) -> Self:
        """Read the JSON form; `where` begins the messages."""
        if not isinstance(config, dict):
            raise ArtefactError(f"{where}: expected an object, got {config!r}")
        closed(config, set(cls.__dataclass_fields__), where)
        _check_types(config, where)
        binning = dict(config["binning"]) if isinstance(config["binning"], dict) else {}
        made = _BINNINGS.get(str(binning.pop("kind", "")))
        if made is None:
            raise ArtefactError(f"{where}.binning: expected a kind of {', '.join(_BINNINGS)}")
        closed(binning, set(made.__dataclass_fields__), f"{where}.binning")
        if "edges" in binning:
            binning["edges"] = tuple(binning["edges"])
        try:
            return cls(
                **{
                    **config,
                    "binning": made(**binning),
                    "transform": Transform.from_config(config["transform"]),
                }
            )
        except (TypeError, ValueError) as error:
            raise ArtefactError(f"{where}: {error}") from error


def _fields(binning: Binning) -> dict[str, Any]:
    values = {name: getattr(binning, name) for name in binning.__dataclass_fields__}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _check_types(config: Mapping[str, Any], where: str) -> None:
    for name in ("right", "wrap", "zero_is_code_zero"):
        if not isinstance(config[name], bool):
            raise ArtefactError(f"{where}.{name}: expected true or false, got {config[name]!r}")
    if not isinstance(config["column"], str):
        raise ArtefactError(f"{where}.column: expected a name, got {config['column']!r}")
    if not (config["relative_to"] is None or isinstance(config["relative_to"], str)):
        raise ArtefactError(f"{where}.relative_to: expected a name or null, got {config['relative_to']!r}")


@dataclass(frozen=True)
class FittedFeature:
    """A feature with its edges, and the thresholds that define its codes.

    Attributes
    ----------
    edges : float64 (n_edges,)
        In the transformed feature; used to decode.
    thresholds32, thresholds64 : float32, float64 (n_edges,)
        On the feature itself, for columns of each dtype. These define the tokens; nothing recomputes them.
    """

    feature: Feature
    edges: npt.NDArray[np.float64]
    thresholds32: npt.NDArray[np.float32]
    thresholds64: npt.NDArray[np.float64]

    @classmethod
    def from_edges(cls, feature: Feature, edges: npt.NDArray[np.float64]) -> Self:
        """Fold the edges into thresholds."""
        edges = np.ascontiguousarray(edges, np.float64)
        return cls(
            feature,
            edges,
            fold_edges(edges, feature.transform, np.float32, feature.right),
            fold_edges(edges, feature.transform, np.float64, feature.right),
        )

    @classmethod
    def from_values(cls, feature: Feature, values: npt.NDArray[np.float64]) -> Self:
        """Take values of the feature itself as the thresholds, exactly; the edges are their transforms."""
        values = np.ascontiguousarray(values, np.float64)
        identity = Transform()
        plain = feature.transform == identity
        return cls(
            feature,
            values if plain else np.array([feature.transform.forward(float(v)) for v in values], np.float64),
            fold_edges(values, identity, np.float32, feature.right),
            fold_edges(values, identity, np.float64, feature.right),
        )

    @property
    def first(self) -> int:
        """The lowest code that is kept."""
        return 0 if self.feature.outside == "codes" else 1

    @property
    def last(self) -> int:
        """The highest code that is kept."""
        return len(self.edges) if self.feature.outside == "codes" else len(self.edges) - 1

    @property
    def origin(self) -> int:
        """The code of digit 0."""
        return 0 if self.feature.zero_is_code_zero else self.first

    @property
    def n_digits(self) -> int:
        """Number of digits: codes that this feature can have."""
        return self.last - self.origin + 1

    def digit_range(
        self, digits: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the ends of the bins of `digits`, in the transformed feature; an open bin has both at its edge."""
        codes = digits + self.origin
        low = self.edges[np.clip(codes - 1, 0, len(self.edges) - 1)]
        high = self.edges[np.clip(codes, 0, len(self.edges) - 1)]
        return low, high

    def into_bins(self, values: npt.NDArray[np.float64], digits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Move values to the nearest one that has the given digit: rounding may have put them just outside its bin."""
        lowest, highest = self.feature.transform.valid_range(np.float64)
        borders = self.thresholds64
        if self.feature.right:
            begins, ends = np.nextafter(borders, np.inf), borders
        else:
            begins, ends = borders, np.nextafter(borders, -np.inf)
        codes = digits + self.origin
        moved = np.clip(values, np.r_[lowest, begins][codes], np.r_[ends, highest][codes])
        if self.feature.zero_is_code_zero:
            # Zero itself has digit 0; the centre of another bin must not be it.
            moved = np.where(moved == 0, np.where(np.r_[ends, highest][codes] > 0, 5e-324, -5e-324), moved)
            moved = np.where(digits == 0, 0.0, moved)
        return np.asarray(moved, np.float64)
