"""Vector quantization for PyTorch, on evtok's kernels: a module to train with, and the operators that it is made of."""

from __future__ import annotations

from evtok._optional import require

require("torch", extra="torch")

from evtok.torch.operators import Nearest, look_up, nearest  # noqa: E402
from evtok.torch.state_dicts import convert_state_dict  # noqa: E402
from evtok.torch.vector_quantizer import Quantized, VectorQuantizer  # noqa: E402

__all__ = ["Nearest", "Quantized", "VectorQuantizer", "convert_state_dict", "look_up", "nearest"]
