"""Jobs: event files in, shards of tokens or of scores out, that can be resumed and proven.

A job is planned (`planning`), what is there is proven (`resume`), each task is run (`task`), all is added up (`run`);
`verify` reads everything again. Files become visible whole or not at all (`durable`). What is made of events is a
`product`: tokens by `tokenize_files` (`tokenize`), scores by `evtok.score_files` (`score`), which are merged into one
file at the end (`merge`).

A run is `watched`: it keeps a `log`, and leaves a `summary` and a page; `status` reads how a job stands. What
is in quarantine is tried again by `again.retry`: in the same folder, or in a new `generation` that takes over what did
not change.
"""

from __future__ import annotations

from evtok.jobs.run import JobReport
from evtok.jobs.tokenize import tokenize_files
from evtok.jobs.verification import VerifyReport, verify

__all__ = ["JobReport", "VerifyReport", "tokenize_files", "verify"]
