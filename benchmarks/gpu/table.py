"""A run in a few lines: the sections, then each row of the benchmarks with its ratios and fractions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def lines(summary: dict[str, Any], bench: Path) -> Iterator[str]:
    """Yield the table."""
    yield ""
    for name, one in summary["sections"].items():
        told = one.get("summary") or one.get("why") or one.get("of") or one.get("first call") or ""
        yield f"{name:10s} {one['seconds']:7.1f} s  {one['status']}  {told}"
        for line in [*one.get("failed", ()), *one.get("end", ())]:
            yield f"           | {line}"
        for part in (value for value in one.values() if isinstance(value, dict) and "status" in value):
            if part["status"] != "ok":
                yield f"           | {part}"
    if "bench" in summary["sections"] and bench.is_file():
        yield from _rows(json.loads(bench.read_text(encoding="utf-8")))


def _rows(run: dict[str, Any]) -> Iterator[str]:
    rates = run["rates"][0]
    yield ""
    yield (
        f"copy {rates['copy']['bytes_per_second'] / 1e12:.2f} TB/s, float32 "
        f"{rates['multiply_add']['operations_per_second'] / 1e12:.1f} and bfloat16 "
        f"{rates['bfloat16']['operations_per_second'] / 1e12:.0f} Tflop/s in products of matrices"
    )
    for row in run["rows"]:
        name = f"{row['benchmark']} {row['shape']} {row['variant']}"
        if "failed" in row:
            yield f"{name}: NOT MEASURED: {row['failed'][:200]}"
            continue
        steady = "" if row["again"]["within_noise"] else "  (A/A outside of noise)"
        yield f"{name}{steady}"
        for one in (c for c in row["contestants"] if c["role"] == "ours"):
            shares = ", ".join(
                f"{100 * limit['median']:.0f} % of {limit['limit']}"
                for limit in row["limits"]
                if limit["of"] == one["name"]
            )
            ratios = "; ".join(
                f"{r['median']:.3g} x {r['to']}" + (f" (reach {r['reach']:g})" if "reach" in r else "")
                for r in row["ratios"]
                if r["of"] == one["name"]
            )
            yield f"  {one['name']:16s} {one['rate']:.3g} {row['unit']}/s, {shares}; {ratios}"
