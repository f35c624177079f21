"""What a health report counts, in one pass over the vectors, and the codes that lie close to one another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.codebook import _rows
from evtok.codebook.chunks import arrays_of, bounded_pieces
from evtok.codebook.codebook import Codebook
from evtok.codebook.sums import add_code_sums
from evtok.codebook.unit import normalised

Array = npt.NDArray[Any]

#: Borders of the histogram of relative margins.
MARGIN_EDGES = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, *(i / 10 for i in range(1, 10)), 1.0)


class Counted:
    """What is counted of one piece of rows after the other.

    Attributes
    ----------
    usage : int64 (K,)
    margins : int64 (15,)
    squares : float64 (1, D)
        Sum of the squared differences to the codes.
    n_ties, n_masked, n_invalid : int
    """

    def __init__(self, codebook: Codebook) -> None:
        self._codebook = codebook
        self._codes = _as_compared(codebook, codebook.vectors)
        self.usage = np.zeros(codebook.n_codes, np.int64)
        self.margins = np.zeros(len(MARGIN_EDGES) - 1, np.int64)
        self.n_ties = self.n_masked = self.n_invalid = 0
        # Errors are added as the rows of one code, in their order, so that pieces do not show in the sum.
        self._n_squares, self.squares = np.zeros(1, np.int64), np.zeros((1, codebook.n_dims))

    def add(
        self,
        rows: Array,
        flags: npt.NDArray[np.bool_] | None,
        dtype: npt.DTypeLike | None,
        threads: int | None,
    ) -> None:
        """Look up rows (m, D), those with a flag of False not."""
        ids, value, margin = self._codebook.nearest(
            rows,
            return_distance=True,
            return_margin=True,
            mask=flags,
            on_invalid="sentinel",
            dtype=dtype,
            threads=threads,
        )
        n_masked = 0 if flags is None else len(flags) - int(np.count_nonzero(flags))
        found = ids >= 0
        self.n_masked += n_masked
        self.n_invalid += len(ids) - int(np.count_nonzero(found)) - n_masked
        self.usage += np.bincount(ids[found], minlength=len(self.usage))
        if self._codebook.n_codes > 1:
            self._add_margins(value[found].astype(np.float64), margin[found].astype(np.float64))
        with np.errstate(over="ignore", invalid="ignore"):
            squares = (_as_compared(self._codebook, rows) - self._codes[ids]) ** 2
        add_code_sums(
            squares, np.where(found, 0, -1).astype(np.int32), self._n_squares, self.squares, threads=threads
        )

    def _add_margins(self, value: npt.NDArray[np.float64], margin: npt.NDArray[np.float64]) -> None:
        second = value + margin if self._codebook.metric == "l2" else value - margin
        sizes = np.abs(value) + np.abs(second)
        relative = np.isinf(margin).astype(np.float64)  # 1 where the distance of the second code overflows
        np.divide(margin, sizes, out=relative, where=(sizes > 0) & np.isfinite(sizes))
        bins = np.searchsorted(MARGIN_EDGES[1:-1], relative, side="right")
        self.margins += np.bincount(bins, minlength=len(self.margins))
        self.n_ties += int(np.count_nonzero(margin == 0))


def _as_compared(codebook: Codebook, vectors: Array) -> npt.NDArray[np.float64]:
    """Return vectors (n, D) in float64, normalised if that is what the metric compares."""
    wide = vectors.astype(np.float64)
    return np.asarray(normalised(wide) if codebook.metric == "cosine" else wide)


def pieces(x: Any, mask: Any | None) -> Iterator[tuple[Array, npt.NDArray[np.bool_] | None]]:
    """Yield rows (m, D) of bounded size, and which of them count."""
    parts = x if isinstance(x, Iterator) else arrays_of(x)()
    if mask is not None and not (isinstance(parts, tuple) and len(parts) == 1):
        raise ValueError("mask: expected x to be one array; leave masked vectors out of many arrays")
    for part in parts:
        rows = _rows.Rows(part)
        flags = rows.flags(mask)
        for start, piece in bounded_pieces(rows, _rows.natural_dtype(rows.values, "x")):
            yield piece, None if flags is None else flags[start : start + len(piece)].view(np.bool_)


def near_duplicates(
    codebook: Codebook, fraction: float, threads: int | None
) -> tuple[float, npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the median distance to the nearest other code, and the pairs that are closer than a fraction of it."""
    if codebook.n_codes == 1:
        return math.nan, np.zeros((0, 2), np.int64), np.zeros(0)
    codes = _as_compared(codebook, codebook.vectors)
    ids, squares = Codebook._quiet(codes).nearest(codes, k=2, return_distance=True, threads=threads)
    own = np.arange(len(codes))
    other = np.where(ids[:, 0] == own, 1, 0)  # of equal codes the lower comes first, and may not be this one
    neighbour, distance = ids[own, other].astype(np.int64), np.sqrt(squares[own, other])
    spacing = float(np.median(distance))
    close = (distance < fraction * spacing) | (distance == 0)
    pairs = np.sort(np.stack([own, neighbour], axis=1)[close], axis=1)
    unique, first = np.unique(pairs, axis=0, return_index=True)
    return spacing, unique.reshape(-1, 2), distance[close][first]
