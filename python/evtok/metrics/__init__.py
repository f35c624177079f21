"""How well scores tell signal from background, with intervals, and what a cut on them does to other variables.

Labels and scores of events come in, numbers and tables come out. Scores count by their order alone, equal scores are
never taken apart, and nothing is interpolated.
"""

from __future__ import annotations

from evtok.metrics.curve import RocCurve, WorkingPoint, auc, roc, signal_efficiency
from evtok.metrics.resampling import Interval, bootstrap, bootstrap_difference
from evtok.metrics.sculpting import Sculpting, jensen_shannon
from evtok.metrics.significance import (
    best_working_point,
    max_significance_improvement,
    significance_improvement,
)
from evtok.metrics.summary import WORKING_POINTS, Summary, summarise
from evtok.metrics.table import DarkMachinesRow, write_dark_machines

__all__ = [
    "WORKING_POINTS",
    "DarkMachinesRow",
    "Interval",
    "RocCurve",
    "Sculpting",
    "Summary",
    "WorkingPoint",
    "auc",
    "best_working_point",
    "bootstrap",
    "bootstrap_difference",
    "jensen_shannon",
    "max_significance_improvement",
    "roc",
    "signal_efficiency",
    "significance_improvement",
    "summarise",
    "write_dark_machines",
]
