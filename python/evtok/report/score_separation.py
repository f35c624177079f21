"""The section on signal against background: a table with intervals, ROC curves, and what a cut gains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from evtok.metrics import Interval
from evtok.report import figures_separation, style
from evtok.report.figures_separation import Line
from evtok.report.page import Html, element, escape, pictures, table
from evtok.report.score_content import ScoreContent
from evtok.report.separation import FLOOR, WORKING_POINTS, Measured, Separation


def separation(content: ScoreContent) -> list[Html]:
    """Show how well each detector finds each signal; or say why that cannot be."""
    found = content.separations
    if not found:
        return [element("p", _why_not(content), class_="note")]
    several = len(content.scored) > 1
    parts = [element("p", escape(_labels(content)), " ", *_meaning())]
    parts.append(_table(found, several, weighted=False))
    weighted = [one for one in found if one.weighted is not None]
    if weighted:
        parts.append(_table(weighted, several, weighted=True))
    parts += [
        element(
            "p",
            f"No weighted figures of {one.detector} for {one.signal.title}: {one.why_not}.",
            class_="note",
        )
        for one in found
        if one.why_not
    ]
    signals = list(dict.fromkeys(one.signal.title for one in found))
    for subject, lines in _panels(content, found, signals, several):
        parts.append(element("h3", subject))
        parts.append(pictures(_figures(lines, subject)))
    return parts


def _figures(lines: Sequence[tuple[Line, Line | None]], subject: str) -> list[Any]:
    plain = [line for line, _ in lines]
    figures = [
        figures_separation.roc_curves(plain, subject, weighted=False),
        figures_separation.improvement_curves(plain, subject, weighted=False),
    ]
    weighted = [line for _, line in lines if line is not None]
    if weighted:
        figures.append(figures_separation.roc_curves(weighted, subject, weighted=True))
        figures.append(figures_separation.improvement_curves(weighted, subject, weighted=True))
    return figures


def _panels(
    content: ScoreContent, found: Sequence[Separation], signals: Sequence[str], several: bool
) -> list[tuple[str, list[tuple[Line, Line | None]]]]:
    """Return what is drawn together: all signals of one detector, or all detectors on one signal."""
    if not several:
        lines = [_lines(one, one.signal.title, content.colours[one.signal.title], "solid") for one in found]
        return [(f"All signals, by {content.main.name}", lines)]
    detectors = [scored.name for scored in content.scored]
    panels = []
    for title in signals:
        lines = []
        for one in found:
            if one.signal.title == title:
                k = detectors.index(one.detector)
                dashes = "solid" if k < len(style.PALETTE) else (0, (4, 1.5))
                lines.append(_lines(one, one.detector, style.colour(k), dashes))
        panels.append((title, lines))
    return panels


def _lines(one: Separation, label: str, colour: str, dashes: Any) -> tuple[Line, Line | None]:
    weighted = None if one.weighted is None else Line(label, one.weighted, colour, dashes)
    return Line(label, one.plain, colour, dashes), weighted


def _table(found: Sequence[Separation], several: bool, *, weighted: bool) -> Html:
    measured = {id(one): one.weighted if weighted else one.plain for one in found}
    best = {title: _best(found, measured, title) for title in {one.signal.title for one in found}}
    rows = []
    for one in found:
        mine = measured[id(one)]
        if mine is None:
            continue
        is_best = [
            several and value == top for value, top in zip(_values(mine), best[one.signal.title], strict=True)
        ]
        summary = mine.summary
        cells: list[Any] = [one.signal.title, *([one.detector] if several else []), f"{summary.n_signal:,}"]
        cells.append(_cell(summary.auc, strong=is_best[0]))
        for k, at in enumerate(WORKING_POINTS):
            few = not mine.enough(at)
            cells.append(_cell(summary.signal_efficiency[at], strong=is_best[1 + k] and not few, few=few))
        cells.append(_cell(summary.max_significance_improvement, strong=is_best[-1]))
        rows.append(cells)
    headings: list[Any] = ["signal", *(["detector"] if several else []), "events", "AUC"]
    headings += [Html(f"<i>ε</i><sub>S</sub> at <i>ε</i><sub>B</sub> = 10<sup>−{k}</sup>") for k in (2, 3, 4)]
    headings.append(Html("max <i>ε</i><sub>S</sub>/√<i>ε</i><sub>B</sub>"))
    n_background = {one.plain.summary.n_background for one in found}
    background = f"{n_background.pop():,} background events" if len(n_background) == 1 else "all background"
    words = "weighted by their field “weight”" if weighted else "every event counted once"
    few = any(not m.enough(at) for m in measured.values() if m is not None for at in WORKING_POINTS)
    level = found[0].plain.summary.auc.level
    caption = (
        f"Each signal against {background}, {words}. Below each figure: its {100 * level:.0f} % interval "
        "by the bootstrap (a maximum over cuts fluctuates upwards)."
        + (
            f" † Fewer than {FLOOR} background events pass{', by their effective number' if weighted else ''}."
            if few
            else ""
        )
        + (" Bold: the best of each signal." if several else "")
    )
    return table(caption, headings, rows, text_columns=(0, 1) if several else (0,))


def _values(measured: Measured) -> list[float]:
    summary = measured.summary
    efficiencies = [summary.signal_efficiency[at].value for at in WORKING_POINTS]
    return [summary.auc.value, *efficiencies, summary.max_significance_improvement.value]


def _best(found: Sequence[Separation], measured: dict[int, Measured | None], title: str) -> list[float]:
    mine = [measured[id(one)] for one in found if one.signal.title == title]
    columns = zip(*(_values(one) for one in mine if one is not None), strict=True)
    return [max((v for v in column if not math.isnan(v)), default=math.nan) for column in columns]


def _cell(interval: Interval, *, strong: bool, few: bool = False) -> Html:
    if math.isnan(interval.value):
        return element("span", "–", class_="few")
    digits = digits_of(interval)
    value = element("strong" if strong else "span", f"{interval.value:.{digits}f}", "†" if few else "")
    ends = (
        ""
        if math.isnan(interval.low)
        else element("span", f"{interval.low:.{digits}f} – {interval.high:.{digits}f}", class_="interval")
    )
    return element("span", value, ends, class_="few" if few else None)


def digits_of(interval: Interval) -> int:
    """Return how many digits after the point say what is known: two of half the width of the interval, 2 to 5."""
    spread = (interval.high - interval.low) / 2
    return 3 if not spread > 0 else min(5, max(2, 1 - math.floor(math.log10(spread))))


def _labels(content: ScoreContent) -> str:
    return content.labels.words(content.main.fields, any_signal=True)


def _meaning() -> list[Any]:
    return [
        "Each signal is compared with all background together; other signals are left out. A cut on the score lets a "
        "share ",
        Html(
            "<i>ε</i><sub>S</sub> of the signal and <i>ε</i><sub>B</sub> of the background pass, and changes "
        ),
        Html("<i>S</i>/√<i>B</i> by <i>ε</i><sub>S</sub>/√<i>ε</i><sub>B</sub>. "),
        f"That quotient is only trusted where at least {FLOOR} background events pass: below this floor it follows the "
        "luck of a few events. Whether signal was kept out of the training, scores cannot tell.",
    ]


def _why_not(content: ScoreContent) -> str:
    known = content.populations
    beginning = "There are no ROC curves, because "
    if all(one.signal is None for one in known):
        return (
            beginning
            + "nothing says which events are signal: the scores have no field “label”, and no pattern of file "
            "names was given (--signal, --background)."
        )
    missing = "background" if any(one.signal for one in known) else "signal"
    return f"{beginning}no event with a score is {missing}. {_labels(content)}"
