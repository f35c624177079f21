"""Reports: what a job made of its events, as one HTML page that needs nothing else.

Stage 6 of the data flow: for tokens (`token_report`), for scores (`score_report`), and of each job a page of its own
(`job_page`).

Of tokens: `samples` reads shards and inputs together, `usage` and `closure` compute the numbers, `figures_*` and
`event_display` draw them, `sections` says what they mean. Of scores: `scored` and `labels` put rows in order,
`separation`, `anomalies` and `scored_tokens` compute the numbers, `figures_separation`, `figures_scores` and
`anomaly_cards` draw them, `score_*` say what they mean. `page` makes HTML of it all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evtok.report.of_scores import score_report
    from evtok.report.of_tokens import Step, token_report
    from evtok.report.samples import Process

# Imported when a name is first used: the page of a job needs none of them.
_HOMES = {
    "Process": "evtok.report.samples",
    "Step": "evtok.report.of_tokens",
    "score_report": "evtok.report.of_scores",
    "token_report": "evtok.report.of_tokens",
}

__all__ = ["Process", "Step", "score_report", "token_report"]


def __getattr__(name: str) -> Any:
    """Import a public name from its home when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'evtok.report' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
