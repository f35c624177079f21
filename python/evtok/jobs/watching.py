"""What is left of a run for people to look at: its log while it runs, ``job.json`` and ``job.html`` at its end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from evtok.jobs import manifest as manifests
from evtok.jobs.durable import OutputFolder
from evtok.jobs.log import JobLog
from evtok.jobs.manifest import require_manifest
from evtok.jobs.progress import Listener
from evtok.jobs.summary import summary

SUMMARY, PAGE = "job.json", "job.html"


@contextlib.contextmanager
def watched(folder: OutputFolder, listener: Listener | None) -> Iterator[Listener]:
    """Yield the listener for a job in a locked folder: it writes the log, and `listener` is told everything too.

    A job that came to its end leaves a report, also when events in quarantine make it fail.

    Raises
    ------
    JobError
        The log cannot be opened, or the report cannot be written.
    """
    with JobLog(folder, listener) as log:
        try:
            yield log
        except BaseException:
            if log.finished:
                with contextlib.suppress(Exception):  # what the job failed for is what is to be said
                    write_report(folder)
            raise
        write_report(folder)


def write_report(folder: OutputFolder) -> None:
    """Write ``job.json`` and ``job.html`` of a job that came to its end."""
    from evtok.report.job_page import job_page

    manifest = require_manifest(folder.read(manifests.NAME), str(folder.path / manifests.NAME))
    content = summary(folder, manifest)
    folder.write(SUMMARY, json.dumps(content, indent=1, sort_keys=True).encode("ascii") + b"\n")
    folder.write(
        PAGE, job_page(content).encode("utf-8", "replace")
    )  # a name can hold halves of surrogate pairs
