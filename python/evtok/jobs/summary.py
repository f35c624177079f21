"""What a finished job came to, as one object that JSON can hold: ``job.json``, and what ``job.html`` shows.

The account is that of the manifest. Seconds, rates, workers and retries are those of the log, of all runs; they are for
people to look at, and prove nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from evtok.jobs import log, quarantine
from evtok.jobs.durable import OutputFolder
from evtok.jobs.history import History, Work
from evtok.jobs.manifest import Manifest
from evtok.jobs.plan import Plan

FORMAT = 1
#: Lines of quarantine files that are read, and groups of reasons that are listed.
MAX_LINES, MAX_REASONS = 1_000_000, 50
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def summary(folder: OutputFolder, manifest: Manifest) -> dict[str, Any]:
    """Sum a job up that came to its end.

    Parameters
    ----------
    folder : OutputFolder
        Of the job.
    manifest : Manifest
        With the account of every file, as every job has that came to its end.
    """
    plan = manifest.plan
    history = History.of(log.read(folder))
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "folder": str(folder.path),
        "complete": manifest.complete,
        "made": _made(plan),
        "account": manifest.totals.to_json(),
        "files": [
            {
                "path": file.path,
                "tree": file.tree,
                "bytes": file.size,
                "unreadable": file.unreadable,
                **counts.to_json(),
            }
            for file, counts in zip(plan.inputs, manifest.files, strict=True)
        ],
        "shards": len(manifest.shards),
        "ids": sum(shard.ids for shard in manifest.shards),
        "bytes": sum(shard.size for shard in manifest.shards),
        "bytes_read": sum(file.size for file in plan.inputs),
        "quarantine": _quarantine(folder, manifest),
        **_work(history),
    }


def _made(plan: Plan) -> dict[str, Any]:
    return {
        "product": plan.product.NAME,
        "by": plan.product.ARTEFACT,
        "fingerprint": plan.fingerprint,
        "numerics": plan.numerics,
        "container": plan.container,
        "codec": plan.codec,
        "events_per_shard": plan.events_per_shard,
        "columns": [name for name, _ in (*plan.product.columns, *plan.columns)],
        "evtok": plan.evtok,
        "pyarrow": plan.pyarrow,
        "plan": plan.digest(),
    }


def _work(history: History) -> dict[str, Any]:
    run = history.current
    return {
        "work": _of(history.work),
        "workers": [{"name": name, **_of(work)} for name, work in sorted(history.workers.items())],
        "runs": history.runs,
        "begin": run.begin if run else None,
        "seconds": run.seconds if run else None,
        "events_per_s": round(run.events_per_second, 1) if run else None,
        "retries": history.retries,
        "retried": history.retried,
    }


def _of(work: Work) -> dict[str, Any]:
    seconds = {name: round(value, 3) for name, value in work.seconds.items()}
    rates = {name: round(work.events / value, 1) if value else None for name, value in work.seconds.items()}
    return {
        "tasks": work.tasks,
        "events": work.events,
        "bytes": work.size,
        "seconds": seconds,
        "events_per_s": rates,
    }


def _quarantine(folder: OutputFolder, manifest: Manifest) -> dict[str, Any]:
    groups: dict[str, dict[str, Any]] = {}
    n_lines = 0
    for one in _lines(folder):
        n_lines += 1
        reason = str(one.get("reason", ""))
        key = _NUMBER.sub("#", reason)  # reasons that differ in a number are one reason
        if key not in groups and len(groups) >= MAX_REASONS:
            key = ""
        group = groups.setdefault(
            key, {"events": 0, "reason": reason if key else "other reasons", "first": None}
        )
        group["events"] += _events(one)
        group["first"] = group["first"] or {
            k: one[k] for k in ("file", "entry", "line", "start", "stop") if k in one
        }
    files = [file for file in manifest.plan.inputs if file.unreadable is not None]
    return {
        "events": manifest.totals.quarantined,
        "reasons": sorted(groups.values(), key=lambda group: -group["events"]),
        "lines_read": n_lines,
        "refused_ranges": len(manifest.refused),
        "unreadable_files": [{"path": file.path, "reason": file.unreadable} for file in files],
    }


def _lines(folder: OutputFolder) -> Iterator[dict[str, Any]]:
    """Yield the lines of all quarantine files, in order, up to `MAX_LINES`."""
    if quarantine.FOLDER not in folder.names():
        return
    n = 0
    with folder.subfolder(quarantine.FOLDER) as below:
        for name in below.names():
            if not name.endswith(".jsonl"):
                continue
            with open(below.open(name), "rb") as file:  # noqa: PTH123  a descriptor
                for data in file:
                    n += 1
                    if n > MAX_LINES:
                        return
                    yield _parsed(data)


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _events(one: dict[str, Any]) -> int:
    start, stop = one.get("start"), one.get("stop")
    return stop - start if isinstance(start, int) and isinstance(stop, int) else 1
