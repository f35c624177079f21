"""Prove a folder of shards: read everything again, trust nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evtok.errors import EvtokError, ShardError
from evtok.jobs import manifest as manifests
from evtok.jobs import merge, quarantine, resume
from evtok.jobs.durable import OutputFolder
from evtok.jobs.manifest import Manifest, ShardEntry, read_record, require_manifest
from evtok.jobs.plan import Plan, Task
from evtok.jobs.record import ShardRecord
from evtok.jobs.score_product import ScoreProduct
from evtok.jobs.shard_format import ContentHash
from evtok.jobs.shard_reader import ShardFile


@dataclass
class VerifyReport:
    """What `verify` found. `problems` is empty when everything is proven."""

    folder: Path
    shards: int = 0
    events: int = 0
    ids: int = 0
    size: int = 0
    quarantined: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the folder is proven."""
        return not self.problems


def verify(folder: str | os.PathLike[str]) -> VerifyReport:
    """Read what a job wrote again and prove it: documents, sizes, hashes, ids or scores, counts, accounts.

    Parameters
    ----------
    folder : path
        That `evtok tokenize` wrote; or a file of scores, which is proven with the folder of its parts where that is
        still beside it.

    Returns
    -------
    VerifyReport
        With one line for each problem; it is for the caller to stop when it is not ``ok``.

    Raises
    ------
    JobError
        There is no job in this folder.
    """
    path = Path(folder)
    if path.is_file():
        if not merge.parts_of(path).is_dir():
            return _scores(path)
        path = merge.parts_of(path)
    report = VerifyReport(path)
    with OutputFolder(path, create=False) as opened:
        try:
            manifest = require_manifest(opened.read(manifests.NAME), str(path / manifests.NAME))
        except ShardError as error:
            report.problems.append(str(error))
            return report
        report.problems += _artefact(path, manifest.plan)
        report.problems += _foreign(opened, manifest)
        try:
            manifest.require_finished(str(path))
        except ShardError as error:
            report.problems.append(str(error))
        records = []
        entries = {entry.index: entry for entry in manifest.shards}
        for index in sorted(set(entries) | set(_recorded(opened, manifest))):
            task = manifest.plan.task(index)
            try:
                records.append(_shard(opened, manifest.plan, task, entries.get(task.index), report))
            except EvtokError as error:
                report.problems.append(str(error))
        for lost in manifest.refused:
            stem = Task(lost.index, lost.file, lost.start, lost.stop).stem
            try:
                _check_quarantine_file(opened, stem, lost.quarantine_sha256, 1)
            except EvtokError as error:
                report.problems.append(str(error))
            else:
                report.quarantined += lost.stop - lost.start
        if manifest.complete and not report.problems:
            report.problems += _account(manifest, records)
        if manifest.complete and isinstance(manifest.plan.product, ScoreProduct):
            report.problems += merge.problems_of(opened, manifest)
    return report


def _scores(path: Path) -> VerifyReport:
    """Prove a file of scores by itself."""
    from evtok.scores import Scores

    report = VerifyReport(path)
    try:
        found = Scores.read(path)
    except ShardError as error:
        report.problems.append(str(error))
    else:
        report.shards, report.events = len(found.facts.parts), len(found)
        report.size, report.quarantined = path.stat().st_size, found.counts.quarantined
    return report


def _shard(
    folder: OutputFolder, plan: Plan, task: Task, entry: ShardEntry | None, report: VerifyReport
) -> ShardRecord:
    name = task.stem + ".json"
    record = read_record(folder.read(name), plan, task, str(folder.path / name))
    if entry is not None and manifests.entry_of(record) != entry:
        raise ShardError(f"{folder.path / name}: the record and the manifest state different things")
    shard = ShardFile(folder.path, record, plan.layout())
    if hashlib.sha256(shard.raw()).hexdigest() != record.sha256:
        raise ShardError(f"{shard.path}: does not have its recorded sha256; remove it and run the job again")
    content, events, ids, last = ContentHash(plan.layout().all_columns), 0, 0, task.start - 1
    for k in range(len(record.batches)):
        batch = shard.batch(k)
        plan.product.check(batch, str(shard.path))
        entries = batch.columns["entry"]
        if entries[0] <= last or np.any(np.diff(entries) <= 0) or entries[-1] >= task.stop:
            raise ShardError(
                f"{shard.path}: entries are not those of rows {task.start} to {task.stop}, in order"
            )
        last = int(entries[-1])
        content.update(batch)
        events, ids = events + len(batch), ids + batch.n_ids
    if (content.hexdigest(), events, ids) != (record.content, record.counts.written, record.ids):
        raise ShardError(f"{shard.path}: content or counts are not those of its record")
    record.counts.check(task.stop - task.start, str(shard.path))
    _check_quarantine(folder, record)
    report.shards += 1
    report.events += events
    report.ids += ids
    report.size += record.size
    report.quarantined += record.counts.quarantined
    return record


def _check_quarantine(folder: OutputFolder, record: ShardRecord) -> None:
    if record.quarantine_sha256 is None:
        return
    stem = record.name.partition(".")[0]
    _check_quarantine_file(folder, stem, record.quarantine_sha256, record.counts.quarantined)


def _check_quarantine_file(folder: OutputFolder, stem: str, sha256: str, lines: int) -> None:
    name = stem + ".jsonl"
    with folder.subfolder(quarantine.FOLDER) as below:
        data = below.read(name)
    if data is None or hashlib.sha256(data).hexdigest() != sha256:
        raise ShardError(f"{folder.path / quarantine.FOLDER / name}: missing or altered")
    if data.count(b"\n") != lines:
        raise ShardError(f"{folder.path / quarantine.FOLDER / name}: does not list every event in quarantine")


def _account(manifest: Manifest, records: list[ShardRecord]) -> Iterator[str]:
    again = Manifest.of(manifest.plan, records, manifest.refused, complete=True)
    if again.to_bytes() != manifest.to_bytes():  # as bytes: a sum of weights may be NaN, which equals nothing
        yield f"{manifests.NAME}: its sums are not those of the records"


def _artefact(path: Path, plan: Plan) -> Iterator[str]:
    name = plan.product.ARTEFACT
    try:
        found = plan.product.fingerprint_of(path / name)
    except (EvtokError, OSError) as error:
        yield str(error)
        return
    if found != plan.fingerprint:
        yield f"{path / name}: not the {name} that wrote these shards"


def _foreign(folder: OutputFolder, manifest: Manifest) -> Iterator[str]:
    """Files that look like shards and belong to no task would be picked up by other readers."""
    suffixes = (manifest.plan.layout().suffix, ".json")
    refused = {lost.index for lost in manifest.refused}
    for name in folder.names():
        if resume.is_shard_name(name):
            index = resume.index_of(name, suffixes, manifest.plan)
            if index is None or index in refused:
                yield f"{folder.path / name}: belongs to no task of this job; remove it"


def _recorded(folder: OutputFolder, manifest: Manifest) -> Iterator[int]:
    """Yield the tasks that have a record; of an unfinished job the manifest does not list them."""
    refused = {lost.index for lost in manifest.refused}
    for name in folder.names():
        index = resume.index_of(name, (".json",), manifest.plan)
        if index is not None and index not in refused:
            yield index
