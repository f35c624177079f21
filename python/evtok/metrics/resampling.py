"""Intervals by the bootstrap: the same figure on events drawn again and again from those that there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evtok.metrics.curve import RocCurve
from evtok.metrics.sample import Floats, Part, Sample

#: A figure of a curve, such as ``lambda curve: curve.auc``.
Statistic = Callable[[RocCurve], float]


@dataclass(frozen=True)
class Interval:
    """A figure on all events, and the range that the share `level` of its resampled values lies in, centrally."""

    value: float
    low: float
    high: float
    level: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def bootstrap(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    statistic: Statistic,
    weights: npt.ArrayLike | None = None,
    *,
    n_resamples: int = 200,
    level: float = 0.68,
    seed: int = 0,
) -> Interval:
    """Return a figure with the interval of its statistical fluctuation.

    As many signal and as many background events as there are are drawn with replacement, each class on its own, each
    event as likely as any other of its class; an event keeps its weight each time that it is drawn. The interval is
    that between percentiles of the figure. It covers the size of the test sample alone, not another training.

    Parameters
    ----------
    labels, scores, weights : array_like (n,)
        See `evtok.metrics.roc`.
    statistic : callable
        From a `RocCurve` to a number, such as ``lambda curve: curve.at(1e-2).signal_efficiency``.
    n_resamples : int
    level : float
        Share of the resampled figures within the interval; 0.68 is the custom for error bars.
    seed : int
        Draws the same events for the same labels, whatever the scores: figures of two detectors fluctuate together.

    Returns
    -------
    Interval
        NaN limits where a resample has no such figure.
    """
    return intervals(Sample.of(labels, scores, weights), [statistic], n_resamples, level, seed)[0]


def bootstrap_difference(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    other_scores: npt.ArrayLike,
    statistic: Statistic,
    weights: npt.ArrayLike | None = None,
    *,
    n_resamples: int = 200,
    level: float = 0.68,
    seed: int = 0,
) -> Interval:
    """Return how much larger a figure is for `scores` than for `other_scores` of the same events.

    Both are resampled with the same draws, so what fluctuates in common cancels: a detector beats another where this
    interval lies above 0, though their own intervals may overlap. Otherwise as `bootstrap`.
    """
    settings = _checked(n_resamples, level)
    one, other = (Sample.of(labels, given, weights) for given in (scores, other_scores))
    differences = _figures(one, [statistic], n_resamples, seed) - _figures(
        other, [statistic], n_resamples, seed
    )
    return _interval(statistic(_curve(one)) - statistic(_curve(other)), differences[:, 0], settings)


def intervals(
    sample: Sample, statistics: Sequence[Statistic], n_resamples: int, level: float, seed: int
) -> list[Interval]:
    """Return several figures of a sample, all from the same resamples."""
    settings = _checked(n_resamples, level)
    found = _figures(sample, statistics, n_resamples, seed)
    curve = _curve(sample)
    return [_interval(figure(curve), found[:, k], settings) for k, figure in enumerate(statistics)]


def _checked(n_resamples: int, level: float) -> float:
    if n_resamples < 1:
        raise ValueError(f"n_resamples: expected at least 1, got {n_resamples}")
    if not 0 < level < 1:
        raise ValueError(f"level: expected a share between 0 and 1, got {level}")
    return level


def _curve(sample: Sample) -> RocCurve:
    return RocCurve.of(sample.thresholds, sample.signal, sample.background)


def _figures(sample: Sample, statistics: Sequence[Statistic], n_resamples: int, seed: int) -> Floats:
    curves = _resampled(sample, n_resamples, seed)
    return np.array([[figure(curve) for figure in statistics] for curve in curves], np.float64)


def _resampled(sample: Sample, n_resamples: int, seed: int) -> Iterator[RocCurve]:
    """Draw events by their index, and add them up at the ranks that are known already: nothing is sorted again."""
    random = np.random.default_rng(seed)
    for _ in range(n_resamples):
        yield RocCurve.of(sample.thresholds, _drawn(sample.signal, random), _drawn(sample.background, random))


def _drawn(part: Part, random: np.random.Generator) -> Part:
    return part.take(random.integers(len(part), size=len(part)))


def _interval(value: float, resampled: Floats, level: float) -> Interval:
    if np.isnan(resampled).any():
        return Interval(value, math.nan, math.nan, level)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)
