"""``evtok bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("bench")(bench)


def bench(
    benchmarks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[tokenize|digitize|nearest|score|encoder|io]...",
            help="By default all.",
            show_default=False,
        ),
    ] = None,
    shape: Annotated[str | None, typer.Option(help="One shape of benchmarks/shapes.json.")] = None,
    peers: Annotated[
        bool, typer.Option("--peers", help="Compare with all peers that are installed.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="Threads of evtok and of the peers.", min=1)] = None,
    rounds: Annotated[
        int | None, typer.Option(help="Rounds of each case; by default 11 to 41.", min=3)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of event files for io.", envvar="EVTOK_TEST_DATA", exists=True, file_okay=False
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--json", help="Write the run as JSON.", dir_okay=False)
    ] = None,
    old: Annotated[
        Path | None, typer.Option("--compare", help="JSON of an earlier run.", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """Measure this build on this machine: verified results, beside peers and the machine's limits."""
    from evtok import _core
    from evtok.bench import compare, document, machine, registry, text

    chosen = _chosen(benchmarks, shape, data)
    if output is not None and not output.parent.is_dir():
        raise typer.BadParameter(f"{output.parent} is not a folder", param_hint="--json")
    earlier = None if old is None else document.read(old)
    n_threads = threads or _core.default_threads()
    facts, before = machine.facts(n_threads), machine.rates(n_threads)
    for line in text.machine_lines(facts, before):
        print(line, flush=True)

    rows: list[dict[str, Any]] = []
    settings = registry.Settings(n_threads, peers, data)
    for row in _rows(chosen, settings, shape, rounds):
        rows.append(row)
        for line in text.row_lines(row):
            print(line, flush=True)

    run = document.make(facts, machine.versions(), [before, machine.rates(n_threads)], rows)
    if output is not None:
        document.write(output, run)
        print(f"{output}: {len(rows)} rows")
    if earlier is not None:
        for line in compare.lines(earlier, run):
            print(line)


def _rows(chosen: list[str], settings: Any, shape: str | None, rounds: int | None) -> Any:
    from evtok.bench import harness, machine, registry

    for benchmark in chosen:
        for case in registry.cases(benchmark, settings, shape):
            if isinstance(case, dict):  # a row that measures something else than time
                yield case
            else:
                yield harness.measure(case, rounds=rounds, flush_bytes=machine.flush_bytes())


def _chosen(benchmarks: list[str] | None, shape: str | None, data: Path | None) -> list[str]:
    """Return the benchmarks to run; says so when one is left out."""
    from evtok.bench import registry

    for name in benchmarks or ():
        if name not in registry.BENCHMARKS:
            raise typer.BadParameter(f"expected one of {', '.join(registry.BENCHMARKS)}, got {name}")
    if benchmarks:
        return list(dict.fromkeys(benchmarks))
    if shape is not None:
        raise typer.BadParameter("--shape: name the benchmark too: evtok bench tokenize --shape finke")
    if data is None:
        print("io is left out: it needs event files; give their folder as --data, or as EVTOK_TEST_DATA")
    return [name for name in registry.BENCHMARKS if name != "io" or data is not None]
