"""The significance improvement (SIC): what a cut multiplies S/√B by, ε_S/√ε_B."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from evtok.metrics.curve import RocCurve, WorkingPoint, roc
from evtok.metrics.sample import Floats


def significance_improvement(curve: RocCurve, min_background: float = 10) -> Floats:
    """Return ε_S/√ε_B at each point of the curve (t,).

    Parameters
    ----------
    curve : RocCurve
    min_background : float
        Where fewer background events pass the cut or a looser one, the quotient says more about these few than about
        the cut: it is NaN there. Weighted events are counted as `WorkingPoint.background_events` does.
    """
    enough = (curve.background_efficiency > 0) & (curve.least_background_events >= max(min_background, 0))
    result = np.full(len(curve.threshold), math.nan)
    result[enough] = curve.signal_efficiency[enough] / np.sqrt(curve.background_efficiency[enough])
    return result


def best_working_point(curve: RocCurve, min_background: float = 10) -> WorkingPoint | None:
    """Return the cut of the largest ε_S/√ε_B, the tightest of equal ones; None where too little background is there."""
    found = significance_improvement(curve, min_background)
    return None if np.isnan(found).all() else curve.point(int(np.nanargmax(found)))


def max_significance_improvement(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    min_background: float = 10,
) -> float:
    """Return the largest ε_S/√ε_B of all cuts that `min_background` background events or more pass, as any looser one.

    Raises
    ------
    InvalidEventsError, ValueError, TypeError
        See `evtok.metrics.roc`; or fewer background events than `min_background`.
    """
    curve = roc(labels, scores, weights)
    found = best_working_point(curve, min_background)
    if found is None:
        raise ValueError(
            f"min_background: no cut lets {min_background} background events pass; all of them are "
            f"{curve.background_events[-1]:.6g}"
        )
    return found.significance_improvement


def max_of_curve(curve: RocCurve, min_background: float) -> float:
    """Return the largest ε_S/√ε_B of a curve; NaN where too little background is there."""
    found = best_working_point(curve, min_background)
    return math.nan if found is None else found.significance_improvement
