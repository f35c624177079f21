"""Encoders to test: their weights, rows, and torch modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")
nn = torch.nn
Array = npt.NDArray[Any]
OFFSETS = np.array([0, 1, 1, 4, 24, 41])


def layers_of(
    width: int, feed_forward: int, n_layers: int, seed: int = 0, bias: bool = True
) -> list[dict[str, Array]]:
    rng = np.random.default_rng([seed, width, feed_forward])
    shapes = {
        "self_attn.in_proj_": (3 * width, width),
        "self_attn.out_proj.": (width, width),
        "linear1.": (feed_forward, width),
        "linear2.": (width, feed_forward),
        "norm1.": (width,),
        "norm2.": (width,),
    }
    layers = []
    for _ in range(n_layers):
        layer = {}
        for name, shape in shapes.items():
            layer[name + "weight"] = rng.normal(len(shape) == 1, shape[-1] ** -0.5, shape).astype(np.float32)
            if bias:
                layer[name + "bias"] = rng.normal(0, 0.2, shape[0]).astype(np.float32)
        layers.append(layer)
    return layers


def rows(n: int, width: int, size: float = 1.0) -> Array:
    return np.random.default_rng([n, width]).normal(0, size, (n, width)).astype(np.float32)


def torch_encoder(**changes: Any) -> Any:
    torch.manual_seed(3)
    settings = {
        "d_model": 24,
        "nhead": 3,
        "dim_feedforward": 37,
        "dropout": 0.1,
        "batch_first": True,
    } | changes
    n_layers, norm = settings.pop("layers", 2), settings.pop("norm", None)
    layer = nn.TransformerEncoderLayer(**settings)
    module = nn.TransformerEncoder(layer, n_layers, norm, enable_nested_tensor=False).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)
    return module


def assert_same_bits(a: Array, b: Array) -> None:
    assert a.dtype == b.dtype == np.float32
    np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))
