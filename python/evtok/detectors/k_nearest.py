"""`KNearestDetector`: how far an event's features are from those of the k-th nearest background event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evtok import scoring
from evtok.codebook import Codebook
from evtok.detectors.feature_detector import FeatureDetector, checked_tensor, drawn_events
from evtok.detectors.inputs import FeatureInputs
from evtok.detectors.interface import Progress, Tensors
from evtok.errors import ArtefactError
from evtok.tokenizers.edge_definitions import whole_number

#: More standard deviations than this count as this many: their squares, summed over any features, do not overflow.
_FURTHEST = 1e16


class KNearestDetector(FeatureDetector):
    """The score is the Euclidean distance to the k-th nearest row of the reference, in standard deviations.

    Features are standardised, in float64 and rounded once, by the weighted mean and standard deviation of the events
    of the fit; one that is more than 10¹⁶ of these away counts as that far.

    Parameters
    ----------
    inputs : sequence of str, or FeatureInputs
        Names of the features.
    k : int
        1 is the nearest one; more are less moved by single events.
    reference : int
        Events of the fit that are kept, drawn at random; all, where there are fewer. The time of scoring grows with it.
    seed : int
        Of this draw.

    Notes
    -----
    Weights that differ decide how often an event is drawn, so that its row can be there several times, and counts as
    often among the neighbours.
    """

    KIND = "k-nearest"
    SETTINGS = ("k", "reference", "seed")

    def __init__(
        self,
        inputs: Sequence[str] | FeatureInputs,
        *,
        k: int = 10,
        reference: int = 10_000,
        seed: int = 0,
    ) -> None:
        super().__init__(inputs)
        self.k = whole_number(k, "k")
        self.reference = whole_number(reference, "reference")
        self.seed = whole_number(seed, "seed", 0)
        if self.k > self.reference:
            raise ValueError(f"k: expected at most the {self.reference} rows of the reference, got {k}")

    def _fit(
        self,
        train: npt.NDArray[np.float32],
        validation: Any,
        *,
        weights: npt.NDArray[np.float64],
        checkpoints: Path | None,
        progress: Progress | None,
    ) -> None:
        if self.k > len(train):
            raise ValueError(f"k: expected at most the {len(train)} events of the fit, got {self.k}")
        counted = train[weights > 0]
        constant = np.flatnonzero((counted == counted[0]).all(axis=0))
        if constant.size:
            raise ValueError(
                f"train: feature {self.inputs.names[constant[0]]!r} is the same in all events, so it has no scale; "
                "leave it out"
            )
        share = (weights / weights.sum())[:, None]
        mean = (share * train).sum(axis=0)
        width = np.sqrt((share * (train - mean) ** 2).sum(axis=0))
        drawn = drawn_events(weights, self.reference, np.random.default_rng(self.seed))
        tensors: Tensors = {"mean": mean, "width": width}
        self._tensors = tensors | {"reference": _standardised(train[drawn], tensors)}
        self.__dict__.pop("_codes", None)

    @cached_property
    def _codes(self) -> Codebook:
        return Codebook._quiet(self._tensors["reference"])

    def _score(
        self, data: npt.NDArray[np.float32], backend: Literal["native", "torch"], threads: int
    ) -> npt.NDArray[np.float32]:
        rows = _standardised(data, self._tensors)
        return np.asarray(scoring.neighbour_distance(rows, self._codes, self.k, threads=threads or None))

    def _checked(self, tensors: Mapping[str, npt.NDArray[Any]]) -> Tensors:
        n_features = len(self.inputs.names)
        found = {name: checked_tensor(tensors, name, np.float64, (n_features,)) for name in ("mean", "width")}
        if not (found["width"] > 0).all():
            raise ArtefactError("width: expected numbers above 0")
        rows = checked_tensor(tensors, "reference", np.float32, (None, n_features))
        if not self.k <= len(rows) <= self.reference:
            raise ArtefactError(f"reference: expected {self.k} to {self.reference} rows, got {len(rows)}")
        if not (np.abs(rows) <= np.float32(_FURTHEST)).all():
            raise ArtefactError(f"reference: expected numbers up to {_FURTHEST:.0e}")
        return found | {"reference": rows}


def _standardised(x: npt.NDArray[np.float32], tensors: Tensors) -> npt.NDArray[np.float32]:
    deviations = (x - tensors["mean"]) / tensors["width"]
    return np.clip(deviations, -_FURTHEST, _FURTHEST).astype(np.float32)
