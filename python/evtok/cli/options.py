"""Arguments and options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Inputs = Annotated[
    list[str],
    typer.Argument(metavar="INPUT...", help="Files, wildcards, URLs, file.root:Tree.", show_default=False),
]
SchemaOption = Annotated[
    str | None, typer.Option(help="A preset's name or a TOML file; by default the preset that fits.")
]
KeepOption = Annotated[
    str | None,
    typer.Option(help="Fields to keep, such as label,weight; by default label, weight, event."),
]
WorkersOption = Annotated[
    int | None, typer.Option(help="Processes of this machine that share the work.", min=1)
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="Of a Dask scheduler, tcp://host:port, whose workers share the work."
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(help="What evtok may allocate, such as 2GB: all workers together; on a cluster, each task."),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="After which a task is given to another worker.", min=0.001),
]
LogJsonOption = Annotated[bool, typer.Option("--log-json", help="Write JSON lines to stderr.")]


def names_of(keep: str | None) -> list[str] | None:
    """Return the names in ``label,weight``; None where the option is not given."""
    return None if keep is None else [name for name in keep.split(",") if name]
