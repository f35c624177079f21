"""Tokens and scores of awkward arrays: the same as of files, and no column touched that is not needed."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

import evtok
from evtok import processor
from evtok.detectors import HBOS
from evtok.errors import FingerprintError, InvalidEventsError, SchemaError
from evtok.processor import ScoreArrays, TokenizeArrays
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform
from token_events import untrained

ak = pytest.importorskip("awkward")
pytest.importorskip("pyarrow")

DATA = Path(__file__).parents[1] / "examples" / "data"
FILE = DATA / "qcd.parquet"
NEEDED = {f"{name}_{column}" for name in ("Jet", "Electron", "Muon", "Photon") for column in ("pt", "eta")}


@pytest.fixture(scope="module")
def tokenizer():
    return BinnedTokenizer(
        {
            "pt": Feature("pt", Uniform(40, 0, 500), outside="clip"),
            "eta": Feature("eta", Uniform(30, -5, 5), outside="clip"),
        }
    )


@pytest.fixture(scope="module")
def detector():
    return HBOS(["count", "sum_pt"]).fit(evtok.open_events(FILE))


@pytest.fixture(scope="module")
def records():
    """Events as NanoEvents has them: collections of records."""
    return ak.from_parquet(FILE)


@pytest.fixture(scope="module")
def expected(tokenizer):
    return tokenizer.encode(evtok.Events.concatenate(list(evtok.open_events(FILE)))).to_awkward()


def flat(records):
    """The same as flat columns, as uproot reads NanoAOD."""
    columns = {}
    for name in records.fields:
        for part in records[name].fields:
            columns[f"{name}_{part}"] = records[name, part]
        if not records[name].fields:
            columns[name] = records[name]
    return ak.zip(columns, depth_limit=1)


def without_options(records):
    """The same events, of a type that has no missing values, as files of ROOT give it."""
    return ak.Array({name: ak.drop_none(records[name], axis=0) for name in records.fields})


def lazily(array):
    """The same array with buffers that are made when they are needed, and the names of those that were."""
    form, length, buffers = ak.to_buffers(ak.to_packed(array))
    touched = set()

    def later(key):
        def load():
            touched.add(key)
            return buffers[key]

        return load

    return ak.from_buffers(form, length, {key: later(key) for key in buffers}), touched


def test_tokens_are_those_of_files(records, tokenizer, expected):
    tokenize = TokenizeArrays(tokenizer)
    for events in (records, flat(records)):
        found = tokenize(events)
        assert str(found.type) == "1000 * var * int32"
        assert ak.array_equal(found, expected)


def test_scores_are_those_of_files(records, detector):
    found = ScoreArrays(detector)(records)
    scores = detector.score(evtok.Events.concatenate(list(evtok.open_events(FILE))))
    assert str(found.type) == "1000 * float32"
    assert np.array_equal(ak.to_numpy(found), scores)


def test_an_encoders_scores_are_those_of_files(records, tokenizer):
    detector = untrained(tokenizer, layers=2)
    scores = detector.score(evtok.Events.concatenate(list(evtok.open_events(FILE))), threads=2)
    assert evtok.last_backend().startswith("evtok:")
    found = [ScoreArrays(detector)(part) for part in (records[:317], records[317:])]
    assert np.array_equal(ak.to_numpy(ak.concatenate(found)), scores)


def test_a_root_file_by_uproot(tokenizer):
    uproot = pytest.importorskip("uproot")
    path = DATA / "wlnu.root"
    with uproot.open(path) as file:
        events = file["Events"].arrays()
    found = tokenizer.encode(evtok.Events.concatenate(list(evtok.open_events(path))))
    assert ak.array_equal(TokenizeArrays(tokenizer)(events), found.to_awkward())


def test_only_what_is_needed_is_loaded(records, tokenizer, expected):
    events, touched = lazily(without_options(records))
    tokenize = TokenizeArrays(tokenizer)
    assert touched == set()
    assert ak.array_equal(tokenize(events), expected)
    loaded = [key for key in touched if key.endswith("data")]
    assert len(loaded) == len(NEEDED)
    assert len(touched) == len(NEEDED) + 4  # and the offsets of four collections


def test_whoever_asks_for_the_columns_is_told_the_same(records, tokenizer, detector):
    for call, kind, needed in (
        (TokenizeArrays(tokenizer), "## * var * int32", NEEDED),
        (ScoreArrays(detector), "## * float32", {n for n in NEEDED if n.endswith("pt")}),
    ):
        form = without_options(records).layout.form_with_key("n{id}")
        tracer, report = ak.typetracer.typetracer_with_report(form)
        assert str(call(ak.Array(tracer)).type) == kind
        touched = [key for key in report.data_touched if _of(form, key) == "NumpyForm"]
        assert len(touched) == len(needed)


def _of(form, key):
    """Which kind of form has a key."""
    waiting = [form]
    while waiting:
        one = waiting.pop()
        if one.form_key == key:
            return type(one).__name__
        waiting += getattr(one, "contents", [])
        waiting += [one.content] if isinstance(one, ak.forms.ListOffsetForm) else []
    raise AssertionError(key)


def test_it_travels_as_a_path_and_is_loaded_once(tmp_path, records, tokenizer, expected, monkeypatch):
    tokenizer.save(tmp_path / "tok")
    data = pickle.dumps(TokenizeArrays(tmp_path / "tok"))
    assert len(data) < 4000
    monkeypatch.setattr(processor, "_LOADED", {})  # as in a worker
    loads = []
    real = TokenizeArrays._load
    monkeypatch.setattr(
        TokenizeArrays, "_load", staticmethod(lambda path: (loads.append(path), real(path))[1])
    )
    copies = [pickle.loads(data) for _ in range(4)]
    assert loads == []
    found = [None] * 4
    threads = [
        threading.Thread(target=lambda k=k: found.__setitem__(k, copies[k](records))) for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ak.array_equal(one, expected) for one in found)
    assert len(loads) == 1


def test_a_process_keeps_a_few_of_many(tmp_path, records, monkeypatch):
    monkeypatch.setattr(processor, "_LOADED", {})
    monkeypatch.setattr(processor, "_KEPT", 2)
    used = []
    for k in range(4):
        BinnedTokenizer({"pt": Feature("pt", Uniform(3 + k, 0, 500), outside="clip")}).save(tmp_path / f"{k}")
        used.append(TokenizeArrays(tmp_path / f"{k}"))
        used[0](records[:2])
    assert list(processor._LOADED) == [used[3].fingerprint, used[0].fingerprint]
    assert str(used[1](records[:0]).type) == "0 * var * int32"
    used[1](records[:2])
    assert list(processor._LOADED) == [used[0].fingerprint, used[1].fingerprint]


def test_an_object_travels_with_it(records, tokenizer, expected, detector):
    assert ak.array_equal(pickle.loads(pickle.dumps(TokenizeArrays(tokenizer)))(records), expected)
    again = pickle.loads(pickle.dumps(ScoreArrays(detector)))(records)
    assert np.array_equal(ak.to_numpy(again), ak.to_numpy(ScoreArrays(detector)(records)))


def test_what_was_replaced_at_the_path_is_refused(tmp_path, records, tokenizer, monkeypatch):
    tokenizer.save(tmp_path / "tok")
    tokenize = TokenizeArrays(tmp_path / "tok")
    other = BinnedTokenizer({"pt": Feature("pt", Uniform(3, 0, 500), outside="clip")})
    other.save(tmp_path / "tok2")
    (tmp_path / "tok").rename(tmp_path / "old")
    (tmp_path / "tok2").rename(tmp_path / "tok")
    monkeypatch.setattr(processor, "_LOADED", {})
    with pytest.raises(FingerprintError, match="it was replaced"):
        tokenize(records)


def test_events_that_were_selected_or_are_none(records, tokenizer, expected):
    tokenize = TokenizeArrays(tokenizer)
    chosen = ak.to_numpy(ak.fill_none(ak.num(records.Jet.pt) > 3, False))
    assert ak.array_equal(tokenize(records[chosen]), expected[chosen])
    order = np.arange(len(records))[::-3]
    assert ak.array_equal(tokenize(records[order]), expected[order])
    nothing = tokenize(records[:0])
    assert str(nothing.type) == "0 * var * int32"
    assert str(ScoreArrays(HBOS(["count"]).fit(evtok.open_events(FILE)))(records[:0]).type) == "0 * float32"
    jets = ak.mask(ak.drop_none(records.Jet, axis=0), chosen)
    with pytest.raises(InvalidEventsError, match="Jet_pt has missing values"):
        tokenize(ak.with_field(records, jets, "Jet"))


def test_what_is_not_there_is_named(records, tokenizer):
    tokenize = TokenizeArrays(tokenizer)
    with pytest.raises(SchemaError, match="Muon_pt"):
        tokenize(records[[n for n in records.fields if n != "Muon"]])
    with pytest.raises(InvalidEventsError, match=r"expected an ak\.Array of records"):
        tokenize(np.zeros(3))
    lists = ak.with_field(records.Jet, ak.singletons(records.Jet.pt, axis=1), "pt")
    with pytest.raises(InvalidEventsError, match="Jet_pt holds"):
        tokenize(ak.with_field(records, lists, "Jet"))
    events = ak.with_field(records, ak.with_field(records.Jet, records.Jet.pt * np.nan, "pt"), "Jet")
    with pytest.raises(InvalidEventsError, match="pt = nan"):
        tokenize(events)
    assert ak.min(ak.min(TokenizeArrays(tokenizer, on_invalid="sentinel")(events), axis=1)) == -1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", ["virtual", "eager", "dask"])
def test_nano_events_of_coffea(tokenizer, mode):
    """Where coffea is installed: the tokens of the file, by the branches that are needed."""
    nanoevents = pytest.importorskip("coffea.nanoevents")
    path = str(DATA / "wlnu.root")
    read = []
    options = {"access_log": read} if mode == "virtual" else {}
    events = nanoevents.NanoEventsFactory.from_root(
        {path: "Events"}, schemaclass=nanoevents.NanoAODSchema, mode=mode, **options
    ).events()
    found = TokenizeArrays(tokenizer)(events)
    if mode == "dask":
        (branches,) = pytest.importorskip("dask_awkward").report_necessary_columns(found).values()
        found = found.compute()
    else:
        branches = {one.branch for one in read}
    expected = tokenizer.encode(evtok.Events.concatenate(list(evtok.open_events(path))))
    assert ak.array_equal(found, expected.to_awkward())
    if mode != "eager":
        assert set(branches) == NEEDED | {"nJet", "nElectron", "nMuon", "nPhoton"}
