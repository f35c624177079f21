"""Scores of rows and reductions over events on a GPU have the bits of the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

import evtok
from evtok.errors import InvalidEventsError
from evtok.scoring import (
    GaussianClasses,
    histogram_score,
    negative_max_logit,
    reconstruction_error,
    segment_max,
    segment_mean,
    segment_sum,
    segment_top_mean,
    squared_distance,
    squared_sum,
)

N_DIMS = 37


def rows(n=131, seed=0):
    return np.random.default_rng(seed).normal(size=(n, N_DIMS)).astype(np.float32)


def gaussian_classes(shared):
    random = np.random.default_rng(3)
    means = random.normal(size=(4, N_DIMS))
    factors = np.eye(N_DIMS) + 0.1 * random.normal(size=(4, N_DIMS, N_DIMS))
    precision = factors @ factors.transpose(0, 2, 1)
    return GaussianClasses(means, precision[0] if shared else precision)


def histogram(x):
    random = np.random.default_rng(4)
    edges = [np.sort(random.normal(size=j % 5)) for j in range(N_DIMS)]
    return histogram_score(x, edges, [-random.random(len(of_one) + 1) for of_one in edges])


@pytest.mark.parametrize(
    "score",
    [
        lambda x, put: squared_distance(x, rows(1)[0]),
        lambda x, put: squared_distance(x, put(rows(1)[0])),
        lambda x, put: squared_sum(x),
        lambda x, put: negative_max_logit(x),
        lambda x, put: reconstruction_error(x, put(rows(131, 5))),
        lambda x, put: reconstruction_error(x, put(rows(131, 5)), reduction="sum"),
        lambda x, put: gaussian_classes(shared=True).distance(x),
        lambda x, put: gaussian_classes(shared=False).distance(x),
        lambda x, put: histogram(x),
    ],
)
def test_scores_have_the_bits_of_the_cpu(gpu, score):
    x = rows()
    found = score(gpu.put(x), gpu.put)
    assert type(found) is type(gpu.put(x))
    assert evtok.last_backend() == "evtok:cuda"
    np.testing.assert_array_equal(gpu.get(found), score(x, lambda y: y))


def test_classes_come_with_their_distances(gpu):
    classes, x = gaussian_classes(shared=True), rows()
    distances, nearest = classes.distance(gpu.put(x), return_class=True)
    expected, expected_nearest = classes.distance(x, return_class=True)
    np.testing.assert_array_equal(gpu.get(distances), expected)
    np.testing.assert_array_equal(gpu.get(nearest), expected_nearest)


def test_an_invalid_row_is_named_or_nan(gpu):
    x = rows()
    x[70, 3] = np.inf
    with pytest.raises(InvalidEventsError, match="mu: row 70 has inf in component 3; drop such rows"):
        squared_sum(gpu.put(x))
    found = gpu.get(squared_sum(gpu.put(x), on_invalid="sentinel"))
    np.testing.assert_array_equal(found, squared_sum(x, on_invalid="sentinel"))
    x[70] = -np.inf
    with pytest.raises(InvalidEventsError, match="logits: row 70 has no finite logit"):
        negative_max_logit(gpu.put(x))


def test_rows_that_do_not_fit_are_named(gpu):
    x = gpu.put(rows())
    with pytest.raises(ValueError, match=r"centre: expected shape \(37,\)"):
        squared_distance(x, np.zeros(5, np.float32))
    with pytest.raises(ValueError, match=r"y: expected shape \(131, 37\), got \(3, 37\)"):
        reconstruction_error(x, gpu.put(rows(3)))
    with pytest.raises(TypeError, match=r"x: expected float32 .* on a GPU, got float64"):
        squared_distance(gpu.put(rows().astype(np.float64)), np.zeros(N_DIMS, np.float32))


# ---- events ----


@pytest.fixture(params=[np.float32, np.float64])
def events(request):
    random = np.random.default_rng(6)
    lengths = np.array([0, 1, 7, 8, 9, 40, 3, 0, 17, 100])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = random.normal(size=offsets[-1]).astype(request.param)
    return values, offsets, np.abs(random.normal(size=offsets[-1])).astype(request.param)


def test_reductions_have_the_bits_of_the_cpu(gpu, events):
    values, offsets, weights = events
    types = (np.arange(len(values)) % 3).astype(np.uint8)
    for options in (
        {},
        {"weights": weights},
        {"types": types, "type_weights": [1.0, 0.0, 2.5]},
        {"weights": weights, "types": types, "type_weights": np.array([0.5, 1, 2])},
    ):
        there = {name: gpu.put(x) if name != "type_weights" else x for name, x in options.items()}
        for reduce in (segment_sum, segment_mean, segment_max):
            found = reduce(gpu.put(values), gpu.put(offsets), **there)
            assert evtok.last_backend() == "evtok:cuda"
            np.testing.assert_array_equal(gpu.get(found), reduce(values, offsets, **options))
        found = segment_top_mean(gpu.put(values), offsets.astype(np.int32), 3, empty=-1, **there)
        np.testing.assert_array_equal(
            gpu.get(found), segment_top_mean(values, offsets, 3, empty=-1, **options)
        )


def test_events_may_begin_and_end_within_the_values(gpu, events):
    values, offsets, _ = events
    found = segment_sum(gpu.put(values), gpu.put(offsets[2:5]))
    np.testing.assert_array_equal(gpu.get(found), segment_sum(values, offsets[2:5]))


def test_bad_events_are_named_or_nan(gpu, events):
    values, offsets, weights = events
    x, o = gpu.put(values), gpu.put(offsets)
    wrong = offsets.copy()
    wrong[4] = 3
    with pytest.raises(InvalidEventsError, match="offsets: event 3 goes from 8 to 3"):
        segment_sum(x, gpu.put(wrong))
    types = np.where(np.arange(len(values)) == 16, 9, 0).astype(np.uint8)
    with pytest.raises(InvalidEventsError, match="types: value 16 has the type 9, which has no weight"):
        segment_sum(x, o, types=gpu.put(types), type_weights=[1.0])
    weights[17] = -1
    with pytest.raises(InvalidEventsError, match=r"values: event 4 has the weight -1\.0 in place 1"):
        segment_mean(x, o, weights=gpu.put(weights))
    found = gpu.get(segment_mean(x, o, weights=gpu.put(weights), on_invalid="sentinel"))
    assert np.isnan(found[4])
    assert np.isfinite(found[[1, 2, 3, 5]]).all()


def test_arrays_that_do_not_fit_are_named(gpu, events):
    values, offsets, weights = events
    x, o = gpu.put(values), gpu.put(offsets)
    with pytest.raises(ValueError, match="weights: expected 185 of them, one for each value, got 3"):
        segment_sum(x, o, weights=gpu.put(weights[:3]))
    with pytest.raises(ValueError, match="types, type_weights: one is of no use without the other"):
        segment_sum(x, o, type_weights=[1.0])
    with pytest.raises(TypeError, match=r"values: expected float32 .* on a GPU, got int64"):
        segment_sum(gpu.put(np.arange(185)), o)
    with pytest.raises(InvalidEventsError, match="offsets: expected shape"):
        segment_sum(x, o[:0])
