"""Merge the parts of a job of scores into one file, and prove that it is still what was merged."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from evtok._optional import require
from evtok.errors import JobError, ShardError
from evtok.jobs import manifest as manifests
from evtok.jobs.batch import Batch
from evtok.jobs.documents import seal, unseal
from evtok.jobs.durable import AtomicFile, OutputFolder
from evtok.jobs.fields import HASH, Fields
from evtok.jobs.manifest import Manifest, read_record, require_manifest
from evtok.jobs.pipeline import read_ahead
from evtok.jobs.resume import sha256_of
from evtok.jobs.score_file import FILE, ScoreFacts
from evtok.jobs.shard_reader import ShardFile
from evtok.jobs.shard_writer import HashingSink

#: The record of the merged file, in the folder of the parts.
RECORD = "merged.json"
#: The parts of ``scores.parquet`` lie in ``scores.parquet.parts``.
SUFFIX = ".parts"
ROWS_PER_GROUP = 16 * 16_384


@dataclass(frozen=True)
class Merged:
    """A merged file: its name, size and sha256, and the sha256 of what it says of itself."""

    name: str
    size: int
    sha256: str
    facts: str

    def to_bytes(self) -> bytes:
        """Write the document."""
        return seal(asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Self:
        """Read the document; raises `ShardError`."""
        found = Fields(unseal(data, name), [field.name for field in fields(cls)], name)
        return cls(
            found.text("name"), found.integer("size"), found.text("sha256", HASH), found.text("facts", HASH)
        )


def parts_of(output: Path) -> Path:
    """Return the folder of the parts of a file of scores."""
    return output.with_name(output.name + SUFFIX)


def record_of(folder: OutputFolder) -> Merged | None:
    """Return the record of the merged file; None when there is none, or it proves nothing."""
    try:
        data = folder.read(RECORD)
        return None if data is None else Merged.from_bytes(data, str(folder.path / RECORD))
    except ShardError:
        return None


def require_own(folder: OutputFolder, home: OutputFolder, name: str) -> Merged | None:
    """Return the record of the file `name` of `home`, None when there is no such file.

    Raises
    ------
    JobError
        What is there was not merged from these parts, so it is not for evtok to replace.
    """
    if name not in home.names():
        return None
    record = record_of(folder)
    if record is not None and sha256_of(home, name) == (record.sha256, record.size):
        return record
    raise JobError(
        f"{home.path / name}: is there already, and is not what this job wrote; remove it, or write to another path"
    )


def merge(folder: OutputFolder, home: OutputFolder, name: str, model: str) -> tuple[Merged, bool]:
    """Write the parts of a finished job as one file, unless it is there.

    Parameters
    ----------
    folder : OutputFolder
        With the parts, locked.
    home : OutputFolder
        Where the file goes, under `name`.
    model : str
        Folder of the detector, for the file to name.

    Returns
    -------
    merged : Merged
    was_there : bool
    """
    manifest = require_manifest(folder.read(manifests.NAME), str(folder.path / manifests.NAME))
    facts = ScoreFacts.of(manifest, model)
    digest = hashlib.sha256(facts.to_bytes()).hexdigest()
    there = require_own(folder, home, name)
    if there is not None and there.facts == digest:
        return there, True
    home.remove_temporaries(name)
    with home.create(name) as file:
        sha256 = _write(file, folder, manifest, facts)
        merged = Merged(name, file.size, sha256, digest)
        # The record comes first: a file without one would belong to nobody, a record without its file is no harm.
        folder.write(RECORD, merged.to_bytes())
        file.commit()
    return merged, False


def _write(file: AtomicFile, folder: OutputFolder, manifest: Manifest, facts: ScoreFacts) -> str:
    pa = require("pyarrow", extra="io")
    parquet = require("pyarrow.parquet", extra="io")
    sink, schema = HashingSink(file), facts.arrow_schema()
    paths = [one.path for one in facts.inputs]
    writer = parquet.ParquetWriter(
        pa.PythonFile(sink, mode="w"),
        schema,
        compression="zstd",
        use_dictionary=[FILE],
        write_page_checksum=True,
    )
    groups = _groups(_batches(folder, manifest))
    tables = (_table(pa, group, paths, schema) for group in groups)
    # The next parts are proven while these are compressed.
    with contextlib.closing(read_ahead(tables)) as ahead:
        for table in ahead:
            writer.write_table(table, row_group_size=ROWS_PER_GROUP)
    writer.close()
    return sink.sha256()


def _batches(folder: OutputFolder, manifest: Manifest) -> Iterator[tuple[int, Batch]]:
    """Yield the batches of all parts, each with the input that it is of; every byte is proven first."""
    plan = manifest.plan
    for entry in manifest.shards:
        task = plan.task(entry.index)
        name = task.stem + ".json"
        shard = ShardFile(
            folder.path, read_record(folder.read(name), plan, task, str(folder.path / name)), plan.layout()
        )
        for k in range(len(shard.record.batches)):
            yield task.file, shard.batch(k)


def _groups(batches: Iterator[tuple[int, Batch]]) -> Iterator[list[tuple[int, Batch]]]:
    """Yield as many batches at a time as a row group holds."""
    group: list[tuple[int, Batch]] = []
    rows = 0
    for one in batches:
        if group and rows + len(one[1]) > ROWS_PER_GROUP:
            yield group
            group, rows = [], 0
        group.append(one)
        rows += len(one[1])
    if group:
        yield group


def _table(pa: Any, group: list[tuple[int, Batch]], paths: list[str], schema: Any) -> Any:
    used = list(dict.fromkeys(paths[k] for k, _ in group))
    of_row = np.repeat(
        np.array([used.index(paths[k]) for k, _ in group], np.int32), [len(batch) for _, batch in group]
    )
    batch = Batch.joined([batch for _, batch in group], "scores")
    files = pa.DictionaryArray.from_arrays(pa.array(of_row), pa.array(used, pa.string()))
    columns = {**batch.columns, FILE: files}
    return pa.table([columns[name] for name in schema.names], schema=schema)


def problems_of(folder: OutputFolder, manifest: Manifest) -> Iterator[str]:
    """Yield what is wrong with the merged file of a finished job."""
    from evtok.scores import Scores

    record = record_of(folder)
    if record is None:
        yield f"{folder.path / RECORD}: missing or altered; run the job again to write it"
        return
    path = folder.path.parent / record.name
    try:
        with OutputFolder(path.parent, create=False) as home:
            if sha256_of(home, record.name) != (record.sha256, record.size):
                yield f"{path}: does not have its recorded sha256; remove it and run the job again"
                return
        found = Scores.read(path)
    except (ShardError, JobError) as error:
        yield str(error)
        return
    if found.facts.to_bytes() != ScoreFacts.of(manifest, found.model["folder"]).to_bytes():
        yield f"{path}: was merged from other parts; remove it and run the job again"
