"""`evtok.compat.numpy` is NumPy's digitize and searchsorted. Tolerance class of this file: integers, with ==."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import evtok
from evtok.compat import numpy as ours

REAL = [
    np.float16,
    np.float32,
    np.float64,
    np.int8,
    np.int32,
    np.int64,
    np.uint64,
    np.bool_,
    ">f4",
    ">f8",
    ">i4",
]
numbers = st.one_of(st.floats(width=16), st.sampled_from([0.0, -0.0, 1e-7, np.inf, -np.inf, np.nan]))


def same(got: Any, expected: Any) -> None:
    assert type(got) is type(expected)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got, expected)


def outcome_of(call: Callable[[], Any]) -> Any:
    """What a call returns, or the type of what it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except Exception as error:
            return type(error)


def check(call: Callable[[Any], Any]) -> None:
    """`call` of our module does what it does of NumPy."""
    expected, got = outcome_of(lambda: call(np)), outcome_of(lambda: call(ours))
    if isinstance(expected, type):
        assert got is expected or issubclass(got, expected)
    else:
        same(got, expected)


@pytest.mark.parametrize("name", ["digitize", "searchsorted"])
def test_signature(name: str) -> None:
    expected = inspect.signature(getattr(np, name)).parameters.values()
    got = inspect.signature(getattr(ours, name)).parameters.values()
    assert [(p.name, p.kind, p.default) for p in got] == [(p.name, p.kind, p.default) for p in expected]


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("edge_dtype", REAL)
def test_p16_every_pair_of_real_dtypes(dtype: Any, edge_dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 60, (5, 40)).astype(dtype)
    edges = np.sort(rng.integers(0, 60, 30)).astype(edge_dtype)
    for flag in (False, True):
        same(ours.digitize(x, edges, flag), np.digitize(x, edges, flag))
        same(ours.digitize(x, edges[::-1], flag), np.digitize(x, edges[::-1], flag))
        side = "right" if flag else "left"
        same(ours.searchsorted(edges, x, side), np.searchsorted(edges, x, side))
        assert evtok.last_backend().startswith("evtok:")


@given(
    x=hnp.arrays(st.sampled_from([np.float16, np.float32, np.float64]), st.integers(0, 40), elements=numbers),
    edges=hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]), st.integers(0, 20), elements=numbers
    ),
    side=st.sampled_from(["left", "right"]),
    prepare=st.sampled_from(["sort", "sorter", "as they are"]),
)
def test_searchsorted_property(x: Any, edges: Any, side: str, prepare: str) -> None:
    a = np.sort(edges) if prepare == "sort" else edges
    sorter = np.argsort(edges) if prepare == "sorter" else None
    same(ours.searchsorted(a, x, side, sorter), np.searchsorted(a, x, side, sorter))


@given(
    x=hnp.arrays(st.sampled_from([np.float16, np.float32, np.float64]), st.integers(0, 40), elements=numbers),
    edges=st.lists(numbers, max_size=20),
    order=st.sampled_from([1, -1, None]),
    right=st.booleans(),
)
def test_digitize_property(x: Any, edges: list[float], order: int | None, right: bool) -> None:
    bins = np.array(edges) if order is None else np.sort(np.array(edges))[::order]
    check(lambda module: module.digitize(x, bins, right))


def test_nan_goes_where_numpy_puts_it() -> None:
    edges = np.arange(3.0)
    assert ours.digitize(np.nan, edges) == 3
    assert ours.digitize(np.nan, edges[::-1]) == 0
    assert ours.searchsorted(edges, np.nan) == ours.searchsorted(edges, np.nan, "right") == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.digitize(0.5, [0, 1]),
        lambda m: m.digitize(np.array(0.5), [0, 1]),
        lambda m: m.digitize([], [0.0, 1.0]),
        lambda m: m.digitize([[0.5, 3]], (0, 1)),
        lambda m: m.digitize(np.float32(0.1), np.array([0.1])),
        lambda m: m.digitize(np.arange(12.0).reshape(3, 4).T[::-1, ::2], [2, 4]),
        lambda m: m.searchsorted([], [1.0]),
        lambda m: m.searchsorted([1, 2], []),
        lambda m: m.searchsorted([1, 2, 3], 2),
        lambda m: m.searchsorted(np.arange(5, dtype=">f4"), np.arange(5.0)[::-1]),
        lambda m: m.searchsorted(np.array([0.1], np.float32), 0.1),
        lambda m: m.searchsorted([3, 1, 2], [2.5], sorter=[1, 2, 0]),
    ],
)
def test_empty_scalar_and_strided_inputs_run_the_kernel(call: Callable[[Any], Any]) -> None:
    check(call)
    assert evtok.last_backend().startswith("evtok:")


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.searchsorted(["a", "c"], "b"),
        lambda m: m.searchsorted([1 + 1j, 2], [1.5]),
        lambda m: m.searchsorted(np.array(["2020", "2021"], "M8[Y]"), np.datetime64("2021")),
        lambda m: m.searchsorted(np.array([1, 2], object), [1.5]),
        lambda m: m.searchsorted(np.array([2**63, 2**63 + 2], np.uint64), np.uint64(2**63 + 1)),
        lambda m: m.searchsorted(np.arange(3, dtype=np.longdouble), np.longdouble(1)),
        lambda m: m.searchsorted([3.0, 1.0, 2.0], [2.5]),  # not sorted
        lambda m: m.searchsorted([3.0, 2.0, 1.0], [2.5]),
        lambda m: m.searchsorted([1.0, np.nan], [np.nan, 2.0]),
        lambda m: m.searchsorted(np.ma.array([1, 2]), [1.5]),
        lambda m: m.digitize(np.array([1.5], object), [1, 2]),
        lambda m: m.digitize(2**54, [2**54 - 1, 2**54 + 1]),
        lambda m: m.digitize(np.arange(3.0), [0.0, np.nan]),
        lambda m: m.digitize(["a"], [0.0]),
    ],
)
def test_what_evtok_has_no_kernel_for_goes_to_numpy_and_says_so(call: Callable[[Any], Any]) -> None:
    check(call)
    assert evtok.last_backend() == "numpy"


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.digitize([1.0], [0.0, 2.0, 1.0]),
        lambda m: m.digitize([1.0], [[0.0, 2.0]]),
        lambda m: m.digitize([1.0], 3.0),
        lambda m: m.digitize([1j], [0.0, 2.0]),
        lambda m: m.digitize([0.0], [1j]),
        lambda m: m.searchsorted([[0.0, 1.0]], 1.0),
        lambda m: m.searchsorted(1.0, 1.0),
        lambda m: m.searchsorted([0.0, 1.0], 1.0, "middle"),
        lambda m: m.searchsorted([0.0, 1.0], 1.0, sorter=[0]),
        lambda m: m.searchsorted([0.0, 1.0], 1.0, sorter=[0.5, 1]),
        lambda m: m.searchsorted([0.0, 1.0], 1.0, sorter=[0, 7]),
        lambda m: m.searchsorted([0.0, 1.0], 1.0, sorter=[0, -1]),
    ],
)
def test_p21_errors_are_of_numpys_types(call: Callable[[Any], Any]) -> None:
    expected = outcome_of(lambda: call(np))
    assert isinstance(expected, type)
    assert issubclass(outcome_of(lambda: call(ours)), expected)


def test_p2_every_instruction_set(isa: str) -> None:
    rng = np.random.default_rng(1)
    a, v = np.sort(rng.normal(size=300)).astype(np.float32), rng.normal(size=5001).astype(np.float32)
    for side in ("left", "right"):
        same(ours.searchsorted(a, v, side), np.searchsorted(a, v, side))
        assert evtok.last_backend() == f"evtok:{isa}"
