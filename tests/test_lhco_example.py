"""The table of the LHC Olympics, on events made here, and on those of the challenge."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "lhco_features.py"


def run(*arguments: str | Path) -> dict[str, Any]:
    """Run the example; its second argument is the output."""
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE, *arguments], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, Any] = json.loads((Path(arguments[1]) / "results.json").read_text())
    assert len(done.stdout.splitlines()) == 1 + len(found["rows"])
    return found


def events(n: int, seed: int, n_signal: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Six columns, as the files have them; signal is heavier and has two prongs."""
    random = np.random.default_rng(seed)
    label = np.arange(n) < n_signal
    mass = random.exponential(0.1, (2, n)) + 0.3 * label
    tau = random.beta(5 - 3 * label, 4, (2, n))
    return np.stack([random.uniform(3.3, 3.7, n), *mass, *tau, label], axis=1)


def test_detectors_find_what_is_unlike_background(tmp_path: Path) -> None:
    np.save(tmp_path / "features_train.npy", events(1500, 0, n_signal=300))
    np.save(tmp_path / "features_val.npy", events(1200, 1, n_signal=200))
    np.save(tmp_path / "features_signal.npy", events(500, 2, n_signal=500))
    found = run(tmp_path, tmp_path / "out", "--only", "HBOS", "k nearest", "--seeds", "2")
    assert found["events"] == {"train": 1200, "background": 1000, "signal": 500}
    assert [(row["model"], row["seed"]) for row in found["rows"]] == [
        ("HBOS", 0),
        ("k nearest", 0),
        ("k nearest", 1),
    ]
    for row in found["rows"]:
        assert row["auc"]["low"] < row["auc"]["value"] < row["auc"]["high"]
        assert row["auc"]["value"] > 0.8
        assert (row["n_signal"], row["n_background"]) == (500, 1000)
        assert all(0 <= cut["divergence"] < 6 * cut["by_chance"] for cut in row["sculpting"])  # mjj is blind
    with (tmp_path / "out" / "dark_machines.csv").open(newline="") as file:
        assert [row["Model"] for row in csv.DictReader(file)] == ["HBOS 0", "k nearest 0", "k nearest 1"]


def test_other_files_are_named(tmp_path: Path) -> None:
    for part in ("train", "val", "signal"):
        np.save(tmp_path / f"features_{part}.npy", np.zeros((5, 4)))
    with pytest.raises(AssertionError, match=r"features_train\.npy: expected the columns mjj, mJ1"):
        run(tmp_path, tmp_path / "out", "--only", "HBOS")


@pytest.mark.data
def test_signal_of_the_challenge_is_unlike_its_background(test_data: Path, tmp_path: Path) -> None:
    found = run(test_data / "real" / "lhco", tmp_path / "out", "--only", "HBOS")
    assert found["events"] == {"train": 59605, "background": 59631, "signal": 74527}
    (row,) = found["rows"]
    assert row["auc"]["value"] == pytest.approx(0.81, abs=0.01)
