"""How well each detector tells each signal from all background: curves, figures with intervals, working points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.metrics import WORKING_POINTS, RocCurve, Summary, WorkingPoint, best_working_point, roc, summarise
from evtok.report.scored import Population, Scored

#: Fewer background events than this say little about a cut: no maximum is looked for there.
FLOOR = 10

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """Curve and figures of one detector on one signal, of plain counts or of weights."""

    curve: RocCurve
    summary: Summary
    best: WorkingPoint | None

    def enough(self, background_efficiency: float) -> bool:
        """Tell whether `FLOOR` background events or more pass the cut of this efficiency, and any looser one."""
        return bool(self.curve.least_background_events[self.curve.index_at(background_efficiency)] >= FLOOR)


@dataclass(frozen=True)
class Separation:
    """One detector on one signal; `weighted` is None without weights that can be used, and `why_not` says why."""

    detector: str
    signal: Population
    plain: Measured
    weighted: Measured | None
    why_not: str = ""


def separations(scored: Sequence[Scored], *, resamples: int, seed: int) -> list[Separation]:
    """Return one for each detector and signal, those of one signal together, signals in the order they occur.

    Parameters
    ----------
    scored : sequence of Scored
    resamples : int
        Of the bootstrap.
    seed : int
        Of the bootstrap.

    Returns
    -------
    list of Separation
        Empty where no detector has scored both signal and background.
    """
    found = [
        _separation(one, population, resamples, seed)
        for one in scored
        for population in one.populations
        if population.signal and len(one.of(signal=False))
    ]
    order = list(dict.fromkeys(one.signal.title for one in found))
    return sorted(found, key=lambda one: order.index(one.signal.title))


def drawn(measured: Measured, most: int = 400) -> tuple[Floats, Floats, Floats]:
    """Thin a curve out to what a figure can show.

    Returns
    -------
    background_efficiency, signal_efficiency, background_events : float64 (k,)
        Points evenly spaced in the logarithm of the background efficiency, the best one, and the last one; the events
        are the least of a cut and all looser ones.
    """
    curve = measured.curve
    efficiency = curve.background_efficiency
    at = np.flatnonzero(efficiency > 0)
    if len(at) > most:
        wanted = np.geomspace(efficiency[at[0]], efficiency[at[-1]], most)
        nearest = np.clip(np.searchsorted(efficiency[at], wanted), 0, len(at) - 1)
        nearest = np.r_[nearest, len(at) - 1]
        if measured.best is not None:
            nearest = np.r_[nearest, np.flatnonzero(curve.threshold[at] == measured.best.threshold)]
        at = at[np.unique(nearest)]
    return efficiency[at], curve.signal_efficiency[at], curve.least_background_events[at]


def _separation(scored: Scored, signal: Population, resamples: int, seed: int) -> Separation:
    background = scored.of(signal=False)
    rows = np.r_[background, signal.rows]
    labels = np.r_[np.zeros(len(background), np.int8), np.ones(len(signal.rows), np.int8)]

    def measure(weights: Any) -> Measured:
        curve = roc(labels, scored.score[rows], weights)
        summary = summarise(
            labels, scored.score[rows], weights, min_background=FLOOR, n_resamples=resamples, seed=seed
        )
        return Measured(curve, summary, best_working_point(curve, FLOOR))

    plain = measure(None)
    if "weight" not in scored.fields:
        return Separation(scored.name, signal, plain, None)
    if scored.weight is None:
        return Separation(scored.name, signal, plain, None, "some weights are not finite numbers")
    weights = scored.weight[rows]
    for name, mine in (("background", weights[: len(background)]), ("signal", weights[len(background) :])):
        if not mine.sum() > 0:
            return Separation(
                scored.name, signal, plain, None, f"the {name} events weigh {mine.sum():g} in total"
            )
    if np.ptp(weights[: len(background)]) == 0 and np.ptp(weights[len(background) :]) == 0:
        return Separation(scored.name, signal, plain, None, "all events of a class weigh the same")
    return Separation(scored.name, signal, plain, measure(weights))


__all__ = ["FLOOR", "WORKING_POINTS", "Measured", "Separation", "drawn", "separations"]
