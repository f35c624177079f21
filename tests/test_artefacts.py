"""What a tokenizer is on disk: whole, proved by its fingerprint, and refused when it is anything else."""

from __future__ import annotations

import copy
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evtok.errors import ArtefactError
from evtok.tokenizers import (
    BinnedTokenizer,
    EqualFrequency,
    Explicit,
    Feature,
    Transform,
    Uniform,
    artefact,
    binned_config,
    load_tokenizer,
    log_uniform,
)
from evtok.tokenizers.feature import FittedFeature
from test_binned_tokenizer import TYPES, kinematic_features, make_events


def all_kinds() -> list[tuple[str, Callable[[], BinnedTokenizer]]]:
    events = make_events()
    return [
        ("plain", lambda: BinnedTokenizer(kinematic_features(), types=TYPES)),
        ("finke", lambda: BinnedTokenizer.preset("finke")),
        ("lut", lambda: BinnedTokenizer.preset("lut", met=True).fit(events)),
        (
            "fitted",
            lambda: BinnedTokenizer({"pt": Feature("pt", EqualFrequency(7))}, factorised=True).fit(events),
        ),
    ]


@pytest.mark.parametrize(("name", "make"), all_kinds(), ids=[name for name, _ in all_kinds()])
def test_save_load_and_pickle_keep_every_token(
    name: str, make: Callable[[], BinnedTokenizer], tmp_path: Path
) -> None:
    tokenizer = make()
    tokenizer.save(tmp_path / "tok")
    tokenizer.save(tmp_path / "tok")  # replacing its own kind is fine
    events = make_events(seed=4).with_columns(
        etarel=make_events(seed=4).columns["eta"], phirel=make_events(seed=4).columns["phi"]
    )
    expected = tokenizer.encode(events)
    for loaded in (load_tokenizer(tmp_path / "tok"), pickle.loads(pickle.dumps(tokenizer))):
        assert loaded.fingerprint == tokenizer.fingerprint
        np.testing.assert_array_equal(loaded.encode(events).ids, expected.ids)
    assert sorted(p.name for p in (tmp_path / "tok").iterdir()) == ["config.json", "tensors.safetensors"]
    assert [p.name for p in tmp_path.iterdir()] == ["tok"]


def test_fingerprint_changes_with_every_ingredient() -> None:
    base: dict[str, Any] = {"features": kinematic_features(), "types": TYPES}
    variants = [
        base,
        {**base, "types": TYPES[::-1]},
        {**base, "order": "first-fastest"},
        {**base, "specials": ("pad",)},
        {**base, "sort_by": "pt"},
        {**base, "max_length": 20},
        {**base, "factorised": True},
        {
            **base,
            "features": {
                **kinematic_features(),
                "eta": Feature("eta", Uniform(30, -4.0, np.nextafter(4.0, 5))),
            },
        },
        {
            **base,
            "features": {**kinematic_features(), "eta": Feature("eta", Uniform(30, -4.0, 4.0), right=True)},
        },
    ]
    marks = [BinnedTokenizer(**v).fingerprint for v in variants]
    assert len(set(marks)) == len(variants)
    assert marks[0] == BinnedTokenizer(**base).fingerprint


def test_p37_altered_artefacts_are_refused(tmp_path: Path) -> None:
    tokenizer = BinnedTokenizer(kinematic_features(), types=TYPES)
    tokenizer.save(tmp_path / "tok")
    rng = np.random.default_rng(0)
    for file in ("config.json", "tensors.safetensors"):
        path = tmp_path / "tok" / file
        good = path.read_bytes()
        for _ in range(150):
            bad = bytearray(good)
            bit = int(rng.integers(len(good) * 8))
            bad[bit // 8] ^= 1 << (bit % 8)
            path.write_bytes(bad)
            try:
                same = load_tokenizer(tmp_path / "tok")
            except ArtefactError:
                continue
            # Only what decides no token may change unnoticed: the version that wrote it, or spaces.
            assert same.fingerprint == tokenizer.fingerprint
        for length in (0, 1, 8, len(good) // 2, len(good) - 1):
            path.write_bytes(good[:length])
            if file == "config.json" and length == len(good) - 1:
                continue  # the final newline
            with pytest.raises(ArtefactError):
                load_tokenizer(tmp_path / "tok")
        path.write_bytes(good)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(extra=1), "unknown key 'extra'"),
        (lambda d: d.pop("fingerprint"), "missing key 'fingerprint'"),
        (lambda d: d.update(format="pickle"), "format 'pickle'"),
        (lambda d: d.update(numerics_version=99), "numerics version 99"),
        (lambda d: d["config"].update(_target_="os.system"), "altered"),
        (lambda d: d.update(config=[]), "config: expected a JSON object"),
    ],
)
def test_closed_schema(tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    BinnedTokenizer(kinematic_features()).save(tmp_path / "tok")
    path = tmp_path / "tok" / "config.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(ArtefactError, match=message):
        load_tokenizer(tmp_path / "tok")


def test_save_replaces_nothing_of_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("important")
    with pytest.raises(ArtefactError, match="exists and is not an evtok artefact alone"):
        BinnedTokenizer(kinematic_features()).save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "important"


def test_save_replaces_no_folder_that_only_looks_like_one(tmp_path: Path) -> None:
    """Models of other tools have a config.json too, and an artefact may have been given company."""
    tokenizer = BinnedTokenizer(kinematic_features())
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "gpt2"}')
    (model / "tensors.safetensors").write_bytes(b"weights")
    shared = tmp_path / "shared"
    tokenizer.save(shared)
    (shared / "notes.txt").write_text("important")
    for folder in (model, shared):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        with pytest.raises(ArtefactError, match="exists and is not an evtok artefact alone"):
            tokenizer.save(folder)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "shared"]


def test_save_puts_the_old_one_back_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = BinnedTokenizer(kinematic_features()), BinnedTokenizer(kinematic_features(), types=TYPES)
    old.save(tmp_path / "tok")
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError("quota exceeded")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="quota exceeded"):
        new.save(tmp_path / "tok")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["tok"]
    assert load_tokenizer(tmp_path / "tok").fingerprint == old.fingerprint
    new.save(tmp_path / "tok")
    assert load_tokenizer(tmp_path / "tok").fingerprint == new.fingerprint


def test_save_makes_the_rename_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    fsync = os.fsync

    def recorded(handle: int) -> None:
        synced.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    BinnedTokenizer(kinematic_features()).save(tmp_path / "tok")
    files = [tmp_path / "tok" / name for name in ("tensors.safetensors", "config.json")]
    assert synced == [path.stat().st_ino for path in (*files, tmp_path / "tok", tmp_path)]


def test_save_keeps_a_link(tmp_path: Path) -> None:
    BinnedTokenizer(kinematic_features()).save(tmp_path / "v1")
    (tmp_path / "latest").symlink_to("v1")
    new = BinnedTokenizer(kinematic_features(), types=TYPES)
    new.save(tmp_path / "latest")
    assert (tmp_path / "latest").is_symlink()
    assert load_tokenizer(tmp_path / "v1").fingerprint == new.fingerprint


def test_many_explicit_edges_are_saved_and_loaded(tmp_path: Path) -> None:
    """In the JSON, these edges would exceed the size that `load` reads."""
    edges = tuple(np.linspace(-1 / 3, 1 / 3, 60_000).tolist())
    tokenizer = BinnedTokenizer({"x": Feature("x", Explicit(edges))})
    tokenizer.save(tmp_path / "tok")
    assert (tmp_path / "tok" / "config.json").stat().st_size < 10_000
    loaded = load_tokenizer(tmp_path / "tok")
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.settings == tokenizer.settings


def test_save_refuses_what_load_would(tmp_path: Path) -> None:
    tokenizer = BinnedTokenizer(kinematic_features(), types={"j" * (5 << 20): 0})
    with pytest.raises(ArtefactError, match=r"config\.json would have .* bytes"):
        tokenizer.save(tmp_path / "tok")
    assert list(tmp_path.iterdir()) == []


# ---- documents that are signed, and wrong ----------------------------------------------------------------------


def content(tokenizer: BinnedTokenizer) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    config, tensors = binned_config.to_artefact(tokenizer.settings, tokenizer.fitted, tokenizer.seen)
    return json.loads(json.dumps(config)), {name: value.copy() for name, value in tensors.items()}


def rich_tokenizer() -> BinnedTokenizer:
    features = {
        "pt": Feature("pt", *log_uniform(6, 1, 2000)),
        "eta": Feature("eta", Explicit((-1.0, 0.0, 1.0)), right=True, outside="unknown"),
        "dphi": Feature("phi", Uniform(4, -0.8, 0.8), relative_to="jet_phi", wrap=True, outside="clip"),
    }
    return BinnedTokenizer(
        features,
        types=TYPES,
        specials=("pad", "unk"),
        specials_high=("eos",),
        vocabulary="seen",
        event_features={"MET": Feature("MET", EqualFrequency(3, outer=True), "log")},
        sequence=("objects", "MET", "eos"),
        sort_by="pt",
        max_length=30,
        headroom=0.1,
    ).fit(make_events(60))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, entry in inner for place in places(entry, (*path, key)))]


WRONG: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 4, 6, 0.0, 1.0, -0.0, 2.5, 1e308, 10**30, "", "pt", "eta", "log", "type", "cls",
    "objects", "codes", "clip", "dense", "\ud800", [], ["pt"], {}, {"kind": "uniform"}, {"name": "pt"}, ["pad", "pad"],
]  # fmt: skip


def test_p37_signed_documents_of_any_config_are_refused_or_mean_what_they_say(tmp_path: Path) -> None:
    """Whoever can write the config can write its fingerprint: the checks of the content must not rely on it."""
    config, tensors = content(rich_tokenizer())
    rng = np.random.default_rng(1)
    everywhere = places(config)[1:]
    cases = [(place, wrong) for place in everywhere for wrong in WRONG]
    cases += [(place, "delete") for place in everywhere]
    kept = 0
    for number in rng.permutation(len(cases))[:1500]:
        place, wrong = cases[number]
        changed = copy.deepcopy(config)
        parent = changed
        for key in place[:-1]:
            parent = parent[key]
        if wrong == "delete":
            del parent[place[-1]]
        else:
            parent[place[-1]] = copy.deepcopy(wrong)
        if changed == config:
            continue
        mark = artefact.fingerprint(changed, tensors)
        try:
            loaded = BinnedTokenizer.from_artefact(changed, tensors)
        except ArtefactError:
            continue
        kept += 1
        assert loaded.fingerprint == mark
        assert loaded.vocab_size > 0
    assert 0 < kept < 300  # some changes make another good tokenizer


def test_p37_a_signed_document_is_refused_from_a_file_too(tmp_path: Path) -> None:
    tokenizer = rich_tokenizer()
    tokenizer.save(tmp_path / "tok")
    path = tmp_path / "tok" / "config.json"
    good = json.loads(path.read_text())
    _, tensors = artefact.load(tmp_path / "tok")
    for key, wrong, message in (
        ("headroom", 1, "another form"),
        ("headroom", "much", "headroom: expected a finite number"),
        ("sort_by", ["pt"], "sort_by: expected the name"),
        ("types", ["j", "b"], "types: expected an object"),
        ("types", "jb", "types: expected an object"),
        ("specials", {}, "specials: expected a list of names"),
        ("specials", "pad", "specials: expected a list of names"),
        ("max_length", 30.0, "max_length: expected a whole number"),
        ("factorised", 0, "factorised: expected True or False"),
    ):
        document = copy.deepcopy(good)
        document["config"][key] = wrong
        document["fingerprint"] = artefact.fingerprint(document["config"], tensors)
        path.write_text(json.dumps(document))
        with pytest.raises(ArtefactError, match=message):
            load_tokenizer(tmp_path / "tok")
    path.write_text(path.read_text().replace('"numerics_version"', '"headroom": 1e999, "numerics_version"'))
    with pytest.raises(ArtefactError):
        load_tokenizer(tmp_path / "tok")
    text = json.dumps(good).replace('"headroom": 0.1', '"headroom": 1e999')
    assert "1e999" in text
    path.write_text(text)
    with pytest.raises(ArtefactError, match="not valid JSON"):
        load_tokenizer(tmp_path / "tok")


def swapped(name: str) -> Callable[[dict[str, Any]], None]:
    def change(tensors: dict[str, Any]) -> None:
        tensors[name] = tensors[name][::-1].copy()

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(seen=np.zeros(0, np.int32)), "seen: expected one increasing int32 key or more"),
        (lambda t: t.update(seen=t["seen"].astype(np.int64)), "seen: expected one increasing int32 key or more"),
        (lambda t: t.update(seen=t["seen"][::-1].copy()), "seen: expected one increasing int32 key or more"),
        (lambda t: t.update(seen=np.array([-1, 3], np.int32)), "seen: expected keys from 0"),
        (lambda t: t.update(seen=np.array([3, 2**31 - 1], np.int32)), "seen: expected keys from 0"),
        (swapped("pt.edges"), "pt: edges: expected 6 increasing float64 values"),
        (swapped("pt.thresholds32"), "pt: thresholds32: expected 6 increasing float32 values"),
        (lambda t: t.update({"pt.edges": t["pt.edges"][:5]}), "pt: edges: expected 6 increasing"),
        (lambda t: t.update({"pt.edges": t["pt.edges"] + 0.01}), "pt: the thresholds are not those of the edges"),
        (
            lambda t: t.update({"pt.thresholds32": np.nextafter(t["pt.thresholds32"], np.float32(9e9))}),
            "pt: the thresholds are not those of the edges",
        ),
        (
            lambda t: t.update({"eta.thresholds64": np.array([-1.0, 0.0, np.inf])}),
            "eta: the thresholds are not those of the edges",
        ),
        (lambda t: t.update({"eta.edges": np.zeros(0)}), "one edge or more"),
        (lambda t: t.update({"eta.edges": np.zeros(1)}), "needs 2 edges or more"),
        (lambda t: t.update({"eta.edges": np.array([0, 1, np.inf])}), "increasing finite numbers"),
        (lambda t: t.update({"MET.edges": t["MET.edges"][:3]}), "MET: edges: expected 4 increasing"),
    ],
)  # fmt: skip
def test_p37_tensors_that_do_not_belong_together_are_refused(
    change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    config, tensors = content(rich_tokenizer())
    assert BinnedTokenizer.from_artefact(config, tensors).is_fitted
    change(tensors)
    with pytest.raises(ArtefactError, match=message):
        BinnedTokenizer.from_artefact(config, tensors)


def test_p37_the_artefact_that_made_the_kernel_read_wildly() -> None:
    """One edge, clipped, zero as code zero: no digit at all, and a vocabulary of nothing seen."""
    feature = Feature("x", Explicit((1.0, 2.0)), outside="clip", zero_is_code_zero=True)
    tokenizer = BinnedTokenizer({"x": feature}, vocabulary="seen").fit(
        make_events(9).with_columns(x=make_events(9).columns["pt"])
    )
    config, tensors = content(tokenizer)
    for n_edges in (0, 1):
        for name in ("edges", "thresholds32", "thresholds64"):
            tensors[f"x.{name}"] = tensors[f"x.{name}"][:n_edges]
        tensors["seen"] = np.zeros(0, np.int32)
        with pytest.raises(ArtefactError, match=r"features\['x'\]: "):
            BinnedTokenizer.from_artefact(config, tensors)


@pytest.mark.parametrize(
    "edges", [np.zeros(3, np.float32), np.zeros((3, 1)), np.array([0, 1, np.inf]), np.arange(2.0)]
)
def test_fitted_features_check_their_arrays(edges: npt.NDArray[Any]) -> None:
    good = FittedFeature.from_edges(Feature("x", Explicit((0.0, 1.0, 2.0))), np.arange(3.0))
    with pytest.raises(ValueError, match="edges: expected"):
        FittedFeature(good.feature, edges, good.thresholds32, good.thresholds64)


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("kind", ["identity", "log", "log10", "log2", "log1p", "sqrt", "asinh"])
def test_every_good_feature_is_consistent(kind: str, right: bool) -> None:
    """The check of loaded tensors must refuse nothing that a fit can make."""
    rng = np.random.default_rng(2)
    wide = np.sort(
        np.r_[rng.normal(0, 1, 20), rng.normal(0, 1000, 20), -1e300, -1e39, 0, 1e-320, 1e39, 1e300]
    )
    for transform in (Transform(kind), Transform(kind, 1.8, 0.25), Transform(kind, -3e5, 0.7)):
        feature = Feature("x", Explicit(tuple(wide)), transform, right)
        assert FittedFeature.from_edges(feature, wide).is_consistent
        lowest, highest = transform.valid_range(np.float64)
        values = np.unique(np.clip(np.r_[wide, lowest, highest], lowest, highest))
        feature = Feature("x", EqualFrequency(len(values) + 1), transform, right)
        fitted = FittedFeature.from_values(feature, values)
        assert fitted.is_consistent
