"""The passes of k-means over the rows: which code each row is nearest to, and where the codes move for it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.codebook.chunks import Chunks
from evtok.codebook.codebook import Codebook
from evtok.codebook.empty_codes import FarthestRows, fill_empty_codes
from evtok.codebook.sums import add_code_sums
from evtok.codebook.unit import norms

Array = npt.NDArray[Any]

# Empty codes that one pass can fill.
_MOST_FILLED = 4096


class KMeans:
    """Codes on their way to the rows.

    Parameters
    ----------
    rows : Chunks
        At least K different ones, finite.
    codes : array (K, D)
        To start from, of the dtype of the rows.
    threads : int, optional
    unit : bool
        Keep the codes at unit length, as the rows are.

    Attributes
    ----------
    codes : array (K, D)
    inertia : list of float
        Sum of squared distances of the rows to their codes, of each pass.
    converged : bool
    replaced : int
        Codes that moved because they had no rows.
    dead : int
        Codes without rows in the last pass.
    """

    def __init__(self, rows: Chunks, codes: Array, threads: int | None, unit: bool) -> None:
        self.codes = codes
        self.inertia: list[float] = []
        self.converged = False
        self.replaced = self.dead = 0
        self._rows, self._threads, self._unit = rows, threads, unit

    def move_after_all_rows(self, max_iterations: int, tolerance: float) -> None:
        """Lloyd's algorithm: each code becomes the mean of the rows that it was nearest to."""
        for iteration in range(max_iterations + 1):
            self._begin_pass()
            for _, rows in self._rows:
                self._assign(rows)
            self._end_pass(tolerance)
            if self.converged or iteration == max_iterations:
                return
            self._fill_empty()
            before = self.codes
            self._move(self._counts, self._sums)
            if np.array_equal(before, self.codes):
                self.converged = not self.dead
                return

    def move_after_batches(self, size: int, max_passes: int, tolerance: float) -> None:
        """Mini-batch k-means: after each batch, each code becomes the mean of the rows that it was nearest to.

        What came in earlier passes counts half as much at the beginning of each.
        """
        n_codes, n_dims = self.codes.shape
        weights, weighted_sums = np.zeros(n_codes), np.zeros((n_codes, n_dims))
        for _ in range(max_passes):
            self._begin_pass()
            for _, rows in self._rows.batches(size):
                self._assign(rows)
                self._move(weights + self._counts, weighted_sums + self._sums)
            self._end_pass(tolerance)
            if self.converged:
                return
            filled = self._fill_empty()
            weights[filled], weighted_sums[filled] = 0, 0
            weights, weighted_sums = (weights + self._counts) / 2, (weighted_sums + self._sums) / 2
            self._move(weights, weighted_sums)

    # ---- one pass ------------------------------------------------------------------------------------------

    def _begin_pass(self) -> None:
        n_codes, n_dims = self.codes.shape
        self._counts, self._sums = np.zeros(n_codes, np.int64), np.zeros((n_codes, n_dims))
        # Distances are added as rows of one column, so that their sum does not depend on the pieces either.
        self._distance_counts, self._distances = np.zeros(n_codes, np.int64), np.zeros((n_codes, 1))
        self._farthest = FarthestRows(min(n_codes, _MOST_FILLED))

    def _assign(self, rows: Array) -> None:
        ids, distances = Codebook._quiet(self.codes).nearest(
            rows, return_distance=True, threads=self._threads
        )
        add_code_sums(rows, ids, self._counts, self._sums, threads=self._threads)
        add_code_sums(distances[:, None], ids, self._distance_counts, self._distances, threads=self._threads)
        self._farthest.add(rows, ids, distances)

    def _end_pass(self, tolerance: float) -> None:
        inertia = math.fsum(self._distances[:, 0])
        self.dead = int(np.count_nonzero(self._counts == 0))
        if self.dead and inertia == 0:
            raise ValueError(
                f"x: expected at least k = {len(self.codes)} different rows, got {len(self.codes) - self.dead}"
            )
        if self.inertia:
            self.converged = not self.dead and self.inertia[-1] - inertia <= tolerance * self.inertia[-1]
        self.inertia.append(inertia)

    def _fill_empty(self) -> npt.NDArray[np.int64]:
        filled = fill_empty_codes(self._counts, self._sums, self._farthest)
        self.replaced += len(filled)
        return filled

    def _move(self, weights: npt.NDArray[Any], sums: npt.NDArray[np.float64]) -> None:
        """Put each code that has rows at their mean, or in its direction."""
        divisors = norms(sums) if self._unit else weights
        moved = (weights > 0) & (divisors > 0)
        self.codes = self.codes.copy()
        self.codes[moved] = sums[moved] / divisors[moved, None]
