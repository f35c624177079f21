"""`evtok train` and `evtok score`: which events a detector learns, what is refused, and what is printed."""

from __future__ import annotations

import json
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import evtok
from evtok.cli.training import Request, parse_settings, run
from evtok.cli.training_data import in_validation
from evtok.detectors import Detector, FeatureInputs, TokenInputs, registry
from evtok.errors import EvtokError
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform

SCHEMA = {
    "name": "jets",
    "formats": ["parquet"],
    "objects": [{"collection": "Jet", "columns": {"pt": "pt", "eta": "eta"}}],
    "fields": {"label": "label", "weight": "weight", "event": "event"},
}
BARE = {**SCHEMA, "fields": {}}


class Remembering(Detector):
    """Keeps what it is given to learn. It trains in epochs, so it says, and reads tokens or features."""

    KIND = "remembering"
    seen: dict[str, Any]

    def __init__(
        self, inputs: Any, *, epochs: int = 3, seed: int = 0, name: str = "x", pair: Any = (1, 2)
    ) -> None:
        if isinstance(epochs, bool) or not isinstance(epochs, int):
            raise TypeError(f"epochs: expected an integer, got {epochs!r}")
        self.inputs = TokenInputs(inputs) if isinstance(inputs, BinnedTokenizer) else FeatureInputs(inputs)
        self.settings = {"epochs": epochs, "seed": seed, "name": name, "pair": pair}
        self.seen = {}

    @property
    def is_fitted(self) -> bool:
        return True

    def _fit(self, train, validation, *, weights, checkpoints, progress):
        self.seen = {"train": train, "validation": validation, "weights": weights, "checkpoints": checkpoints}
        if progress is not None:
            progress({"event": "resume", "epoch": 1})

    def _score(self, data, backend, threads):
        return np.zeros(len(data), np.float32)

    def to_artefact(self):
        return {"kind": self.KIND}, {"nothing": np.zeros(1, np.float32)}

    @classmethod
    def from_artefact(cls, config, tensors) -> Self:
        return cls(["count"])


@pytest.fixture(autouse=True)
def remembering(monkeypatch):
    """The kind "remembering", as if a package had brought it."""

    class Entry:
        name, value = "remembering", "tests:Remembering"

        @staticmethod
        def load():
            return Remembering

    monkeypatch.setattr(registry, "entry_points", lambda group: [Entry()])


def _write(path, n, seed, labels=True):
    """Write events of 1 to 3 jets; the field event is the row, the label is 1 for every third."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 4, n))]).astype(np.int64)
    jets = {
        "Jet_pt": rng.exponential(60, offsets[-1]).astype(np.float32),
        "Jet_eta": rng.normal(0, 2, offsets[-1]).astype(np.float32),
    }
    columns = {
        name: pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))
        for name, values in jets.items()
    }
    if labels:
        columns["label"] = pa.array((np.arange(n) % 3 == 0).astype(np.uint8))
    columns["weight"] = pa.array(rng.random(n))
    columns["event"] = pa.array(np.arange(n, dtype=np.uint64))
    pq.write_table(pa.table(columns), path)
    return str(path)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    _write(folder / "a.parquet", 300, 1)
    _write(folder / "b.parquet", 100, 2)
    (folder / "jets.json").write_text(json.dumps(SCHEMA))
    (folder / "bare.json").write_text(json.dumps(BARE))
    tokenizer = BinnedTokenizer(
        {"pt": Feature("pt", Uniform(40, 0, 500)), "eta": Feature("eta", Uniform(30, -12, 12))}
    )
    tokenizer.save(folder / "tokenizer")
    return folder


@pytest.fixture
def train(base):
    """Train on both files; keyword arguments override."""

    def run_it(**options):
        settings = {
            "kind": "remembering",
            "inputs": [str(base / "a.parquet"), str(base / "b.parquet")],
            "schema": str(base / "jets.json"),
            "features": "event,count,sum_pt",
            "background_label": "any",
            **options,
        }
        return run(Request(**settings)).detector

    return run_it


def _events(rows):
    return rows[:, 0].astype(int).tolist()


# ---- which events -------------------------------------------------------------------------------------------


def test_the_validation_follows_from_row_and_seed_alone(train, base):
    seen = train(validation_fraction=0.25).seen
    aside = np.flatnonzero(in_validation(np.arange(300), 0.25, 0))
    assert 50 < len(aside) < 100
    assert _events(seen["validation"]) == [*aside, *aside[aside < 100]]
    assert sorted(_events(seen["train"]) + _events(seen["validation"])) == sorted([*range(300), *range(100)])
    alone = train(validation_fraction=0.25, inputs=[str(base / "a.parquet")]).seen
    assert _events(alone["validation"]) == list(aside)
    other = train(validation_fraction=0.25, seed=1)
    assert _events(other.seen["validation"]) != _events(seen["validation"])
    assert other.settings["seed"] == 1


def test_the_split_is_even():
    for seed in (0, 1, 2**62):
        share = in_validation(np.arange(200_000), 0.2, seed)
        assert abs(share.mean() - 0.2) < 0.005
        assert abs(share[1::2].mean() - 0.2) < 0.01


def test_by_default_what_trains_in_epochs_validates_on_a_fifth(train, base):
    assert len(train().seen["validation"]) == pytest.approx(80, abs=30)
    assert train(validation_fraction=0.0).seen["validation"] is None
    given = train(validation=[str(base / "b.parquet")], inputs=[str(base / "a.parquet")]).seen
    assert (len(given["train"]), len(given["validation"])) == (300, 100)
    with pytest.raises(EvtokError, match="not both"):
        train(validation=["x"], validation_fraction=0.1)


def test_labels_other_than_0_are_not_taken_in_silence(train, base):
    with pytest.raises(
        EvtokError, match=r"a\.parquet: the field 'label' is 1 for some events.*--background-label 0"
    ):
        train(background_label=None)
    seen = train(background_label="0", validation_fraction=0.0).seen
    assert all(event % 3 for event in _events(seen["train"]))
    assert len(seen["train"]) == 200 + 66
    ones = train(background_label="1", validation_fraction=0.0).seen
    assert len(ones["train"]) == 100 + 34
    with pytest.raises(EvtokError, match="expected a number or 'any', got 'qcd'"):
        train(background_label="qcd")
    with pytest.raises(EvtokError, match="no event to learn from"):
        train(background_label="7")


def test_without_labels_all_events_are_background(train, base, tmp_path):
    path = _write(tmp_path / "bare.parquet", 50, 3, labels=False)
    options = {"inputs": [path], "schema": str(base / "bare.json"), "features": "count"}
    assert len(train(**options, background_label=None, validation_fraction=0.0).seen["train"]) == 50
    with pytest.raises(EvtokError, match="the inputs have no field 'label'"):
        train(**options, background_label="0")
    with pytest.raises(EvtokError, match="--weights: the inputs have no field 'weight'"):
        train(**options, weights="weight")


def test_weights_and_files(train, base):
    weights = np.concatenate([pq.read_table(base / f"{name}.parquet")["weight"].to_numpy() for name in "ab"])
    seen = train(weights="weight", validation_fraction=0.0).seen
    assert seen["weights"] == pytest.approx(weights / weights.mean())
    balanced = train(balance_files=True, validation_fraction=0.0).seen["weights"]
    assert balanced[:300].sum() == pytest.approx(balanced[300:].sum())
    assert np.ptp(balanced[:300]) == pytest.approx(0)


def test_shards_give_the_same_as_files(train, base, tmp_path):
    files = [str(base / "a.parquet"), str(base / "b.parquet")]
    evtok.tokenize_files(files, base / "tokenizer", tmp_path / "shards", schema=SCHEMA, events_per_shard=130)
    tokens = {"features": None, "background_label": "0", "weights": "weight", "balance_files": True}
    of_files = train(**tokens, tokenizer=base / "tokenizer").seen
    of_shards = train(**tokens, inputs=[str(tmp_path / "shards")]).seen
    for name in ("train", "validation"):
        assert np.array_equal(of_files[name].ids, of_shards[name].ids)
        assert np.array_equal(of_files[name].offsets, of_shards[name].offsets)
    assert np.array_equal(of_files["weights"], of_shards["weights"])
    with pytest.raises(EvtokError, match="cannot be mixed"):
        train(**tokens, inputs=[str(tmp_path / "shards"), files[0]])
    with pytest.raises(EvtokError, match="shards hold tokens"):
        train(inputs=[str(tmp_path / "shards")])
    other = BinnedTokenizer(
        {"pt": Feature("pt", Uniform(9, 0, 500)), "eta": Feature("eta", Uniform(3, -12, 12))}
    )
    other.save(tmp_path / "other")
    with pytest.raises(EvtokError, match="tokenizer"):
        train(**tokens, inputs=[str(tmp_path / "shards")], tokenizer=tmp_path / "other")


def test_events_that_cannot_be_used(train, base, tmp_path):
    table = pq.read_table(_write(tmp_path / "x.parquet", 40, 4))
    pt = table["Jet_pt"].to_pylist()
    pt[7][0] = float("nan")
    pq.write_table(
        table.set_column(0, "Jet_pt", pa.array(pt, pa.large_list(pa.float32()))), tmp_path / "x.parquet"
    )
    options = {"inputs": [str(tmp_path / "x.parquet")], "validation_fraction": 0.0}
    with pytest.raises(
        EvtokError, match=r"x\.parquet, among entries 0 to 39.*event 7 is nan.*--skip-invalid"
    ):
        train(**options)
    assert _events(train(**options, skip_invalid=True).seen["train"]) == [*range(7), *range(8, 40)]


def test_events_that_a_network_cannot_use(train, monkeypatch):
    def too_many(self, data):
        return data[:, 1] > 2, "is too long"

    monkeypatch.setattr(Remembering, "_unusable", too_many)
    with pytest.raises(EvtokError, match=r"event \d+ is too long.*--skip-invalid"):
        train()
    seen = train(skip_invalid=True, weights="weight", validation_fraction=0.0).seen
    assert len(seen["train"]) == len(seen["weights"]) < 400


# ---- settings -----------------------------------------------------------------------------------------------


def test_settings_are_json_or_text(train):
    made = train(settings=["name=deep wide", "pair=[3, 4]"], epochs=7)
    assert made.settings == {"epochs": 7, "seed": 0, "name": "deep wide", "pair": [3, 4]}
    assert parse_settings(["a=1", "b=1.5", "c=true", "d=null", "e=x=y", 'f="1"', "g="]) == {
        "a": 1,
        "b": 1.5,
        "c": True,
        "d": None,
        "e": "x=y",
        "f": "1",
        "g": "",
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"settings": ["depth=3"]},
            r"no setting 'depth'; it has epochs=3, seed=0, name=\"x\", pair=\[1, 2\]",
        ),
        ({"settings": ["epochs=true"]}, "expected an integer, got True"),
        ({"settings": ["epochs"]}, "expected NAME=VALUE"),
        ({"settings": ["epochs=1", "epochs=2"]}, "'epochs' is there twice"),
        ({"settings": ["epochs=1"], "epochs": 2}, "one of them is enough"),
        ({"kind": "hbos", "epochs": 2}, "hbos has no setting 'epochs'"),
        ({"kind": "nonsense"}, "expected a detector .*remembering.*unigram"),
        ({"kind": "unigram"}, "it may need --tokenizer instead"),
        ({"features": None}, "say what it is to read"),
        ({"features": ","}, "--features: expected names"),
        ({"features": "count[j"}, "count"),
        ({"features": "nope"}, "nope"),
        ({"tokenizer": "x"}, "not both"),
    ],
)
def test_requests_that_make_no_sense(train, options, said):
    with pytest.raises((EvtokError, ValueError), match=said):
        train(**options)


def test_checkpoints_progress_and_threads(base, tmp_path, monkeypatch):
    told = []
    monkeypatch.delenv("EVTOK_NUM_THREADS", raising=False)
    request = Request(
        "remembering",
        [str(base / "b.parquet")],
        features="count",
        schema=str(base / "jets.json"),
        background_label="any",
        checkpoints=tmp_path / "checkpoints",
        threads=1,
    )
    trained = run(request, told.append)
    assert told == [{"event": "resume", "epoch": 1}]
    assert trained.detector.seen["checkpoints"] == tmp_path / "checkpoints"
    assert "EVTOK_NUM_THREADS" not in __import__("os").environ
    assert "events to train on" in trained.summary


# ---- the commands -------------------------------------------------------------------------------------------


@pytest.fixture
def command():
    """Run a command in this process: its exit code, its output, and what it raised."""
    testing = pytest.importorskip("typer.testing")
    from evtok.cli.app import app

    return lambda *arguments: testing.CliRunner().invoke(app, [str(one) for one in arguments])


def test_train_and_score(command, base, tmp_path):
    files = [base / "a.parquet", base / "b.parquet"]
    model, scores = tmp_path / "model", tmp_path / "out" / "scores.parquet"
    options = ["--schema", base / "jets.json"]
    made = command(
        "train", "unigram", *files, *options, "--tokenizer", base / "tokenizer", "-o", model,
        "--background-label", 0, "--validation-fraction", 0.2, "--set", "reduction=max",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    assert f"{model}: unigram detector {evtok.load_detector(model).fingerprint[:16]}" in made.stdout
    assert "134 with another label left out" in made.stdout
    refused = command("train", "unigram", *files, *options, "--tokenizer", base / "tokenizer", "-o", model)
    assert "is there already" in str(refused.exception)
    done = command("score", *files, *options, "--model", model, "-o", scores)
    assert done.exit_code == 0, done.output
    assert "400 events, 0 in quarantine" in done.stdout
    assert "events/s" in done.stdout
    found = evtok.Scores.read(scores)
    events = evtok.Events.concatenate(list(evtok.open_events([str(path) for path in files], SCHEMA)))
    assert np.array_equal(found.score, evtok.load_detector(model).score(events))
    assert "proven from before" in command("score", *files, *options, "--model", model, "-o", scores).stdout
    proven = command("verify", scores).stdout
    assert "400 events" in proven
    assert "tokens" not in proven
    scores.write_bytes(scores.read_bytes()[:-1])
    assert command("verify", scores).exit_code == 1


def test_a_folder_of_others_is_refused_before_training(command, base, tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.tex").write_text("mine")
    monkeypatch.setattr("evtok.cli.training.run", lambda *_: pytest.fail("trained before it was refused"))
    arguments = [
        "train",
        "unigram",
        base / "a.parquet",
        "--tokenizer",
        base / "tokenizer",
        "-o",
        tmp_path / "model",
    ]
    for more in ([], ["--overwrite"]):
        assert isinstance(command(*arguments, *more).exception, EvtokError)
    assert (tmp_path / "model" / "thesis.tex").read_text() == "mine"


def test_a_network_is_trained_and_scores_files(command, base, tmp_path):
    """With checkpoints, for one epoch, on shards; a second run of the job writes the same bytes."""
    pytest.importorskip("lightning")
    model, files = tmp_path / "model", [str(base / "a.parquet")]
    evtok.tokenize_files(files, base / "tokenizer", tmp_path / "shards", schema=SCHEMA)
    settings = ("layers=1", "width=8", "heads=1", "feed_forward=8", "max_length=8", "batch=64")
    options = [part for setting in settings for part in ("--set", setting)]
    made = command(
        "train", "masked-token", tmp_path / "shards", "-o", model, "--background-label", "any", "--epochs", 1,
        "--checkpoints", tmp_path / "checkpoints", "--threads", 1, *options,
    )  # fmt: skip
    assert made.exit_code == 0, (made.output, made.exception)
    assert list((tmp_path / "checkpoints").iterdir())
    written = []
    for name in ("one", "two"):
        report = evtok.score_files(
            files, model, tmp_path / f"{name}.parquet", schema=SCHEMA, events_per_shard=70, threads=1
        )
        written.append(report.output.read_bytes())
    assert written[0] == written[1]
    found = evtok.Scores.read(tmp_path / "one.parquet")
    assert (found.run["backend"], len(found)) == ("native", 300)
    assert found.run["torch"] == ""
