"""Run a job: prove what is there, have the rest written by an `Executor`, add everything up."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evtok.errors import ArtefactError, JobError
from evtok.jobs import commits, quarantine, resume
from evtok.jobs import manifest as manifests
from evtok.jobs.choose import Means
from evtok.jobs.durable import OutputFolder
from evtok.jobs.executor import Job
from evtok.jobs.in_process import InProcess
from evtok.jobs.manifest import Manifest, Refused
from evtok.jobs.plan import Plan, Task
from evtok.jobs.product import Encoder
from evtok.jobs.progress import Listener, Progress
from evtok.jobs.record import Counts, ShardRecord
from evtok.jobs.task import TaskRunner


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
    made_by: str = "tokenizer"  # or "model"

    @property
    def warning(self) -> str:
        """One line about what tokens or scores do not say of the events; "" when there is nothing to say."""
        counts, said = self.counts, list[str]()
        if counts.unknown and self.ids:  # scores have no ids
            said.append(f"{counts.unknown} of {self.ids} tokens ({counts.unknown / self.ids:.3%}) are unk")
        elif counts.unknown:
            said.append(f"{counts.unknown} objects or values are unknown to the {self.made_by} (unk)")
        if counts.truncated_events:
            said.append(
                f"{counts.truncated_events} of {counts.written} events were cut, by {counts.truncated_objects} "
                "objects in all"
            )
        if counts.cut_objects:
            said.append(
                f"{counts.cut_objects} objects outside the limits of the {self.made_by}'s features have no token"
                + (" and no score" if self.made_by == "model" else "")
            )
        return "; ".join(said)


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
    allow_quarantine: bool = False,
    listener: Listener | None = None,
    means: Means | None = None,
    task_timeout: float | None = None,
) -> JobReport:
    """Carry out `plan` in a `job_folder`; see `evtok.tokenize_files`.

    Parameters
    ----------
    source : EventSource
        Of the inputs of the plan, in their order.
    encoder : Encoder
        That the plan was made with.
    means : Means, optional
        Who does it, with what; by default this process, as it likes.
    """
    means = means or Means(InProcess(), None, None)
    progress = Progress(listener)
    previous = resume.begin(folder, plan)
    _keep_artefact(folder, encoder)
    state = resume.survey(folder, plan, previous)
    shards = len(state.proven) + len(state.pending)
    total = sum(file.n_events for file in plan.inputs)
    proven_events = sum(record.stop - record.start for record in state.proven)
    progress.start(str(folder.path), shards, total, len(state.proven), proven_events)
    records, lost, unanswered = list(state.proven), list[tuple[Task, str]](), dict[Task, str]()
    job = Job(source, encoder, plan, folder, progress, means.threads, means.memory, task_timeout)
    with _swept(folder), contextlib.closing(means.executor.run(job, state.pending)) as outcomes:
        for outcome in outcomes:
            if outcome.record is not None:
                records.append(outcome.record)
                progress.say(
                    "shard",
                    worker=outcome.worker,
                    attempt=outcome.attempts,
                    **outcome.stages.to_json(),
                    **_summary(outcome.record),
                )
                continue
            if outcome.error is not None and not allow_quarantine:
                raise outcome.error
            task = outcome.task
            lost.append((task, outcome.reason))
            if outcome.error is None:
                unanswered[task] = f"{task.stem} was {outcome.reason}"
            progress.say(
                "unreadable",
                name=task.stem,
                file=plan.inputs[task.file].path,
                start=task.start,
                stop=task.stop,
                reason=outcome.reason,
            )
    refused = list[Refused]()
    for task, reason in sorted(lost, key=lambda one: one[0].index):
        late = resume.proven_record(folder, plan, task)  # after all: from now on no worker writes any more
        if late is not None:
            records.append(late)
            unanswered.pop(task, None)
        else:
            refused.append(TaskRunner(plan, encoder, folder).refuse(task, reason))
    said = tuple(unanswered.values())
    return _finish(folder, plan, records, refused, allow_quarantine, said, state.proven, progress)


@contextlib.contextmanager
def _swept(folder: OutputFolder) -> Iterator[None]:
    """Remove what workers that died, or were told to stop, were writing; one that is late finds its file gone."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError, JobError):
            commits.end(folder)
            folder.remove_temporaries()


def _finish(
    folder: OutputFolder,
    plan: Plan,
    records: Sequence[ShardRecord],
    refused: Sequence[Refused],
    allow_quarantine: bool,
    unanswered: Sequence[str],
    proven: Sequence[ShardRecord],
    progress: Progress,
) -> JobReport:
    manifest = Manifest.of(plan, records, refused, complete=True)
    unreadable = [file for file in plan.inputs if file.unreadable is not None]
    lost = manifest.totals.quarantined or bool(unreadable)
    if unanswered or (lost and not allow_quarantine):  # whether the unanswered are bad, nobody knows
        manifest = Manifest.of(plan, records, refused, complete=False)
    folder.write(manifests.NAME, manifest.to_bytes())
    told_of = [r.index for r in records if r.quarantine_sha256 is not None] + [r.index for r in refused]
    quarantine.keep_only(folder, [plan.task(index).stem for index in told_of])
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
        made_by=plan.product.ARTEFACT,
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
        advice = "if they may be left out, run again with allow_quarantine (--allow-quarantine)"
        if unanswered:
            advice = (
                f"no worker answered {len(unanswered)} of the tasks, which allow_quarantine does not cover, as nobody "
                f"knows whether their events can be read: run again. {unanswered[0]}"
            )
        raise JobError(
            f"{folder.path}: {counts.quarantined} of {counts.read} events are in quarantine, with their "
            f"reasons, in {folder.path / 'quarantine'}; {advice}"
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
