"""Real numbers decided exactly: enclosures that shrink until every digit that matters is known.

Rational numbers are `fractions.Fraction`. An irrational one is a function from a number of digits to an
interval that holds it; since it equals no floating-point number, a rounding of it is decided once both ends
round alike.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from fractions import Fraction
from math import isqrt

import numpy as np

#: digits -> (low, high) with low <= the number <= high, both within about 10**-digits of it.
Enclosure = Callable[[int], tuple[Fraction, Fraction]]

_FIRST_DIGITS = 40


def decide(number: Fraction | Enclosure, round_to: Callable[[Fraction], float]) -> float:
    """Round `number` by the non-decreasing function `round_to`, exactly.

    A rational `number` must be given as a Fraction. An `Enclosure` must hold an irrational one: where
    `round_to` jumps (floating-point numbers and midpoints between them) no interval would ever be short
    enough.
    """
    if isinstance(number, Fraction):
        return round_to(number)
    digits = _FIRST_DIGITS
    while True:
        low, high = (round_to(end) for end in number(digits))
        if low == high:
            return low
        digits *= 2


def round_up(value: Fraction, dtype: np.dtype[np.floating]) -> float:
    """Smallest value of `dtype` (float32 or float64) at or above `value`; +inf above every finite one."""
    if value == 0:
        return 0.0
    limits = np.finfo(dtype)
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if Fraction(2) ** exponent > magnitude:
        exponent -= 1  # now 2**exponent <= magnitude < 2**(exponent + 1)
    spacing = Fraction(2) ** (max(exponent, int(limits.minexp)) - int(limits.nmant))
    rounded = -(-value // spacing) * spacing
    largest = Fraction(float(limits.max))
    return float("inf") if rounded > largest else float(max(rounded, -largest))


def round_down(value: Fraction, dtype: np.dtype[np.floating]) -> float:
    """Largest value of `dtype` (float32 or float64) at or below `value`; -inf below every finite one."""
    return 0.0 - round_up(-value, dtype)


def exp(argument: Fraction, base: int | None = None) -> Fraction | Enclosure:
    """e**argument, or base**argument for the base 2 or 10; |argument| at most 4000."""
    if argument == 0:
        return Fraction(1)
    if base is not None and argument.denominator == 1:
        return Fraction(base) ** argument.numerator

    def enclosure(digits: int) -> tuple[Fraction, Fraction]:
        # decimal's exp, ln and division are correctly rounded: at `precision` digits the exponent, below
        # 10**4 in size, is off by less than 10**(6 - precision), and so is the result, relative to itself.
        precision = digits + 8
        context = _context(precision)
        exponent = _to_decimal(argument, context)
        if base is not None:
            exponent = context.multiply(exponent, context.ln(decimal.Decimal(base)))
        value = Fraction(context.exp(exponent))
        margin = value / 10 ** (precision - 7)
        return value - margin, value + margin

    return enclosure


def ln(argument: Fraction, base: int | None = None) -> Fraction | Enclosure:
    """Natural logarithm of a positive number, or the logarithm to the base 2 or 10."""
    if argument == 1:
        return Fraction(0)
    if base is not None and (power := _integer_log(argument, base)) is not None:
        return Fraction(power)

    def enclosure(digits: int) -> tuple[Fraction, Fraction]:
        # Relative errors of 10**(1 - precision) in the argument and in each correctly rounded step, on values
        # whose size is below 10**4 for every float64.
        precision = digits + 8
        context = _context(precision)
        value = context.ln(_to_decimal(argument, context))
        if base is not None:
            value = context.divide(value, context.ln(decimal.Decimal(base)))
        margin = Fraction(1, 10 ** (precision - 7))
        return Fraction(value) - margin, Fraction(value) + margin

    return enclosure


def sqrt(argument: Fraction) -> Fraction | Enclosure:
    """Square root of a number that is not negative."""
    top, bottom = isqrt(argument.numerator), isqrt(argument.denominator)
    if top**2 == argument.numerator and bottom**2 == argument.denominator:
        return Fraction(top, bottom)

    def enclosure(digits: int) -> tuple[Fraction, Fraction]:
        scale = 10 ** (digits + bottom.bit_length())
        root = isqrt(argument.numerator * scale**2 // argument.denominator)
        return Fraction(root, scale), Fraction(root + 1, scale)

    return enclosure


def asinh(argument: Fraction) -> Fraction | Enclosure:
    """Inverse hyperbolic sine, ln(x + sqrt(x**2 + 1))."""
    if argument == 0:
        return Fraction(0)
    magnitude = abs(argument)

    def enclosure(digits: int) -> tuple[Fraction, Fraction]:
        root = sqrt(magnitude**2 + 1)
        below, above = (root, root) if isinstance(root, Fraction) else root(digits)
        low, high = _ends(ln(magnitude + below), digits)[0], _ends(ln(magnitude + above), digits)[1]
        return (low, high) if argument > 0 else (-high, -low)

    return enclosure


def sinh(argument: Fraction) -> Fraction | Enclosure:
    """Hyperbolic sine, (e**x - e**-x) / 2; |argument| at most 4000."""
    if argument == 0:
        return Fraction(0)

    def enclosure(digits: int) -> tuple[Fraction, Fraction]:
        rising, falling = _ends(exp(argument), digits), _ends(exp(-argument), digits)
        return (rising[0] - falling[1]) / 2, (rising[1] - falling[0]) / 2

    return enclosure


def affine(number: Fraction | Enclosure, add: Fraction, multiply: Fraction) -> Fraction | Enclosure:
    """(number + add) * multiply for multiply > 0."""
    if isinstance(number, Fraction):
        return (number + add) * multiply
    unscaled = number

    def enclosure(digits: int) -> tuple[Fraction, Fraction]:
        low, high = unscaled(digits)
        return (low + add) * multiply, (high + add) * multiply

    return enclosure


def _ends(number: Fraction | Enclosure, digits: int) -> tuple[Fraction, Fraction]:
    return (number, number) if isinstance(number, Fraction) else number(digits)


def _context(precision: int) -> decimal.Context:
    return decimal.Context(
        prec=precision, rounding=decimal.ROUND_HALF_EVEN, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX
    )


def _to_decimal(value: Fraction, context: decimal.Context) -> decimal.Decimal:
    return context.divide(decimal.Decimal(value.numerator), decimal.Decimal(value.denominator))


def _integer_log(value: Fraction, base: int) -> int | None:
    """The integer k with base**k == value, or None."""
    if value < 1:
        inverse = _integer_log(1 / value, base)
        return None if inverse is None else -inverse
    if value.denominator != 1:
        return None
    power, rest = 0, value.numerator
    while rest % base == 0:
        power, rest = power + 1, rest // base
    return power if rest == 1 else None
