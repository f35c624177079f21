"""ROC curves against scikit-learn and against the sum over all pairs: with ties, weights and signed weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evtok import metrics
from evtok.errors import InvalidEventsError

Sample = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.float64]]


def make_sample(n: int = 400, levels: int | None = None, seed: int = 0) -> Sample:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    scores = random.normal(labels, 1.0).astype(np.float32)
    if levels is not None:
        scores = np.round(scores * levels / 4).astype(np.float32)
    return labels, scores, random.gamma(1.0, 1.0, n)


def pair_auc(labels: npt.NDArray[Any], scores: npt.NDArray[Any], weights: npt.NDArray[Any]) -> float:
    signal, background = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    found = 0.0
    for s in signal:
        for b in background:
            wins = 1.0 if scores[s] > scores[b] else 0.5 if scores[s] == scores[b] else 0.0
            found += weights[s] * weights[b] * wins
    return found / (weights[signal].sum() * weights[background].sum())


def cut_by_hand(labels: Any, scores: Any, weights: Any, background_efficiency: float) -> tuple[float, float]:
    """The definition: lower the threshold while the background is not above the share."""
    best = (0.0, 0.0)
    for threshold in sorted(set(scores.tolist()), reverse=True):
        passing = scores >= threshold
        shares = [weights[passing & (labels == k)].sum() / weights[labels == k].sum() for k in (1, 0)]
        if shares[1] > background_efficiency:
            break
        best = (shares[0], shares[1])
    return best


@pytest.mark.peers
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("levels", [None, 5, 1])
@pytest.mark.parametrize("seed", range(4))
def test_curve_and_area_are_those_of_scikit_learn(levels: int | None, weighted: bool, seed: int) -> None:
    peer = pytest.importorskip("sklearn.metrics")
    labels, scores, weights = make_sample(levels=levels, seed=seed)
    given = weights if weighted else None
    curve = metrics.roc(labels, scores, given)
    background, signal, threshold = peer.roc_curve(
        labels, scores, sample_weight=given, drop_intermediate=False
    )
    np.testing.assert_array_equal(curve.threshold, threshold)
    np.testing.assert_allclose(curve.signal_efficiency, signal, rtol=1e-13, atol=0)
    np.testing.assert_allclose(curve.background_efficiency, background, rtol=1e-13, atol=0)
    if not weighted:
        np.testing.assert_array_equal(curve.signal_efficiency, signal)
        np.testing.assert_array_equal(curve.background_efficiency, background)
    assert metrics.auc(labels, scores, given) == pytest.approx(
        peer.roc_auc_score(labels, scores, sample_weight=given), rel=1e-13
    )


@pytest.mark.parametrize("signs", ["none", "positive", "both"])
@pytest.mark.parametrize("levels", [None, 4])
def test_area_is_the_sum_over_pairs(levels: int | None, signs: str) -> None:
    labels, scores, weights = make_sample(120, levels)
    if signs == "none":
        weights = np.ones(120)
    elif signs == "both":
        weights[::5] *= -0.4
    expected = pair_auc(labels, scores, weights)
    assert metrics.auc(labels, scores, weights) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("signs", ["none", "positive", "both"])
@pytest.mark.parametrize("levels", [None, 40, 4])
@pytest.mark.parametrize("efficiency", [0.0, 1e-2, 0.1, 0.5, 1.0])
def test_cut_is_the_loosest_that_keeps_the_background_out(
    efficiency: float, levels: int | None, signs: str
) -> None:
    labels, scores, weights = make_sample(300, levels, seed=7)
    if signs == "none":
        weights = np.ones(300)
    elif signs == "both":
        weights[::5] *= -0.4
    point = metrics.roc(labels, scores, weights).at(efficiency)
    expected = cut_by_hand(labels, scores, weights, efficiency)
    if efficiency < 1 or signs != "positive":  # a sum of shares can be above 1 by its rounding
        found = (point.signal_efficiency, point.background_efficiency)
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)
    passing = (scores >= point.threshold) & (labels == 0)
    kish = weights[passing].sum() ** 2 / (weights[passing] ** 2).sum() if passing.any() else 0
    assert point.background_events == pytest.approx(kish)
    assert metrics.signal_efficiency(labels, scores, efficiency, weights) == point.signal_efficiency


def test_equal_weights_count_exactly() -> None:
    """3 of 300 is one in a hundred, also when each event weighs 0.37 pb."""
    labels = np.r_[np.zeros(300, int), np.ones(2, int)]
    scores = np.r_[np.arange(300), 298.5, 296.5]
    for weights in (None, np.full(302, 0.37), np.full(302, 1e-30)):
        point = metrics.roc(labels, scores, weights).at(1e-2)
        assert (point.signal_efficiency, point.background_efficiency) == (1.0, 0.01)
        assert (point.threshold, point.background_events) == (296.5, 3)


def test_ties_are_not_taken_apart_where_interpolation_would() -> None:
    """The step of 10 equal background events across the share asked for: none of them is selected."""
    labels = np.r_[np.zeros(100, int), np.ones(10, int)]
    scores = np.r_[np.zeros(90), np.ones(10), np.full(4, 2.0), np.full(6, 1.0)]
    curve = metrics.roc(labels, scores)
    point = curve.at(0.05)
    assert (point.signal_efficiency, point.background_efficiency, point.threshold) == (0.4, 0.0, 2.0)
    assert np.interp(0.05, curve.background_efficiency, curve.signal_efficiency) == pytest.approx(0.7)


def test_areas_of_perfect_and_useless_scores_are_exact() -> None:
    labels = np.r_[np.zeros(777, int), np.ones(333, int)]
    assert metrics.auc(labels, labels) == 1
    assert metrics.auc(labels, 1 - labels) == 0
    assert metrics.auc(labels, np.zeros(1110)) == 0.5
    assert metrics.auc(labels, np.where(labels == 1, np.inf, -np.inf)) == 1


def test_only_the_order_counts() -> None:
    labels, scores, weights = make_sample(levels=30)
    one = metrics.roc(labels, scores, weights)
    other = metrics.roc(labels.astype(bool), np.exp(scores.astype(np.float64)), 7 * weights)
    np.testing.assert_allclose(one.signal_efficiency, other.signal_efficiency, rtol=1e-13)
    np.testing.assert_allclose(one.background_efficiency, other.background_efficiency, rtol=1e-13)
    order = np.random.default_rng(1).permutation(len(labels))
    assert metrics.auc(labels[order], scores[order], weights[order]) == pytest.approx(one.auc, rel=1e-13)


def test_float32_scores_that_differ_by_one_ulp_are_no_tie() -> None:
    near = np.float32(1.0)
    scores = np.array([near, np.nextafter(near, np.float32(2))], np.float32)
    assert metrics.auc([0, 1], scores) == 1
    assert metrics.auc([0, 1], scores.astype(np.float16)) == 0.5


def test_zero_and_minus_zero_are_a_tie() -> None:
    assert metrics.auc([0, 1], [-0.0, 0.0]) == 0.5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([0, 1], [0.0, math.nan]), InvalidEventsError, "scores: event 1 is NaN"),
        (([0, 0], [0.0, 1.0]), ValueError, "labels: expected both classes, got no signal"),
        (([1, 1], [0.0, 1.0]), ValueError, "labels: expected both classes, got no background"),
        (([0, 2], [0.0, 1.0]), ValueError, "labels: expected 1 for signal and 0 for background, got 2"),
        (([0, math.nan], [0.0, 1.0]), ValueError, "labels: expected 1 for signal"),
        ((["a", "b"], [0.0, 1.0]), TypeError, "labels: expected 1 or True"),
        (([0, 1, 1], [0.0, 1.0]), ValueError, r"labels: expected shape \(2,\)"),
        (([], []), ValueError, r"scores: expected shape \(n,\)"),
        (([[0, 1]], [[0.0, 1.0]]), ValueError, r"scores: expected shape \(n,\)"),
        (([0, 1], [0j, 1j]), TypeError, "scores: expected real numbers"),
        (([0, 1], ["0", "1"]), TypeError, "scores: expected real numbers"),
        (([0, 1], [0.0, 1.0], [1.0]), ValueError, r"weights: expected shape \(2,\)"),
        (([0, 1], [0.0, 1.0], [1.0, math.nan]), ValueError, "weights: expected finite numbers, got nan"),
        (([0, 1], [0.0, 1.0], [math.inf, 1.0]), ValueError, "weights: expected finite numbers, got inf"),
        (([0, 1], [0.0, 1.0], [-1.0, 1.0]), ValueError, "the background events weigh -1.0"),
        (([0, 1], [0.0, 1.0], [1.0, 0.0]), ValueError, "the signal events weigh 0.0"),
    ],
)
def test_bad_input_is_named(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        metrics.roc(*arguments)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_is_from_0_to_1(share: float) -> None:
    with pytest.raises(ValueError, match="background_efficiency: expected a share"):
        metrics.signal_efficiency([0, 1], [0.0, 1.0], share)


def test_scores_that_float64_would_round_into_ties_are_refused() -> None:
    scores = np.array([2**60, 2**60 + 1, 2**60 + 2, 2**60 + 3])
    with pytest.raises(TypeError, match=r"scores: expected integers up to 2\*\*53"):
        metrics.auc([0, 1, 0, 1], scores)
    assert metrics.auc([0, 1, 0, 1], scores - 2**60) == 0.75
