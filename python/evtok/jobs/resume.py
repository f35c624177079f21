"""What an earlier run left in a folder, and how much of it is proven."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection
from dataclasses import dataclass

from evtok.errors import JobError, ShardError
from evtok.jobs import commits, quarantine
from evtok.jobs import manifest as manifests
from evtok.jobs.durable import OutputFolder
from evtok.jobs.manifest import Manifest, read_record
from evtok.jobs.plan import Plan, Task
from evtok.jobs.record import ShardRecord
from evtok.jobs.shard_format import CONTAINERS


@dataclass(frozen=True)
class Survey:
    """The state of every task.

    Attributes
    ----------
    proven : tasks whose record and shard have the recorded hash, of an input that is known to be unchanged
    pending : the others, with the sha256 that was recorded for their shard, if one was; those come first, so that a
        changed input is noticed before anything new is written
    """

    proven: tuple[ShardRecord, ...]
    pending: tuple[tuple[Task, str | None], ...]


def begin(folder: OutputFolder, plan: Plan) -> Manifest:
    """Return the manifest of the folder; writes one with the plan when the folder is new, and lets shards appear.

    Raises
    ------
    JobError
        The folder belongs to a job with other ingredients, or holds shards without a manifest.
    """
    if quarantine.FOLDER in folder.names():
        with folder.subfolder(quarantine.FOLDER) as below:
            below.remove_temporaries()
    data = folder.read(manifests.NAME)
    if data is not None:
        found = Manifest.from_bytes(data, str(folder.path / manifests.NAME))
        plan.require_same(found.plan, str(folder.path))
        commits.allow(folder, plan.digest())
        return found
    foreign = [name for name in folder.names() if is_shard_name(name)]
    if foreign:
        raise JobError(
            f"{folder.path}: holds {foreign[0]} and no manifest, so nobody knows what it is; choose another folder"
        )
    fresh = Manifest(plan)
    folder.write(manifests.NAME, fresh.to_bytes())
    commits.allow(folder, plan.digest())
    return fresh


def survey(folder: OutputFolder, plan: Plan, previous: Manifest) -> Survey:
    """Prove what is there: a shard counts when its bytes have the recorded sha256, not when it exists.

    Each record names the file that its shard was made from. The manifest would not do: an interrupted run leaves
    shards of its own inputs under the manifest of the run before.
    """
    stated = {shard.index: shard.sha256 for shard in previous.shards}
    present = set(folder.names())
    proven: list[ShardRecord] = []
    again: list[tuple[Task, str | None]] = []
    new: list[tuple[Task, str | None]] = []
    for task in plan.tasks():
        record = _record(folder, plan, task) if task.stem + ".json" in present else None
        recorded = record.sha256 if record is not None else stated.get(task.index)
        if record is not None and _proves(folder, plan, task, record):
            proven.append(record)
        elif recorded is not None:
            again.append((task, recorded))
        else:
            new.append((task, None))
    return Survey(tuple(proven), (*again, *new))


def proven_record(folder: OutputFolder, plan: Plan, task: Task) -> ShardRecord | None:
    """Return the record of a task that is done, whoever did it; None when the folder does not prove that it is."""
    record = _record(folder, plan, task)
    return record if record is not None and _proves(folder, plan, task, record) else None


def is_shard_name(name: str) -> bool:
    """Whether a name is one that shards or their records have."""
    stem, dot, suffix = name.rpartition(".")
    return bool(dot) and suffix in (*CONTAINERS, "json") and stem.startswith("shard-")


def index_of(name: str, suffixes: Collection[str], plan: Plan) -> int | None:
    """Return the task that a shard or record of this name belongs to, None for other names."""
    digits, dot, suffix = name.removeprefix("shard-").partition(".")
    if (
        dot + suffix not in suffixes
        or not re.fullmatch(r"[0-9]{6,18}", digits)
        or int(digits) >= plan.n_tasks
    ):
        return None
    task = plan.task(int(digits))
    return task.index if name == task.stem + dot + suffix else None


def _record(folder: OutputFolder, plan: Plan, task: Task) -> ShardRecord | None:
    name = task.stem + ".json"
    try:
        return read_record(folder.read(name), plan, task, str(folder.path / name))
    except ShardError:
        return None  # a damaged record proves nothing: the shard is written again


def _proves(folder: OutputFolder, plan: Plan, task: Task, record: ShardRecord) -> bool:
    """Whether the shard of a record is what it says, and of the input as it is now."""
    source = plan.inputs[task.file].source()
    return source != "" and record.source == source and _intact(folder, record)


def _intact(folder: OutputFolder, record: ShardRecord) -> bool:
    try:
        if sha256_of(folder, record.name) != (record.sha256, record.size):
            return False
        if record.quarantine_sha256 is None:
            return True
        with folder.subfolder(quarantine.FOLDER) as below:
            return sha256_of(below, record.name.partition(".")[0] + ".jsonl")[0] == record.quarantine_sha256
    except (ShardError, JobError):
        return False


def sha256_of(folder: OutputFolder, name: str) -> tuple[str, int]:
    """Return the sha256 and the size of a file."""
    fd = folder.open(name)
    with open(fd, "rb", buffering=0) as file:  # noqa: PTH123  a descriptor
        return hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(fd).st_size
