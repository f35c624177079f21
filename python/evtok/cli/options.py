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
LogJsonOption = Annotated[bool, typer.Option("--log-json", help="Write JSON lines to stderr.")]


def names_of(keep: str | None) -> list[str] | None:
    """Return the names in ``label,weight``; None where the option is not given."""
    return None if keep is None else [name for name in keep.split(",") if name]
