"""The last sections of the page: where every event went, whether that was proven, and how the page was made."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from evtok._build import build_config
from evtok.jobs.record import Counts
from evtok.report.content import Content
from evtok.report.page import Html, element, table


def job(content: Content) -> list[Html]:
    """Show the account of every file, and what `verify` said."""
    rows = [
        [element("code", planned.path.rsplit("/", 1)[-1]), *_counted(counts)]
        for one in content.jobs
        for planned, counts in zip(one.manifest.plan.inputs, one.manifest.files, strict=True)
    ]
    account = table(
        "Every event is accounted for: read = written + filtered + quarantined.",
        ["file", "read", "written", "filtered", "quarantined"],
        rows,
        total=["all files", *_counted(content.totals)],
    )
    parts = [_verdict(content), account, _shards(content)]
    if content.steps:
        parts.append(
            table(
                "Times of this run, with all that starts up; for rates of the kernels run evtok bench.",
                ["step", "events", "time [s]", "rate [events/s]"],
                [
                    [step.name, f"{step.events:,}", f"{step.seconds:.3f}", _rate(step.events / step.seconds)]
                    for step in content.steps
                ],
            )
        )
    return parts


def run(content: Content) -> list[Html]:
    """Say which software made the tokens, so that they can be made again."""
    config = build_config()
    tokenizer = content.tokenizer
    digits = " × ".join(f"{name} {n}" for name, n in tokenizer.digits.items())
    facts: list[tuple[str, Any]] = [
        ("tokenizer", f"{type(tokenizer).__name__}: {digits}; {tokenizer.vocab_size:,} ids"),
        ("fingerprint (sha256)", element("code", tokenizer.fingerprint)),
        ("evtok", f"{config['version']}, numerics version {config['numerics_version']}"),
        ("compiler", f"{config['compiler']}, {config['build_type']}"),
        ("instruction set", f"{config['isa']} (of {', '.join(config['isas_available'])})"),
        ("threads", f"{config['threads']} by default, {config['cpus']} CPUs usable"),
        ("Python, NumPy", f"{config['python']}, {config['numpy']}"),
        ("page made", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
    ]
    words = element(
        "p",
        "The same events and the same tokenizer give the same tokens, bit for bit, on every instruction set, with any "
        "number of threads and any split into batches. The fingerprint covers all that decides them.",
    )
    listed = element(
        "dl", *(part for k, v in facts for part in (element("dt", k), element("dd", v))), class_="run"
    )
    return [words, listed]


def _verdict(content: Content) -> Html:
    problems = [line for verdict in content.verdicts for line in verdict.problems]
    if not problems:
        shards = sum(verdict.shards for verdict in content.verdicts)
        events = sum(verdict.events for verdict in content.verdicts)
        size = sum(verdict.size for verdict in content.verdicts)
        return element(
            "p",
            element("strong", "Proven. "),
            element(
                "span",
                f"All {shards} shards ({size / 1e3:,.0f} kB, {events:,} events) were read again: sizes, hashes, "
                "ids and counts agree with the manifest.",
            ),
            class_="verdict good",
        )
    return element(
        "div",
        element("strong", f"Not proven: {len(problems)} problems."),
        element("ul", *(element("li", line) for line in problems)),
        class_="verdict bad",
    )


def _shards(content: Content) -> Html:
    rows = [
        [
            element("code", f"{one.folder.name}/{shard.name}"),
            f"{shard.events:,}",
            f"{shard.ids:,}",
            f"{shard.size / 1e3:,.1f}",
            element("code", shard.sha256[:16]),
        ]
        for one in content.jobs
        for shard in one.manifest.shards
    ]
    return table(
        "The shards.",
        ["shard", "events", "tokens", "size [kB]", "sha256, first 16 of 64 digits"],
        rows,
        text_columns=(0, 4),
    )


def _counted(counts: Counts) -> list[str]:
    return [f"{n:,}" for n in (counts.read, counts.written, counts.filtered, counts.quarantined)]


def _rate(value: float) -> str:
    digits = max(0, len(str(int(value))) - 2)
    return f"{round(value, -digits):,.0f}"
