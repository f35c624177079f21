"""`IsolationForest`: how few random cuts it takes to isolate an event. scikit-learn grows the trees; evtok scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evtok._optional import require
from evtok.detectors.feature_detector import FeatureDetector, checked_tensor, drawn_events
from evtok.detectors.inputs import FeatureInputs
from evtok.detectors.interface import Progress, Tensors
from evtok.detectors.isolation_trees import IsolationTrees
from evtok.errors import ArtefactError
from evtok.tokenizers.edge_definitions import whole_number


class IsolationForest(FeatureDetector):
    """The score is 2^(-path / expected path), from 0 to 1: the minus ``score_samples`` of scikit-learn.

    Parameters
    ----------
    inputs : sequence of str, or FeatureInputs
        Names of the features. Their scale does not matter.
    n_trees : int
    subsample : int
        Events that each tree is grown on; all, where there are fewer.
    seed : int
        Below 2**32; decides the draws and the cuts, for one version of scikit-learn.

    Notes
    -----
    Weights that differ decide how often an event is drawn: as many events as there are, with replacement, before the
    trees draw theirs. Only fitting needs scikit-learn. Scores are computed in float64 by NumPy and rounded once, with
    one thread.
    """

    KIND = "isolation-forest"
    SETTINGS = ("n_trees", "subsample", "seed")

    def __init__(
        self,
        inputs: Sequence[str] | FeatureInputs,
        *,
        n_trees: int = 100,
        subsample: int = 256,
        seed: int = 0,
    ) -> None:
        super().__init__(inputs)
        self.n_trees = whole_number(n_trees, "n_trees")
        self.subsample = whole_number(subsample, "subsample", 2)
        self.seed = whole_number(seed, "seed", 0)
        if self.seed >= 2**32:
            raise ValueError(f"seed: expected a whole number below 2**32, as scikit-learn does, got {seed}")

    def _fit(
        self,
        train: npt.NDArray[np.float32],
        validation: Any,
        *,
        weights: npt.NDArray[np.float64],
        checkpoints: Path | None,
        progress: Progress | None,
    ) -> None:
        if len(train) < 2:
            raise ValueError("train: expected at least two events, one alone is isolated already")
        ensemble = require("sklearn.ensemble", extra="trees")
        subsample = min(self.subsample, len(train))
        numbers = np.random.default_rng(self.seed)
        forest = ensemble.IsolationForest(
            n_estimators=self.n_trees, max_samples=subsample, random_state=self.seed
        ).fit(train[drawn_events(weights, len(train), numbers)])
        trees = _flat([tree.tree_ for tree in forest.estimators_])
        self._tensors = trees.to_tensors() | {"expected_path": _expected_path(np.array([subsample]))}
        self.__dict__.pop("_trees", None)

    @cached_property
    def _trees(self) -> IsolationTrees:
        return IsolationTrees.checked(self._tensors, self.n_trees, len(self.inputs.names))

    def _score(
        self, data: npt.NDArray[np.float32], backend: Literal["native", "torch"], threads: int
    ) -> npt.NDArray[np.float32]:
        return self._score64(data).astype(np.float32)

    def _score64(self, data: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        path = self._trees.path_lengths(data) / (self.n_trees * self._tensors["expected_path"][0])
        return np.asarray(2.0**-path)

    def _checked(self, tensors: Mapping[str, npt.NDArray[Any]]) -> Tensors:
        trees = IsolationTrees.checked(tensors, self.n_trees, len(self.inputs.names))
        expected = checked_tensor(tensors, "expected_path", np.float64, (1,))
        if not expected[0] >= 1:
            raise ArtefactError(f"expected_path: expected a length of at least 1, got {expected[0]}")
        return trees.to_tensors() | {"expected_path": expected}


def _flat(trees: Sequence[Any]) -> IsolationTrees:
    """Put trees of scikit-learn one after the other."""
    parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in IsolationTrees.__dataclass_fields__}
    begin = 0
    for tree in trees:
        here = np.arange(tree.node_count)
        leaf = tree.children_left < 0
        parts["root"].append(np.array([begin]))
        parts["feature"].append(np.where(leaf, -1, tree.feature).astype(np.int64))
        parts["threshold"].append(np.where(leaf, 0.0, tree.threshold))
        parts["left"].append(begin + np.where(leaf, here, tree.children_left))
        parts["right"].append(begin + np.where(leaf, here, tree.children_right))
        length = _levels(tree) + _expected_path(tree.n_node_samples) - 1.0  # rounded as scikit-learn does
        parts["path_length"].append(np.where(leaf, length, 0.0))
        begin += tree.node_count
    return IsolationTrees(**{name: np.concatenate(arrays) for name, arrays in parts.items()})


def _levels(tree: Any) -> npt.NDArray[np.float64]:
    """Return the level of each node, 1 for the root."""
    level = np.ones(tree.node_count)
    for node in range(tree.node_count):  # parents come first
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                level[child] = level[node] + 1
    return level


def _expected_path(n_rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return how many random cuts isolate one of n rows, on average: 2 H(n-1) - 2 (n-1)/n, with H(i) = ln i + γ."""
    n = np.maximum(n_rows, 3).astype(np.float64)
    many = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.where(n_rows <= 1, 0.0, np.where(n_rows == 2, 1.0, many))
