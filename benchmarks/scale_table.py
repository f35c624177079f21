"""Write the tables of docs/scale.md from the JSON of scale.py: no number is typed by hand.

Usage: python benchmarks/scale_table.py benchmarks/results/RUN-scale.json docs/scale.md
Replaces what lies between `<!-- scale:begin -->` and `<!-- scale:end -->`.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- scale:begin -->", "<!-- scale:end -->"
MANY = 10**9
#: Cores of the cluster that the last column is about.
CORES = 100


def table(run: dict[str, Any]) -> str:
    """Return the Markdown of a run: its machine, the rates, the memory, and the cost of 10⁹ events."""
    return "\n".join([*_machine(run), "", *_rates(run), "", *_memory(run), "", *_cost(run)])


def _machine(run: dict[str, Any]) -> Iterator[str]:
    machine, sample, tiled = run["machine"], run["sample"], run["tiled"]
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    yield (
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['isa']}. evtok {run['evtok']}, {run['created'][:10]}; "
        f"{versions}."
    )
    yield (
        f"The sample, {sample['name']} with {sample['events']:,} events, was tiled into a file of "
        f"{tiled['events']:,} events ({tiled['bytes'] / 1e6:,.1f} MB), read under {tiled['files']} names from the page "
        f"cache, into shards of {run['events_per_shard']:,} events. Medians of {_rounds(run)} rounds."
    )


def _rounds(run: dict[str, Any]) -> int:
    return 1 + max(one["round"] for row in run["rows"] for one in row["runs"])


def _rates(run: dict[str, Any]) -> Iterator[str]:
    workers = sorted({one["workers"] for row in run["rows"] for one in row["runs"]})
    yield (
        "| what | "
        + " | ".join(f"{n} worker{'s' * (n > 1)}" for n in workers)
        + " | of ideal | of jobs apart | seconds of one worker |"
    )
    yield "| --- |" + " --- |" * (len(workers) + 3)
    for row in run["rows"]:
        rates = [_rate(row, n) for n in workers]
        ideal = rates[-1] / rates[0] * workers[0] / workers[-1]
        cells = [
            row["what"],
            *(f"{_short(rate)} events/s" for rate in rates),
            f"{ideal:.0%}",
            f"{rates[-1] / statistics.median(one['events_per_second'] for one in row['apart']):.0%}",
            _stages(row, workers[0]),
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""
    n = workers[-1]
    yield (
        f"Ideal is {n} times the rate of one worker alone. Jobs apart are {n} jobs of one worker each that know "
        "nothing of each other, at the same time, and the sum of their rates: what the CPUs of this machine give "
        "together. Seconds are those of reading, encoding and writing 10⁶ events; reading overlaps the others."
    )


def _stages(row: dict[str, Any], workers: int) -> str:
    runs = [one for one in row["runs"] if one["workers"] == workers]
    return " / ".join(
        f"{statistics.median(1e6 * one['stages'][name] / one['events'] for one in runs):.2g}"
        for name in ("read", "encode", "write")
    )


def _memory(run: dict[str, Any]) -> Iterator[str]:
    if not run["memory"]:
        return
    points = "; ".join(f"{p['events']:,} events: {p['peak_bytes'] / 1e6:,.0f} MB" for p in run["memory"])
    what = run["memory"][0]["what"]
    yield f"Peak resident memory of one process ({what}), Python and its packages included: {points}."


def _cost(run: dict[str, Any]) -> Iterator[str]:
    cpus = max(one["workers"] for row in run["rows"] for one in row["runs"])
    yield f"| 10⁹ events | core-hours | storage | this machine, {cpus} workers | {CORES} cores like these |"
    yield "| --- | --- | --- | --- | --- |"
    for row in run["rows"]:
        stored = row["untiled"]
        hours = MANY / _rate(row, cpus) / 3600
        cells = [
            row["what"],
            f"{cpus * hours:,.1f}",
            f"{MANY * stored['bytes'] / stored['events'] / 1e9:,.3g} GB",
            _time(hours),
            _time(cpus * hours / CORES),
        ]
        yield f"| {' | '.join(cells)} |"


def _rate(row: dict[str, Any], workers: int) -> float:
    return statistics.median(
        one["events"] / one["seconds"] for one in row["runs"] if one["workers"] == workers
    )


def _short(rate: float) -> str:
    return f"{rate / 1e6:.3g} M" if rate >= 1e6 else f"{rate / 1e3:.3g} k"


def _time(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:,.1f} min"


def main(arguments: list[str]) -> None:
    """Run the script."""
    source, target = (Path(argument) for argument in arguments)
    text = target.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"{target}: expected one {BEGIN}, and after it one {END}")
    head, rest = text.split(BEGIN)
    content = table(json.loads(source.read_text(encoding="utf-8")))
    target.write_text(f"{head}{BEGIN}\n{content}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
