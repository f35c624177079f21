"""Figures of decoded against original values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evtok.report import style
from evtok.report.closure import Closure
from evtok.report.figures_tokens import is_logarithmic, plotted_edges
from evtok.report.page import Html, Picture

_N_BINS = 40
_HIGHEST_RATIO = 2.0


def overlay(part: Closure) -> Picture:
    """Draw original and decoded values, and their ratio; decoded ones are drawn uniformly within their bins."""
    bins = part.bins
    ends = float(plotted_edges(part)[0]), float(plotted_edges(part)[-1])
    logarithmic = is_logarithmic(part)
    edges = np.geomspace(*ends, _N_BINS + 1) if logarithmic else np.linspace(*ends, _N_BINS + 1)
    edges[0], edges[-1] = ends
    original, drawn = (np.histogram(values, edges)[0] for values in (part.original, part.drawn))
    with style.canvas(height=4.4) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        style.histogram(
            above, style.filled(edges, part.original), histtype="fill", color=style.ORIGINAL, label="original"
        )
        style.histogram(
            above, style.filled(edges, part.drawn), color=style.ACCENT, label="decoded, drawn within bins"
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(original > 0, drawn / original, np.nan)
            spread = np.where(original > 0, 1 / np.sqrt(original), np.nan)
        below.stairs(1 + spread, edges, baseline=1 - spread, fill=True, color=style.FILL)
        below.axhline(1, color=style.MUTED, linewidth=0.8)
        centres = np.sqrt(edges[1:] * edges[:-1]) if logarithmic else (edges[1:] + edges[:-1]) / 2
        beyond = ratio > _HIGHEST_RATIO
        below.plot(centres[~beyond], ratio[~beyond], ".", color=style.ACCENT, markersize=5, clip_on=False)
        below.plot(
            centres[beyond],
            np.full(beyond.sum(), 0.95 * _HIGHEST_RATIO),
            "^",
            color=style.ACCENT,
            markersize=4,
        )
        below.set(xlabel=bins.quantity.axis, ylim=(0, _HIGHEST_RATIO), xlim=ends)
        below.set_ylabel("ratio", loc="center")
        above.set_ylabel("events" if bins.of_event else "objects")
        if logarithmic:
            below.set_xscale("log")
            above.set_yscale("log")
            above.set_ylim(0.5, max(1, original.max()) * 20)
            style.decimal(below.xaxis)
        else:
            above.set_ylim(0, max(1, original.max(), drawn.max()) * 1.05)
            style.angle(below, bins.quantity.unit)
        for border in part.bins.borders[(part.bins.borders > ends[0]) & (part.bins.borders < ends[1])]:
            above.axvline(border, ymax=0.02, color=style.INK, linewidth=0.7)
        style.legend(above)
        return style.picture(
            figure,
            f"Histogram of original and decoded {bins.name}, with their ratio below.",
            Html(
                f"{bins.quantity.page}: original and decoded. Small marks on the axis are the edges of bins; a "
                "triangle is a ratio beyond the frame."
            ),
        )


def positions(parts: Sequence[Closure]) -> Picture:
    """Draw where in its bin each original value lies."""
    edges = np.linspace(0, 1, 21)
    with style.canvas(height=4.4) as figure:
        axes = figure.add_subplot()
        for k, part in enumerate(parts):
            position = part.position
            if not position.size:
                continue
            weights = np.full(len(position), (len(edges) - 1) / len(position))
            # The outermost values may round onto the ends of the range.
            inside = np.clip(position, 0, np.nextafter(1, 0))
            style.histogram(
                axes, style.filled(edges, inside, weights), color=style.colour(k),
                label=part.bins.quantity.figure,
            )  # fmt: skip
        axes.axhline(1, color=style.MUTED, linewidth=0.8, linestyle=":")
        axes.set(
            xlabel="position of the original value in its bin",
            ylabel="values, relative to uniform",
            xlim=(0, 1),
        )
        axes.set_ylim(0, max(1.6, axes.get_ylim()[1]))
        style.legend(axes, ncols=3, loc="upper center")
        return style.picture(
            figure,
            "Histograms of where in its bin each original value lies, one line for each feature.",
            "Where in its bin the original value lies, from the lower edge (0) to the upper (1). Flat: the bins are "
            "narrower than the structure of the data.",
        )
