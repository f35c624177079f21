"""The readable definition of a codebook tokenizer's kernels: to be read first, slow, the expected value in tests.

See ``numeric_features.hpp`` and ``feature_network.hpp``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from evtok import reference


def numeric_feature(
    x: float,
    function: str = "identity",
    *,
    subtract: float = 0.0,
    multiply: float = 1.0,
    reference_value: float | None = None,
    wrap: bool = False,
    above: float = -math.inf,
    below: float = math.inf,
    mean: float = 0.0,
    scale: float = 1.0,
) -> np.float32 | str:
    """Return one feature of an object, or "invalid", or "cut".

    Every step is one operation of float64; the last result is rounded once to float32.
    """
    value = x
    if reference_value is not None:
        value = value - reference_value
    if not math.isfinite(value):
        return "invalid"
    if wrap:
        value = float((np.float64(value) + np.pi) % (2 * np.pi) - np.pi)
    if not above < value < below:
        return "cut"
    if function == "log":
        if value <= 0:
            return "invalid"
        value = reference.log(value)
    elif function == "sqrt":
        if value < 0:
            return "invalid"
        value = math.sqrt(value)
    elif function == "asinh":
        value = reference.asinh(value)
    with np.errstate(over="ignore"):
        transformed = (np.float64(value) - subtract) * multiply
        rounded = np.float32((transformed - mean) / scale)
    return rounded if np.isfinite(rounded) else "invalid"


def fma32(a: np.float32, b: np.float32, c: np.float32) -> np.float32:
    """Return a * b + c of finite float32 numbers, rounded once."""
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    near = float(exact)
    if exact == 0:
        return np.float32(np.float64(a) * np.float64(b) + np.float64(c))  # the sign of zero as IEEE says
    if Fraction(near) != exact:
        # Rounded to odd: a float64 that lies on the same side of every midpoint of float32 as the exact number.
        other = math.nextafter(near, math.inf if exact > Fraction(near) else -math.inf)
        near = near if int(np.float64(near).view(np.int64)) & 1 else other
    with np.errstate(over="ignore"):
        return np.float32(near)


def dense_layer(
    x: Sequence[np.float32],
    weight: Sequence[Sequence[np.float32]],
    bias: Sequence[np.float32],
    activation: str = "identity",
    slope: np.float32 = np.float32(0),  # noqa: B008 - a number, not a list
) -> list[np.float32] | None:
    """Return the outputs (n_out,) of one row x (n_in,), or None where a sum is not finite."""
    outputs = []
    for row, begin in zip(weight, bias, strict=True):
        s = np.float32(begin)
        for w, value in zip(row, x, strict=True):
            s = fma32(w, value, s)
            if not np.isfinite(s):
                return None
        if s < 0 and activation == "relu":
            s = np.float32(0)
        elif s < 0 and activation == "leaky_relu":
            s = np.float32(s * slope)
        outputs.append(s)
    return outputs
