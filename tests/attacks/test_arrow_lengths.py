"""P44: a shard whose Arrow metadata lie about lengths, under hashes that a forger made right.

Arrow believes the lengths of an IPC file: a view of more numbers than its buffer holds reads other memory, or kills the
process. So each forgery is read in a child.
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evtok
from evtok.jobs.documents import seal, unseal
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform

SCHEMA = {
    "name": "jets",
    "formats": ["parquet"],
    "objects": [{"collection": "Jet", "columns": {"pt": "pt"}}],
}
N_EVENTS, N_IDS = 23, 57

READ = """
import sys, evtok
for folder in sys.argv[1:]:
    try:
        sum(int(ids.sum()) for ids in evtok.TokenDataset(folder))
        print("read")
    except evtok.errors.ShardError:
        print("refused", evtok.verify(folder).ok)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job with one shard of one batch, whose numbers of events and ids are found in its bytes."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    base = tmp_path_factory.mktemp("lengths")
    pt = [[float(k)] * (2 + (k < N_IDS - 2 * N_EVENTS)) for k in range(N_EVENTS)]
    pq.write_table(pa.table({"Jet_pt": pa.array(pt, pa.list_(pa.float32()))}), base / "in.parquet")
    tokenizer = BinnedTokenizer({"pt": Feature("pt", Uniform(40, 0, 500))})
    evtok.tokenize_files(base / "in.parquet", tokenizer, base / "out", schema=SCHEMA)
    return base / "out"


def _forge(folder: Path, target: Path, change: Callable[[bytearray, dict[str, Any]], None]) -> Path:
    """Copy a job, change its shard and record, and make every hash right again."""
    import xxhash

    shutil.copytree(folder, target)
    shard, record_path = target / "shard-000000.arrow", target / "shard-000000.json"
    data, record = bytearray(shard.read_bytes()), unseal(record_path.read_bytes(), "record")
    change(data, record)
    shard.write_bytes(data)
    for row in record["batches"]:
        row[4] = xxhash.xxh3_128_hexdigest(bytes(data[row[2] : row[2] + row[3]]))
    end = record["end"]
    end["xxh3_128"] = xxhash.xxh3_128_hexdigest(bytes(data[end["offset"] : end["offset"] + end["size"]]))
    record["sha256"] = hashlib.sha256(data).hexdigest()
    record_path.write_bytes(seal(record))
    manifest = unseal((target / "manifest.json").read_bytes(), "manifest")
    manifest["shards"][0][3] = record["sha256"]
    (target / "manifest.json").write_bytes(seal(manifest))
    return target


def _places(data: bytes, value: int) -> list[int]:
    return [i for i in range(0, len(data) - 7, 4) if struct.unpack_from("<q", data, i)[0] == value]


def test_p44_lengths_that_lie_are_refused(folder: Path, tmp_path: Path) -> None:
    data = (folder / "shard-000000.arrow").read_bytes()
    of_events, of_ids = _places(data, N_EVENTS), _places(data, N_IDS)
    assert len(of_events) >= 3
    assert of_ids
    forged = []

    def forge(places: list[int], length: int) -> None:
        def change(data: bytearray, record: dict[str, Any]) -> None:
            for place in places:
                struct.pack_into("<q", data, place, length)

        forged.append(_forge(folder, tmp_path / str(len(forged)), change))

    for length in (-1, 10**6, 2**40, 2**62):
        for place in (*of_events, *of_ids):
            forge([place], length)
        forge(of_events, length)  # the batch and its columns agree: only the buffers are shorter
        forge([*of_events, *of_ids], length)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ, folder, *forged], capture_output=True, text=True
    )
    assert done.returncode == 0, f"died with {done.returncode} after {done.stdout}"
    assert done.stdout.splitlines() == ["read", *["refused False"] * len(forged)]
