"""The readable definition of the quantizers beside a codebook: FSQ, LFQ and residual stages, one vector at a time.

Slow, written to be read first, and the expected value in tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Context, Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: What finds the nearest of the codes (K, D) to a vector (D,): the specification of `evtok.nearest`.
Nearest = Callable[[Array, Array], int]

# ---- finite scalar quantization (arXiv:2309.15505, appendix A.1, with eps = 1/1000) ------------------------------


def fsq_digit(z: float, n_levels: int) -> int:
    """Level, from 0 to `n_levels` - 1, of one finite component: ``round(bound(z)) + n_levels // 2`` in real numbers.

    The halves between two levels are never met: they lie at logarithms of rational numbers, which no float is.
    """
    with localcontext(Context(prec=60)):  # a float64 beside a threshold differs from it within 20 digits
        half = Decimal(n_levels - 1) * 1001 / 2000
        offset = Decimal("0.5") if n_levels % 2 == 0 else Decimal(0)
        shift = ((half + offset) / (half - offset)).ln() / 2  # atanh(offset / half)
        # Beyond 60 no level begins, and the tanh differs from 1 by less than these digits show.
        growth = (2 * (max(min(Decimal(float(z)), Decimal(60)), Decimal(-60)) + shift)).exp()
        tanh = (growth - 1) / (growth + 1)
        return round(tanh * half - offset) + n_levels // 2


def fsq_id(z: Sequence[float], levels: Sequence[int]) -> int:
    """Combine the digits of a vector: the first component counts fastest (little endian)."""
    result, stride = 0, 1
    for component, n_levels in zip(z, levels, strict=True):
        result += fsq_digit(component, n_levels) * stride
        stride *= n_levels
    return result


def fsq_vector(code: int, levels: Sequence[int]) -> list[float]:
    """Return the vector of an id: its levels, normalised to -1 to 1."""
    vector = []
    for n_levels in levels:
        code, digit = divmod(code, n_levels)
        vector.append((digit - n_levels // 2) / (n_levels // 2))
    return vector


# ---- lookup-free quantization (arXiv:2310.05737) -----------------------------------------------------------------


def lfq_id(z: Sequence[float]) -> int:
    """Combine one bit for each component, whether it is above zero; the first counts slowest (big endian)."""
    result = 0
    for component in z:
        result = 2 * result + (component > 0)
    return result


def lfq_vector(code: int, n_dims: int, scale: float = 1.0) -> list[float]:
    """Return the vector of an id: `scale` where a bit is set, ``-scale`` elsewhere."""
    return [scale if code >> (n_dims - 1 - j) & 1 else -scale for j in range(n_dims)]


# ---- residual stages ---------------------------------------------------------------------------------------------


def residual_ids(x: Array, stages: Sequence[Array], nearest: Nearest) -> list[int]:
    """Ids of one vector (D,): the nearest code, then the nearest code to what is left, and so on.

    What is left of a component is ``fl(x - c)``, rounded to the dtype of x at every stage.
    """
    left, ids = x, []
    for codes in stages:
        ids.append(nearest(left, codes))
        left = np.subtract(left, codes[ids[-1]])
    return ids


def residual_vector(ids: Sequence[int], stages: Sequence[Array]) -> Array:
    """Sum of the codes (D,), added in the order of the stages in their dtype."""
    total: Array = stages[0][ids[0]]
    for code, codes in zip(ids[1:], stages[1:], strict=True):
        total = np.add(total, codes[code])
    return total
