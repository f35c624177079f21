"""Two runs side by side. Only ratios inside a run are compared: absolute rates of two days differ by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evtok.bench.document import row_name


def verdict(old: dict[str, float], new: dict[str, float]) -> str:
    """Compare two ratios to the same peer by their intervals: "faster", "slower" or "within noise"."""
    if new["low"] > old["high"]:
        return "faster"
    if new["high"] < old["low"]:
        return "slower"
    return "within noise"


def compare(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one entry for each ratio that both runs have, and one with verdict "missing" for each that one lacks."""
    before, after = _ratios(old), _ratios(new)
    entries = []
    for key in dict.fromkeys([*before, *after]):
        row, of, to = key
        entry: dict[str, Any] = {
            "row": row,
            "of": of,
            "to": to,
            "old": before.get(key),
            "new": after.get(key),
        }
        both = entry["old"] is not None and entry["new"] is not None
        entries.append(entry | {"verdict": verdict(entry["old"], entry["new"]) if both else "missing"})
    return entries


def lines(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Write the comparison as text."""
    for name in ("cpu", "isa", "threads", "kernel"):
        if old["machine"][name] != new["machine"][name]:
            yield f"another machine: {name} was {old['machine'][name]}, is {new['machine'][name]}"
    for package in old["versions"]:
        if old["versions"][package] != new["versions"].get(package):
            yield f"another peer: {package} was {old['versions'][package]}, is {new['versions'].get(package)}"
    for entry in compare(old, new):
        label = f"{entry['row']}: {entry['of']} : {entry['to']}"
        if entry["verdict"] == "missing":
            yield f"{label}: only in the {'old' if entry['new'] is None else 'new'} run"
            continue
        change = entry["new"]["median"] / entry["old"]["median"] - 1
        yield (
            f"{label}: {entry['old']['median']:.3g} -> {entry['new']['median']:.3g} ({change:+.1%}), {entry['verdict']}"
        )


def _ratios(document: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, float]]:
    return {
        (row_name(row), ratio["of"], ratio["to"]): ratio
        for row in document["rows"]
        for ratio in row.get("ratios", ())
    }
