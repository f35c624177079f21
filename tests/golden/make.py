"""Write the golden files of this release: ``python tests/golden/make.py NAME``. Never rewrite those of an older one."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
from events import golden_events, golden_tokenizers

import evtok
from evtok import _core


def main(name: str) -> None:
    folder = Path(__file__).resolve().parent / name
    folder.mkdir()
    hashes = {}
    for kind, tokenizer in golden_tokenizers().items():
        tokenizer.save(folder / "tokenizers" / kind)
        for dtype in (np.float32, np.float64):
            tokens = tokenizer.encode(golden_events(170_000, dtype))
            digest = hashlib.sha256(
                tokens.ids.astype("<i4").tobytes() + tokens.offsets.astype("<i8").tobytes()
            )
            hashes[f"{kind} {np.dtype(dtype).name}"] = digest.hexdigest()
    document = {
        "evtok": evtok.__version__,
        "numerics_version": _core.numerics_version,
        "tokens_sha256": hashes,
    }
    (folder / "tokens.json").write_text(json.dumps(document, indent=2) + "\n")

    import awkward as ak

    events = golden_events(300, np.float32)
    os.chdir(folder)  # relative paths: the manifest holds no path of this machine
    source = "events.parquet"
    record = {"Jet": events.to_awkward()[["pt", "eta", "phi"]], "event": np.arange(len(events))}
    columns = {name: name for name in ("pt", "eta", "phi")}
    schema = {
        "name": "golden",
        "formats": ["parquet"],
        "objects": [{"collection": "Jet", "columns": columns}],
        "fields": {"event": "event"},
    }
    ak.to_parquet(ak.Array(record), source)
    for form in ("arrow", "parquet"):
        tokenizer = evtok.BinnedTokenizer.preset("finke", columns=("pt", "eta", "phi"))
        evtok.tokenize_files(
            [source], tokenizer, f"shards-{form}", schema=schema, format=form, events_per_shard=120
        )


if __name__ == "__main__":
    main(sys.argv[1])
