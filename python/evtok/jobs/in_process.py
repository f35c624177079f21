"""Carry out tasks in this process, one after the other; a thread reads the next chunk in the meantime."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from evtok.events import Events
from evtok.io.darkmachines_records import BadRecord
from evtok.jobs import retry
from evtok.jobs.executor import Executor, Job, Outcome, Pending
from evtok.jobs.memory import Budget
from evtok.jobs.pipeline import read_ahead
from evtok.jobs.plan import Task
from evtok.jobs.reading import Chunk, Reading, UnreadableError
from evtok.jobs.stages import Stages, timed_items, worker_name
from evtok.jobs.task import TaskRunner


@dataclass(frozen=True)
class _Item:
    """What the reading thread hands over: events and bad records of a task, its end, or its error."""

    task: Task
    events: Events | None = None
    bad: Sequence[BadRecord] = ()
    error: UnreadableError | None = None
    seconds: float = 0.0  # that reading took


class InProcess(Executor):
    """Carries out everything here."""

    def run(self, job: Job, pending: Sequence[Pending]) -> Generator[Outcome, None, None]:  # noqa: D102
        runner = TaskRunner(job.plan, job.encoder, job.folder, job.threads, Budget(job.memory))
        tasks = [task for task, _ in pending]
        job.source.hand_over()  # to the thread that reads: planning has opened the first file
        with contextlib.closing(read_ahead(_read(job, tasks))) as items:
            for task, expected in pending:
                job.progress.say("task", name=task.stem, attempt=1)
                yield _carry_out(job, runner, task, expected, items)


def _carry_out(
    job: Job, runner: TaskRunner, task: Task, expected: str | None, ahead: Iterator[_Item]
) -> Outcome:
    """Run a task; what was read ahead serves the first attempt."""
    attempt, count = 1, _Count(job)
    while True:
        stages = Stages()
        items = ahead if attempt == 1 else _read(job, [task])
        try:
            record = runner.run(task, _chunks(items, task, count, stages), expected, stages)
        except Exception as error:
            if attempt <= retry.RETRIES and retry.may_pass(error):
                attempt += 1
                _wait(job, task, attempt, error)
                count.again()
                continue
            if not isinstance(error, UnreadableError):
                raise
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            return Outcome(task, None, str(error), cause, worker_name(), stages, attempt)
        return Outcome(task, record, worker=worker_name(), stages=stages, attempts=attempt)


class _Count:
    """Counts the events of a task for the progress, each once, however often they are read."""

    def __init__(self, job: Job) -> None:
        self._progress, self._read, self._told = job.progress, 0, 0

    def again(self) -> None:
        """Begin another attempt."""
        self._read = 0

    def add(self, events: int) -> None:
        """Count events that were read and encoded."""
        self._read += events
        if self._read > self._told:
            self._progress.add(self._read - self._told)
            self._told = self._read


def _wait(job: Job, task: Task, attempt: int, error: Exception) -> None:
    seconds = retry.wait_before(attempt)
    job.progress.say(
        "retry", name=task.stem, worker=worker_name(), attempt=attempt, reason=str(error), wait_s=seconds
    )
    time.sleep(seconds)


def _read(job: Job, tasks: Sequence[Task]) -> Iterator[_Item]:
    """Read the ranges of all tasks; runs in the reading thread."""
    reading = Reading(job.encoder, Budget(job.memory), len(job.plan.columns) - 1)
    for task in tasks:
        try:
            for (events, bad), seconds in timed_items(reading.read(job.source, task.file, task)):
                yield _Item(task, events, bad, seconds=seconds)
        except UnreadableError as error:
            yield _Item(task, error=error)
        else:
            yield _Item(task)


def _chunks(items: Iterator[_Item], task: Task, count: _Count, stages: Stages) -> Iterator[Chunk]:
    """Yield the events and bad records of a task; passes over what is left of one before it that failed."""
    for item in items:
        if item.task != task:
            continue
        if item.error is not None:
            raise item.error
        if item.events is None:
            return
        stages.seconds["read"] += item.seconds
        yield item.events, item.bad
        count.add(len(item.events) + len(item.bad))
