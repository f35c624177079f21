"""Jobs: event files in, token shards out, that can be resumed and proven.

`tokenize_files` plans (`planning`), proves what is there (`resume`), runs each task (`task`), and adds up
(`run`); `verify` reads everything again. Files become visible whole or not at all (`durable`).
"""

from __future__ import annotations

from evtok.jobs.run import JobReport
from evtok.jobs.tokenize import tokenize_files
from evtok.jobs.verification import VerifyReport, verify

__all__ = ["JobReport", "VerifyReport", "tokenize_files", "verify"]
