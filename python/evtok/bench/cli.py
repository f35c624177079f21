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
    device: Annotated[
        str,
        typer.Option(help="cpu, or cuda: the kernels of a GPU, and shapes that fill it.", metavar="cpu|cuda"),
    ] = "cpu",
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
    from evtok.bench import compare, document, registry

    if device not in ("cpu", "cuda"):
        raise typer.BadParameter(f"expected cpu or cuda, got {device}", param_hint="--device")
    chosen = _chosen(benchmarks, shape, data, device)
    if output is not None and not output.parent.is_dir():
        raise typer.BadParameter(f"{output.parent} is not a folder", param_hint="--json")
    earlier = None if old is None else document.read(old)
    n_threads = threads or _core.default_threads()
    if device == "cuda":
        run = _run_on_gpu(chosen, shape, n_threads, peers, rounds, output)
    else:
        run = _run(chosen, shape, registry.Settings(n_threads, peers, data), rounds)
    if output is not None:
        document.write(output, run)
        print(f"{output}: {len(run['rows'])} rows")
    if earlier is not None:
        for line in compare.lines(earlier, run):
            print(line)
    failed = [row for row in run["rows"] if "failed" in row]
    if failed:
        print(f"{len(failed)} rows were not measured: {', '.join(document.row_name(row) for row in failed)}")
        raise typer.Exit(1)


def _run(chosen: list[str], shape: str | None, settings: Any, rounds: int | None) -> dict[str, Any]:
    from evtok.bench import document, harness, machine, registry, text

    facts, before = machine.facts(settings.threads), machine.rates(settings.threads)
    for line in text.machine_lines(facts, before):
        print(line, flush=True)
    rows = []
    for benchmark in chosen:
        for case in registry.cases(benchmark, settings, shape):
            # A finished row measures something else than time.
            row = (
                case
                if isinstance(case, dict)
                else harness.measure(
                    case,
                    rounds=rounds,
                    clock=harness.HostClock(machine.flush_bytes(), harness.REST_SECONDS),
                )
            )
            rows.append(_printed(row))
    return document.make(facts, machine.versions(), [before, machine.rates(settings.threads)], rows)


def _run_on_gpu(
    chosen: list[str],
    shape: str | None,
    threads: int,
    peers: bool,
    rounds: int | None,
    output: Path | None,
) -> dict[str, Any]:
    """Run on a GPU; a row that fails is said to have failed, and costs no other.

    The document is written after each row: a run that its time limit ends has measured what it has.
    """
    from evtok.bench import document, machine, registry
    from evtok.bench.gpu import device as gpu
    from evtok.bench.gpu import facts as gpu_facts
    from evtok.bench.gpu import rows as gpu_rows

    device = gpu.TorchDevice()
    facts, before = machine.facts(threads) | {"gpu": gpu_facts.facts()}, gpu_facts.rates(device)
    for line in gpu_facts.lines(facts["gpu"], before):
        print(line, flush=True)
    settings = registry.Settings(threads, peers, device=device)
    versions = machine.versions() | gpu_facts.versions()
    rows = []
    for benchmark in chosen:
        for row in gpu_rows.measured(benchmark, settings, shape, rounds=rounds):
            rows.append(_printed(row))
            if output is not None:
                document.write(output, document.make(facts, versions, [before], rows))
    return document.make(facts, versions, [before, gpu_facts.rates(device)], rows)


def _printed(row: dict[str, Any]) -> dict[str, Any]:
    from evtok.bench import text

    for line in text.row_lines(row):
        print(line, flush=True)
    return row


def _chosen(
    benchmarks: list[str] | None, shape: str | None, data: Path | None, device: str = "cpu"
) -> list[str]:
    """Return the benchmarks to run; says so when one is left out."""
    from evtok.bench import registry

    known = registry.ON_GPU if device == "cuda" else registry.BENCHMARKS
    for name in benchmarks or ():
        if name not in known:
            raise typer.BadParameter(f"expected one of {', '.join(known)}, got {name}")
    if benchmarks:
        return list(dict.fromkeys(benchmarks))
    if shape is not None:
        raise typer.BadParameter("--shape: name the benchmark too: evtok bench tokenize --shape finke")
    if data is None and "io" in known:
        print("io is left out: it needs event files; give their folder as --data, or as EVTOK_TEST_DATA")
    return [name for name in known if name != "io" or data is not None]
