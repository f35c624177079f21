"""Nearest codes for the drop-ins, under the rule of all peers that a code which is not finite is nobody's nearest."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evtok import _backend, _core
from evtok.codebook import Codebook


class FiniteCodes:
    """The finite ones among some codes, prepared for searching.

    Parameters
    ----------
    codes : real array (K, D)
        K and D may be 0. Copied.
    dtype : float32 or float64
        In which to compute; rows and codes are converted to it.
    metric : "l2" or "dot"
    """

    def __init__(
        self, codes: npt.NDArray[Any], dtype: npt.DTypeLike, metric: Literal["l2", "dot"] = "l2"
    ) -> None:
        self.dtype = np.dtype(dtype)
        with np.errstate(over="ignore"), _core.FloatEnvironment():  # a caller's rounding mode reaches no code
            vectors = codes.astype(self.dtype)
        finite = np.isfinite(vectors).all(axis=1)
        # Positions of the finite codes, and -1 in the last place, for the id -1 of rows without a nearest code.
        self._positions = np.append(np.flatnonzero(finite), -1).astype(np.int32)
        self._n_given, self.n_codes = len(finite), len(self._positions) - 1
        has_kernel = self.n_codes and vectors.shape[1]
        self._codebook = Codebook._quiet(vectors[finite], metric) if has_kernel else None

    def nearest(self, x: npt.NDArray[Any], k: int = 1) -> tuple[npt.NDArray[np.int32], npt.NDArray[Any]]:
        """Return the k nearest codes of each row, nearest first, ties in the order of the codes.

        Parameters
        ----------
        x : real array (n, D)
        k : int
            From 1 to `n_codes`; 1 also where there are no codes.

        Returns
        -------
        ids : int32 array (n, k)
            Positions among all codes. -1 for a row that is not finite, or whose distances all overflow, or when no
            code is finite.
        scores : array (n, k) of `dtype`
            Squared Euclidean distance or inner product; NaN where the id is -1.
        """
        if self._codebook is None:
            _backend.used_native()
            # Without features every distance is an empty sum; without codes there is none.
            ids = np.broadcast_to(self._positions[:k], (len(x), k)).copy()
            return ids, np.full((len(x), k), 0 if self.n_codes else np.nan, self.dtype)
        found, scores = self._codebook.nearest(
            x, k=k, return_distance=True, on_invalid="sentinel", dtype=self.dtype.name
        )
        ids = found if len(self._positions) == self._n_given + 1 else self._positions[found]
        return ids.reshape(-1, k), scores.reshape(-1, k)


def square_root(squared: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the roots, whatever a caller has told his processor about rounding and subnormals."""
    with _core.FloatEnvironment():
        return np.asarray(np.sqrt(squared))
