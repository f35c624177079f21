"""``evtok report``: scores of events as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("report")(report_command)


def report_command(
    scores: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCORES...",
            help="Files that evtok score wrote. Several detectors are compared; the events of the first are drawn.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file.")],
    model: Annotated[
        Path | None, typer.Option(help="Folder of the first detector, if it is not where it was.")
    ] = None,
    signal: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Input files that are signal, such as '*stop*'; by default the field label decides. May be repeated.",
        ),
    ] = None,
    background: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Input files that are background.")
    ] = None,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Anomaly scores",
    events: Annotated[int, typer.Option(help="Most anomalous events to draw.", min=0)] = 4,
    schema: Annotated[
        str | None, typer.Option(help="Of the event files: a preset's name or a TOML file.")
    ] = None,
) -> None:
    """Write a page about scores: ROC and SIC curves, distributions, the most anomalous events, token usage."""
    from evtok.report import score_report

    path = score_report(
        scores,
        output,
        title=title,
        signal=signal or (),
        background=background or (),
        model=model,
        schema=schema,
        n_events=events,
    )
    print(path)
