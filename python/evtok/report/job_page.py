"""The page of a job: what came in, what went out, what was set aside and why, and where the time went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evtok.report.page import Html, element, page, section, table

_COUNTS = ("read", "written", "filtered", "quarantined")
#: Files and workers that are listed; job.json has them all.
_MOST_ROWS = 200


def job_page(job: Mapping[str, Any]) -> str:
    """Return the page of a job.

    Parameters
    ----------
    job : mapping
        What `evtok.jobs.summary.summary` returned, or ``job.json`` holds.
    """
    sections = [("account", "Where every event went", _account(job))]
    if job["account"]["quarantined"] or job["quarantine"]["unreadable_files"]:
        sections.append(("quarantine", "Quarantine", _quarantine(job)))
    sections += [("time", "Where the time went", _time(job)), ("made", "How it was made", _made(job))]
    title = f"Job {job['folder'].rstrip('/').rsplit('/', 1)[-1]}"
    return page(
        title,
        element("header", element("h1", title), _verdict(job), _facts(job)),
        [(key, name) for key, name, _ in sections],
        [section(key, name, *parts) for key, name, parts in sections],
    )


def _verdict(job: Mapping[str, Any]) -> Html:
    counts, unreadable = job["account"], job["quarantine"]["unreadable_files"]
    lost = _plural(counts["quarantined"], "event") + " in quarantine"
    if unreadable:
        lost += f", {_plural(len(unreadable), 'file')} that cannot be opened"
    if not job["complete"]:
        words = f"{lost}; that was not allowed, so this is no finished data set. Mend the input, or allow it."
        return _said("bad", "Not finished. ", words)
    if counts["quarantined"] or unreadable:
        return _said("good", "Complete, but for what was allowed to be missing. ", f"{lost}; see below.")
    return _said(
        "good", "Complete. ", "Every event of every file was written. evtok verify proves the bytes."
    )


def _said(kind: str, first: str, words: str) -> Html:
    return element("p", element("strong", first), element("span", words), class_=f"verdict {kind}")


def _facts(job: Mapping[str, Any]) -> Html:
    counts = job["account"]
    facts = [
        (f"{counts['read']:,}", f"events in {_plural(len(job['files']), 'file')}"),
        (f"{counts['written']:,}", f"events written, in {_plural(job['shards'], 'shard')}"),
        (f"{counts['quarantined']:,}", "events in quarantine"),
        (_bytes(job["bytes_read"]), "in the input files"),
        (_bytes(job["bytes"]), "in the shards"),
    ]
    if job["ids"]:
        facts.insert(2, (f"{job['ids']:,}", "tokens"))
    shown = (element("div", element("dt", words), element("dd", value)) for value, words in facts)
    return element("dl", *shown, class_="facts")


def _account(job: Mapping[str, Any]) -> list[Html]:
    weighted = any(file["weight_read"] is not None for file in job["files"])
    headings = ["file", *_COUNTS, *(("sum of weights read", "written") if weighted else ())]
    rows = [_counted(_named(file), file, weighted=weighted) for file in _most(job["files"])]
    parts = [
        table(
            "Every event is accounted for: read = written + filtered + quarantined.",
            headings,
            rows,
            total=_counted("all files", job["account"], weighted=weighted),
        )
    ]
    if weighted:
        words = "What could not be read has no known weight: it is counted, and is in no sum of weights."
        parts.append(element("p", words, class_="note"))
    parts += _left_out(job["files"], "files")
    return parts + _losses(job)


def _losses(job: Mapping[str, Any]) -> list[Html]:
    """Say what tokens or scores do not tell of the events that were written."""
    counts = job["account"]
    rows = [
        ["tokens of unknown objects or values (unk)", f"{counts['unknown']:,}"],
        ["events that were too long and were cut", f"{counts['truncated_events']:,}"],
        ["objects dropped from these", f"{counts['truncated_objects']:,}"],
        ["objects outside the limits of the features", f"{counts.get('cut_objects', 0):,}"],
    ]
    if all(number == "0" for _, number in rows):
        return []
    words = f"What the {job['made']['product']} do not say of events that were written."
    return [table(words, ["what", "number"], rows)]


def _quarantine(job: Mapping[str, Any]) -> list[Html]:
    found, parts = job["quarantine"], list[Html]()
    if found["reasons"]:
        rows = [
            [group["reason"], f"{group['events']:,}", _where(group["first"])] for group in found["reasons"]
        ]
        parts.append(
            table(
                "Why, as it was said of the first; reasons that differ in a number count as one.",
                ["reason", "events", "the first of them"],
                rows,
                text_columns=(0, 2),
            )
        )
    if found["unreadable_files"]:
        rows = [
            [element("code", file["path"]), file["reason"]] for file in found["unreadable_files"][:_MOST_ROWS]
        ]
        parts.append(
            table(
                "Files that cannot be opened; how many events they hold is not known.",
                ["file", "reason"],
                rows,
                text_columns=(0, 1),
            )
        )
    words = (
        "The folder quarantine lists each event with its file, its row and the reason. The same command tries again "
        "what could not be read; evtok retry makes a new folder of mended files, and takes over what did not change."
    )
    return [*parts, element("p", words, class_="note")]


def _time(job: Mapping[str, Any]) -> list[Html]:
    work = job["work"]
    rows = [
        [name, f"{work['events']:,}", f"{work['seconds'][key]:,.1f}", _rate(work["events_per_s"][key])]
        for key, name in (("read", "reading"), ("encode", "encoding"), ("write", "writing"))
    ]
    parts = [
        table(
            "Seconds of all workers together. Reading overlaps the others, so the sum can exceed the time that passed.",
            ["stage", "events", "seconds", "events/s of one worker"],
            rows,
        ),
        table(
            "Who did it.",
            ["worker", "shards", "events", "written", "seconds reading", "encoding", "writing"],
            [
                [
                    element("code", worker["name"] or "?"),
                    f"{worker['tasks']:,}",
                    f"{worker['events']:,}",
                    _bytes(worker["bytes"]),
                    *(f"{worker['seconds'][key]:,.1f}" for key in ("read", "encode", "write")),
                ]
                for worker in _most(job["workers"])
            ],
        ),
        *_left_out(job["workers"], "workers"),
    ]
    runs = f"{_plural(job['runs'], 'run')} of the command, the last begun {job['begin'] or '?'}"
    if job["seconds"] is not None:
        runs += f", which took {job['seconds']:,.1f} s"
        if job["events_per_s"]:
            runs += f" at {_rate(job['events_per_s'])} events/s, all that starts up included"
    again = (
        _plural(job["retries"], "attempt") + " failed and were repeated"
        if job["retries"]
        else "no attempt failed"
    )
    parts.append(element("p", f"{runs}; {again}. These numbers are those of log.jsonl.", class_="note"))
    if job["retried"]:
        rows = [
            [one.get("name", "?"), one.get("worker", "?"), one.get("reason", "?")] for one in job["retried"]
        ]
        parts.append(
            table(
                "Attempts that failed and were repeated, the last ones.",
                ["task", "worker", "reason"],
                rows,
                text_columns=(0, 1, 2),
            )
        )
    return parts


def _made(job: Mapping[str, Any]) -> list[Html]:
    made = job["made"]
    facts = [
        ("product", f"{made['product']}: columns {', '.join(made['columns'])}"),
        (f"fingerprint of the {made['by']} (sha256)", element("code", made["fingerprint"])),
        ("plan (sha256)", element("code", made["plan"])),
        ("shards", f"{made['container']}, {made['codec']}, {made['events_per_shard']:,} events each"),
        ("evtok", f"{made['evtok']}, numerics version {made['numerics']}; pyarrow {made['pyarrow']}"),
        ("folder", element("code", job["folder"])),
        ("page made", job["created"]),
    ]
    listed = element(
        "dl", *(part for k, v in facts for part in (element("dt", k), element("dd", v))), class_="run"
    )
    words = "The plan and the input files decide every byte of the shards: run again, anywhere, they are the same."
    return [element("p", words), listed]


def _counted(name: Any, counts: Mapping[str, Any], *, weighted: bool) -> list[Any]:
    numbers = [f"{counts[key]:,}" for key in _COUNTS]
    return [
        name,
        *numbers,
        *((_weight(counts["weight_read"]), _weight(counts["weight_written"])) if weighted else ()),
    ]


def _named(file: Mapping[str, Any]) -> Html:
    name = element("code", file["path"].rsplit("/", 1)[-1], title=file["path"])
    return name if file["unreadable"] is None else element("span", name, " (cannot be opened)")


def _where(first: Mapping[str, Any] | None) -> Html | str:
    if not first:
        return ""
    file = str(first.get("file", "")).rsplit("/", 1)[-1]
    if "start" in first:
        return element("span", element("code", file), f", rows {first['start']} to {first.get('stop')}")
    line = f", line {first['line']}" if "line" in first else ""
    return element("span", element("code", file), f", row {first.get('entry')}{line}")


def _most(rows: Sequence[Any]) -> Sequence[Any]:
    return rows[:_MOST_ROWS]


def _left_out(rows: Sequence[Any], what: str) -> list[Html]:
    n = len(rows) - _MOST_ROWS
    return [element("p", f"And {n:,} more {what}, which job.json lists.", class_="note")] if n > 0 else []


def _weight(value: Any) -> str:
    return "–" if value is None else f"{float(value):,.6g}"


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _plural(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _bytes(n: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= size:
            return f"{n / size:,.1f} {unit}"
    return f"{n} B"
