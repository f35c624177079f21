"""Drop-ins for scikit-learn's `pairwise_distances_argmin` and `pairwise_distances_argmin_min`, by evtok's kernel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays
from evtok.compat._finite_codes import FiniteCodes, square_root
from evtok.compat._peer import peer

Array = npt.NDArray[Any]


def pairwise_distances_argmin(
    X: Any,
    Y: Any,
    *,
    axis: int = 1,
    metric: str | Callable[..., Any] = "euclidean",
    metric_kwargs: dict[str, Any] | None = None,
) -> Any:
    """Return for each row of X the index of the nearest row of Y, as `sklearn.metrics.pairwise_distances_argmin`.

    Parameters
    ----------
    X : array_like (n, D)
    Y : array_like (K, D)
    axis : 0 or 1
        1: the nearest of Y for each of X. 0: the nearest of X for each of Y.
    metric : str or callable
        "euclidean", "l2" and "sqeuclidean" run evtok's kernel, others scikit-learn's.
    metric_kwargs : dict, optional
        Keyword arguments of the metric; ``{"squared": True}`` makes "euclidean" squared, others go to scikit-learn.

    Returns
    -------
    argmin : int64 array (n,), or (K,) where axis is 0
        Ties go to the lowest index.

    Raises
    ------
    ValueError
        No rows or no features, numbers of features that differ, NaN or infinities, or distances that overflow.

    Notes
    -----
    Computed in float64, as in scikit-learn, also for float32 arrays, which float64 holds exactly. Sparse arrays,
    complex numbers, strings and objects, and array-API arrays under `array_api_dispatch` go to scikit-learn.
    """
    native = _native_arguments(X, Y, axis, metric, metric_kwargs)
    if native is None:
        return peer("sklearn.metrics", "scikit-learn").pairwise_distances_argmin(
            X, Y, axis=axis, metric=metric, metric_kwargs=metric_kwargs
        )
    return _nearest(*native)[0]


def pairwise_distances_argmin_min(
    X: Any,
    Y: Any,
    *,
    axis: int = 1,
    metric: str | Callable[..., Any] = "euclidean",
    metric_kwargs: dict[str, Any] | None = None,
) -> tuple[Any, Any]:
    """Return also the distances to the nearest rows, as `sklearn.metrics.pairwise_distances_argmin_min`.

    Parameters
    ----------
    X, Y, axis, metric, metric_kwargs
        See `pairwise_distances_argmin`.

    Returns
    -------
    argmin : int64 array (n,), or (K,) where axis is 0
    distances : float64 array of the same shape
        Squared where the metric is. float32 where X and Y are, and one of them is not C-contiguous, as in scikit-learn.

    Raises
    ------
    ValueError
        See `pairwise_distances_argmin`.
    """
    native = _native_arguments(X, Y, axis, metric, metric_kwargs)
    if native is None:
        argmin, distances = peer("sklearn.metrics", "scikit-learn").pairwise_distances_argmin_min(
            X, Y, axis=axis, metric=metric, metric_kwargs=metric_kwargs
        )
        return argmin, distances
    argmin, squared = _nearest(*native)
    is_squared = metric == "sqeuclidean" or bool(metric_kwargs)
    distances = squared if is_squared else square_root(squared)
    return argmin, distances.astype(_dtype_of_distances(X, Y), copy=False)


def _native_arguments(
    X: Any, Y: Any, axis: Any, metric: Any, metric_kwargs: Mapping[str, Any] | None
) -> tuple[dict[str, Array], dict[str, Array]] | None:
    """Return the rows and the codes by their names, or None where the call is scikit-learn's."""
    squared = metric == "euclidean" and metric_kwargs == {"squared": True}
    euclidean = isinstance(metric, str) and metric in ("euclidean", "l2", "sqeuclidean")
    along = axis if isinstance(axis, (int, np.integer)) and axis in (0, 1) else None
    x, y = _array(X), _array(Y)
    if (
        not euclidean
        or not (squared or metric_kwargs in (None, {}))
        or along is None
        or x is None
        or y is None
    ):
        return None
    for name, array in (("X", x), ("Y", y)):
        if array.ndim != 2:
            raise ValueError(
                f"{name}: expected 2D array, got {array.ndim}D array; use {name}.reshape(-1, 1) for one feature"
            )
        if not array.size:
            raise ValueError(f"{name}: expected at least 1 sample and 1 feature, got shape {array.shape}")
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"Incompatible dimension for X and Y matrices: X.shape[1] == {x.shape[1]} while Y.shape[1] == {y.shape[1]}"
        )
    return ({"X": x}, {"Y": y}) if along else ({"Y": y}, {"X": x})


def _array(x: Any) -> Array | None:
    """Return `x` as a dense array of real numbers, or None where scikit-learn has rules of its own."""
    if isinstance(x, np.matrix) or np.isscalar(x):
        return None
    loaded = sys.modules.get("sklearn")
    if _arrays.kind(x) not in ("numpy", "other") and loaded and loaded.get_config()["array_api_dispatch"]:
        return None
    array = np.asarray(x)
    return array if array.dtype.kind in "fiub" and array.dtype.itemsize <= 8 else None


def _dtype_of_distances(X: Any, Y: Any) -> type[np.floating[Any]]:
    arrays = np.asarray(X), np.asarray(Y)
    narrow = all(array.dtype == np.float32 for array in arrays)
    return np.float32 if narrow and not all(array.flags.c_contiguous for array in arrays) else np.float64


def _nearest(
    rows: Mapping[str, Array], codes: Mapping[str, Array]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the nearest code of each row and its squared distance; each mapping holds one array, by its name."""
    ((row_name, x),), ((code_name, y),) = rows.items(), codes.items()
    if not np.isfinite(y).all():
        raise ValueError(f"{code_name}: Input contains NaN or infinity.")
    ids, squared = FiniteCodes(y, np.float64).nearest(x)
    lost = np.flatnonzero(ids < 0)
    if lost.size and np.isfinite(x[lost]).all():
        raise ValueError(
            f"{row_name}: every squared distance of row {lost[0]} overflows float64; scale the features down"
        )
    if lost.size:
        row = lost[np.argmin(np.isfinite(x[lost]).all(axis=1))]
        raise ValueError(f"{row_name}: Input contains NaN or infinity; the first is in row {row}.")
    return ids[:, 0].astype(np.int64), squared[:, 0]
