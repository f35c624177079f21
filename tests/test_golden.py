"""Golden files: tokens do not change, and every release reads what older ones wrote (P54, P55)."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import evtok
from evtok import _core

FOLDER = Path(__file__).parent / "golden"
sys.path.insert(0, str(FOLDER))
from events import golden_events, golden_tokenizers  # noqa: E402

RELEASES = sorted(path.name for path in FOLDER.iterdir() if (path / "tokens.json").is_file())


def test_there_are_golden_files() -> None:
    assert RELEASES


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("release", RELEASES)
def test_p55_golden_tokens_of_a_million_objects(isa: str, release: str, dtype: type) -> None:
    golden = json.loads((FOLDER / release / "tokens.json").read_text())
    if golden["numerics_version"] != _core.numerics_version:
        pytest.skip(f"numerics version {golden['numerics_version']}: its tokens are another's")
    events = golden_events(170_000, dtype)
    assert events.n_objects > 1_000_000
    made = golden_tokenizers()
    for path in sorted((FOLDER / release / "tokenizers").iterdir()):
        tokenizer = evtok.load_tokenizer(path)
        assert tokenizer.fingerprint == made[path.name].fingerprint
        tokens = tokenizer.encode(events)
        digest = hashlib.sha256(tokens.ids.astype("<i4").tobytes() + tokens.offsets.astype("<i8").tobytes())
        assert digest.hexdigest() == golden["tokens_sha256"][f"{path.name} {np.dtype(dtype).name}"]


@pytest.mark.parametrize("form", ["arrow", "parquet"])
@pytest.mark.parametrize("release", RELEASES)
def test_p54_shards_of_every_release_are_read(release: str, form: str) -> None:
    folder = FOLDER / release / f"shards-{form}"
    report = evtok.verify(folder)
    assert report.ok, report.problems
    dataset = evtok.TokenDataset(folder)
    events = golden_events(300, np.float32)
    assert len(dataset) == len(events)
    expected = dataset.tokenizer.encode(events)
    for i in range(len(events)):
        assert dataset[i].tolist() == expected[i].tolist()
