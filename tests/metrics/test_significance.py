"""SIC curves, and their maximum above a floor of background events."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evtok import metrics


def test_curve_is_the_quotient_above_the_floor() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 500)
    scores = np.round(random.normal(labels, 1.0), 1)
    curve = metrics.roc(labels, scores)
    found = metrics.significance_improvement(curve, 10)
    for k, threshold in enumerate(curve.threshold):
        passing = scores >= threshold
        n_background = int((passing & (labels == 0)).sum())
        if n_background < 10:
            assert math.isnan(found[k])
            continue
        share = n_background / (labels == 0).sum()
        expected = (passing & (labels == 1)).sum() / (labels == 1).sum() / math.sqrt(share)
        assert found[k] == pytest.approx(expected, rel=1e-14)
    assert found[-1] == 1
    assert metrics.max_significance_improvement(labels, scores) == np.nanmax(found)
    assert metrics.best_working_point(curve) == curve.point(int(np.nanargmax(found)))


def test_floor_keeps_flukes_out() -> None:
    """A fifth of the signal above all background but one event: a fluke of one, not an improvement of 9."""
    labels = np.r_[np.zeros(2000, int), np.ones(10, int)]
    scores = np.r_[np.arange(2000) / 2000, 0.9999, 0.9999, np.linspace(0, 0.9, 8)]
    free = metrics.max_significance_improvement(labels, scores, min_background=1)
    assert free == pytest.approx(0.2 / math.sqrt(1 / 2000))
    assert metrics.max_significance_improvement(labels, scores) == pytest.approx(0.2 / math.sqrt(10 / 2000))


def test_floor_counts_equal_weights_as_events() -> None:
    labels = np.r_[np.zeros(40, int), 1]
    scores = np.r_[np.arange(40.0), 100.0]
    for weights in (None, np.full(41, 0.1), np.full(41, 1e-7)):
        point = metrics.best_working_point(metrics.roc(labels, scores, weights))
        assert point is not None
        assert (point.background_events, point.background_efficiency) == (10, 0.25)
        assert point.significance_improvement == 2


def test_floor_sees_through_one_heavy_event() -> None:
    """A hundred light events beside a heavy one fluctuate as much as one event does."""
    labels = np.r_[np.zeros(201, int), 1]
    scores = np.r_[np.full(101, 2.0), np.zeros(100), 3.0]
    weights = np.ones(202)
    weights[0] = 1e4
    curve = metrics.roc(labels, scores, weights)
    assert 1 < curve.background_events[2] < 1.1
    assert metrics.best_working_point(curve, 10) is None
    with pytest.raises(ValueError, match="no cut lets 10 background events pass"):
        metrics.max_significance_improvement(labels, scores, weights)


def test_floor_holds_for_all_looser_cuts() -> None:
    """To the left of one heavy event, light ones are enough by number, but not once that event passes too."""
    labels = np.r_[np.zeros(1001, int), np.ones(10, int)]
    scores = np.r_[np.arange(1000) / 1000, 0.9795, np.full(10, 2.0)]
    weights = np.r_[np.full(1000, 0.01), 200.0, np.ones(10)]
    curve = metrics.roc(labels, scores, weights)
    left = np.flatnonzero(curve.background_events >= 10)[0]
    assert curve.threshold[left] == 0.99
    assert curve.least_background_events[left] < 1.2
    assert metrics.best_working_point(curve, 10) is None
    plain = metrics.roc(labels, scores)
    assert np.array_equal(plain.least_background_events, plain.background_events)


def test_floor_is_not_met_before_signed_weights_cancel() -> None:
    labels = np.r_[np.zeros(300, int), 1]
    scores = np.r_[np.arange(300.0)[::-1], 400.0]
    weights = np.r_[np.ones(50), -np.ones(50), np.ones(201)]
    point = metrics.best_working_point(metrics.roc(labels, scores, weights), 10)
    assert point is not None
    assert point.threshold < 200


def test_without_background_there_is_no_quotient() -> None:
    curve = metrics.roc([0, 0, 1], [0.0, 1.0, 2.0])
    np.testing.assert_allclose(
        metrics.significance_improvement(curve, 0), [math.nan, math.nan, math.sqrt(2), 1], rtol=1e-15
    )
    assert math.isnan(curve.at(0).significance_improvement)
