"""Tensors of the host, taken for tensors of the emulated GPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from evtok.cuda.torch_arrays import TorchArrays


class HostTensors(TorchArrays):
    """What `evtok.cuda.arrays.Place` asks of torch, answered for the CPU."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self._device = self._torch.device("cpu")

    @staticmethod
    def index_of(x: Any) -> int:
        return 0

    def current(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def stream(self) -> int:
        return 0

    def _is_captured(self) -> bool:
        return False

    def put(self, array: Any) -> Any:
        return super().put(array).clone()  # a device has memory of its own
