"""The VQ-VAE of the examples from end to end: what it learned tokenizes files, and gives the model's tokens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import evtok

pytest.importorskip("lightning")
pytest.importorskip("pyarrow")
pytest.importorskip("typer")

EXAMPLES = Path(__file__).parents[1] / "examples"
INPUTS = [EXAMPLES / "data" / name for name in ("ttbar.parquet", "qcd.parquet")]


def run(folder: Path, *inputs: Path) -> str:
    command = [sys.executable, "-W", "error", EXAMPLES / "vqvae.py", folder, *inputs]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_the_vqvae_of_the_examples(tmp_path: Path) -> None:
    said = run(tmp_path, *INPUTS)
    losses = [float(line.split()[-1]) for line in said.splitlines() if line.startswith("  epoch")]
    assert losses[-1] < 0.3 * losses[0], "it learns"
    assert "all as the quantizer gives them" in said

    tokenizer = evtok.load_tokenizer(tmp_path / "tokenizer")
    data = evtok.TokenDataset(tmp_path / "tokens")
    events = [chunk for file in INPUTS for chunk in evtok.open_events(file)]
    expected = [ids for chunk in events for ids in tokenizer.encode(chunk)]
    assert len(data) == len(expected) == 4000
    assert all(np.array_equal(ids, wanted) for ids, wanted in zip(data, expected, strict=True))
    used = np.unique(np.concatenate([ids[1:-1] for ids in expected]))
    assert len(used) > 0.8 * tokenizer.codebook.n_codes, "the codes are used"
    model = evtok.load_detector(tmp_path / "model")
    assert np.isfinite(model.score(events[0])).all()


@pytest.mark.data
def test_the_vqvae_of_the_examples_on_jets(test_data: Path, tmp_path: Path) -> None:
    assert "all as the quantizer gives them" in run(
        tmp_path, test_data / "real" / "jets" / "jetclass_vectors.npy"
    )
