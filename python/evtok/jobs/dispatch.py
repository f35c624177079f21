"""Give tasks to workers, a bounded number at a time; try again what failed, and believe no worker."""

from __future__ import annotations

import hashlib
import heapq
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from evtok import errors
from evtok.errors import InputFileError, JobError, ShardError
from evtok.jobs import retry
from evtok.jobs.answer import read_answer
from evtok.jobs.executor import Executor, Job, Outcome, Pending
from evtok.jobs.manifest import read_record
from evtok.jobs.plan import Task
from evtok.jobs.record import ShardRecord
from evtok.jobs.resume import proven_record
from evtok.jobs.stages import NAMES, Stages
from evtok.jobs.task_document import TaskDocument
from evtok.jobs.worker import LateError

#: Seconds that tasks under way have to finish when the job is stopped.
DRAIN = 5.0

#: The job ends when so many tasks got no answer, however often they were tried, before any task was done.
_HOPELESS = 3

#: A shared folder may show a file that another machine wrote only some seconds later.
_SHARED_FOLDER_WAITS = (0.0, 0.1, 0.4, 1.5, 3.0)


@dataclass(frozen=True)
class Reply:
    """What came of a task: the answer of `run_task`, or why there is none.

    Attributes
    ----------
    ticket : str
    answer : dict or None
        As `read_answer` returned it.
    lost : str
        Why there is no answer, such as that the worker died.
    worker : str
        Who had it, if that is known.
    final : bool
        It was tried often enough already.
    fatal : str
        Why no task can be carried out at all, such as that evtok cannot be imported.
    """

    ticket: str
    answer: dict[str, Any] | None = None
    lost: str = ""
    worker: str = ""
    final: bool = False
    fatal: str = ""

    @classmethod
    def of(cls, ticket: str, content: Any, worker: str) -> Self:
        """Return the reply with what a worker sent; what is not an answer is lost."""
        try:
            return cls(ticket, read_answer(content), worker=worker)
        except Exception as error:
            return cls(ticket, lost=f"not an answer: {error}", worker=worker)


class Workers(ABC):
    """Processes, here or elsewhere, that run `evtok.jobs.worker.run_task`."""

    #: Whether they see the files of this machine; what others cannot read, another of them may.
    on_this_machine = False

    @property
    @abstractmethod
    def slots(self) -> int:
        """Tasks that they take at a time."""

    def prepare(self) -> None:  # noqa: B027  most have nothing to prepare
        """Have a worker at hand for the next task, whose time begins only then."""

    @abstractmethod
    def submit(self, ticket: str, document: bytes, avoid: Collection[str]) -> None:
        """Begin a task; not with the workers to `avoid`, where there are others."""

    def begun(self, tickets: Sequence[str]) -> Collection[str]:
        """Return those of `tickets`, none of which came back yet, that a worker has begun."""
        return tickets

    @abstractmethod
    def wait(self, seconds: float) -> list[Reply]:
        """Return the replies that came, none after so many seconds."""

    @abstractmethod
    def abandon(self, ticket: str) -> str:
        """Expect no reply any more; returns who has it, "" when that is not known."""

    @abstractmethod
    def close(self, drain: float) -> None:
        """Let tasks under way finish for so many seconds at most; then none of ours begins any more."""


@dataclass
class _Turn:
    """A task on its way, with its attempts."""

    task: Task
    expected: str | None
    attempt: int = 1
    avoid: set[str] = field(default_factory=set)
    expires: float = float("inf")
    unreadable: bool = False  # a worker said so


class Dispatched(Executor):
    """Carries out tasks by `workers`."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def run(self, job: Job, pending: Sequence[Pending]) -> Generator[Outcome, None, None]:  # noqa: D102
        drain = DRAIN
        try:
            yield from _Dispatch(job, self._workers, pending).outcomes()
            drain = 0.0
        finally:
            self._workers.close(drain)

    def close(self) -> None:  # noqa: D102
        self._workers.close(0.0)


class _Dispatch:
    """The tasks of one job: those that wait, each not before its time, and those under way."""

    def __init__(self, job: Job, workers: Workers, pending: Sequence[Pending]) -> None:
        self._job, self._workers = job, workers
        self._order = itertools.count()
        self._waiting = [(0.0, next(self._order), _Turn(task, expected)) for task, expected in pending]
        self._under_way: dict[str, _Turn] = {}
        self._done = self._given_up = 0

    def outcomes(self) -> Generator[Outcome, None, None]:
        while self._waiting or self._under_way:
            self._hand_out()
            self._start_clocks()
            for reply in self._workers.wait(self._patience()):
                turn = self._under_way.pop(reply.ticket, None)
                if turn is None:  # abandoned before: the same bytes, from a worker that was late
                    continue
                outcome = self._judge(turn, reply)
                if outcome is not None:
                    self._job.progress.add(turn.task.stop - turn.task.start)
                    yield outcome
            for outcome in self._expire():
                self._job.progress.add(outcome.task.stop - outcome.task.start)
                yield outcome

    def _hand_out(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now and len(self._under_way) < self._workers.slots:
            self._workers.prepare()
            turn = heapq.heappop(self._waiting)[2]
            document = TaskDocument.of(self._job, turn.task, turn.expected, turn.attempt)
            turn.expires = float("inf")
            ticket = f"evtok-{document.plan[:16]}-{turn.task.index}-{turn.attempt}"
            self._under_way[ticket] = turn
            self._workers.submit(ticket, document.to_bytes(), turn.avoid)
            self._job.progress.say("task", name=turn.task.stem, attempt=turn.attempt)

    def _start_clocks(self) -> None:
        """Count the time of tasks that a worker has begun; waiting for a worker costs no task its time."""
        timeout = self._job.task_timeout
        waiting = [ticket for ticket, turn in self._under_way.items() if turn.expires == float("inf")]
        if timeout is not None and waiting:
            for ticket in self._workers.begun(waiting):
                self._under_way[ticket].expires = time.monotonic() + timeout

    def _patience(self) -> float:
        """Seconds until something is to be done even if no reply comes."""
        times = [turn.expires for turn in self._under_way.values()]
        if self._waiting and len(self._under_way) < self._workers.slots:
            times.append(self._waiting[0][0])
        return min(1.0, max(0.0, min(times, default=0.0) - time.monotonic()))

    def _expire(self) -> list[Outcome]:
        """Take tasks away from workers whose time is over."""
        now, ended = time.monotonic(), list[Outcome]()
        for ticket, turn in list(self._under_way.items()):
            if turn.expires <= now:
                del self._under_way[ticket]
                worker = self._workers.abandon(ticket)
                reason = f"took longer than {self._job.task_timeout:g} s"
                outcome = self._again(turn, Reply(ticket, lost=reason, worker=worker), reason)
                ended += [] if outcome is None else [outcome]
        return ended

    def _judge(self, turn: _Turn, reply: Reply) -> Outcome | None:
        """Return what became of a task; None when it is tried again."""
        answer = reply.answer
        if reply.fatal:
            raise JobError(f"{turn.task.stem}: {reply.fatal}")
        if answer is None:
            return self._again(turn, reply, reply.lost)
        if answer["state"] == "done":
            try:
                record = self._proven(turn.task, answer)
            except (ShardError, JobError) as unproven:
                return self._again(turn, reply, str(unproven), unproven)
            self._done += 1
            return Outcome(
                turn.task,
                record,
                worker=answer["worker"],
                stages=_stages(answer),
                attempts=turn.attempt,
            )
        if answer["state"] == "counted":
            return self._again(turn, reply, "an answer to another question")
        reason = answer["reason"]
        error = error_of(answer, reason)
        if answer["state"] == "failed" and answer["error"] == LateError.__name__:
            return self._again(turn, reply, reason)
        if answer["may_pass"]:
            return self._again(turn, reply, reason, error)
        if answer["state"] != "unreadable":
            raise error
        if not (turn.unreadable or self._workers.on_this_machine):
            turn.unreadable = True  # one machine may lack what the others have
            return self._again(turn, reply, reason, error)
        return Outcome(turn.task, None, reason, error, answer["worker"], _stages(answer), turn.attempt)

    def _again(
        self, turn: _Turn, reply: Reply, reason: str, error: Exception | None = None
    ) -> Outcome | None:
        """Try a task again, or give it up; a task without an answer is given up alone, errors end the job."""
        worker = reply.answer["worker"] if reply.answer else reply.worker
        if turn.attempt > retry.RETRIES or reply.final:
            done = proven_record(self._job.folder, self._job.plan, turn.task)
            if done is not None:  # somebody wrote it, and only the answer was lost
                self._done += 1
                return Outcome(turn.task, done, worker=worker, attempts=turn.attempt)
            times = "1 attempt" if turn.attempt == 1 else f"{turn.attempt} attempts"
            said = f"given up after {times}; the last, by {worker or 'a worker'}: {reason}"
            if error is not None and not isinstance(error, InputFileError):
                raise type(error)(f"{turn.task.stem}: {said}") from None
            if error is None:
                self._lose(turn.task, said)
            return Outcome(turn.task, None, said, error, worker, Stages(), turn.attempt)
        turn.attempt += 1
        turn.avoid |= {reply.worker} - {""}
        wait = retry.wait_before(turn.attempt) if _waits(reply) else 0.0
        heapq.heappush(self._waiting, (time.monotonic() + wait, next(self._order), turn))
        self._job.progress.say(
            "retry", name=turn.task.stem, attempt=turn.attempt, worker=worker, reason=reason, wait_s=wait
        )
        return None

    def _lose(self, task: Task, said: str) -> None:
        """Count a task without an answer; ends the job when it is not the tasks that are at fault."""
        self._given_up += 1
        if self._given_up >= _HOPELESS and not self._done:
            raise JobError(
                f"workers: of {self._given_up} tasks none was answered, and no task is done yet; the last, "
                f"{task.stem}, was {said}"
            )

    def _proven(self, task: Task, answer: dict[str, Any]) -> ShardRecord:
        """Read the record that a worker claims to have written; raises when it is not there, or another."""
        folder, name = self._job.folder, task.stem + ".json"
        data = None
        for seconds in _SHARED_FOLDER_WAITS:
            time.sleep(seconds)
            data = folder.read(name)
            if data is not None and hashlib.sha256(data).hexdigest() == answer["record"]:
                return read_record(data, self._job.plan, task, str(folder.path / name))
        found = "there is none" if data is None else "there is another"
        raise JobError(
            f"worker {answer['worker']} says that it wrote {folder.path / name}, and {found}: is this folder the "
            "same one on all machines?"
        )


def _waits(reply: Reply) -> bool:
    """Whether time may help, and not only another worker."""
    if reply.answer is None:
        return not reply.worker  # a connection or a scheduler, not a worker, was lost
    return bool(reply.answer["state"] == "done" or reply.answer["may_pass"])


def _stages(answer: dict[str, Any]) -> Stages:
    return Stages({name: float(answer[f"{name}_s"]) for name in NAMES})


def error_of(answer: dict[str, Any], reason: str) -> Exception:
    """Return the error that ends the job, of the class that the worker met where that is one of ours."""
    if answer["state"] == "unreadable":
        return InputFileError(reason)
    found = getattr(errors, answer["error"], None)
    if isinstance(found, type) and issubclass(found, errors.EvtokError):
        return found(reason)
    return JobError(f"worker {answer['worker']}: {answer['error']}: {reason}")
