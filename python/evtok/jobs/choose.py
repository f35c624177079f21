"""From ``workers=`` and ``client=`` to who carries out the tasks."""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evtok.errors import JobError
from evtok.jobs.dispatch import Dispatched, Workers
from evtok.jobs.executor import Executor
from evtok.jobs.in_process import InProcess
from evtok.jobs.local_workers import LocalWorkers, threads_of
from evtok.jobs.memory import parse


@dataclass(frozen=True)
class Means:
    """Who carries out a job, and what each process of theirs may use: `threads`, and bytes of `memory`."""

    executor: Executor
    threads: int | None
    memory: int | None


@contextlib.contextmanager
def means(
    workers: int | None,
    client: Any,
    threads: int | None,
    memory: int | str | None,
    task_timeout: float | None = None,
) -> Iterator[Means]:
    """Yield who carries out a job, and what they may use; leaves the workers at the end.

    Parameters
    ----------
    workers : int or None
        Processes of this machine.
    client : distributed.Client, str or None
        Of a Dask cluster. Its workers run as many tasks at once as they have threads, so one task has one thread, if
        nothing else is asked for.
    threads : int or None
        Of each process.
    memory : int, str or None
        Bytes of all processes of this machine together; of a cluster, of each task.
    task_timeout : float or None
        Seconds that a task may take before another worker is given it.

    Raises
    ------
    JobError
        Both, or more than there is; or a timeout without workers, or none that is above 0.
    """
    if workers is not None and client is not None:
        raise JobError("workers, client: expected one of them; the cluster of a client has its own workers")
    require_timeout(task_timeout, with_workers=workers is not None or client is not None)
    if client is None and workers is None:
        found = Means(InProcess(), threads, parse(memory))
    else:
        bound = parse(memory, 1 if workers is None else _positive(workers))
        used, each = workers_of(workers, client, threads)
        found = Means(Dispatched(used), each, bound)
    try:
        yield found
    finally:
        found.executor.close()


def require_timeout(seconds: float | None, *, with_workers: bool) -> None:
    """Refuse a timeout that is none, or that nobody would keep; raises `JobError`."""
    if seconds is not None and not with_workers:
        raise JobError(
            "task_timeout: is for workers, as this process takes no task away from itself; give workers or a client "
            "too (--workers, --scheduler), or leave it out"
        )
    if seconds is not None and not 0 < seconds < math.inf:
        raise JobError(f"task_timeout: expected a number of seconds above 0, got {seconds!r}")


def workers_of(workers: int | None, client: Any, threads: int | None) -> tuple[Workers, int]:
    """Return the workers of a machine or of a cluster, and the threads that each task of theirs has.

    Raises
    ------
    JobError
        Both, or neither; more than there is; a cluster that cannot be reached.
    """
    if (workers is None) == (client is None):
        raise JobError("workers, client: expected one of them; the cluster of a client has its own workers")
    if client is not None:
        from evtok.jobs.dask_workers import DaskWorkers

        return DaskWorkers(client), threads or 1
    n = _positive(workers)
    each = threads_of(n, threads)
    return LocalWorkers(n, each), each


def _positive(workers: Any) -> int:
    try:
        n = operator.index(workers)
    except TypeError:
        raise JobError(f"workers: expected an integer, got {workers!r}") from None
    if n < 1:
        raise JobError(f"workers: expected at least 1, got {n}")
    return n
