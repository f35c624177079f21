"""What a person or a program sees of a running job, on stderr: a bar on a terminal, JSON lines when asked."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

from evtok.jobs.progress import Listener


@contextlib.contextmanager
def listener(*, log_json: bool, task: str = "tokenize") -> Iterator[Listener | None]:
    """Yield a listener for a job, which is called `task`: JSON lines if asked, a bar on a terminal, else none."""
    if log_json:
        yield write_line
    elif sys.stderr.isatty():
        with _bar(task) as bar:
            yield bar
    else:
        yield None


@contextlib.contextmanager
def training_listener(*, log_json: bool) -> Iterator[Listener | None]:
    """Yield a listener for a training: JSON lines if asked, a bar and a line an epoch on a terminal, else none."""
    if log_json:
        yield write_line
    elif sys.stderr.isatty():
        with _epochs() as epochs:
            yield epochs
    else:
        yield None


def write_line(event: dict[str, Any]) -> None:
    """Write one event of `evtok.jobs.progress`, or of a training, as a line of JSON."""
    sys.stderr.write(json.dumps(event, sort_keys=True) + "\n")
    sys.stderr.flush()


@contextlib.contextmanager
def _bar(task: str) -> Iterator[Listener]:
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
        bar = progress.add_task(task, total=None, rate="")

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


@contextlib.contextmanager
def _epochs() -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("events"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("train", total=None)

        def show(event: dict[str, Any]) -> None:
            if event["event"] == "resume":
                progress.console.print(f"goes on after epoch {event['epoch']}", markup=False)
            elif event["event"] == "step":
                progress.update(
                    bar,
                    description=f"epoch {event['epoch']} of {event['epochs']}",
                    completed=event["done_events"],
                    total=event["events"],
                )
            elif event["event"] == "epoch":
                progress.console.print(_epoch_line(event), markup=False, highlight=False)

        yield show


def _epoch_line(event: dict[str, Any]) -> str:
    validation = event["validation_loss"]
    said = f"epoch {event['epoch']} of {event['epochs']}: loss {event['train_loss']:.4f}"
    if validation is not None:
        said += f", validation {validation:.4f} (best: epoch {event['best_epoch']})"
    return f"{said}, {event['events_per_second']:,.0f} events/s"
