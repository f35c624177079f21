"""Reports: what a job made of its events, as one HTML page that needs nothing else.

Stage 6 of the data flow. `samples` reads shards and inputs together, `usage` and `closure` compute the numbers,
`figures_*` and `event_display` draw them, `sections` says what they mean, `page` makes HTML of it.
"""

from __future__ import annotations

from evtok.report.samples import Process
from evtok.report.token_report import Step, token_report

__all__ = ["Process", "Step", "token_report"]
