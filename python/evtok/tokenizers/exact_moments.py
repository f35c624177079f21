"""Mean and standard deviation of float32 numbers, exact until they are rounded once: no order, no chunk matters."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from evtok.tokenizers import exact_reals

_MANTISSA = 1 << 23
_HALF = 1 << 12

# A sum of this many products of two 12-bit halves, each below 2**24, is exact in float64.
_MOST_AT_ONCE = 1 << 28


class ExactMoments:
    """Sums of float32 numbers and of their squares, as integers.

    A float32 number is an integer of 24 bits times a power of two; numbers of the same power are added as integers.
    """

    def __init__(self) -> None:
        self.n = 0
        # By the power of two of the least bit, from 0 for 2**-149.
        self._sums: Counter[int] = Counter()
        self._squares: Counter[int] = Counter()

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Add finite numbers (n,)."""
        for begin in range(0, len(values), _MOST_AT_ONCE):
            self._add(values[begin : begin + _MOST_AT_ONCE])

    def _add(self, values: npt.NDArray[np.float32]) -> None:
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        exponent = (bits >> 23) & 0xFF
        mantissa = (bits & (_MANTISSA - 1)) + np.where(exponent > 0, np.uint32(_MANTISSA), np.uint32(0))
        power = np.maximum(exponent, 1) - 1
        high, low = (mantissa // _HALF).astype(np.float64), (mantissa % _HALF).astype(np.float64)
        signed = np.where(bits >> 31, -mantissa.astype(np.float64), mantissa.astype(np.float64))
        self.n += len(values)
        for k, total in _by_power(power, signed):
            self._sums[k] += total
        for factor, products in ((_HALF**2, high * high), (2 * _HALF, high * low), (1, low * low)):
            for k, total in _by_power(power, products):
                self._squares[2 * k] += factor * total

    @property
    def mean(self) -> float:
        """The mean, correctly rounded to float64."""
        return float(self._mean)

    @property
    def standard_deviation(self) -> float:
        """The standard deviation (of the numbers themselves, not of a sample), correctly rounded to float64."""
        squares = sum(
            (Fraction(total) * Fraction(2) ** (k - 298) for k, total in self._squares.items()), Fraction()
        )
        variance = squares / self.n - self._mean**2
        return exact_reals.decide(exact_reals.sqrt(variance), float)

    @property
    def _mean(self) -> Fraction:
        if not self.n:
            raise ValueError("values: expected one number or more, got none")
        total = sum(
            (Fraction(total) * Fraction(2) ** (k - 149) for k, total in self._sums.items()), Fraction()
        )
        return total / self.n


def _by_power(power: npt.NDArray[np.uint32], values: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the sum of the values (n,) of each power of two; they are integers below 2**24."""
    totals = np.bincount(power, weights=values)
    return [(int(k), int(totals[k])) for k in np.flatnonzero(totals)]
