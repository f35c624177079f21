"""The commands. Each parses, calls one function of the package and prints; nothing is decided here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from evtok.cli import bench, codebook, report, retry, score, status, train
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

app = typer.Typer(
    name="evtok",
    help="Collider events to tokens: exact, reproducible and as fast as memory.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what this build is and what this machine offers."""
    from evtok import build_config
    from evtok.cuda.facts import facts as cuda_facts

    facts = build_config() | {"cuda": cuda_facts()}
    if as_json:
        print(json.dumps(facts, indent=1))
        return
    for name, value in facts.items():
        if name not in ("cuda", "optional"):
            print(f"{name:18s} {', '.join(value) if isinstance(value, list) else value}")
    for line in _cuda_lines(facts["cuda"]):
        print(f"{'cuda':18s} {line}")
    for extra, packages in facts["optional"].items():
        found = ", ".join(f"{package} {version or '-'}" for package, version in packages.items())
        print(f"{'[' + extra + ']':18s} {found}")


def _cuda_lines(cuda: dict[str, Any]) -> list[str]:
    built = [f"toolkit {cuda['toolkit']}"] if cuda["toolkit"] is not None else []
    off = [f"off: {cuda['why_off']}"] if "why_off" in cuda else []
    devices = [
        f"device {k}: {one['name']}, capability {one['capability']}, {one['multiprocessors']} multiprocessors"
        for k, one in enumerate(cuda["devices"])
    ]
    return built + off + devices


@app.command("fit-tokenizer")
def fit_tokenizer(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the tokenizer.")],
    preset: Annotated[str | None, typer.Option(help="A published scheme: finke, lut or omnijet.")] = None,
    bins: Annotated[
        str | None,
        typer.Option(help="Bins of features, such as pt=40,eta=30,phi=30; the others keep their default."),
    ] = None,
    quantities: Annotated[
        str | None,
        typer.Option(
            help=r"More tokens of the event, such as count\[j,b],sum_pt\[j,b],pt_1\[j]; for a codebook, MET,METphi too."
        ),
    ] = None,
    codebook: Annotated[
        int | None,
        typer.Option(metavar="K", help="Learn K codes of log pT, eta, phi and type, instead of bins.", min=1),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Draws the first codes; 0 by default.", min=0)] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Objects after which the codes move; by default all of them.", min=1),
    ] = None,
    schema: SchemaOption = None,
    skip_invalid: Annotated[
        bool,
        typer.Option("--skip-invalid", help="Leave NaN and the like out of the fit, instead of refusing."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another tokenizer there.")] = False,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    task_timeout: TimeoutOption = None,
) -> None:
    """Fit a tokenizer to events and write it."""
    from evtok.cli.fit import fit, summary, write

    tokenizer = fit(
        inputs,
        preset=preset,
        bins=bins,
        schema=schema,
        skip_invalid=skip_invalid,
        quantities=quantities,
        codes=codebook,
        seed=seed,
        batch=batch,
        workers=workers,
        scheduler=scheduler,
        task_timeout=task_timeout,
    )
    write(tokenizer, output, overwrite=overwrite)
    print(f"{output}: {summary(tokenizer)}")


@app.command()
def tokenize(
    inputs: Inputs,
    tokenizer: Annotated[Path, typer.Option("--tokenizer", help="Folder of a tokenizer.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the shards.")],
    container: Annotated[
        str, typer.Option("--format", help="arrow (memory-mapped, any order) or parquet (smaller, in order).")
    ] = "arrow",
    events_per_shard: Annotated[int, typer.Option(help="Events in a shard.", min=1)] = 1_000_000,
    threads: Annotated[int | None, typer.Option(help="Threads that encode, in each process.", min=1)] = None,
    device: Annotated[
        str | None, typer.Option(help="cuda or cuda:1: encode on a GPU; the shards are the same.")
    ] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    memory: MemoryOption = None,
    task_timeout: TimeoutOption = None,
    schema: SchemaOption = None,
    keep: KeepOption = None,
    allow_quarantine: Annotated[
        bool, typer.Option("--allow-quarantine", help="Finish although events or files cannot be tokenized.")
    ] = False,
    log_json: LogJsonOption = False,
) -> None:
    """Write token shards; run again, go on where it stopped."""
    from evtok import tokenize_files
    from evtok.cli.listeners import listener
    from evtok.cli.signals import signals

    with listener(log_json=log_json) as seen, signals(seen) as told:
        report = tokenize_files(
            inputs,
            tokenizer,
            output,
            format=container,
            events_per_shard=events_per_shard,
            threads=threads,
            device=device,
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
    print(
        f"{report.folder}: {report.shards} shards ({report.proven} proven from before), {counts.written} events, "
        f"{report.ids} tokens, {counts.quarantined} events in quarantine, {report.size} bytes, {report.seconds:.1f} s"
    )
    if report.warning:
        typer.echo(f"evtok: warning: {report.warning}", err=True)


@app.command("verify")
def verify_command(
    folder: Annotated[
        Path, typer.Argument(help="Folder that evtok tokenize wrote, or file that evtok score wrote.")
    ],
) -> None:
    """Read everything again and prove it."""
    from evtok import verify

    report = verify(folder)
    for problem in report.problems:
        typer.echo(problem, err=True)
    if not report.ok:
        typer.echo(f"evtok: {folder}: {len(report.problems)} problems", err=True)
        raise typer.Exit(1)
    tokens = f"{report.ids} tokens, " if report.ids else ""  # scores have none
    print(
        f"{folder}: proven: {report.shards} shards, {report.events} events, {tokens}{report.size} bytes, "
        f"{report.quarantined} events in quarantine"
    )


@app.command()
def inspect(
    folder: Annotated[Path, typer.Argument(help="Folder that evtok tokenize wrote.")],
    event: Annotated[int | None, typer.Option(help="Show the tokens of this event, decoded.")] = None,
) -> None:
    """Show what a folder of shards holds."""
    from evtok import TokenDataset
    from evtok.cli.inspection import show_dataset, show_event

    dataset: Any = TokenDataset(folder)
    if event is None:
        show_dataset(dataset)
    else:
        show_event(dataset, event)


bench.register(app)
codebook.register(app)
train.register(app)
score.register(app)
report.register(app)
status.register(app)
retry.register(app)
