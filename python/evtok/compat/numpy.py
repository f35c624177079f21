"""Drop-ins for `numpy.digitize` and `numpy.searchsorted`: the same integers, from evtok's parallel bin search."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _backend, _core, binning

_PLAIN = (np.ndarray, np.memmap, list, tuple, int, float)


def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """Return the indices of the bins to which each value belongs, as `numpy.digitize`.

    Parameters
    ----------
    x : array_like of real numbers, any shape
    bins : array_like (n_edges,)
        Edges, increasing or decreasing.
    right : bool
        False: bin i is ``bins[i - 1] <= x < bins[i]``. True: ``bins[i - 1] < x <= bins[i]``.

    Returns
    -------
    int64 array of the shape of x; a scalar gives np.int64
        NaN goes to ``len(bins)`` for increasing bins, to 0 for decreasing ones.

    Raises
    ------
    ValueError
        `bins` are not one-dimensional, or not monotonic.
    TypeError
        `x` or `bins` are complex.

    Notes
    -----
    Objects, integers that float64 cannot hold, float128, and subclasses of ndarray go to NumPy.
    """
    values, edges = _real(x), _real(bins)
    if values is None or edges is None:
        return _numpy_digitize(x, bins, right)
    return binning.digitize(values, edges, right)


def searchsorted(a: Any, v: Any, side: Any = "left", sorter: Any = None) -> Any:
    """Return where the elements of `v` would be inserted to keep `a` sorted, as `numpy.searchsorted`.

    Parameters
    ----------
    a : array_like (n,)
        Sorted in increasing order, unless `sorter` is given.
    v : array_like of real numbers, any shape
    side : "left" or "right"
        The first or the last suitable place: ``a[i - 1] < v <= a[i]`` or ``a[i - 1] <= v < a[i]``.
    sorter : array_like of int (n,), optional
        Indices that sort `a`.

    Returns
    -------
    int64 array of the shape of v; a scalar gives np.int64
        From 0 to n; NaN goes behind all numbers.

    Raises
    ------
    ValueError
        `a` is not one-dimensional, `side` is another word, or `sorter` does not fit `a`.
    TypeError
        `sorter` is not of integers.

    Notes
    -----
    Strings, objects, complex numbers, dates, integers that float64 cannot hold, `a` with NaN, and `a` that is not
    sorted (for which NumPy promises nothing) go to NumPy.
    """
    values, edges = _real(v), _real(a)
    if values is not None and edges is not None and sorter is not None:
        edges = _sorted_by(edges, sorter)
    if values is None or edges is None or side not in ("left", "right") or not _increases(edges):
        _backend.used_peer("numpy")
        return np.searchsorted(a, v, side=side, sorter=sorter)
    return binning.digitize(values, edges, right=side == "left")


def _numpy_digitize(x: Any, bins: Any, right: bool) -> Any:
    _backend.used_peer("numpy")
    return np.digitize(x, bins, right=right)


def _real(x: Any) -> npt.NDArray[Any] | None:
    """Return `x` as an array of real numbers that float64 holds, or None where the call is NumPy's."""
    if type(x) not in _PLAIN and not isinstance(x, np.generic):
        return None
    array = np.asarray(x)
    return array if array.dtype.kind in "fiub" and binning._is_exact(array) else None


def _increases(a: npt.NDArray[Any]) -> bool:
    """Tell whether `a` is one-dimensional and sorted, without NaN."""
    with _core.FloatEnvironment():  # a caller who flushes subnormals takes them for equal
        return a.ndim == 1 and not bool(np.isnan(a[-1:]).any()) and bool((a[1:] >= a[:-1]).all())


def _sorted_by(a: npt.NDArray[Any], sorter: Any) -> npt.NDArray[Any] | None:
    """Return a[sorter], or None where NumPy would refuse the sorter."""
    order = np.asarray(sorter)
    fits = a.ndim == 1 and order.shape == a.shape and order.dtype.kind in "iu"
    if not fits or (order.size and not (int(order.min()) >= 0 and int(order.max()) < a.size)):
        return None
    chosen: npt.NDArray[Any] = a[order]
    return chosen
