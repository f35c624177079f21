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
SUBNORMAL_FLOAT16 = Fraction(1, 2**25)  # half the spacing of the smallest float16, where small squares fall
UNIT_BFLOAT16 = Fraction(1, 2**8)
UNIT_FLOAT32 = Fraction(1, 2**24)
UNIT_FLOAT64 = Fraction(1, 2**53)


def _total(term: Callable[[int, int], int], x: Vector, code: Vector) -> Fraction:
    """Sum a term of degree 2 over the features, exactly: over integers, in units of the smallest bit."""
    ratios = [[float(value).as_integer_ratio() for value in vector] for vector in (x, code)]
    unit = max(denominator for vector in ratios for _, denominator in vector)  # as all of them a power of two
    a, b = ([numerator * (unit // denominator) for numerator, denominator in vector] for vector in ratios)
    return Fraction(sum(map(term, a, b)), unit**2)


def squared_distance(x: Vector, code: Vector) -> Fraction:
    """Return the exact squared Euclidean distance of x (D,) and code (D,)."""
    return _total(lambda a, b: (a - b) ** 2, x, code)


def negative_product(x: Vector, code: Vector) -> Fraction:
    """Return the exact inner product of x (D,) and code (D,), negated so that the nearest has the smallest."""
    return _total(lambda a, b: -a * b, x, code)


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
    return gamma(len(x) + 2 + converted, unit) * _total(lambda a, b: (abs(a) + abs(b)) ** 2, x, code)


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
    return gamma(len(x), unit) * _total(lambda a, b: abs(a * b), x, code)
