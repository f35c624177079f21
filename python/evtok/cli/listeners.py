"""What a person or a program sees of a running job, on stderr: a bar on a terminal, JSON lines when asked."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

from evtok.jobs.progress import Listener


@contextlib.contextmanager
def listener(*, log_json: bool) -> Iterator[Listener | None]:
    """Yield a listener for a job: JSON lines if asked, a bar on a terminal, else none."""
    if log_json:
        yield write_line
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield bar
    else:
        yield None


def write_line(event: dict[str, Any]) -> None:
    """Write one event of `evtok.jobs.progress` as a line of JSON."""
    sys.stderr.write(json.dumps(event, sort_keys=True) + "\n")
    sys.stderr.flush()


@contextlib.contextmanager
def _bar() -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events  {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("tokenize", total=None, rate="")

        def show(event: dict[str, Any]) -> None:
            if event["event"] == "start":
                progress.update(bar, total=event["events"], completed=event["proven_events"])
            elif event["event"] == "progress":
                progress.update(
                    bar, completed=event["done_events"], rate=f"{event['events_per_s']:,.0f} events/s"
                )
            elif event["event"] == "unreadable":
                progress.console.print(f"quarantined: {event['file']}: {event['reason']}", markup=False)

        yield show
