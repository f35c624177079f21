"""The head of a page about scores: which detector, on which events, and the main figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from evtok.report.page import Html, element, escape
from evtok.report.score_account import counts_of
from evtok.report.score_content import ScoreContent
from evtok.report.score_separation import digits_of

_MOST_SIGNALS = 4


def header(content: ScoreContent) -> Html:
    """Say in a line or two and a few numbers what the page is about."""
    facts = [*_events(content), *_figures(content)]
    return element(
        "header",
        element("h1", content.title),
        element("p", _lead(content)),
        element("p", content.introduction) if content.introduction else "",
        element("p", _origin(content), class_="origin"),
        element(
            "dl", *(element("div", element("dt", k), element("dd", v)) for k, v in facts), class_="facts"
        ),
    )


def _lead(content: ScoreContent) -> str:
    scored = content.scored
    titles = [one.title for one in content.populations]
    listed = ", ".join(titles[:-1]) + " and " + titles[-1] if len(titles) > 1 else titles[0]
    if len(scored) == 1:
        fingerprint = str(scored[0].model.get("fingerprint") or "")
        which = f" (fingerprint {fingerprint[:12]}…)" if fingerprint else ""
        return f"Anomaly scores of one detector, {scored[0].name}{which}, for events of {listed}."
    return f"Anomaly scores of {len(scored)} detectors for events of {listed}."


def _origin(content: ScoreContent) -> str:
    """Say what the detector is, with what it was run, and what became of the events."""
    parts = []
    if content.detector is not None:
        parts.append(f"{repr(content.detector).strip('<>')}.")
    run = getattr(content.main.parts[0].scores, "run", None) or {}
    if run.get("evtok"):
        by = f", {run['backend']} backend" if run.get("backend") else ""
        parts.append(f"Scored with evtok {run['evtok']}{by}, numerics version {run.get('numerics')}.")
    counts = [counts_of(part) for part in content.main.parts]
    if all("read" in one and "quarantined" in one for one in counts):
        read, lost = (sum(one[name] for one in counts) for name in ("read", "quarantined"))
        parts.append(f"{read:,} events read, {lost:,} quarantined.")
    return " ".join(parts)


def _events(content: ScoreContent) -> list[tuple[Any, Any]]:
    main = content.main
    facts: list[tuple[Any, Any]] = [("events scored", f"{np.count_nonzero(main.scorable):,}")]
    if content.separations:
        facts.append(("of them background", f"{len(main.of(signal=False)):,}"))
        facts.append(("of them signal", f"{len(main.of(signal=True)):,}"))
    else:
        facts.append(("processes", f"{len(main.populations)}"))
    return facts


def _figures(content: ScoreContent) -> list[tuple[Any, Any]]:
    """Return the AUC of each signal, of the best detector where there are several."""
    several = len(content.scored) > 1
    signals = list(dict.fromkeys(one.signal.title for one in content.separations))
    facts: list[tuple[Any, Any]] = []
    for title in signals[:_MOST_SIGNALS]:
        mine = [one for one in content.separations if one.signal.title == title]
        best = max(mine, key=lambda one: one.plain.summary.auc.value)
        area = best.plain.summary.auc
        digits = min(4, digits_of(area))  # the table has them all
        spread = "" if np.isnan(area.low) else f" ± {(area.high - area.low) / 2:.{digits}f}"
        whose = f"{title}, best AUC: {best.detector}" if several else f"AUC for {title}"
        facts.append((whose, Html(f"{area.value:.{digits}f}{element('small', escape(spread))}")))
    return facts
