"""Reductions over events: equal to their definition in bits, for any batch, threads and instruction set."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evtok.errors import InvalidEventsError
from evtok.reference_scoring_segments import Invalid, event_weights, reduce_event
from evtok.scoring import segment_max, segment_mean, segment_sum, segment_top_mean

REDUCTIONS = {
    "sum": segment_sum,
    "mean": segment_mean,
    "max": segment_max,
    "top_mean": lambda values, offsets, **options: segment_top_mean(values, offsets, 3, **options),
}
WEIGHTS = {"none": (False, False), "values": (True, False), "types": (False, True), "both": (True, True)}


def events(seed: int, n: int, most: int, dtype: type = np.float32) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(random.integers(0, most + 1, n))])
    m = int(offsets[-1])
    return {
        "values": np.round(random.normal(0, 4, m)).astype(dtype) / dtype(3),
        "offsets": offsets,
        "weights": (random.random(m) * (random.random(m) < 0.8)).astype(dtype),
        "types": random.integers(0, 3, m).astype(np.uint8),
        "type_weights": np.array([1.0, 0.0, 2.7]),
    }


def options_of(problem: dict[str, Any], which: str) -> dict[str, Any]:
    by_value, by_type = WEIGHTS[which]
    names = (("weights",) if by_value else ()) + (("types", "type_weights") if by_type else ())
    return {name: problem[name] for name in names}


def defined(problem: dict[str, Any], reduction: str, which: str, empty: float) -> Any:
    values, offsets = problem["values"], problem["offsets"]
    options = options_of(problem, which)
    weights = event_weights(options.get("weights"), options.get("types"), options.get("type_weights"), values)
    results = []
    for begin, end in pairwise(offsets):
        try:
            results.append(reduce_event(values[begin:end], weights[begin:end], reduction, 3, empty))
        except Invalid:
            results.append(values.dtype.type(np.nan))
    return np.array(results, values.dtype)


def assert_same_bits(got: Any, expected: Any) -> None:
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    there = ~np.isnan(expected)
    np.testing.assert_array_equal(got[there].tobytes(), expected[there].tobytes())


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("which", WEIGHTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_p12_equals_the_definition(isa: str, reduction: str, which: str, dtype: type) -> None:
    problem = events(1, 60, 30, dtype)
    got = REDUCTIONS[reduction](
        problem["values"], problem["offsets"], empty=-7.25, **options_of(problem, which)
    )
    assert_same_bits(got, defined(problem, reduction, which, -7.25))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_invalid_values_are_refused_by_event_or_become_nan(isa: str, reduction: str) -> None:
    problem = events(2, 40, 20)
    offsets = problem["offsets"]
    filled = np.flatnonzero(np.diff(offsets) > 2)
    for event, value in zip(filled[3:6], (np.nan, np.inf, -np.inf), strict=True):
        problem["values"][offsets[event] + 2] = value
    call = REDUCTIONS[reduction]
    for which in WEIGHTS:
        options = options_of(problem, which)
        with pytest.raises(InvalidEventsError, match=rf"event {filled[3]} has the value nan in place 2"):
            call(problem["values"], offsets, **options)
        got = call(problem["values"], offsets, on_invalid="sentinel", **options)
        assert_same_bits(got, defined(problem, reduction, which, 0.0 if reduction == "sum" else np.nan))
        assert np.isnan(got[filled[3:6]]).all()
    with pytest.raises(ValueError, match="on_invalid"):
        call(problem["values"], offsets, on_invalid="drop")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_weights_that_are_none(isa: str, reduction: str, weight: float) -> None:
    weights = np.array([1, 1, weight, 1], np.float32)
    call = REDUCTIONS[reduction]
    with pytest.raises(InvalidEventsError, match=rf"event 1 has the weight {weight} in place 0"):
        call(np.ones(4, np.float32), [0, 2, 4], weights=weights)
    got = call(np.ones(4, np.float32), [0, 2, 4], weights=weights, on_invalid="sentinel")
    assert np.isnan(got[1])
    assert not np.isnan(got[0])


def test_empty_events_and_events_without_weight() -> None:
    values, offsets = np.array([3.0, 4.0], np.float32), [0, 0, 2]
    none = np.zeros(2, np.float32)
    for name, call in REDUCTIONS.items():
        first = call(values, offsets)[0]
        assert first == 0 if name == "sum" else np.isnan(first)
        np.testing.assert_array_equal(call(values, offsets, empty=-1.0, weights=none), [-1, -1])
        np.testing.assert_array_equal(call(values, offsets, empty=-np.inf)[0], -np.inf)
        assert call(values[:0], [0]).shape == (0,)


def test_a_value_of_weight_0_is_as_if_it_were_not_there() -> None:
    values, weights = np.array([-3.0, -1.0, 5.0], np.float32), np.array([1, 0.5, 0], np.float32)
    assert segment_max(values, [0, 3], weights=weights) == -0.5
    assert segment_top_mean(values, [0, 3], 5, weights=weights) == np.float32(-1.75)
    assert segment_mean(values, [0, 3], weights=weights) == np.float32(-3.5 / 1.5)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_p12_the_batch_and_the_threads_do_not_change_a_bit(isa: str, reduction: str) -> None:
    problem = events(3, 9000, 12)
    call, options = REDUCTIONS[reduction], options_of(problem, "both")
    whole = call(problem["values"], problem["offsets"], threads=1, **options)
    assert_same_bits(call(problem["values"], problem["offsets"], threads=5, **options), whole)
    for begin, end in ((0, 1), (1, 2), (17, 300), (300, 9000)):
        part = call(problem["values"], problem["offsets"][begin : end + 1], **options)
        assert_same_bits(part, whole[begin:end])


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_events(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(0, 19), max_size=6))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    m, width = int(offsets[-1]), 8 * np.dtype(dtype).itemsize
    number = st.floats(width=width, allow_nan=True, allow_infinity=True)
    values = np.array(data.draw(st.lists(number, min_size=m, max_size=m)), dtype)
    weights = np.array(data.draw(st.lists(st.floats(0, 3, width=width), min_size=m, max_size=m)), dtype)
    problem = {"values": values, "offsets": offsets, "weights": weights}
    for name, call in REDUCTIONS.items():
        for which in ("none", "values"):
            got = call(values, offsets, empty=1.5, on_invalid="sentinel", **options_of(problem, which))
            assert_same_bits(got, defined(problem, name, which, 1.5))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_close_to_float64_however_long_the_event(reduction: str) -> None:
    values = np.random.default_rng(4).normal(1e3, 1, 200_001).astype(np.float32)
    exact = values.astype(np.float64)
    expected = {
        "sum": exact.sum(),
        "mean": exact.mean(),
        "max": exact.max(),
        "top_mean": np.sort(exact)[-3:].mean(),
    }[reduction]
    got = REDUCTIONS[reduction](values, [0, len(values)])
    np.testing.assert_allclose(got, expected, rtol=1.2e-7)


def test_kinds_and_layouts() -> None:
    torch = pytest.importorskip("torch")
    problem = events(5, 30, 9)
    values, offsets = problem["values"], problem["offsets"]
    expected = segment_mean(values, offsets)
    got = segment_mean(torch.from_numpy(values), torch.from_numpy(offsets))
    assert isinstance(got, torch.Tensor)
    assert_same_bits(got.numpy(), expected)
    spread = np.repeat(values, 2)[::2]
    assert_same_bits(segment_mean(spread, offsets.astype(np.int32)), expected)
    assert_same_bits(segment_mean(values.astype(">f4"), offsets), expected)
    assert segment_sum(np.arange(4, dtype=np.int8), [0, 4]).dtype == np.float32
    assert segment_sum(np.arange(4, dtype=np.int64), [0, 4]).dtype == np.float64
    assert segment_sum(torch.ones(2, dtype=torch.bfloat16), [0, 2]).dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        (([[1.0]], [0, 1]), {}, ValueError, "values: expected one dimension"),
        ((["a"], [0, 1]), {}, TypeError, "values: expected real numbers"),
        (([1.0], [0, 2]), {}, InvalidEventsError, "offsets"),
        (([1.0], [1, 0]), {}, InvalidEventsError, "offsets"),
        (([1.0], [0.0, 1.0]), {}, TypeError, "offsets: expected integers"),
        (([1.0], [0, 1]), {"weights": [1.0, 2.0]}, ValueError, "weights: expected 1 of them"),
        (([1.0], [0, 1]), {"types": np.zeros(1, np.uint8)}, ValueError, "one is of no use without"),
        (([1.0], [0, 1]), {"types": [0], "type_weights": [1.0]}, TypeError, "types: expected uint8"),
        (
            ([1.0], [0, 1]),
            {"types": np.ones(1, np.uint8), "type_weights": [1.0]},
            InvalidEventsError,
            "value 0 has the type 1",
        ),
        (
            ([1.0], [0, 1]),
            {"types": np.zeros(1, np.uint8), "type_weights": [np.nan]},
            ValueError,
            "type_weights: expected finite",
        ),
        (([1.0], [0, 1]), {"threads": -1}, ValueError, "threads"),
    ],
)
def test_arguments_that_do_not_fit(
    arguments: Any, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        segment_mean(*arguments, **options)


def test_weights_are_not_rounded_silently_and_k_is_positive() -> None:
    with pytest.raises(TypeError, match="weights: float64 would be rounded"):
        segment_sum(np.ones(1, np.float32), [0, 1], weights=np.ones(1))
    with pytest.raises(ValueError, match="k: expected 1 to 2147483647"):
        segment_top_mean([1.0], [0, 1], 0)


def test_a_weight_below_0_is_invalid_whatever_the_weight_of_its_type(isa: str) -> None:
    values, weights = np.ones(2, np.float32), np.array([-1.0, 1.0], np.float32)
    by_type = {"types": np.array([0, 1], np.uint8), "type_weights": [0.0, 1.0]}
    for reduce in REDUCTIONS.values():
        with pytest.raises(InvalidEventsError, match=r"event 0 has the weight -1\.0 in place 0"):
            reduce(values, [0, 2], weights=weights, **by_type)
    with pytest.raises(Invalid):
        reduce_event(values, event_weights(weights, *by_type_arrays(by_type), values), "sum", 1, 0.0)


def by_type_arrays(given: dict[str, Any]) -> tuple[Any, Any]:
    return given["types"], np.array(given["type_weights"])


def test_the_value_of_an_empty_event_is_one_of_the_dtype() -> None:
    with pytest.raises(ValueError, match="empty: expected a number that float32 holds, got 1e\\+300"):
        segment_sum(np.ones(2, np.float32), [0, 2, 2], empty=1e300)
    assert segment_sum(np.ones(2), [0, 2, 2], empty=1e300).tolist() == [2, 1e300]
    assert segment_sum(np.ones(2, np.float32), [0, 2, 2], empty=-np.inf).tolist() == [2, -np.inf]
