"""Edges of a transformed feature: every threshold is checked from the other side, by the transform itself."""

from __future__ import annotations

import json
import math
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evtok.errors import ArtefactError
from evtok.tokenizers import exact_reals
from evtok.tokenizers.thresholds import KINDS, Transform, fold_edges

# Digits of the first attempt, and enough for sinh(5e-324), which leaves its argument at the 648th digit.
FEW, MANY = (
    Context(prec=digits, rounding=ROUND_HALF_EVEN, Emin=-(10**9), Emax=10**9) for digits in (100, 1500)
)


def forward(kind: str, x: float, c: Context = MANY) -> Decimal:
    """f(x) by decimal's logarithms and square root: not the way the thresholds are found."""
    d = Decimal(x)
    if kind == "log10":
        return c.log10(d)
    if kind == "log2":
        return c.divide(c.ln(d), c.ln(Decimal(2)))
    if kind == "log1p":
        return c.ln(c.add(d, Decimal(1)))
    if kind == "asinh":
        magnitude = c.ln(c.add(d.copy_abs(), c.sqrt(c.add(c.multiply(d, d), Decimal(1)))))
        return magnitude.copy_sign(d)
    return {"identity": c.plus, "log": c.ln, "sqrt": c.sqrt}[kind](d)


def compare(transform: Transform, x: float, edge: float) -> int:
    """Sign of t(x) - edge, that is of f(x) - (edge / multiply + subtract)."""
    for c, margin in ((FEW, Decimal("1e-90")), (MANY, Decimal("1e-1200"))):
        value = forward(transform.kind, x, c)
        quotient, subtract = c.divide(Decimal(edge), Decimal(transform.multiply)), Decimal(transform.subtract)
        difference = c.subtract(c.subtract(value, subtract), quotient)
        scale = 1 if c is FEW else 0  # in the first attempt a small value may have lost all its digits
        if abs(difference) > margin * max(scale, abs(value), abs(quotient), abs(subtract)):
            return 1 if difference > 0 else -1
    return 0


def neighbour(x: Any, sign: int) -> Any:
    with np.errstate(all="ignore"):
        return np.nextafter(x, x.dtype.type(sign * math.inf))


def assert_is_threshold(transform: Transform, edge: float, dtype: Any, right: bool) -> None:
    (threshold,) = fold_edges([edge], transform, dtype, right)
    assert threshold.dtype == dtype
    assert not (threshold == 0 and np.signbit(threshold))
    lowest, highest = transform.valid_range(dtype)
    t = float(threshold)
    below, above = (float(neighbour(threshold, sign)) for sign in (-1, 1))
    if right:  # threshold < x  <=>  edge < t(x)
        if lowest <= t <= highest:
            assert compare(transform, t, edge) <= 0
        if lowest <= above <= highest:
            assert compare(transform, above, edge) > 0
        assert t <= highest
    else:  # threshold <= x  <=>  edge <= t(x)
        if lowest <= t <= highest:
            assert compare(transform, t, edge) >= 0
        if lowest <= below <= highest:
            assert compare(transform, below, edge) < 0
        assert t >= lowest
    if t == -math.inf or (right and t < lowest):
        assert compare(transform, lowest, edge) > 0
    if t == math.inf:
        assert compare(transform, highest, edge) < 0


edges_strategy = st.one_of(
    st.floats(-12, 12),
    st.integers(-40, 40).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([5e-324, -5e-324, 1e-300, 1e300, -1e300, 2.2250738585072014e-308, 0.5, -0.0]),
)
transforms = st.builds(
    Transform,
    st.sampled_from(KINDS),
    st.sampled_from([0.0, 1.8, -3.0, 1e300, 5e-324]),
    st.sampled_from([1.0, 3.0, 0.1, 1e308, 5e-324]),
)


@given(edges_strategy, transforms, st.sampled_from([np.float32, np.float64]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_p13_thresholds_decide_exactly(edge: float, transform: Transform, dtype: Any, right: bool) -> None:
    assert_is_threshold(transform, edge, dtype, right)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("right", [False, True])
def test_p13_thresholds_of_usual_edges(kind: str, dtype: Any, right: bool) -> None:
    for edge in np.linspace(-0.7602971186, 6.9062547684, 40):
        assert_is_threshold(Transform(kind), float(edge), dtype, right)


@pytest.mark.parametrize(
    ("kind", "edge", "x"),
    [
        ("log", 0.0, 1.0),
        ("log1p", 0.0, 0.0),
        ("asinh", 0.0, 0.0),
        ("log10", 2.0, 100.0),
        ("log10", 22.0, 1e22),
        ("log2", -3.0, 0.125),
        ("log2", -1074.0, 5e-324),
        ("sqrt", 1.5, 2.25),
        ("identity", 0.1, 0.1),
    ],
)
@pytest.mark.parametrize("right", [False, True])
def test_p13_a_value_on_an_edge_is_its_threshold(kind: str, edge: float, x: float, right: bool) -> None:
    assert fold_edges([edge], Transform(kind), np.float64, right)[0] == x


def test_identity_edges_round_towards_the_bin_they_open() -> None:
    edge = 0.1  # float32(0.1) is above it
    left, right = (fold_edges([edge], Transform(), np.float32, r)[0] for r in (False, True))
    assert float(left) > edge > float(right)
    assert np.nextafter(right, np.float32(1)) == left


def test_edges_out_of_reach() -> None:
    biggest = np.finfo(np.float32).max
    for kind in ("identity", "log", "asinh"):
        edges = [1e300, math.inf]
        np.testing.assert_array_equal(fold_edges(edges, Transform(kind), np.float32), [np.inf, np.inf])
        np.testing.assert_array_equal(fold_edges(edges, Transform(kind), np.float32, True), [biggest, np.inf])
    np.testing.assert_array_equal(
        fold_edges([-1e300, -np.inf], Transform("log"), np.float64), [5e-324, -np.inf]
    )
    np.testing.assert_array_equal(fold_edges([-1e300], Transform("log"), np.float64, True), [0.0])
    np.testing.assert_array_equal(fold_edges([-1.0], Transform("sqrt"), np.float32), [0.0])
    np.testing.assert_array_equal(fold_edges([-1.0], Transform("sqrt"), np.float32, True), [-np.inf])


def test_thresholds_keep_the_order_of_edges() -> None:
    edges = np.sort(np.random.default_rng(0).normal(2, 3, 500))
    for kind in KINDS:
        for right in (False, True):
            thresholds = fold_edges(edges, Transform(kind, 1.8, 0.5), np.float32, right)
            assert np.all(thresholds[:-1] <= thresholds[1:])


def test_numpy_digitize_of_the_log_agrees_but_for_the_last_bits() -> None:
    """Information about NumPy: its float32 log is rounded, so values next to an edge can go either way."""
    edges = np.linspace(-0.7602971186, 6.9062547684, 40)
    thresholds = fold_edges(edges, Transform("log"), np.float32)
    rng = np.random.default_rng(1)
    x = np.concatenate([np.exp(rng.uniform(-2, 8, 200_000)).astype(np.float32), near(thresholds, 64)])
    ours = np.digitize(x, thresholds)
    theirs = np.digitize(np.log(x), edges)
    differ = np.flatnonzero(ours != theirs)
    assert np.all(np.abs(ours - theirs) <= 1)
    # log(x) carries half an ulp of log(x) and more: in x that is at most |log x| / 2 ulps and a few.
    ulps = np.abs(x[differ, None].view(np.int32).astype(np.int64) - thresholds.view(np.int32)).min(axis=1)
    assert ulps.max(initial=0) <= 16
    assert not np.any(differ < 200_000) or np.count_nonzero(differ < 200_000) < 20


def near(values: np.ndarray, ulps: int) -> np.ndarray:
    """The float32 neighbours of positive values, up to so many ulps away."""
    return (values.view(np.int32)[:, None] + np.arange(-ulps, ulps, dtype=np.int32)).ravel().view(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_valid_range_is_where_the_transform_is_defined(kind: str) -> None:
    for dtype in (np.float32, np.float64):
        lowest, highest = Transform(kind).valid_range(dtype)
        assert lowest == dtype(lowest)
        assert highest == np.finfo(dtype).max
        assert forward(kind, lowest, FEW).is_finite()
        below = float(neighbour(dtype(lowest), -1))
        if kind in ("identity", "asinh"):
            assert lowest == -highest
        elif kind == "sqrt":
            assert (lowest, math.copysign(1, lowest)) == (0.0, 1.0)
        else:
            assert below == (-1.0 if kind == "log1p" else 0.0)


@given(st.sampled_from(KINDS), st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=60, deadline=None)
def test_forward_is_correctly_rounded(kind: str, x: float) -> None:
    transform = Transform(kind, 1.8, 3.0)
    lowest, highest = transform.valid_range(np.float64)
    if not lowest <= x <= highest:
        with pytest.raises(ValueError, match=kind):
            transform.forward(x)
        return
    value = transform.forward(x)
    if math.isinf(value):
        assert kind == "identity"
        return
    exact = MANY.multiply(
        MANY.subtract(forward(kind, x), Decimal(transform.subtract)), Decimal(transform.multiply)
    )
    error = abs(MANY.subtract(Decimal(value), exact))
    for sign in (-1, 1):
        other = float(neighbour(np.float64(value), sign))
        if math.isfinite(other):
            assert error <= abs(MANY.subtract(Decimal(other), exact))


@pytest.mark.parametrize("kind", KINDS)
def test_inverse_float_undoes_the_transform(kind: str) -> None:
    transform = Transform(kind, 1.8, 3.0)
    x = np.array([[0.25, 1.0], [7.5, 300.0]])
    values = np.array([[transform.forward(float(v)) for v in row] for row in x])
    np.testing.assert_allclose(transform.inverse_float(values), x, rtol=1e-12)


def test_inverse_float_of_what_no_input_reaches_is_the_end_of_the_domain() -> None:
    assert Transform("sqrt").inverse_float(-1.0) == 0.0
    assert Transform("log").inverse_float(1e4) == np.inf


def test_config_round_trip() -> None:
    transform = Transform("log", 1.8, 0.1)
    config = json.loads(json.dumps(transform.to_config()))
    assert Transform.from_config(config) == transform


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"kind": "log"},
        {"kind": "log", "subtract": 0.0, "multiply": 1.0, "code": "x"},
        {"kind": "exp", "subtract": 0.0, "multiply": 1.0},
        {"kind": ["log"], "subtract": 0.0, "multiply": 1.0},
        {"kind": "log", "subtract": "0", "multiply": 1.0},
        {"kind": "log", "subtract": 0.0, "multiply": True},
        {"kind": "log", "subtract": 0.0, "multiply": 0.0},
        {"kind": "log", "subtract": math.inf, "multiply": 1.0},
        {"kind": "log", "subtract": 0.0, "multiply": 10**400},
        ["kind", "subtract", "multiply"],
        None,
    ],
)
def test_hostile_config_is_refused(config: Any) -> None:
    with pytest.raises(ArtefactError, match="transform"):
        Transform.from_config(config)


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="NaN at 1"):
        fold_edges([0.0, np.nan], Transform(), np.float32)
    with pytest.raises(ValueError, match="shape"):
        fold_edges([[0.0]], Transform(), np.float32)
    with pytest.raises(TypeError, match="float16"):
        fold_edges([0.0], Transform(), np.float16)
    assert fold_edges([], Transform("log"), np.float32).shape == (0,)


def test_directed_rounding_of_fractions() -> None:
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        for value in (1.0, 1.5, float(np.finfo(dtype).smallest_subnormal), float(np.finfo(dtype).max), 0.0):
            for sign in (1, -1):
                x = dtype.type(sign * value)
                assert exact_reals.round_up(Fraction(float(x)), dtype) == x
                assert exact_reals.round_down(Fraction(float(x)), dtype) == x
                more = Fraction(float(x)) + Fraction(1, 10**2000)
                assert exact_reals.round_up(more, dtype) == neighbour(x, 1)
                assert exact_reals.round_down(more, dtype) == x
