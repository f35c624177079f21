"""Write the table of benchmarks into a Markdown file, from the JSON of runs: no number is typed by hand.

Usage: python benchmarks/table.py benchmarks/results/RUN.json... benchmarks/README.md
A row that a later run of the arguments measured again is left out of the earlier one.
Replaces what lies between `<!-- bench:begin -->` and `<!-- bench:end -->`. With --short, one table of one ratio for
each subject, as README.md has it. With --check it writes nothing, and exits with 1 when the file does not hold the
table of these runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evtok.bench import document
from evtok.bench.text import scaled

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def latest(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs without the rows that a later one has too, and without those of which nothing is left."""
    last = {_key(row): number for number, run in enumerate(runs) for row in run["rows"]}
    kept = [
        run | {"rows": [row for row in run["rows"] if last[_key(row)] == number]}
        for number, run in enumerate(runs)
    ]
    return [run for run in kept if run["rows"]]


def _key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["benchmark"], row["shape"], row.get("variant", "")


def table(runs: list[dict[str, Any]]) -> str:
    """Return the Markdown of runs: their machine, then one line for each of our rates."""
    return "\n".join(line for run in runs for line in _run_lines(run))


def short_table(runs: list[dict[str, Any]]) -> str:
    """Return the Markdown of one table: of each of our rates, the ratio that is to be reached, or else the smallest.

    Small calls are in it where they have something to reach.
    """
    lines = ["| what | rate | times the peer | to reach |", "| --- | --- | --- | --- |"]
    for row in (row for run in runs for row in run["rows"] if _is_short(row)):
        for one in (one for one in row["contestants"] if one["role"] == "ours"):
            ratios = [ratio for ratio in row["ratios"] if ratio["of"] == one["name"]]
            aims = [ratio for ratio in ratios if "reach" in ratio]
            for ratio in aims or sorted(ratios, key=lambda ratio: float(ratio["median"]))[:1]:
                reach = f"{ratio['reach']:g}" if "reach" in ratio else ""
                name = f"{row['benchmark']} {row['shape']}: {row['variant']}"
                name += "" if one["name"] == "evtok" else f", {one['name']}"
                times = f"{ratio['median']:.3g} × {ratio['to']}"
                lines.append(f"| {name} | {_rate(row, one)} | {times} | {reach} |")
    return "\n".join(lines) + "\n"


def replaced(text: str, content: str) -> str:
    """Return `text` with `content` between the markers."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise SystemExit(f"expected one {BEGIN}, and after it one {END}")
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{content}\n{END}{rest.split(END)[1]}"


def _run_lines(run: dict[str, Any]) -> Iterator[str]:
    machine, rates = run["machine"], run["rates"][0]
    gpu = machine.get("gpu")
    where = f"{gpu['cuda']['devices'][0]['name']}, CUDA {gpu['cuda']['toolkit']}; " if gpu else ""
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items() if version)
    yield (
        f"{where}{machine['cpu']}, {machine['threads']} threads, {machine['isa']}; copy bandwidth "
        f"{scaled(rates['copy']['bytes_per_second'])}B/s. evtok {run['evtok']}, {run['created'][:10]}; {versions}."
    )
    yield "Medians of interleaved rounds; ratios with an interval that holds the true median with 99.9 %, or as stated."
    for kind, head in _HEADS.items():
        lines = [
            _line(row, one)
            for row in run["rows"]
            if _kind(row) == kind
            for one in row["contestants"]
            if one["role"] == "ours"
        ]
        if lines:
            yield ""
            yield f"| {' | '.join(head)} |"
            yield f"| {' | '.join(['---'] * len(head))} |"
            yield from lines
    for row in run["rows"]:
        if _kind(row) != "memory":
            continue
        points = "; ".join(f"{p['events']:,} events: {scaled(p['peak_bytes'])}B" for p in row["memory"])
        yield ""
        yield f"Peak memory of a job ({row['shape']}): {points}."
    yield ""


#: A table for each kind of row, with its columns.
_HEADS = {
    "bandwidth": ("what", "rate", "times the peer", "of the copy bandwidth"),
    "arithmetic": (
        *("what", "rate", "times the peer", "to reach"),
        *("results of peers that differ", "of the multiply-add peak"),
    ),
    "calls": ("what", "one call", "times the peer", "to reach"),
}


def _kind(row: dict[str, Any]) -> str:
    if "failed" in row:
        return "failed"
    if "memory" in row:
        return "memory"
    if row["unit"] == "calls":
        return "calls"
    return "arithmetic" if any("operations_per_unit" in limit for limit in row["limits"]) else "bandwidth"


def _is_short(row: dict[str, Any]) -> bool:
    if _kind(row) == "calls":
        return any("reach" in ratio for ratio in row["ratios"])
    return _kind(row) in ("arithmetic", "bandwidth")


def _line(row: dict[str, Any], one: dict[str, Any]) -> str:
    name, kind = one["name"], _kind(row)
    limits = [limit for limit in row["limits"] if limit["of"] == name]
    ratios = [r for r in row["ratios"] if r["of"] == name]
    first = f"{row['benchmark']} {row['shape']}: {row['variant']}, {name}"
    times = "<br>".join(_times(r) for r in ratios)
    reach = "<br>".join(f"{r['reach']:g} × {r['to']}" for r in ratios if "reach" in r)
    if kind == "calls":
        cells = [first, _rate(row, one), times, reach]
    elif kind == "arithmetic":
        cells = [
            *(first, _rate(row, one), times, reach),
            "<br>".join(_differing(row)) or "none",
            "<br>".join(_share(row, limit) for limit in limits),
        ]
    else:
        shares = (f"{100 * limit['median']:.0f} % at {limit['bytes_per_unit']:g} bytes" for limit in limits)
        cells = [first, _rate(row, one), times, "<br>".join(shares)]
    return f"| {' | '.join(cells)} |"


def _rate(row: dict[str, Any], one: dict[str, Any]) -> str:
    if row["unit"] == "calls":
        return f"{1e6 / one['rate']:.3g} µs"
    return f"{scaled(one['rate'])}{row['unit']}/s"


def _share(row: dict[str, Any], limit: dict[str, Any]) -> str:
    share = f"{100 * limit['median']:.0f} %"
    if row["benchmark"] != "encoder":  # a lookup does not do all the operations that are counted
        return share
    return f"{share}, {scaled(limit['median'] * limit['limit_operations_per_second'])}flop/s"


def _times(ratio: dict[str, Any]) -> str:
    stated = ")" if ratio["confidence"] >= 0.998 else f", {100 * ratio['confidence']:.3g} %)"
    return f"{ratio['median']:.3g} × {ratio['to']} ({ratio['low']:.3g} to {ratio['high']:.3g}{stated}"


def _differing(row: dict[str, Any]) -> Iterator[str]:
    for peer in row["contestants"]:
        if peer["role"] == "peer" and peer["differences"]:
            yield f"{100 * peer['differences'] / peer['amount']:.2g} % of {peer['name']}"


def main(arguments: list[str]) -> None:
    """Run the script."""
    check, make = "--check" in arguments, short_table if "--short" in arguments else table
    *runs, target = [argument for argument in arguments if not argument.startswith("--")]
    path = Path(target)
    text = path.read_text(encoding="utf-8")
    new = replaced(text, make(latest([document.read(run) for run in runs])))
    if check and new != text:
        raise SystemExit(f"{path}: the table is not that of {', '.join(runs)}: run benchmarks/table.py")
    if not check:
        path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
