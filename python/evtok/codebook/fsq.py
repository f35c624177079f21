"""Finite scalar quantization (arXiv:2309.15505), with thresholds that are exact.

The published quantizer rounds ``tanh(z + shift) * half_width - offset``. That function increases with z, so every
level begins at a threshold on z itself; it is found once, in exact arithmetic, and no library's tanh has a say in an
id.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache, partial
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from evtok import _core
from evtok.codebook import _rows
from evtok.codebook.scalar_quantizer import MAX_CODES, ScalarQuantizer
from evtok.tokenizers import exact_reals

#: Levels that the authors recommend, by the size of the codebook that they stand in for.
RECOMMENDED_LEVELS: Mapping[int, tuple[int, ...]] = MappingProxyType(
    {
        2**8: (8, 6, 5),
        2**10: (8, 5, 5, 5),
        2**12: (7, 5, 5, 5, 5),
        2**14: (8, 8, 8, 6, 5),
        2**16: (8, 8, 8, 5, 5, 5),
    }
)

# The formula overshoots the outer levels by 0.1 %. From 1002 levels on, that rounds to levels that there are not.
_MAX_LEVELS = 1001


@dataclass(frozen=True, init=False)
class FSQ(ScalarQuantizer):
    """Finite scalar quantization: each component is bounded and rounded to one of its levels.

    In real numbers, with L levels, ``half = (L - 1) * 1.001 / 2``, ``offset = 0.5`` where L is even and 0 elsewhere,
    and ``shift = atanh(offset / half)``:

        ``digit = round(tanh(z + shift) * half - offset) + L // 2``
        ``id = digit[0] + digit[1] * L[0] + digit[2] * L[0] * L[1] + ...``

    An id decodes to ``(digit - L // 2) / (L // 2)``: values behind the tanh, which are not to be encoded again.

    A level begins at half the logarithm of a rational number, which no floating-point number is: z is always on one
    side, and never on a tie. The threshold is the smallest number of the dtype above it. So a float32 and its float64
    copy have the same id, on every machine. `vector-quantize-pytorch` computes the formula in float32, and gives
    another id only within the last bits beside a threshold.

    Parameters
    ----------
    levels : sequence of int
        Levels of each component, 3 to 1001; their product is the number of codes, at most 2**31.

    Raises
    ------
    TypeError
        Levels that are not integers.
    ValueError
        No levels, levels outside this range, or too many codes.

    Examples
    --------
    >>> fsq = FSQ.recommended(2**10)
    >>> fsq.levels, fsq.n_codes
    ((8, 5, 5, 5), 1000)
    >>> fsq.encode([[0.0, 0.0, 0.0, 0.0], [9.0, 9.0, 9.0, 9.0]])
    array([500, 999], dtype=int32)
    >>> fsq.decode([999])
    array([[0.75, 1.  , 1.  , 1.  ]], dtype=float32)
    """

    levels: tuple[int, ...]

    KIND: ClassVar[str] = "fsq"
    RIGHT: ClassVar[bool] = False

    def __init__(self, levels: Iterable[int]) -> None:
        object.__setattr__(self, "levels", _checked_levels(levels))

    @classmethod
    def recommended(cls, n_codes: int) -> Self:
        """Return the authors' choice of levels in place of a codebook of 2**8, 2**10, 2**12, 2**14 or 2**16 codes."""
        if n_codes not in RECOMMENDED_LEVELS:
            known = ", ".join(str(n) for n in RECOMMENDED_LEVELS)
            raise ValueError(
                f"n_codes: expected one of {known}, got {n_codes!r}; or choose levels, FSQ((8, 5, 5))"
            )
        return cls(RECOMMENDED_LEVELS[n_codes])

    @property
    def n_dims(self) -> int:
        """Components of a vector, D."""
        return len(self.levels)

    @property
    def level_counts(self) -> tuple[int, ...]:
        """Levels of each component."""
        return self.levels

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """Factor of each component's digit in the id: the first component counts fastest."""
        factors = [1]
        for n_levels in self.levels[:-1]:
            factors.append(factors[-1] * n_levels)
        return tuple(factors)

    def thresholds(self, dtype: npt.DTypeLike = np.float32) -> tuple[npt.NDArray[Any], ...]:
        """Smallest value of `dtype` in each level but the first, for each component: arrays (L - 1,), read-only."""
        wanted = _rows.checked_dtype(dtype)
        return tuple(_thresholds(n_levels, wanted) for n_levels in self.levels)

    def level_values(self) -> tuple[npt.NDArray[np.float64], ...]:
        """Values of the levels, normalised to -1 to 1 by ``L // 2``: an even number of levels stops short of 1."""
        return tuple((np.arange(n_levels) - n_levels // 2) / (n_levels // 2) for n_levels in self.levels)

    def _config(self) -> dict[str, Any]:
        return {"kind": self.KIND, "levels": list(self.levels)}

    def _tensors(self) -> dict[str, npt.NDArray[Any]]:
        return {
            f"thresholds_{dtype.__name__}": np.concatenate(self.thresholds(dtype))
            for dtype in (np.float32, np.float64)
        }

    @classmethod
    def _from_config(cls, config: dict[str, Any]) -> Self:
        return cls(config["levels"])


def _checked_levels(levels: Iterable[int]) -> tuple[int, ...]:
    try:
        counts = tuple(operator.index(n_levels) for n_levels in levels)
    except TypeError as error:
        raise TypeError(f"levels: expected integers, got {levels!r}") from error
    if not counts:
        raise ValueError("levels: expected at least one component, got none")
    for n_levels in counts:
        if not 3 <= n_levels <= _MAX_LEVELS:
            note = "; for two levels of each component use LFQ" if n_levels == 2 else ""
            raise ValueError(f"levels: expected 3 to {_MAX_LEVELS}, got {n_levels}{note}")
    n_codes = 1
    for n_levels in counts:
        n_codes *= n_levels
        if n_codes > MAX_CODES:
            raise ValueError(
                f"levels: ids are int32, so at most 2**31 codes fit, and {counts} makes more; use fewer levels"
            )
    return counts


@lru_cache(maxsize=256)
def _thresholds(n_levels: int, dtype: np.dtype[np.floating]) -> npt.NDArray[Any]:
    """Where the levels 1 to L - 1 begin."""
    with _core.FloatEnvironment():
        half = Fraction(n_levels - 1) * Fraction(1001, 2000)
        offset = Fraction(1, 2) if n_levels % 2 == 0 else Fraction(0)
        at_shift = offset / half  # tanh(shift)
        values = []
        for digit in range(1, n_levels):
            # round(v) reaches the digit at this v = tanh(z + shift) * half - offset; a half itself cannot occur.
            v = Fraction(2 * (digit - n_levels // 2) - 1, 2)
            at_level = (v + offset) / half
            # z = atanh(at_level) - atanh(at_shift), by atanh(a) = ln((1 + a) / (1 - a)) / 2
            ratio = (1 + at_level) * (1 - at_shift) / ((1 - at_level) * (1 + at_shift))
            z = exact_reals.affine(exact_reals.ln(ratio), Fraction(0), Fraction(1, 2))
            values.append(exact_reals.decide(z, partial(exact_reals.round_up, dtype=dtype)))
        result = np.array(values, dtype)
    result.flags.writeable = False
    return result
