"""Figures of the events themselves: how many objects they have, and of which types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evtok.events import TYPE_COLUMN
from evtok.report import style
from evtok.report.page import Picture
from evtok.report.quantities import plain, type_name
from evtok.report.samples import Sample

_MOST_BINS = 60


def multiplicity(samples: Sequence[Sample]) -> Picture:
    """Draw the number of objects in an event, for each process, normalised to 1."""
    most = max(int(s.events.multiplicity.max(initial=0)) for s in samples)
    step = max(1, -(-(most + 1) // _MOST_BINS))
    edges = np.arange(0, most + step + 1, step) - 0.5
    with style.canvas() as figure:
        axes = figure.add_subplot()
        for k, sample in enumerate(samples):
            histogram = style.filled(edges, sample.events.multiplicity)
            style.histogram(
                axes,
                histogram / (len(sample.events) * step),
                color=style.colour(k),
                linestyle=line_style(sample),
                label=plain(sample.process.title),
            )
        axes.set(
            xlabel="objects in an event", ylabel="fraction of events", xlim=(edges[0], edges[-1]), ylim=0
        )
        style.whole_numbers(axes.xaxis)
        style.legend(axes)
        return style.picture(
            figure,
            "Histograms of the number of objects in an event, one line for each process.",
            "Number of objects in an event, each process normalised to one; signals are dashed."
            if any(s.process.signal for s in samples)
            else "Number of objects in an event, each process normalised to one.",
        )


def composition(samples: Sequence[Sample]) -> Picture | None:
    """Draw how many objects of each type an event has on average; None for events without types."""
    if not all(TYPE_COLUMN in s.events.columns and s.events.types for s in samples):
        return None
    names = list(dict.fromkeys(name for s in samples for name in s.events.types))
    means = np.array([[_mean_of_type(s, name) for name in names] for s in samples])
    rows = np.arange(len(samples))
    with style.canvas() as figure:
        axes = figure.add_subplot()
        left = np.zeros(len(samples))
        for k, name in enumerate(names):
            axes.barh(
                rows, means[:, k], 0.66, left=left, color=style.colour(k), label=plain(type_name(name)),
                edgecolor="white", linewidth=0.5,
            )  # fmt: skip
            left += means[:, k]
        axes.set_yticks(rows, [plain(s.process.title) for s in samples])
        axes.tick_params(axis="y", which="both", left=False, right=False)
        axes.yaxis.minorticks_off()
        axes.invert_yaxis()
        axes.set_xlabel("mean number of objects in an event")
        figure.legend(
            *axes.get_legend_handles_labels(), loc="outside upper center", ncols=min(len(names), 7),
            columnspacing=1.1, handlelength=1.0,
        )  # fmt: skip
        return style.picture(
            figure,
            "Stacked bars of the mean number of objects of each type in an event, one bar for each process.",
            "Mean number of objects of each type in an event.",
        )


def line_style(sample: Sample) -> Any:
    """Return the line of a process: dashed for a signal."""
    return (0, (4, 1.5)) if sample.process.signal else "solid"


def _mean_of_type(sample: Sample, name: str) -> float:
    if name not in sample.events.types:
        return 0.0
    code = sample.events.types.index(name)
    return float(np.count_nonzero(sample.events.columns[TYPE_COLUMN] == code)) / len(sample.events)
