"""How far a computed distance can be from the exact one: the bounds within which any two answers may disagree.

Every routine here takes one row and one code and returns exact rational numbers. Standard model of rounding (Higham,
Accuracy and Stability of Numerical Algorithms, chapter 3): n roundings of unit u change a term by at most
gamma(n) = n u / (1 - n u), in whatever order terms are summed, with fused multiply-adds or without. Underflow and
overflow are not covered, for the stated inputs have neither, except for float16, where the bound says so.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy.typing as npt

Vector = npt.NDArray[Any]
Bound = Callable[[Vector, Vector], Fraction]

UNIT_FLOAT16 = Fraction(1, 2**11)
SUBNORMAL_FLOAT16 = Fraction(
    1, 2**25
)  # half the spacing of the smallest float16: squares of small ones fall there
UNIT_BFLOAT16 = Fraction(1, 2**8)
UNIT_FLOAT32 = Fraction(1, 2**24)
UNIT_FLOAT64 = Fraction(1, 2**53)


def exact(x: Vector) -> list[Fraction]:
    """Return the numbers of `x` (D,) as fractions."""
    return [Fraction(float(value)) for value in x]


def squared_distance(x: Vector, code: Vector) -> Fraction:
    """Return the exact squared Euclidean distance of x (D,) and code (D,)."""
    return sum(((a - b) ** 2 for a, b in zip(exact(x), exact(code), strict=True)), Fraction(0))


def negative_product(x: Vector, code: Vector) -> Fraction:
    """Return the exact inner product of x (D,) and code (D,), negated so that the nearest has the smallest."""
    return -sum((a * b for a, b in zip(exact(x), exact(code), strict=True)), Fraction(0))


def gamma(roundings: int, unit: Fraction) -> Fraction:
    """Return the relative error of a product of `roundings` factors 1 + d with ``|d| <= unit``."""
    return roundings * unit / (1 - roundings * unit)


def direct(x: Vector, code: Vector, unit: Fraction) -> Fraction:
    """Bound sum((x - c)^2): a difference, counted twice by its square, a product, and D - 1 sums for each term."""
    return gamma(len(x) + 2, unit) * squared_distance(x, code)


def expanded(x: Vector, code: Vector, unit: Fraction, converted: int = 0) -> Fraction:
    """Bound |x|^2 - 2 x.c + |c|^2: each of its terms is rounded, however small their sum; clamping at 0 adds nothing.

    `converted` is 2 where the inputs themselves are rounded to that unit first, for each term holds two of them.
    """
    terms = sum(((abs(a) + abs(b)) ** 2 for a, b in zip(exact(x), exact(code), strict=True)), Fraction(0))
    return gamma(len(x) + 2 + converted, unit) * terms


def expanded_float16(x: Vector, code: Vector) -> Fraction:
    """Bound the same in float16, whose three squares or products per feature may underflow."""
    return expanded(x, code, UNIT_FLOAT16) + 3 * len(x) * SUBNORMAL_FLOAT16


def expanded_root(x: Vector, code: Vector, unit: Fraction, clamp: Fraction = Fraction(0)) -> Fraction:
    """Bound the same where its square root decides, which makes ties of distances that differ in the last bits.

    `clamp` is the least squared distance that is told from 0.
    """
    error = expanded(x, code, unit) + clamp
    return error + gamma(4, unit) * (squared_distance(x, code) + error)


def product(x: Vector, code: Vector, unit: Fraction) -> Fraction:
    """Bound x.c."""
    terms = sum((abs(a * b) for a, b in zip(exact(x), exact(code), strict=True)), Fraction(0))
    return gamma(len(x), unit) * terms
