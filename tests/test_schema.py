"""Schemas are data, and their set of keys is closed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import evtok.io
from evtok.errors import SchemaError
from evtok.io import Schema, load_schema, preset_names

GOOD: dict[str, Any] = {
    "name": "mine",
    "formats": ["root", "parquet"],
    "types": ["j", "g"],
    "objects": [
        {"collection": "Jet", "columns": {"pt": "pt", "eta": "eta", "mass": 0.0}, "type": "j"},
        {
            "collection": ["Photon", "Gamma"],
            "columns": {"pt": ["pt", "et"], "eta": "eta", "mass": 0.0},
            "type": "g",
        },
    ],
    "fields": {"MET": ["MET_pt", "PFMET_pt"]},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """A deep copy of GOOD with one key changed; ``None`` removes it."""
    copy = json.loads(json.dumps(GOOD))
    *parents, last = path.split(".")
    node = copy
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node[part]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return copy


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_under_its_own_name(name: str) -> None:
    schema = load_schema(name)
    assert schema.name == name
    assert schema.formats


def test_every_packaged_schema_is_a_preset() -> None:
    folder = Path(evtok.io.__file__).parent / "schemas"
    assert {path.stem for path in folder.glob("*.toml")} == set(preset_names())


def test_dict_toml_and_json_are_the_same_schema(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(GOOD))
    (tmp_path / "mine.toml").write_text(
        """
        name = "mine"
        formats = ["root", "parquet"]
        types = ["j", "g"]
        [[objects]]
        collection = "Jet"
        columns = { pt = "pt", eta = "eta", mass = 0.0 }
        type = "j"
        [[objects]]
        collection = ["Photon", "Gamma"]
        columns = { pt = ["pt", "et"], eta = "eta", mass = 0.0 }
        type = "g"
        [fields]
        MET = ["MET_pt", "PFMET_pt"]
        """
    )
    expected = load_schema(GOOD)
    assert isinstance(expected, Schema)
    assert load_schema(tmp_path / "mine.json") == expected
    assert load_schema(str(tmp_path / "mine.toml")) == expected
    assert load_schema(expected) is expected
    assert expected.column_names == ("pt", "eta", "mass", "type")
    assert expected.field_names == ("MET",)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("tpyes", ["j"], "unknown key 'tpyes'; did you mean 'types'"),
        ("objects.0.colums", {}, "unknown key 'colums'; did you mean 'columns'"),
        ("name", None, "name: missing"),
        ("name", 3, "name: expected a string, got 3"),
        (
            "formats",
            ["root", "csv"],
            "formats: expected one of root, parquet, hdf5, npy, darkmachines, got 'csv'",
        ),
        ("energy_unit", "keV", "energy_unit: expected one of GeV, MeV, TeV, got 'keV'"),
        ("objects.1.columns", {"pt": "pt"}, "objects\\[1\\].columns: expected \\['eta', 'mass', 'pt'\\]"),
        (
            "objects.0.columns",
            {"pt": 1.0, "eta": 0.0, "mass": 0.0},
            "expected at least one column of the file",
        ),
        ("objects.0.columns", {"pt": [1.0, "pt"], "eta": "eta", "mass": 0}, "at the end perhaps one number"),
        ("objects.0.type", "b", "type 'b' is not in types"),
        ("objects.0.type", None, "objects\\[0\\].type: missing"),
        ("objects.0.type", {"column": "btag", "then": "j"}, "type.at_least: missing"),
        ("objects.0.type", {"column": "c", "codes": {"x": "j"}}, "codes: expected integers as keys, got 'x'"),
        ("objects", {}, "objects: expected a list of tables"),
        ("objects", [], "expected at least one entry in objects"),
        ("arrays", [{"features": ["pt"]}], "expected objects .* or arrays .*, got both"),
        ("derive", ["mass"], "derive: expected one of pt, eta, phi, MET, METphi, got 'mass'"),
        ("derive", ["phi"], "derive: phi needs px, py, pz"),
        ("types", ["j", "g", "j"], "at most 256 names, each once"),
        (
            "fields",
            {"MET": {"source": "MET_pt", "take": "last"}},
            "take: expected one of only, first, one-hot",
        ),
    ],
)
def test_p21_a_malformed_schema_names_the_key(path: str, value: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        load_schema(changed(path, value))


@pytest.mark.parametrize("schema", ["nanoad", "missing.toml", 7])
def test_an_unknown_schema_lists_the_presets_or_says_why(schema: Any) -> None:
    with pytest.raises(SchemaError, match=r"nanoaod|cannot read"):
        load_schema(schema)


def test_a_broken_toml_file_is_a_schema_error(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(SchemaError, match="cannot read"):
        load_schema(tmp_path / "broken.toml")


def test_units_follow_the_names_and_can_be_set() -> None:
    schema = load_schema({**GOOD, "units": {"d0": "cm"}, "energy_unit": "MeV"})
    assert (schema.unit("pt"), schema.unit("phi"), schema.unit("eta"), schema.unit("d0")) == (
        "GeV",
        "rad",
        "",
        "cm",
    )
    assert schema.energy_divisor == 1000
