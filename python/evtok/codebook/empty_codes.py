"""What becomes of a code that no row is nearest to: it moves to one of the rows that lie farthest from their codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.codebook.sums import Counts, Sums

Array = npt.NDArray[Any]


class FarthestRows:
    """The rows at the largest distances above 0 among all that were added; of equal ones those that came first.

    Parameters
    ----------
    size : int
        How many to keep.

    Attributes
    ----------
    distances : float (m,), falling; ids : int32 (m,); vectors : array (m, D)
        What was kept, m <= size.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.distances: Array = np.zeros(0)
        self.ids: npt.NDArray[np.int32] = np.zeros(0, np.int32)
        self.vectors: Array = np.zeros((0, 0))

    def add(self, rows: Array, ids: npt.NDArray[np.int32], distances: Array) -> None:
        """Look at further rows (n, D), given in the order of their numbers."""
        threshold = self.distances[-1] if len(self.distances) == self._size else 0.0
        candidates = np.flatnonzero(distances > threshold)  # at an equal distance the earlier row stays
        if len(candidates) > self._size:
            smallest = np.partition(distances[candidates], -self._size)[-self._size]
            candidates = candidates[distances[candidates] >= smallest]
        if not len(candidates):
            return
        candidates = candidates[np.argsort(-distances[candidates], kind="stable")][: self._size]
        if not len(self.distances):
            self.distances, self.ids, self.vectors = distances[candidates], ids[candidates], rows[candidates]
            return
        both = np.concatenate([self.distances, distances[candidates]])
        order = np.argsort(-both, kind="stable")[: self._size]
        self.distances = both[order]
        self.ids = np.concatenate([self.ids, ids[candidates]])[order]
        self.vectors = np.concatenate([self.vectors, rows[candidates]])[order]


def fill_empty_codes(counts: Counts, sums: Sums, farthest: FarthestRows) -> npt.NDArray[np.int64]:
    """Give each empty code one of the farthest rows, in order, and take that row away from the code that it had.

    A code keeps its last row, and no two codes get the same vector.

    Parameters
    ----------
    counts, sums : (K,), (K, D)
        Of the rows of each code; changed in place.

    Returns
    -------
    int64 (m,)
        The codes that were filled; fewer than were empty if the rows do not suffice.
    """
    empty = np.flatnonzero(counts == 0)
    filled = 0
    taken: set[bytes] = set()
    for donor, vector in zip(farthest.ids, farthest.vectors, strict=True):
        if filled == len(empty):
            break
        content = (vector + 0.0).tobytes()  # + 0 makes -0 into +0
        if counts[donor] < 2 or content in taken:
            continue
        taken.add(content)
        code = empty[filled]
        counts[donor] -= 1
        sums[donor] -= vector
        counts[code] = 1
        sums[code] = vector
        filled += 1
    return empty[:filled]
