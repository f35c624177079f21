"""The shared files: each one opens with the values that its own library gives, or is refused with a clear reason."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evtok import Events
from evtok.errors import EvtokError, InputFileError, SchemaError
from evtok.io import open_events

pytestmark = pytest.mark.data

COMPANION = (SchemaError, "open the file with 'vectors' in its name")
TABLE = (SchemaError, "a table with one row per event has no objects")

#: What is expected of every file below real/: (schema found, events, objects), or (error, words of its message).
EXPECTED: dict[str, tuple[Any, ...]] = {
    "darkmachines/monojet_Zp2000.0_DM_50.0_chan3.csv": ("darkmachines", 6399, None),
    "delphes/zh_delphes.root": ("delphes", 100, 379),
    "jets/jetclass_labels.npy": COMPANION,
    "jets/jetclass_mask.npy": COMPANION,
    "jets/jetclass_points.npy": COMPANION,
    "jets/jetclass_vectors.npy": ("jetclass-npy", 2000, None),
    "jets/toplandscape_labels.npy": COMPANION,
    "jets/toplandscape_mask.npy": COMPANION,
    "jets/toplandscape_points.npy": COMPANION,
    "jets/toplandscape_vectors.npy": ("toplandscape-npy", 2000, None),
    "lhco/events_anomalydetection_tiny.h5": ("lhco", 1000, 169742),
    "lhco/features_signal.npy": TABLE,
    "lhco/features_train.npy": TABLE,
    "lhco/features_val.npy": TABLE,
    "nanoaod/cmsopendata2015_ttbar_19980_NANOAOD_RNTupleImporter_rntuple_v1-0-0-1.root": ("nanoaod", 10, 112),
    "nanoaod/nanoAOD_2015_CMS_Open_Data_ttbar.root": ("nanoaod", 200, 726),
    "nanoaod/nano_dy.parquet": ("nanoaod", 40, 259),
    "nanoaod/nano_dy.root": ("nanoaod", 40, 259),
    "nanoaod/nano_tt_v15.root": ("nanoaod", 200, 2213),
    "nanoaod/pfnano.root": ("nanoaod", 10, 81),
    "nanoaod/uproot-HZZ-lz4.root": ("hzz", 2421, 6989),
    "nanoaod/uproot-HZZ.root": ("hzz", 2421, 6989),
    "physlite/PHYSLITE_example.root": ("physlite", 100, 1312),
}


def real_files() -> list[str]:
    """Every file below real/, from the folder itself, so that a new one cannot be overlooked."""
    folder = Path(os.environ.get("EVTOK_TEST_DATA", "")) / "real"
    found = (
        sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        if folder.is_dir()
        else []
    )
    return found or sorted(EXPECTED)


def same(a: Events, b: Events) -> None:
    """Bit for bit, dtypes and names included."""
    assert a.offsets.tobytes() == b.offsets.tobytes()
    assert list(a.columns) == list(b.columns)
    assert list(a.fields) == list(b.fields)
    for name in a.columns:
        assert a.columns[name].dtype == b.columns[name].dtype
        assert a.columns[name].tobytes() == b.columns[name].tobytes(), name
    for name in a.fields:
        assert a.fields[name].tobytes() == b.fields[name].tobytes(), name
    assert a.types == b.types


@pytest.mark.parametrize("name", real_files())
def test_every_real_file_opens_or_is_refused_with_a_reason(test_data: Path, name: str) -> None:
    assert name in EXPECTED, f"{name} is new: say what is expected of it"
    expected = EXPECTED[name]
    path = test_data / "real" / name
    if isinstance(expected[0], type):
        with pytest.raises(expected[0]) as refused:
            open_events(path)
        assert str(path) in str(refused.value)
        assert expected[1] in str(refused.value)
        return
    with open_events(path) as source:
        events = source.read()
        assert source.schema.name == expected[0]
        assert source.n_events == len(events) == expected[1]
        assert expected[2] in (None, events.n_objects)
        assert source.files[0].size == path.stat().st_size
        for chunk in (1 + len(events) // 3, 7 if len(events) < 300 else 777):
            parts = list(source.iter_range(0, chunk=chunk))
            assert max(len(part) for part in parts) <= chunk
            same(Events.concatenate(parts), events)
        start, stop = len(events) // 3, 2 * len(events) // 3
        same(source.read(0, start, stop), events[start:stop])
        assert len(source.read(0, 3, 3)) == 0
        with pytest.raises(IndexError, match="asked for"):
            source.read(0, 0, len(events) + 1)


@pytest.mark.parametrize("schema", ["nanoaod", "nanoaod-constituents"])
def test_three_formats_of_the_same_events_agree_bit_for_bit(test_data: Path, schema: str) -> None:
    parquet = open_events(test_data / "pythia/ttbar.parquet", schema).read()
    for name in ("ttbar.nano.root", "ttbar.rntuple.root"):
        same(open_events(test_data / "pythia" / name, schema).read(), parquet)


def test_lhco_constituents_are_those_of_the_parquet_file(test_data: Path) -> None:
    lhco = open_events(test_data / "pythia/ttbar.lhco.h5").read()
    parquet = open_events(
        test_data / "pythia/ttbar.parquet", "nanoaod-constituents", columns=["pt", "eta", "phi"]
    ).read()
    assert lhco.offsets.tobytes() == parquet.offsets.tobytes()
    for name in ("pt", "eta", "phi"):
        assert lhco.columns[name].dtype == np.float64
        assert lhco.columns[name].astype(np.float32).tobytes() == parquet.columns[name].tobytes()
    assert np.array_equal(lhco.fields["label"], parquet.fields["label"])


def test_csv_agrees_within_its_six_printed_digits(test_data: Path) -> None:
    names = ("pt", "eta", "phi", "type")
    text = open_events(test_data / "pythia/ttbar.dm.csv", columns=names).read()
    parquet = open_events(test_data / "pythia/ttbar.parquet", columns=names).read()
    assert text.offsets.tobytes() == parquet.offsets.tobytes()
    assert text.types == parquet.types
    assert np.array_equal(text.columns["type"], parquet.columns["type"])
    for name in ("pt", "eta", "phi"):
        exact = parquet.columns[name].astype(np.float64)
        digit = 10.0 ** (
            np.floor(np.log10(np.abs(exact))) - 5
        )  # six digits are printed; half of the last may be lost
        assert (np.abs(text.columns[name] - exact) <= 0.51 * digit + 1e-7 * np.abs(exact)).all()
    assert np.array_equal(text.fields["event"], parquet.fields["event"])


# ---- the traps of the data's own notes ----------------------------------------------------------------------------


def test_trap_lhco_is_blosc_unsorted_and_padded_at_the_end(test_data: Path) -> None:
    import h5py
    import hdf5plugin  # noqa: F401  (registers blosc)

    path = test_data / "real/lhco/events_anomalydetection_tiny.h5"
    events = open_events(path).read()
    with h5py.File(path) as file:
        rows = file["df/block0_values"][()]
    slots = rows[:, :2100].reshape(len(rows), 700, 3)
    filled = slots[:, :, 0] != 0
    assert events.multiplicity.tolist() == filled.sum(axis=1).tolist()
    for k, name in enumerate(("pt", "eta", "phi")):
        assert events.columns[name].tobytes() == slots[:, :, k][filled].tobytes()
    assert int(events.fields["label"].sum()) == 93
    assert not (np.diff(events[0].columns["pt"]) <= 0).all()  # unsorted, and left so
    assert events.columns["pt"].min() < 0.1
    assert np.abs(events.columns["eta"]).max() < 5


def test_trap_dark_machines_order_and_constant_event_number(test_data: Path) -> None:
    path = test_data / "real/darkmachines/monojet_Zp2000.0_DM_50.0_chan3.csv"
    events = open_events(path, columns=["pt", "type"]).read()
    assert set(events.fields["event"].tolist()) == {354}
    falling = sum(bool((np.diff(event.columns["pt"]) <= 0).all()) for event in events)
    assert falling == 6350


def test_trap_awkward_parquet_read_with_and_without_its_extension_types(test_data: Path) -> None:
    import subprocess
    import sys

    path = str(test_data / "real/nanoaod/nano_dy.parquet")
    code = (
        "import sys, hashlib; first = sys.argv[2] == 'awkward'\n"
        "if first: import awkward\n"
        "from evtok.io import open_events; e = open_events(sys.argv[1]).read()\n"
        "print(hashlib.sha256(e.columns['pt'].tobytes() + e.offsets.tobytes()).hexdigest())"
    )
    run = [
        subprocess.run([sys.executable, "-c", code, path, k], capture_output=True, text=True)
        for k in ("awkward", "not")
    ]
    assert run[0].stdout == run[1].stdout != "", run[1].stderr


def test_trap_flat_parquet_and_tree_of_the_same_events_agree(test_data: Path) -> None:
    folder = test_data / "real/nanoaod"
    same(open_events(folder / "nano_dy.parquet").read(), open_events(folder / "nano_dy.root").read())


def test_trap_v15_has_pfcand_and_no_met(test_data: Path) -> None:
    import uproot

    path = test_data / "real/nanoaod/nano_tt_v15.root"
    tree = uproot.open(path)["Events"]
    events = open_events(path, "nanoaod-constituents").read()
    assert "MET_pt" not in tree
    assert np.array_equal(events.fields["MET"], tree["PFMET_pt"].array(library="np"))
    assert np.array_equal(events.fields["METphi"], tree["PFMET_phi"].array(library="np"))
    assert np.array_equal(events.multiplicity, tree["nPFCand"].array(library="np"))
    photons = open_events(path, columns=["mass", "type"]).read()
    assert (photons.columns["mass"][photons.columns["type"] == photons.types.index("g")] == 0).all()


def test_trap_pfnano_has_pfcands(test_data: Path) -> None:
    import uproot

    path = test_data / "real/nanoaod/pfnano.root"
    events = open_events(path, "nanoaod-constituents").read()
    assert np.array_equal(events.multiplicity, uproot.open(path)["Events/nPFCands"].array(library="np"))
    assert events.multiplicity.mean() > 1500


def test_trap_atlas_is_in_mev(test_data: Path) -> None:
    import awkward as ak
    import uproot

    path = test_data / "real/physlite/PHYSLITE_example.root"
    events = open_events(path).read()
    jets = uproot.open(path)["CollectionTree/AnalysisJetsAuxDyn.pt"].array()
    mine = events.columns["pt"][events.columns["type"] == events.types.index("j")]
    expected = (ak.to_numpy(ak.flatten(jets)).astype(np.float64) / 1000).astype(np.float32)
    assert mine.tobytes() == expected.tobytes()
    assert events.units["pt"] == "GeV"
    muons = events.columns["mass"][events.columns["type"] >= events.types.index("m-")]
    assert muons.max() == np.float32(0.1056583755)  # a number of the schema is in GeV already


@pytest.mark.parametrize(
    ("name", "counters"),
    [
        ("nanoaod/nano_dy.root", ("Events", ["nJet", "nElectron", "nMuon", "nPhoton"])),
        ("nanoaod/uproot-HZZ.root", ("events", ["NJet", "NElectron", "NMuon", "NPhoton"])),
        ("delphes/zh_delphes.root", ("Delphes", ["Jet_size", "Electron_size", "Muon_size", "Photon_size"])),
    ],
)
def test_trap_counters_have_many_names(test_data: Path, name: str, counters: tuple[str, list[str]]) -> None:
    import uproot

    path = test_data / "real" / name
    tree = uproot.open(path)[counters[0]]
    expected = sum(tree[counter].array(library="np").astype(np.int64) for counter in counters[1])
    events = open_events(path, columns=["type"], fields=[]).read()
    assert np.array_equal(events.multiplicity, expected)
    order = [(event.columns["type"] // 2).tolist() for event in events]  # j b | e- e+ | m- m+ | g
    assert all(kinds == sorted(kinds) for kinds in order)


@pytest.mark.parametrize("name", ["uproot-HZZ.root", "uproot-HZZ-lz4.root"])
def test_trap_events_without_jets_at_both_ends(test_data: Path, name: str) -> None:
    jets = {
        "name": "hzz-jets",
        "formats": ["root"],
        "tree": "events",
        "objects": [{"collection": "Jet", "columns": {"px": "Px", "btag": "btag"}}],
    }
    multiplicity = open_events(test_data / "real/nanoaod" / name, jets).read().multiplicity
    assert len(multiplicity) == 2421
    assert int((multiplicity == 0).sum()) == 716
    assert multiplicity[0] == multiplicity[-1] == 0


def test_trap_jetclass_arrays_are_masked_and_labelled(test_data: Path) -> None:
    folder = test_data / "real/jets"
    vectors, mask, points, labels = (
        np.load(folder / f"jetclass_{k}.npy") for k in ("vectors", "mask", "points", "labels")
    )
    names = ["px", "py", "pz", "energy", "etarel", "phirel"]
    events = open_events(folder / "jetclass_vectors.npy", columns=names).read()
    filled = mask[:, 0, :] != 0
    assert np.array_equal(events.multiplicity, filled.sum(axis=1))
    for k, name in enumerate(names):
        source = vectors[:, k, :] if k < 4 else points[:, k - 4, :]
        assert events.columns[name].tobytes() == source[filled].tobytes()
    assert np.array_equal(events.fields["label"], labels.argmax(axis=1))
    tops = open_events(folder / "toplandscape_vectors.npy", columns=["px"]).read()
    assert np.array_equal(tops.fields["label"], np.load(folder / "toplandscape_labels.npy"))


def test_momenta_become_pt_eta_phi_by_the_kinematics_of_evtok(test_data: Path) -> None:
    events = open_events(test_data / "real/nanoaod/uproot-HZZ.root").read()
    px, py, pz = (events.columns[k].astype(np.float64) for k in ("px", "py", "pz"))
    np.testing.assert_allclose(events.columns["pt"], np.hypot(px, py), rtol=3e-7)
    np.testing.assert_allclose(events.columns["phi"], np.arctan2(py, px), rtol=3e-7, atol=1e-7)
    np.testing.assert_allclose(events.columns["eta"], np.arcsinh(pz / np.hypot(px, py)), rtol=3e-6, atol=1e-6)
    met_x, met_y = events.fields["METx"].astype(np.float64), events.fields["METy"].astype(np.float64)
    np.testing.assert_allclose(events.fields["MET"], np.hypot(met_x, met_y), rtol=3e-7)


@pytest.mark.parametrize(
    "name", ["real/physlite/PHYSLITE_example.root", "pythia/ttbar.parquet", "real/delphes/zh_delphes.root"]
)
def test_p36_truncation_of_real_files_is_an_error_never_a_short_read(
    test_data: Path, tmp_path: Path, name: str
) -> None:
    whole = (test_data / name).read_bytes()
    cut = tmp_path / Path(name).name
    for fraction in (0.0, 1e-5, 0.01, 0.3, 0.9, 0.999, 1 - 1 / len(whole)):
        cut.write_bytes(whole[: math.floor(len(whole) * fraction)])
        with pytest.raises(EvtokError) as refused:
            open_events(cut).read()
        assert str(cut) in str(refused.value)
        assert isinstance(refused.value, InputFileError | SchemaError)
