"""The layout of the Dark Machines challenge."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from evtok import metrics


def test_rows_are_written_as_the_challenge_wants_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 1000)
    found = metrics.summarise(labels, random.normal(2.0 * labels), n_resamples=2)
    rows = [
        metrics.DarkMachinesRow.of("stop", "masked-token", "chan3", found),
        metrics.DarkMachinesRow("a,b", "HBOS", "chan1", 0.5, (0.1, 1 / 3, 0.0)),
    ]
    metrics.write_dark_machines(tmp_path / "results.csv", rows)
    text = (tmp_path / "results.csv").read_bytes().decode()
    assert text.splitlines()[0] == "Signal,Model,Chan,AUC,1e-2,1e-3,1e-4"
    assert text.splitlines()[2] == '"a,b",HBOS,chan1,0.5,0.1,0.3333333333333333,0.0'
    assert "\r" not in text
    with (tmp_path / "results.csv").open(newline="") as file:
        (first, second) = csv.DictReader(file)
    assert (first["Signal"], first["Model"], first["Chan"]) == ("stop", "masked-token", "chan3")
    assert float(first["AUC"]) == found.auc.value
    for at in ("1e-2", "1e-3", "1e-4"):
        assert float(first[at]) == found.signal_efficiency[float(at)].value
    assert second["Signal"] == "a,b"


def test_other_working_points_do_not_fit(tmp_path: Path) -> None:
    found = metrics.summarise([0, 1], [0.0, 1.0], working_points=(0.5,), min_background=1, n_resamples=2)
    with pytest.raises(KeyError):
        metrics.DarkMachinesRow.of("stop", "HBOS", "chan3", found)
