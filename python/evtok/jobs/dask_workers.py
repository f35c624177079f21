"""Workers of a Dask cluster, by a client of the user's or the address of a scheduler.

The scheduler is sent one small document for each task, and a bounded number of them at a time: it never holds more than
two rounds of its workers, however many events there are. A worker that is lost costs its tasks; Dask gives them to
others, as often as its ``distributed.scheduler.allowed-failures`` says, and after that they are given up.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Collection
from typing import Any

from evtok._optional import require
from evtok.errors import JobError
from evtok.jobs.dispatch import Reply, Workers
from evtok.jobs.worker import run_task

#: Rounds of tasks that the cluster holds, so that no worker waits for the coordinator.
_ROUNDS = 2
_FEWEST_SLOTS = 4  # also while there is no worker: a cluster that adapts starts some when tasks come
_ASK_EVERY = 2.0  # seconds between two looks at how many workers there are
_CONNECT = 20.0  # seconds


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
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._threads: dict[str, int] = {}
        self._late: dict[str, float] = {}  # when a task was taken away from a worker
        self._asked = -_ASK_EVERY
        # A key is never used twice: of one that is known, Dask would give the result of before.
        self._run = f"{time.time_ns():x}"

    @property
    def slots(self) -> int:  # noqa: D102
        if time.monotonic() - self._asked >= _ASK_EVERY:
            with self._reported("ask for the workers"):
                self._threads = dict(self._client.nthreads())
            self._asked = time.monotonic()
        return max(_FEWEST_SLOTS, _ROUNDS * sum(self._threads.values()))

    def submit(self, ticket: str, document: bytes, avoid: Collection[str]) -> None:  # noqa: D102
        chosen = self._choose(avoid)
        prefer = {"workers": chosen, "allow_other_workers": True} if chosen else {}
        key = f"{ticket}-{self._run}"
        with self._reported("submit a task"):
            future = self._client.submit(run_task, document, key=key, pure=False, **prefer)
        self._futures[ticket] = future
        future.add_done_callback(lambda done: self._fetch(ticket, done))

    def _choose(self, avoid: Collection[str]) -> list[str]:
        """Return whom to prefer, nobody where all are alike: workers of whom no task was taken away, or longest ago."""
        late = {address: self._late.get(address, 0.0) for address in self._threads}
        late |= {address: max(1.0, late[address]) for address in avoid if address in late}
        best = min(late.values(), default=0.0)
        return [address for address in late if late[address] == best] if any(late.values()) else []

    def wait(self, seconds: float) -> list[Reply]:  # noqa: D102
        replies, limit = list[Reply](), time.monotonic() + seconds
        while True:
            try:
                reply = self._replies.get(timeout=0 if replies else max(0.0, limit - time.monotonic()))
            except queue.Empty:
                return replies
            if self._futures.pop(reply.ticket, None) is not None:
                replies.append(reply)

    def _fetch(self, ticket: str, future: Any) -> None:
        """Fetch an answer in a thread of its own: a worker may be cut off between its answer and our question."""
        threading.Thread(
            target=lambda: self._replies.put(self._reply(ticket, future)), name="evtok-fetch", daemon=True
        ).start()

    def _reply(self, ticket: str, future: Any) -> Reply:
        try:
            answer = future.result(timeout=_CONNECT)
        except self._killed as error:
            last = getattr(error.last_worker, "address", "")
            return Reply(ticket, lost=f"the workers died of it: {error}", worker=last, final=True)
        except Exception as error:  # cancelled, the scheduler lost, a worker that cannot import evtok
            return Reply(ticket, lost=f"{type(error).__name__}: {error}")
        finally:
            future.release()
        if not isinstance(answer, dict):
            return Reply(ticket, lost=f"the worker answered {answer!r:.80}")
        return Reply(ticket, json.loads(json.dumps(answer)), worker=str(answer.get("worker")))

    def abandon(self, ticket: str) -> str:  # noqa: D102
        future = self._futures.pop(ticket)
        holder = ""
        with contextlib.suppress(Exception):  # a scheduler that is slow now need not tell
            for address, keys in self._client.processing().items():
                if future.key in keys:
                    holder = str(address)
        with contextlib.suppress(Exception):
            future.cancel(force=True)
        if holder:
            self._late[holder] = time.monotonic()
        return holder

    def close(self, drain: float) -> None:  # noqa: D102
        futures, self._futures = list(self._futures.values()), {}
        try:
            if drain and futures:
                self._drain(futures, drain)
        finally:
            with contextlib.suppress(Exception):
                self._client.cancel(futures, force=True)
            if self._own:
                with contextlib.suppress(Exception):
                    self._client.close(timeout=1)

    def _drain(self, futures: list[Any], seconds: float) -> None:
        """Take back what no worker has, and wait for the rest."""
        limit = time.monotonic() + seconds
        with contextlib.suppress(Exception):
            begun = {key for keys in self._client.processing().values() for key in keys}
            self._client.cancel([one for one in futures if one.key not in begun], force=True)
            running = [one for one in futures if one.key in begun]
            while time.monotonic() < limit and not all(one.done() for one in running):
                time.sleep(0.05)

    @contextlib.contextmanager
    def _reported(self, what: str) -> Any:
        try:
            yield
        except Exception as error:
            raise JobError(
                f"client: cannot {what}: {type(error).__name__}: {error}. What was recorded stays valid; run again "
                "when the scheduler can be reached"
            ) from error
