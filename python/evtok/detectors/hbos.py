"""`HBOS`: how unlikely each feature of an event is by itself, from histograms of background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evtok import scoring
from evtok.detectors.feature_detector import FeatureDetector, checked_tensor
from evtok.detectors.feature_histograms import Binning, histogram_edges, log_densities
from evtok.detectors.inputs import FeatureInputs
from evtok.detectors.interface import Progress, Tensors
from evtok.errors import ArtefactError
from evtok.tokenizers.edge_definitions import finite_number, whole_number

_BINNINGS = ("equal-frequency", "uniform")


class HBOS(FeatureDetector):
    """The histogram-based outlier score: the sum over features of -log of the density of background.

    It is a likelihood that takes features for independent: fast, and blind to how they hang together.

    Parameters
    ----------
    inputs : sequence of str, or FeatureInputs
        Names of the features.
    n_bins : int
        Of each feature, at most: values that occur often can leave fewer.
    binning : {"equal-frequency", "uniform"}
        Whether bins hold equal weights, or are equally wide (see `histogram_edges`).
    smoothing : float
        Events that are added to each bin, above 0: so empty bins, and what lies outside of all, have a finite density.
    """

    KIND = "hbos"
    SETTINGS = ("n_bins", "binning", "smoothing")

    def __init__(
        self,
        inputs: Sequence[str] | FeatureInputs,
        *,
        n_bins: int = 50,
        binning: Binning = "equal-frequency",
        smoothing: float = 1.0,
    ) -> None:
        super().__init__(inputs)
        self.n_bins = whole_number(n_bins, "n_bins", 2)
        if binning not in _BINNINGS:
            raise ValueError(f"binning: expected {' or '.join(_BINNINGS)}, got {binning!r:.80}")
        self.binning = binning
        self.smoothing = finite_number(smoothing, "smoothing")
        if not self.smoothing > 0:
            raise ValueError(f"smoothing: expected a number above 0, got {smoothing}")

    def _fit(
        self,
        train: npt.NDArray[np.float32],
        validation: Any,
        *,
        weights: npt.NDArray[np.float64],
        checkpoints: Path | None,
        progress: Progress | None,
    ) -> None:
        found: Tensors = {}
        for k, (name, values) in enumerate(zip(self.inputs.names, train.T, strict=True)):
            try:
                edges = histogram_edges(values, weights, self.n_bins, self.binning)
            except ValueError as error:
                raise ValueError(f"train: feature {name!r}: {error}") from error
            found[f"edges.{k}"] = edges
            found[f"log_density.{k}"] = log_densities(values, weights, edges, self.smoothing)
        self._tensors = found

    def _score(
        self, data: npt.NDArray[np.float32], backend: Literal["native", "torch"], threads: int
    ) -> npt.NDArray[np.float32]:
        features = range(len(self.inputs.names))
        return np.asarray(
            scoring.histogram_score(
                data,
                [self._tensors[f"edges.{k}"] for k in features],
                [self._tensors[f"log_density.{k}"] for k in features],
                threads=threads or None,
            )
        )

    def _checked(self, tensors: Mapping[str, npt.NDArray[Any]]) -> Tensors:
        found: Tensors = {}
        for k in range(len(self.inputs.names)):
            edges = checked_tensor(tensors, f"edges.{k}", np.float32, (None,))
            if not 2 <= len(edges) <= self.n_bins + 1 or not (np.diff(edges) > 0).all():
                raise ArtefactError(f"edges.{k}: expected 2 to {self.n_bins + 1} increasing numbers")
            found[f"edges.{k}"] = edges
            found[f"log_density.{k}"] = checked_tensor(
                tensors, f"log_density.{k}", np.float32, (len(edges) + 1,)
            )
        return found
