"""Run a job on this machine: plan, prove what is there, write the rest, add everything up."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evtok.errors import ArtefactError, InputFileError, InvalidEventsError, JobError
from evtok.events import Events
from evtok.io.chunk_size import ChunkSize
from evtok.io.darkmachines_records import BadRecord
from evtok.jobs import manifest as manifests
from evtok.jobs import resume
from evtok.jobs.durable import OutputFolder
from evtok.jobs.manifest import Manifest, Refused
from evtok.jobs.pipeline import read_ahead
from evtok.jobs.plan import Plan, Task
from evtok.jobs.product import Encoder
from evtok.jobs.progress import Listener, Progress
from evtok.jobs.record import Counts, ShardRecord
from evtok.jobs.stages import Stages, timed_items, worker_name
from evtok.jobs.task import Chunk, TaskRunner

#: More bad records than this, and the range is refused as a whole: the file is of another format.
MAX_BAD_RECORDS = 10_000

_FIRST_CHUNK, _SHORTEST_CHUNK, _LONGEST_CHUNK = 2_000, 64, 65_536


@dataclass(frozen=True)
class JobReport:
    """What a job did: `shards` in all, of which `proven`, with `proven_events`, were there; `counts` of all events."""

    folder: Path
    shards: int
    proven: int
    proven_events: int
    counts: Counts
    ids: int
    size: int
    seconds: float
    refused: tuple[Refused, ...]
    complete: bool

    @property
    def warning(self) -> str:
        """One line about what the tokens do not say of the events; "" when there is nothing to say."""
        counts, said = self.counts, list[str]()
        if counts.unknown:
            said.append(f"{counts.unknown} of {self.ids} tokens ({counts.unknown / self.ids:.3%}) are unk")
        if counts.truncated_events:
            said.append(
                f"{counts.truncated_events} of {counts.written} events were cut, by {counts.truncated_objects} "
                "objects in all"
            )
        if counts.cut_objects:
            said.append(
                f"{counts.cut_objects} objects outside the limits of the tokenizer's features have no token"
            )
        return "; ".join(said)


@dataclass(frozen=True)
class _Item:
    """What the reading thread hands over: events and bad records of a task, its end, or its error."""

    task: Task
    events: Events | None = None
    bad: Sequence[BadRecord] = ()
    error: Exception | None = None
    seconds: float = 0.0  # that reading took


class _UnreadableError(Exception):
    """A range of an input that cannot be read."""


@contextlib.contextmanager
def job_folder(path: str | os.PathLike[str]) -> Iterator[OutputFolder]:
    """Open the folder of a job, keep other jobs out of it, and clear away what dead ones left."""
    with OutputFolder(path) as folder:
        folder.lock()
        folder.remove_temporaries()
        yield folder


def run_job(
    source: Any,
    encoder: Encoder,
    plan: Plan,
    folder: OutputFolder,
    *,
    threads: int | None = None,
    allow_quarantine: bool = False,
    listener: Listener | None = None,
) -> JobReport:
    """Carry out `plan` in a `job_folder`; see `evtok.tokenize_files`.

    Parameters
    ----------
    source : EventSource
        Of the inputs of the plan, in their order.
    encoder : Encoder
        That the plan was made with.
    """
    progress = Progress(listener)
    previous = resume.begin(folder, plan)
    _keep_artefact(folder, encoder)
    state = resume.survey(folder, plan, previous)
    shards = len(state.proven) + len(state.pending)
    total = sum(file.n_events for file in plan.inputs)
    proven_events = sum(record.stop - record.start for record in state.proven)
    progress.start(str(folder.path), shards, total, len(state.proven), proven_events)
    runner = TaskRunner(plan, encoder, folder, threads)
    records, refused = list(state.proven), list[Refused]()
    tasks = [task for task, _ in state.pending]
    longest = min(_LONGEST_CHUNK, encoder.events_per_call or _LONGEST_CHUNK)
    with contextlib.closing(read_ahead(_read(source, tasks, longest))) as items:
        for task, expected in state.pending:
            stages = Stages()
            try:
                record = runner.run(task, _chunks(items, progress.add, stages), expected, stages)
            except _UnreadableError as error:
                if not allow_quarantine:
                    raise error.__cause__ or error from None
                refused.append(runner.refuse(task, str(error)))
                progress.say(
                    "unreadable", name=task.stem, file=plan.inputs[task.file].path, reason=str(error)
                )
                continue
            records.append(record)
            progress.say("shard", worker=worker_name(), **stages.to_json(), **_summary(record))
    return _finish(folder, plan, records, refused, allow_quarantine, state.proven, progress)


def _read(source: Any, tasks: Sequence[Task], longest: int) -> Iterator[_Item]:
    """Read the ranges of all tasks, in chunks of bounded memory; runs in the reading thread."""
    size = ChunkSize(longest, min(_FIRST_CHUNK, longest), min(_SHORTEST_CHUNK, longest))
    for task in tasks:
        try:
            bad = _BadRecords(task)
            chunks = source.iter_records(task.file, task.start, task.stop, size)
            for (events, left_out), seconds in timed_items(chunks):
                bad.add(left_out)
                yield _Item(task, events, left_out, seconds=seconds)
        except (InputFileError, InvalidEventsError, OSError) as error:
            yield _Item(task, error=error)
        else:
            yield _Item(task)


class _BadRecords:
    """Counts the bad records of a task."""

    def __init__(self, task: Task) -> None:
        self._task, self._n = task, 0
        self._first: BadRecord | None = None

    def add(self, bad: Sequence[BadRecord]) -> None:
        """Add those of a chunk; refuse the range when there are too many."""
        self._n += len(bad)
        self._first = self._first or next(iter(bad), None)
        if self._first is not None and self._n > MAX_BAD_RECORDS:
            raise InputFileError(
                f"{self._first}; more than {MAX_BAD_RECORDS} of the records {self._task.start} to "
                f"{self._task.stop} cannot be read, this is the first of them: the file is corrupt or of "
                "another format"
            )


def _chunks(
    items: Generator[_Item, None, None], count: Callable[[int], None], stages: Stages
) -> Iterator[Chunk]:
    """Yield the events and bad records of the task that comes next."""
    for item in items:
        if item.error is not None:
            raise _UnreadableError(str(item.error)) from item.error
        if item.events is None:
            return
        stages.seconds["read"] += item.seconds
        yield item.events, item.bad
        count(len(item.events) + len(item.bad))


def _finish(
    folder: OutputFolder,
    plan: Plan,
    records: Sequence[ShardRecord],
    refused: Sequence[Refused],
    allow_quarantine: bool,
    proven: Sequence[ShardRecord],
    progress: Progress,
) -> JobReport:
    manifest = Manifest.of(plan, records, refused, complete=True)
    unreadable = [file for file in plan.inputs if file.unreadable is not None]
    lost = manifest.totals.quarantined or bool(unreadable)
    if lost and not allow_quarantine:
        manifest = Manifest.of(plan, records, refused, complete=False)
    folder.write(manifests.NAME, manifest.to_bytes())
    report = JobReport(
        folder=folder.path,
        shards=len(records),
        proven=len(proven),
        proven_events=sum(record.stop - record.start for record in proven),
        counts=manifest.totals,
        ids=sum(record.ids for record in records),
        size=sum(record.size for record in records),
        seconds=progress.seconds,
        refused=tuple(refused),
        complete=manifest.complete,
    )
    counts = report.counts
    progress.say(
        "finish",
        read=counts.read,
        written=counts.written,
        filtered=counts.filtered,
        quarantined=counts.quarantined,
        unknown=counts.unknown,
        truncated_events=counts.truncated_events,
        truncated_objects=counts.truncated_objects,
        cut_objects=counts.cut_objects,
        ids=report.ids,
        bytes=report.size,
        complete=report.complete,
    )
    if not manifest.complete:
        raise JobError(
            f"{folder.path}: {counts.quarantined} of {counts.read} events are in quarantine, with their "
            "reasons, in "
            f"{folder.path / 'quarantine'}; if they may be left out, run again with allow_quarantine "
            "(--allow-quarantine)"
        )
    return report


def _keep_artefact(folder: OutputFolder, encoder: Encoder) -> None:
    """Put a copy of the tokenizer or the model beside the shards."""
    name = encoder.product.ARTEFACT
    if name not in folder.names():
        folder.adopt(name, encoder.save)
    elif encoder.product.fingerprint_of(folder.path / name) != encoder.fingerprint:
        raise ArtefactError(f"{folder.path / name}: not the {name} of this job; somebody replaced it")


def _summary(record: ShardRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "events": record.counts.written,
        "ids": record.ids,
        "bytes": record.size,
        "quarantined": record.counts.quarantined,
        "unknown": record.counts.unknown,
        "truncated_events": record.counts.truncated_events,
        "truncated_objects": record.counts.truncated_objects,
        "cut_objects": record.counts.cut_objects,
        "sha256": record.sha256,
    }
