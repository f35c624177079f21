"""`evtok.nearest`: each vector to the index of the code that it is nearest to, exactly as the specification says."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _backend, _core
from evtok.codebook import _rows
from evtok.codebook._rows import OnInvalid

if TYPE_CHECKING:
    from evtok.codebook.codebook import Codebook

Metric = Literal["l2", "cosine", "dot"]


def nearest(
    x: Any,
    codebook: Any,
    *,
    metric: Metric | None = None,
    k: int = 1,
    return_distance: bool = False,
    return_margin: bool = False,
    mask: Any | None = None,
    on_invalid: OnInvalid = "raise",
    dtype: npt.DTypeLike | None = None,
    threads: int | None = None,
    out: npt.NDArray[np.int32] | None = None,
) -> Any:
    """Return the index of the code that each vector of `x` is nearest to; ties go to the lowest index.

    Parameters
    ----------
    x : real numbers (..., D)
        NumPy array, torch tensor, CuPy array, or awkward array whose innermost lists have length D; any layout.
    codebook : real numbers (K, D), or Codebook
        A `Codebook` is prepared once, for its own metric, and serves many calls. For `x` on a GPU it is copied there
        once; an array of codes on a GPU is copied to the host in each call.
    metric : "l2", "cosine" or "dot", optional
        By default that of a `Codebook`, and "l2" for an array: squared Euclidean distance, or the largest product with
        the codes as they are ("dot") or normalised ("cosine").
    k : int
        Neighbours to return, 1 to K.
    return_distance, return_margin : bool
        Return the tuple (ids, distance, margin), without the parts that were not asked for.
    mask : booleans (...), optional
        False: skip this vector.
    on_invalid : "raise" or "sentinel"
        What becomes of a vector that holds NaN or infinity, whose distances or products overflow, or that is zero
        (for "cosine"): an error, or the id -1. On a GPU, "raise" waits for the device, and "sentinel" for nothing.
    dtype : "float32" or "float64", optional
        Compute in this dtype, rounding x and codebook to it. By default both must have the same.
    threads : int, optional
        Threads to use; by default `EVTOK_NUM_THREADS` or the CPUs that this process may use.
    out : int32 array of the shape of the ids, optional
        Written and returned as the ids; contiguous, and not overlapping `x`. Not for `x` on a GPU.

    Returns
    -------
    ids : int32 (...), or (..., k) for k > 1, of the kind of x
        -1 for masked vectors, and for invalid ones with "sentinel".
    distance : of the dtype of the computation, the shape of the ids
        The specification's s, which is the squared distance; for "cosine" and "dot" the product, larger is nearer. NaN
        where the id is -1.
    margin : of that dtype (...)
        How much further away the second neighbour is than the first, never below 0; infinity for K = 1.

    Raises
    ------
    TypeError
        Arrays that do not hold real numbers, or hold different kinds of floats without `dtype`.
    ValueError
        An invalid vector ("raise"), an empty or not finite codebook, shapes that do not fit.

    Notes
    -----
    float16 and bfloat16, and integers of at most 16 bits, are computed in float32, which holds them exactly; wider
    integers in float64, up to 2**53. The id is defined by a chain of fused multiply-adds in that dtype
    (`evtok.reference.nearest`), in the order of the coordinates; it does not depend on the other rows, the threads or
    the machine. Its exact distance is at most a factor (1 + 2**-23)**(D + 2) (float32) above the true minimum,
    where nothing underflows.
    """
    from evtok.codebook.codebook import Codebook

    if isinstance(codebook, Codebook):
        if metric not in (None, codebook.metric):
            raise ValueError(f"metric: this codebook was prepared for {codebook.metric!r}, got {metric!r}")
        prepared = codebook
    elif _arrays.on_gpu(x):
        prepared = _codebook_for_gpu(codebook, metric or "l2", dtype)
    else:
        codes = _arrays.to_numpy(codebook, "codebook")
        wanted = _rows.common_dtype(_rows.Rows(x).values, codes, dtype)
        # An overflow is an infinity, which Codebook refuses; a caller's rounding mode must not reach the codes.
        with np.errstate(over="ignore"), _core.FloatEnvironment():
            codes = codes.astype(wanted, copy=False)
        prepared = Codebook._quiet(codes, metric or "l2")
    return prepared.nearest(
        x,
        k=k,
        return_distance=return_distance,
        return_margin=return_margin,
        mask=mask,
        on_invalid=on_invalid,
        dtype=dtype,
        threads=threads,
        out=out,
    )


def _codebook_for_gpu(codebook: Any, metric: Metric, dtype: npt.DTypeLike | None) -> Codebook:
    from evtok.codebook.codebook import Codebook

    if _arrays.on_gpu(codebook):
        from evtok.cuda.nearest import to_host

        codebook = to_host(codebook)
    codes = _arrays.to_numpy(codebook, "codebook")
    if dtype is not None:
        with np.errstate(over="ignore"), _core.FloatEnvironment():
            codes = codes.astype(_rows.checked_dtype(dtype), copy=False)
    return Codebook._quiet(codes, metric)


def search_plain(
    codebook: Codebook, x: npt.NDArray[Any], threads: int | None
) -> npt.NDArray[np.int32] | None:
    """Return the ids of contiguous rows x (n, D) of the codebook's dtype; None where a row is invalid.

    The short way of `search` for calls of a few rows, which would cost more to check than to search.
    """
    ids = np.empty((x.shape[0], 1), np.int32)
    refused, _, _ = codebook.prepared(x.dtype).kernel.search(x, None, threads or 0, ids, None, None)
    if refused:
        return None
    _backend.used_native()
    return ids.reshape(-1)


def search(
    codebook: Codebook,
    x: Any,
    *,
    k: int,
    return_distance: bool,
    return_margin: bool,
    mask: Any | None,
    on_invalid: OnInvalid,
    dtype: npt.DTypeLike | None,
    threads: int | None,
    out: npt.NDArray[np.int32] | None,
) -> Any:
    """Do the work of `nearest` with a prepared codebook."""
    _rows.check_on_invalid(on_invalid)
    k = operator.index(k)
    if not 1 <= k <= codebook.n_codes:
        raise ValueError(f"k: expected 1 to {codebook.n_codes}, the number of codes, got {k}")
    rows = _rows.Rows(x)
    rows.check_dims(codebook.n_dims)
    computed = codebook.prepared(_rows.common_dtype(rows.values, codebook.vectors, dtype))
    skipped = rows.flags(mask)
    shape = rows.shape if k == 1 else (*rows.shape, k)
    ids = (
        _arrays.result(shape, np.int32)
        if out is None
        else _rows.checked_out(out, shape, {"x": rows.values, "mask": skipped})
    )
    distance = _arrays.result(shape, computed.dtype) if return_distance else None
    margin = _arrays.result(rows.shape, computed.dtype) if return_margin else None

    refused, first, reason = 0, -1, ""
    for start, stop, piece in rows.pieces(computed.dtype):
        count, row, why = computed.kernel.search(
            piece,
            None if skipped is None else skipped[start:stop],
            threads or 0,
            ids.reshape(-1, k)[start:stop],
            None if distance is None else distance.reshape(-1, k)[start:stop],
            None if margin is None else margin.reshape(-1)[start:stop],
        )
        if count and not refused:
            first, reason = start + row, why
        refused += count
        if refused and on_invalid == "raise":
            break
    if refused and on_invalid == "raise":
        rows.refuse(first, reason)
    _backend.used_native()
    results = [ids if out is not None else rows.wrap(ids)]
    if distance is not None:
        results.append(rows.wrap(distance))
    if margin is not None:
        results.append(rows.wrap(margin))
    return results[0] if len(results) == 1 else tuple(results)
