"""P2, P5: the nearest code is that of the specification. Tolerance class of this file: equality of bits."""

from __future__ import annotations

import ctypes
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import evtok
from evtok import _core, reference
from nearest.vectors import KINDS, METRICS, assert_same_bits, everything, instruction_set, problem, specified

CODES = [1, 31, 33, 63, 64, 65, 255, 256, 257, 511, 513, 2048]
DIMS = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64]


# ---- the definition -------------------------------------------------------------------------------------------


def fused_by_the_c_library(name: str, kind: Any, arrays: Any) -> Any:
    function = getattr(ctypes.CDLL("libm.so.6"), name)
    function.argtypes, function.restype = [kind] * 3, kind
    return [function(*values) for values in zip(*(a.tolist() for a in arrays), strict=True)]


@pytest.mark.parametrize("what", ["any", "cancelling", "subnormal", "integers"])
def test_the_multiply_add_of_the_definition_is_rounded_once(what: str) -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.integers(0, 2**32, (3, 20_000), dtype=np.uint32).view(np.float32)
    if what == "cancelling":
        a, b = rng.normal(size=(2, 20_000)).astype(np.float32)
        c = -a * b
    if what == "subnormal":
        a, b, c = rng.normal(size=(3, 20_000)).astype(np.float32) * np.float32([[1e-20], [1e-20], [1e-40]])
    if what == "integers":  # ties of the rounding
        a, b, c = rng.integers(-(2**12), 2**12, (3, 20_000)).astype(np.float32) * np.float32(
            [[1], [1], [2**14]]
        )
    finite = np.isfinite(a) & np.isfinite(b) & np.isfinite(c)
    a, b, c = a[finite], b[finite], c[finite]
    expected = np.array(fused_by_the_c_library("fmaf", ctypes.c_float, (a, b, c)), np.float32)
    np.testing.assert_array_equal(reference.multiply_add(a, b, c).view(np.uint32), expected.view(np.uint32))


def test_the_float64_multiply_add_of_the_definition_is_rounded_once() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.integers(0, 2**64, (3, 1000), dtype=np.uint64).view(np.float64)
    a[::2], b[::2] = rng.normal(size=(2, 500))
    with np.errstate(all="ignore"):
        c[::2] = -a[::2] * b[::2]
    a[1::4] *= 2.0**-500  # subnormal results
    finite = np.isfinite(a) & np.isfinite(b) & np.isfinite(c)
    a, b, c = a[finite], b[finite], c[finite]
    expected = np.array(fused_by_the_c_library("fma", ctypes.c_double, (a, b, c)))
    np.testing.assert_array_equal(reference.multiply_add(a, b, c).view(np.uint64), expected.view(np.uint64))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_scalar_kernel_is_the_definition(kind: str, metric: Any) -> None:
    with instruction_set("scalar"):
        for n_codes, n_dims in [(1, 3), (33, 1), (65, 7), (200, 16)]:
            for k in (1, 3):
                if k > n_codes:
                    continue
                x, codes = problem(kind, 20, n_codes, n_dims)
                if metric == "cosine":
                    codes[(codes == 0).all(axis=1)] = 1
                assert_same_bits(
                    everything(x, codes, metric=metric, k=k), specified(x, codes, metric=metric, k=k)
                )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["gaussian", "grid", "momenta", "1e30", "1e-40", "symmetric"])
def test_the_scalar_kernel_is_the_definition_in_float64(kind: str, metric: Any) -> None:
    with instruction_set("scalar"):
        # Squares that are subnormal, zero, or overflow; for "cosine" a code needs a norm.
        for size in (1.0, 1e-100) if metric == "cosine" else (1.0, 1e-140, 1e-160, 1e150):
            x, codes = (part * size for part in problem(kind, 4, 40, 3, np.float64))
            if metric == "cosine":
                codes[(codes == 0).all(axis=1)] = 1
            assert_same_bits(
                everything(x, codes, metric=metric, k=2), specified(x, codes, metric=metric, k=2)
            )


# ---- every route on every instruction set -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_p2_every_shape_on_every_instruction_set(kind: str) -> None:
    """Exhaustive, through boxes and behind the filter: the number of rows, codes and dimensions decides which."""
    for n_codes in CODES:
        for n_dims in DIMS:
            n = 3 if n_codes * n_dims > 2**15 else 33 + n_codes % 3
            x, codes = problem(kind, n, n_codes, n_dims)
            with instruction_set("scalar"):
                expected = everything(x, codes)
            codebook = evtok.Codebook(codes)
            for isa in _core.available_isas()[1:]:
                with instruction_set(isa):
                    assert_same_bits(everything(x, codebook), expected)
                    ids = codebook.nearest(
                        x, on_invalid="sentinel"
                    )  # no second neighbour: the filter may serve
                    np.testing.assert_array_equal(ids, expected[0], f"{isa}, K={n_codes}, D={n_dims}")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_p2_every_metric_and_dtype_on_every_instruction_set(kind: str, metric: Any, dtype: type) -> None:
    for n_codes, n_dims in [(1, 2), (64, 8), (65, 33), (257, 4), (513, 16), (2048, 12)]:
        x, codes = problem(kind, 70, n_codes, n_dims, dtype)
        if metric == "cosine":
            codes[(codes == 0).all(axis=1)] = 1
        for k in {1, min(3, n_codes), min(40, n_codes)}:
            with instruction_set("scalar"):
                expected = everything(x, codes, metric=metric, k=k)
            codebook = evtok.Codebook(codes, metric)
            for isa in _core.available_isas()[1:]:
                with instruction_set(isa):
                    assert_same_bits(everything(x, codebook, k=k), expected)
                    np.testing.assert_array_equal(
                        codebook.nearest(x, k=k, on_invalid="sentinel"), expected[0]
                    )


@pytest.mark.parametrize("n_dims", [1, 4, 8, 16, 64])
def test_p2_many_rows_let_the_search_learn_which_route_pays(isa: str, n_dims: int) -> None:
    """Clustered rows follow Gaussian ones, and the other way round, within one call."""
    for first, second in (("gaussian", "clustered"), ("clustered", "gaussian")):
        x, codes = problem(first, 1500, 700, n_dims)
        rows = np.concatenate([x, problem(second, 1500, 700, n_dims)[0]])
        with instruction_set("scalar"):
            expected = evtok.nearest(rows, codes)
        with instruction_set(isa):
            np.testing.assert_array_equal(evtok.nearest(rows, codes), expected)


def test_p2_every_k(isa: str) -> None:
    x, codes = problem("few", 12, 70, 3)
    for k in range(1, 71):
        ids, values, _ = everything(x, codes, k=k)
        expected = specified(x, codes, k=k)
        np.testing.assert_array_equal(ids, expected[0])
        np.testing.assert_array_equal(values, expected[1])


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([1, 7, 33, 64, 100]),
    st.sampled_from([1, 2, 5, 9, 16]),
    st.sampled_from(METRICS),
    st.sampled_from([np.float32, np.float64]),
    st.data(),
)
def test_p2_any_numbers(n_codes: int, n_dims: int, metric: Any, dtype: type, data: st.DataObject) -> None:
    """Rows and codes of any finite numbers at all, mixed with rows of the codebook."""
    width = 32 if dtype == np.float32 else 64
    numbers = data.draw(
        st.sampled_from(
            [
                st.floats(width=width, allow_nan=False, allow_infinity=False),
                st.floats(-4, 4, width=width),
                st.integers(-3, 3).map(float),
            ]
        )
    )
    codes = data.draw(hnp.arrays(dtype, (n_codes, n_dims), elements=numbers))
    if metric == "cosine":  # norms neither vanish nor overflow
        codes = np.clip(codes, -1e30, 1e30)
        codes[np.abs(codes).max(axis=1) < 1e-30] = 1
    x = data.draw(hnp.arrays(dtype, (9, n_dims), elements=numbers))
    x[::3] = codes[data.draw(st.integers(0, n_codes - 1))]
    k = data.draw(st.integers(1, min(n_codes, 4)))
    with instruction_set("scalar"):
        expected = everything(x, codes, metric=metric, k=k)
    for name in _core.available_isas()[1:]:
        with instruction_set(name):
            assert_same_bits(everything(x, codes, metric=metric, k=k), expected)
            ids = evtok.nearest(x, codes, metric=metric, on_invalid="sentinel")
            np.testing.assert_array_equal(ids, expected[0] if k == 1 else expected[0][:, 0])


# ---- rational numbers -------------------------------------------------------------------------------------------


def exact_distances(row: Any, codes: Any) -> list[Fraction]:
    return [
        sum(
            ((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(row, code, strict=True)),
            Fraction(),
        )
        for code in codes
    ]


def assert_near_enough(x: Any, codes: Any, ids: Any, values: Any) -> None:
    """P5: each of D + 2 roundings of a value changes it by a factor in [1 - v, 1 + v], v = u / (1 + u)."""
    n_dims = codes.shape[1]
    unit = Fraction(float(np.finfo(x.dtype).eps)) / 2
    most = (1 + 2 * unit) ** (n_dims + 2)  # (1 + v) / (1 - v) = 1 + 2 u
    for row, code, value in zip(x, ids, values, strict=True):
        distances = exact_distances(row, codes)
        assert distances[code] <= most * min(distances)
        assert distances[code] / most <= Fraction(float(value)) <= distances[code] * most


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 80), st.integers(1, 6), st.data())
def test_p5_the_exact_distance_is_minimal_up_to_rounding(
    n_codes: int, n_dims: int, data: st.DataObject
) -> None:
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    # No square below the normal numbers, and none that overflows.
    numbers = (
        st.floats(2.0**-26, 2.0**40, width=32) | st.floats(-(2.0**40), -(2.0**-26), width=32) | st.just(0.0)
    )
    codes = data.draw(hnp.arrays(dtype, (n_codes, n_dims), elements=numbers))
    x = data.draw(hnp.arrays(dtype, (3, n_dims), elements=numbers))
    ids, values, _ = everything(x, codes)
    assert_near_enough(x, codes, ids, values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("kind", "n_codes", "n_dims"), [("shell", 300, 4), ("gaussian", 256, 16), ("momenta", 300, 8)]
)
def test_p5_behind_every_route(isa: str, kind: str, n_codes: int, n_dims: int, dtype: type) -> None:
    x, codes = problem(kind, 10, n_codes, n_dims, dtype)
    ids, values, _ = everything(x, codes)
    np.testing.assert_array_equal(evtok.nearest(x, codes), ids)
    assert_near_enough(x, codes, ids, values)
