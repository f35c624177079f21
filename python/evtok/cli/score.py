"""``evtok score``: a score for every event."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from evtok.cli.options import (
    Inputs,
    KeepOption,
    LogJsonOption,
    MemoryOption,
    SchedulerOption,
    SchemaOption,
    TimeoutOption,
    WorkersOption,
    names_of,
)

if TYPE_CHECKING:
    from evtok.detectors.interface import Device


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("score")(score)


def score(
    inputs: Inputs,
    model: Annotated[Path, typer.Option("--model", help="Folder of a detector, of evtok train.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Parquet file of the scores.")],
    events_per_shard: Annotated[
        int, typer.Option(help="Events of a part: what a killed job does again.", min=1)
    ] = 262_144,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    memory: MemoryOption = None,
    task_timeout: TimeoutOption = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda: torch scores on a GPU.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="Threads that score.", min=1)] = None,
    schema: SchemaOption = None,
    keep: KeepOption = None,
    allow_quarantine: Annotated[
        bool, typer.Option("--allow-quarantine", help="Finish although events or files cannot be scored.")
    ] = False,
    log_json: LogJsonOption = False,
) -> None:
    """Score every event; run again, go on where it stopped."""
    from evtok import score_files
    from evtok.cli.listeners import listener
    from evtok.cli.signals import signals

    with listener(log_json=log_json, task="score") as seen, signals(seen) as told:
        report = score_files(
            inputs,
            model,
            output,
            events_per_shard=events_per_shard,
            device=cast("Device", device),  # another word is refused by name
            threads=threads,
            schema=schema,
            keep=names_of(keep),
            allow_quarantine=allow_quarantine,
            workers=workers,
            client=scheduler,
            memory=memory,
            task_timeout=task_timeout,
            progress=told,
        )
    counts = report.counts
    rate = f"{report.events_per_second:,.0f} events/s" if report.events_scored else "proven from before"
    print(
        f"{report.output}: {counts.written} events, {counts.quarantined} in quarantine, {report.size} bytes, "
        f"{report.job.shards} parts ({report.job.proven} proven from before), {report.backend} backend, "
        f"{report.seconds:.1f} s, {rate}"
    )
    if report.job.warning:
        typer.echo(f"evtok: warning: {report.job.warning}", err=True)
