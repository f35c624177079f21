"""``evtok retry``: what went to quarantine is tried again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evtok.cli.options import (
    LogJsonOption,
    MemoryOption,
    SchedulerOption,
    SchemaOption,
    TimeoutOption,
    WorkersOption,
)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("retry")(retry_command)


def retry_command(
    job: Annotated[
        Path, typer.Argument(help="Folder that evtok tokenize wrote, or file that evtok score wrote.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="New folder (for scores, new file), when inputs were mended: what did not change is taken over.",
        ),
    ] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    memory: MemoryOption = None,
    task_timeout: TimeoutOption = None,
    threads: Annotated[int | None, typer.Option(help="Threads that compute.", min=1)] = None,
    schema: SchemaOption = None,
    allow_quarantine: Annotated[
        bool, typer.Option("--allow-quarantine", help="Finish although events or files stay in quarantine.")
    ] = False,
    log_json: LogJsonOption = False,
) -> None:
    """Try again what is in quarantine: here what could not be read, in a new folder what was mended."""
    from evtok.cli.listeners import listener
    from evtok.cli.signals import signals
    from evtok.jobs.again import retry

    with listener(log_json=log_json, task="retry") as seen, signals(seen) as told:
        report = retry(
            job,
            output,
            schema=schema,
            threads=threads,
            allow_quarantine=allow_quarantine,
            workers=workers,
            client=scheduler,
            memory=memory,
            task_timeout=task_timeout,
            progress=told,
        )
    counts = report.counts
    print(
        f"{report.folder}: {report.shards} shards ({report.proven} proven from before), {counts.written} events, "
        f"{counts.quarantined} events in quarantine, {report.size} bytes, {report.seconds:.1f} s"
    )
