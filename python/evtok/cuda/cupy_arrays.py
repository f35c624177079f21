"""CuPy arrays, and those of others that have ``__cuda_array_interface__``, as a `Place` needs them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok._optional import require


def refuse_capture(captured: bool) -> None:
    """Raise where a graph is captured that would read the host's memory again, long after it is gone."""
    if captured:
        raise RuntimeError(
            "an array of the host cannot be copied while a CUDA graph is captured; call once before, or put it on the "
            "device"
        )


class CupyArrays:
    """Arrays on one device; see `evtok.cuda.arrays.Package`."""

    name = "cupy"

    def __init__(self, index: int) -> None:
        self._cupy: Any = require("cupy", extra="cuda")
        self.index = index

    @staticmethod
    def index_of(x: Any) -> int:
        """Return the number of the device that `x` lies on."""
        return int(require("cupy", extra="cuda").asarray(x).device.id)

    def current(self) -> AbstractContextManager[Any]:
        """Make the device current for the time of a ``with``."""
        context: AbstractContextManager[Any] = self._cupy.cuda.Device(self.index)
        return context

    def stream(self) -> int:
        """Return the address of the stream that CuPy queues its work on."""
        # Kept: a stream ends with its object, and a report that is read later waits for it.
        self._stream = self._cupy.cuda.get_current_stream()
        return int(self._stream.ptr)

    def plain(self, x: Any, name: str) -> Any:
        """Return `x` as a contiguous CuPy array in native byte order; CuPy waits for the stream of another producer."""
        array = self._cupy.asarray(x)
        if not array.dtype.isnative:
            raise TypeError(f"{name}: expected the byte order of this machine, got dtype {array.dtype}")
        return self._cupy.ascontiguousarray(array).reshape(array.shape)

    @staticmethod
    def dtype(x: Any) -> str:
        """Return the name of the dtype of `x`."""
        return str(x.dtype)

    @staticmethod
    def cast(x: Any, dtype: str) -> Any:
        """Convert `x`."""
        return x.astype(dtype)

    @staticmethod
    def address(x: Any) -> int:
        """Return where the first element lies."""
        return int(x.data.ptr)

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Allocate."""
        return self._cupy.empty(shape, dtype)

    def put(self, array: npt.NDArray[Any]) -> Any:
        """Copy to the device, on the stream.

        Raises
        ------
        RuntimeError
            The stream is captured.
        """
        refuse_capture(bool(self._cupy.cuda.get_current_stream().is_capturing()))
        # Of memory of our own, which is not pinned: pinned memory would be read later, when it may hold something else.
        return self._cupy.asarray(array.copy())

    def get(self, x: Any) -> npt.NDArray[Any]:
        """Copy to the host, when all that was queued before is done."""
        return np.asarray(self._cupy.asnumpy(x))
