"""A run as text for a terminal: every number with its unit, every peer that is absent named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evtok.bench.document import row_name

_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def machine_lines(machine: dict[str, Any], rates: dict[str, Any]) -> Iterator[str]:
    """Say what the machine is and can do."""
    yield (
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['threads']} threads, {machine['isa']}, "
        f"kernel {machine['kernel']}, governor {machine['governor'] or 'not readable'}, load {machine['load']:.1f}"
    )
    fused = "fused " if rates["multiply_add"]["fused"] else ""
    yield (
        f"copy {scaled(rates['copy']['bytes_per_second'])}B/s read and written (streaming; "
        f"{scaled(rates['copy_plain']['bytes_per_second'])}B/s with write-allocate, which is not counted), "
        f"{scaled(rates['multiply_add']['operations_per_second'])}flop/s in float32 {fused}multiply-adds"
    )


def row_lines(row: dict[str, Any]) -> Iterator[str]:
    """Say what a row measured."""
    yield f"{row_name(row)}"
    if "failed" in row:
        yield f"  NOT MEASURED: {row['failed']}"
        return
    if "memory" in row:
        for point in row["memory"]:
            yield (
                f"  {point['events']:>12,} events, {scaled(point['bytes'])}B input: peak {scaled(point['peak_bytes'])}B"
            )
        return
    for one in row["contestants"]:
        if one["role"] == "limit":
            continue
        seconds = one["seconds"]
        wrong = f", {differing(one, row)}" if one["differences"] else ""
        yield (
            f"  {one['name']:34s} {rate(one, row)}   median {seconds['median'] * 1e3:9.3f} ms, "
            f"quartiles {seconds['q1'] * 1e3:.3f} to {seconds['q3'] * 1e3:.3f}, {seconds['n']} rounds, "
            f"{threads(one)}{wrong}"
        )
    for ratio in row["ratios"]:
        reach = f", to reach: {ratio['reach']:g}" if "reach" in ratio else ""
        yield f"  {ratio['of']} : {ratio['to']} = {interval(ratio)}{reach}"
    for limit in row["limits"]:
        yield f"  {limit['of']}: {of_limit(limit)}"
    for note in row["notes"]:
        yield f"  note: {note}"
    verdict = "" if row["again"]["within_noise"] else ": THE MACHINE IS NOT STEADY ENOUGH FOR THESE NUMBERS"
    yield f"  A/A {interval(row['again'])}{verdict}"
    for package in row["absent"]:
        yield f"  {package} is not installed: not compared"


def rate(one: dict[str, Any], row: dict[str, Any]) -> str:
    """Say how fast a contestant is: units per second, or how long each of its calls takes."""
    if row["unit"] == "calls":
        return f"{1e6 / one['rate']:10.2f} µs a call"
    return f"{scaled(one['rate']):>7s}{row['unit']}/s"


def threads(one: dict[str, Any]) -> str:
    """Say how many threads a contestant has; on a GPU the question does not arise."""
    return f"{one['threads']} threads" if one["threads"] else "on the GPU"


def differing(one: dict[str, Any], row: dict[str, Any]) -> str:
    """Say how many values of a contestant differ, and of how many where that is not all."""
    amount = one.get("amount", row["amount"])
    return f"{one['differences']} values differ" + ("" if amount == row["amount"] else f" of {amount:,}")


def of_limit(limit: dict[str, Any]) -> str:
    """Say how much of a limit of the machine was used."""
    share = f"{100 * limit['median']:.0f} % of the {limit['limit']}"
    if "operations_per_unit" in limit:
        full = limit["limit_operations_per_second"]
        return (
            f"{share}, {scaled(limit['median'] * full)}flop/s of {scaled(full)}flop/s, at "
            f"{limit['operations_per_unit']:g} ({limit['counting']})"
        )
    return (
        f"{share} bandwidth, {scaled(limit['limit_bytes_per_second'])}B/s, at {limit['bytes_per_unit']:g} bytes "
        f"({limit['counting']})"
    )


def interval(ratio: dict[str, Any]) -> str:
    """Write a median with its interval."""
    return f"{ratio['median']:.3g} ({ratio['low']:.3g} to {ratio['high']:.3g}, {100 * ratio['confidence']:.4g} %)"


def scaled(value: float) -> str:
    """Write a number with three digits and the prefix of its unit."""
    for scale, prefix in _SCALES:
        if value >= scale:
            return f"{value / scale:.3g} {prefix}"
    return f"{value:.3g} "
