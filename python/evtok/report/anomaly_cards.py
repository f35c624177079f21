"""One anomalous event as a card: where its objects are, and which of its tokens surprised the detector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from evtok._optional import require
from evtok.report import style
from evtok.report.anomalies import Anomaly, Member
from evtok.report.bins import number
from evtok.report.page import Html, Picture, element, escape, table
from evtok.report.quantities import plain, quantity, type_name

_MARKERS = {"j": "o", "b": "s", "e-": "v", "e+": "^", "m-": "<", "m+": ">", "g": "D", "object": "o"}
_COLOURS = {"j": 0, "b": 2, "e-": 6, "e+": 1, "m-": 4, "m+": 5, "g": 9, "object": 0}
_MOST_ROWS = 10

_PI_TICKS = [-np.pi, -np.pi / 2, 0, np.pi / 2, np.pi], ["−π", "−π/2", "0", "π/2", "π"]


def card(anomaly: Anomaly, heading: str, words: Html) -> Html:
    """Put the drawing of an event beside the table of its tokens.

    Parameters
    ----------
    anomaly : Anomaly
    heading : str
        Which event it is.
    words : Html
        What its score is.
    """
    title = element("h3", heading)
    if anomaly.fault:
        lost = element("p", "The event cannot be drawn: ", element("span", anomaly.fault), class_="note")
        return element("article", title, words, lost, class_="event")
    ranked = _ranked(anomaly)
    drawn = _display(anomaly, [k for k, _ in ranked[:_MOST_ROWS] if k is not None], heading)
    beside = _listing(anomaly, ranked)
    shown = element("div", drawn.element() if drawn else "", beside, class_="beside")
    return element("article", title, words, shown, class_="event")


def _ranked(anomaly: Anomaly) -> list[tuple[int | None, Any]]:
    """Return objects (with their index) and tokens of the event (with None): the most surprising, or hardest, first."""
    if any(member.surprise is not None for member in anomaly.members) or anomaly.of_event:
        parts: list[tuple[int | None, Any]] = [
            *enumerate(anomaly.members),
            *((None, one) for one in anomaly.of_event),
        ]
        return sorted(parts, key=lambda part: -math.inf if part[1].surprise is None else -part[1].surprise)
    return sorted(enumerate(anomaly.members), key=lambda part: -np.nan_to_num(part[1].pt))


def _display(anomaly: Anomaly, numbered: Sequence[int], heading: str) -> Picture | None:
    members = [
        member for member in anomaly.members if math.isfinite(member.eta) and math.isfinite(member.phi)
    ]
    if not members:
        return None
    most = max([m.surprise for m in members if m.surprise is not None], default=0.0)
    width = max(2.8, max(abs(member.eta) for member in members) + 0.5)
    with style.canvas(6.0, 4.5) as figure:
        axes = figure.add_subplot()
        for member in members:
            if member.surprise is not None and member.surprise > 0:
                axes.scatter(
                    [member.eta], [member.phi], _area(member) + 900 * (member.surprise / most) ** 2,
                    color=style.PALETTE[1], alpha=0.28, linewidth=0, zorder=2,
                )  # fmt: skip
        for kind in dict.fromkeys(member.kind for member in members):
            mine = [member for member in members if member.kind == kind]
            look: dict[str, Any] = {"color": _colour(kind), "marker": _MARKERS.get(kind, "P")}
            axes.scatter(
                [m.eta for m in mine], [m.phi for m in mine], [_area(m) for m in mine], edgecolor="white",
                linewidth=0.7, zorder=3, **look,
            )  # fmt: skip
            axes.plot([], [], linestyle="", markersize=6.5, label=plain(type_name(kind)), **look)
        if any(member.surprise for member in members):
            axes.plot(
                [], [], linestyle="", marker="o", markersize=11, color=style.PALETTE[1], alpha=0.35, label="surprise",
                markeredgewidth=0,
            )  # fmt: skip
        if anomaly.missing is not None and all(map(math.isfinite, anomaly.missing)):
            axes.axhline(
                anomaly.missing[1], color=style.INK, linewidth=1.2, linestyle=(0, (6, 2, 1, 2)), zorder=1,
                label=f"{quantity('MET').figure}, {number(anomaly.missing[0])} GeV",
            )  # fmt: skip
        for place, k in enumerate(numbered):
            member = anomaly.members[k]
            if math.isfinite(member.eta) and math.isfinite(member.phi):
                right = member.eta > 0.86 * width
                shift = 4 + math.sqrt(_area(member)) / 2
                axes.annotate(
                    str(place + 1), (member.eta, member.phi), xytext=(-shift if right else shift, 0),
                    textcoords="offset points", va="center", ha="right" if right else "left", fontsize=9, zorder=5,
                    path_effects=_halo(),
                )  # fmt: skip
        axes.set(xlim=(-width, width), ylim=(-np.pi, np.pi))
        axes.set(xlabel=quantity("eta").axis, ylabel=quantity("phi").axis)
        axes.set_yticks(*_PI_TICKS)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside upper center",
            ncols=min(5, len(labels)),
            columnspacing=1.2,
            handletextpad=0.4,
        )
        return style.picture(
            figure,
            f"Objects of an event in eta and phi, numbered by how much they surprised the detector: {heading}.",
            Html(
                f"Markers grow with {quantity('pt').page}"
                + ("; halos with the surprise." if any(m.surprise for m in members) else ".")
                + (" The dashed line is the direction of the missing momentum." if anomaly.missing else "")
            ),
        )


def _listing(anomaly: Anomaly, ranked: Sequence[tuple[int | None, Any]]) -> Html:
    scored = any(one.surprise is not None for _, one in ranked)
    headings: list[Any] = ["no.", "token of" if scored else "object"]
    headings += [quantity(name).heading for name in ("pt", "eta", "phi")]
    if scored:
        headings.append("surprise [nats]")
    most = max([one.surprise or 0 for _, one in ranked], default=1.0) or 1.0
    rows, place = [], 0
    for k, one in ranked[:_MOST_ROWS]:
        if k is None:
            value = "" if math.isnan(one.value) else _counted(one.value)
            unit = quantity(one.name).unit
            words = Html(f"{quantity(one.name).page} {escape(value)} {escape(unit)}")
            rows.append(["", words, "", "", "", _bar(one.surprise, most)])
            continue
        place += 1
        cells: list[Any] = [place, type_name(one.kind), *(_number(v) for v in (one.pt, one.eta, one.phi))]
        rows.append([*cells, _bar(one.surprise, most)] if scored else cells)
    caption = (
        "What surprised the detector most: −ln of the probability it gave each token."
        if scored
        else "The objects of the event, the hardest first."
    )
    left = len(ranked) - len(rows)
    notes = []
    if left > 0:
        notes.append(f"{left} more, each less {'surprising' if scored else 'hard'}.")
    if anomaly.uncovered > 0 and scored:
        notes.append(f"{anomaly.uncovered} objects have no token.")
    listed = table(caption, headings, rows, text_columns=(0, 1))
    return element("div", listed, element("p", " ".join(notes), class_="note") if notes else "")


def _bar(surprise: float | None, most: float) -> Html:
    if surprise is None:
        return escape("none")
    length = 100 * max(0.0, min(1.0, surprise / most))
    return element("span", f"{surprise:.1f}", class_="bar", style=f"--length: {length:.0f}%")


def _area(member: Member) -> float:
    return 16 + 0.45 * float(np.clip(np.nan_to_num(member.pt), 0, 700))


def _number(value: float) -> str:
    return number(value) if math.isfinite(value) else "–"


def _counted(value: float) -> str:
    """Write a whole number, such as a multiplicity, without decimals."""
    return f"{value:.0f}" if float(value).is_integer() else _number(value)


def _colour(kind: str) -> str:
    return style.colour(_COLOURS.get(kind, sum(kind.encode()) % len(style.PALETTE)))


def _halo() -> list[Any]:
    return [require("matplotlib.patheffects", extra="plot").withStroke(linewidth=2.5, foreground="white")]
