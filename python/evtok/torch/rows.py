"""Operators on rows: the straight-through gradient, the mean squared error, and products."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from evtok import _core
from evtok.torch import on_gpu
from evtok.torch.define import array, computed_in, counts_and_sums, define

if TYPE_CHECKING:
    from torch import Tensor


def _straight_through(x: Tensor, quantized: Tensor, ids: Tensor) -> Tensor:
    return quantized.to(x.dtype, copy=True, memory_format=torch.contiguous_format)


def _straight_through_fake(x: Tensor, quantized: Tensor, ids: Tensor) -> Tensor:
    return x.new_empty(x.shape)


def _straight_through_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[2])


def _straight_through_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    (ids,) = ctx.saved_tensors
    return torch.where((ids >= 0).unsqueeze(-1), gradient, 0), None, None


straight_through = define(
    "straight_through",
    "Tensor x, Tensor quantized, Tensor ids",
    "Tensor",
    _straight_through,
    _straight_through_fake,
    on_gpu=_straight_through,
    gradient=(_straight_through_backward, _straight_through_setup),
)


def _mean_squared_error(x: Tensor, quantized: Tensor, ids: Tensor) -> Tensor:
    with _core.FloatEnvironment(), np.errstate(all="ignore"):  # rows without a code may hold anything
        squares = np.square(array(x, "x") - array(quantized, "quantized")).reshape(-1, x.shape[-1])
        counts, sums = counts_and_sums(squares, np.minimum(ids.numpy().reshape(-1), 0), 1)
        n_values = int(counts[0]) * x.shape[-1]
        total = functools.reduce(operator.add, sums[0].tolist(), 0.0)  # from the left; sum() compensates
    return torch.tensor(total / n_values if n_values else 0.0, dtype=computed_in(x))


def _mean_squared_error_fake(x: Tensor, quantized: Tensor, ids: Tensor) -> Tensor:
    return x.new_empty((), dtype=computed_in(x))


def _mean_squared_error_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _mean_squared_error_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
    x, quantized, ids = ctx.saved_tensors
    has_code = ids >= 0
    n_values = (has_code.sum() * x.shape[-1]).clamp(min=1)
    scale = 2 * gradient / n_values
    to_x = torch.where(
        has_code.unsqueeze(-1), scale * (x.to(computed_in(x)) - quantized.to(computed_in(x))), 0
    )
    return to_x.to(x.dtype), (-to_x).to(quantized.dtype), None


mean_squared_error = define(
    "mean_squared_error",
    "Tensor x, Tensor quantized, Tensor ids",
    "Tensor",
    _mean_squared_error,
    _mean_squared_error_fake,
    on_gpu=on_gpu.mean_squared_error,
    gradient=(_mean_squared_error_backward, _mean_squared_error_setup),
)


def _row_products(a: Tensor, b: Tensor) -> Tensor:
    left, right = (array(t, name).reshape(-1, t.shape[-1]) for t, name in ((a, "a"), (b, "b")))
    total = np.zeros(left.shape[0])
    with _core.FloatEnvironment(), np.errstate(all="ignore"):
        for j in range(left.shape[1]):
            total += np.multiply(left[:, j], right[:, j], dtype=np.float64)
    return torch.from_numpy(total.reshape(a.shape[:-1]))


def _row_products_fake(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty(a.shape[:-1], dtype=torch.float64)


def _row_products_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _row_products_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
    a, b = ctx.saved_tensors
    gradient = gradient.unsqueeze(-1)
    return (gradient * b).to(a.dtype), (gradient * a).to(b.dtype)


row_products = define(
    "row_products",
    "Tensor a, Tensor b",
    "Tensor",
    _row_products,
    _row_products_fake,
    on_gpu=on_gpu.row_products,
    gradient=(_row_products_backward, _row_products_setup),
)
