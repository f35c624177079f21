"""Workers of a Dask cluster, by a client of the user's or the address of a scheduler.

The scheduler is sent one small document for each task, and a bounded number of them at a time: it never holds more than
two rounds of its workers, however many events there are. A worker that is lost costs its tasks; Dask gives them to
others, as often as its ``distributed.scheduler.allowed-failures`` says, and after that they are given up.

A scheduler may stop answering at any time, so no question to it waits without end.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from evtok import _core
from evtok._optional import require
from evtok.errors import JobError
from evtok.jobs.dispatch import Reply, Workers
from evtok.jobs.worker import run_task

#: Rounds of tasks that the cluster holds, so that no worker waits for the coordinator.
_ROUNDS = 2
_FEWEST_SLOTS = 4  # also while there is no worker: a cluster that adapts starts some when tasks come
_ASK_EVERY = 2.0  # seconds between two looks at how many workers there are
_CONNECT = 20.0  # seconds
_LOOK_EVERY = 0.5  # seconds between two looks at what the workers have, while times of tasks are counted
_FETCHERS = 8  # threads that fetch answers: a worker may be cut off between its answer and our question
_LATE_FOR = 60.0  # seconds that a worker, of whom a task was taken away, is not preferred
_LAST_WORD = 1.0  # seconds for what is said to a scheduler when the time is over

#: What becomes of a task when a worker, a connection or the scheduler is lost. Everything else comes of a worker that
#: cannot even begin, as `run_task` raises nothing.
_LOST = (asyncio.CancelledError, concurrent.futures.CancelledError, TimeoutError, OSError)


def run_on_dask(document: bytes) -> dict[str, Any]:
    """Carry out a task within a Dask worker; returns its address, and the answer of `run_task`."""
    from distributed import get_worker

    worker = get_worker()
    most_threads = max(1, _core.available_cpus() // worker.state.nthreads)  # it runs so many tasks at once
    return {"address": worker.address, "answer": run_task(document, most_threads)}


def _entry() -> Callable[[bytes], dict[str, Any]]:
    """Return what workers are sent: not `run_on_dask` by name, as one without evtok would hang up, and not say why."""

    def evtok_task(document: bytes) -> dict[str, Any]:
        from evtok.jobs.dask_workers import run_on_dask

        return run_on_dask(document)

    return evtok_task


class DaskWorkers(Workers):
    """The workers that a client reaches.

    Parameters
    ----------
    client : distributed.Client or str
        An address is connected to, and left at the end; a client stays the user's.
    """

    def __init__(self, client: Any) -> None:
        distributed = require("distributed", extra="cluster")
        self._own = isinstance(client, str)
        if self._own:
            try:
                client = distributed.Client(client, timeout=_CONNECT, set_as_default=False)
            except (OSError, ValueError, TimeoutError) as error:
                raise JobError(f"client: cannot reach the scheduler at {client}: {error}") from error
        if not isinstance(client, distributed.Client) or client.asynchronous:
            raise JobError(
                "client: expected a distributed.Client that is not asynchronous, or the address of a scheduler, got "
                f"{client!r:.80}"
            )
        self._client = client
        self._killed = distributed.KilledWorker
        self._futures: dict[str, Any] = {}
        self._done: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._fetchers: list[threading.Thread] = []
        self._threads: dict[str, int] = {}
        self._late: dict[str, float] = {}  # when a task was taken away from a worker
        self._asked = -_ASK_EVERY
        self._held: dict[str, list[str]] = {}  # keys of the tasks that each worker has
        self._looked = -_LOOK_EVERY
        self._bound: dict[str, set[str]] = {}  # who alone may have a task
        # A key is never used twice: of one that is known, Dask would give the result of before.
        self._run = f"{time.time_ns():x}"

    @property
    def slots(self) -> int:  # noqa: D102
        if time.monotonic() - self._asked >= _ASK_EVERY:
            with self._reported("ask for the workers"):
                self._threads = dict(self._ask(self._client.scheduler.ncores, _CONNECT))
            self._asked = time.monotonic()
        return max(_FEWEST_SLOTS, _ROUNDS * sum(self._threads.values()))

    def submit(self, ticket: str, document: bytes, avoid: Collection[str]) -> None:  # noqa: D102
        chosen = self._choose(avoid)
        # A task that is tried again may not be stolen by the worker that failed it, idle as it is.
        prefer = {"workers": chosen, "allow_other_workers": not avoid} if chosen else {}
        if chosen and avoid:
            self._bound[ticket] = set(chosen)
        key = f"{ticket}-{self._run}"
        with self._reported("submit a task"):
            future = self._client.submit(_entry(), document, key=key, pure=False, **prefer)
        self._futures[ticket] = future
        if not self._fetchers:
            self._fetchers = [
                threading.Thread(target=self._fetch, name="evtok-fetch", daemon=True)
                for _ in range(_FETCHERS)
            ]
            for thread in self._fetchers:
                thread.start()
        future.add_done_callback(lambda done: self._done.put((ticket, done)))

    def _choose(self, avoid: Collection[str]) -> list[str]:
        """Return whom to prefer for a task: workers that did not fail it, and were not late of late; [] for anybody.

        A task that was not tried yet is kept from late workers only while most workers are not.
        """
        now = time.monotonic()
        self._late = {address: since for address, since in self._late.items() if now - since < _LATE_FOR}
        good = [one for one in self._threads if one not in self._late and one not in avoid]
        if not avoid and 2 * len(good) <= len(self._threads):
            return []
        good = good or [one for one in self._threads if one not in avoid]
        return good if len(good) < len(self._threads) else []

    def begun(self, tickets: Sequence[str]) -> Collection[str]:  # noqa: D102
        if time.monotonic() - self._looked >= _LOOK_EVERY:
            with contextlib.suppress(Exception):  # a scheduler that is slow now tells it later
                self._held = self._look(_CONNECT)
            self._looked = time.monotonic()
        running = set[str]()
        for (
            address,
            keys,
        ) in self._held.items():  # a worker takes them in the order in which they were handed out
            held = set(keys)
            ours = [ticket for ticket, future in self._futures.items() if future.key in held]
            running.update(ours[: self._threads.get(address, 1)])
        return [ticket for ticket in tickets if ticket in running]

    def wait(self, seconds: float) -> list[Reply]:  # noqa: D102
        self._free()
        replies, limit = list[Reply](), time.monotonic() + seconds
        while True:
            try:
                reply = self._replies.get(timeout=0 if replies else max(0.0, limit - time.monotonic()))
            except queue.Empty:
                return replies
            if self._futures.pop(reply.ticket, None) is not None:
                replies.append(reply)

    def _free(self) -> None:
        """Take tasks back that nobody may have any more: those who might have gone."""
        self._bound = {ticket: chosen for ticket, chosen in self._bound.items() if ticket in self._futures}
        if not self._bound:
            return
        _ = self.slots  # asks, now and then, who is there
        for ticket, chosen in self._bound.items():
            if chosen.isdisjoint(self._threads):
                self._replies.put(Reply(ticket, lost="the workers that it was meant for have gone"))
                self._cancel([self._futures[ticket]], _LAST_WORD)

    def _fetch(self) -> None:
        while (done := self._done.get()) is not None:
            self._replies.put(self._reply(*done))

    def _reply(self, ticket: str, future: Any) -> Reply:
        try:
            said = future.result(timeout=_CONNECT)
            address, answer = str(said["address"]), said["answer"]
        except self._killed as error:
            last = getattr(error.last_worker, "address", "")
            return Reply(ticket, lost=f"the workers died of it: {error}", worker=last, final=True)
        except _LOST as error:
            return Reply(ticket, lost=f"{type(error).__name__}: {error}")
        except Exception as error:
            return Reply(
                ticket,
                fatal=f"a worker of the cluster cannot carry out tasks: {type(error).__name__}: {error}. Each needs "
                "evtok of the version that is here, with what it imports",
            )
        finally:
            with contextlib.suppress(Exception):
                future.release()
        return Reply.of(ticket, answer, address)

    def abandon(self, ticket: str) -> str:  # noqa: D102
        future = self._futures.pop(ticket)
        holder = ""
        for address, keys in self._held.items():  # as `begun` saw it
            if future.key in keys:
                holder = address
        self._cancel([future], _LAST_WORD)
        if holder:
            self._late[holder] = time.monotonic()
        return holder

    def close(self, drain: float) -> None:  # noqa: D102
        futures, self._futures = list(self._futures.values()), {}
        try:
            if drain and futures:
                self._drain(futures, drain)
        finally:
            self._cancel(futures, _LAST_WORD)
            for _ in self._fetchers:
                self._done.put(None)
            self._fetchers = []
            if self._own:
                with contextlib.suppress(Exception):
                    self._client.close(timeout=1)

    def _drain(self, futures: list[Any], seconds: float) -> None:
        """Take back what no worker has, and wait for the rest; a scheduler that does not say who has what gets none."""
        limit = time.monotonic() + seconds
        with contextlib.suppress(Exception):
            begun = {key for keys in self._look(seconds / 2).values() for key in keys}
            self._cancel([one for one in futures if one.key not in begun], max(0.1, limit - time.monotonic()))
            running = [one for one in futures if one.key in begun]
            while time.monotonic() < limit and not all(one.done() for one in running):
                time.sleep(0.05)

    def _look(self, seconds: float) -> dict[str, list[str]]:
        """Return the keys of the tasks that each worker has, by its address."""
        found = self._ask(self._client.scheduler.processing, seconds)
        return {str(address): [str(key) for key in keys] for address, keys in found.items()}

    def _cancel(self, futures: list[Any], seconds: float) -> None:
        with contextlib.suppress(Exception):
            if futures:
                self._ask(lambda: self._client.cancel(futures, asynchronous=True, force=True), seconds)

    def _ask(self, question: Callable[[], Any], seconds: float) -> Any:
        """Have the client's own thread ask the scheduler; raises `TimeoutError` when no answer comes."""
        return self._client.sync(question, callback_timeout=seconds)

    @contextlib.contextmanager
    def _reported(self, what: str) -> Any:
        try:
            yield
        except Exception as error:
            raise JobError(
                f"client: cannot {what}: {type(error).__name__}: {error}. What was recorded stays valid; run again "
                "when the scheduler can be reached"
            ) from error
