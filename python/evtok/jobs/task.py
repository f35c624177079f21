"""Run one task: the events of one range become one shard and its record."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from evtok.errors import JobError
from evtok.events import Events
from evtok.jobs import commits, quarantine
from evtok.jobs.batch import Array, Batch
from evtok.jobs.batching import Batcher, regroup
from evtok.jobs.durable import OutputFolder
from evtok.jobs.inputs import agree, stamp
from evtok.jobs.manifest import Refused
from evtok.jobs.memory import Budget
from evtok.jobs.plan import PlannedInput, Task
from evtok.jobs.product import Encoder
from evtok.jobs.reading import Chunk
from evtok.jobs.record import Counts, ShardRecord
from evtok.jobs.shard_format import ShardLayout
from evtok.jobs.shard_writer import ShardWriter
from evtok.jobs.stages import Stages
from evtok.tokens import EncodeReport

WEIGHT = "weight"


class OfPlan(Protocol):
    """What a task needs of the plan: a `Plan`, or the little of it that a `TaskDocument` carries."""

    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    @property
    def columns(self) -> tuple[tuple[str, str], ...]: ...  # noqa: D102
    @property
    def events_per_batch(self) -> int: ...  # noqa: D102
    def layout(self) -> ShardLayout: ...  # noqa: D102
    def digest(self) -> str: ...  # noqa: D102
    def input_of(self, task: Task) -> PlannedInput: ...  # noqa: D102


@dataclass
class TaskRunner:
    """Runs tasks of one plan; holds what all of them share.

    Attributes
    ----------
    plan, encoder, folder, threads
        As `run_job` has them.
    budget : Budget
        What may wait to be written.
    place : str
        Where the input lies here, if its path in the plan does not lead to it.
    before_commit : callable, optional
        Called when the shard is whole and not visible yet; what it raises drops the shard.
    """

    plan: OfPlan
    encoder: Encoder
    folder: OutputFolder
    threads: int | None = None
    budget: Budget = Budget(None)  # noqa: RUF009  nothing of it changes
    place: str = ""
    before_commit: Callable[[], None] | None = None

    def run(
        self, task: Task, chunks: Iterable[Chunk], expected: str | None, stages: Stages | None = None
    ) -> ShardRecord:
        """Write the shard of `task`, then its record.

        Parameters
        ----------
        task : Task
        chunks : iterable of Events and bad records
            The entries ``task.start`` to ``task.stop``, in order, cut anywhere.
        expected : str or None
            The sha256 that was recorded for this task before: the new shard must have it.
        stages : Stages, optional
            Is told the seconds of encoding and of writing.

        Raises
        ------
        JobError
            The storage failed, the events do not add up, or the shard differs from the one that was recorded.
        """
        layout = self.plan.layout()
        name = task.stem + layout.suffix
        source = self.plan.input_of(task).path
        account = _Account(weighted=WEIGHT in dict(self.plan.columns))
        stages = stages or Stages()
        with self.folder.create(name) as file:
            writer = ShardWriter(file, layout)
            for batch in self._batches(task, chunks, account, stages):
                with stages.timed("write"):
                    writer.write(batch)
                    account.add(batch)
            with stages.timed("write"):
                end, sha256, content = writer.finish()
            counts = account.counts()
            counts.check(task.stop - task.start, f"{source}, entries {task.start} to {task.stop}")
            if expected is not None and expected != sha256:
                raise JobError(
                    f"{file.path}: writing it again from {source} gives other bytes than were recorded: "
                    "the input has "
                    "changed since. Write to another folder, or bring the old input back"
                )
            if not agree(self.plan.input_of(task).stamp, stamp(self.place or source)):
                raise JobError(
                    f"{source}: the file changed while it was read; run again when nobody writes to it"
                )
            data = account.quarantine_lines()
            if self.before_commit is not None:
                self.before_commit()
            commits.require_allowed(self.folder, self.plan.digest(), name)
            with stages.timed("write"):
                if data:
                    self._write_quarantine(task, data)
                file.commit()
        record = ShardRecord(
            plan=self.plan.digest(),
            index=task.index,
            file=task.file,
            start=task.start,
            stop=task.stop,
            name=name,
            size=file.size,
            sha256=sha256,
            content=content,
            fingerprint=self.plan.fingerprint,
            source=self.plan.input_of(task).source(),
            ids=sum(batch.ids for batch in writer.batches),
            counts=counts,
            batches=tuple(writer.batches),
            end=end,
            quarantine_sha256=hashlib.sha256(data).hexdigest() if data else None,
        )
        with stages.timed("write"):
            self.folder.write(task.stem + ".json", record.to_bytes())
        return record

    def _batches(
        self, task: Task, chunks: Iterable[Chunk], account: _Account, stages: Stages
    ) -> Iterator[Batch]:
        batcher = Batcher(task.stem, self.plan.events_per_batch, self.budget)
        path = self.plan.input_of(task).path
        parts = self._entries(task, chunks, account)
        if self.encoder.events_per_call is not None:
            parts = regroup(parts, self.encoder.events_per_call, self.budget, task.stem)
        for events, entries in parts:
            columns = self._columns(path, events, entries)
            with stages.timed("encode"):
                encoded = self.encoder.encode(events, columns, name=task.stem, threads=self.threads)
            account.encoded(encoded.report)
            account.refuse_weights(columns, encoded.refused)
            for i, reason in zip(encoded.refused, encoded.reasons, strict=True):
                account.refuse(int(entries[i]), file=path, reason=reason)
            yield from batcher.add(encoded.batch)
        yield from batcher.rest()
        self.encoder.require_unchanged(task.stem)

    def _entries(
        self, task: Task, chunks: Iterable[Chunk], account: _Account
    ) -> Iterator[tuple[Events, npt.NDArray[np.int64]]]:
        """Yield the events that could be read with their entries; the others go to quarantine."""
        entry = task.start
        path = self.plan.input_of(task).path
        for events, bad in chunks:
            stop = entry + len(events) + len(bad)
            for one in bad:
                account.refuse(one.record, file=path, line=one.line, reason=one.reason)
            yield (
                events,
                np.delete(np.arange(entry, stop, dtype=np.int64), [one.record - entry for one in bad]),
            )
            entry = stop

    def refuse(self, task: Task, reason: str) -> Refused:
        """Quarantine the whole range of a task, because it could not be read."""
        path = self.plan.input_of(task).path
        data = quarantine.line(file=path, start=task.start, stop=task.stop, reason=reason)
        self._write_quarantine(task, data)
        sha256 = hashlib.sha256(data).hexdigest()
        return Refused(task.index, task.file, task.start, task.stop, reason, sha256)

    def _write_quarantine(self, task: Task, data: bytes) -> None:
        with self.folder.subfolder(quarantine.FOLDER, create=True) as below:
            below.write(quarantine.name_of(task.stem), data)

    def _columns(self, path: str, events: Events, entries: npt.NDArray[np.int64]) -> dict[str, Array]:
        columns: dict[str, Array] = {"entry": entries}
        for name, dtype in self.plan.columns[1:]:
            if name not in events.fields:
                raise JobError(
                    f"{path}: has no field {name!r}, which the first input has; leave it out of keep=, or "
                    "give these files an output of their own"
                )
            columns[name] = _exactly(events.fields[name], np.dtype(dtype), name, path)
        return columns


class _Account:
    """Counts of one task; weights are summed batch by batch, so that the sums do not depend on the chunks."""

    def __init__(self, *, weighted: bool) -> None:
        self._weighted = weighted
        self._written = 0
        self._weights: list[float] = []
        self._refused_weights: list[float] = []
        self._refused: list[tuple[int, bytes]] = []
        self._unknown = self._truncated_events = self._truncated_objects = self._cut_objects = 0

    def encoded(self, report: EncodeReport) -> None:
        self._unknown += report.unknown + report.unknown_event_tokens
        self._truncated_events += report.truncated_events
        self._truncated_objects += report.truncated_objects
        self._cut_objects += report.cut_objects

    def add(self, batch: Batch) -> None:
        self._written += len(batch)
        if self._weighted:
            self._weights.append(float(np.sum(batch.columns[WEIGHT], dtype=np.float64)))

    def refuse(self, entry: int, **content: Any) -> None:
        self._refused.append((entry, quarantine.line(entry=entry, **content)))

    def quarantine_lines(self) -> bytes:
        """Return the lines in the order of the entries, so that they do not depend on the chunks."""
        return b"".join(line for _, line in sorted(self._refused, key=itemgetter(0)))

    def refuse_weights(self, columns: dict[str, Array], refused: npt.NDArray[np.int64]) -> None:
        if self._weighted:
            self._refused_weights += columns[WEIGHT][refused].astype(np.float64).tolist()

    def counts(self) -> Counts:
        return Counts(
            read=self._written + len(self._refused),
            written=self._written,
            quarantined=len(self._refused),
            weight_read=_sum(self._weights + self._refused_weights) if self._weighted else None,
            weight_written=_sum(self._weights) if self._weighted else None,
            unknown=self._unknown,
            truncated_events=self._truncated_events,
            truncated_objects=self._truncated_objects,
            cut_objects=self._cut_objects,
        )


def _sum(values: list[float]) -> float:
    """Add exactly and round once; what is not finite adds as IEEE says."""
    try:
        return math.fsum(values)
    except (ValueError, OverflowError):
        return float(np.sum(values))


def _exactly(values: Array, dtype: np.dtype[Any], name: str, path: str) -> Array:
    """Return `values` as `dtype`; refuse a file whose values that would change."""
    if values.dtype == dtype:
        return values
    with np.errstate(all="ignore"):
        cast = values.astype(dtype)
        same = np.array_equal(cast.astype(values.dtype), values, equal_nan=values.dtype.kind == "f")
    if not same:
        raise JobError(
            f"{path}: field {name!r} is {values.dtype}, the first input has {dtype}, and its values do not fit"
        )
    return cast
