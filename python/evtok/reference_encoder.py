"""The readable definition of the native transformer encoder (encoder.hpp, encoder_kernels.hpp).

Slow, written to be read first, and the expected value in tests. Every number is a float32, and every step rounds once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.reference import multiply_add
from evtok.reference_scoring import LANES, exponential

Floats = npt.NDArray[np.float32]
Layer = Mapping[str, Any]

_HALF, _ONE = np.float32(0.5), np.float32(1)
_GELU_END = np.float32(5.6)
_GELU_ABOVE, _GELU_BELOW = (
    tuple(np.float32(float.fromhex(x)) for x in row)
    for row in (
        (
            *("0x1.7c73f2p-26", "0x1.aa9476p-18", "0x1.6c97b6p-13", "0x1.347ec4p-8", "0x1.199c0ap-5"),
            "0x1.988450p-2",
        ),
        (
            *("0x1.3ccf7ep-20", "0x1.3b0048p-14", "0x1.f57a02p-10", "0x1.da27a8p-6", "0x1.02e6e8p-2"),
            "1",
        ),
    )
)
_TANH_CUBIC, _TANH_LINEAR = (np.float32(float.fromhex(x)) for x in ("-0x1.2444f2p-4", "-0x1.988454p+0"))


def encoder(
    x: Floats,
    offsets: npt.NDArray[np.int64],
    layers: Sequence[Layer],
    *,
    heads: int,
    activation: str,
    norm_first: bool,
    eps: float,
    norm: tuple[Floats, Floats | None] | None = None,
    precision: str = "float32",
) -> Floats:
    """Rows (n_rows, width) of ragged sequences to rows: all layers, then `norm` where there is one.

    Layers hold arrays by the names of `torch.nn.TransformerEncoderLayer`; a bias may be missing or None.
    """
    result = np.empty_like(x)
    for begin, end in itertools.pairwise(offsets):
        rows = x[begin:end]
        for layer in layers:

            def dense(values: Floats, weight: str, bias: str, layer: Layer = layer) -> Floats:
                return _dense(values, layer[weight], layer.get(bias), precision)

            def norm_of(k: int, values: Floats, layer: Layer = layer) -> Floats:
                return layer_norm(values, layer[f"norm{k}.weight"], layer.get(f"norm{k}.bias"), eps)

            def attend(values: Floats) -> Floats:
                wide = dense(values, "self_attn.in_proj_weight", "self_attn.in_proj_bias")
                seen = attention(wide, heads)
                return dense(seen, "self_attn.out_proj.weight", "self_attn.out_proj.bias")

            def feed(values: Floats) -> Floats:
                hidden = activate(dense(values, "linear1.weight", "linear1.bias"), activation)
                return dense(hidden, "linear2.weight", "linear2.bias")

            if not len(rows):
                break
            if norm_first:
                rows = rows + attend(norm_of(1, rows))
                rows = rows + feed(norm_of(2, rows))
            else:
                rows = norm_of(1, rows + attend(rows))
                rows = norm_of(2, rows + feed(rows))
        result[begin:end] = rows if norm is None or not len(rows) else layer_norm(rows, *norm, eps)
    return result


def bfloat16(x: Floats) -> Floats:
    """Round finite float32 to bfloat16, to nearest even, as float32; below 2**-55 it is +0."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1) & np.uint32(0xFFFF0000)).view(np.float32)
    return np.where(np.abs(rounded) < 2.0**-55, np.float32(0), rounded)


def _dense(x: Floats, weight: Floats, bias: Floats | None, precision: str) -> Floats:
    if precision == "bfloat16":
        x, weight = bfloat16(x), bfloat16(weight)
    start = np.zeros(len(weight), np.float32) if bias is None else bias
    if precision == "bfloat16":
        start = np.where(np.abs(start) < 2.0**-100, np.float32(0), start)
    return _chain(x, weight.T, np.broadcast_to(start, (len(x), len(weight))))


def _chain(a: Floats, b: Floats, start: Floats) -> Floats:
    """Start + a @ b, one term after the other, each a fused multiply-add."""
    result = start
    for j in range(a.shape[1]):
        result = multiply_add(a[:, j, None], b[None, j], result)
    return np.asarray(result, np.float32)


def _folded(rows: Floats) -> Floats:
    """Sum rows (n, m) in 16 lanes, element i in lane i mod 16, folded by halves."""
    lanes = np.zeros((len(rows), LANES), np.float32)
    for first in range(0, rows.shape[1], LANES):
        block = rows[:, first : first + LANES]
        lanes[:, : block.shape[1]] += block
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes[:, 0]


def layer_norm(x: Floats, gain: Floats, bias: Floats | None, eps: float) -> Floats:
    """Layer norm of rows (n, d); the squares enter their sums by fused multiply-adds."""
    count = np.float32(x.shape[1])
    t = x - (_folded(x) / count)[:, None]
    lanes = np.zeros((len(x), LANES), np.float32)
    for i in range(x.shape[1]):
        lanes[:, i % LANES] = multiply_add(t[:, i], t[:, i], lanes[:, i % LANES])
    scale = _ONE / np.sqrt(_folded(lanes) / count + np.float32(eps))
    shift = np.zeros_like(gain) if bias is None else bias
    return np.asarray(multiply_add(t * scale[:, None], gain, np.broadcast_to(shift, x.shape)), np.float32)


def attention(wide: Floats, heads: int) -> Floats:
    """Self-attention of one sequence from its query, key and value rows (n, 3 d)."""
    n, width = len(wide), wide.shape[1] // 3
    of_head = width // heads
    scale = np.float32(1 / math.sqrt(of_head))
    result = np.empty((n, width), np.float32)
    for first in range(0, width, of_head):
        query, key, value = (wide[:, k * width + first :][:, :of_head] for k in range(3))
        scores = _chain(query, key.T, np.zeros((n, n), np.float32))
        e = exponential(scores * scale - (scores.max(axis=1) * scale)[:, None])
        values = _chain(e, value, np.zeros((n, of_head), np.float32))
        result[:, first : first + of_head] = values / _folded(e)[:, None]
    return result


def activate(x: Floats, activation: str) -> Floats:
    """ReLU; or x Phi(x), where Phi - 1/2 is x times a quotient of polynomials in x**2; or its form with tanh."""
    if activation == "relu":
        return np.where(x < 0, np.float32(0), x)
    if activation == "gelu-tanh":
        with np.errstate(over="ignore"):
            u = x * multiply_add(x * x, _TANH_CUBIC, _TANH_LINEAR)
            return np.asarray(x / (_ONE + exponential(u)), np.float32)
    held = np.clip(x, -_GELU_END, _GELU_END)
    t = held * held
    p, q = (np.broadcast_to(row[0], x.shape) for row in (_GELU_ABOVE, _GELU_BELOW))
    for above, below in zip(_GELU_ABOVE[1:], _GELU_BELOW[1:], strict=True):
        p, q = multiply_add(p, t, above), multiply_add(q, t, below)
    return np.asarray(x * (_HALF + np.clip(held * p / q, -_HALF, _HALF)), np.float32)
