"""Bootstrap intervals: seeded, by class, of the size that statistics says, and cheap."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evtok import metrics
from evtok.metrics.curve import RocCurve


def area(curve: RocCurve) -> float:
    return curve.auc


def make_sample(n: int, seed: int = 0, signal: float = 0.5) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    random = np.random.default_rng(seed)
    labels = np.asarray(random.random(n) < signal, int)
    return labels, random.normal(labels, 1.0).astype(np.float32)


def by_hand(labels: Any, scores: Any, weights: Any, seed: int, n: int) -> list[float]:
    """The same draws, on plain events."""
    random = np.random.default_rng(seed)
    parts = [np.flatnonzero(labels == k) for k in (1, 0)]
    found = []
    for _ in range(n):
        chosen = np.concatenate([part[random.integers(len(part), size=len(part))] for part in parts])
        found.append(metrics.auc(labels[chosen], scores[chosen], weights[chosen]))
    return found


@pytest.mark.parametrize("weighted", [False, True])
def test_interval_is_that_of_resampled_events(weighted: bool) -> None:
    labels, scores = make_sample(200)
    weights = np.random.default_rng(5).gamma(1, 1, 200) if weighted else np.ones(200)
    found = metrics.bootstrap(labels, np.round(scores, 1), area, weights, n_resamples=40, level=0.9, seed=3)
    expected = by_hand(labels, np.round(scores, 1), weights, 3, 40)
    assert found.value == metrics.auc(labels, np.round(scores, 1), weights)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(expected, [0.05, 0.95])), rel=1e-12)
    assert found.level == 0.9


def test_seed_decides_the_interval() -> None:
    labels, scores = make_sample(300)
    one = metrics.bootstrap(labels, scores, area, seed=1)
    assert one == metrics.bootstrap(labels, scores, area, seed=1)
    assert one != metrics.bootstrap(labels, scores, area, seed=2)
    assert one.low < one.value < one.high


def test_interval_is_as_wide_as_theory_says() -> None:
    """Hanley and McNeil's standard error of an AUC, which for normal scores is good to some percent."""
    labels, scores = make_sample(4000)
    found = metrics.bootstrap(labels, scores, area, n_resamples=400)
    a, n_s, n_b = found.value, int(labels.sum()), int((1 - labels).sum())
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    error = math.sqrt((a * (1 - a) + (n_s - 1) * (q1 - a * a) + (n_b - 1) * (q2 - a * a)) / (n_s * n_b))
    assert (found.high - found.low) / 2 == pytest.approx(0.994 * error, rel=0.15)


def test_every_resample_has_both_classes() -> None:
    """One signal event among many: drawn from all events, it would be missing every third time."""
    labels = np.r_[np.zeros(50, int), 1]
    found = metrics.bootstrap(labels, np.r_[np.arange(50.0), 25.5], area)
    assert math.isfinite(found.low)
    assert found.low < found.high


def test_paired_difference_is_sharper_than_two_intervals() -> None:
    labels, scores = make_sample(2000)
    worse = scores + np.random.default_rng(9).normal(0, 0.3, 2000)
    apart = [metrics.bootstrap(labels, given, area) for given in (scores, worse)]
    assert apart[0].low < apart[1].high  # they overlap
    difference = metrics.bootstrap_difference(labels, scores, worse, area)
    assert difference.value == apart[0].value - apart[1].value
    assert 0 < difference.low < difference.high
    assert metrics.bootstrap_difference(labels, scores, 2 * scores, area) == metrics.Interval(0, 0, 0, 0.68)


def test_summary_agrees_with_each_figure() -> None:
    labels, scores = make_sample(3000)
    weights = np.random.default_rng(5).gamma(1, 1, 3000)
    found = metrics.summarise(labels, scores, weights, n_resamples=20, seed=4)
    assert found.auc == metrics.bootstrap(labels, scores, area, weights, n_resamples=20, seed=4)
    assert (found.n_signal, found.n_background) == (labels.sum(), (1 - labels).sum())
    assert list(found.signal_efficiency) == [1e-2, 1e-3, 1e-4]
    for at, figure in found.signal_efficiency.items():
        assert figure.value == metrics.signal_efficiency(labels, scores, at, weights)
    sic = found.max_significance_improvement
    assert sic.value == metrics.max_significance_improvement(labels, scores, weights)
    assert sic.low <= sic.high
    as_json = found.to_json()
    assert as_json["signal_efficiency"]["0.01"]["value"] == found.signal_efficiency[1e-2].value
    assert as_json["auc"] == {
        "value": found.auc.value,
        "low": found.auc.low,
        "high": found.auc.high,
        "level": 0.68,
    }


def test_what_a_resample_does_not_have_is_nan() -> None:
    labels, scores = make_sample(30)
    found = metrics.summarise(labels, scores, min_background=1000, n_resamples=5)
    sic = found.max_significance_improvement
    assert all(math.isnan(x) for x in (sic.value, sic.low, sic.high))
    weights = np.ones(30)
    background = np.flatnonzero(labels == 0)
    weights[background[1::2]] = -0.9  # some resamples weigh less than nothing
    assert math.isnan(metrics.bootstrap(labels, scores, area, weights).low)
    efficiency = metrics.summarise(labels, scores, weights).signal_efficiency[1e-2]
    assert math.isnan(efficiency.low)
    assert math.isnan(efficiency.high)


@pytest.mark.parametrize("wrong", [{"n_resamples": 0}, {"level": 0.0}, {"level": 1.0}, {"level": 68}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        metrics.bootstrap([0, 1], [0.0, 1.0], area, **wrong)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        metrics.bootstrap_difference([0, 1], [0.0, 1.0], [1.0, 0.0], area, **wrong)


def test_two_hundred_resamples_of_40000_events_are_cheap() -> None:
    """Under a second on an idle core; the bound leaves room for a busy one."""
    labels, scores = make_sample(40_000)
    start = time.process_time()
    metrics.summarise(labels, scores)
    assert time.process_time() - start < 5
