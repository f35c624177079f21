"""How well a codebook serves some vectors: the use of its codes, codes that lie too close, margins and errors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _core
from evtok.codebook.codebook import Codebook
from evtok.codebook.health_counts import MARGIN_EDGES, Counted, near_duplicates, pieces


@dataclass(frozen=True, eq=False)
class CodebookHealth:
    """What `health` found.

    Attributes
    ----------
    n_codes, n_dims : int
    metric : str
    n_rows : int
        Vectors that got a code.
    n_masked, n_invalid : int
        Vectors that were skipped, and that have no nearest code (NaN, infinity, overflow).
    usage : int64 (K,)
        Vectors of each code.
    errors : float64 (D,)
        Mean squared difference between a vector and its code in each dimension, both normalised for "cosine".
    margins : int64 (15,)
        Vectors by relative margin, between the borders `MARGIN_EDGES`: the distance of the second code (squared) less
        that of the first, divided by the sum of both; for "cosine" and "dot" the same of the products and their sizes.
        0: the two are equally near. 1: the vector is its code. All 0 for one code, which has no second.
    n_ties : int
        Vectors with two nearest codes at one distance; the lower index is their id.
    spacing : float
        Median distance between a code and the code nearest to it; NaN for one code.
    near_duplicate : float
        Codes closer than this fraction of the spacing, or equal, are near-duplicates.
    duplicates : int64 (m, 2)
        Near-duplicate codes, each with the code nearest to it, the lower index first.
    duplicate_distances : float64 (m,)
    """

    n_codes: int
    n_dims: int
    metric: str
    n_rows: int
    n_masked: int
    n_invalid: int
    usage: npt.NDArray[np.int64]
    errors: npt.NDArray[np.float64]
    margins: npt.NDArray[np.int64]
    n_ties: int
    spacing: float
    near_duplicate: float
    duplicates: npt.NDArray[np.int64]
    duplicate_distances: npt.NDArray[np.float64]

    @property
    def perplexity(self) -> float:
        """exp(-sum of p ln p) over the shares p of the codes: as many codes, all used alike, would be as hard to guess.

        Between 1 (one code takes everything) and K (all are used alike); NaN without vectors.
        """
        if not self.n_rows:
            return math.nan
        with _core.FloatEnvironment():
            shares = self.usage[self.usage > 0] / self.n_rows
            return math.exp(-math.fsum(float(p) * math.log(p) for p in shares))

    @property
    def dead_codes(self) -> npt.NDArray[np.int64]:
        """Codes that no vector is nearest to, increasing (m,)."""
        return np.flatnonzero(self.usage == 0).astype(np.int64)

    @property
    def error(self) -> float:
        """Mean squared distance between a vector and its code; NaN without vectors."""
        with _core.FloatEnvironment():
            return math.fsum(self.errors)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it: numbers, lists and strings, None where nothing was measured."""
        return {
            "n_codes": self.n_codes,
            "n_dims": self.n_dims,
            "metric": self.metric,
            "n_rows": self.n_rows,
            "n_masked": self.n_masked,
            "n_invalid": self.n_invalid,
            "perplexity": _or_none(self.perplexity),
            "dead_codes": self.dead_codes.tolist(),
            "usage": self.usage.tolist(),
            "error": _or_none(self.error),
            "errors": [_or_none(error) for error in self.errors.tolist()],
            "margin_edges": list(MARGIN_EDGES),
            "margins": self.margins.tolist(),
            "n_ties": self.n_ties,
            "spacing": _or_none(self.spacing),
            "near_duplicate": self.near_duplicate,
            "duplicates": self.duplicates.tolist(),
            "duplicate_distances": self.duplicate_distances.tolist(),
        }

    def __str__(self) -> str:
        closest = (
            f"{self.near_duplicate:g} of the spacing {self.spacing:.4g}" if self.n_codes > 1 else "any other"
        )
        n_used = self.n_codes - len(self.dead_codes)
        by_dimension = " + ".join([f"{error:.4g}" for error in self.errors[:8]] + ["..."] * (self.n_dims > 8))
        lines = [
            ("codebook", f"{self.n_codes} codes of {self.n_dims} dimensions, metric {self.metric}"),
            ("vectors", f"{self.n_rows} ({self.n_masked} masked and {self.n_invalid} invalid ones left out)"),
            ("codes used", f"{n_used} ({_percent(n_used, self.n_codes)}), dead {len(self.dead_codes)}"),
            ("perplexity", f"{self.perplexity:.1f} of {self.n_codes}"),
            ("most used code", f"{_percent(int(self.usage.max()), self.n_rows)} of the vectors"),
            ("squared error", f"{self.error:.4g} ({by_dimension})"),
            ("near-duplicates", f"{len(self.duplicates)} pairs closer than {closest}"),
            ("ties", f"{self.n_ties} ({_percent(self.n_ties, self.n_rows)})"),
        ]
        if self.n_codes > 1:
            lines += [
                (f"margin {low:g} to {high:g}", f"{count} ({_percent(count, self.n_rows)})")
                for low, high, count in zip(MARGIN_EDGES[:-1], MARGIN_EDGES[1:], self.margins, strict=True)
            ]
        width = max(len(name) for name, _ in lines)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def health(
    codebook: Codebook,
    x: Any,
    *,
    mask: Any | None = None,
    near_duplicate: float = 0.01,
    dtype: npt.DTypeLike | None = None,
    threads: int | None = None,
) -> CodebookHealth:
    """Report how vectors use a codebook.

    Parameters
    ----------
    codebook : Codebook
    x : real numbers (..., D), or a source of such arrays
        As `evtok.nearest` takes them; or a list of arrays, an iterator over arrays, or a function that returns one,
        read once and one array at a time.
    mask : booleans (...), optional
        False: skip this vector. Only with a single array.
    near_duplicate : float
        Fraction of the median distance between neighbouring codes below which two codes are called near-duplicates.
    dtype : "float32" or "float64", optional
        As in `evtok.nearest`.
    threads : int, optional
        Threads to use; by default `EVTOK_NUM_THREADS` or the CPUs that this process may use.

    Returns
    -------
    CodebookHealth
        Counts and errors do not depend on threads, nor on how the vectors are cut into arrays.

    Raises
    ------
    TypeError
        Arrays that `evtok.nearest` refuses.
    ValueError
        Shapes that do not fit; a mask beside many arrays. Invalid vectors are counted, not refused.
    """
    if not 0 <= near_duplicate < math.inf:
        raise ValueError(f"near_duplicate: expected 0 or more, got {near_duplicate}")
    with _core.FloatEnvironment():
        counted = Counted(codebook)
        for rows, flags in pieces(x, mask):
            counted.add(rows, flags, dtype, threads)
        spacing, duplicates, distances = near_duplicates(codebook, near_duplicate, threads)
        n_rows = int(counted.usage.sum())
        with np.errstate(invalid="ignore"):
            errors = counted.squares[0] / n_rows if n_rows else np.full(codebook.n_dims, np.nan)
    return CodebookHealth(
        n_codes=codebook.n_codes,
        n_dims=codebook.n_dims,
        metric=codebook.metric,
        n_rows=n_rows,
        n_masked=counted.n_masked,
        n_invalid=counted.n_invalid,
        usage=counted.usage,
        errors=errors,
        margins=counted.margins,
        n_ties=counted.n_ties,
        spacing=spacing,
        near_duplicate=near_duplicate,
        duplicates=duplicates,
        duplicate_distances=distances,
    )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
