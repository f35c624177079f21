"""Scores of rows: equal to their definition in bits, and what each refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest

import evtok
from evtok import reference_scoring_rows as reference
from evtok.errors import InvalidEventsError
from evtok.scoring import (
    histogram_score,
    negative_max_logit,
    neighbour_distance,
    reconstruction_error,
    squared_distance,
    squared_sum,
)

DIMS = 11
RANDOM = np.random.default_rng(7)
CENTRE = RANDOM.normal(size=DIMS).astype(np.float32)
OTHER = RANDOM.normal(size=(400, DIMS)).astype(np.float32)
EDGES = [np.unique(RANDOM.normal(size=n).round(1)) for n in (1, 30, 2, 8, 9, 600, 3, 4, 5, 6, 20)]
DENSITY = [RANDOM.normal(size=len(edges) + 1) for edges in EDGES]

# Each score of x (n, DIMS), and its definition for row i.
Call = Callable[..., Any]
SCORES: dict[str, tuple[Call, Callable[[Any, int], Any]]] = {
    "squared_distance": (
        lambda x, **options: squared_distance(x, CENTRE, **options),
        lambda row, i: reference.squared_distance(row, CENTRE),
    ),
    "squared_sum": (squared_sum, lambda row, i: reference.squared_sum(row)),
    "negative_max_logit": (negative_max_logit, lambda row, i: reference.negative_max_logit(row)),
    "reconstruction_error": (
        lambda x, **options: reconstruction_error(x, OTHER[: len(x)], **options),
        lambda row, i: reference.reconstruction_error(row, OTHER[i], True),
    ),
    "reconstruction_error, sum": (
        lambda x, **options: reconstruction_error(x, OTHER[: len(x)], reduction="sum", **options),
        lambda row, i: reference.reconstruction_error(row, OTHER[i], False),
    ),
    "histogram_score": (
        lambda x, **options: histogram_score(x, EDGES, DENSITY, **options),
        lambda row, i: reference.histogram_score(row, EDGES, DENSITY),
    ),
}
# What each calls its rows, where that is not x.
NAMES = {"squared_sum": "mu", "negative_max_logit": "logits"}
ALONE = [name for name in SCORES if "reconstruction" not in name]  # scores that need no second array


def rows(n: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(0, 2, (n, DIMS)).astype(np.float32)


def same_bits(got: Any, expected: Any) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype == np.float32
    assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("n", [0, 1, 8, 50])
def test_p12_equals_the_definition(isa: str, name: str, n: int) -> None:
    score, definition = SCORES[name]
    x = rows(n)
    same_bits(score(x), np.array([definition(x[i], i) for i in range(n)], np.float32))


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_invalid_rows_are_refused_by_number_or_scored_nan(isa: str, name: str, value: float) -> None:
    score, _ = SCORES[name]
    x = rows(70)
    expected = score(x)
    x[41, 3] = value
    x[60, 0] = value
    if name == "negative_max_logit" and value == -np.inf:  # a class that is masked
        same_bits(score(x)[[0, 69]], expected[[0, 69]])
        assert np.isfinite(score(x)).all()
        return
    with pytest.raises(
        InvalidEventsError, match=rf"{NAMES.get(name, 'x')}: row 41 has {value} in component 3"
    ):
        score(x)
    got = score(x, on_invalid="sentinel")
    assert np.flatnonzero(np.isnan(got)).tolist() == [41, 60]
    keep = np.delete(np.arange(70), [41, 60])
    same_bits(got[keep], expected[keep])
    with pytest.raises(ValueError, match="on_invalid"):
        score(x, on_invalid="skip")


def test_overflows_are_invalid() -> None:
    x = np.full((2, 1), 3e38, np.float32)
    x[0] = 1
    with pytest.raises(InvalidEventsError, match="row 1 is so large that its score overflows"):
        squared_sum(x)
    assert np.isnan(squared_distance(x, np.array([-3e4], np.float32), on_invalid="sentinel")).tolist() == [
        False,
        True,
    ]
    with pytest.raises(InvalidEventsError, match="row 0 has no finite logit"):
        negative_max_logit(np.full((1, 2), -np.inf, np.float32))
    with pytest.raises(InvalidEventsError, match="row 0 has nan in component 1"):
        negative_max_logit(np.array([[-np.inf, np.nan]], np.float32))
    with pytest.raises(InvalidEventsError, match="row 0 has a reconstruction"):
        reconstruction_error(x, np.full((2, 1), np.nan, np.float32))


@pytest.mark.parametrize("name", ALONE)
def test_p12_the_batch_and_the_threads_do_not_change_a_bit(isa: str, name: str) -> None:
    score, _ = SCORES[name]
    x = rows(20_000)
    whole = score(x, threads=1)
    same_bits(score(x, threads=4), whole)
    for part in (slice(0, 1), slice(1, 34), slice(34, 20_000)):
        same_bits(score(x[part]), whole[part])


def test_instruction_sets_agree() -> None:
    x = rows(1000)
    results = []
    for isa in evtok._core.available_isas():
        evtok._core.force_isa(isa)
        results.append([np.asarray(SCORES[name][0](x)) for name in ALONE])
        evtok._core.unforce_isa()
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            same_bits(got, expected)


@pytest.mark.parametrize("name", SCORES)
def test_kinds_and_layouts(name: str) -> None:
    torch = pytest.importorskip("torch")
    score, _ = SCORES[name]
    x = rows(300)
    expected = score(x)
    got = score(torch.from_numpy(x))
    assert isinstance(got, torch.Tensor)
    same_bits(got.numpy(), expected)
    for layout in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: a.astype(">f4")):
        same_bits(score(layout(x)), expected)
    halves = x.astype(np.float16)
    same_bits(score(halves), score(halves.astype(np.float32)))
    with pytest.raises(TypeError, match="float64"):
        score(x.astype(np.float64))
    for wrong in (x[0], x[:, :0], x[None]):
        with pytest.raises(ValueError, match="expected shape"):
            score(wrong)


def test_other_arguments_that_do_not_fit() -> None:
    x = rows(3)
    with pytest.raises(ValueError, match=r"centre: expected shape \(11,\)"):
        squared_distance(x, CENTRE[:-1])
    with pytest.raises(TypeError, match="centre: scores are computed in float32"):
        squared_distance(x, CENTRE.astype(np.float64))
    with pytest.raises(ValueError, match="centre: expected finite"):
        squared_distance(x, np.full(DIMS, np.nan, np.float32))
    with pytest.raises(ValueError, match=r"y: expected shape \(n, 11\)"):
        reconstruction_error(x, x[:, :3])
    with pytest.raises(ValueError, match=r"y: expected shape \(3, 11\)"):
        reconstruction_error(x, x[:2])
    with pytest.raises(ValueError, match="reduction"):
        reconstruction_error(x, x, reduction="max")
    with pytest.raises(ValueError, match="threads"):
        squared_sum(x, threads=-3)


# ---- histograms -------------------------------------------------------------------------------------------------


def test_bins_are_those_of_numpy_digitize_beyond_the_edges_too() -> None:
    edges = [np.array([-1.0, 0.1, 0.1, 2.0])]  # float64: 0.1 is no float32
    density = [np.arange(5.0)]
    x = np.array([-5, -1, 0.1, np.nextafter(np.float32(0.1), 0), 2, 3e38], np.float32)[:, None]
    expected = -np.digitize(x[:, 0].astype(np.float64), edges[0]).astype(np.float32)
    np.testing.assert_array_equal(histogram_score(x, edges, density), expected)


@pytest.mark.parametrize(
    ("edges", "density", "match"),
    [
        ([[0.0]], [[0.0, 1.0]], "edges: expected 2 arrays"),
        ([[0.0]] * 2, [[0.0, 1.0]], "log_density: expected 2 arrays"),
        ([[0.0], [1.0, 0.0]], [[0.0, 1.0]] * 2, r"edges\[1\]: expected edges that increase"),
        ([[0.0], [np.nan]], [[0.0, 1.0]] * 2, r"edges\[1\]: expected edges that increase"),
        ([[0.0]] * 2, [[0.0, 1.0], [1.0]], r"log_density\[1\]: expected shape \(2,\)"),
        ([[0.0]] * 2, [[0.0, 1.0], [-np.inf, 1.0]], r"log_density\[1\]: expected finite"),
    ],
)
def test_histograms_that_do_not_fit(edges: Any, density: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        histogram_score(np.zeros((1, 2), np.float32), edges, density)


# ---- neighbours -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("reduction", ["kth", "mean"])
def test_neighbour_distance_is_that_of_nearest(k: int, reduction: str) -> None:
    x = rows(90)
    _, squared = evtok.nearest(x, OTHER, k=k, return_distance=True)
    distances = np.sqrt(squared.reshape(90, k))
    expected = distances[:, -1]
    if reduction == "mean":
        expected = distances[:, 0].copy()
        for j in range(1, k):
            expected += distances[:, j]
        expected /= np.float32(k)
    same_bits(neighbour_distance(x, OTHER, k, reduction=reduction), expected)
    same_bits(neighbour_distance(x, evtok.Codebook(OTHER), k, reduction=reduction), expected)
    exact = np.sort(np.linalg.norm(x[:, None].astype(np.float64) - OTHER, axis=2), axis=1)[:, :k]
    wanted = exact[:, -1] if reduction == "kth" else exact.mean(axis=1)
    np.testing.assert_allclose(expected, wanted, rtol=1e-5)


@pytest.mark.parametrize("reduction", ["kth", "mean"])
def test_a_neighbour_whose_distance_overflows_makes_the_row_invalid(
    reduction: Literal["kth", "mean"],
) -> None:
    x, reference = np.zeros((2, 1), np.float32), np.array([[1.0], [3e38]], np.float32)
    assert neighbour_distance(x, reference, 1, reduction=reduction).tolist() == [1, 1]
    with pytest.raises(InvalidEventsError, match="row 0 is so far from the reference"):
        neighbour_distance(x, reference, 2, reduction=reduction)
    assert np.isnan(neighbour_distance(x, reference, 2, reduction=reduction, on_invalid="sentinel")).all()


def test_neighbours_of_invalid_rows_and_arguments() -> None:
    x = rows(5)
    x[2, 1] = np.nan
    with pytest.raises(InvalidEventsError, match="row 2 has nan in component 1"):
        neighbour_distance(x, OTHER)
    got = neighbour_distance(x, OTHER, 3, on_invalid="sentinel")
    assert np.isnan(got).tolist() == [False, False, True, False, False]
    assert neighbour_distance(x[:0], OTHER).shape == (0,)
    with pytest.raises(ValueError, match="k: expected 1 to 400"):
        neighbour_distance(x, OTHER, 401)
    with pytest.raises(ValueError, match="reference: expected float32"):
        neighbour_distance(x, OTHER.astype(np.float64))
    with pytest.raises(ValueError, match="reference"):
        neighbour_distance(x, evtok.Codebook(OTHER, metric="dot"))
    with pytest.raises(ValueError, match="reduction"):
        neighbour_distance(x, OTHER, reduction="sum")
