"""Vectors of unit length, by the same operations in the same order on every machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def norms(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the Euclidean norms (n,) of vectors (n, D), in float64, the squares added in the order of the columns."""
    squares = np.zeros(len(vectors))
    with np.errstate(over="ignore"):
        for j in range(vectors.shape[1]):
            column = vectors[:, j].astype(np.float64)
            squares += column * column
    return np.asarray(np.sqrt(squares))


def normalised(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Divide vectors (n, D) by their norms, in float64, rounded once; those without a direction become NaN."""
    length = norms(vectors)
    length[~((length > 0) & np.isfinite(length))] = np.nan
    return (vectors.astype(np.float64) / length[:, None]).astype(vectors.dtype)
