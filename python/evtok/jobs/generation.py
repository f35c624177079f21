"""A new generation of a job: inputs were mended or added, and what is made of the others is taken over.

A folder holds the shards of one plan, and a mended input is another input, so its shards go to a folder of their own.
There, a shard of the earlier job is taken over when everything that its bytes depend on is the same: the ingredients of
both plans, and the very file, by path and stamp. It is a hard link where the file system has them, else a copy; its
record is written anew, and the job proves it by its hash, as every shard that it finds. So the folder comes out as if
the job had begun from nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from evtok.errors import JobError, ShardError
from evtok.jobs import manifest as manifests
from evtok.jobs import merge, quarantine, resume
from evtok.jobs.durable import OutputFolder
from evtok.jobs.inputs import on_any_machine
from evtok.jobs.manifest import read_record, require_manifest
from evtok.jobs.plan import Plan, Task
from evtok.jobs.record import ShardRecord

_PART = 2**20


def take_over(folder: OutputFolder, plan: Plan, previous: str | os.PathLike[str]) -> int:
    """Begin a job with the shards of an earlier one, where both make the same of a file that did not change.

    Parameters
    ----------
    folder : OutputFolder
        Of the new job, locked.
    plan : Plan
        Of the new job.
    previous : path
        Folder of the earlier job, or its file of scores; only read.

    Returns
    -------
    int
        How many shards were taken over.

    Raises
    ------
    JobError
        There is no job in `previous`, or it is this one, or it has other ingredients.
    """
    with OutputFolder(job_folder_of(previous), create=False) as old:
        if old.path.resolve() == folder.path.resolve():
            raise JobError(f"{old.path}: a job cannot take its own shards over; choose another folder")
        before = require_manifest(old.read(manifests.NAME), str(old.path / manifests.NAME)).plan
        _require_same_ingredients(before, plan, str(old.path))
        resume.begin(folder, plan)
        there = set(folder.names())
        n = 0
        for task, was in _pairs(before, plan):
            if task.stem + ".json" in there:
                continue
            record = _record(old, before, was)
            if record is not None and record.source == plan.inputs[task.file].source():
                _take(old, folder, plan, task, record)
                n += 1
        return n


def job_folder_of(job: str | os.PathLike[str]) -> Path:
    """Return the folder of a job: `job` itself, or that of the parts of a file of scores."""
    path = Path(job)
    parts = merge.parts_of(path)
    return parts if parts.is_dir() and not (path / manifests.NAME).exists() else path


def _require_same_ingredients(before: Plan, now: Plan, name: str) -> None:
    was, new = _ingredients(before), _ingredients(now)
    changes = [f"{key}: was {was.get(key)!r}, is {new.get(key)!r}" for key in new if was.get(key) != new[key]]
    if changes:
        raise JobError(
            f"{name}: was made of other ingredients, and shards of both would be mixed. Changed: "
            + "; ".join(changes)
            + ". Run the job again from its inputs, into another folder"
        )


def _ingredients(plan: Plan) -> dict[str, Any]:
    return {key: value for key, value in plan.to_json().items() if key != "inputs"}


def _pairs(before: Plan, now: Plan) -> Iterator[tuple[Task, Task]]:
    """Yield the tasks of `now` with those of `before` that are the same range of the same file."""
    known = {(_file(before, task), task.start, task.stop): task for task in before.tasks()}
    for task in now.tasks():
        was = known.get((_file(now, task), task.start, task.stop))
        if was is not None and now.inputs[task.file].stamp:
            yield task, was


def _file(plan: Plan, task: Task) -> tuple[Any, ...]:
    file = plan.inputs[task.file]
    return file.path, on_any_machine(file.stamp), file.tree, file.n_events


def _record(folder: OutputFolder, plan: Plan, task: Task) -> ShardRecord | None:
    name = task.stem + ".json"
    try:
        return read_record(folder.read(name), plan, task, str(folder.path / name))
    except ShardError:
        return None  # damaged, or not made yet


def _take(old: OutputFolder, folder: OutputFolder, plan: Plan, task: Task, record: ShardRecord) -> None:
    name = task.stem + plan.layout().suffix
    _link(old, record.name, folder, name)
    if record.quarantine_sha256 is not None:
        lines = record.name.partition(".")[0] + ".jsonl"
        with (
            old.subfolder(quarantine.FOLDER) as from_here,
            folder.subfolder(quarantine.FOLDER, create=True) as below,
        ):
            _link(from_here, lines, below, task.stem + ".jsonl")
    taken = replace(record, plan=plan.digest(), index=task.index, file=task.file, name=name)
    folder.write(task.stem + ".json", taken.to_bytes())


def _link(old: OutputFolder, name: str, folder: OutputFolder, new: str) -> None:
    """Let `new` be the same file as `name`, or a copy; what is wrong with either, the job finds out by the hash."""
    folder.remove(new)  # without a record it belongs to nobody
    try:
        os.link(name, new, src_dir_fd=old._fd, dst_dir_fd=folder._fd, follow_symlinks=False)
    except OSError:
        with open(old.open(name), "rb") as source, folder.create(new) as file:  # noqa: PTH123  a descriptor
            while data := source.read(_PART):
                file.write(data)
            file.commit()
