"""All figures of one detector on one signal, with intervals: a row of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy.typing as npt

from evtok.metrics.resampling import Interval, Statistic, intervals
from evtok.metrics.sample import Sample
from evtok.metrics.significance import max_of_curve

#: Background efficiencies at which signal efficiencies are usually given.
WORKING_POINTS = (1e-2, 1e-3, 1e-4)


@dataclass(frozen=True)
class Summary:
    """What `summarise` found; `signal_efficiency` is by background efficiency."""

    n_signal: int
    n_background: int
    auc: Interval
    signal_efficiency: Mapping[float, Interval]
    max_significance_improvement: Interval

    def to_json(self) -> dict[str, Any]:
        """Return it as objects of JSON; the keys of `signal_efficiency` are texts such as "0.01"."""
        found = asdict(self)
        found["signal_efficiency"] = {
            str(at): asdict(figure) for at, figure in self.signal_efficiency.items()
        }
        return found


def summarise(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    working_points: tuple[float, ...] = WORKING_POINTS,
    min_background: float = 10,
    n_resamples: int = 200,
    level: float = 0.68,
    seed: int = 0,
) -> Summary:
    """Return AUC, signal efficiencies and max SIC with intervals, all from the same resamples.

    Parameters
    ----------
    labels, scores, weights : array_like (n,)
        See `evtok.metrics.roc`.
    working_points : tuple of float
        Background efficiencies (see `RocCurve.at`).
    min_background : float
        See `evtok.metrics.significance_improvement`. The figure is NaN where there are fewer background events.
    n_resamples, level, seed
        See `evtok.metrics.bootstrap`.
    """
    sample = Sample.of(labels, scores, weights)
    statistics: list[Statistic] = [
        lambda curve: curve.auc,
        lambda curve: max_of_curve(curve, min_background),
        *(_signal_efficiency_at(share) for share in working_points),
    ]
    area, improvement, *efficiencies = intervals(sample, statistics, n_resamples, level, seed)
    return Summary(
        len(sample.signal),
        len(sample.background),
        area,
        dict(zip(working_points, efficiencies, strict=True)),
        improvement,
    )


def _signal_efficiency_at(share: float) -> Statistic:
    return lambda curve: curve.at(share).signal_efficiency
