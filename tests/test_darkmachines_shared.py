"""Dark Machines text in the shared event files: the traps of the published format, and agreement with Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evtok.events import Events
from evtok.io.darkmachines import DarkMachinesFile, looks_like


def read(file: DarkMachinesFile) -> Events:
    return Events.concatenate(list(file.iter_events(0, file.n_events, 1000)))


@pytest.mark.data
def test_the_published_file(test_data: Path) -> None:
    """The traps of the published format: one event id, trailing semicolons, MeV, no global order in pT."""
    path = test_data / "real/darkmachines/monojet_Zp2000.0_DM_50.0_chan3.csv"
    text = path.read_bytes()
    assert looks_like(text[:512])
    assert all(line.endswith(b";") for line in text.splitlines())
    file = DarkMachinesFile(str(path))
    assert file.n_events == 6399
    assert file.processes == ("monojet_Zp2000.0_DM_50.0",)
    events = read(file)
    assert set(events.fields["event"].tolist()) == {354}
    assert (events.multiplicity.min(), events.multiplicity.max()) == (1, 12)
    assert events.fields["MET"][0] == np.float32(832841 / 1000.0)
    pt = events.columns["pt"]
    rises = np.flatnonzero(np.diff(pt) > 0) + 1
    unordered = np.setdiff1d(rises, events.offsets)  # a rise inside an event, not from one event to the next
    assert len(np.unique(np.searchsorted(events.offsets, unordered, side="right"))) == 49
    assert pt.min() == np.float32(10.258)  # GeV


@pytest.mark.data
def test_text_agrees_with_parquet_bit_for_bit(test_data: Path) -> None:
    """The text was written with ``%.6g`` of MeV; the same rounding of the Parquet file gives the same values."""
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(test_data / "pythia/ttbar.parquet").to_pydict()
    events = read(DarkMachinesFile(str(test_data / "pythia/ttbar.dm.csv")))
    assert len(events) == len(table["event"]) == 2000
    assert events.fields["event"].tolist() == table["event"]

    def as_text(values: list[float], scale: float) -> Any:
        return np.array([float(f"{value * scale:.6g}") / scale for value in values], np.float32)

    rows = [
        [row for collection in ("Jet", "Electron", "Muon", "Photon") for row in table[collection][i]]
        for i in range(2000)
    ]
    assert events.multiplicity.tolist() == [len(row) for row in rows]
    flat = [entry for row in rows for entry in row]
    np.testing.assert_array_equal(events.columns["pt"], as_text([row["pt"] for row in flat], 1e3))
    np.testing.assert_array_equal(events.columns["eta"], as_text([row["eta"] for row in flat], 1))
    np.testing.assert_array_equal(events.columns["phi"], as_text([row["phi"] for row in flat], 1))
    np.testing.assert_array_equal(events.fields["MET"], as_text(table["MET_pt"], 1e3))
    np.testing.assert_array_equal(events.fields["METphi"], as_text(table["MET_phi"], 1))
