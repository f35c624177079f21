"""Results in the layout of the Dark Machines anomaly score challenge."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from evtok.metrics.summary import WORKING_POINTS, Summary

#: The first line of such a file.
HEADER = ("Signal", "Model", "Chan", "AUC", "1e-2", "1e-3", "1e-4")


@dataclass(frozen=True)
class DarkMachinesRow:
    """One line: what a model finds of a signal in a channel.

    Attributes
    ----------
    signal, model, channel : str
        Such as "stop", "masked-token" and "chan3".
    auc : float
    signal_efficiencies : tuple of three floats
        At the background efficiencies 1e-2, 1e-3 and 1e-4.
    """

    signal: str
    model: str
    channel: str
    auc: float
    signal_efficiencies: tuple[float, float, float]

    @classmethod
    def of(cls, signal: str, model: str, channel: str, summary: Summary) -> DarkMachinesRow:
        """Take the figures from a summary.

        Raises
        ------
        KeyError
            A summary of other working points.
        """
        first, second, third = (summary.signal_efficiency[at].value for at in WORKING_POINTS)
        return cls(signal, model, channel, summary.auc.value, (first, second, third))


def write_dark_machines(path: str | os.PathLike[str], rows: Iterable[DarkMachinesRow]) -> None:
    """Write rows as CSV under the header ``Signal,Model,Chan,AUC,1e-2,1e-3,1e-4``.

    Numbers have as many digits as it takes to read the same float64 again.
    """
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for row in rows:
            writer.writerow([row.signal, row.model, row.channel, row.auc, *row.signal_efficiencies])
