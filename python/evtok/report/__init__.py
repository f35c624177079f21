"""Reports: what a job made of its events, as one HTML page that needs nothing else.

Stage 6 of the data flow, for tokens (`token_report`) and for scores (`score_report`).

Of tokens: `samples` reads shards and inputs together, `usage` and `closure` compute the numbers, `figures_*` and
`event_display` draw them, `sections` says what they mean. Of scores: `scored` and `labels` put rows in order,
`separation`, `anomalies` and `scored_tokens` compute the numbers, `figures_separation`, `figures_scores` and
`anomaly_cards` draw them, `score_*` say what they mean. `page` makes HTML of it all.
"""

from __future__ import annotations

from evtok.report.samples import Process
from evtok.report.score_report import score_report
from evtok.report.token_report import Step, token_report

__all__ = ["Process", "Step", "score_report", "token_report"]
