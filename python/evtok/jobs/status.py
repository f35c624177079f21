"""How a job stands, running or dead: read from its folder, which is not touched.

What is recorded is counted, not proven: that is for `verify`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evtok.errors import JobError, ShardError
from evtok.jobs import log, resume
from evtok.jobs import manifest as manifests
from evtok.jobs.durable import OutputFolder
from evtok.jobs.generation import job_folder_of
from evtok.jobs.history import History
from evtok.jobs.manifest import Manifest, read_record, require_manifest
from evtok.jobs.record import Counts, ShardRecord

State = Literal["running", "complete", "quarantine", "stopped", "dead"]


@dataclass(frozen=True)
class JobStatus:
    """How a job stands.

    Attributes
    ----------
    folder : Path
    product : str
        "tokens" or "scores".
    state : str
        "running": a coordinator holds the lock. "complete": all is written and recorded. "quarantine": the same, but
        events are in quarantine that was not allowed. "stopped": the last run said why it ended (`exit`, `reason`).
        "dead": it did not, as after kill -9.
    shards, shards_done : int
        Of the plan, and those that are recorded.
    events, events_done : int
        Of the plan, and those of recorded shards and refused ranges.
    counts : Counts
        Where the events that are done went.
    size : int
        Bytes of the shards.
    refused : int
        Ranges that could not be read, of the last run that came to its end.
    unreadable_files : int
        Inputs that could not be opened.
    damaged : tuple of str
        Recorded shards that are missing or have another size, and records that prove nothing.
    history : History
        What the log says.
    """

    folder: Path
    product: str
    state: State
    shards: int
    shards_done: int
    events: int
    events_done: int
    counts: Counts
    size: int
    refused: int
    unreadable_files: int
    damaged: tuple[str, ...]
    history: History

    @property
    def ok(self) -> bool:
        """Whether there is nothing to do but to wait: running or complete, and nothing is damaged."""
        return self.state in ("running", "complete") and not self.damaged

    @property
    def events_per_second(self) -> float | None:
        """Rate of the last run, all that starts up included; None while unknown."""
        run = self.history.current
        return run.events_per_second or None if run is not None else None

    @property
    def eta_seconds(self) -> float | None:
        """Seconds that are left at this rate; None while unknown, or when nobody works on it."""
        rate = self.events_per_second
        return (self.events - self.events_done) / rate if rate and self.state == "running" else None

    def to_json(self) -> dict[str, Any]:
        """Return an object that JSON can hold."""
        run = self.history.current
        return {
            "folder": str(self.folder),
            "product": self.product,
            "state": self.state,
            "shards": self.shards,
            "shards_done": self.shards_done,
            "events": self.events,
            "events_done": self.events_done,
            "counts": self.counts.to_json(),
            "bytes": self.size,
            "refused_ranges": self.refused,
            "unreadable_files": self.unreadable_files,
            "damaged": list(self.damaged),
            "events_per_s": self.events_per_second,
            "eta_s": self.eta_seconds,
            "runs": self.history.runs,
            "retries": self.history.retries,
            "worker": run.worker if run else None,
            "begin": run.begin if run else None,
            "last": run.last if run else None,
            "exit": run.exit if run and self.state != "running" else None,
            "reason": run.reason if run and self.state != "running" else None,
        }


def status(folder: str | os.PathLike[str]) -> JobStatus:
    """Say how a job stands; a running one is not disturbed, and nothing is written.

    Parameters
    ----------
    folder : path
        That `evtok tokenize` writes; or the file that `evtok score` writes, whose parts lie beside it.

    Returns
    -------
    JobStatus

    Raises
    ------
    JobError
        There is no job in this folder.
    ShardError
        Its manifest is damaged.
    """
    path = job_folder_of(folder)
    with OutputFolder(path, create=False) as opened:
        running = opened.is_locked()
        manifest = require_manifest(opened.read(manifests.NAME), str(path / manifests.NAME))
        records, damaged = _records(opened, manifest)
        history = History.of(log.read(opened))
    plan = manifest.plan
    counts = sum((record.counts for record in records), Counts())
    recorded = {record.index for record in records}
    # A running job reads again what could not be read the last time.
    refused = [] if running else [lost for lost in manifest.refused if lost.index not in recorded]
    for lost in refused:
        counts += Counts(read=lost.stop - lost.start, quarantined=lost.stop - lost.start)
    return JobStatus(
        folder=path,
        product=plan.product.NAME,
        state="running" if running else _state(manifest, history),
        shards=plan.n_tasks,
        shards_done=len(records),
        events=sum(file.n_events for file in plan.inputs),
        events_done=counts.read,
        counts=counts,
        size=sum(record.size for record in records),
        refused=len(refused),
        unreadable_files=sum(file.unreadable is not None for file in plan.inputs),
        damaged=tuple(damaged),
        history=history,
    )


def _state(manifest: Manifest, history: History) -> State:
    if manifest.complete:
        return "complete"
    if manifest.files and manifest.all_done:
        return "quarantine"
    run = history.current
    return "dead" if run is None or run.exit is None else "stopped"


def _records(folder: OutputFolder, manifest: Manifest) -> tuple[list[ShardRecord], list[str]]:
    """Return the records that are of this plan, and the names of what is damaged.

    A shard may be replaced while this looks; so a running job can show one as damaged for a moment.
    """
    plan = manifest.plan
    names = folder.names()
    records, damaged = list[ShardRecord](), list[str]()
    refused = {lost.index for lost in manifest.refused}
    expected = {entry.index for entry in manifest.shards}
    for name in names:
        index = resume.index_of(name, (".json",), plan)
        if index is None or (index in refused and index not in expected and manifest.complete):
            continue
        expected.discard(index)
        try:
            record = read_record(folder.read(name), plan, plan.task(index), name)
            fd = folder.open(record.name)
            size = os.fstat(fd).st_size
            os.close(fd)
        except (ShardError, JobError):
            damaged.append(name)
            continue
        if size != record.size:
            damaged.append(record.name)
        else:
            records.append(record)
    return records, damaged + [plan.task(index).stem + ".json" for index in sorted(expected)]
