"""Order statistics by counting: the values are those of sorting everything, however the data are cut up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evtok.errors import InvalidEventsError
from evtok.tokenizers.edge_definitions import EqualFrequency, LookupTableBins, QuantileRange
from evtok.tokenizers.order_statistics import OrderStatistics, fit
from evtok.tokenizers.thresholds import Transform, fold_edges


def every_rank(n: int) -> range:
    return range(n)


def statistics_of(parts: list[Any], ranks: Any, dtype: Any, **options: Any) -> OrderStatistics:
    valid = options.pop("valid_range", Transform().valid_range(dtype))
    statistics = OrderStatistics(dtype, valid, ranks, **options)
    fit({"x": statistics}, lambda: ({"x": part} for part in parts))
    return statistics


def sample(dtype: Any, n: int = 20_000) -> np.ndarray:
    """A spectrum with ties, both signs, zeros of both signs, subnormals and values that do not count."""
    rng = np.random.default_rng(7)
    tiny = np.finfo(dtype).smallest_subnormal
    parts = [
        rng.exponential(30, n),
        -rng.exponential(1e-3, n),
        rng.integers(-3, 4, n),
        tiny * rng.integers(-5, 6, n),
        [np.nan, np.inf, -np.inf, 0.0, -0.0, np.finfo(dtype).max, -np.finfo(dtype).max],
    ]
    return rng.permutation(np.concatenate(parts)).astype(dtype)


def in_order(x: np.ndarray) -> np.ndarray:
    return np.sort(x[np.isfinite(x)] + 0)  # + 0 makes -0 into +0


@given(
    st.sampled_from([np.float32, np.float64]).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            st.integers(0, 40),
            elements=st.one_of(
                st.floats(width=np.dtype(dtype).itemsize * 8),
                st.sampled_from([0.0, -0.0, 1.0, 1.0000001192092896, float("nan"), float("inf")]),
            ),
        )
    ),
    st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_p1_every_rank_is_that_of_sorting(x: np.ndarray, n_parts: int) -> None:
    statistics = statistics_of(np.array_split(x, n_parts), every_rank, x.dtype)
    expected = in_order(x)
    assert statistics.n == len(expected)
    assert statistics.n_invalid == len(x) - len(expected)
    result = statistics.values(range(statistics.n))
    assert result.dtype == x.dtype
    assert result.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", range(1, 8))
def test_p2_same_values_for_every_split_order_and_thread_count(dtype: Any, threads: int) -> None:
    x = sample(dtype, 70_000)  # several blocks of work for the threads
    ranks = EqualFrequency(13).ranks
    expected = in_order(x)
    for parts in ([x], np.array_split(x, 3), np.array_split(x, 5)[::-1], [np.roll(x, 1000), x[:0]]):
        statistics = statistics_of(parts, ranks, dtype, threads=threads)
        np.testing.assert_array_equal(statistics.values(ranks(statistics.n)), expected[ranks(len(expected))])


@pytest.mark.parametrize(("dtype", "passes"), [(np.float32, 2), (np.float64, 4)])
def test_number_of_passes_is_one_for_each_digit(dtype: Any, passes: int) -> None:
    x = sample(dtype)
    features = {
        name: OrderStatistics(dtype, (-1e30, 1e30), EqualFrequency(41).ranks) for name in ("pt", "eta")
    }
    count = 0

    def read() -> Iterator[dict[str, np.ndarray]]:
        nonlocal count
        count += 1
        yield {"pt": x, "eta": -x}

    fit(features, read)
    assert count == passes
    for name, values in (("pt", x), ("eta", -x)):
        v = in_order(values[np.abs(values) < 1e30])
        ranks = EqualFrequency(41).ranks(len(v))
        np.testing.assert_array_equal(features[name].values(ranks), v[ranks])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_more_groups_than_tables_take_more_passes(dtype: Any) -> None:
    x = np.random.default_rng(3).normal(0, 1, 50_000).astype(dtype)
    v = np.sort(x)
    statistics = statistics_of([x], EqualFrequency(900).ranks, dtype)
    ranks = EqualFrequency(900).ranks(len(v))
    np.testing.assert_array_equal(statistics.values(ranks), v[ranks])


@pytest.mark.parametrize("kind", ["sqrt", "log"])
def test_values_outside_the_valid_range_and_zeros_are_left_out(kind: str) -> None:
    """Zeros that are to be left out are no invalid values, even where the range has no zero."""
    x = np.array([np.nan, -1, 0, -0.0, 1e-45, 3, 2, np.inf], np.float32)
    statistics = statistics_of(
        [x], every_rank, np.float32, valid_range=Transform(kind).valid_range(np.float32), skip_zeros=True
    )
    assert (statistics.n, statistics.n_invalid, statistics.n_zeros) == (3, 3, 2)
    np.testing.assert_array_equal(statistics.values(range(3)), np.array([1e-45, 2, 3], np.float32))


def test_nothing_valid_is_done_after_one_pass() -> None:
    statistics = statistics_of([np.array([np.nan], np.float32)], EqualFrequency(4).ranks, np.float32)
    assert (statistics.n, statistics.done) == (0, True)
    with pytest.raises(ValueError, match="not asked for"):
        statistics.values([0])


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.int64, np.uint64, bool])
def test_p16_integers_are_exact_in_float64(dtype: Any) -> None:
    x = np.array([3, 1, 0, 1, 100]).astype(dtype)
    np.testing.assert_array_equal(statistics_of([x], every_rank, np.float64).values(range(5)), np.sort(x))


def test_p16_integers_that_would_be_rounded_are_refused() -> None:
    statistics = OrderStatistics(np.float64, (-1e300, 1e300), every_rank)
    statistics.begin_pass()
    for value in (2**53 + 1, -(2**53) - 1):
        with pytest.raises(TypeError, match=r"2\*\*53"):
            statistics.count(np.array([value]))
    with pytest.raises(TypeError, match="float64"):
        statistics.count(np.zeros(3, np.float32))


def test_p15_any_layout() -> None:
    x = sample(np.float32, 500)
    expected = in_order(x)
    wide = np.repeat(x, 2)
    for view in (wide[::2], x[::-1], x.astype(">f4"), np.stack([x, x], axis=1)[:, 1]):
        values = statistics_of([view], every_rank, np.float32).values(range(len(expected)))
        np.testing.assert_array_equal(values, expected)


def test_a_source_that_changes_between_passes_is_noticed() -> None:
    sources = iter([np.arange(10, dtype=np.float32), np.arange(9, dtype=np.float32)])
    statistics = OrderStatistics(np.float32, (-1e30, 1e30), lambda n: [n - 1])
    with pytest.raises(InvalidEventsError, match="same events every time"):
        fit({"x": statistics}, lambda: [{"x": next(sources)}])


def test_pass_protocol_is_kept() -> None:
    statistics = OrderStatistics(np.float32, (-1.0, 1.0), lambda n: [0])
    for call in (
        lambda: statistics.count(np.zeros(1, np.float32)),
        statistics.end_pass,
        lambda: statistics.n,
    ):
        with pytest.raises(ValueError, match="pass"):
            call()
    with pytest.raises(ValueError, match="passes"):
        statistics.values([0])
    with pytest.raises(TypeError, match="int32"):
        OrderStatistics(np.int32, (0, 1), every_rank)
    statistics = OrderStatistics(np.float32, (-1.0, 1.0), lambda n: [n])
    statistics.begin_pass()
    statistics.count(np.zeros(1, np.float32))
    with pytest.raises(ValueError, match="ranks"):
        statistics.end_pass()


# ---- edge definitions ------------------------------------------------------------------------------------


def fitted(definition: Any, v: np.ndarray) -> np.ndarray:
    return v[definition.ranks(len(v))]


@given(st.integers(1, 60), st.integers(1, 400))
@settings(deadline=None)
def test_equal_frequency_bins_hold_equal_numbers(n_bins: int, n: int) -> None:
    v = np.arange(n, dtype=np.float64)
    edges = EqualFrequency(n_bins).edges(fitted(EqualFrequency(n_bins), v))
    assert edges.shape == (n_bins - 1,)
    contents = np.bincount(np.digitize(v, edges), minlength=n_bins)
    if n >= n_bins:
        assert set(contents) <= {n // n_bins, n // n_bins + 1}
    else:
        assert contents.max() == 1
    np.testing.assert_array_equal(edges, [v[(k * n) // n_bins] for k in range(1, n_bins)])


@pytest.mark.parametrize(("n_bins", "n"), [(1, 1), (2, 1000), (5, 1003), (8, 77), (8, 9), (5, 3)])
def test_lookup_table_bins_are_those_of_the_method(n_bins: int, n: int) -> None:
    """Chunks of n // n_bins values, one longer for the first n % n_bins; labels as by pandas.cut."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(n)
    x = rng.permutation(np.concatenate([rng.normal(0, 50, n), np.zeros(10)])).astype(np.float32)
    definition = LookupTableBins(n_bins)
    statistics = statistics_of([x], definition.ranks, np.float32, skip_zeros=True)
    edges = definition.edges(statistics.values(definition.ranks(statistics.n)))

    v = np.sort(x[x != 0]).astype(np.float64)
    sizes = [n // n_bins + (k < n % n_bins) for k in range(n_bins)]
    ends = np.cumsum(sizes)
    np.testing.assert_array_equal(edges, [v[0] - 1e-3, *(v[e - 1] for e in ends), v[-1] + 1e-3])
    assert len(edges) == n_bins + 2

    codes = np.where(
        x == 0, 0, np.digitize(x, fold_edges(edges, Transform(), np.float32, right=True), right=True)
    )
    nonzero = x[x != 0]
    if len(set(edges)) == len(edges):  # pandas refuses equal edges
        labels = pandas.cut(nonzero.astype(np.float64), edges, labels=range(1, n_bins + 2))
        np.testing.assert_array_equal(codes[x != 0], np.asarray(labels))
    contents = np.bincount(codes, minlength=n_bins + 2)
    np.testing.assert_array_equal(contents, [10, *sizes, 0])


@given(st.integers(1, 300), st.floats(0, 0.5), st.floats(0.5000001, 1))
def test_quantile_range_is_numpys_outer_values(n: int, lower: float, upper: float) -> None:
    v = np.arange(n, dtype=np.float64)
    low, high = QuantileRange(lower, upper).range(fitted(QuantileRange(lower, upper), v))
    assert low <= lower * (n - 1) + 1e-9
    assert high >= upper * (n - 1) - 1e-9
    assert np.quantile(v, lower, method="nearest") - low in (0, 1)
    assert high - np.quantile(v, upper, method="nearest") in (0, 1)


def test_quantile_range_ends() -> None:
    v = np.sort(sample(np.float64)[:100])
    v = v[np.isfinite(v)]
    assert QuantileRange().range(fitted(QuantileRange(), v)) == (v[0], v[-1])
    v = np.linspace(0, 1, 1001)
    definition = QuantileRange(0.25, 0.75)
    assert definition.range(fitted(definition, v)) == (np.quantile(v, 0.25), np.quantile(v, 0.75))


@pytest.mark.parametrize(
    "make",
    [
        lambda: EqualFrequency(0),
        lambda: EqualFrequency(2.0),  # type: ignore[arg-type]
        lambda: LookupTableBins(-1),
        lambda: LookupTableBins(2, margin=float("nan")),
        lambda: QuantileRange(0.5, 0.5),
        lambda: QuantileRange(-0.1, 1),
        lambda: QuantileRange(0, float("nan")),
    ],
)
def test_definitions_check_their_numbers(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()
