"""Drop-in for `torch.bucketize`: the same integers, from evtok's bin search."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _core, binning
from evtok.compat._peer import peer

_PIECE = 1 << 19  # values whose int64 codes are in memory while int32 is asked for


def bucketize(
    input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False, out: Any = None
) -> Any:
    """Return the index of the bucket of each value among sorted `boundaries`, as `torch.bucketize`.

    Parameters
    ----------
    input : tensor of any shape, or number
    boundaries : tensor (n,)
        Sorted in increasing order.
    out_int32 : bool
        Return int32 instead of int64.
    right : bool
        False: ``boundaries[i - 1] < input <= boundaries[i]``. True: ``boundaries[i - 1] <= input < boundaries[i]``.
        (`numpy.digitize` means the opposite by its `right`.)
    out : tensor of the shape of input, optional
        Written and returned.

    Returns
    -------
    int64 or int32 tensor of the shape of input
        From 0 to n; NaN gives n.

    Raises
    ------
    TypeError
        `input` or `boundaries` are not tensors.
    RuntimeError
        `boundaries` is not one-dimensional, or `out` has another dtype than `out_int32` says.

    Notes
    -----
    Values are compared in the dtype to which torch promotes the two. Numbers, tensors of other devices, layouts and
    subclasses, traced calls, integers that float64 cannot hold, and boundaries that are not sorted or hold NaN (for
    which torch promises nothing) go to torch.
    """
    import torch  # here, so that evtok needs it only where it is used; the compiler can trace an import

    options = {"out_int32": out_int32, "right": right}
    given = options if out is None else {**options, "out": out}  # torch takes no out=None beside a number
    if torch.compiler.is_compiling():  # the compiler fuses torch's own operator
        return torch.bucketize(input, boundaries, **given)
    dtype = torch.int32 if out_int32 else torch.int64
    arrays = _arrays_to_compare(torch, input, boundaries)
    fits = arrays is not None and (  # a number has no shape: torch says that it takes no out beside one
        out is None
        or (
            type(out) is torch.Tensor
            and out.device.type == "cpu"
            and out.shape == input.shape
            and out.dtype == dtype
        )
    )
    if arrays is None or not fits or not all(isinstance(option, bool) for option in options.values()):
        return peer("torch", "torch").bucketize(input, boundaries, **given)
    values, edges = arrays
    in_place = out is not None and out.is_contiguous() and not np.may_share_memory(out.numpy(), values)
    codes = out if in_place else torch.empty(input.shape, dtype=dtype)
    _write_codes(values, edges, not right, codes.numpy())
    return codes if in_place or out is None else out.copy_(codes)


def _arrays_to_compare(
    torch: Any, input: Any, boundaries: Any
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """View both tensors in their common dtype, or return None where the call is torch's."""
    plain = (torch.Tensor, torch.nn.Parameter)
    for x in (input, boundaries):
        if type(x) not in plain or x.device.type != "cpu" or x.layout is not torch.strided:
            return None
    common = torch.result_type(input, boundaries)
    floats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    integers = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    if boundaries.ndim != 1 or common not in (*floats, *integers):
        return None
    try:
        values, edges = (_arrays.to_numpy(x.detach().to(common), "input") for x in (input, boundaries))
    except RuntimeError:  # under torch.func.vmap a tensor has no memory of its own
        return None
    if not (binning._is_exact(values) and binning._is_exact(edges)):
        return None
    with _core.FloatEnvironment():  # a caller who flushes subnormals takes them for equal
        sorted_numbers = not np.isnan(edges).any() and (edges[1:] >= edges[:-1]).all()
    return (values, edges) if sorted_numbers else None


def _write_codes(
    values: npt.NDArray[Any], edges: npt.NDArray[Any], right: bool, codes: npt.NDArray[Any]
) -> None:
    """Write the bins of values into contiguous int64 or int32 codes of the same shape."""
    if codes.dtype == np.int64:
        binning.digitize(values, edges, right, out=codes)
        return
    flat, source = codes.reshape(-1), values.reshape(-1)
    for start in range(0, max(source.size, 1), _PIECE):
        flat[start : start + _PIECE] = binning.digitize(source[start : start + _PIECE], edges, right)
