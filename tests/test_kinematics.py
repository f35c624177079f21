"""Kinematics: the kernels have the bits of the readable definitions, and both are near the true values."""

from __future__ import annotations

import math
import os
from decimal import Context, Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evtok import Events, kinematics, last_backend, reference
from evtok.errors import InvalidEventsError

MANY = Context(prec=400, Emin=-(10**9), Emax=10**9)
finite = st.floats(allow_nan=False, allow_infinity=False)
anything = st.floats()
sizes = st.one_of(
    finite, st.floats(-10, 10), st.floats(0.9, 1.1), st.sampled_from([0.0, -0.0, 5e-324, 1e308])
)

PI = math.pi
NUMBERS = [0.0, 5e-324, 1e-310, 1.0, PI, np.nextafter(PI, 0), np.nextafter(PI, 4), 2 * PI, 3 * PI, 6.5, 1e16]
SPECIAL = np.array([sign * x for x in [*NUMBERS, 1e300, 1.7e308, math.inf, math.nan] for sign in (1, -1)])


def bits(x: Any) -> bytes:
    return np.asarray(x).tobytes()


def spread(n: int, seed: int = 0) -> np.ndarray:
    """Float64 numbers of both signs: every bit pattern is likely, and many lie between 1/256 and 256."""
    rng = np.random.default_rng(seed)
    patterns = rng.integers(0, 2**63, n, dtype=np.int64).view(np.float64)
    ordinary = np.exp2(rng.uniform(-8, 8, n))
    x = np.where(rng.random(n) < 0.3, patterns, ordinary)
    x[~np.isfinite(x)] = 1.5
    return x * rng.choice([-1.0, 1.0], n)


def ulps(values: np.ndarray, expected: np.ndarray) -> float:
    """Largest distance to `expected`, computed in long double, in units of the last place of float64."""
    spacing = np.spacing(np.abs(expected.astype(np.float64)))
    return float(np.max(np.abs(values.astype(np.longdouble) - expected) / spacing))


needs_long_double = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than float64 here"
)


# ---- the same bits as the readable definitions ---------------------------------------------------------


@given(sizes.filter(lambda x: x > 0), sizes, sizes)
@settings(max_examples=500)
def test_p13_functions_have_the_bits_of_the_reference(x: float, y: float, z: float) -> None:
    assert bits(kinematics.log(x)) == bits(reference.log(x))
    assert bits(kinematics.asinh(y)) == bits(reference.asinh(y))
    assert bits(kinematics.atan2(y, z)) == bits(reference.atan2(y, z))
    assert bits(kinematics.atan2(x, x)) == bits(reference.atan2(x, x))


@given(anything, anything, anything)
@settings(max_examples=500)
def test_p13_momenta_have_the_bits_of_the_reference(px: float, py: float, pz: float) -> None:
    expected = reference.pt_eta_phi(px, py, pz)
    for result, value in zip(kinematics.pt_eta_phi(px, py, pz), expected, strict=True):
        np.testing.assert_array_equal(result, value)
        assert np.isnan(value) or np.signbit(result) == np.signbit(value)
    assert expected[0] >= 0 or math.isnan(expected[0])
    assert abs(expected[2]) <= math.pi or math.isnan(expected[2])


def test_p13_float32_is_the_float64_result_rounded_once() -> None:
    x, y, z = (spread(20_000, seed) for seed in range(3))
    with np.errstate(all="ignore"):
        x, y, z = (v.astype(np.float32) for v in (x, y, z))
    finite_rows = np.isfinite(x) & np.isfinite(y) & np.isfinite(z)
    x, y, z = (v[finite_rows] for v in (x, y, z))
    wide = kinematics.pt_eta_phi(x.astype(np.float64), y.astype(np.float64), z.astype(np.float64))
    for single, double in zip(kinematics.pt_eta_phi(x, y, z), wide, strict=True):
        assert single.dtype == np.float32
        with np.errstate(over="ignore"):
            assert bits(single) == bits(double.astype(np.float32))


# ---- differences of angles -----------------------------------------------------------------------------


def numpy_delta_phi(a: Any, b: Any) -> Any:
    with np.errstate(all="ignore"):
        return (a - b + np.pi) % (2 * np.pi) - np.pi


@given(anything, anything)
@settings(max_examples=1000)
def test_p13_delta_phi_is_numpys_expression_bit_for_bit(a: float, b: float) -> None:
    expected = numpy_delta_phi(np.float64(a), np.float64(b))
    np.testing.assert_array_equal(kinematics.delta_phi(a, b), expected)
    if not math.isnan(expected):
        assert bits(kinematics.delta_phi(a, b)) == bits(expected)
        assert bits(reference.delta_phi(a, b)) == bits(expected)


def test_p13_delta_phi_of_all_special_values_and_many_angles() -> None:
    angles = np.concatenate([SPECIAL, np.linspace(-7, 7, 3001), spread(2000)])
    a, b = (v.ravel() for v in np.meshgrid(angles, np.concatenate([SPECIAL, np.linspace(-3.2, 3.2, 41)])))
    result, expected = kinematics.delta_phi(a, b), numpy_delta_phi(a, b)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(result), ~number)
    assert bits(result[number]) == bits(expected[number])


def test_delta_phi_just_below_minus_pi_is_exactly_pi() -> None:
    """The one place where the result is not below π, as the documentation says."""
    below = np.nextafter(-np.pi, -4)
    assert kinematics.delta_phi(below, 0.0) == np.pi == numpy_delta_phi(below, 0.0)
    assert kinematics.delta_phi(-np.pi, 0.0) == -np.pi


def test_delta_phi_of_float32_is_rounded_once() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.uniform(-np.pi, np.pi, (2, 10_000)).astype(np.float32)
    result = kinematics.delta_phi(a, b)
    assert result.dtype == np.float32
    assert bits(result) == bits(
        numpy_delta_phi(a.astype(np.float64), b.astype(np.float64)).astype(np.float32)
    )


def test_delta_eta() -> None:
    a, b = np.array([1.5, np.inf, -np.inf], np.float32), np.array([0.25, np.inf, 3], np.float32)
    np.testing.assert_array_equal(kinematics.delta_eta(a, b), np.array([1.25, np.nan, -np.inf], np.float32))


# ---- errors --------------------------------------------------------------------------------------------


@needs_long_double
def test_p13_errors_in_float64_are_within_the_stated_bounds() -> None:
    x, y, z = (spread(300_000, seed) for seed in range(3))
    wide = [v.astype(np.longdouble) for v in (x, y, z)]
    assert ulps(kinematics.log(np.abs(x)), np.log(np.abs(wide[0]))) <= 1
    assert ulps(kinematics.asinh(x), np.arcsinh(wide[0])) <= 2
    assert ulps(kinematics.atan2(y, x), np.arctan2(wide[1], wide[0])) <= 2
    pt, eta, phi = kinematics.pt_eta_phi(x, y, z)
    exact_pt = np.hypot(wide[0], wide[1])
    fits = np.isfinite(pt)
    assert ulps(pt[fits], exact_pt[fits]) <= 2
    assert ulps(eta, np.arcsinh(wide[2] / exact_pt)) <= 5
    assert ulps(phi, np.arctan2(wide[1], wide[0])) <= 2


@needs_long_double
def test_p13_errors_near_the_seams_of_the_formulas() -> None:
    """Around every place where a formula changes: sqrt(2) times powers of 2, 0.414, 2, odd eighths, 1."""
    seams = np.array(
        [2**0.5, 2**-0.5, 1.0, 0.4140625 / 1.2, 0.5, 2.0, 2**-30, 2**-29, 2**60, 2**61, 2**-1022]
    )
    steps = np.arange(-2000, 2000)
    x = (seams[:, None].view(np.int64) + steps).view(np.float64).ravel()
    assert ulps(kinematics.log(x), np.log(x.astype(np.longdouble))) <= 1
    assert ulps(kinematics.asinh(x), np.arcsinh(x.astype(np.longdouble))) <= 2
    ratios = np.array([1 / 8, 3 / 8, 5 / 8, 7 / 8, 1, 8 / 7, 8 / 5, 8 / 3, 8])
    y = (ratios[:, None].view(np.int64) + steps).view(np.float64).ravel()
    for across in (1.0, -1.0, 3.0, 1e-310, -1e308):
        with np.errstate(over="ignore"):
            up = np.where(np.isfinite(y * across), y * across, 1.0)
        wide = np.arctan2(up.astype(np.longdouble), np.longdouble(across))
        assert ulps(kinematics.atan2(up, np.full_like(up, across)), wide) <= 2


@given(st.floats(1e-300, 1e300), st.floats(-1e300, 1e300))
@settings(max_examples=60, deadline=None)
def test_p13_errors_against_decimal_arithmetic(x: float, t: float) -> None:
    """The same bounds from digits that no library of floating-point functions has made."""
    exact_log = MANY.ln(Decimal(x))
    root = MANY.sqrt(MANY.add(MANY.multiply(Decimal(t), Decimal(t)), Decimal(1)))
    exact_asinh = MANY.ln(MANY.add(Decimal(t).copy_abs(), root)).copy_sign(Decimal(t))
    for value, exact, bound in (
        (float(kinematics.log(x)), exact_log, 1),
        (float(kinematics.asinh(t)), exact_asinh if abs(t) > 1e-150 else Decimal(t), 2),
    ):
        error = abs(MANY.subtract(Decimal(value), exact))
        assert error <= bound * Decimal(float(np.spacing(abs(float(exact)))))


#: The float32 numbers, as bit patterns, whose logarithm lies so near to a midpoint that it is rounded the
#: other way.
WRONG_WAY = {0x3C413D3A, 0x41178FEB, 0x4C5D65A5, 0x65D890D3, 0x6F31A8EC}


@needs_long_double
def test_p13_float32_log_is_correctly_rounded_for_a_sample_of_all_inputs() -> None:
    patterns = np.arange(0, 2**32, 2**10 - 1, dtype=np.uint64).astype(np.uint32)
    assert not set(log_rounded_wrongly(patterns)) - WRONG_WAY
    assert set(log_rounded_wrongly(np.array(sorted(WRONG_WAY), np.uint32))) == WRONG_WAY


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("EVTOK_TEST_EXHAUSTIVE") != "1", reason="EVTOK_TEST_EXHAUSTIVE=1 is not set: takes minutes"
)
@needs_long_double
def test_p13_float32_log_is_correctly_rounded_for_all_inputs_but_five() -> None:
    wrong = set()
    for start in range(0, 2**32, 2**23):
        patterns = np.arange(start, start + 2**23, dtype=np.uint64).astype(np.uint32)
        wrong.update(log_rounded_wrongly(patterns))
    assert wrong == WRONG_WAY


def log_rounded_wrongly(patterns: np.ndarray) -> list[int]:
    """Patterns of the float32 numbers whose log is not the float32 nearest to the true one."""
    x = patterns.view(np.float32)
    with np.errstate(invalid="ignore"):  # signalling NaNs are among the patterns
        single, double = kinematics.log(x), kinematics.log(x.astype(np.float64))
        np.testing.assert_array_equal(single, double.astype(np.float32))
    # An error of 1 ulp can only matter where the float64 lies next to a midpoint of float32 numbers.
    tail = double.view(np.uint64) & np.uint64(2**29 - 1)
    near = np.flatnonzero((tail >= 2**28 - 2) & (tail <= 2**28 + 2) & np.isfinite(double))
    exact = np.log(x[near].astype(np.longdouble))
    return [int(p) for p in patterns[near][single[near] != exact.astype(np.float32)]]


# ---- special values, layouts, threads ------------------------------------------------------------------


def test_special_values() -> None:
    np.testing.assert_array_equal(
        kinematics.log(np.array([0.0, -0.0, -1.0, np.inf, -np.inf, np.nan, 1.0])),
        [-np.inf, -np.inf, np.nan, np.inf, np.nan, np.nan, 0.0],
    )
    np.testing.assert_array_equal(
        kinematics.asinh(np.array([0.0, np.inf, -np.inf, np.nan])), [0, np.inf, -np.inf, np.nan]
    )
    zeros = np.array([0.0, -0.0, 0.0, -0.0]), np.array([0.0, 0.0, -0.0, -0.0])
    assert bits(kinematics.atan2(*zeros)) == bits(np.arctan2(*zeros))
    for x in (np.nan, np.inf, -np.inf):
        assert np.isnan(kinematics.atan2(1.0, x))
        assert np.all(np.isnan(kinematics.pt_eta_phi(1.0, 2.0, x)))


def test_no_transverse_momentum() -> None:
    pt, eta, phi = kinematics.pt_eta_phi(np.zeros(4), np.zeros(4), np.array([2.0, -5e-324, 0.0, -0.0]))
    np.testing.assert_array_equal(pt, 0)
    np.testing.assert_array_equal(eta, [np.inf, -np.inf, 0, 0])
    np.testing.assert_array_equal(phi, 0)


def test_p9_subnormal_and_huge_momenta() -> None:
    for scale in (5e-324, 2.0**-1000, 1.0, 2.0**1020):
        pt, eta, phi = kinematics.pt_eta_phi(3 * scale, -4 * scale, 12 * scale)
        assert pt == 5 * scale
        assert eta == kinematics.asinh(2.4)
        assert phi == kinematics.atan2(-4.0, 3.0)
    pt, eta, _ = kinematics.pt_eta_phi(1.7e308, 1.7e308, -1.7e308)
    assert pt == np.inf  # it is beyond float64, but eta is not
    assert eta == pytest.approx(-math.asinh(0.5**0.5), abs=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", range(1, 8))
def test_p2_threads_change_no_bit(dtype: Any, threads: int) -> None:
    with np.errstate(over="ignore"):
        x, y, z = (spread(30_011, seed).astype(dtype) for seed in range(3))
    offsets = np.concatenate([[0], np.sort(np.random.default_rng(1).integers(0, len(x), 3000)), [len(x)]])
    for call in (
        lambda t: kinematics.pt_eta_phi(x, y, z, threads=t),
        lambda t: kinematics.jet_axis(offsets, x, y, z, threads=t),
        lambda t: (kinematics.delta_phi(x, y, threads=t), kinematics.log(x, threads=t)),
        lambda t: (kinematics.atan2(x, y, threads=t), kinematics.asinh(x, threads=t)),
    ):
        assert [bits(v) for v in call(threads)] == [bits(v) for v in call(1)]


def test_p15_any_layout() -> None:
    x, y, z = (spread(240, seed).reshape(12, 20) for seed in range(3))
    expected = [bits(v) for v in kinematics.pt_eta_phi(x, y, z)]
    mixed = np.asfortranarray(x), np.repeat(y, 2, axis=1)[:, ::2], z[::-1].copy()[::-1]
    assert [bits(v) for v in kinematics.pt_eta_phi(*mixed)] == expected
    assert [bits(v) for v in kinematics.pt_eta_phi(x.astype(">f8"), y, z)] == expected
    row = kinematics.delta_phi(x, y[0])
    assert row.shape == (12, 20)
    assert bits(row) == bits(kinematics.delta_phi(x, np.tile(y[0], (12, 1))))
    assert kinematics.log(np.float32(2)).shape == ()
    assert kinematics.log(np.zeros((0, 3))).shape == (0, 3)


def test_p16_dtypes() -> None:
    assert kinematics.log(np.array([2], np.float16)).dtype == np.float32
    assert kinematics.log(np.array([2], np.int32)).dtype == np.float64
    assert kinematics.delta_phi(np.float32([1]), np.float64([2])).dtype == np.float64
    with pytest.raises(TypeError, match="px"):
        kinematics.pt_eta_phi(np.array(["a"]), 1.0, 1.0)
    with pytest.raises(TypeError, match="complex"):
        kinematics.log(np.array([1j]))
    with pytest.raises(TypeError, match=r"2\*\*53"):
        kinematics.log(np.array([2**53 + 1]))
    with pytest.raises(TypeError, match="wider"):
        kinematics.log(np.ones(2, np.longdouble))
    with pytest.raises(ValueError, match="one shape"):
        kinematics.delta_phi(np.zeros(2), np.zeros(3))


def test_scalars_give_scalars() -> None:
    results = (
        kinematics.log(2.0),
        kinematics.delta_phi(1, 2),
        *kinematics.pt_eta_phi(1.0, 2.0, np.array(3.0)),
    )
    assert all(isinstance(result, np.float64) for result in results)
    assert isinstance(kinematics.delta_eta(np.float32(1), np.float32(2)), np.float32)
    assert kinematics.log([2.0]).shape == (1,)


def test_threads_none_is_the_default_and_others_are_checked() -> None:
    x = np.ones(3)
    assert bits(kinematics.log(x, threads=None)) == bits(kinematics.log(x, threads=0))
    assert bits(kinematics.jet_axis([0, 3], x, x, x, threads=None)) == bits(
        kinematics.jet_axis([0, 3], x, x, x)
    )
    for threads in (-1, 4097):
        with pytest.raises(ValueError, match="threads: expected 0"):
            kinematics.pt_eta_phi(x, x, x, threads=threads)


def test_the_backend_is_recorded() -> None:
    x = np.ones(3)
    calls = (
        lambda: kinematics.pt_eta_phi(x, x, x),
        lambda: kinematics.delta_phi(x, x),
        lambda: kinematics.log(x),
        lambda: kinematics.asinh(x),
        lambda: kinematics.atan2(x, x),
        lambda: kinematics.jet_axis([0, 3], x, x, x),
    )
    for call in calls:
        kinematics.delta_eta(x, x)
        assert last_backend() == "numpy"
        call()
        assert last_backend().startswith("evtok:")


def test_torch_gives_torch() -> None:
    torch = pytest.importorskip("torch")
    assert kinematics.log(torch.tensor(2.0)).shape == ()
    assert isinstance(kinematics.log(torch.tensor(2.0)), torch.Tensor)
    x = torch.tensor([[1.0, 2.0], [3.0, -4.0]])
    result = kinematics.delta_phi(x, 0.5 * x)
    assert isinstance(result, torch.Tensor)
    assert bits(result.numpy()) == bits(kinematics.delta_phi(x.numpy(), 0.5 * x.numpy()))


# ---- jets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_jet_axis_is_that_of_the_sum_in_order(dtype: Any) -> None:
    rng = np.random.default_rng(5)
    x, y, z = rng.normal(0, 40, (3, 500)).astype(dtype)
    offsets = np.concatenate([[0, 0], np.sort(rng.integers(0, 500, 40)), [500, 500]])
    pt, eta, phi = kinematics.jet_axis(offsets, x, y, z)
    for i in range(len(offsets) - 1):
        rows = slice(offsets[i], offsets[i + 1])
        expected = np.array(reference.jet_axis(x[rows], y[rows], z[rows])).astype(dtype)
        assert bits(np.array([pt[i], eta[i], phi[i]])) == bits(expected)
    assert (pt[0], eta[0], phi[0]) == (0, 0, 0)


def test_p1_jet_axis_of_a_slice_of_events_is_the_same() -> None:
    rng = np.random.default_rng(6)
    momenta = rng.normal(0, 40, (3, 300))
    events = Events(np.arange(0, 301, 10), dict(zip(("px", "py", "pz"), momenta, strict=True)))
    whole = kinematics.jet_axis(events.offsets, *(events.columns[n] for n in ("px", "py", "pz")))
    part = events[7:19]
    sliced = kinematics.jet_axis(part.offsets, *(part.columns[n] for n in ("px", "py", "pz")))
    inside = kinematics.jet_axis(events.offsets[7:20], *momenta)
    for a, b, c in zip(whole, sliced, inside, strict=True):
        assert bits(a[7:19]) == bits(b) == bits(c)


def test_p19_hostile_offsets_are_refused() -> None:
    x = np.zeros(4)
    for offsets in ([0, 3, 2, 4], [0, 5], [-1, 4], [0, 2**62]):
        with pytest.raises(InvalidEventsError, match="offsets"):
            kinematics.jet_axis(offsets, x, x, x)
    with pytest.raises(ValueError, match="shape"):
        kinematics.jet_axis([0, 1], np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 2)))
