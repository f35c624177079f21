"""Whether shards of a plan may appear in a folder: only while a job of this plan runs there.

A worker can be late by any time: stopped, cut off, forgotten. What it would write is right for its own plan, and must
not appear after the account of the job was made, nor among the shards of another job that the folder was given since.
So the coordinator says in the file ``running`` whose shards are wanted, and every worker looks before it commits.
"""

from __future__ import annotations

from evtok.errors import JobError
from evtok.jobs.durable import OutputFolder

NAME = "running"


def allow(folder: OutputFolder, plan: str) -> None:
    """Let shards of the plan with this digest appear; only for the holder of the lock."""
    if folder.read(NAME) != _content(plan):
        folder.write(NAME, _content(plan))


def end(folder: OutputFolder) -> None:
    """Let no shard appear any more; only for the holder of the lock."""
    folder.remove(NAME)


def require_allowed(folder: OutputFolder, plan: str, shard: str) -> None:
    """Refuse to commit a shard that nobody waits for.

    Raises
    ------
    JobError
        The job of this plan has ended, or another one has the folder.
    """
    if folder.read(NAME) != _content(plan):
        raise JobError(
            f"{folder.path / shard}: no job of its plan runs in this folder any more, so it is not written"
        )


def _content(plan: str) -> bytes:
    return plan.encode("ascii") + b"\n"
