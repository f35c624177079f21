"""Drop-in for `scipy.cluster.vq.vq`: codes and distances of the nearest code, by evtok's kernel."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays
from evtok.compat._finite_codes import FiniteCodes, square_root
from evtok.compat._peer import peer


def vq(obs: Any, code_book: Any, check_finite: bool = True) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Assign to each observation its nearest code, as `scipy.cluster.vq.vq`.

    Parameters
    ----------
    obs : array_like (n, D), or (n,) for one feature
    code_book : array_like (K, D), or (K,)
    check_finite : bool
        True: refuse NaN and infinities. False: such an observation gets the code -1 and the distance inf (SciPy leaves
        its code uninitialised), and such a code is nobody's nearest.

    Returns
    -------
    code : int32 array (n,)
        Ties go to the lowest code. -1 where every squared distance overflows, which SciPy leaves uninitialised.
    dist : array (n,)
        Euclidean distance, not squared, in the dtype of obs and code_book after NumPy's promotion.

    Raises
    ------
    ValueError
        Dimensions that do not match, no codes, or NaN or infinities.

    Notes
    -----
    A promotion to float32 or float64 runs evtok's kernel in that dtype; integers, other dtypes, and array-API arrays
    (SCIPY_ARRAY_API=1) go to SciPy.
    """
    x, codes = _array(obs), _array(code_book)
    dtype = np.result_type(x, codes) if x is not None and codes is not None else None
    if x is None or codes is None or dtype not in (np.float32, np.float64):
        code, dist = peer("scipy.cluster.vq", "scipy").vq(obs, code_book, check_finite=check_finite)
        return code, dist
    x, codes = _as_rows(x, codes)
    if check_finite and not np.isfinite(codes).all():
        raise ValueError("code_book: array must not contain infs or NaNs")
    found, squared = FiniteCodes(codes, dtype).nearest(x)
    ids, distances = found[:, 0], square_root(squared[:, 0])
    lost = np.flatnonzero(ids < 0)
    if check_finite and lost.size and not np.isfinite(x[lost]).all():
        row = lost[np.argmin(np.isfinite(x[lost]).all(axis=1))]
        raise ValueError(f"obs: array must not contain infs or NaNs; the first is in row {row}")
    distances[lost] = np.inf
    return ids, distances


def _array(x: Any) -> npt.NDArray[Any] | None:
    """Return `x` as an array of real numbers, or None where SciPy has rules of its own."""
    array_api = os.environ.get("SCIPY_ARRAY_API", "0").lower() not in ("", "0", "false")
    if array_api and _arrays.kind(x) not in ("numpy", "other"):
        return None
    array = np.asarray(x)
    return array if array.dtype.kind in "fiub" and array.ndim else None


def _as_rows(x: npt.NDArray[Any], codes: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return observations (n, D) and codes (K, D), or say what does not fit, in SciPy's words."""
    if x.ndim != codes.ndim:
        raise ValueError(
            f"observation and code should have same number of dimensions, got {x.ndim} and {codes.ndim}"
        )
    if x.ndim > 2:
        raise ValueError(f"ndim different than 1 or 2 are not supported, got {x.ndim}")
    if x.ndim == 1:
        x, codes = x[:, np.newaxis], codes[:, np.newaxis]
    if x.shape[1] != codes.shape[1]:
        raise ValueError(
            f"obs and code should have same number of features (columns), got {x.shape[1]} and {codes.shape[1]}"
        )
    if not len(codes):
        raise ValueError("code_book: expected at least one code, got none")
    return x, codes
