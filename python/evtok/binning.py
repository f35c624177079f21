"""`evtok.digitize`: the drop-in for `numpy.digitize`, exact and parallel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _backend, _core

# Inputs that are not contiguous are copied in pieces of this many values, so that no call needs a second copy of
# all of x.
_PIECE = 1 << 19


def digitize(
    x: Any, bins: npt.ArrayLike, right: bool = False, threads: int | None = None, out: Any | None = None
) -> Any:
    """Return the bin of each value among `bins`, as `numpy.digitize` does, bit for bit.

    Parameters
    ----------
    x : array of real numbers, any shape and layout
        NumPy array, torch tensor, CuPy array, or flat awkward array; a scalar gives a scalar. On a GPU float32 or
        float64.
    bins : array (n_edges,)
        Edges, increasing or decreasing.
    right : bool
        False: bin i is ``edges[i - 1] <= x < edges[i]``. True: ``edges[i - 1] < x <= edges[i]``.
        (`torch.bucketize` means the opposite by its `right`.)
    threads : int, optional
        Threads to use; by default `EVTOK_NUM_THREADS` or the CPUs that this process may use.
    out : int64 array of the shape of x, optional
        Written and returned; contiguous, and not overlapping `x`. Not for arrays on a GPU.

    Returns
    -------
    int64 array of the shape of x, of the kind of x
        From 0 to n_edges. NaN goes where NumPy puts it: n_edges for increasing edges, 0 for decreasing ones.

    Raises
    ------
    TypeError
        `x` or `bins` are not real numbers.
    ValueError
        `bins` are not one-dimensional, or not monotonic, or `out` does not fit, or `threads` are fewer than 0 or more
        than 4096.

    Notes
    -----
    Values and edges of any two dtypes are compared exactly, as NumPy does after its promotion. Integers that float64
    cannot hold, float128, and edges that hold NaN are left to NumPy itself; `evtok.last_backend` tells.
    """
    with _core.FloatEnvironment():  # thresholds are computed here too: a caller's mode must not reach them
        return _digitize(x, bins, right, threads or 0, out)


def _digitize(x: Any, bins: npt.ArrayLike, right: bool, threads: int, out: Any | None) -> Any:
    if _arrays.on_gpu(x):
        return _digitize_on_gpu(x, bins, right, out)
    values = _arrays.to_numpy(x, "x")
    borders = _arrays.to_numpy(bins, "bins")
    if borders.ndim != 1:
        raise ValueError(f"bins: expected one dimension, got shape {borders.shape}")
    if out is not None:
        _check_out(out, values)
    if not (_is_exact(values) and _is_exact(borders)) or bool(np.isnan(borders).any()):
        _backend.used_peer("numpy")
        result = np.asarray(np.digitize(values, borders, right=right), np.int64)
        if out is not None:
            out[...] = result
            return out
        return _finish(result, x)

    falling = _is_falling(borders)
    rising = (
        borders[::-1] if falling else borders
    )  # NumPy keeps `right` as it is, and counts from the other end
    narrow = values.dtype.kind == "f" and values.dtype.itemsize <= 4
    dtype = np.dtype(np.float32 if narrow else np.float64)
    thresholds = float32_thresholds(rising, right) if narrow else np.require(rising, dtype, ("C", "A"))
    codes = _arrays.result(values.shape, np.int64) if out is None else out
    flat = codes.reshape(-1)
    if values.dtype == dtype and values.flags.c_contiguous and values.flags.aligned:
        _core.digitize(values.reshape(-1), thresholds, right, falling, threads, flat)
    else:
        source = values.reshape(-1) if values.flags.c_contiguous else values.flat
        for start in range(0, values.size, _PIECE):
            piece = np.require(source[start : start + _PIECE], dtype, ("C", "A"))
            _core.digitize(piece, thresholds, right, falling, threads, flat[start : start + _PIECE])
    _backend.used_native()
    return codes if out is not None else _finish(codes, x)


def _digitize_on_gpu(x: Any, bins: npt.ArrayLike, right: bool, out: Any | None) -> Any:
    from evtok.cuda.digitize import digitize as on_gpu

    if out is not None:
        raise ValueError("out: not taken for an array on a GPU; leave it out")
    borders = _arrays.to_numpy(bins, "bins")
    if borders.ndim != 1:
        raise ValueError(f"bins: expected one dimension, got shape {borders.shape}")
    if not _is_exact(borders) or bool(np.isnan(borders).any()):
        raise ValueError("bins: expected edges that float64 holds, and no NaN, for an array on a GPU")
    dtype = str(x.dtype).removeprefix("torch.")
    if dtype not in ("float32", "float64"):
        raise TypeError(f"x: expected float32 or float64 on a GPU, got {dtype}; convert it")
    falling = _is_falling(borders)
    rising = borders[::-1] if falling else borders
    thresholds = (
        float32_thresholds(rising, right)
        if dtype == "float32"
        else np.require(rising, np.float64, ("C", "A"))
    )
    return on_gpu(x, thresholds, right, falling)


def _finish(codes: npt.NDArray[np.int64], x: Any) -> Any:
    return np.int64(codes[()]) if codes.ndim == 0 and _arrays.kind(x) != "torch" else _arrays.like(codes, x)


def _is_exact(x: npt.NDArray[Any]) -> bool:
    """Tell whether float64 holds every value of `x`, so that comparing in it is what NumPy's promotion gives."""
    if x.dtype.kind == "f":
        return x.dtype.itemsize <= 8
    return x.dtype.itemsize < 8 or not x.size or max(-int(x.min()), int(x.max())) <= 2**53


def float32_thresholds(edges: npt.NDArray[Any], right: bool) -> npt.NDArray[np.float32]:
    """Return the float32 that every float32 passes exactly when it passes the edge."""
    exact = edges.astype(np.float64)
    with np.errstate(over="ignore"):  # also of neighbours that are not taken
        nearest = exact.astype(np.float32)
        if right:  # edge < x: the largest float32 not above the edge
            return np.where(nearest > exact, np.nextafter(nearest, np.float32(-np.inf)), nearest)
        return np.where(nearest < exact, np.nextafter(nearest, np.float32(np.inf)), nearest)


def _is_falling(borders: npt.NDArray[Any]) -> bool:
    steps_up = borders[1:] >= borders[:-1]
    if steps_up.all():
        return False
    if (borders[1:] <= borders[:-1]).all():
        return True
    raise ValueError("bins: expected to increase or to decrease monotonically")


def _check_out(out: Any, values: npt.NDArray[Any]) -> None:
    if not isinstance(out, np.ndarray) or out.dtype != np.int64 or out.shape != values.shape:
        got = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"out: expected an int64 NumPy array of shape {values.shape}, got {got}")
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise ValueError("out: expected a contiguous writable array")
    if np.may_share_memory(out, values):
        raise ValueError("out: shares memory with x; give it memory of its own")
