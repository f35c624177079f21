"""P7, P8, P21: rows and codebooks that have no nearest code are refused, and every output is written."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evtok
from evtok import _core
from nearest.vectors import METRICS, everything, problem, specified
from python_process import lines

SHAPES = [(1, 1), (20, 3), (300, 2), (300, 16), (65, 33)]


def nan_with_payload(dtype: type, payload: int, negative: bool) -> np.floating:
    bits = {np.float32: np.uint32, np.float64: np.uint64}[dtype]
    width, mantissa = np.dtype(dtype).itemsize * 8, 23 if dtype == np.float32 else 52
    exponent = (1 << (width - 1 - mantissa)) - 1
    return bits((int(negative) << (width - 1)) | (exponent << mantissa) | (1 + payload)).view(dtype)


def hard_numbers(dtype: type) -> list[Any]:
    info = np.finfo(dtype)
    good = [info.max, info.tiny, info.smallest_subnormal, dtype(0), info.max / 2]
    bad = [np.inf, *(nan_with_payload(dtype, p, s) for p in (0, 12345, 1 << 22) for s in (False, True))]
    return [*good, *(-value for value in good), *bad, -np.inf]


# ---- P7: rows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n_codes", "n_dims"), SHAPES)
def test_p7_hard_numbers_anywhere_in_a_row(
    isa: str, n_codes: int, n_dims: int, dtype: type, metric: Any
) -> None:
    """Every row with a NaN or an infinity is refused, every other one has the code of the specification."""
    hard = hard_numbers(dtype)
    x, codes = problem("gaussian", 2 * len(hard), n_codes, n_dims, dtype)
    rng = np.random.default_rng(0)
    x[np.arange(len(hard)) * 2, rng.integers(0, n_dims, len(hard))] = hard
    ids, values, margin = everything(x, codes, metric=metric)
    finite = np.isfinite(x).all(axis=1)
    assert (ids[~finite] == -1).all()
    assert (ids[finite][1::2] >= 0).all() or metric == "cosine"
    for output in (values, margin):
        np.testing.assert_array_equal(np.isnan(output), ids == -1)
    np.testing.assert_array_equal(evtok.nearest(x, codes, metric=metric, on_invalid="sentinel"), ids)
    if dtype == np.float32 or n_codes * n_dims < 100:
        for ours, wanted in zip((ids, values, margin), specified(x, codes, metric), strict=True):
            np.testing.assert_array_equal(ours, wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n_codes", "n_dims"), SHAPES)
@pytest.mark.parametrize("k", [1, 2])
def test_p7_every_element_of_an_output_is_written(
    isa: str, n_codes: int, n_dims: int, k: int, dtype: type
) -> None:
    """The outputs arrive full of 0xAA, at sizes around every tile."""
    if k > n_codes:
        pytest.skip("fewer codes than neighbours")
    kernel = (_core.CodeSearchFloat32 if dtype == np.float32 else _core.CodeSearchFloat64)(
        problem("gaussian", 1, n_codes, n_dims, dtype)[1], "l2"
    )
    for n in (1, 2, 7, 8, 9, 31, 32, 33, 65, 200):
        x = problem("gaussian", n, n_codes, n_dims, dtype)[0]
        mask = np.ones(n, np.uint8)
        x[n // 3] = np.nan
        mask[2 * n // 3] = 0
        for given_mask in (None, mask):
            for with_values in (False, True):
                for with_margin in (False, True):
                    ids, values, margin = (
                        np.frombuffer(b"\xaa" * (count * np.dtype(of).itemsize), of).copy()
                        for count, of in ((n * k, np.int32), (n * k, dtype), (n, dtype))
                    )
                    kernel.search(
                        x,
                        given_mask,
                        2,
                        ids.reshape(n, k),
                        values.reshape(n, k) if with_values else None,
                        margin if with_margin else None,
                    )
                    assert ((ids >= -1) & (ids < n_codes)).all()
                    untouched = np.frombuffer(b"\xaa" * np.dtype(dtype).itemsize, dtype)[0]
                    for asked, output in ((with_values, values), (with_margin, margin)):
                        assert ((output != untouched) if asked else (output == untouched)).all()


def test_p7_out_is_written_throughout() -> None:
    x, codes = problem("gaussian", 500, 70, 5)
    x[::3] = np.inf
    out = np.frombuffer(b"\xaa" * 2000, np.int32).copy()
    assert evtok.nearest(x, codes, on_invalid="sentinel", out=out) is out
    np.testing.assert_array_equal(out, evtok.nearest(x, codes, on_invalid="sentinel"))
    assert (out[::3] == -1).all()


@pytest.mark.parametrize("n_dims", [2, 16])
def test_p7_overflow_is_refused_only_where_no_distance_is_finite(isa: str, n_dims: int) -> None:
    codes = problem("gaussian", 1, 130, n_dims)[1]
    x = np.zeros((40, n_dims), np.float32)
    x[:, 0] = np.geomspace(1e18, 3e38, 40)
    ids, distance, _ = everything(x, codes)
    expected = specified(x, codes)
    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_array_equal(distance, expected[1])
    assert {-1} < set(ids.tolist())  # some of either
    codes[77] = x[-1]  # one code so far away that the row is near it
    assert evtok.nearest(x[-1], codes) == 77


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_p7_products_that_overflow_are_refused(isa: str, metric: Any) -> None:
    """An infinite product, or infinities of both signs on the way: any of them refuses the row."""
    codes = np.full((70, 4), 1e10, np.float32)
    codes[3] = [1e30, -1e30, 1, 1]
    x = np.array([[1e3, 1, 1, 1], [1e20, 1e20, 1, 1], [-1e20, 1e20, 1, 1], [3e38] * 4], np.float32)
    ids, values, margin = everything(x, codes, metric=metric)
    for ours, wanted in zip((ids, values, margin), specified(x, codes, metric), strict=True):
        np.testing.assert_array_equal(ours, wanted)
    assert ids[0] >= 0
    assert metric == "cosine" or (ids[1:] == -1).all()


def test_p7_a_zero_vector_has_no_direction(isa: str) -> None:
    codes = np.eye(70, 5, dtype=np.float32) + 1
    x = np.array([[0, 0, 0, 0, 0], [0, -0.0, 0, 0, 1e-45], [1, 0, 0, 0, 0]], np.float32)
    assert evtok.nearest(x, codes, metric="cosine", on_invalid="sentinel").tolist() == [-1, 4, 0]
    with pytest.raises(ValueError, match="row 0 is a zero vector"):
        evtok.nearest(x, codes, metric="cosine")
    assert evtok.nearest(x, codes, metric="dot").tolist() == [0, 4, 0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["good", "nan", "inf", "masked", "masked nan"]), max_size=70), st.booleans())
def test_p7_masked_and_invalid_rows_in_any_order(rows: list[str], behind_the_filter: bool) -> None:
    n_codes, n_dims = (100, 16) if behind_the_filter else (40, 2)
    x, codes = problem("gaussian", len(rows), n_codes, n_dims)
    expected = evtok.nearest(x, codes)
    mask = np.array(["masked" not in what for what in rows], bool)
    for i, what in enumerate(rows):
        if "nan" in what or what == "inf":
            x[i, i % n_dims] = np.nan if "nan" in what else -np.inf
    bad = np.array([what in ("nan", "inf") for what in rows], bool)
    ids, distance, margin = everything(x, codes, mask=mask)
    np.testing.assert_array_equal(ids, np.where(mask & ~bad, expected, -1))
    assert np.isnan(distance[ids == -1]).all()
    assert np.isnan(margin[ids == -1]).all()
    np.testing.assert_array_equal(evtok.nearest(x, codes, mask=mask, on_invalid="sentinel"), ids)
    if bad.any():
        with pytest.raises(ValueError, match=f"x: row {bad.argmax()} holds NaN or infinity"):
            evtok.nearest(x, codes, mask=mask)
    else:
        np.testing.assert_array_equal(evtok.nearest(x, codes, mask=mask), ids)


# ---- P8: codebooks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [evtok.Codebook, lambda c: evtok.nearest(np.zeros((3, 2), c.dtype), c)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_p8_a_codebook_that_is_not_finite_is_refused(make: Any, dtype: type, bad: float) -> None:
    codes = np.zeros((5, 2), dtype)
    codes[3, 1] = bad
    with pytest.raises(ValueError, match="NaN or infinity in code 3"):
        make(codes)


@pytest.mark.parametrize("shape", [(0, 2), (3, 0), (0, 0), (), (3,), (1, 2, 3)])
def test_p8_a_codebook_without_codes_or_dimensions_is_refused(shape: tuple[int, ...]) -> None:
    for make in (evtok.Codebook, lambda codes: evtok.nearest(np.zeros((3, 2), np.float32), codes)):
        with pytest.raises(ValueError, match=re.escape(f"got {shape}")):
            make(np.zeros(shape, np.float32))


def test_p8_cosine_needs_codes_with_a_direction() -> None:
    codes = np.ones((4, 3))
    codes[2] = 0
    with pytest.raises(ValueError, match="code 2 has no direction"):
        evtok.Codebook(codes, "cosine")
    codes[2] = 1e200  # the norm overflows
    with pytest.raises(ValueError, match="code 2 has no direction"):
        evtok.Codebook(codes, "cosine")


@pytest.mark.parametrize("make", ["evtok.Codebook(codes)", "evtok.nearest(codes[:1], codes)"])
def test_p8_more_codes_than_int32_ids_are_refused_before_memory_is_taken(make: str) -> None:
    """2^31 codes that are one number in memory, and too little address space for a copy of them."""
    code = f"""
    import resource, evtok
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))
    codes = np.broadcast_to(np.zeros((1, 1), np.float32), (2**31, 1))
    try:
        {make}
    except ValueError as error:
        print("2^31" in str(error))
    """
    assert lines(code) == ["True"]


# ---- P21: messages ----------------------------------------------------------------------------------------------

X, CODES = np.zeros((2, 3), np.float32), np.ones((4, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: evtok.nearest(X[:, :2], CODES), ValueError, r"x: expected shape (..., 3) as the codebook has 3"),
        (lambda: evtok.nearest(np.float32(1), CODES), ValueError, r"x: expected shape (..., D), got a single number"),
        (lambda: evtok.nearest(X, CODES, k=0), ValueError, "k: expected 1 to 4, the number of codes, got 0"),
        (lambda: evtok.nearest(X, CODES, k=5), ValueError, "k: expected 1 to 4, the number of codes, got 5"),
        (lambda: evtok.nearest(X, CODES, metric="l1"), ValueError, 'metric: expected "l2"'),
        (lambda: evtok.nearest(X, evtok.Codebook(CODES), metric="dot"), ValueError, "prepared for 'l2', got 'dot'"),
        (lambda: evtok.nearest(X, CODES, on_invalid="skip"), ValueError, 'on_invalid: expected "raise"'),
        (lambda: evtok.nearest(X, CODES, mask=np.ones(3, bool)), ValueError, "mask: expected booleans of shape (2,)"),
        (lambda: evtok.nearest(X, CODES, mask=np.ones(2)), ValueError, "mask: expected booleans of shape (2,)"),
        (lambda: evtok.nearest(X, CODES.astype(float)), TypeError, "x, codebook: expected one dtype, got float32 and"),
        (lambda: evtok.nearest(X, CODES, dtype="float16"), TypeError, "dtype: expected float32 or float64"),
        (lambda: evtok.nearest(X * 1j, CODES), TypeError, "x: expected real numbers, got dtype complex"),
        (lambda: evtok.nearest(X, CODES.astype(str)), TypeError, "codebook: expected real numbers"),
        (lambda: evtok.nearest(X, CODES, out=np.empty(2, np.int64)), ValueError, "out: expected an int32 NumPy array"),
        (lambda: evtok.nearest(X, CODES, out=np.empty((2, 1), np.int32)), ValueError, "got int32 (2, 1)"),
        (lambda: evtok.nearest(X, CODES, out=[0, 0]), ValueError, "got list"),
        (lambda: evtok.nearest(X, CODES, out=np.empty(4, np.int32)[::2]), ValueError, "out: expected a contiguous"),
        (lambda: evtok.Codebook(CODES, "l1"), ValueError, "metric: expected"),
        (lambda: evtok.Codebook(CODES).decode([0.5]), TypeError, "ids: expected integers"),
        (lambda: evtok.Codebook(CODES).decode([0, 4]), ValueError, "ids: expected 0 to 3, got 0 to 4"),
        (lambda: evtok.Codebook(CODES).decode([-1]), ValueError, "-1 marks a vector that was masked or invalid"),
        (lambda: evtok.Codebook(CODES, affine=([1, 2], 0)), ValueError, "affine: expected a scale of shape (3,)"),
    ],
)  # fmt: skip
def test_p21_messages_name_the_argument_and_what_it_should_be(call: Any, error: type, says: str) -> None:
    with pytest.raises(error, match=re.escape(says)):
        call()


def test_p21_an_invalid_row_is_named_by_its_place() -> None:
    x = np.zeros((2, 3, 4), np.float32)
    x[1, 2, 0] = np.nan
    with pytest.raises(
        ValueError, match=re.escape("x: row 5 (index (1, 2)) holds NaN or infinity; drop or mask")
    ):
        evtok.nearest(x, np.ones((2, 4), np.float32))
    x[1, 2, 0], x[0, 1] = 0, 3e38
    with pytest.raises(ValueError, match=re.escape("x: row 1 (index (0, 1)) is so far from the codes")):
        evtok.nearest(x, np.ones((2, 4), np.float32))


@pytest.mark.parametrize("bad_row", [0, 31, 32, 499])
def test_p21_the_first_invalid_row_is_named_across_pieces(bad_row: int) -> None:
    """float16 is converted in pieces, each of which numbers its rows."""
    x = np.zeros((500, 1 << 15), np.float16)
    x[bad_row, 5] = np.nan
    x[499, 7] = np.inf
    with pytest.raises(ValueError, match=f"row {bad_row} holds"):
        evtok.nearest(x, np.ones((1, 1 << 15), np.float32))
