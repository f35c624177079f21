"""What a fitted `DeepSVDD` is made of: moments of features, and tensors whose names and shapes are known beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from evtok import _core
from evtok.detectors.feature_detector import checked_tensor
from evtok.detectors.interface import Tensors
from evtok.detectors.masked_token_settings import NetworkSettings
from evtok.errors import ArtefactError

#: Of the leaky ReLUs.
SLOPE = 0.01

#: Standardised features are cut at this.
FARTHEST = 1e6

_LARGEST = 1e37  # below the largest float32, by more than sums of it are rounded


@dataclass(frozen=True)
class Moments:
    """The mean and the scale of each feature, float64 (n_features,)."""

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    @classmethod
    def of(cls, rows: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]) -> Self:
        """Return the weighted moments of rows (n, n_features); the scale of a constant feature is 1."""
        wide = rows.astype(np.float64)
        mean = np.average(wide, axis=0, weights=weights)
        scale = np.sqrt(np.average((wide - mean) ** 2, axis=0, weights=weights))
        there = rows[weights > 0]
        constant = (there == there[0]).all(
            axis=0
        )  # whose mean may be rounded, so that its deviation is not 0
        return cls(mean, np.where(constant, 1.0, scale))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]], n_features: int) -> Self:
        """Take them from a file, trusting nothing."""
        mean, scale = (checked_tensor(tensors, name, np.float64, (n_features,)) for name in ("mean", "scale"))
        if not (scale > 0).all():
            raise ArtefactError("scale: expected numbers above 0")
        return cls(mean, scale)

    def standardised(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return finite rows with mean 0 and deviation 1, rounded once to float32."""
        with _core.FloatEnvironment(), np.errstate(over="ignore"):
            value = (rows.astype(np.float64) - self.mean) / self.scale
            return np.asarray(np.clip(value, -FARTHEST, FARTHEST), np.float32)


def feature_shapes(n_features: int, hidden: Sequence[int], outputs: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a network of features, by name, layer after layer."""
    widths = (n_features, *hidden, outputs)
    weights = {f"network.{k}.weight": (n_out, n_in) for k, (n_in, n_out) in enumerate(pairwise(widths))}
    return {**weights, "centre": (outputs,)}


def encoder_shapes(n_ids: int, outputs: int, settings: NetworkSettings) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a network of tokens that are not zero by construction."""
    shapes = settings.shapes(outputs, n_ids)
    kept = {f"network.{name}": shape for name, shape in shapes.items() if not name.endswith("bias")}
    return {**kept, "centre": (outputs,)}


def tensors_of(tensors: Mapping[str, npt.NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> Tensors:
    """Return the tensors of these shapes, from a file."""
    return {name: checked_tensor(tensors, name, np.float32, shape) for name, shape in shapes.items()}


def require_finite_scores(tensors: Tensors) -> None:
    """Refuse weights with which features could overflow.

    Raises
    ------
    ArtefactError
        Numbers that no training gives.
    """
    largest = np.full(tensors["network.0.weight"].shape[1], FARTHEST)
    for name, value in tensors.items():
        if name != "centre":
            largest = np.asarray(np.abs(value.astype(np.float64)) @ largest)
            if not largest.max() < _LARGEST:
                raise ArtefactError(
                    f"{name}: its numbers are too large; fit again with a lower learning_rate"
                )
    if not ((largest + np.abs(tensors["centre"])) ** 2).sum() < _LARGEST:
        raise ArtefactError("centre: its numbers are too large; fit again with a lower learning_rate")
