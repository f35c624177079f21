"""As much of CuPy as evtok uses, on host memory: arrays of it go to the emulated `evtok._cuda`.

They are no NumPy arrays, and NumPy does not take them for any: code that would need memory of a real device copied to
the host fails here too.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import numpy as np


class Memory:
    def __init__(self, ptr: int) -> None:
        self.ptr = ptr


class Device:
    def __init__(self, number: int = 0) -> None:
        self.id = number
        self._context = nullcontext()

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class ndarray:
    __array_ufunc__ = None
    __module__ = "cupy"

    def __init__(self, host: np.ndarray, device: int = 0) -> None:
        self._host = host
        self.device = Device(device)

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self._host.__array_interface__, "version": 3, "stream": 1}

    @property
    def data(self) -> Memory:
        return Memory(self._host.__array_interface__["data"][0])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._host.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    @property
    def ndim(self) -> int:
        return self._host.ndim

    @property
    def size(self) -> int:
        return self._host.size

    def __len__(self) -> int:
        return len(self._host)

    def astype(self, dtype: Any) -> ndarray:
        return ndarray(self._host.astype(dtype), self.device.id)

    def reshape(self, *shape: Any) -> ndarray:
        return ndarray(self._host.reshape(*shape), self.device.id)

    def __getitem__(self, index: Any) -> ndarray:
        return ndarray(self._host[index], self.device.id)

    def get(self) -> np.ndarray:
        return self._host.copy()


class Stream:
    ptr = 0
    capturing = False

    def is_capturing(self) -> bool:
        return Stream.capturing


def asarray(x: Any) -> ndarray:
    return x if isinstance(x, ndarray) else ndarray(np.array(x))


def ascontiguousarray(x: ndarray) -> ndarray:
    return ndarray(np.ascontiguousarray(x._host), x.device.id)


def empty(shape: Any, dtype: Any) -> ndarray:
    host = np.empty(shape, dtype)
    host.reshape(-1).view(np.uint8)[...] = 0xAA  # what a kernel does not write is seen
    return ndarray(host)


def asnumpy(x: ndarray) -> np.ndarray:
    return x.get()


def module() -> ModuleType:
    """This file as the module `cupy`."""
    cupy = ModuleType("cupy")
    cuda = ModuleType("cupy.cuda")
    cuda.Device = Device  # type: ignore[attr-defined]
    cuda.get_current_stream = Stream  # type: ignore[attr-defined]
    cupy.cuda = cuda  # type: ignore[attr-defined]
    for name in ("ndarray", "asarray", "ascontiguousarray", "empty", "asnumpy"):
        setattr(cupy, name, getattr(sys.modules[__name__], name))
    return cupy
