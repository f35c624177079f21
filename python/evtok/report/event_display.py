"""One event, as it was read and as its tokens decode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evtok._optional import require
from evtok.events import TYPE_COLUMN, Events
from evtok.report import style
from evtok.report.bins import Bins, number
from evtok.report.page import Html, Picture, element, table
from evtok.report.quantities import plain, type_name
from evtok.report.samples import Sample

_MARKERS = "osDd^v*Ph<>"
_SEARCHED = 500  # events
_MOST_OBJECTS = 30  # beyond, the objects are neither numbered nor listed


def choose(samples: Sequence[Sample]) -> tuple[Sample, int]:
    """Choose an event to show: of the first signal, if there is one, that with the most different types.

    Among equals, the one with a number of objects closest to the median, and then the first.
    """
    sample = next((s for s in samples if s.process.signal), samples[0])
    events = sample.events[:_SEARCHED]
    counts = events.multiplicity
    codes = events.columns.get(TYPE_COLUMN)
    kinds = (
        np.array(
            [len(set(codes[a:b].tolist())) for a, b in zip(events.offsets, events.offsets[1:], strict=False)]
        )
        if codes is not None
        else np.zeros(len(events), np.int64)
    )
    distance = np.abs(counts - np.median(counts))
    return sample, int(np.lexsort((distance, -kinds))[0])


def display(event: Events, decoded: Events, bins: Sequence[Bins], title: str) -> Picture | None:
    """Draw the objects of one event in η and φ, over the bins that their tokens stand for; None without these."""
    pt, eta_bins, phi_bins = (_bins(bins, name) for name in ("pt", "eta", "phi"))
    if pt is None or eta_bins is None or phi_bins is None:
        return None
    plane = (eta_bins, phi_bins)
    eta, phi = (part.original(event) for part in plane)
    low, high = zip(*(part.span(part.digits(part.decoded(decoded))) for part in plane), strict=True)
    width = max(3.2, float(np.abs(eta).max(initial=0)) + 0.4)
    size = 14 + 0.45 * np.clip(pt.original(event), 0, 600)
    codes = event.columns.get(TYPE_COLUMN, np.zeros(event.n_objects, np.uint8)).astype(np.int64)
    names = event.types or ("objects",)
    rectangle = _patches().Rectangle
    with style.canvas(7.6, 4.8) as figure:
        axes = figure.add_subplot()
        for k in range(event.n_objects):
            left, right = np.clip([low[0][k], high[0][k]], -width, width)
            box = (left, low[1][k]), right - left, high[1][k] - low[1][k]
            axes.add_patch(rectangle(*box, facecolor=style.colour(codes[k]), alpha=0.16, linewidth=0))
            axes.add_patch(rectangle(*box, fill=False, edgecolor=style.colour(codes[k]), linewidth=0.9))
        for code in np.unique(codes):
            mine = codes == code
            axes.scatter(
                eta[mine], phi[mine], size[mine], color=style.colour(code), marker=_MARKERS[code % len(_MARKERS)],
                edgecolor="white", linewidth=0.6, zorder=3,
            )  # fmt: skip
            axes.plot(
                [], [], color=style.colour(code), marker=_MARKERS[code % len(_MARKERS)], linestyle="", markersize=7,
                label=plain(type_name(names[code])),
            )  # fmt: skip
        axes.scatter(
            np.clip(plane[0].decoded(decoded), -width, width), plane[1].decoded(decoded), 36, color=style.INK,
            marker="+", linewidth=1.1, label="decoded", zorder=4,
        )  # fmt: skip
        if event.n_objects <= _MOST_OBJECTS:
            for k in range(event.n_objects):
                axes.annotate(
                    str(k + 1), (eta[k], phi[k]), xytext=(5 + np.sqrt(size[k]) / 2, 0), textcoords="offset points",
                    va="center", fontsize=9, zorder=5, path_effects=_halo(),
                )  # fmt: skip
        missing = _bins(bins, "METphi")
        if missing is not None:
            axes.axhline(
                missing.original(event)[0], color=style.INK, linewidth=1.1, linestyle=(0, (6, 2, 1, 2)),
                label=missing.quantity.figure, zorder=1,
            )  # fmt: skip
        axes.set(
            xlim=(-width, width),
            ylim=(-np.pi, np.pi),
            xlabel=plane[0].quantity.axis,
            ylabel=plane[1].quantity.axis,
        )
        axes.set_yticks([-np.pi, -np.pi / 2, 0, np.pi / 2, np.pi], ["−π", "−π/2", "0", "π/2", "π"])
        figure.legend(
            *axes.get_legend_handles_labels(), loc="outside upper center", ncols=9, columnspacing=1.3
        )
        return style.picture(
            figure,
            "Objects of one event in eta and phi, each over the bin that its token stands for.",
            Html(
                f"{element('span', title)}: objects as read (markers; the area grows with {pt.quantity.page}), the bin "
                "of each token (boxes) and the decoded position (+). Numbers are those of the table."
            ),
            wide=True,
        )


def listing(sample: Sample, row: int, bins: Sequence[Bins], tokenizer: Any) -> Html:
    """List the objects of one event: token, and original beside decoded values."""
    event, decoded, ids = sample.encoded[row], sample.decoded[row], sample.tokens[row]
    offset = tokenizer.settings.sequence.index("objects")
    mine = [part for part in bins if not part.of_event]
    width = len(tokenizer.digits) if tokenizer.settings.factorised else 1
    headings: list[Any] = ["no.", "token", "type" if event.types else "object"]
    for part in mine:
        headings += [part.quantity.heading, Html(f"{part.quantity.page} decoded")]
    rows = []
    for k in range(min(event.n_objects, _MOST_OBJECTS)):
        tokens = " ".join(str(i) for i in ids[offset + k * width : offset + (k + 1) * width])
        name = type_name(event.types[int(event.columns[TYPE_COLUMN][k])]) if event.types else "object"
        cells: list[Any] = [k + 1, tokens, name]
        for part in mine:
            cells += [number(float(part.original(event)[k])), number(float(part.decoded(decoded)[k]))]
        rows.append(cells)
    return table(
        "The objects of this event, and what their tokens decode to (centres of bins).", headings, rows,
        text_columns=(0, 2),
    )  # fmt: skip


def of_event(sample: Sample, row: int, bins: Sequence[Bins]) -> Html:
    """Say the original and decoded values of the event's own features."""
    event, decoded = sample.encoded[row], sample.decoded[row]
    parts = []
    for part in bins:
        if part.of_event:
            unit = f" {part.quantity.unit}" if part.quantity.unit else ""
            values = (number(float(part.original(event)[0])), number(float(part.decoded(decoded)[0])))
            parts.append(f"{part.quantity.page} {values[0]}{unit}, decoded {values[1]}{unit}")
    return Html("; ".join(parts))


def _bins(bins: Sequence[Bins], column: str) -> Bins | None:
    return next((part for part in bins if part.fitted.feature.column == column), None)


def _patches() -> Any:
    return require("matplotlib.patches", extra="plot")


def _halo() -> list[Any]:
    """Return a white outline that keeps numbers readable above other marks."""
    return [require("matplotlib.patheffects", extra="plot").withStroke(linewidth=2.5, foreground="white")]
