"""Torch CUDA tensors as a `Place` needs them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evtok._optional import require
from evtok.cuda.cupy_arrays import refuse_capture

if TYPE_CHECKING:
    from torch import Tensor


class TorchArrays:
    """Tensors on one device; see `evtok.cuda.arrays.Package`."""

    name = "torch"

    def __init__(self, index: int) -> None:
        self._torch: Any = require("torch", extra="torch")
        self.index = index
        self._device = self._torch.device("cuda", index)

    @staticmethod
    def index_of(x: Tensor) -> int:
        """Return the number of the device that `x` lies on."""
        return int(x.get_device())

    def current(self) -> AbstractContextManager[Any]:
        """Make the device current for the time of a ``with``."""
        context: AbstractContextManager[Any] = self._torch.cuda.device(self.index)
        return context

    def stream(self) -> int:
        """Return the address of the stream that torch queues its work on."""
        return int(self._torch.cuda.current_stream(self._device).cuda_stream)

    def plain(self, x: Tensor, name: str) -> Tensor:
        """Return `x` contiguous, without lazy signs.

        Raises
        ------
        TypeError
            A tensor that needs grad.
        """
        if x.requires_grad:
            raise TypeError(f"{name}: this call has no gradient; use {name}.detach()")
        return x.resolve_conj().resolve_neg().contiguous()

    @staticmethod
    def dtype(x: Tensor) -> str:
        """Return the name of the dtype of `x`."""
        return str(x.dtype).removeprefix("torch.")

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        """Convert `x`."""
        return x.to(getattr(self._torch, dtype))

    @staticmethod
    def address(x: Tensor) -> int:
        """Return where the first element lies."""
        return int(x.data_ptr())

    def empty(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        """Allocate."""
        result: Tensor = self._torch.empty(shape, dtype=getattr(self._torch, dtype), device=self._device)
        return result

    def _is_captured(self) -> bool:
        return bool(self._torch.cuda.is_current_stream_capturing())

    def put(self, array: npt.NDArray[Any]) -> Tensor:
        """Copy to the device, on the stream.

        Raises
        ------
        RuntimeError
            The stream is captured.
        """
        refuse_capture(self._is_captured())
        # A copy that blocks would wait for all that is queued on the stream. CUDA stages memory that is not pinned, and
        # has read it when the call returns; the caller's may be pinned, and be read when it holds something else.
        result: Tensor = self._torch.from_numpy(array.copy()).to(self._device, non_blocking=True)
        return result

    @staticmethod
    def get(x: Tensor) -> npt.NDArray[Any]:
        """Copy to the host, when all that was queued before is done."""
        return np.asarray(x.cpu().numpy())
