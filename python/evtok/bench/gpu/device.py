"""What a benchmark needs of a GPU: arrays on it, a clock, its limits, and how much memory a call takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from evtok._optional import require
from evtok.bench.harness import Clock, Contestant, WrongResultError
from evtok.cuda.module import why_off
from evtok.errors import MissingBackendError

# Of the matrices whose product tells the rate of multiply-adds.
_SIDE = 8192


class Device(Protocol):
    """A GPU, as benchmarks use it."""

    def put(self, x: npt.NDArray[Any], dtype: str | None = None) -> Any:
        """Copy to the device; with `dtype`, converted there, such as to "bfloat16"."""

    def get(self, x: Any) -> npt.NDArray[Any]:
        """Copy to the host, bfloat16 as float32."""

    def clock(self) -> Clock:
        """Return a clock of the device."""

    def copy_limit(self, traffic: float) -> Contestant:
        """Return the copy of an array beyond the caches, `traffic` bytes read and written, as a case's limit."""

    def product_limit(self, dtype: str) -> Contestant:
        """Return a product of matrices, "float32" or "bfloat16", as a case's limit."""

    def count_differences(self, got: Any, expected: npt.NDArray[Any]) -> int:
        """Count the values in which a result on the device differs from one on the host."""

    def peak_extra_bytes(self, run: Callable[[], Any]) -> int | None:
        """Return how far a call raises the memory that is taken on the device."""

    def torch(self) -> Any:
        """Return torch, for peers; None where there is none with CUDA."""


class TorchDevice:
    """The current CUDA device of torch; see `Device`.

    Raises
    ------
    MissingBackendError
        torch cannot be used, or sees no GPU, or evtok was built without CUDA.
    """

    def __init__(self) -> None:
        self._torch = require("torch", extra="torch")
        why = why_off()
        if why is None and not self._torch.cuda.is_available():
            why = f"torch {self._torch.__version__} sees no GPU"
        if why is not None:
            raise MissingBackendError(f"--device cuda: {why}", name="evtok._cuda")
        # float32 means float32: peers that may round to TF32 say so in their names.
        self._torch.backends.cuda.matmul.allow_tf32 = False
        self._torch.backends.cudnn.allow_tf32 = False
        self._expected: tuple[Any, Any] = (None, None)

    def put(self, x: npt.NDArray[Any], dtype: str | None = None) -> Any:
        """Copy to the device."""
        tensor = self._torch.from_numpy(x if x.flags.writeable else x.copy()).cuda()
        return tensor if dtype is None else tensor.to(getattr(self._torch, dtype))

    def get(self, x: Any) -> npt.NDArray[Any]:
        """Copy to the host."""
        x = self._tensor(x)
        return np.asarray((x.float() if x.dtype == self._torch.bfloat16 else x).cpu().numpy())

    def clock(self) -> Clock:
        """Return a clock of the device."""
        return TorchClock(self._torch)

    def copy_limit(self, traffic: float) -> Contestant:
        """Return a copy as a case's limit."""
        n = int(max(traffic / 2, 8 * self._torch.cuda.get_device_properties().L2_cache_size)) // 8
        source = self._torch.arange(n, device="cuda")
        target = self._torch.empty_like(source)

        def run() -> None:
            target.copy_(source)

        run()
        if not self._torch.equal(source, target):
            raise WrongResultError("machine: the copy differs from its source")
        return Contestant("copy", run, "limit", self._torch.__version__, 0, traffic=16.0 * n)

    def product_limit(self, dtype: str) -> Contestant:
        """Return a product of matrices as a case's limit. Of random numbers: zeros would need less power."""
        torch = self._torch
        a, b = (torch.randn(_SIDE, _SIDE, device="cuda").to(getattr(torch, dtype)) for _ in range(2))
        out = torch.empty_like(a)

        def run() -> None:
            torch.mm(a, b, out=out)

        run()
        rows = slice(0, _SIDE, _SIDE // 8)
        expected = a[rows].double() @ b.double()
        if not bool(((out[rows].double() - expected).abs() < 4.0).all()):  # values are of the size of 90
            raise WrongResultError(f"machine: the {dtype} product is wrong")
        return Contestant(
            f"{dtype} products", run, "limit", torch.__version__, 0, operations=2.0 * float(_SIDE) ** 3
        )

    def count_differences(self, got: Any, expected: npt.NDArray[Any]) -> int:
        """Count the values that differ, on the device; another shape or kind of dtype means all, NaN always differs."""
        got = self._tensor(got)
        whole = got.dtype.is_floating_point == (expected.dtype.kind == "f")
        if tuple(got.shape) != expected.shape or not whole:
            return max(int(got.numel()), expected.size, 1)
        if self._expected[0] is not expected:  # one at a time: results are large
            self._expected = (expected, self.put(expected))
        return int((got != self._expected[1]).sum().item())

    def peak_extra_bytes(self, run: Callable[[], Any]) -> int | None:
        """Return how far a call raises the memory that torch has taken on the device."""
        cuda = self._torch.cuda
        run()
        cuda.synchronize()
        before = cuda.memory_allocated()
        cuda.reset_peak_memory_stats()
        run()
        cuda.synchronize()
        return int(cuda.max_memory_allocated() - before)

    def torch(self) -> Any:
        """Return torch."""
        return self._torch

    def _tensor(self, x: Any) -> Any:
        return x if isinstance(x, self._torch.Tensor) else self._torch.from_dlpack(x)


class TorchClock:
    """Time on the device, between two events on the current stream.

    The caches are flushed just before, by adding to a buffer of at least 1 GiB and eight times the L2. Nothing waits
    for that: while the device adds, the host queues the call, so that the time to launch its first kernels is hidden
    behind it, as in a program that keeps the device busy. A call that waits for the device itself shows its waiting.
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        n = max(1 << 30, 8 * torch.cuda.get_device_properties().L2_cache_size)
        self._buffer = torch.zeros(n // 4, dtype=torch.int32, device="cuda")

    def flush(self) -> None:
        """Fill the caches with something else; queued, not waited for."""
        self._buffer.add_(1)

    def timed(self, run: Callable[[], Any]) -> tuple[float, Any]:
        """Return the seconds that `run` took on the device, and its result."""
        begin, end = (self._torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        result = run()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) * 1e-3, result
