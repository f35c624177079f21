"""Readers on small files that the tests write themselves, so that they run anywhere."""

from __future__ import annotations

import pickle
import re
import threading
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from evtok import Events
from evtok.errors import InputFileError, SchemaError
from evtok.io import EventSource, open_events

N = 30
COUNTS = np.array([0, 3, 1, 0, 2, 5, 0, 1, 4, 0] * 3)  # no object in the first event and in the last
OFFSETS = np.concatenate([[0], np.cumsum(COUNTS)])
RNG = np.random.default_rng(7)
PT = RNG.exponential(50, OFFSETS[-1]).astype(np.float32)
ETA = RNG.normal(0, 2, OFFSETS[-1]).astype(np.float32)
CHARGE = RNG.choice([-1, 1], OFFSETS[-1]).astype(np.int32)
MET = RNG.exponential(30, N).astype(np.float32)

SCHEMA: dict[str, Any] = {
    "name": "small",
    "formats": ["root", "parquet"],
    "types": ["j", "e-", "e+"],
    "objects": [
        {"collection": "Jet", "columns": {"pt": "pt", "eta": "eta", "mass": 1.5}, "type": "j"},
        {
            "collection": ["Lepton", "Electron"],
            "columns": {"pt": "pt", "eta": "eta", "mass": ["mass", 0.0]},
            "type": {"column": "charge", "at_least": 0, "then": "e+", "otherwise": "e-"},
        },
    ],
    "fields": {"MET": ["MET_pt", "PFMET_pt"], "event": "event"},
}


def lists(values: np.ndarray) -> ak.Array:
    """Values as lists with the multiplicities of COUNTS."""
    return ak.unflatten(values, COUNTS)


def columns() -> dict[str, Any]:
    """Jets with an unused column of their own, electrons (jets in reverse), and fields."""
    jets = {"pt": lists(PT), "eta": lists(ETA), "unused": lists(PT * 0)}
    electrons = {"pt": lists(PT)[::-1], "eta": lists(ETA)[::-1], "charge": lists(CHARGE)[::-1]}
    return {"Jet": jets, "Electron": electrons, "PFMET_pt": MET, "event": np.arange(N, dtype=np.uint64)}


def expected() -> Events:
    """The events of every file below, from their definition: jets first, then electrons."""
    data = columns()
    jets, electrons = data["Jet"], data["Electron"]
    join = lambda a, b: ak.to_numpy(ak.flatten(ak.concatenate([a, b], axis=1)))
    types = join(
        ak.values_astype(jets["pt"] * 0, np.uint8), ak.values_astype(1 + (electrons["charge"] > 0), np.uint8)
    )
    masses = join(ak.values_astype(jets["pt"] * 0 + 1.5, np.float32), electrons["pt"] * 0)
    counts = COUNTS + COUNTS[::-1]
    return Events(
        np.concatenate([[0], np.cumsum(counts)]),
        {
            "pt": join(jets["pt"], electrons["pt"]),
            "eta": join(jets["eta"], electrons["eta"]),
            "mass": masses,
            "type": types,
        },
        {"MET": MET, "event": np.arange(N, dtype=np.uint64)},
        types=("j", "e-", "e+"),
    )


def write_tree(path: Path) -> None:
    data = columns()
    flat = {f"{c}_{k}": v for c in ("Jet", "Electron") for k, v in data[c].items()}
    flat |= {k: data[k] for k in ("PFMET_pt", "event")}
    with uproot.recreate(path) as file:
        tree = file.mktree(
            "Events", {k: v.dtype if isinstance(v, np.ndarray) else v.type.content for k, v in flat.items()}
        )
        for part in (slice(0, 7), slice(7, 8), slice(8, N)):
            tree.extend({k: v[part] for k, v in flat.items()})


def write_rntuple(path: Path) -> None:
    data = columns()
    arrays = {c: ak.zip(data[c]) for c in ("Jet", "Electron")} | {k: data[k] for k in ("PFMET_pt", "event")}
    with uproot.recreate(path) as file:
        ntuple = file.mkrntuple("Events", {k: v[:7] for k, v in arrays.items()})
        for part in (slice(7, 8), slice(8, N)):
            ntuple.extend({k: v[part] for k, v in arrays.items()})


def write_parquet_records(path: Path) -> None:
    data = columns()
    array = ak.Array(
        {c: ak.zip(data[c]) for c in ("Jet", "Electron")} | {k: data[k] for k in ("PFMET_pt", "event")}
    )
    ak.to_parquet(array, path, row_group_size=11)


def write_parquet_flat(path: Path) -> None:
    data = columns()
    flat = {f"{c}_{k}": pa.array(ak.to_list(v), pa.list_(pa.from_numpy_dtype(ak.to_numpy(ak.flatten(v)).dtype)))
            for c in ("Jet", "Electron") for k, v in data[c].items()}  # fmt: skip
    table = pa.table(flat | {k: pa.array(data[k]) for k in ("PFMET_pt", "event")})
    pq.write_table(table, path, row_group_size=13)


def write_parquet_element(path: Path) -> None:
    """Lists whose inner level is called ``element``, as the specification wants it."""
    array = columns()
    records = {c: pa.array(ak.to_list(ak.zip(array[c]))) for c in ("Jet", "Electron")}
    kinds = {"pt": pa.float32(), "eta": pa.float32(), "unused": pa.float32(), "charge": pa.int32()}
    cast = {c: r.cast(pa.list_(pa.struct([(k, kinds[k]) for k in array[c]]))) for c, r in records.items()}
    table = pa.table(cast | {k: pa.array(array[k]) for k in ("PFMET_pt", "event")})
    pq.write_table(table, path, row_group_size=30, use_compliant_nested_type=True)


WRITERS = {
    "tree.root": write_tree,
    "rntuple.root": write_rntuple,
    "records.parquet": write_parquet_records,
    "flat.parquet": write_parquet_flat,
    "element.parquet": write_parquet_element,
}


@pytest.fixture(scope="module", params=WRITERS)
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small file of each columnar format."""
    path = tmp_path_factory.mktemp("small") / request.param
    WRITERS[request.param](path)
    return path


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tree") / "tree.root"
    write_tree(path)
    return path


def same(a: Events, b: Events) -> None:
    assert a.offsets.tobytes() == b.offsets.tobytes()
    assert dict.fromkeys(a.columns) == dict.fromkeys(b.columns)
    assert dict.fromkeys(a.fields) == dict.fromkeys(b.fields)
    for name in a.columns:
        assert a.columns[name].dtype == b.columns[name].dtype, name
        assert a.columns[name].tobytes() == b.columns[name].tobytes(), name
    for name in a.fields:
        assert a.fields[name].tobytes() == b.fields[name].tobytes(), name
    assert a.types == b.types


# ---- values -------------------------------------------------------------------------------------------------------


def test_every_format_gives_the_events_of_the_definition(small: Path) -> None:
    with open_events(small, SCHEMA) as source:
        events = source.read()
    same(events, expected())
    assert events.units == {"pt": "GeV", "mass": "GeV", "MET": "GeV"}


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 8, 13, 29, 30, 31, 1000])
def test_p38_the_chunk_size_never_changes_the_events(small: Path, chunk: int) -> None:
    with open_events(small, SCHEMA, chunk=chunk) as source:
        for _ in range(2):  # a source can be iterated over again
            parts = list(source)
            assert max(len(part) for part in parts) <= chunk
            same(Events.concatenate(parts), expected())


def test_every_range_equals_the_slice_of_the_whole(small: Path) -> None:
    whole = expected()
    with open_events(small, SCHEMA, chunk=4) as source:
        for start in range(0, N + 1, 3):
            for stop in range(start, N + 1, 4):
                same(source.read(0, start, stop), whole[start:stop])


def test_ranges_do_not_disturb_an_iteration(small: Path) -> None:
    with open_events(small, SCHEMA, chunk=4) as source:
        parts = []
        for part in source:
            same(source.read(0, 5, 9), expected()[5:9])
            parts.append(part)
        same(Events.concatenate(parts), expected())


def test_columns_and_fields_are_the_ones_asked_for(small: Path) -> None:
    with open_events(small, SCHEMA, columns=["eta"], fields=[]) as source:
        events = source.read()
    assert list(events.columns) == ["eta"]
    assert not events.fields
    assert events.types == ()
    assert events.columns["eta"].tobytes() == expected().columns["eta"].tobytes()
    with open_events(
        small, SCHEMA, columns="type", fields="MET"
    ) as source:  # a type by charge, no other column
        events = source.read()
    assert events.columns["type"].tobytes() == expected().columns["type"].tobytes()
    assert list(events.fields) == ["MET"]


def test_only_touched_columns_are_read(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    if small.suffix == ".parquet":
        real = pq.ParquetFile.iter_batches
        monkeypatch.setattr(
            pq.ParquetFile,
            "iter_batches",
            lambda self, *a, columns, **k: asked.extend(columns) or real(self, *a, columns=columns, **k),
        )
    elif small.name == "tree.root":
        ranges = uproot.TBranch.entries_to_ranges_or_baskets
        monkeypatch.setattr(
            uproot.TBranch,
            "entries_to_ranges_or_baskets",
            lambda self, *a: asked.append(self.name) or ranges(self, *a),
        )
    else:
        read = uproot.models.RNTuple.Model_ROOT_3a3a_RNTuple.read_cluster_pages
        names = lambda self, column: self.field_records[self.column_records[column].field_id].field_name
        monkeypatch.setattr(
            uproot.models.RNTuple.Model_ROOT_3a3a_RNTuple,
            "read_cluster_pages",
            lambda self, cluster, column, *a, **k: (
                asked.append(names(self, column)) or read(self, cluster, column, *a, **k)
            ),
        )
    with open_events(small, SCHEMA, columns=["eta"], fields=["MET"]) as source:
        same(source.read(), Events(expected().offsets, {"eta": expected().columns["eta"]}, {"MET": MET}))
    leaves = {
        re.sub(r"\.list\.(item|element)", "", name).replace(".", "_").removeprefix("Jet_") for name in asked
    }
    leaves = {name.removeprefix("Electron_") for name in leaves}
    assert leaves - {"", "Jet", "Electron"} == {"eta", "PFMET_pt"}  # a record's own column holds its offsets


def test_one_collection_of_one_type_is_not_copied_from_arrow(tmp_path: Path) -> None:
    write_parquet_flat(tmp_path / "flat.parquet")
    jets = {
        "name": "jets",
        "formats": ["parquet"],
        "objects": [SCHEMA["objects"][0] | {"columns": {"pt": "pt"}}],
    }
    del jets["objects"][0]["type"]
    with open_events(tmp_path / "flat.parquet", jets) as source:
        for events in source:
            assert not events.columns["pt"].flags.owndata


def test_types_by_a_table_of_codes(tmp_path: Path) -> None:
    write_tree(tmp_path / "t.root")
    rule = {"column": "charge", "codes": {"-1": "e-", "1": "e+"}}
    schema = {**SCHEMA, "objects": [SCHEMA["objects"][0], SCHEMA["objects"][1] | {"type": rule}]}
    same(open_events(tmp_path / "t.root", schema).read(), expected())
    rule["codes"] = {"1": "e+"}
    with pytest.raises(
        InputFileError, match=r"Electron_charge: object \d+ has type -1, expected one of \[1\]"
    ):
        open_events(tmp_path / "t.root", schema).read()


def test_energies_are_scaled_in_float64_and_rounded_once(tmp_path: Path) -> None:
    write_tree(tmp_path / "t.root")
    events = open_events(tmp_path / "t.root", {**SCHEMA, "energy_unit": "MeV"}).read()
    assert events.columns["pt"].dtype == np.float32
    assert (
        events.columns["pt"].tobytes()
        == (expected().columns["pt"].astype(np.float64) / 1000).astype(np.float32).tobytes()
    )
    assert events.columns["eta"].tobytes() == expected().columns["eta"].tobytes()
    assert events.columns["mass"].max() == 1.5  # numbers in a schema are in GeV
    assert events.fields["MET"].tobytes() == (MET.astype(np.float64) / 1000).astype(np.float32).tobytes()


# ---- which files --------------------------------------------------------------------------------------------------


def test_lists_keep_their_order_and_wildcards_are_sorted(tmp_path: Path) -> None:
    for name in ("b.root", "a.root", "c.root"):
        write_tree(tmp_path / name)
    everything = open_events(f"{tmp_path}/*.root", SCHEMA)
    assert [Path(p).name for p in everything.paths] == ["a.root", "b.root", "c.root"]
    assert everything.n_events == 3 * N
    assert [file.n_events for file in everything.files] == [N, N, N]
    assert everything.files[1].format == "ROOT TTree"
    assert sum(len(events) for events in everything) == 3 * N
    listed = open_events([tmp_path / "c.root", f"{tmp_path}/[ab].root:Events"], SCHEMA)
    assert [Path(p).name for p in listed.paths] == ["c.root", "a.root", "b.root"]
    same(listed.read(2, 3, 9), expected()[3:9])
    named = open_events({str(tmp_path / "b.root"): "Events", str(tmp_path / "c.root"): None}, SCHEMA)
    assert named.n_events == 2 * N


def test_chunks_never_cross_files(tmp_path: Path) -> None:
    for name in ("a.root", "b.root"):
        write_tree(tmp_path / name)
    assert [len(e) for e in open_events(f"{tmp_path}/*.root", SCHEMA, chunk=20)] == [20, 10, 20, 10]


def test_a_url_is_opened_through_fsspec(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for name, writer in WRITERS.items():
        writer(tmp_path / name)
        memory.pipe_file(f"/readers/{name}", (tmp_path / name).read_bytes())
        with open_events(f"memory://readers/{name}", SCHEMA) as source:
            same(source.read(), expected())
            assert source.files[0].size == (tmp_path / name).stat().st_size
    with open_events("memory://readers/*.parquet", SCHEMA) as source:
        assert source.n_events == 3 * N


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.root", "no such file"),
        ("*.nothing", "no file matches this pattern"),
        (".", r"is a folder; give its files, for example '.*\*\.root'"),
        ("ftp://host/file.root", "URL scheme 'ftp' is not allowed"),
        ("a\0b", "expected a path"),
        ("", "expected a path"),
    ],
)
def test_p45_paths_that_cannot_be_opened_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputFileError, match=message):
        open_events(path)


def test_p45_a_pipe_is_not_opened(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.root")
    with pytest.raises(InputFileError, match="not a regular file"):
        open_events(tmp_path / "pipe.root")


@pytest.mark.parametrize("paths", [[], {}, 7])
def test_no_paths_at_all(paths: Any) -> None:
    with pytest.raises(InputFileError, match=r"no file given|expected a path"):
        open_events(paths)


def test_chunk_must_be_positive(tree: Path) -> None:
    with pytest.raises(ValueError, match="chunk: expected a positive number"):
        open_events(tree, SCHEMA, chunk=0)


# ---- schemas that do not fit --------------------------------------------------------------------------------------


def test_missing_branches_are_listed_with_what_is_there(small: Path) -> None:
    schema = {**SCHEMA, "objects": [{"collection": "Jet", "columns": {"pt": "ptt"}, "type": "j"}]}
    with pytest.raises(SchemaError, match=r"needs Jet_ptt, which the file lacks; it has .*Jet[._]pt"):
        open_events(small, schema)


def test_unknown_columns_are_refused_when_opening(tree: Path) -> None:
    with pytest.raises(SchemaError, match=r"columns: charge not there; the schema gives pt, eta, mass, type"):
        open_events(tree, SCHEMA, columns=["pt", "charge"])
    with pytest.raises(SchemaError, match="fields: HT not there; the schema gives MET, event"):
        open_events(tree, SCHEMA, fields=["HT"])


def test_a_wrong_tree_names_those_that_are_there(tree: Path) -> None:
    with pytest.raises(InputFileError, match="no tree 'Evts'; it has Events"):
        open_events(f"{tree}:Evts", SCHEMA)
    with pytest.raises(SchemaError, match="schema other expects Runs; it has Events"):
        open_events(tree, {**SCHEMA, "name": "other", "tree": "Runs"})


def test_a_file_that_no_preset_fits_says_what_was_tried(tree: Path) -> None:
    with pytest.raises(SchemaError, match="a root file that no preset fits") as refused:
        open_events(tree)
    for preset in ("nanoaod", "hzz", "physlite", "delphes"):
        assert f"  {preset}: " in str(refused.value)


def test_a_schema_for_another_format_is_refused(tree: Path) -> None:
    with pytest.raises(SchemaError, match="is a root file, but schema lhco is for hdf5"):
        open_events(tree, "lhco")


def test_a_branch_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "t.root") as file:
        tree = file.mktree("Events", {"Jet_pt": np.dtype((np.float32, (3,)))})
        tree.extend({"Jet_pt": np.zeros((2, 3), np.float32)})
    schema = {"name": "x", "formats": ["root"], "objects": [{"collection": "Jet", "columns": {"pt": "pt"}}]}
    with pytest.raises(SchemaError, match=r"branch Jet_pt holds .*expected a number or a list of numbers"):
        open_events(tmp_path / "t.root", schema).read()


def test_a_column_without_lists_cannot_be_objects(tmp_path: Path) -> None:
    pq.write_table(pa.table({"Jet_pt": [1.0, 2.0]}), tmp_path / "t.parquet")
    schema = {
        "name": "x",
        "formats": ["parquet"],
        "objects": [{"collection": "Jet", "columns": {"pt": "pt"}}],
    }
    with pytest.raises(SchemaError, match="Jet_pt has one value for each event, not a list of objects"):
        open_events(tmp_path / "t.parquet", schema).read()


def test_columns_of_one_collection_must_agree_in_multiplicity(tmp_path: Path) -> None:
    pq.write_table(pa.table({"Jet_pt": [[1.0], [2.0]], "Jet_eta": [[1.0, 2.0], []]}), tmp_path / "t.parquet")
    schema = {
        "name": "x",
        "formats": ["parquet"],
        "objects": [{"collection": "Jet", "columns": {"pt": "pt", "eta": "eta"}}],
    }
    with pytest.raises(InputFileError, match="the columns of Jet have different numbers of objects"):
        open_events(tmp_path / "t.parquet", schema).read()


def test_missing_values_in_parquet_are_refused(tmp_path: Path) -> None:
    schema = {
        "name": "x",
        "formats": ["parquet"],
        "objects": [{"collection": "Jet", "columns": {"pt": "pt"}}],
    }
    for rows in ([[1.0, None], [2.0]], [[1.0], None]):
        pq.write_table(pa.table({"Jet_pt": rows}), tmp_path / "t.parquet")
        with pytest.raises(InputFileError, match="Jet_pt has 1 missing values"):
            open_events(tmp_path / "t.parquet", schema).read()


def test_p20_an_absurd_multiplicity_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"Jet_pt": [[0.0] * 1_000_001, [1.0]]}), tmp_path / "t.parquet")
    schema = {
        "name": "x",
        "formats": ["parquet"],
        "objects": [{"collection": "Jet", "columns": {"pt": "pt"}}],
    }
    with pytest.raises(
        InputFileError, match=r"t.parquet: Jet_pt, entries from 0: .*event 0 claims 1000001 objects"
    ):
        open_events(tmp_path / "t.parquet", schema).read()


# ---- sources travel -----------------------------------------------------------------------------------------------


def test_a_source_can_be_pickled_for_a_worker(small: Path) -> None:
    with open_events(small, SCHEMA) as source:
        source.read()
        with pickle.loads(pickle.dumps(source)) as copy:
            same(copy.read(), expected())


def test_threads_share_a_source(small: Path) -> None:
    wrong: list[BaseException] = []

    def work(source: EventSource, start: int) -> None:
        try:
            for _ in range(5):
                same(source.read(0, start, start + 9), expected()[start : start + 9])
        except BaseException as error:
            wrong.append(error)

    with open_events(small, SCHEMA) as source:
        threads = [threading.Thread(target=work, args=(source, k)) for k in range(0, 20, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


# ---- padded arrays ------------------------------------------------------------------------------------------------


def padded() -> tuple[np.ndarray, np.ndarray]:
    """(20, 5, 3) of pt, eta, phi with 0 to 5 filled slots, holes included, and the mask."""
    rng = np.random.default_rng(3)
    mask = rng.random((20, 5)) < 0.5
    mask[0] = mask[-1] = False
    mask[3] = True
    return np.where(mask[:, :, None], rng.normal(2, 0.1, (20, 5, 3)), 0.0), mask


def check_padded(events: Events) -> None:
    array, mask = padded()
    assert np.array_equal(events.multiplicity, mask.sum(axis=1))
    for k, name in enumerate(("pt", "eta", "phi")):
        assert events.columns[name].astype(np.float64).tobytes() == array[:, :, k][mask].tobytes()


@pytest.mark.parametrize("chunk", [1, 3, 20, 100])
def test_padded_npy_and_hdf5(tmp_path: Path, chunk: int) -> None:
    array, _ = padded()
    np.save(tmp_path / "x.npy", array)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("particles", data=array, chunks=(4, 5, 3), compression="gzip")
    for name in ("x.npy", "x.h5"):
        with open_events(tmp_path / name, "padded", chunk=chunk) as source:
            check_padded(Events.concatenate(list(source)))
            same(source.read(0, 2, 11), source.read()[2:11])


def test_padded_layouts_are_the_same_events(tmp_path: Path) -> None:
    array, mask = padded()
    np.save(tmp_path / "vectors.npy", np.ascontiguousarray(array.swapaxes(1, 2)).astype(">f8"))
    np.save(tmp_path / "mask.npy", mask[:, None, :].astype(np.float32))
    np.save(tmp_path / "rows.npy", array.reshape(20, 15))
    by_mask = {
        "name": "by-mask",
        "formats": ["npy"],
        "arrays": [{"layout": "event feature slot", "features": ["pt", "eta", "phi"]}],
        "mask": {"companion": {"replace": "vectors", "by": "mask"}},
    }
    check_padded(open_events(tmp_path / "vectors.npy", by_mask).read())
    rows = {
        "name": "rows",
        "formats": ["npy"],
        "arrays": [{"layout": "event slot*feature", "features": ["pt", "eta", "phi"]}],
        "mask": {"empty_where_zero": "pt"},
    }
    check_padded(open_events(tmp_path / "rows.npy", rows).read())
    (tmp_path / "mask.npy").unlink()
    with pytest.raises(SchemaError, match="needs the mask 'mask' in place of 'vectors' in its name"):
        open_events(tmp_path / "vectors.npy", by_mask)


def test_jetnet_and_adc2021_and_top_tagging_layouts(tmp_path: Path) -> None:
    array, mask = padded()
    with h5py.File(tmp_path / "jetnet.h5", "w") as file:
        file["particle_features"] = np.concatenate([array, mask[:, :, None]], axis=2)
        file["jet_features"] = np.arange(80.0).reshape(20, 4)
    events = open_events(tmp_path / "jetnet.h5").read()
    assert np.array_equal(events.multiplicity, mask.sum(axis=1))
    assert list(events.columns) == ["etarel", "phirel", "ptrel"]
    assert events.fields["jet_mass"].tolist() == [4.0 * i + 2 for i in range(20)]

    slots = np.zeros((4, 19, 4))
    slots[0, 0], slots[0, 3], slots[2, 18] = (9, 0, 1, 1), (8, 1, 1, 2), (7, 2, 2, 4)
    with h5py.File(tmp_path / "adc.h5", "w") as file:
        file["Particles"] = slots
    events = open_events(tmp_path / "adc.h5").read()
    assert events.multiplicity.tolist() == [2, 0, 1, 0]
    assert [events.types[k] for k in events.columns["type"]] == ["met", "e", "j"]
    assert list(events.columns) == ["pt", "eta", "phi", "type"]

    table = np.zeros(6, [("index", "i8"), ("values_block_0", "f4", (804,)), ("values_block_1", "i8", (2,))])
    table["values_block_0"][:, :8] = [5, 3, 0, 4, 2, 0, 1, 1]
    table["values_block_1"][:, 1] = [0, 1] * 3
    with h5py.File(tmp_path / "top.h5", "w") as file:
        file["table/table"] = table
    events = open_events(tmp_path / "top.h5", columns=["energy", "px", "py", "pz"]).read()
    assert events[1].columns["energy"].tolist() == [5, 2]
    assert events[1].columns["pz"].tolist() == [4, 1]
    assert events.fields["label"].tolist() == [0, 1] * 3


def test_a_mask_of_other_values_is_refused(tmp_path: Path) -> None:
    array, mask = padded()
    with h5py.File(tmp_path / "jetnet.h5", "w") as file:
        file["particle_features"] = np.concatenate([array, mask[:, :, None] - 0.5], axis=2)
    with pytest.raises(InputFileError, match="the mask of event 0 holds values other than 0 and 1"):
        open_events(tmp_path / "jetnet.h5").read()


def test_lhco_without_labels(tmp_path: Path) -> None:
    rows = np.zeros((3, 2100))
    rows[1, :6] = [1, 2, 3, 4, 5, 6]
    with h5py.File(tmp_path / "black_box.h5", "w") as file:
        file["df/block0_values"] = rows
    events = open_events(tmp_path / "black_box.h5").read()
    assert events.multiplicity.tolist() == [0, 2, 0]
    assert events.columns["phi"].tolist() == [3, 6]
    assert not events.fields
