"""Figures of the scores themselves, by process, and of what a cut on them does to another variable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.report import style
from evtok.report.page import Html, Picture, escape
from evtok.report.quantities import plain, quantity
from evtok.report.scored import Population, Scored

_N_BINS = 60
_HEIGHT = 4.3
_CUTS = (0, 1, 2, 4)

#: Lines of signals, so that they can be told apart without colour.
DASHES: tuple[Any, ...] = ((0, (5, 1.5)), (0, (2, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (8, 2)))


def shapes(scored: Scored, colours: Mapping[str, str], dashes: Mapping[str, Any]) -> Picture:
    """Draw the scores of each process, normalised to one."""
    edges = _edges(scored)
    width = np.diff(edges)[0]
    lowest = 1.0
    with style.canvas(height=_HEIGHT) as figure:
        axes = figure.add_subplot()
        for population in scored.populations:
            values = np.clip(scored.score[population.rows], edges[0], np.nextafter(edges[-1], edges[0]))
            counts = np.histogram(values, edges)[0]
            density = counts / counts.sum() / width
            lowest = min(lowest, density[density > 0].min())
            axes.stairs(
                density, edges, baseline=None, color=colours[population.title], linestyle=dashes[population.title],
                linewidth=2.0 if population.signal else 1.5, label=plain(population.title),
            )  # fmt: skip
        axes.set_yscale("log")
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0.6 * lowest, _room(axes, len(scored.populations)))
        axes.set(xlabel=f"score of {plain(scored.name)}", ylabel="density")
        axes.legend(loc="upper right", ncols=2 if len(scored.populations) > 4 else 1)
        return style.picture(
            figure,
            f"Histograms of the score of {scored.name}, one line for each process, each normalised to one.",
            "Every process normalised to one"
            + ("; signals are dashed" if any(one.signal for one in scored.populations) else "")
            + ". The first and the last bin hold what lies beyond.",
        )


def stacked(scored: Scored, colours: Mapping[str, str], dashes: Mapping[str, Any]) -> Picture | None:
    """Draw the backgrounds on top of each other and signals as lines; None without labels."""
    backgrounds = [one for one in scored.populations if one.signal is False]
    if not backgrounds:
        return None
    weighted = scored.weight is not None and scored.weight[scored.of(signal=False)].sum() > 0
    weights = scored.weight if weighted and scored.weight is not None else np.ones(len(scored))
    edges = _edges(scored)
    total, lowest = np.zeros(_N_BINS), np.inf
    with style.canvas(height=_HEIGHT) as figure:
        axes = figure.add_subplot()
        filled = [(one, _counts(scored, one, edges, weights)) for one in backgrounds]
        for one, counts in sorted(filled, key=lambda pair: float(pair[1].sum())):
            axes.stairs(
                total + counts, edges, baseline=total, fill=True, color=colours[one.title], alpha=0.75,
                edgecolor="white", linewidth=0.4, label=plain(one.title),
            )  # fmt: skip
            total = total + counts
        axes.stairs(total, edges, baseline=None, color=style.INK, linewidth=0.8)
        positive = total[total > 0]
        lowest = positive.min() if positive.size else 1.0
        for one in scored.populations:
            if one.signal:
                counts = _counts(scored, one, edges, weights)
                lowest = min(lowest, counts[counts > 0].min(initial=lowest))
                axes.stairs(
                    counts, edges, baseline=None, color=colours[one.title], linestyle=dashes[one.title], linewidth=2.0,
                    label=plain(one.title),
                )  # fmt: skip
        axes.set_yscale("log")
        axes.set_xlim(edges[0], edges[-1])
        highest = total.max()
        axes.set_ylim(max(lowest, highest * 1e-8) * 0.5, highest * (highest / lowest) ** 0.35 * 2)
        axes.set(
            xlabel=f"score of {plain(scored.name)}",
            ylabel="sum of weights" if weighted else "events",
        )
        axes.legend(loc="upper right", ncols=2 if len(scored.populations) > 4 else 1)
        return style.picture(
            figure,
            f"Stacked histogram of the score of {scored.name} for the backgrounds, with signals as lines.",
            Html(
                "Backgrounds on top of each other, signals as lines, "
                + ("weighted by <code>weight</code>." if weighted else "as many events as there are.")
                + " The first and the last bin hold what lies beyond."
            ),
        )


def sculpting(
    variable: str,
    values: npt.NDArray[np.float64],
    passing: Sequence[tuple[float, npt.NDArray[np.bool_]]],
    detector: str,
) -> Picture:
    """Draw a variable of background, of all events and of those that pass each cut, normalised to one.

    Parameters
    ----------
    variable : str
        Name of the field.
    values : float64 (n,)
        Of background events.
    passing : sequence of (efficiency, bool (n,))
        The events that pass.
    detector : str
    """
    written = quantity(variable)
    low, high = np.quantile(values, [0.001, 0.999])
    high = high if high > low else low + 1
    edges = np.linspace(low, high, 41)
    with style.canvas(height=_HEIGHT) as figure:
        axes = figure.add_subplot()
        for k, chosen in enumerate([np.ones(len(values), np.bool_), *(mask for _, mask in passing)]):
            inside = np.clip(values[chosen], low, np.nextafter(high, low))
            weights = np.full(len(inside), 1 / max(1, len(inside)))
            counts = np.histogram(inside, edges, weights=weights)[0]
            if k == 0:
                axes.stairs(counts, edges, fill=True, color=style.ORIGINAL, label="all background")
            else:
                axes.stairs(
                    counts, edges, baseline=None, color=style.colour(_CUTS[k % len(_CUTS)]), linewidth=1.8,
                    label=rf"$\varepsilon_\mathrm{{B}}$ = {passing[k - 1][0]:g}",
                )  # fmt: skip
        axes.set(xlabel=written.axis, ylabel="share of events", xlim=(low, high))
        axes.set_ylim(0, axes.get_ylim()[1])
        style.legend(axes)
        return style.picture(
            figure,
            f"Histogram of {variable} in all background, and in what passes cuts on the score of {detector}.",
            Html(
                f"{written.page} of background, before and after cuts on the score of {escape(detector)}; each "
                "normalised to one."
            ),
        )


def _edges(scored: Scored) -> npt.NDArray[np.float64]:
    """Return edges that hold all but the outermost thousandth of each process."""
    ends = np.array(
        [np.quantile(scored.score[one.rows], [0.001, 0.999]) for one in scored.populations], np.float64
    )
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    if not high > low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _N_BINS + 1)


def _counts(
    scored: Scored, population: Population, edges: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    values = np.clip(scored.score[population.rows], edges[0], np.nextafter(edges[-1], edges[0]))
    return np.asarray(np.histogram(values, edges, weights=weights[population.rows])[0], np.float64)


def _room(axes: Any, lines: int) -> float:
    """Return an upper end of a logarithmic axis that leaves room for a legend."""
    low, high = axes.get_ylim()
    return float(high * (high / low) ** (0.12 + 0.035 * lines))
