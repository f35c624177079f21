"""Workers on this machine: processes of their own, each of which may die without harm to the others.

They are started afresh, not forked: a fork copies locks that other threads hold. They are not given the user's main
module either, so a script needs no ``if __name__ == "__main__"``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from multiprocessing import connection

from evtok import _core
from evtok.errors import JobError
from evtok.jobs import retry
from evtok.jobs.dispatch import Reply, Workers
from evtok.jobs.worker_process import READY

_START = 120.0  # seconds that a process may take to import what it needs

_PROGRAM = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from evtok.jobs.worker_process import serve; serve(int(sys.argv[2]), int(sys.argv[3]))"
)


class LocalWorkers(Workers):
    """So many processes; one that died is replaced when there is a task for it.

    Parameters
    ----------
    n : int
    threads : int
        Of each.
    """

    on_this_machine = True

    def __init__(self, n: int, threads: int) -> None:
        self._n, self._threads = n, threads
        self._idle: list[_Process] = []
        self._busy: dict[str, _Process] = {}
        self._started = False

    @property
    def slots(self) -> int:  # noqa: D102
        return self._n

    def prepare(self) -> None:  # noqa: D102
        for process in list(self._idle):
            if process.died():
                self._idle.remove(process)
                process.end()
        if not self._started:  # all at once, as each takes a second to import what it needs
            self._idle, self._started = [_Process(self._threads) for _ in range(self._n)], True
        for failed in range(retry.RETRIES + 1):
            if not self._idle:
                self._idle.append(_Process(self._threads))
            try:
                return self._idle[-1].require_ready()
            except JobError:
                self._idle.pop()
                if failed == retry.RETRIES:
                    raise
        return None

    def submit(self, ticket: str, document: bytes, avoid: Collection[str]) -> None:  # noqa: D102
        process = self._busy[ticket] = self._idle.pop()
        with contextlib.suppress(OSError):  # it has just died: there will be no answer
            process.tasks.send_bytes(document)

    def wait(self, seconds: float) -> list[Reply]:  # noqa: D102
        by_pipe = {process.replies: ticket for ticket, process in self._busy.items()}
        if not by_pipe:
            time.sleep(seconds)
            return []
        ready = connection.wait(list(by_pipe), seconds)
        return [self._reply(by_pipe[pipe]) for pipe in by_pipe if pipe in ready]

    def _reply(self, ticket: str) -> Reply:
        process = self._busy.pop(ticket)
        try:
            answer = json.loads(process.replies.recv_bytes())
        except (EOFError, OSError):
            return Reply(ticket, lost=f"the worker {process.end()}", worker=process.name)
        except (ValueError, RecursionError) as error:
            process.end(kill=True)
            return Reply(ticket, lost=f"the worker's answer is not JSON: {error}", worker=process.name)
        self._idle.append(process)
        return Reply.of(ticket, answer, process.name)

    def abandon(self, ticket: str) -> str:  # noqa: D102
        process = self._busy.pop(ticket)
        process.end(kill=True)
        return process.name

    def close(self, drain: float) -> None:  # noqa: D102
        everyone = [*self._idle, *self._busy.values()]
        self._idle, self._busy = [], {}
        limit = time.monotonic() + drain
        try:
            for process in everyone:
                process.stop()
            for process in everyone:
                process.wait(max(0.0, limit - time.monotonic()))
        finally:  # also when a second Ctrl-C comes
            for process in everyone:
                process.end(kill=True)


class _Process:
    """One worker and the two pipes to it."""

    def __init__(self, threads: int) -> None:
        task_out, task_in = os.pipe()
        reply_out, reply_in = os.pipe()
        number = str(threads)
        environment = dict.fromkeys(("EVTOK_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), number)
        path = json.dumps(sys.path)
        try:
            self._process = subprocess.Popen(  # noqa: S603  this Python, with a program of ours
                [sys.executable, "-P", "-c", _PROGRAM, path, str(task_out), str(reply_in)],
                stdin=subprocess.DEVNULL,
                pass_fds=(task_out, reply_in),
                env=os.environ | environment,
                start_new_session=True,  # Ctrl-C is for the coordinator, which tells its workers to stop
            )
        except OSError as error:
            for fd in (task_in, reply_out):
                os.close(fd)
            raise JobError(f"workers: cannot start a process: {error}") from error
        finally:
            os.close(task_out)
            os.close(reply_in)
        self.tasks = connection.Connection(task_in, readable=False)
        self.replies = connection.Connection(reply_out, writable=False)
        self.name = f"process {self._process.pid}"
        self._ready = False

    def died(self) -> bool:
        """Whether it ended by itself."""
        return self._ready and self._process.poll() is not None

    def require_ready(self) -> None:
        """Wait until it can take a task; raises `JobError` when it never can."""
        if self._ready:
            return
        try:
            self._ready = self.replies.poll(_START) and self.replies.recv_bytes() == READY
        except (EOFError, OSError):
            self._ready = False
        if not self._ready:
            raise JobError(
                f"workers: a process that was started {self.end(kill=True)} before it could take a task; what it said "
                "is on stderr"
            )

    def stop(self) -> None:
        """Ask it to end after its task."""
        with contextlib.suppress(OSError):
            self.tasks.send_bytes(b"")

    def wait(self, seconds: float) -> None:
        """Wait for its end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def end(self, *, kill: bool = False) -> str:
        """Clear it away; returns how it ended."""
        if kill and self._process.poll() is None:
            self._process.kill()
        for pipe in (self.tasks, self.replies):
            pipe.close()
        code = self._process.wait()
        if code < 0:
            return f"was killed by signal {-code} ({signal.Signals(-code).name})"
        return f"ended with status {code}"


def threads_of(workers: int, threads: int | None) -> int:
    """Return the threads of each worker, so that all of them together have no more than there are CPUs.

    Raises
    ------
    JobError
        More is asked for.
    """
    cpus = _core.available_cpus()
    if workers > cpus:
        raise JobError(f"workers: {workers} processes asked for, there are {cpus} CPUs; give at most {cpus}")
    if threads is not None and workers * threads > cpus:
        raise JobError(
            f"threads: {workers} workers of {threads} threads each need {workers * threads} CPUs, there are {cpus}; "
            f"give at most {cpus // workers}"
        )
    return threads or max(1, cpus // workers)
