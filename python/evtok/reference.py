"""The readable definition of each kernel: written to be read first, slow, and the expected value in tests."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt


def merge_collections(
    collections: Sequence[tuple[npt.NDArray[Any], Mapping[str, Any]]], dtypes: Mapping[str, np.dtype[Any]]
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
    """Merge ragged collections of the same events: the first collection comes first in each event.

    Parameters
    ----------
    collections : sequence of (offsets (n_events + 1,), columns)
        A column is an array (m_k,), or one number for all objects of the collection.
    dtypes : mapping
        The columns of the result and their dtypes.

    Returns
    -------
    offsets : int64 (n_events + 1,)
    columns : dict of str to array (m,)
    """
    n_events = len(collections[0][0]) - 1
    rows: dict[str, list[Any]] = {name: [] for name in dtypes}
    starts = [0]
    for i in range(n_events):
        for offsets, columns in collections:
            for j in range(int(offsets[i]), int(offsets[i + 1])):
                for name, values in rows.items():
                    column = columns[name]
                    values.append(column[j] if isinstance(column, np.ndarray) else column)
        starts.append(starts[-1] + sum(int(offsets[i + 1]) - int(offsets[i]) for offsets, _ in collections))
    return np.array(starts, np.int64), {name: np.array(rows[name], dtype) for name, dtype in dtypes.items()}


# ---- bins and token ids (bins.hpp, row_ids.hpp, tokenize.hpp) ---------------------------------------------------


def bin_code(x: float, edges: Sequence[float], right: bool = False) -> int:
    """Count the edges that `x` has passed: those at or below it, or (right-closed) those below it. NaN passes all."""
    if right:
        return sum(not x <= edge for edge in edges)
    return sum(not x < edge for edge in edges)


def relative_value(x: float, reference: float, wrap: bool) -> float:
    """Difference to the jet axis in float64, wrapped to -pi to pi as NumPy's ``(x + pi) % (2 * pi) - pi``."""
    difference = np.float64(x) - np.float64(reference)
    return float((difference + np.pi) % (2 * np.pi) - np.pi) if wrap else float(difference)


def binned_ids(
    digits: Sequence[int | None],
    strides: Sequence[int],
    base: int,
    unknown: int,
    seen: Sequence[int] | None = None,
) -> int:
    """Combine the digits of one object into its id.

    Parameters
    ----------
    digits : sequence of int or None
        One for each part of the object; None for one that the vocabulary does not hold.
    strides : sequence of int
        Factors of the mixed radix.
    base : int
        The first object id.
    unknown : int
        The id of an object with an unknown digit or an unseen combination.
    seen : sequence of int, optional
        Combinations that have an id, increasing: the id is the rank.
    """
    if None in digits:
        return unknown
    key = sum(digit * stride for digit, stride in zip(digits, strides, strict=True) if digit is not None)
    if seen is None:
        return base + key
    return base + list(seen).index(key) if key in seen else unknown


def object_order(values: Sequence[float]) -> list[int]:
    """Order of objects by falling value, NaN last; equal ones, and those of NaN, stay as found."""
    return sorted(range(len(values)), key=lambda k: (math.isnan(values[k]), -values[k]))


def parse_darkmachines(
    text: bytes,
    types: Sequence[str] = ("j", "b", "e-", "e+", "m-", "m+", "g"),
    dtype: npt.DTypeLike = np.float32,
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]], dict[str, Any], list[int]]:
    """Parse Dark Machines text: ``event;process;weight;MET;METphi;type,E,pt,eta,phi;...`` in MeV.

    Parameters
    ----------
    text : bytes
        Lines that end with a line feed, or a carriage return and a line feed; the last may lack both. Empty
        lines are passed over.
    types : sequence of str
        Names of the type codes.
    dtype : float32 or float64
        Every value but the weight is read to the nearest float64, energies are divided by 1000 there, and the
        result is rounded once to this.

    Returns
    -------
    offsets : int64 (n_events + 1,)
    columns : dict of energy, pt (GeV), eta, phi (rad) and type (uint8), each (m,)
    fields : dict of event (int64), process (list of str), weight (float64), MET (GeV), METphi (rad)
        Each (n_events,).
    bad : list of int
        Lines, counted from 0, that hold no record; their events are left out.
    """
    number = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
    typed = re.compile(r"(?:(j|b|e[-+]|mu?[-+]|[ga]),|([ga])(?=[0-9]))", re.ASCII)
    other_spellings = {"mu-": "m-", "mu+": "m+", "a": "g"}

    def read(value: str, divisor: float, to: npt.DTypeLike) -> Any:
        if not number.fullmatch(value) or len(value) > 1024:
            raise ValueError(value)
        with np.errstate(over="ignore", under="ignore"):
            rounded = np.float64(float(value) / divisor).astype(to)
        if not np.isfinite(rounded):
            raise OverflowError(value)
        return rounded

    def read_object(field: str) -> tuple[Any, ...]:
        start = typed.match(field)
        if start is None:
            raise ValueError(field)
        name = start[1] or start[2]
        energy, pt, eta, phi = field[start.end() :].split(",")
        return (
            *(
                read(energy, 1000.0, dtype),
                read(pt, 1000.0, dtype),
                read(eta, 1.0, dtype),
                read(phi, 1.0, dtype),
            ),
            types.index(other_spellings.get(name, name)),
        )

    def read_record(line: bytes) -> tuple[tuple[Any, ...], list[tuple[Any, ...]]]:
        if len(line) > 2**20:
            raise ValueError(len(line))
        event, process, weight, met, met_phi, *objects = line.decode("ascii").split(";")
        if not re.fullmatch(r"-?[0-9]+", event, re.ASCII) or not -(2**63) <= int(event) < 2**63:
            raise ValueError(event)
        if not re.fullmatch(r"[ -+\--~]{1,256}", process, re.ASCII):
            raise ValueError(process)
        header = (
            *(int(event), process),
            *(read(weight, 1.0, np.float64), read(met, 1000.0, dtype), read(met_phi, 1.0, dtype)),
        )
        if objects and objects[-1] == "":  # the record ends with a semicolon
            objects.pop()
        return header, [read_object(field) for field in objects]

    headers, rows, starts, bad = [], [], [0], []
    for k, line in enumerate(text.split(b"\n")):
        record = line.removesuffix(b"\r")
        if not record:
            continue
        try:
            header, objects = read_record(record)
        except (ValueError, OverflowError):
            bad.append(k)
            continue
        headers.append(header)
        rows += objects
        starts.append(len(rows))
    event, process, weight, met, met_phi = ([h[i] for h in headers] for i in range(5))
    names = ("energy", "pt", "eta", "phi", "type")
    dtypes = (dtype, dtype, dtype, dtype, np.uint8)
    columns = {name: np.array([row[i] for row in rows], dtypes[i]) for i, name in enumerate(names)}
    fields = {
        "event": np.array(event, np.int64),
        "process": process,
        "weight": np.array(weight, np.float64),
        "MET": np.array(met, dtype),
        "METphi": np.array(met_phi, dtype),
    }
    return np.array(starts, np.int64), columns, fields, bad


# ---- kinematics (real_functions.hpp, kinematics.hpp) -----------------------------------------------------
# Python's + - * / and math.sqrt are those of IEEE 754 float64, so these give the kernels' bits.

_LN2_HIGH, _LN2_LOW = float.fromhex("0x1.62e42fee00000p-1"), float.fromhex("0x1.a39ef35793c76p-33")
_HALF_PI_LOW = float.fromhex("0x1.1a62633145c07p-54")
#: atan(k / 4) for k = 0 to 4, and what float64 leaves of it.
_ATAN_HIGH = (0.0, 0.24497866312686414, 0.4636476090008061, 0.6435011087932844, 0.7853981633974483)
_ATAN_LOW = (
    0.0,
    1.0698755618734451e-17,
    2.2698777452961687e-17,
    1.5834785051444286e-17,
    3.061616997868383e-17,
)


def log(x: float) -> float:
    """Natural logarithm of a positive finite number, within 1 ulp."""
    return _log(x, 0, 0.0)


def asinh(x: float) -> float:
    """Inverse hyperbolic sine of a finite number, within 2 ulp."""
    fraction, exponent = math.frexp(abs(x))
    return math.copysign(_asinh(2 * fraction, exponent - 1), x) if x else x


def atan2(y: float, x: float) -> float:
    """Angle of (x, y), finite, within 2 ulp; the signs at zeros are those of C's atan2."""
    steep = abs(y) > abs(x)
    larger, smaller = max(abs(x), abs(y)), min(abs(x), abs(y))
    angle = _atan_of_ratio(smaller, larger) if larger else 0.0
    left = math.copysign(1.0, x) < 0
    if steep:
        angle = (math.pi / 2 + angle if left else math.pi / 2 - angle) + _HALF_PI_LOW
    elif left:
        angle = (math.pi - angle) + 2 * _HALF_PI_LOW
    return math.copysign(angle, y)


def pt_eta_phi(px: float, py: float, pz: float) -> tuple[float, float, float]:
    """Transverse momentum, pseudorapidity and azimuth, in float64; a float32 result is rounded from these."""
    if not (math.isfinite(px) and math.isfinite(py) and math.isfinite(pz)):
        return math.nan, math.nan, math.nan
    phi = atan2(py, px)
    if px == py == 0:
        return 0.0, math.copysign(math.inf, pz) if pz else 0.0, phi
    exponent = math.frexp(max(abs(px), abs(py)))[1] - 1
    x, y = (math.ldexp(component, -exponent) for component in (px, py))  # the larger one is 1 to 2
    pt = math.sqrt(x * x + y * y)
    eta = 0.0
    if pz:
        fraction, z_exponent = math.frexp(abs(pz))
        eta = math.copysign(_asinh(2 * fraction / pt, z_exponent - 1 - exponent), pz)
    return _ldexp(pt, exponent), eta, phi


def delta_phi(a: float, b: float) -> float:
    """Difference of angles wrapped to -pi to pi, in float64."""
    return relative_value(a, b, wrap=True)


def jet_axis(px: Sequence[float], py: Sequence[float], pz: Sequence[float]) -> tuple[float, float, float]:
    """pt, eta and phi of the sum of one event's momenta, added in their order."""
    x = y = z = 0.0
    for dx, dy, dz in zip(px, py, pz, strict=True):
        x, y, z = x + float(dx), y + float(dy), z + float(dz)
    return pt_eta_phi(x, y, z)


def _log(x: float, extra: int, correction: float) -> float:
    """Natural logarithm of x * 2**extra, plus a small correction."""
    fraction, exponent = math.frexp(x)
    fraction, exponent = 2 * fraction, exponent - 1
    if fraction > math.sqrt(2):
        fraction, exponent = fraction / 2, exponent + 1
    return _log_near_one(exponent + extra, fraction - 1, correction)


def _log_near_one(k: int, f: float, correction: float) -> float:
    """log(2**k * (1 + f)) + correction, by log(1 + f) = 2 atanh(s) with s = f / (2 + f)."""
    s = f / (2 + f)
    z = s * s
    r = 2 / 21
    for n in range(19, 1, -2):
        r = 2 / n + z * r
    h = 0.5 * f * f
    return k * _LN2_HIGH - ((h - (s * (h + z * r) + (k * _LN2_LOW + correction))) - f)


def _asinh(fraction: float, exponent: int) -> float:
    """asinh(fraction * 2**exponent) for positive numbers."""
    if exponent < -30:
        return math.ldexp(fraction, exponent)
    if exponent > 60:
        return _log(fraction, exponent + 1, 0.0)
    t = math.ldexp(fraction, exponent)
    root = math.sqrt(t * t + 1)
    if t > 2:
        return _log(2 * t + 1 / (root + t), 0, 0.0)
    rest = t * t / (1 + root)
    y = t + rest
    y_low = (t - y) + rest
    if y < 0.4140625:
        return _log_near_one(0, y, y_low / (1 + y))
    u = 1 + y
    u_low = (1 - (u - (u - 1))) + (y - (u - 1))
    return _log(u, 0, (u_low + y_low) / u)


def _atan_of_ratio(a: float, b: float) -> float:
    """atan(a / b) for 0 <= a <= b, reduced to a power series by the nearest multiple of 1/4."""
    if b > 2.0**1000:
        a, b = a / 4, b / 4
    elif b < 2.0**-900:
        a, b = a * 2.0**200, b * 2.0**200
    quarters = int(4 * (a / b) + 0.5)
    numerator = (a - 0.5 * (quarters // 2) * b) - 0.25 * (quarters % 2) * b
    z = numerator / (b + 0.25 * quarters * a)
    w = z * z
    p = 1 / 19
    for n in range(17, 1, -2):
        p = 1 / n - w * p
    return _ATAN_HIGH[quarters] - ((z * (w * p) - _ATAN_LOW[quarters]) - z)


def _ldexp(x: float, exponent: int) -> float:
    try:
        return math.ldexp(x, exponent)
    except OverflowError:
        return math.inf


# ---- nearest code (nearest.hpp) -----------------------------------------------------------------------------------


def nearest(
    x: npt.NDArray[Any],
    codes: npt.NDArray[Any],
    *,
    metric: str = "l2",
    k: int = 1,
    mask: npt.NDArray[np.bool_] | None = None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[Any], npt.NDArray[Any]]:
    """Find the k codes that each row is nearest to, by a chain of fused multiply-adds over the coordinates.

    Parameters
    ----------
    x : float32 or float64 (n, D)
    codes : of the same dtype (K, D)
    metric : "l2", "dot" or "cosine"
    k : int
        1 to K.
    mask : bool (n,), optional
        False: the row is skipped.

    Returns
    -------
    ids : int32 (n, k)
        -1 for rows that are masked, not finite, zero ("cosine"), or whose distances (all of them) or products (any of
        them) overflow.
    values : of the dtype of x (n, k)
        The squared distance s, or the product p; NaN where the id is -1.
    margin : of that dtype (n,)
        Between the second nearest code and the first: infinity for K = 1, NaN where the id is -1.
    """
    if metric == "cosine":
        codes = np.array([normalised_code(code) for code in codes])
    ids = np.full((len(x), k), -1, np.int32)
    values, margin = np.full((len(x), k), np.nan, x.dtype), np.full(len(x), np.nan, x.dtype)
    for i, row in enumerate(x):
        if not np.isfinite(row).all() or (mask is not None and not mask[i]):
            continue
        if metric == "cosine" and not row.any():
            continue
        chain = np.zeros(len(codes), x.dtype)
        for x_j, c_j in zip(row, codes.T, strict=True):
            if metric == "l2":
                with np.errstate(over="ignore"):
                    t = x_j - c_j
                chain = multiply_add(t, t, chain)
            else:
                chain = multiply_add(x_j, c_j, chain)
        overflow = np.isinf(chain).all() if metric == "l2" else not np.isfinite(chain).all()
        if overflow:
            continue
        order = np.argsort(chain if metric == "l2" else -chain, kind="stable")  # ties: the lowest index first
        ids[i], values[i] = order[:k], chain[order[:k]]
        with np.errstate(over="ignore"):
            margin[i] = abs(chain[order[1]] - chain[order[0]]) if len(codes) > 1 else np.inf
    return ids, values, margin


def normalised_code(code: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Divide a code (D,) by its norm: the norm and the quotients in float64, each quotient rounded once."""
    square = np.zeros((), np.float64)
    for c in code.astype(np.float64):
        square = multiply_add(c, c, square)
    quotients: npt.NDArray[Any] = code.astype(np.float64) / np.sqrt(square)
    return quotients.astype(code.dtype)


def multiply_add(a: npt.ArrayLike, b: npt.ArrayLike, c: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return a * b + c, rounded once, for numbers or arrays of float32 or of float64 that are not NaN."""
    a, b, c = np.broadcast_arrays(a, b, c)
    if c.dtype == np.float64:
        with np.errstate(all="ignore"):
            sums: npt.NDArray[Any] = np.vectorize(_multiply_add, otypes=[np.float64])(a, b, c)
        return sums
    # The product of two float32 is exact in float64. The sum is rounded to odd there: cut off, and the last bit set if
    # that lost anything. Then rounding it to float32 cannot meet a tie that is none.
    product, addend = a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        total = product + addend
        rest = total - product
        lost = (product - (total - rest)) + (addend - rest)
        even = total.view(np.int64) % 2 == 0
        towards = np.nextafter(total, np.copysign(np.inf, lost))
        odd = np.where(np.isfinite(total) & (lost != 0) & even, towards, total)
        return np.asarray(odd, np.float32)


def _multiply_add(a: float, b: float, c: float) -> float:
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return float(a) * float(b) + float(c)
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return float(a) * float(b) + float(c)  # exact here; it has the sign that IEEE 754 gives a zero
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf
