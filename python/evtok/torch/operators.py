"""evtok's kernels as torch operators, ``torch.ops.evtok.*``: torch.compile and torch.export take them as they are.

| operator | from | gives |
|---|---|---|
| `nearest` | x, codes | distances with a gradient, and ids |
| `normalise_codes` | codes | codes of length 1, as `nearest` uses them for "cosine" |
| `look_up` | codes, ids | the codes of ids, with a gradient |
| `sum_by_code` | values, ids | sums and counts of the rows of each code |
| `straight_through` | x, quantized | quantized, whose gradient goes to x |
| `mean_squared_error` | x, quantized | one number, with a gradient |
| `row_products` | a, b | the dot product of each row with its partner, with a gradient |

Whatever adds many numbers up is an operator of its own, with one order of summation. What is left between the operators
is elementwise and rounds in one way only, and so a compiled model gives the bits of the eager one, gradients included.
CUDA tensors take the same operators; `evtok.torch.on_gpu` says which of them have the bits of the CPU.

An id of -1 means "no code" throughout: such a row is zero, and has no gradient and no loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch

from evtok import _core
from evtok.torch import on_gpu
from evtok.torch.define import array, computed_in, counts_and_sums, define
from evtok.torch.prepared import prepared
from evtok.torch.rows import mean_squared_error, row_products, straight_through

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Nearest",
    "look_up",
    "mean_squared_error",
    "nearest",
    "normalise_codes",
    "row_products",
    "straight_through",
    "sum_by_code",
]

Metric = Literal["l2", "cosine", "dot"]
OnInvalid = Literal["raise", "sentinel"]


def _nearest(
    x: Tensor,
    codes: Tensor,
    metric: Metric = "l2",
    mask: Tensor | None = None,
    on_invalid: OnInvalid = "raise",
) -> tuple[Tensor, Tensor]:
    ids, distance = prepared(array(codes, "codes"), metric).nearest(
        array(x, "x"),
        return_distance=True,
        mask=None if mask is None else mask.numpy(),
        on_invalid=on_invalid,
        threads=torch.get_num_threads(),
    )
    distance = np.where(ids < 0, distance.dtype.type(0), distance)
    return torch.from_numpy(distance), torch.from_numpy(np.asarray(ids))


def _nearest_fake(
    x: Tensor, codes: Tensor, metric: str = "l2", mask: Tensor | None = None, on_invalid: str = "raise"
) -> tuple[Tensor, Tensor]:
    rows = x.shape[:-1]
    return x.new_empty(rows, dtype=computed_in(x)), x.new_empty(rows, dtype=torch.int32)


def _nearest_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, codes, ctx.metric, _, _ = inputs
    ctx.save_for_backward(x, codes, output[1])


def _nearest_backward(ctx: Any, gradient: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    """Differentiate the distance to the code that was chosen; the choice itself has no gradient."""
    x, codes, ids = ctx.saved_tensors
    wide = x.to(computed_in(x))
    chosen = look_up(codes, ids).to(wide.dtype)
    gradient = gradient.unsqueeze(-1)
    if ctx.metric == "l2":
        to_x = 2 * gradient * (wide - chosen)
        to_chosen = -to_x
    elif ctx.metric == "dot":
        to_x, to_chosen = gradient * chosen, gradient * wide
    else:
        length = row_products(chosen, chosen).sqrt().unsqueeze(-1)
        unit = (chosen / length).to(wide.dtype)
        to_x = gradient * unit
        along = row_products(wide, unit).unsqueeze(-1)
        to_chosen = (gradient * (wide - along * unit) / length).to(wide.dtype)
    has_code = (ids >= 0).unsqueeze(-1)
    to_codes = None
    if ctx.needs_input_grad[1]:
        to_codes = sum_by_code(torch.where(has_code, to_chosen, 0), ids, codes.shape[0])[0].to(codes.dtype)
    return torch.where(has_code, to_x, 0).to(x.dtype), to_codes, None, None, None


# Values come before indices, as those of torch.min, and a row without a code has distance 0, for torch's opcheck cannot
# compare NaN, nor add floats to integers.
_nearest_operator = define(
    "nearest",
    "Tensor x, Tensor codes, str metric='l2', Tensor? mask=None, str on_invalid='raise'",
    "(Tensor, Tensor)",
    _nearest,
    _nearest_fake,
    on_gpu=on_gpu.nearest,
    gradient=(_nearest_backward, _nearest_setup),
)


class Nearest(NamedTuple):
    """What `nearest` returns: ids int32 (...), and distances (...) of the dtype of the computation."""

    ids: Tensor
    distance: Tensor


def nearest(
    x: Tensor,
    codes: Tensor,
    metric: Metric = "l2",
    mask: Tensor | None = None,
    on_invalid: OnInvalid = "raise",
) -> Nearest:
    """Return the code that each vector is nearest to, and how far it is, with a gradient; see `evtok.nearest`.

    Parameters
    ----------
    x : float tensor (..., D)
        float16 and bfloat16 are computed in float32, which holds them exactly.
    codes : float tensor (K, D)
    metric : "l2", "cosine" or "dot"
    mask : bool tensor (...), optional
        False for rows that get no code.
    on_invalid : "raise" or "sentinel"
        What to do with rows that are not finite.

    Returns
    -------
    ids : int32 tensor (...)
        -1 for rows that are masked, and for invalid ones with "sentinel".
    distance : float tensor (...)
        The squared distance for "l2", the product otherwise, and NaN where the id is -1. Its gradient goes to `x` and
        to `codes`, through the code that was chosen.

    Raises
    ------
    TypeError
        A dtype that is not floating point, or float32 beside float64.
    ValueError
        Shapes that do not fit, codes that are not finite, or an invalid row, naming the first.
    """
    distance, ids = _nearest_operator(x, codes, metric, mask, on_invalid)
    return Nearest(ids, torch.where(ids < 0, torch.nan, distance))


def _normalise_codes(codes: Tensor) -> Tensor:
    return torch.from_numpy(_core.normalise_codes(np.ascontiguousarray(array(codes, "codes"))))


def _normalise_codes_fake(codes: Tensor) -> Tensor:
    return codes.new_empty(codes.shape, dtype=computed_in(codes))


normalise_codes = define(
    "normalise_codes",
    "Tensor codes",
    "Tensor",
    _normalise_codes,
    _normalise_codes_fake,
    on_gpu=on_gpu.normalise_codes,
)


# ---- the codes of ids, and the sums of what has an id ----------------------------------------------------------------


def _look_up(codes: Tensor, ids: Tensor) -> Tensor:
    if ids.numel() and (int(ids.min()) < -1 or int(ids.max()) >= codes.shape[0]):
        raise ValueError(
            f"ids: expected -1 to {codes.shape[0] - 1}, got {int(ids.min())} to {int(ids.max())}; do these ids belong "
            "to this codebook?"
        )
    flat = ids.reshape(-1)
    rows = codes.index_select(0, flat.clamp(min=0))
    rows.masked_fill_((flat < 0).unsqueeze(-1), 0)
    return rows.view(*ids.shape, codes.shape[1])


def _look_up_fake(codes: Tensor, ids: Tensor) -> Tensor:
    return codes.new_empty((*ids.shape, codes.shape[1]))


def _look_up_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    codes, ids = inputs
    ctx.n_codes = codes.shape[0]
    ctx.save_for_backward(ids)


def _look_up_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    (ids,) = ctx.saved_tensors
    sums, _ = sum_by_code(gradient, ids, ctx.n_codes)
    return sums.to(gradient.dtype), None


look_up = define(
    "look_up",
    "Tensor codes, Tensor ids",
    "Tensor",
    _look_up,
    _look_up_fake,
    on_gpu=on_gpu.look_up,
    gradient=(_look_up_backward, _look_up_setup),
)


def _sum_by_code(values: Tensor, ids: Tensor, n_codes: int) -> tuple[Tensor, Tensor]:
    rows = array(values, "values").reshape(-1, values.shape[-1])
    counts, sums = counts_and_sums(rows, ids.numpy().reshape(-1), n_codes)
    return torch.from_numpy(sums), torch.from_numpy(counts)


def _sum_by_code_fake(values: Tensor, ids: Tensor, n_codes: int) -> tuple[Tensor, Tensor]:
    sums = values.new_empty((n_codes, values.shape[-1]), dtype=torch.float64)
    return sums, values.new_empty((n_codes,), dtype=torch.int64)


sum_by_code = define(
    "sum_by_code",
    "Tensor values, Tensor ids, int n_codes",
    "(Tensor, Tensor)",
    _sum_by_code,
    _sum_by_code_fake,
    on_gpu=on_gpu.sum_by_code,
)
