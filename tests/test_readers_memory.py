"""Memory of the readers: chunks are bounded by objects, not by events alone."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from evtok.io import open_events
from evtok.io.chunk_size import OBJECTS_PER_CHUNK, ChunkSize

SCHEMA: dict[str, Any] = {
    "name": "dense",
    "formats": ["parquet", "root"],
    "objects": [{"collection": "Jet", "columns": {"pt": "pt", "eta": "eta"}}],
}


def write(path: Path, empty: int, dense: int, each: int) -> Path:
    """Write `empty` events without objects, and `dense` events of `each` objects."""
    offsets = np.concatenate([np.zeros(empty, np.int64), np.arange(dense + 1) * each])
    values = np.tile(np.linspace(0.5, 100, 1000, dtype=np.float32), -(-dense * each // 1000))[: dense * each]
    if path.suffix == ".root":
        import awkward as ak

        lists = ak.unflatten(values, np.diff(offsets))
        with uproot.recreate(path) as file:
            file["Events"] = {"Jet_pt": lists, "Jet_eta": lists}
        return path
    column = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))
    pq.write_table(pa.table({"Jet_pt": column, "Jet_eta": column}), path)
    return path


@pytest.mark.parametrize("name", ["a.parquet", "a.root"])
def test_p37_chunks_have_a_bounded_number_of_objects(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, 9000, 5000, 1000)
    with open_events(path, SCHEMA) as source:
        parts = list(source)
        assert sum(map(len, parts)) == 14_000
        assert sum(part.n_objects for part in parts) == 5_000_000
        most = max(part.n_objects for part in parts)
        assert most <= 2 * OBJECTS_PER_CHUNK  # twice: where a chunk of half empty events led to the next one
        assert np.concatenate([part.multiplicity for part in parts]).tolist() == [0] * 9000 + [1000] * 5000


def test_p37_rows_of_few_objects_do_not_let_dense_ones_come_many_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offsets = np.concatenate([np.zeros(150_001, np.int64), np.arange(1, 120_001) * 50])
    values = pa.array(np.ones(offsets[-1], np.float32))
    column = pa.LargeListArray.from_arrays(pa.array(offsets), values)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"Jet_pt": column, "Jet_eta": column}), path, row_group_size=50_000)
    asked = []
    real = pq.ParquetFile.iter_batches

    def noted(self: Any, rows: int, *arguments: Any, **options: Any) -> Any:
        asked.append(rows)
        return real(self, rows, *arguments, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    with open_events(path, SCHEMA, chunk=131_072) as source:
        parts = list(source)
    assert np.concatenate([part.multiplicity for part in parts]).tolist() == np.diff(offsets).tolist()
    assert asked == [8192, 16_384, 8192]  # at first, after many empty rows, and after rows of many objects


def test_short_events_are_read_in_long_chunks(tmp_path: Path) -> None:
    with open_events(write(tmp_path / "a.parquet", 0, 50_000, 3), SCHEMA) as source:
        assert [len(part) for part in source] == [50_000]
    with open_events(write(tmp_path / "a.root", 0, 50_000, 3), SCHEMA) as source:
        assert [len(part) for part in source] == [2000, 4000, 8000, 16_000, 20_000]


def test_a_chunk_size_grows_slowly_and_shrinks_at_once() -> None:
    size = ChunkSize(65_536)
    size.learn(2000, 0)
    assert size.events == 2000
    for _ in range(9):
        size.learn(size.events, 10 * size.events)
    assert size.events == 65_536
    assert not size.learn(65_536, 65_536 * 2000)
    assert size.events == 1000


RSS = """
import json, sys
import evtok
from evtok.tokenizers import Feature, EqualFrequency

path, schema, out = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
tokenizer = evtok.BinnedTokenizer({"pt": Feature("pt", EqualFrequency(10))})
tokenizer.fit(evtok.open_events(path, schema))
evtok.tokenize_files(path, tokenizer, out, schema=schema)
# Not ru_maxrss, which a child begins with its parent's.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_p37_fit_and_tokenize_stay_below_1_gb(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", 2000, 28_000, 1500)
    done = subprocess.run(
        [sys.executable, "-c", RSS, str(path), json.dumps(SCHEMA), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1_000_000  # KiB


def test_p37_footers_of_files_read_before_are_given_back_at_once(tmp_path: Path) -> None:
    """With many row groups they are megabytes each, which nobody counts who calls the garbage collector."""

    def footers() -> int:
        return sum(type(one) is pq.FileMetaData for one in gc.get_objects())

    paths = [write(tmp_path / f"{k}.parquet", 10, 10, 3) for k in range(6)]
    gc.collect()
    gc.disable()
    try:
        before = footers()
        with open_events(paths, schema=SCHEMA) as source:
            assert source.n_events == 120
            for k in range(6):
                assert sum(len(events) for events in source.iter_range(k, 0, 20)) == 20
            assert footers() <= before + 1  # of the file that is open
    finally:
        gc.enable()
