"""The manifest of a job: the plan, and when the job is done, the account of every event and every shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from evtok.errors import JobError, ShardError
from evtok.jobs.documents import seal, unseal
from evtok.jobs.fields import HASH, Fields, integer, text
from evtok.jobs.plan import Plan, Task
from evtok.jobs.record import Counts, ShardRecord

NAME = "manifest.json"
MANIFEST_FORMAT = 1
NOTHING = Counts()


@dataclass(frozen=True)
class ShardEntry:
    """One shard as the manifest knows it."""

    name: str
    index: int
    size: int
    sha256: str
    content: str
    events: int
    ids: int
    quarantined: int


@dataclass(frozen=True)
class Refused:
    """A range that could not be read: all its events are quarantined. The hash is of its quarantine file."""

    index: int
    file: int
    start: int
    stop: int
    reason: str
    quarantine_sha256: str


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says.

    `complete` is False while the job runs, and stays False after a job whose quarantine was not allowed.
    """

    plan: Plan
    complete: bool = False
    shards: tuple[ShardEntry, ...] = ()
    refused: tuple[Refused, ...] = ()
    files: tuple[Counts, ...] = ()
    totals: Counts = NOTHING

    @classmethod
    def of(
        cls, plan: Plan, records: Sequence[ShardRecord], refused: Sequence[Refused], *, complete: bool
    ) -> Self:
        """Add everything up.

        Raises
        ------
        JobError
            The events of a file do not add up.
        """
        shards = tuple(entry_of(r) for r in sorted(records, key=lambda r: r.index))
        by_file = [Counts() for _ in plan.inputs]
        for record in sorted(records, key=lambda r: r.index):
            by_file[record.file] += record.counts
        for lost in refused:
            n = lost.stop - lost.start
            by_file[lost.file] += Counts(read=n, quarantined=n)
        for counts, file in zip(by_file, plan.inputs, strict=True):
            counts.check(file.n_events, file.path)
        totals = sum(by_file, NOTHING)
        totals.check(sum(file.n_events for file in plan.inputs), "all inputs together")
        return cls(plan, complete, shards, tuple(refused), tuple(by_file), totals)

    def to_bytes(self) -> bytes:
        """Write the document."""
        return seal(
            {
                "format": MANIFEST_FORMAT,
                "complete": self.complete,
                "plan": self.plan.to_json(),
                "shards": [list(asdict(shard).values()) for shard in self.shards],
                "refused": [asdict(lost) for lost in self.refused],
                "files": [counts.to_json() for counts in self.files],
                "totals": self.totals.to_json(),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Self:
        """Read the document.

        Raises
        ------
        ShardError
            Altered, of another format, or not a manifest.
        """
        content = unseal(data, name)
        if content.get("format") != MANIFEST_FORMAT:
            raise ShardError(
                f"{name}: format {content.get('format')!r}; this evtok reads format {MANIFEST_FORMAT}"
            )
        found = Fields(content, ["format", *(field.name for field in fields(cls))], name)
        manifest = cls(
            Plan.from_json(found["plan"], name),
            found.boolean("complete"),
            tuple(
                _entry(row, found.where("shards")) for row in found.rows("shards", len(fields(ShardEntry)))
            ),
            tuple(_refused(row, found.where("refused")) for row in found.rows("refused")),
            tuple(Counts.from_json(row, name) for row in found.rows("files")),
            Counts.from_json(found["totals"], name),
        )
        manifest._check(name)
        return manifest

    def _check(self, name: str) -> None:
        """Refuse shards that the plan does not have, and a finished job without all of them."""
        plan, suffix = self.plan, self.plan.layout().suffix
        for parts in (self.shards, self.refused):
            indices = [part.index for part in parts]
            if indices != sorted(set(indices)):
                raise ShardError(f"{name}: its shards are not in order, or one is there twice")
        for entry in self.shards:
            task = plan.task(entry.index)
            if entry.name != task.stem + suffix or entry.events > task.stop - task.start:
                raise ShardError(f"{name}: shard {entry.index} is not the one of the plan")
        for lost in self.refused:
            if Task(lost.index, lost.file, lost.start, lost.stop) != plan.task(lost.index):
                raise ShardError(f"{name}: refused range {lost.index} is not the one of the plan")
        both = {entry.index for entry in self.shards} & {lost.index for lost in self.refused}
        if both or (self.complete and not self.all_done):
            raise ShardError(
                f"{name}: {len(self.shards)} shards and {len(self.refused)} refused ranges are not the "
                f"{plan.n_tasks} of the plan"
            )
        if len(self.files) not in ((len(plan.inputs),) if self.complete else (0, len(plan.inputs))):
            raise ShardError(f"{name}: counts of {len(self.files)} files, the plan has {len(plan.inputs)}")

    @property
    def all_done(self) -> bool:
        """Whether every range is a shard or refused."""
        return len(self.shards) + len(self.refused) == self.plan.n_tasks

    def require_finished(self, folder: str) -> None:
        """Refuse a job that is not finished.

        Raises
        ------
        ShardError
            Saying what to do.
        """
        if self.complete:
            return
        if self.files and self.all_done:
            raise ShardError(
                f"{folder}: the job is not finished: {self.totals.quarantined} of {self.totals.read} events, or "
                "whole files, are in quarantine, which was not allowed; run again with --allow-quarantine "
                "(allow_quarantine), or mend the events"
            )
        raise ShardError(f"{folder}: the job is not finished; run the same command again to go on")


def _entry(row: list[Any], name: str) -> ShardEntry:
    return ShardEntry(
        name=text(row[0], name),
        index=integer(row[1], name),
        size=integer(row[2], name),
        sha256=text(row[3], name, HASH),
        content=text(row[4], name, HASH),
        events=integer(row[5], name),
        ids=integer(row[6], name),
        quarantined=integer(row[7], name),
    )


def _refused(row: Any, name: str) -> Refused:
    found = Fields(row, [field.name for field in fields(Refused)], name)
    return Refused(
        index=found.integer("index"),
        file=found.integer("file"),
        start=found.integer("start"),
        stop=found.integer("stop"),
        reason=found.text("reason"),
        quarantine_sha256=found.text("quarantine_sha256", HASH),
    )


def entry_of(r: ShardRecord) -> ShardEntry:
    """Return what the manifest keeps of a record."""
    return ShardEntry(
        r.name, r.index, r.size, r.sha256, r.content, r.counts.written, r.ids, r.counts.quarantined
    )


def read_record(data: bytes | None, plan: Plan, task: Task, name: str) -> ShardRecord:
    """Read the record of a task and check that it is of this plan and this range.

    Raises
    ------
    ShardError
        Missing, altered, or of another job.
    """
    if data is None:
        raise ShardError(f"{name}: the record is missing; run the job again to write the shard")
    record = ShardRecord.from_bytes(data, name)
    expected = (plan.digest(), task.index, task.file, task.start, task.stop, task.stem + plan.layout().suffix)
    if (record.plan, record.index, record.file, record.start, record.stop, record.name) != expected:
        raise ShardError(f"{name}: the record is of another job or another range than its name says")
    full = [batch.events for batch in record.batches[:-1]]
    last = [batch.events for batch in record.batches[-1:]]
    if any(n != plan.events_per_batch for n in full) or any(n > plan.events_per_batch for n in last):
        raise ShardError(f"{name}: its batches do not hold {plan.events_per_batch} events each")
    return record


def require_manifest(data: bytes | None, name: str) -> Manifest:
    """Read a manifest that must be there."""
    if data is None:
        raise JobError(f"{name}: there is no manifest; expected a folder that `evtok tokenize` wrote")
    return Manifest.from_bytes(data, name)
