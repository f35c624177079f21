"""The loop of a process of `LocalWorkers`: task after task from one pipe, answer after answer into another."""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
from multiprocessing import connection

#: What a process says when it can take tasks.
READY = b"ready"


def serve(tasks_fd: int, replies_fd: int) -> None:
    """Carry out tasks until an empty message comes; ends at once when the coordinator is gone."""
    # SIGTERM to a whole job, as a batch system sends it, is for the coordinator: it says what is to finish.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    tasks = connection.Connection(tasks_fd, writable=False)
    replies = connection.Connection(replies_fd, readable=False)
    messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        while True:
            try:
                messages.put(tasks.recv_bytes())
            except (EOFError, OSError):
                # The coordinator, a process of this machine, is dead: nobody waits for the shard, and its successor
                # writes it again. (Workers of a cluster do not notice; `commits` is what stops them.)
                os._exit(1)

    threading.Thread(target=listen, name="evtok-listen", daemon=True).start()
    from evtok.jobs.worker import run_task

    replies.send_bytes(READY)
    while document := messages.get():
        answer = json.dumps(run_task(document)).encode("ascii")
        try:
            replies.send_bytes(answer)
        except OSError:
            os._exit(1)
    os._exit(0)  # the listening thread waits for ever
