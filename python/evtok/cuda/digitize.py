"""`evtok.digitize` on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _backend
from evtok.cuda.arrays import Place


def digitize(x: Any, thresholds: npt.NDArray[Any], right: bool, falling: bool) -> Any:
    """Return int64 codes of the shape of `x`, where it lies.

    Parameters
    ----------
    x : float32 or float64 array on a GPU, any shape and layout
    thresholds : float32 or float64 (n_edges,)
        Increasing, of the dtype of `x`, on the host.
    right, falling : bool
        As `evtok._core.digitize` takes them.
    """
    place = Place(x=x)
    with place:
        values = place.view(x, "x", (str(thresholds.dtype),))
        edges = place.view(thresholds, "bins", (str(thresholds.dtype),), ndim=1)
        codes = place.empty(values.shape, "int64")
        run = place.cuda.digitize_float32 if thresholds.dtype == np.float32 else place.cuda.digitize_float64
        run(
            values.address,
            values.size,
            edges.address,
            edges.size,
            right,
            falling,
            codes.address,
            place.stream,
        )
    _backend.used_cuda()
    return codes.array
