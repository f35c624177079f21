"""Jensen-Shannon divergences against SciPy, at known limits, and against blind draws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from evtok import metrics
from evtok.errors import InvalidEventsError


def test_it_is_the_divergence_of_scipy() -> None:
    distance = pytest.importorskip("scipy.spatial.distance")
    random = np.random.default_rng(0)
    mass = random.exponential(100.0, 5000)
    scores = np.round(mass / 100 + random.normal(0, 1, 5000), 2)
    weights = random.gamma(1.0, 1.0, 5000)
    edges = np.sort(mass)[np.arange(1, 10) * 500]
    bins = np.searchsorted(edges, mass, side="right")
    for found in metrics.jensen_shannon(mass, scores, (0.5, 0.1), weights, n_bins=10):
        threshold = (
            metrics.roc(np.r_[np.zeros(5000, int), 1], np.r_[scores, 0.0], np.r_[weights, 1.0])
            .at(found.background_efficiency)
            .threshold
        )
        passing = scores >= threshold
        before, after = (np.bincount(bins[on], weights[on], 10) for on in (np.ones(5000, bool), passing))
        assert found.divergence == pytest.approx(distance.jensenshannon(before, after, base=2) ** 2, rel=1e-9)
        assert found.n_selected == passing.sum()


def test_a_score_without_the_variable_does_as_blind_draws_do() -> None:
    random = np.random.default_rng(1)
    mass, scores = random.normal(size=(2, 20_000))
    for found in metrics.jensen_shannon(mass, scores, (0.5, 0.1, 0.01), n_bins=20):
        assert 0.3 * found.by_chance < found.divergence < 2.5 * found.by_chance
    # For few events, chance alone makes a divergence: about (bins - 1) / (8 ln 2 n) each.
    assert found.by_chance == pytest.approx(19 / (8 * math.log(2) * 200), rel=0.3)


def test_a_score_that_is_the_variable_sculpts() -> None:
    mass = np.arange(10_000.0)
    tenth, all_of_it = metrics.jensen_shannon(mass, mass, (0.1, 1.0), n_bins=10)
    # The last of ten bins alone, against all ten.
    m = (0.1 + 1) / 2
    assert tenth.divergence == pytest.approx(
        (0.9 * math.log2(2) + 0.1 * math.log2(0.1 / m) + math.log2(1 / m)) / 2, rel=1e-12
    )
    assert tenth.n_selected == 1000
    assert tenth.by_chance < tenth.divergence / 100
    assert (all_of_it.divergence, all_of_it.by_chance) == (0, 0)


def test_nothing_selected_has_no_distribution() -> None:
    scores = np.zeros(100)  # all equal: no cut between none and all
    (found,) = metrics.jensen_shannon(np.arange(100.0), scores, (0.1,), n_bins=4)
    assert found.n_selected == 0
    assert math.isnan(found.divergence)
    assert math.isnan(found.by_chance)


def test_seed_decides_the_blind_draws() -> None:
    random = np.random.default_rng(1)
    mass, scores = random.normal(size=(2, 500))
    one, same, other = (metrics.jensen_shannon(mass, scores, (0.1,), seed=seed)[0] for seed in (1, 1, 2))
    assert one == same
    assert one.divergence == other.divergence
    assert one.by_chance != other.by_chance


def test_signed_weights_count_where_bins_stay_positive() -> None:
    random = np.random.default_rng(1)
    mass, scores = random.normal(size=(2, 2000))
    weights = np.where(random.random(2000) < 0.1, -1.0, 1.0)
    found = metrics.jensen_shannon(mass, scores, (0.5,), weights, n_bins=5)[0]
    assert 0 < found.divergence < 0.01
    weights[mass < np.quantile(mass, 0.2)] = -0.1
    with pytest.raises(ValueError, match="a bin of the variable weighs less than nothing"):
        metrics.jensen_shannon(mass, scores, (0.5,), weights, n_bins=5)


def test_equal_values_share_a_bin() -> None:
    counts = np.repeat([0.0, 1.0, 2.0], [900, 90, 10])
    (found,) = metrics.jensen_shannon(counts, counts, (0.01,), n_bins=100)
    assert found.n_selected == 10
    assert found.divergence > 0.9


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        (([0.0, math.inf], [0.0, 1.0]), {}, InvalidEventsError, "variable: event 1 is inf"),
        (([0.0, math.nan], [0.0, 1.0]), {}, InvalidEventsError, "variable: event 1 is NaN"),
        (([0.0, 1.0], [0.0, math.nan]), {}, InvalidEventsError, "scores: event 1 is NaN"),
        (([0.0, 1.0, 2.0], [0.0, 1.0]), {}, ValueError, "variable: expected shape"),
        (([1.0, 1.0], [0.0, 1.0]), {}, ValueError, "variable: expected values that fall into two bins"),
        (([0.0, 1.0], [0.0, 1.0]), {"n_bins": 1}, ValueError, "n_bins"),
        (([0.0, 1.0], [0.0, 1.0]), {"n_blind": 0}, ValueError, "n_blind"),
        (([0.0, 1.0], [0.0, 1.0]), {"weights": [0.0, 0.0]}, ValueError, "weights: the events weigh 0.0"),
        (([0.0, 1.0], [0.0, 1.0], [2.0]), {}, ValueError, "background_efficiency"),
    ],
)
def test_bad_input_is_named(
    arguments: tuple[Any, ...], settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        metrics.jensen_shannon(*arguments, **settings)
