"""Isolation trees as flat arrays: how they are checked, and how rows go down them.

The trees lie one after the other. A node is an index into all arrays; the children of a node come after it, so that
every way down ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.detectors.feature_detector import checked_tensor
from evtok.errors import ArtefactError

#: No tree is deeper: those of n rows have at most log2(n) levels.
MAX_DEPTH = 64

_ROWS_AT_ONCE = 2048


@dataclass(frozen=True, eq=False)
class IsolationTrees:
    """All trees of a forest.

    Attributes
    ----------
    root : int64 array (n_trees,)
        First node of each tree.
    feature : int64 array (n_nodes,)
        That is compared; -1 for leaves.
    threshold : float64 array (n_nodes,)
        Rows whose feature is at most this go left; 0 for leaves.
    left, right : int64 array (n_nodes,)
        Children; of a leaf, the leaf itself.
    path_length : float64 array (n_nodes,)
        How many splits it takes on average to isolate a row that ends in this leaf; 0 for other nodes.
    """

    root: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float64]
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    path_length: npt.NDArray[np.float64]

    @classmethod
    def checked(
        cls, tensors: Mapping[str, npt.NDArray[Any]], n_trees: int, n_features: int
    ) -> IsolationTrees:
        """Make trees of the arrays of a file.

        Raises
        ------
        ArtefactError
            Arrays that are no trees: nodes that do not exist, or are reached twice, or never; cycles; features that
            do not exist; numbers that are not finite.
        """
        root = checked_tensor(tensors, "root", np.int64, (n_trees,))
        feature = checked_tensor(tensors, "feature", np.int64, (None,))
        n = len(feature)
        threshold, path_length = (
            checked_tensor(tensors, name, np.float64, (n,)) for name in ("threshold", "path_length")
        )
        left, right = (checked_tensor(tensors, name, np.int64, (n,)) for name in ("left", "right"))
        here = np.arange(n)
        leaf = feature == -1
        parents = here[~leaf]
        if not ((feature >= -1) & (feature < n_features)).all():
            raise ArtefactError(f"feature: expected numbers below {n_features}, or -1 for leaves")
        if not ((left[leaf] == here[leaf]) & (right[leaf] == here[leaf])).all():
            raise ArtefactError("left, right: expected each leaf to lead to itself")
        for name, child in (("left", left[~leaf]), ("right", right[~leaf])):
            if not ((child > parents) & (child < n)).all():
                raise ArtefactError(f"{name}: expected children to come after their node")
        reached = np.concatenate([root, left[~leaf], right[~leaf]])
        if not (np.sort(root) == root).all() or not np.array_equal(np.sort(reached), here):
            raise ArtefactError("root, left, right: expected every node to be reached in exactly one way")
        if not (threshold[leaf] == 0).all() or not (path_length[~leaf] == 0).all():
            raise ArtefactError("threshold, path_length: expected 0 where there is none")
        if not (path_length >= 0).all():
            raise ArtefactError("path_length: expected numbers that are not negative")
        found = cls(root, feature, threshold, left, right, path_length)
        if found.depth > MAX_DEPTH:
            raise ArtefactError(f"left, right: expected at most {MAX_DEPTH} levels")
        return found

    def to_tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return what `checked` takes."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def depth(self) -> int:
        """Splits on the longest way down; one more than `MAX_DEPTH` stands for any more."""
        nodes, depth = self.root, 0
        while depth <= MAX_DEPTH:
            nodes = nodes[self.feature[nodes] >= 0]
            if not nodes.size:
                break
            nodes = np.concatenate([self.left[nodes], self.right[nodes]])
            depth += 1
        return depth

    def path_lengths(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the sum over all trees, first to last, of the path lengths of rows x (n, n_features): (n,)."""
        sums = np.zeros(len(x))
        depth = self.depth
        compared = np.maximum(self.feature, 0)  # a leaf leads to itself, whatever is compared
        for begin in range(0, len(x), _ROWS_AT_ONCE):
            rows = x[begin : begin + _ROWS_AT_ONCE]
            node = np.repeat(self.root[:, None], len(rows), axis=1)  # (n_trees, rows)
            of_row = np.arange(len(rows))
            for _ in range(depth):
                goes_left = rows[of_row, compared[node]] <= self.threshold[node]
                node = np.where(goes_left, self.left[node], self.right[node])
            for of_tree in self.path_length[node]:
                sums[begin : begin + len(rows)] += of_tree
        return sums
