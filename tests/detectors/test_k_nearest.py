"""Distances to the k-th nearest background event, against all distances in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evtok.detectors.k_nearest import KNearestDetector
from evtok.errors import ArtefactError

NAMES = ["mass", "tau", "count"]


def rows(n: int = 300, seed: int = 0) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(seed)
    x = random.normal((500.0, 0.5, 4.0), (100.0, 0.1, 2.0), (n, 3)).astype(np.float32)
    x[:, 2] = np.round(x[:, 2])
    return x


def all_distances(x: Any, reference: Any, weights: Any = None) -> npt.NDArray[np.float64]:
    """The distances of each row to each of the reference, sorted: (n, m)."""
    mean = np.average(reference.astype(np.float64), axis=0, weights=weights)
    width = np.sqrt(np.average((reference - mean) ** 2, axis=0, weights=weights))
    apart = ((x - mean) / width)[:, None] - ((reference - mean) / width)[None]
    return np.sort(np.sqrt((apart**2).sum(axis=2)), axis=1)


@pytest.mark.parametrize("k", [1, 2, 10, 300])
def test_score_is_the_distance_to_the_kth_neighbour(k: int) -> None:
    found = KNearestDetector(NAMES, k=k).fit(rows()).score(rows(50, 1))
    expected = all_distances(rows(50, 1), rows())[:, k - 1]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_units_do_not_matter() -> None:
    scale = np.array([1e3, 1e-3, 1.0], np.float32)
    in_gev = KNearestDetector(NAMES).fit(rows()).score(rows(50, 1))
    in_mev = KNearestDetector(NAMES).fit(rows() * scale).score(rows(50, 1) * scale)
    np.testing.assert_allclose(in_gev, in_mev, rtol=1e-4)


def test_reference_is_drawn_by_the_seed() -> None:
    made = [KNearestDetector(NAMES, k=3, reference=50, seed=seed).fit(rows()) for seed in (1, 1, 2)]
    one, same, other = (detector.fingerprint for detector in made)
    assert one == same != other
    reference = made[0].to_artefact()[1]["reference"]
    assert reference.shape == (50, 3)
    assert len(np.unique(reference, axis=0)) == 50  # none twice
    whole = KNearestDetector(NAMES, k=3).fit(rows()).score(rows(50, 1))
    assert (made[0].score(rows(50, 1)) >= whole).all()


def test_weights_decide_moments_and_reference() -> None:
    weights = np.random.default_rng(3).gamma(1.0, 1.0, 300)
    weights[:100] = 0
    found = KNearestDetector(NAMES, k=1).fit(rows(), weights=weights)
    tensors = found.to_artefact()[1]
    np.testing.assert_allclose(tensors["mean"], np.average(rows(), axis=0, weights=weights), rtol=1e-6)
    assert (found.score(rows()[:100]) > 0).mean() > 0.9  # what weighs nothing is not its own neighbour
    standardised = (rows() - tensors["mean"]) / tensors["width"]
    times = (tensors["reference"][:, None] == standardised.astype(np.float32)[None]).all(axis=2).sum(axis=0)
    assert times[:100].sum() == 0
    assert times.sum() == 300
    assert np.corrcoef(times, weights)[0, 1] > 0.7


def test_a_feature_without_a_scale_is_named() -> None:
    x = rows()
    x[:, 1] = 0.3
    with pytest.raises(ValueError, match="feature 'tau' is the same in all events"):
        KNearestDetector(NAMES).fit(x)


def test_what_is_very_far_is_very_anomalous_and_no_infinity() -> None:
    found = KNearestDetector(NAMES).fit(rows())
    x = rows(4, 1)
    x[1:, 0] = 1e15, 3e38, -3e38
    score = found.score(x)
    assert score[1] == pytest.approx(1e15 / 100, rel=0.2)
    np.testing.assert_allclose(score[2:], 1e16, rtol=1e-5)


def test_more_neighbours_than_events_are_refused() -> None:
    with pytest.raises(ValueError, match="k: expected at most the 9 events"):
        KNearestDetector(NAMES).fit(rows(9))
    with pytest.raises(ValueError, match="k: expected at most the 5 rows"):
        KNearestDetector(NAMES, reference=5)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 1.5}, {"reference": 0}, {"seed": -1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        KNearestDetector(NAMES, **wrong)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", np.zeros(2)),
        ("mean", np.array([0, np.inf, 0])),
        ("width", np.zeros(3)),
        ("width", np.array([1.0, -1, 1])),
        ("width", np.ones(3, np.float32)),
        ("reference", np.zeros((20, 2), np.float32)),
        ("reference", np.zeros((20, 3))),
        ("reference", np.zeros((9, 3), np.float32)),
        ("reference", np.full((20, 3), np.inf, np.float32)),
        ("reference", np.zeros((10_001, 3), np.float32)),
        ("reference", np.full((20, 3), 1e30, np.float32)),
    ],
)
def test_arrays_that_no_fit_makes_are_refused(name: str, value: npt.NDArray[Any]) -> None:
    config, tensors = KNearestDetector(NAMES).fit(rows()).to_artefact()
    with pytest.raises(ArtefactError, match=name):
        KNearestDetector.from_artefact(config, {**tensors, name: value})
