"""How evtok's operators are made known to torch, and what they compute in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

if TYPE_CHECKING:
    from torch import Tensor

_EXACT_IN_FLOAT32 = (torch.float16, torch.bfloat16)


def array(x: Tensor, name: str) -> npt.NDArray[Any]:
    """View a tensor as float32 or float64 for a kernel; float16 and bfloat16 become float32, exactly.

    Raises
    ------
    TypeError
        Not a floating-point tensor.
    """
    if x.dtype in _EXACT_IN_FLOAT32:
        x = x.float()
    elif x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name}: expected a floating-point tensor, got {x.dtype}; use {name}.float()")
    result: npt.NDArray[Any] = x.detach().resolve_neg().numpy()
    return result


def computed_in(x: Tensor) -> torch.dtype:
    """Return the dtype in which a kernel computes with `x`."""
    return torch.float32 if x.dtype in _EXACT_IN_FLOAT32 else x.dtype


def define(
    name: str,
    arguments: str,
    returns: str,
    run: Callable[..., Any],
    fake: Callable[..., Any],
    *,
    on_gpu: Callable[..., Any],
    mutates: Sequence[str] = (),
    gradient: tuple[Callable[..., Any], Callable[..., None]] | None = None,
) -> Any:
    """Register ``torch.ops.evtok.<name>``: `run` for the CPU, and `on_gpu` for CUDA.

    `gradient` is a pair of functions, backward and setup_context.
    """
    schema = f"({arguments}) -> {returns}"
    result = torch.library.custom_op(
        f"evtok::{name}", run, mutates_args=tuple(mutates), device_types="cpu", schema=schema
    )
    result.register_fake(fake)
    result.register_kernel("cuda", on_gpu)
    if gradient is not None:
        backward, setup_context = gradient
        result.register_autograd(backward, setup_context=setup_context)
    return result


def counts_and_sums(
    rows: npt.NDArray[Any], ids: npt.NDArray[Any], n_codes: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Count and add up the rows (n, D) of each code, in their order, in float64; rows with id -1 are left out."""
    from evtok.codebook.sums import code_sums

    counts, sums = code_sums(rows, ids, n_codes, threads=torch.get_num_threads())
    return counts, sums
