"""A feature of a binned tokenizer: which column, which bins, and what happens outside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from evtok.errors import ArtefactError
from evtok.tokenizers.artefact import closed
from evtok.tokenizers.edge_definitions import (
    Binning,
    EqualFrequency,
    Explicit,
    LookupTableBins,
    Uniform,
)
from evtok.tokenizers.thresholds import Transform, fold_edges

__all__ = ["Binning", "Explicit", "Feature", "FittedFeature", "Uniform"]

Outside = Literal["codes", "clip", "unknown"]


_BINNINGS: Mapping[str, type[Any]] = {
    "explicit": Explicit,
    "uniform": Uniform,
    "equal_frequency": EqualFrequency,
    "lookup_table": LookupTableBins,
}


@dataclass(frozen=True, init=False)
class Feature:
    """One binned feature of an object (or of an event).

    Parameters
    ----------
    column : str
        Column of `Events`; for a feature of the event a field, or a quantity such as ``count[j,b]``, see
        `evtok.event_quantities`.
    binning : Explicit, Uniform, EqualFrequency or LookupTableBins
        Where the edges come from. Edges are in the transformed feature.
    transform : Transform or str
        An increasing function applied first, folded into the edges; a name such as ``"log"`` is enough.
    right : bool
        False: bins are ``[low, high)`` as in `numpy.digitize`; True: ``(low, high]`` as in `pandas.cut`.
    outside : {"codes", "clip", "unknown"}
        Values outside the edges get codes of their own, or those of the first and last bin, or are unknown. The
        latter two need two edges or more, and ``EqualFrequency(n, outer=True)``: without the outer edges, what lies
        outside are the first and last of the n bins.
    relative_to : str, optional
        A field of the event (the jet axis) that is subtracted first, in float64.
    wrap : bool
        Wrap the value to one turn around zero first. The definition is NumPy's float64 expression
        ``(x + numpy.pi) % (2 * numpy.pi) - numpy.pi``, rounded after every operation: -pi to pi, where pi itself is
        the result for some values just below -pi.
    zero_is_code_zero : bool
        A value of exactly zero has code 0 whatever the edges say; the padding rule of the look-up-table scheme.
    """

    column: str
    binning: Binning
    transform: Transform
    right: bool
    outside: Outside
    relative_to: str | None
    wrap: bool
    zero_is_code_zero: bool

    def __init__(
        self,
        column: str,
        binning: Binning,
        transform: Transform | str = "identity",
        right: bool = False,
        outside: Outside = "codes",
        relative_to: str | None = None,
        wrap: bool = False,
        zero_is_code_zero: bool = False,
    ) -> None:
        given = {
            "column": column,
            "binning": binning,
            "transform": Transform(transform) if isinstance(transform, str) else transform,
            "right": right,
            "outside": outside,
            "relative_to": relative_to,
            "wrap": wrap,
            "zero_is_code_zero": zero_is_code_zero,
        }
        for name, value in given.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        _check_types(self)
        if not self.binning.n_edges:
            raise ValueError("binning: one bin has no edge between bins; use 2 or more, or outer=True")
        if self.outside != "codes":
            if isinstance(self.binning, EqualFrequency) and not self.binning.outer:
                raise ValueError(
                    f"outside: {self.outside!r} would lose the first and last of the {self.binning.n_bins} bins, which "
                    "lie outside the edges between bins; use EqualFrequency(..., outer=True)"
                )
            if self.binning.n_edges < 2:
                raise ValueError(
                    f"outside: {self.outside!r} keeps the bins between edges, so it needs 2 edges or more, got "
                    f"{self.binning.n_edges}"
                )
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
        # Explicit edges are tensors of the artefact already; thousands of them have no place in the JSON.
        values = {} if isinstance(self.binning, Explicit) else vars(self.binning)
        return {
            "column": self.column,
            "binning": {"kind": kind, **values},
            "transform": self.transform.to_config(),
            "right": self.right,
            "outside": self.outside,
            "relative_to": self.relative_to,
            "wrap": self.wrap,
            "zero_is_code_zero": self.zero_is_code_zero,
        }

    @classmethod
    def from_config(cls, config: Any, where: str, edges: npt.NDArray[Any] | None = None) -> Self:
        """Read the JSON form, and the edges of an `Explicit` binning; `where` begins the messages."""
        if not isinstance(config, dict):
            raise ArtefactError(f"{where}: expected an object, got {config!r}")
        closed(config, set(cls.__dataclass_fields__), where)
        binning = dict(config["binning"]) if isinstance(config["binning"], dict) else {}
        made = _BINNINGS.get(str(binning.pop("kind", "")))
        if made is None:
            raise ArtefactError(f"{where}.binning: expected a kind of {', '.join(_BINNINGS)}")
        if made is Explicit:
            closed(binning, set(), f"{where}.binning")
            binning["edges"] = () if edges is None else edges
        closed(binning, set(made.__dataclass_fields__), f"{where}.binning")
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


def _check_types(feature: Feature) -> None:
    given: Mapping[str, object] = vars(feature)
    for name in ("right", "wrap", "zero_is_code_zero"):
        if not isinstance(given[name], bool):
            raise ValueError(f"{name}: expected True or False, got {given[name]!r}")
    if not isinstance(given["column"], str):
        raise ValueError(f"column: expected a name, got {given['column']!r}")
    if not (given["relative_to"] is None or isinstance(given["relative_to"], str)):
        raise ValueError(f"relative_to: expected a name or None, got {given['relative_to']!r}")
    if given["outside"] not in ("codes", "clip", "unknown"):
        raise ValueError(f"outside: expected 'codes', 'clip' or 'unknown', got {given['outside']!r}")
    if not isinstance(given["binning"], Binning):
        raise ValueError(
            f"binning: expected Explicit, Uniform, EqualFrequency or LookupTableBins, got {given['binning']!r}"
        )
    if not isinstance(given["transform"], Transform):
        raise ValueError(f"transform: expected a Transform or its name, got {given['transform']!r}")


#: The arrays of a fitted feature.
TENSOR_DTYPES = {"edges": np.float64, "thresholds32": np.float32, "thresholds64": np.float64}


@dataclass(frozen=True)
class FittedFeature:
    """A feature with its edges, and the thresholds that define its codes.

    Attributes
    ----------
    edges : float64 (n_edges,)
        In the transformed feature; used to decode.
    thresholds32, thresholds64 : float32, float64 (n_edges,)
        On the feature itself, for columns of each dtype. These define the tokens; nothing recomputes them.

    Notes
    -----
    All three are read-only copies: the fingerprint of a tokenizer stands for them.

    Raises
    ------
    ValueError
        Arrays of another dtype or length than the feature has edges, not increasing, or edges that are not finite.
    """

    feature: Feature
    edges: npt.NDArray[np.float64]
    thresholds32: npt.NDArray[np.float32]
    thresholds64: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        n_edges = self.feature.binning.n_edges
        for name, dtype in TENSOR_DTYPES.items():
            value: npt.NDArray[Any] = getattr(self, name)
            if value.dtype != dtype or value.shape != (n_edges,) or not (value[1:] >= value[:-1]).all():
                raise ValueError(
                    f"{name}: expected {n_edges} increasing {np.dtype(dtype).name} values, got {value.dtype} "
                    f"{value.shape}"
                )
            copy = value.copy()
            copy.setflags(write=False)
            object.__setattr__(self, name, copy)
        if not np.isfinite(self.edges).all():
            raise ValueError("edges: expected finite numbers")
        if self.last < self.first or self.n_digits < 1:
            raise ValueError(f"edges: {n_edges} edges leave no bin with outside={self.feature.outside!r}")

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
    def is_consistent(self) -> bool:
        """True when the thresholds can be those of the edges; cheap, for arrays that come from a file.

        float32 thresholds must be exactly the float64 ones, rounded away from the bin that they close. The edges only
        have to be near: the exact comparison would cost what fitting costs, and only decoding reads them.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = self.thresholds64.astype(np.float32)
            if self.feature.right:
                rounded = np.where(
                    rounded > self.thresholds64, np.nextafter(rounded, np.float32(-np.inf)), rounded
                )
            else:
                rounded = np.where(
                    rounded < self.thresholds64, np.nextafter(rounded, np.float32(np.inf)), rounded
                )
            valid = self.feature.transform.valid_range(np.float64)
            transform = self.feature.transform
            near = np.clip(transform.inverse_float(self.edges), *valid)
            digits_lost = 1 + np.abs(self.edges) / transform.multiply + abs(transform.subtract)
            distance = np.abs(near - np.clip(self.thresholds64, *valid))
            close = distance <= 1e-9 * (1 + np.abs(near)) * digits_lost
        return bool(np.array_equal(rounded, self.thresholds32) and close.all())

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
