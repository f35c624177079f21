"""Write the golden files of codebook tokenizers: ``python make_codebook.py NAME``. Never rewrite older ones."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from codebook_tokenizers import golden_codebook_tokenizers
from events import golden_events

import evtok
from evtok import _core
from evtok.tokenizers import Tokenizer


def write(name: str, tokenizers: Mapping[str, Tokenizer]) -> None:
    """Write a folder with each tokenizer, and the hashes of its tokens of golden events."""
    folder = Path(__file__).resolve().parent / name
    folder.mkdir()
    hashes = {}
    for kind, tokenizer in tokenizers.items():
        tokenizer.save(folder / kind)
        for dtype in (np.float32, np.float64):
            tokens = tokenizer.encode(golden_events(20_000, dtype))
            content = tokens.ids.astype("<i4").tobytes() + tokens.offsets.astype("<i8").tobytes()
            hashes[f"{kind} {np.dtype(dtype).name}"] = hashlib.sha256(content).hexdigest()
    document = {
        "evtok": evtok.__version__,
        "numerics_version": _core.numerics_version,
        "tokens_sha256": hashes,
    }
    (folder / "expected.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    write(sys.argv[1], golden_codebook_tokenizers())
