"""The ROC curve: which shares of signal and background have a score of at least each threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from evtok.metrics.sample import Floats, Part, Sample


@dataclass(frozen=True)
class WorkingPoint:
    """A cut ``score >= threshold`` and what passes it.

    Attributes
    ----------
    threshold : float
        inf where nothing passes.
    signal_efficiency, background_efficiency : float
        Shares of the weight of each class.
    background_events : float
        Background events that pass; with weights, how many of equal weight would fluctuate as much: (Σw)²/Σw².
    """

    threshold: float
    signal_efficiency: float
    background_efficiency: float
    background_events: float

    @property
    def significance_improvement(self) -> float:
        """SIC, ε_S/√ε_B: what the cut multiplies S/√B by; NaN where no background passes."""
        if not self.background_efficiency > 0:
            return math.nan
        return self.signal_efficiency / math.sqrt(self.background_efficiency)


@dataclass(frozen=True, eq=False)
class RocCurve:
    """All cuts that tell scores apart: one point for no event, then one for each distinct score, the highest first.

    Attributes
    ----------
    threshold : float64 array (t,)
        Events with a score of at least this pass; inf for the first point, which no event passes.
    signal, background : float64 array (t,)
        Weight that passes, in units of the largest weight of the class: without weights, the number of events.
    background_squares : float64 array (t,)
        Sum of the squared weights of background that passes.
    """

    threshold: Floats
    signal: Floats
    background: Floats
    background_squares: Floats

    @classmethod
    def of(cls, thresholds: Floats, signal: Part, background: Part) -> RocCurve:
        """Add up the events of two classes."""
        n = len(thresholds)
        passing = _passing(background.rank, background.weight, n)
        unweighted = bool((background.weight == 1).all())  # then a sum of squares is the sum
        squares = passing if unweighted else _passing(background.rank, background.weight**2, n)
        return cls(
            np.concatenate([[np.inf], thresholds]), _passing(signal.rank, signal.weight, n), passing, squares
        )

    @cached_property
    def signal_efficiency(self) -> Floats:
        """Share of the signal that passes (t,): 0 first, 1 last."""
        return self.signal / _total(self.signal)

    @cached_property
    def background_efficiency(self) -> Floats:
        """Share of the background that passes (t,): 0 first, 1 last."""
        return self.background / _total(self.background)

    @cached_property
    def background_events(self) -> Floats:
        """Number of background events that pass (t,), as `WorkingPoint` has it."""
        nothing = np.zeros_like(self.background)
        return np.divide(
            self.background**2, self.background_squares, nothing, where=self.background_squares > 0
        )

    @cached_property
    def least_background_events(self) -> Floats:
        """The least number of background events that pass a cut or any looser one (t,).

        Without weights that is `background_events`. One heavy event can make many count as one, and signed weights
        cancel, so a tight cut may count more events than a looser one: it has them by chance.
        """
        return np.minimum.accumulate(self.background_events[::-1])[::-1]

    @property
    def auc(self) -> float:
        """Area under the curve: how often signal scores higher than background; of equal scores, half count.

        It is the sum of w_s w_b over all such pairs, divided by that of all pairs, whatever the signs of the weights.
        """
        twice = np.sum(np.diff(self.background) * (self.signal[1:] + self.signal[:-1]))
        return float(twice / (2 * _total(self.background) * _total(self.signal)))

    def point(self, index: int) -> WorkingPoint:
        """Return one point of the curve."""
        return WorkingPoint(
            float(self.threshold[index]),
            float(self.signal_efficiency[index]),
            float(self.background_efficiency[index]),
            float(self.background_events[index]),
        )

    def at(self, background_efficiency: float) -> WorkingPoint:
        """Return the loosest cut that lets at most this share of the background pass.

        It is the lowest threshold such that neither it nor any higher one lets more pass. Events of equal score pass
        together or not at all, so the share can be smaller than the one asked for, down to 0. All is NaN where the
        background weighs nothing, as that of a resample of signed weights may.

        Raises
        ------
        ValueError
            A share outside [0, 1].
        """
        index = self.index_at(background_efficiency)
        return self.point(index) if index >= 0 else WorkingPoint(math.nan, math.nan, math.nan, math.nan)

    def index_at(self, background_efficiency: float) -> int:
        """Return the index of the point that `at` returns; 0 is the cut that nothing passes, -1 that there is none."""
        if not 0 <= background_efficiency <= 1:
            raise ValueError(
                f"background_efficiency: expected a share from 0 to 1, got {background_efficiency}"
            )
        return int(np.searchsorted(self._largest_so_far, background_efficiency, side="right")) - 1

    @cached_property
    def _largest_so_far(self) -> Floats:
        """The background efficiency of each point or of one before (t,): signed weights let it turn back."""
        return np.maximum.accumulate(self.background_efficiency)


def roc(labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> RocCurve:
    """Return the ROC curve.

    Parameters
    ----------
    labels : array_like (n,)
        1 or True for signal, 0 or False for background.
    scores : array_like (n,), real
        Higher is more like signal. Infinities are in order; a NaN has no place.
    weights : array_like (n,), optional
        Finite. Negative ones, as generators give them, are added as they are: each class must weigh more than 0 in
        total, but the curve may then turn back, or leave the range from 0 to 1.

    Raises
    ------
    InvalidEventsError
        A score that is NaN.
    ValueError, TypeError
        Shapes that differ; labels other than 0 and 1; one class alone; a class that weighs nothing.
    """
    sample = Sample.of(labels, scores, weights)
    return RocCurve.of(sample.thresholds, sample.signal, sample.background)


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Return the area under the ROC curve (see `roc` and `RocCurve.auc`)."""
    return roc(labels, scores, weights).auc


def signal_efficiency(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    background_efficiency: float = 1e-2,
    weights: npt.ArrayLike | None = None,
) -> float:
    """Return the share of signal that the loosest cut keeps whose background is at most this (see `RocCurve.at`)."""
    return roc(labels, scores, weights).at(background_efficiency).signal_efficiency


def _passing(rank: npt.NDArray[np.int64], weight: Floats, n_thresholds: int) -> Floats:
    passing = np.zeros(n_thresholds + 1)
    np.cumsum(np.bincount(rank, weight, n_thresholds), out=passing[1:])
    return passing


def _total(passing: Floats) -> float:
    """Return the weight of all events; NaN where a resample of signed weights came out without any."""
    return float(passing[-1]) if passing[-1] > 0 else math.nan
