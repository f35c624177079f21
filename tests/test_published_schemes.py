"""Published schemes on real files, from the command line: their ids are those of the published code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evtok

pytest.importorskip("typer")
pytest.importorskip("pyarrow")


def run(*arguments: Any) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "evtok.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.data
@pytest.mark.parametrize("sample", ["jetclass", "toplandscape"])
def test_finke_tokens_of_real_jets(sample: str, test_data: Path, tmp_path: Path) -> None:
    jets = test_data / "real" / "jets"
    vectors = jets / f"{sample}_vectors.npy"
    run("fit-tokenizer", vectors, "--preset", "finke", "-o", tmp_path / "tokenizer")
    run("tokenize", vectors, "--tokenizer", tmp_path / "tokenizer", "-o", tmp_path / "tokens")
    assert "proven: 1 shards, 2000 events" in run("verify", tmp_path / "tokens")

    px, py = np.load(vectors).astype(np.float64)[:, :2].swapaxes(0, 1)
    there = np.load(jets / f"{sample}_mask.npy").reshape(px.shape) != 0
    log_pt = np.log(np.hypot(px[there], py[there]).astype(np.float32).astype(np.float64))
    deta, dphi = np.load(jets / f"{sample}_points.npy").astype(np.float64).swapaxes(0, 1)
    edges = np.linspace(-0.8, 0.8, 30)
    p = np.digitize(log_pt, np.linspace(-0.7602971186, 6.9062547684, 40))
    expected = p + 41 * np.digitize(deta[there], edges) + 41 * 31 * np.digitize(dphi[there], edges)

    dataset = evtok.TokenDataset(tmp_path / "tokens")
    assert [len(dataset[i]) for i in range(len(dataset))] == (there.sum(axis=1) + 1).tolist()
    ids = np.concatenate([dataset[i] for i in range(len(dataset))])
    stop = dataset.tokenizer.special_ids["eos"]
    assert (ids == stop).sum() == len(dataset)
    np.testing.assert_array_equal(ids[ids != stop], expected)
