"""Arrays on a GPU: what a kernel needs to know of them, and more memory where they are.

A call begins with the `Place` of its arguments; within ``with place:`` their device is current, `Place.view` gives
addresses that a kernel can trust, and `Place.empty` the package's own arrays for results and scratch. All is queued on
the stream that the package would use itself, so that memory may be freed, in Python, as soon as it is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from evtok import _arrays
from evtok.cuda.cupy_arrays import CupyArrays
from evtok.cuda.module import load
from evtok.cuda.torch_arrays import TorchArrays


class Package(Protocol):
    """What arrays of a package on one device can do: `TorchArrays` and `CupyArrays`."""

    name: str
    index: int

    def current(self) -> AbstractContextManager[Any]:
        """Make the device current for the time of a ``with``."""

    def stream(self) -> int:
        """Return the address of the stream that the package queues its work on."""

    def plain(self, x: Any, name: str) -> Any:
        """Return `x` contiguous."""

    def dtype(self, x: Any) -> str:
        """Return the name of the dtype of `x`."""

    def cast(self, x: Any, dtype: str) -> Any:
        """Convert `x`."""

    def address(self, x: Any) -> int:
        """Return where the first element lies."""

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Allocate."""

    def put(self, array: npt.NDArray[Any]) -> Any:
        """Copy to the device, on the stream."""

    def get(self, x: Any) -> npt.NDArray[Any]:
        """Copy to the host, when all that was queued before is done."""


class View(NamedTuple):
    """A contiguous array on the device. It keeps `array`, whose memory it is, alive."""

    array: Any
    address: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))


class Place:
    """A device, the package whose arrays the call was given, and the stream that their work is queued on.

    Parameters
    ----------
    arguments
        The arguments of a call by their names; None is passed over. Those on a GPU must be of one package and on one
        device. Those on the host are let through: `put` copies them.

    Raises
    ------
    TypeError
        Arrays of two packages.
    ValueError
        Arrays on two devices.
    """

    def __init__(self, **arguments: Any) -> None:
        self.cuda = load()
        package: type[TorchArrays] | type[CupyArrays] | None = None
        first, index = "", -1
        for name, x in arguments.items():
            if x is None or not _arrays.on_gpu(x):
                continue
            its = TorchArrays if _arrays.kind(x) == "torch" else CupyArrays
            if package is None:
                package, first, index = its, name, its.index_of(x)
            elif its is not package:
                raise TypeError(
                    f"{first} and {name}: one is of {package.name}, the other of {its.name}; convert one"
                )
            elif its.index_of(x) != index:
                raise ValueError(
                    f"{first} and {name}: lie on two devices, {index} and {its.index_of(x)}; move one of them"
                )
        if package is None:
            raise TypeError(f"expected an array on a GPU among {', '.join(arguments)}")
        self.package: Package = package(index)
        self._current: AbstractContextManager[Any] | None = None
        self.stream = 0

    def __enter__(self) -> Place:
        self._current = self.package.current()
        self._current.__enter__()
        try:
            self.cuda.use_device(self.package.index)
            self.stream = self.package.stream()
        except BaseException:
            self._current.__exit__(None, None, None)  # `with` does not, for what was not entered
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._current is not None
        self._current.__exit__(kind, error, trace)

    # ---- arrays -------------------------------------------------------------------------------------------------

    def view(self, x: Any, name: str, dtypes: Sequence[str], *, ndim: int | None = None) -> View:
        """View an array for a kernel; it is copied where it is not contiguous, and to the device where it is not there.

        Raises
        ------
        TypeError
            A dtype that is none of `dtypes`, or a tensor that needs grad.
        ValueError
            Another number of dimensions than `ndim`.
        """
        array = self.package.plain(x, name) if _arrays.on_gpu(x) else self.put(_arrays.to_numpy(x, name))
        dtype = self.package.dtype(array)
        if dtype not in dtypes:
            raise TypeError(f"{name}: expected {' or '.join(dtypes)} on a GPU, got {dtype}; convert it")
        shape = tuple(int(length) for length in array.shape)
        if ndim is not None and len(shape) != ndim:
            raise ValueError(f"{name}: expected {ndim} dimension{'s' * (ndim > 1)}, got shape {shape}")
        return View(array, self.package.address(array), shape, dtype)

    def put(self, x: npt.NDArray[Any]) -> Any:
        """Copy a host array to the device."""
        return self.package.put(np.require(x, x.dtype.newbyteorder("="), ("C", "A")))

    def empty(self, shape: tuple[int, ...], dtype: str) -> View:
        """Allocate an array of the package; `View.array` is what a call returns."""
        array = self.package.empty(shape, dtype)
        return View(array, self.package.address(array), shape, dtype)

    def get(self, x: View) -> npt.NDArray[Any]:
        """Copy an array to the host. This waits for the device."""
        return self.package.get(x.array)

    # ---- bad rows -----------------------------------------------------------------------------------------------

    def statuses(self, n: int) -> View:
        """Return `n` fresh statuses, int64 (n, 2), for kernels to count bad rows in: how many, and the first or -1."""
        result = self.empty((n, 2), "int64")
        self.cuda.clear_statuses(result.address, n, self.stream)
        return result
