"""Isolation forests: the scores of scikit-learn to the last bit, from arrays that are trees or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evtok.detectors.isolation_forest import IsolationForest
from evtok.detectors.isolation_trees import IsolationTrees
from evtok.errors import ArtefactError

ensemble = pytest.importorskip("sklearn.ensemble")
NAMES = list("abcde")


def rows(n: int = 600, seed: int = 0) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 5)).astype(np.float32)
    x[:, 2] = np.round(x[:, 2])
    x[:, 4] = 7
    return x


@pytest.mark.peers
@pytest.mark.parametrize(
    ("n_trees", "subsample", "n"), [(100, 256, 600), (7, 1000, 600), (5, 2, 600), (3, 64, 2)]
)
def test_scores_are_those_of_scikit_learn(n_trees: int, subsample: int, n: int) -> None:
    peer = ensemble.IsolationForest(n_estimators=n_trees, max_samples=min(subsample, n), random_state=5)
    peer.fit(rows(n))
    found = IsolationForest(NAMES, n_trees=n_trees, subsample=subsample, seed=5).fit(rows(n))
    seen = np.concatenate([rows(5000, 1) * 1.5, rows(n)])
    expected = -peer.score_samples(seen)
    np.testing.assert_array_equal(found._score64(seen), expected)
    np.testing.assert_array_equal(found.score(seen), expected.astype(np.float32))


def test_thresholds_are_compared_as_scikit_learn_does() -> None:
    """A float32 row on a float64 threshold, and the neighbours of both."""
    peer = ensemble.IsolationForest(n_estimators=20, random_state=0).fit(rows())
    found = IsolationForest(NAMES, n_trees=20).fit(rows())
    trees = found._trees
    inner = np.flatnonzero(trees.feature >= 0)
    on = np.repeat(rows(1), len(inner), axis=0)
    on[np.arange(len(inner)), trees.feature[inner]] = trees.threshold[inner].astype(np.float32)
    for towards in (None, -np.inf, np.inf):
        x = on if towards is None else np.nextafter(on, np.float32(towards))
        np.testing.assert_array_equal(found._score64(x), -peer.score_samples(x))


def test_a_row_scores_the_same_in_any_batch() -> None:
    found = IsolationForest(NAMES, n_trees=10).fit(rows())
    seen = rows(5000, 1)
    whole = found.score(seen)
    for step in (1, 7, 2047, 2048, 2049):
        some = seen[: 20 * step]
        parts = [found.score(some[k : k + step]) for k in range(0, len(some), step)]
        np.testing.assert_array_equal(np.concatenate(parts), whole[: len(some)])


def test_seed_decides_the_trees() -> None:
    one, same, other = (
        IsolationForest(NAMES, n_trees=5, seed=seed).fit(rows()).fingerprint for seed in (1, 1, 2)
    )
    assert one == same != other


def test_weights_decide_which_events_grow_trees() -> None:
    """Background at 0; the events at 10 weigh nothing, and so are as strange as if they had not been there."""
    x = np.concatenate([rows(300), rows(300) + np.float32(10)])
    weights = np.repeat([1.0, 0.0], 300)
    ignored = IsolationForest(NAMES, n_trees=20).fit(x, weights=weights).score(x)
    assert ignored[300:].min() > np.median(ignored[:300])
    seen = IsolationForest(NAMES, n_trees=20).fit(x).score(x)
    assert abs(np.median(seen[300:]) - np.median(seen[:300])) < 0.05


def test_one_event_is_too_few() -> None:
    with pytest.raises(ValueError, match="at least two events"):
        IsolationForest(NAMES).fit(rows(1))


@pytest.mark.parametrize(
    "wrong", [{"n_trees": 0}, {"subsample": 1}, {"seed": -1}, {"seed": 2**32}, {"n_trees": 2.5}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        IsolationForest(NAMES, **wrong)


def two_levels() -> dict[str, npt.NDArray[Any]]:
    """Two trees: a split whose left child splits again, and a leaf."""
    return {
        "root": np.array([0, 5]),
        "feature": np.array([1, 0, -1, -1, -1, -1]),
        "threshold": np.array([0.5, -0.5, 0, 0, 0, 0]),
        "left": np.array([1, 2, 2, 3, 4, 5]),
        "right": np.array([4, 3, 2, 3, 4, 5]),
        "path_length": np.array([0, 0, 2.0, 2, 1, 4]),
    }


def test_rows_go_down_the_trees() -> None:
    trees = IsolationTrees.checked(two_levels(), 2, 2)
    x = np.array([[-0.5, 0.5], [-0.4, 0.5], [-0.5, 0.6]], np.float32)
    np.testing.assert_array_equal(trees.path_lengths(x), [6.0, 6, 5])
    assert trees.depth == 2
    assert trees.path_lengths(x[:0]).shape == (0,)


def changed(name: str, at: int, value: float) -> Callable[[dict[str, npt.NDArray[Any]]], None]:
    def change(tensors: dict[str, npt.NDArray[Any]]) -> None:
        tensors[name][at] = value

    return change


def replaced(name: str, value: npt.NDArray[Any]) -> Callable[[dict[str, npt.NDArray[Any]]], None]:
    return lambda tensors: tensors.update({name: value})


HOSTILE = {
    "a cycle": changed("left", 1, 0),
    "a node that leads to itself": changed("left", 0, 0),
    "a child that is not there": changed("right", 0, 6),
    "a child far out": changed("right", 0, 2**62),
    "a negative child": changed("left", 0, -1),
    "a child of another tree": changed("right", 0, 5),
    "a node reached twice": changed("right", 1, 2),
    "a leaf that leads on": changed("left", 2, 3),
    "a root that is not there": changed("root", 1, 6),
    "a root inside of a tree": changed("root", 1, 4),
    "roots out of order": replaced("root", np.array([5, 0])),
    "a feature that is not there": changed("feature", 0, 2),
    "a negative feature": changed("feature", 0, -2),
    "a split without a feature": changed("feature", 1, -1),
    "a threshold that is infinite": changed("threshold", 0, np.inf),
    "a threshold that is NaN": changed("threshold", 0, np.nan),
    "a leaf with a threshold": changed("threshold", 2, 1.0),
    "a path that is infinite": changed("path_length", 2, np.inf),
    "a negative path": changed("path_length", 2, -1.0),
    "a split with a path": changed("path_length", 0, 1.0),
    "another dtype": replaced("left", np.array([1, 2, 2, 3, 4, 5], np.int32)),
    "float32 thresholds": replaced("threshold", np.zeros(6, np.float32)),
    "another length": replaced("left", np.array([1, 2, 2, 3, 4])),
    "another shape": replaced("left", np.zeros((6, 1), np.int64)),
    "too few trees": replaced("root", np.array([0])),
    "too many trees": replaced("root", np.array([0, 5, 5])),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_arrays_that_are_no_trees_are_refused(change: Callable[[dict[str, npt.NDArray[Any]]], None]) -> None:
    tensors = two_levels()
    IsolationTrees.checked(tensors, 2, 2)
    change(tensors)
    with pytest.raises(ArtefactError):
        IsolationTrees.checked(tensors, 2, 2)


def test_a_tree_that_is_too_deep_is_refused_at_once() -> None:
    n = 100_001
    split = np.arange(0, n - 1, 2)
    tensors: dict[str, npt.NDArray[Any]] = {
        "root": np.array([0]),
        "feature": np.full(n, -1),
        "threshold": np.zeros(n),
        "left": np.arange(n),
        "right": np.arange(n),
        "path_length": np.zeros(n),
    }
    tensors["feature"][split] = 0
    tensors["left"][split], tensors["right"][split] = split + 1, split + 2
    with pytest.raises(ArtefactError, match="at most 64 levels"):
        IsolationTrees.checked(tensors, 1, 1)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_expected_path_must_be_one(value: float) -> None:
    config, tensors = IsolationForest(NAMES, n_trees=2).fit(rows()).to_artefact()
    with pytest.raises(ArtefactError, match="expected_path"):
        IsolationForest.from_artefact(config, {**tensors, "expected_path": np.array([value])})
