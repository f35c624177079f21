"""Histograms of background, feature by feature: where bins end, how dense they are, and the sum of their logs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evtok.detectors.feature_histograms import histogram_edges, log_densities
from evtok.detectors.hbos import HBOS
from evtok.errors import ArtefactError

NAMES = ["mass", "count", "pt"]


def rows(n: int = 500, seed: int = 0) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return np.stack(
        [random.normal(500, 100, n), random.poisson(4, n), random.exponential(80, n)], axis=1
    ).astype(np.float32)


def density_by_hand(x: float, values: Any, weights: Any, edges: Any, smoothing: float) -> float:
    """The share of the bin of x by its width; outside, that of an empty bin of the largest width."""
    n_bins = len(edges) - 1
    total = weights.sum() + n_bins * smoothing
    widths = [float(edges[k + 1]) - float(edges[k]) for k in range(n_bins)]
    for k in range(n_bins):
        if edges[k] <= x < edges[k + 1]:
            inside = (values >= edges[k]) & (values < edges[k + 1])
            return float((weights[inside].sum() + smoothing) / total / widths[k])
    return smoothing / total / max(widths)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("binning", ["equal-frequency", "uniform"])
def test_score_is_the_sum_of_minus_log_densities(binning: Any, weighted: bool) -> None:
    x = rows()
    weights = np.random.default_rng(1).gamma(1.0, 1.0, 500) if weighted else np.ones(500)
    weights *= 500 / weights.sum()
    found = HBOS(NAMES, n_bins=12, binning=binning, smoothing=0.5).fit(x, weights=weights)
    tensors = found.to_artefact()[1]
    seen = np.concatenate([rows(60, 1), [[-1e3, -2, -1], [1e30, 1e6, 1e9]]]).astype(np.float32)
    expected = [
        -sum(np.log(density_by_hand(row[k], x[:, k], weights, tensors[f"edges.{k}"], 0.5)) for k in range(3))
        for row in seen
    ]
    np.testing.assert_allclose(found.score(seen), expected, rtol=1e-5)


def test_equal_frequency_bins_hold_equal_weights() -> None:
    values = np.random.default_rng(0).exponential(1.0, 1000).astype(np.float32)
    edges = histogram_edges(values, np.ones(1000), 10, "equal-frequency")
    np.testing.assert_array_equal(np.histogram(values, edges)[0], np.full(10, 100))
    weights = np.random.default_rng(1).gamma(1.0, 1.0, 1000)
    edges = histogram_edges(values, weights, 10, "equal-frequency")
    content = np.histogram(values, edges, weights=weights)[0]
    np.testing.assert_allclose(content, weights.sum() / 10, atol=weights.max())


@pytest.mark.parametrize("binning", ["equal-frequency", "uniform"])
@pytest.mark.parametrize("n_bins", [2, 3, 50])
def test_edges_increase_and_hold_all_values(n_bins: int, binning: Any) -> None:
    tiny = np.float32(1)
    cases = [
        rows()[:, 0],
        rows()[:, 1],
        np.array([0, 0, 0, 0, 25, 30, 90], np.float32),
        np.array([tiny, np.nextafter(tiny, np.float32(2))]),
        np.array([np.nextafter(tiny, np.float32(0)), tiny, np.nextafter(tiny, np.float32(2))]),
        np.array([-1e37, 1e37], np.float32),
        np.array([0, 1e-45], np.float32),
        np.array([1e-45, 2e-45, 3e-45], np.float32),
    ]
    for values in cases:
        edges = histogram_edges(values, np.ones(len(values)), n_bins, binning)
        assert edges.dtype == np.float32
        assert 2 <= len(edges) <= n_bins + 1
        assert (np.diff(edges) > 0).all()
        assert edges[0] <= values.min()
        assert edges[-1] > values.max()
        assert np.isfinite(log_densities(values, np.ones(len(values)), edges, 1.0)).all()


def test_counts_get_bins_as_wide_as_their_steps() -> None:
    """One bin for each number of jets: else the last, which ends at its largest value, would be infinitely dense."""
    counts = np.repeat(np.float32([4, 5, 6, 7]), [40, 30, 20, 10])
    edges = histogram_edges(counts, np.ones(100), 50, "equal-frequency")
    np.testing.assert_array_equal(edges, [3.5, 4.5, 5.5, 6.5, 7.5])
    found = HBOS(["count"], smoothing=1e-9).fit(counts[:, None])
    score = found.score(np.float32([[4], [5], [6], [7], [8]]))
    np.testing.assert_allclose(score[:4], -np.log([0.4, 0.3, 0.2, 0.1]), rtol=1e-6)
    assert score[4] > 20


@pytest.mark.parametrize("binning", ["equal-frequency", "uniform"])
def test_nothing_is_denser_outside_than_inside(binning: Any) -> None:
    for column in rows().T:
        edges = histogram_edges(column, np.ones(500), 20, binning)
        dense = log_densities(column, np.ones(500), edges, 1.0)
        assert dense[0] == dense[-1] <= dense[1:-1].min()


def test_events_without_weight_leave_no_trace() -> None:
    x = np.concatenate([rows(), rows() * 10])
    weights = np.repeat([2.0, 0.0], 500)
    alone = HBOS(NAMES, smoothing=1.0).fit(rows())
    found = HBOS(NAMES, smoothing=2.0).fit(x, weights=weights)  # weights average to 1 over all 1000 events
    np.testing.assert_allclose(found.score(rows(50, 1)), alone.score(rows(50, 1)), rtol=1e-5)


def test_a_constant_feature_is_named() -> None:
    x = rows()
    x[:, 2] = 5
    with pytest.raises(ValueError, match=r"feature 'pt': all are 5\.0"):
        HBOS(NAMES).fit(x)
    x[0, 2] = 3e38
    with pytest.raises(ValueError, match="feature 'pt': expected numbers far below"):
        HBOS(NAMES).fit(x)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_bins": 1},
        {"n_bins": 2.5},
        {"binning": "log"},
        {"binning": 1},
        {"smoothing": 0},
        {"smoothing": np.nan},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HBOS(NAMES, **wrong)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("edges.1", np.float32([1, 1, 2])),
        ("edges.1", np.float32([2, 1, 0])),
        ("edges.1", np.float32([1, np.inf])),
        ("edges.1", np.float32([1])),
        ("edges.1", np.array([1.0, 2.0])),
        ("edges.1", np.arange(1000, dtype=np.float32)),
        ("log_density.1", np.zeros(2, np.float32)),
        ("log_density.0", np.zeros(51)),
        ("log_density.0", np.full(52, np.inf, np.float32)),
    ],
)
def test_arrays_that_no_fit_makes_are_refused(name: str, value: npt.NDArray[Any]) -> None:
    config, tensors = HBOS(NAMES).fit(rows()).to_artefact()
    with pytest.raises(ArtefactError, match=name.replace(".", r"\.")):
        HBOS.from_artefact(config, {**tensors, name: value})
