"""Small Parquet inputs, and a tokenizer that fits them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import evtok
from evtok.errors import JobError
from evtok.jobs import commits
from evtok.jobs.documents import CHECKSUM, seal
from evtok.jobs.durable import OutputFolder
from evtok.jobs.executor import Job
from evtok.jobs.task_document import TaskDocument
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform

SCHEMA = {
    "name": "jets",
    "formats": ["parquet"],
    "objects": [{"collection": "Jet", "columns": {"pt": "pt", "eta": "eta"}}],
    "fields": {"label": "label", "weight": "weight", "event": "event"},
}


def write_jets(path: Path, n_events: int, seed: int, nan: tuple[int, ...] = (), fields: bool = True) -> Path:
    """Write events with 0 to about 12 jets; those of `nan` have one jet, and its pt is NaN."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(4, n_events)
    counts[list(nan)] = 1
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    pt = rng.exponential(60, offsets[-1]).astype(np.float32)
    pt[offsets[list(nan)]] = np.nan
    jets = {"Jet_pt": pt, "Jet_eta": rng.normal(0, 2, offsets[-1]).astype(np.float32)}
    columns: dict[str, Any] = {
        name: pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))
        for name, values in jets.items()
    }
    if fields:
        columns["label"] = pa.array(rng.integers(0, 2, n_events).astype(np.uint8))
        columns["weight"] = pa.array(rng.random(n_events))
        columns["event"] = pa.array(np.arange(n_events, dtype=np.uint64))
    pq.write_table(pa.table(columns), path, row_group_size=700)
    return path


@pytest.fixture(scope="session")
def jets_schema() -> dict[str, Any]:
    return SCHEMA


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    return write_jets


@pytest.fixture(scope="session")
def tokenizer() -> BinnedTokenizer:
    return BinnedTokenizer(
        {"pt": Feature("pt", Uniform(40, 0, 500)), "eta": Feature("eta", Uniform(30, -4, 4))}
    )


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    """Two files with 5000 and 1234 events."""
    folder = tmp_path / "in"
    folder.mkdir()
    return [write_jets(folder / "a.parquet", 5000, 1), write_jets(folder / "b.parquet", 1234, 2)]


@pytest.fixture(scope="session")
def shas() -> Callable[[Path], dict[str, str]]:
    """The sha256 of every shard of a folder."""

    def measure(folder: Path) -> dict[str, str]:
        shards = sorted(p for p in folder.glob("shard-*") if p.suffix != ".json")
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in shards}

    return measure


@pytest.fixture
def job(
    inputs: list[Path], tokenizer: BinnedTokenizer, jets_schema: dict[str, Any], tmp_path: Path
) -> Callable[..., Any]:
    """Run a job over `inputs`; keyword arguments override."""

    def run_it(name: str = "out", **options: Any) -> Any:
        settings = {"schema": jets_schema, "events_per_shard": 1000, **options}
        return evtok.tokenize_files(settings.pop("files", inputs), tokenizer, tmp_path / name, **settings)

    return run_it


@pytest.fixture
def undisturbed(job: Callable[..., Any], shas: Callable[[Path], dict[str, str]]) -> dict[str, str]:
    """Hashes of the shards that one process writes."""
    return shas(job("undisturbed").folder)


@pytest.fixture
def task(job: Callable[..., Any], inputs: list[Path], tokenizer: BinnedTokenizer) -> Callable[..., bytes]:
    """The document of a task of a job that was stopped before it began; keyword arguments change its content."""

    def make(**changes: Any) -> bytes:
        stopped: dict[str, Job] = {}

        def stop(self: Any, given: Any, pending: Any) -> None:
            source = evtok.open_events(inputs, given.source.schema, columns=tokenizer.required_columns)
            stopped["job"] = Job(source, given.encoder, given.plan, given.folder, given.progress)
            raise JobError("stop")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("evtok.jobs.in_process.InProcess.run", stop)
            with pytest.raises(JobError, match="stop"):
                job("one-task")
        given = stopped["job"]
        with OutputFolder(given.folder.path) as folder:
            commits.allow(folder, given.plan.digest())  # as if it ran still
        content = json.loads(TaskDocument.of(given, given.plan.task(1), None, 1).to_bytes())
        del content[CHECKSUM]
        return seal(content | changes)

    return make
