"""``evtok train``: from events of background to a fitted detector."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evtok.cli.options import Inputs, LogJsonOption, SchemaOption

Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of the detector; may be given several times.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("train")(train)


def train(
    kind: Annotated[str, typer.Argument(help="Such as masked-token, deep-svdd, unigram, hbos.")],
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the detector.")],
    tokenizer: Annotated[
        Path | None, typer.Option(help="Folder of a tokenizer, for detectors of tokens; shards bring theirs.")
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help=r"Features of an event, such as MET,count\[j,b],sum_pt\[j,b], for detectors of these."
        ),
    ] = None,
    validation: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Events to validate on; may be given several times.", show_default=False
        ),
    ] = None,
    validation_fraction: Annotated[
        float | None,
        typer.Option(
            help="Share of the inputs to validate on; 0.2 by default, for detectors that train in epochs.",
            min=0,
            max=0.9,
        ),
    ] = None,
    settings: Setting = None,
    epochs: Annotated[int | None, typer.Option(help="The setting epochs.", min=1)] = None,
    seed: Annotated[
        int | None, typer.Option(help="Draws the validation, and is the setting seed; 0 by default.", min=0)
    ] = None,
    background_label: Annotated[
        str | None,
        typer.Option(help="Train on events with this value of the field label; any: on all, whatever it is."),
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Field with the weights of events.")] = None,
    balance_files: Annotated[
        bool, typer.Option("--balance-files", help="Let every input file count the same.")
    ] = False,
    skip_invalid: Annotated[
        bool,
        typer.Option("--skip-invalid", help="Leave out events that cannot be used, instead of refusing."),
    ] = False,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Folder from which an interrupted training goes on.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads that compute.", min=1)] = None,
    schema: SchemaOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another detector there.")] = False,
    log_json: LogJsonOption = False,
) -> None:
    """Fit a detector to events of background and write it."""
    from evtok.cli.listeners import training_listener
    from evtok.cli.training import Request, require_free, run

    request = Request(
        kind=kind,
        inputs=inputs,
        tokenizer=tokenizer,
        features=features,
        validation=validation or [],
        validation_fraction=validation_fraction,
        settings=settings or [],
        epochs=epochs,
        seed=seed,
        background_label=background_label,
        weights=weights,
        balance_files=balance_files,
        skip_invalid=skip_invalid,
        checkpoints=checkpoints,
        threads=threads,
        schema=schema,
    )
    require_free(output, overwrite=overwrite)
    with training_listener(log_json=log_json) as told:
        trained = run(request, told)
    trained.save(output)
    print(f"{output}: {trained.summary}")
