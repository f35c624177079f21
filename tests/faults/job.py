"""A job to be killed, starved or broken, run as a program of its own.

job.py make FOLDER           write inputs and a tokenizer
job.py run FOLDER OUTPUT     tokenize them; prints GO when the work begins and DONE at the end
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import evtok
from evtok.errors import EvtokError
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform

SCHEMA = {
    "name": "jets",
    "formats": ["parquet"],
    "objects": [{"collection": "Jet", "columns": {"pt": "pt"}}],
    "fields": {"weight": "weight"},
}
SHARDS = 16
EVENTS_PER_SHARD = 4000


def make(folder: Path, events_per_shard: int = EVENTS_PER_SHARD) -> None:
    """Write two files with events for 16 shards in all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    for k in range(2):
        rng = np.random.default_rng(k)
        n = SHARDS * events_per_shard // 2
        offsets = np.concatenate([[0], np.cumsum(rng.poisson(8, n))]).astype(np.int64)
        pt = pa.array(rng.exponential(60, offsets[-1]).astype(np.float32))
        jets = pa.LargeListArray.from_arrays(pa.array(offsets), pt)
        pq.write_table(pa.table({"Jet_pt": jets, "weight": pa.array(rng.random(n))}), folder / f"{k}.parquet")
    BinnedTokenizer({"pt": Feature("pt", Uniform(100, 0, 500))}).save(folder / "tokenizer")


def run(
    folder: Path, output: Path, progress=None, events_per_shard: int = EVENTS_PER_SHARD, **options
) -> None:
    """Tokenize."""
    evtok.tokenize_files(
        sorted(folder.glob("*.parquet")),
        folder / "tokenizer",
        output,
        schema=SCHEMA,
        events_per_shard=events_per_shard,
        progress=progress,
        **options,
    )


def _go(event) -> None:
    if event["event"] == "start":
        print("GO", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        try:
            run(Path(sys.argv[2]), Path(sys.argv[3]), _go)
        except EvtokError as error:
            print(error, file=sys.stderr)
            sys.exit(1)
        print("DONE", flush=True)
