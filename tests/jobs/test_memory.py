"""`memory=` bounds what evtok allocates, changes no byte, and refuses what cannot fit."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import evtok
from evtok.errors import JobError
from evtok.events import Events
from evtok.jobs.memory import LEAST, Budget, parse, size_of
from evtok.jobs.token_product import TokenEncoder

SCHEMA = {
    "name": "jets",
    "formats": ["parquet"],
    "objects": [{"collection": "Jet", "columns": {"pt": "pt", "eta": "eta"}}],
}


@pytest.mark.parametrize(
    ("given", "bytes_"),
    [
        ("2GB", 2 * 10**9),
        ("512MiB", 512 * 2**20),
        ("1.5 GiB", 3 * 2**29),
        (10**9, 10**9),
        (np.int64(10**9), 10**9),
        ("100000000", 10**8),
        (None, None),
    ],
)
def test_what_is_given(given, bytes_):
    assert parse(given) == bytes_


@pytest.mark.parametrize("given", ["", "2 gallons", "-1GB", "1e9", "GB", 1.5, -1, 0, LEAST - 1, "1kB"])
def test_what_is_refused(given):
    with pytest.raises(JobError, match="memory"):
        parse(given)


def test_it_is_shared_by_processes():
    assert parse("1GB", 4) == 250_000_000
    with pytest.raises(JobError, match="for 4 processes"):
        parse(LEAST * 3, 4)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A file of 8000 events with 0 to 600 jets each, the widest at its end."""
    rng = np.random.default_rng(7)
    counts = np.sort(rng.integers(0, 600, 8000))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    names = {"Jet_pt": rng.exponential(60, offsets[-1]), "Jet_eta": rng.normal(0, 2, offsets[-1])}
    columns = {
        name: pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values.astype(np.float32)))
        for name, values in names.items()
    }
    path = tmp_path_factory.mktemp("wide") / "wide.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=1000)
    return path


@pytest.fixture
def largest(wide, tokenizer, tmp_path, monkeypatch):
    """Run a job; returns the report, the bytes of its largest chunk, and what NumPy allocated at most."""
    chunks = []
    real = TokenEncoder.encode

    def encode(self, events, *arguments, **options):
        chunks.append(size_of(events))
        return real(self, events, *arguments, **options)

    monkeypatch.setattr(TokenEncoder, "encode", encode)

    def run(name, **options):
        chunks.clear()
        tracemalloc.start()
        try:
            settings = {"schema": SCHEMA, "events_per_shard": 4000, **options}
            report = evtok.tokenize_files(wide, tokenizer, tmp_path / name, **settings)
            return report, max(chunks), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return run


def test_p38_the_bound_holds_and_no_byte_changes(largest, shas):
    memory = 64 * 2**20
    report, free, _ = largest("free")
    small, bound, peak = largest("small", memory=memory)
    assert shas(small.folder) == shas(report.folder)
    assert peak <= memory
    assert 12 * bound <= memory / 2
    assert 12 * free > memory / 2, "the bound changed nothing, so this tests nothing"


def test_p38_a_record_batch_that_cannot_fit_is_refused_and_says_what_is_needed(wide, tokenizer, tmp_path):
    with pytest.raises(JobError, match=r"the events of one record batch need \d+ bytes, .*give at least \d+"):
        evtok.tokenize_files(wide, tokenizer, tmp_path / "out", schema=SCHEMA, memory=LEAST)


def test_p38_a_single_event_that_cannot_fit_is_refused(tmp_path, tokenizer):
    n = 400_000
    lists = pa.LargeListArray.from_arrays(pa.array([0, 1, n]), pa.array(np.ones(n, np.float32)))
    pq.write_table(pa.table({"Jet_pt": lists, "Jet_eta": lists}), tmp_path / "one.parquet")
    with pytest.raises(JobError, match=r"entry 1: one event with 399999 objects needs \d+ bytes"):
        evtok.tokenize_files(
            tmp_path / "one.parquet", tokenizer, tmp_path / "out", schema=SCHEMA, memory=LEAST
        )


def test_without_a_bound_nothing_is_refused():
    events = Events(np.array([0, 5]), {"pt": np.ones(5, np.float32)})
    assert Budget(None).fits(events)
    assert Budget(None).chunk(4, 3) is None
