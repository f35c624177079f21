"""Figures of signal against background: ROC curves, and what a cut gains in significance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evtok.report import style
from evtok.report.page import Html, Picture
from evtok.report.quantities import plain
from evtok.report.separation import FLOOR, WORKING_POINTS, Measured, drawn

_HEIGHT = 4.5


@dataclass(frozen=True)
class Line:
    """One curve of a figure: a signal, or a detector."""

    label: str
    measured: Measured
    colour: str
    dashes: Any = "solid"


def roc_curves(lines: Sequence[Line], subject: str, *, weighted: bool) -> Picture:
    """Draw signal efficiency against background efficiency, which has a logarithmic axis.

    Parameters
    ----------
    lines : sequence of Line
    subject : str
        What all of them have in common: a detector or a signal.
    weighted : bool
        Whether the curves are of weights.
    """
    with style.canvas(height=_HEIGHT) as figure:
        axes = figure.add_subplot()
        lowest = _frame(axes, lines, weighted=weighted)
        for line in lines:
            background, signal, events = drawn(line.measured)
            enough = events >= FLOOR
            axes.plot(background, signal, color=line.colour, linewidth=0.9, linestyle=":")
            above = np.where(enough, signal, np.nan)
            axes.plot(background, above, color=line.colour, linestyle=line.dashes, label=plain(line.label))
            for at in WORKING_POINTS:
                if line.measured.enough(at):
                    point = line.measured.curve.at(at)
                    _dot(axes, line, point.background_efficiency, point.signal_efficiency)
        chance = np.geomspace(lowest, 1, 200)
        axes.plot(
            chance, chance, color=style.MUTED, linewidth=0.9, linestyle=(0, (1, 1.5)), label="blind choice"
        )
        axes.set(ylabel=r"signal efficiency $\varepsilon_\mathrm{S}$", ylim=(0, 1.02))
        _legend(figure, axes)
        return style.picture(
            figure,
            f"Signal efficiency against background efficiency of {subject}, on a logarithmic axis.",
            Html(
                f"{_kind(weighted)}. Dots: background efficiencies of 10<sup>−2</sup>, 10<sup>−3</sup> and "
                f"10<sup>−4</sup>, where at least {FLOOR} background events pass; below that, curves are dotted"
                f"{'' if weighted else ' and the ground is grey'}."
            ),
        )


def improvement_curves(lines: Sequence[Line], subject: str, *, weighted: bool) -> Picture:
    """Draw the significance improvement against background efficiency, down to the floor of background events."""
    with style.canvas(height=_HEIGHT) as figure:
        axes = figure.add_subplot()
        lowest = _frame(axes, lines, weighted=weighted)
        highest = 1.0
        for line in lines:
            background, signal, events = drawn(line.measured)
            enough = events >= FLOOR
            gain = np.where(enough, signal / np.sqrt(background), np.nan)
            axes.plot(background, gain, color=line.colour, linestyle=line.dashes, label=plain(line.label))
            best = line.measured.best
            if best is not None:
                highest = max(highest, best.significance_improvement)
                _dot(axes, line, best.background_efficiency, best.significance_improvement)
        chance = np.geomspace(lowest, 1, 200)
        axes.plot(
            chance,
            np.sqrt(chance),
            color=style.MUTED,
            linewidth=0.9,
            linestyle=(0, (1, 1.5)),
            label="blind choice",
        )
        axes.axhline(1, color=style.RULE, linewidth=0.9, zorder=0)
        axes.set(ylabel=r"$\varepsilon_\mathrm{S}$ / √$\varepsilon_\mathrm{B}$", ylim=(0, 1.06 * highest))
        _legend(figure, axes)
        return style.picture(
            figure,
            f"Significance improvement against background efficiency of {subject}, on a logarithmic axis.",
            Html(
                f"{_kind(weighted)}: what a cut multiplies <i>S</i>/√<i>B</i> by. "
                + (
                    f"No curve is drawn where the events that pass are worth fewer than {FLOOR} of equal weight. A gap "
                    "is one event of large weight; what lies left of it lacks such events by luck."
                    if weighted
                    else f"Curves end where fewer than {FLOOR} background events pass; dots mark their maxima."
                )
            ),
        )


def _frame(axes: Any, lines: Sequence[Line], *, weighted: bool) -> float:
    """Set the axis of background efficiency, with the working points and the floor; return where it begins."""
    counts = [line.measured.summary.n_background for line in lines]
    lowest = min(1 / max(counts), 0.1)
    lowest = 10 ** np.floor(np.log10(lowest) + 0.3)
    axes.set_xscale("log")
    axes.set_xlim(lowest, 1)
    floor = FLOOR / max(counts)
    if (
        floor > lowest and not weighted
    ):  # weighted events count by their effective number, which has no one floor
        axes.axvspan(lowest, min(floor, 1), color=style.FILL, linewidth=0, zorder=0, alpha=0.7)
    for at in WORKING_POINTS:
        if at > lowest:
            axes.axvline(at, color=style.RULE, linewidth=0.9, zorder=0)
    axes.set_xlabel(r"background efficiency $\varepsilon_\mathrm{B}$")
    return float(lowest)


def _dot(axes: Any, line: Line, x: float, y: float) -> None:
    look = {"markersize": 5.5, "markeredgecolor": "white", "markeredgewidth": 0.9, "zorder": 4}
    axes.plot([x], [y], "o", color=line.colour, **look)


def _legend(figure: Any, axes: Any) -> None:
    """Name the curves above the frame, where none of them runs."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max(map(len, labels))
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=min(len(labels), max(1, 64 // (longest + 6))),
        columnspacing=1.3,
    )


def _kind(weighted: bool) -> str:
    return "Events weighted by their field <code>weight</code>" if weighted else "Every event counted once"
