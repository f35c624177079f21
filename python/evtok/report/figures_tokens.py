"""Figures of the tokens: how often each is used, and how full the bins are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok._optional import require
from evtok.report import style
from evtok.report.bins import Bins, number
from evtok.report.closure import Closure
from evtok.report.figures_events import line_style
from evtok.report.page import Html, Picture
from evtok.report.quantities import plain
from evtok.report.samples import Sample
from evtok.report.usage import Block, count_ids, ranked


def rank_frequency(samples: Sequence[Sample], objects: Block, vocab_size: int) -> Picture:
    """Draw the share of each object token by its rank, for all events and for each process."""
    with style.canvas() as figure:
        axes = figure.add_subplot()
        for k, sample in enumerate(samples):
            counts = count_ids([sample.tokens], vocab_size)[objects.base : objects.base + objects.size]
            share = ranked(counts) / max(1, counts.sum())
            axes.loglog(
                np.arange(1, len(share) + 1), share, color=style.colour(k), linestyle=line_style(sample),
                linewidth=1.1, label=plain(sample.process.title),
            )  # fmt: skip
        share = ranked(objects.counts) / max(1, objects.total)
        axes.loglog(np.arange(1, len(share) + 1), share, color=style.INK, linewidth=2.2, label="all events")
        axes.set(xlabel="rank of the token", ylabel="share of object tokens")
        axes.set_xlim(left=0.9)
        axes.legend(loc="lower left")
        return style.picture(
            figure,
            "Share of each object token against its rank on logarithmic axes, one line for each process.",
            "Share of each object token against its rank, for all events and for each process by itself.",
        )


def coverage(objects: Block) -> Picture:
    """Draw the share of objects that the n most used tokens cover."""
    covered = 100 * np.cumsum(ranked(objects.counts)) / max(1, objects.total)
    with style.canvas() as figure:
        axes = figure.add_subplot()
        n = np.arange(1, len(covered) + 1)
        axes.semilogx(n, covered, color=style.ACCENT, linewidth=2)
        for level in (50, 90, 99):
            at = int(np.searchsorted(covered, level)) + 1
            if at > len(covered):
                continue
            axes.plot([0.9, at, at], [level, level, 0], color=style.MUTED, linewidth=0.8, linestyle=":")
            axes.annotate(
                f"{level} % with {at:,} tokens", (at, level), xytext=(-6, 4), textcoords="offset points",
                ha="right", va="bottom", fontsize=9.5,
            )  # fmt: skip
        axes.set(xlabel="most used tokens taken", ylabel="objects covered [%]", ylim=(0, 108))
        axes.set_xlim(0.9, objects.size)
        return style.picture(
            figure,
            "Share of objects covered by the n most used tokens, against n.",
            f"Share of objects that the most used tokens cover. The axis ends at the {objects.size:,} object ids "
            f"of the vocabulary; {objects.used:,} of them occur.",
        )


def occupancy(part: Closure, samples: Sequence[Sample]) -> Picture:
    """Draw the share of values in each bin, for all events and for each process, over the bins' edges."""
    bins = part.bins
    edges = plotted_edges(part)
    everything = np.bincount(bins.digits(part.decoded), minlength=bins.n_digits)
    is_open = open_bins(bins)
    with style.canvas(height=3.4) as figure:
        axes = figure.add_subplot()
        axes.stairs(100 * everything / max(1, everything.sum()), edges, fill=True, color=style.FILL)
        for k, sample in enumerate(samples):
            axes.stairs(
                _shares(bins, sample), edges, baseline=None, color=style.colour(k), linestyle=line_style(sample),
                linewidth=1.4,
            )  # fmt: skip
        for k in np.flatnonzero(is_open).tolist():
            axes.axvspan(
                edges[k], edges[k + 1], facecolor="none", edgecolor=style.RULE, hatch="////", linewidth=0
            )
        if is_logarithmic(part):
            axes.set_xscale("log")
            style.decimal(axes.xaxis)
        axes.set(
            xlabel=bins.quantity.axis, ylabel=f"share of {_things(bins)} [%]", xlim=(edges[0], edges[-1])
        )
        axes.set_ylim(0, 1.06 * axes.get_ylim()[1])
        style.angle(axes, bins.quantity.unit)
        words = f"{bins.quantity.page}: {bins.n_digits} bins."
        if is_open.any():
            words += " Hatched bins are open: they hold all values beyond the last edge."
        return style.picture(
            figure,
            f"Share of {_things(bins)} in each bin of {bins.name}, one line for each process.",
            Html(words),
        )


def plane(pt: Closure, eta: Closure) -> Picture:
    """Draw how full each cell of two features of the objects is; all cells have one size, whatever their edges."""
    digits = [part.bins.digits(part.decoded) for part in (pt, eta)]
    shape = (pt.bins.n_digits, eta.bins.n_digits)
    counts = np.bincount(digits[0] * shape[1] + digits[1], minlength=shape[0] * shape[1]).reshape(shape)
    with style.canvas(height=3.4) as figure:
        axes = figure.add_subplot()
        shown = np.where(counts, counts, np.nan)
        mesh = axes.pcolormesh(shown, cmap="cividis", vmin=0, rasterized=counts.size > 2000)
        mesh.set_edgecolor("face")
        bar = figure.colorbar(mesh, ax=axes, pad=0.02)
        bar.set_label("objects in a cell")
        bar.ax.minorticks_off()
        _mark_edges(axes.xaxis, eta.bins, 7)
        _mark_edges(axes.yaxis, pt.bins, 8)
        axes.set(
            xlabel=f"{eta.bins.quantity.axis}, edges of bins",
            ylabel=f"{pt.bins.quantity.axis}, edges of bins",
        )
        return style.picture(
            figure,
            f"Colour map of the number of objects in each cell of {pt.bins.name} and {eta.bins.name}.",
            Html(
                f"Objects in each cell of {pt.bins.quantity.page} and {eta.bins.quantity.page}, all other features "
                "together. Cells have one size, whatever their edges; empty ones are white."
            ),
        )


def _mark_edges(axis: Any, bins: Bins, most: int) -> None:
    """Write the edges of bins at an axis that counts bins."""
    low, high = bins.span(np.arange(bins.n_digits))
    edges = np.r_[low, high[-1]]
    step = max(1, round(len(edges) / most))
    first = 1 if np.isinf(edges[0]) else 0
    marked = [k for k in range(first, len(edges), step) if np.isfinite(edges[k])]
    axis.set_ticks(marked, [number(float(edges[k])) for k in marked])
    axis.set_tick_params(which="both", direction="out", top=False, right=False)
    axis.set_minor_locator(require("matplotlib.ticker", extra="plot").NullLocator())


def open_bins(bins: Bins) -> npt.NDArray[np.bool_]:
    """Tell which bins have no end (n_digits,)."""
    low, high = bins.span(np.arange(bins.n_digits))
    return np.asarray(np.isinf(low) | np.isinf(high), np.bool_)


def plotted_edges(part: Closure) -> npt.NDArray[np.float64]:
    """Return edges of all bins (n_digits + 1,); open bins end where the data end, and never have no width."""
    low, high = part.bins.span(np.arange(part.bins.n_digits))
    edges: npt.NDArray[np.float64] = np.r_[low, high[-1]]
    inner = edges[np.isfinite(edges)]
    first, last = (inner[0], inner[-1]) if inner.size else (0.0, 1.0)
    if np.isinf(edges[0]):
        edges[0] = min(part.original.min(initial=first), first - 1e-6 * max(1.0, abs(first)))
    if np.isinf(edges[-1]):
        edges[-1] = max(part.original.max(initial=last), last + 1e-6 * max(1.0, abs(last)))
    return edges


def is_logarithmic(part: Closure) -> bool:
    """Tell whether an axis of the feature is logarithmic: energies, if they are all positive."""
    return part.bins.is_relative and bool((plotted_edges(part) > 0).all())


def _shares(bins: Bins, sample: Sample) -> npt.NDArray[np.float64]:
    values = bins.decoded(sample.decoded)
    counts = np.bincount(bins.digits(values[~np.isnan(values)]), minlength=bins.n_digits)
    return np.asarray(100 * counts / max(1, counts.sum()), np.float64)


def _things(bins: Bins) -> str:
    return "events" if bins.of_event else "objects"
