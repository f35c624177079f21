"""``evtok status``: how a job stands, running or dead."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from evtok.jobs.status import JobStatus


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("status")(status_command)


def status_command(
    folder: Annotated[
        Path, typer.Argument(help="Folder that evtok tokenize writes, or file that evtok score writes.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how a job stands, and disturb nothing; exits with 1 when somebody has to do something."""
    from evtok.jobs.status import status

    found = status(folder)
    print(json.dumps(found.to_json(), indent=1) if as_json else "\n".join(_lines(found)))
    if not found.ok:
        raise typer.Exit(1)


def _lines(found: JobStatus) -> list[str]:
    done = found.events_done / found.events if found.events else 1.0
    lines = [
        f"{found.folder}: {found.product}, {_state(found)}",
        f"shards      {found.shards_done:,} of {found.shards:,}, {found.size:,} bytes",
        f"events      {found.events_done:,} of {found.events:,} ({done:.1%})",
        f"quarantine  {found.counts.quarantined:,} events",
    ]
    if found.refused or found.unreadable_files:
        lines[-1] += (
            f"; {found.refused} ranges could not be read, {found.unreadable_files} files cannot be opened"
        )
    if found.events_per_second:
        lines.append(f"rate        {found.events_per_second:,.0f} events/s")
    if found.eta_seconds is not None:
        lines.append(f"time left   {timedelta(seconds=round(found.eta_seconds))}")
    if found.history.retries:
        lines.append(f"retries     {found.history.retries:,}")
    if found.damaged:
        listed = ", ".join(found.damaged[:5]) + (" ..." if len(found.damaged) > 5 else "")
        lines.append(f"damaged     {len(found.damaged)}: {listed}; run the same command again")
    return lines


def _state(found: JobStatus) -> str:
    run = found.history.current
    by = f" by {run.worker} since {run.begin}" if run else ""
    if found.state == "running":
        return f"running{by}"
    if found.state == "complete":
        return "complete"
    if found.state == "quarantine":
        return "not finished: events are in quarantine, which was not allowed"
    if found.state == "dead" or run is None:
        last = f", last heard of {run.last}" if run else ""
        return f"dead: was run{by}{last}; run the same command again to go on"
    return (
        f"stopped at {run.last} with exit code {run.exit}: {run.reason}; run the same command again to go on"
    )
