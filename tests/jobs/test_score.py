"""Jobs that score: what the file holds, when a job goes on, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import Any, Self

import numpy as np
import pyarrow.parquet as pq
import pytest

import evtok
from evtok.detectors import Detector, FeatureInputs, UnigramDetector
from evtok.errors import FingerprintError, JobError, ShardError
from evtok.jobs import merge, reading


class BatchSensitive(Detector):
    """The score is the scalar sum of pT, and in the last places the size of the batch, as torch's can depend on it.

    Infinite where `infinite` (GeV) is passed.
    """

    KIND = "batch-sensitive"

    def __init__(self, inputs: Any = ("count", "sum_pt"), *, infinite: float = 1e9) -> None:
        self.inputs = FeatureInputs.of(inputs)
        self.infinite = infinite

    @property
    def is_fitted(self) -> bool:
        return True

    def _fit(self, train: Any, validation: Any, **options: Any) -> None:
        pass

    def _score(self, data: Any, backend: str, threads: int) -> Any:
        scores = (data[:, 1] + np.float32(1e-3) * len(data)).astype(np.float32)
        return np.where(data[:, 1] > self.infinite, np.float32(np.inf), scores)

    def to_artefact(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"kind": self.KIND, "infinite": self.infinite}, {"nothing": np.zeros(1, np.float32)}

    @classmethod
    def from_artefact(cls, config: Any, tensors: Any) -> Self:
        return cls(infinite=config["infinite"])


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Small batches, calls and row groups, so that small files have several."""
    for module in ("batch", "planning"):
        monkeypatch.setattr(f"evtok.jobs.{module}.EVENTS_PER_BATCH", 512)
    monkeypatch.setattr("evtok.jobs.score_encoder.EVENTS_PER_CALL", 300)
    monkeypatch.setattr(merge, "ROWS_PER_GROUP", 1300)


@pytest.fixture(scope="module")
def events(write, jets_schema, tmp_path_factory):
    """What `inputs` hold: two files, and which events have a jet."""
    folder = tmp_path_factory.mktemp("events")
    files = [write(folder / "a.parquet", 5000, 1), write(folder / "b.parquet", 1234, 2)]
    return evtok.Events.concatenate(list(evtok.open_events(files, jets_schema)))


@pytest.fixture(scope="module")
def unigram(tokenizer, events):
    return UnigramDetector(tokenizer).fit(events[events.multiplicity > 0])


@pytest.fixture
def score(inputs, jets_schema, tmp_path):
    """Score `inputs`; keyword arguments override."""

    def run_it(detector, name="scores.parquet", **options):
        settings = {"schema": jets_schema, "events_per_shard": 2000, "allow_quarantine": True, **options}
        return evtok.score_files(settings.pop("files", inputs), detector, tmp_path / name, **settings)

    return run_it


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---- what the file holds ------------------------------------------------------------------------------------


def test_scores_are_those_of_the_detector(score, unigram, events, inputs, tmp_path):
    unigram.save(tmp_path / "model")
    report = score(tmp_path / "model")
    good = events.multiplicity > 0
    assert (report.counts.read, report.counts.written) == (6234, good.sum())
    assert report.counts.quarantined == 6234 - good.sum() > 50
    found = evtok.Scores.read(report.output)
    assert np.array_equal(found.score, unigram.score(events[good]))
    assert found.score.dtype == np.float32
    assert np.array_equal(found.entry, np.concatenate([np.arange(5000), np.arange(1234)])[good])
    assert found.file.tolist() == [str(path) for path in np.repeat(inputs, [5000, 1234])[good]]
    assert list(found.fields) == ["label", "weight", "event"]
    for name, values in found.fields.items():
        assert np.array_equal(values, events.fields[name][good])
        assert not values.flags.writeable
    assert found.model == {
        "kind": "unigram",
        "fingerprint": unigram.fingerprint,
        "folder": str(tmp_path / "model"),
    }
    assert found.inputs == tuple(map(str, inputs))
    assert found.counts == report.counts
    assert found.run["backend"] == "native"
    assert len(found) == good.sum()
    assert "unigram" in repr(found)


def test_other_readers_see_a_table(score, unigram):
    table = pq.read_table(score(unigram).output)
    assert table.schema.names == ["score", "file", "entry", "label", "weight", "event"]
    assert str(table.schema.field("file").type) == "dictionary<values=string, indices=int32, ordered=0>"
    said = json.loads(table.schema.metadata[b"evtok"])
    assert (said["format"], said["version"]) == ("evtok-scores", 1)
    assert said["model"]["folder"] == ""  # it was in memory
    assert [one["n_events"] for one in said["inputs"]] == [5000, 1234]
    assert pq.ParquetFile(score(unigram).output).num_row_groups > 3
    assert set(table.to_pandas()["file"].cat.categories) == {one["path"] for one in said["inputs"]}


def test_p41_bytes_do_not_depend_on_threads_or_chunks(score, monkeypatch, inputs, jets_schema):
    """The detector's scores tell the size of its batch; that of a batch is a matter of the plan alone."""
    expected = sha(score(BatchSensitive()).output)
    for threads, chunk in [(1, 37), (2, 511), (7, 100_000)]:
        monkeypatch.setattr(reading, "FIRST_CHUNK", chunk)
        monkeypatch.setattr(reading, "LONGEST_CHUNK", chunk)
        monkeypatch.setattr(reading, "SHORTEST_CHUNK", 1)
        assert sha(score(BatchSensitive(), f"s{threads}.parquet", threads=threads).output) == expected
    found = evtok.Scores.read(score(BatchSensitive()).output)
    events = evtok.Events.concatenate(list(evtok.open_events(inputs, jets_schema)))
    sums = BatchSensitive().inputs.read(events).data[:, 1]
    sizes = np.round((found.score - sums) / np.float32(1e-3))
    assert set(sizes.tolist()) == {300, 2000 % 300, 1000 % 300, 1234 % 300}  # the stub does tell


def test_no_events_at_all(score, write, tmp_path, inputs, unigram):
    empty = write(tmp_path / "in" / "empty.parquet", 0, 5)
    found = evtok.Scores.read(score(unigram, files=[empty, inputs[1]]).output)
    assert set(found.file_index.tolist()) == {1}
    nothing = evtok.Scores.read(score(unigram, "none.parquet", files=[empty]).output)
    assert (len(nothing), nothing.inputs) == (0, (str(empty),))


def test_fields_to_keep(score, unigram):
    assert list(evtok.Scores.read(score(unigram, keep=["weight"]).output).fields) == ["weight"]
    for name in ("score", "file", "entry"):
        with pytest.raises(JobError, match=f"keep: '{name}' is a column of every shard"):
            score(unigram, "other.parquet", keep=[name])


# ---- quarantine ---------------------------------------------------------------------------------------------


def test_p35_events_without_a_score_are_listed_counted_and_fail_the_job(score, write, tmp_path, unigram):
    path = write(tmp_path / "in" / "bad.parquet", 900, 3, nan=(0, 700, 899))
    options = {"files": [path], "events_per_shard": 500}
    with pytest.raises(JobError, match=r"of 900 events are in quarantine"):
        score(unigram, allow_quarantine=False, **options)
    assert not (tmp_path / "scores.parquet").exists()
    assert not evtok.verify(tmp_path / "scores.parquet.parts").ok
    report = score(unigram, **options)
    assert report.job.proven == 2
    lines = [
        json.loads(line)
        for part in sorted((tmp_path / "scores.parquet.parts" / "quarantine").iterdir())
        for line in part.read_text().splitlines()
    ]
    assert len(lines) == report.counts.quarantined
    entries = [line["entry"] for line in lines]
    assert entries == sorted(entries)
    reasons = {line["entry"]: line["reason"] for line in lines}
    assert all("pt = nan" in reasons[entry] for entry in (0, 700, 899))
    assert sum("has no token" in reason for reason in reasons.values()) == len(lines) - 3
    found = evtok.Scores.read(report.output)
    assert not set(found.entry.tolist()) & set(entries)
    assert found.counts.weight_read > found.counts.weight_written > 0


def test_p35_a_score_that_is_not_finite_goes_to_quarantine(score):
    report = score(BatchSensitive(infinite=600.0))
    folder = report.job.folder / "quarantine"
    lines = [json.loads(line) for part in folder.iterdir() for line in part.read_text().splitlines()]
    assert {line["reason"] for line in lines} == {"its score is inf"}
    assert len(lines) == report.counts.quarantined > 0
    assert np.isfinite(evtok.Scores.read(report.output).score).all()


def test_a_detector_that_breaks_its_word_fails_the_job(score, monkeypatch):
    monkeypatch.setattr(BatchSensitive, "score", lambda *_, **__: np.zeros(3, np.float64))
    with pytest.raises(JobError, match=r"gave float64 \(3,\) for 300 events"):
        score(BatchSensitive())


# ---- going on -----------------------------------------------------------------------------------------------


def test_p33_a_second_run_proves_and_writes_nothing(score, unigram):
    first = score(unigram)
    before = first.output.stat()
    again = score(unigram)
    assert not first.was_there
    assert again.was_there
    assert (again.job.proven, again.events_scored, again.sha256) == (4, 0, first.sha256)
    after = again.output.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize("stop_at", ["shard", "finish"])
def test_p31_an_interrupted_job_goes_on_to_the_same_bytes(score, tmp_path, stop_at):
    expected = sha(score(BatchSensitive(), "whole.parquet").output)
    seen = []

    def interrupt(event):
        seen.append(event["event"])
        if event["event"] == stop_at and seen.count(stop_at) == (2 if stop_at == "shard" else 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(BatchSensitive(), progress=interrupt)
    assert not (tmp_path / "scores.parquet").exists()
    report = score(BatchSensitive())
    assert report.job.proven == (2 if stop_at == "shard" else 4)
    assert sha(report.output) == expected


@pytest.mark.parametrize("damage", ["part", "record", "merged.json", "output gone", "output and record gone"])
def test_p33_what_is_damaged_or_gone_is_written_again(score, unigram, damage):
    report = score(unigram)
    expected = sha(report.output)
    if "output" in damage:
        report.output.unlink()
    if damage == "part":
        shard = report.job.folder / "shard-000001.arrow"
        shard.write_bytes(shard.read_bytes()[:-1])
    elif damage == "record":
        (report.job.folder / "shard-000001.json").unlink()
    elif damage != "output gone":
        (report.job.folder / "merged.json").unlink()
    assert not evtok.verify(report.job.folder).ok
    if damage == "merged.json":  # nobody knows whose file that is
        with pytest.raises(JobError, match="is not what this job wrote"):
            score(unigram)
        report.output.unlink()
    assert sha(score(unigram).output) == expected
    assert evtok.verify(report.output).ok


def test_files_of_others_are_not_replaced(score, unigram, tmp_path, monkeypatch):
    (tmp_path / "scores.parquet").write_bytes(b"mine")
    monkeypatch.setattr(
        "evtok.jobs.score.run_job", lambda *_, **__: pytest.fail("scored before it was refused")
    )
    with pytest.raises(JobError, match=r"scores\.parquet: is there already, and is not what this job wrote"):
        score(unigram)
    assert (tmp_path / "scores.parquet").read_bytes() == b"mine"


def test_an_altered_file_is_not_replaced(score, unigram):
    report = score(unigram)
    data = bytearray(report.output.read_bytes())
    data[100] ^= 1
    report.output.write_bytes(data)
    with pytest.raises(JobError, match="is not what this job wrote"):
        score(unigram)


def test_inputs_that_moved_are_named_anew(score, unigram, inputs, tmp_path):
    first = score(unigram)
    moved = tmp_path / "elsewhere"
    shutil.copytree(inputs[0].parent, moved)
    again = score(unigram, files=[moved / path.name for path in inputs])
    assert not again.was_there
    one, other = evtok.Scores.read(again.output), evtok.Scores.read(first.output)
    assert one.inputs == tuple(str(moved / path.name) for path in inputs) == other.inputs
    assert evtok.verify(again.output).ok


@pytest.mark.parametrize(
    "change", ["fingerprint", "events_per_shard", "columns", "inputs", "numerics", "torch"]
)
def test_p33_other_ingredients_are_refused_and_named(
    score, unigram, inputs, tokenizer, events, change, monkeypatch
):
    expected = sha(score(unigram).output)
    other = UnigramDetector(tokenizer, smoothing=2.0).fit(events[events.multiplicity > 0])
    options = {
        "fingerprint": {"detector": other},
        "events_per_shard": {"events_per_shard": 1999},
        "columns": {"keep": ["label"]},
        "inputs": {"files": inputs[:1]},
    }.get(change, {})
    if change == "numerics":

        class Core:
            numerics_version, version = 999, evtok.__version__

        monkeypatch.setattr("evtok.jobs.planning._core", Core)
    if change == "torch":
        monkeypatch.setattr(UnigramDetector, "BACKENDS", ("torch",))
    with pytest.raises(JobError, match=f"(?s)holds a job with other ingredients.*{change}"):
        score(options.pop("detector", unigram), **options)
    assert sha(evtok.Scores.read(inputs[0].parents[1] / "scores.parquet").path) == expected


def test_tokens_and_scores_are_not_mixed(score, unigram, tokenizer, inputs, jets_schema, tmp_path):
    report = score(unigram)
    with pytest.raises(JobError, match="what is written: was scores, is tokens"):
        evtok.tokenize_files(
            inputs, tokenizer, report.job.folder, schema=jets_schema, events_per_shard=2000, format="arrow"
        )
    with pytest.raises(ShardError, match="holds scores, not tokens"):
        evtok.TokenDataset(report.job.folder)


def test_a_model_that_was_replaced_or_changes_is_noticed(score, unigram, tokenizer, events, tmp_path):
    folder = score(unigram).job.folder
    shutil.rmtree(folder / "model")
    UnigramDetector(tokenizer, smoothing=3.0).fit(events[events.multiplicity > 0]).save(folder / "model")
    with pytest.raises(evtok.errors.ArtefactError, match="model: not the model of this job"):
        score(unigram)
    changing = BatchSensitive()

    def meddle(event):
        changing.infinite = 1e8

    with pytest.raises(JobError, match="the detector changed while the job was running"):
        score(changing, "changing.parquet", progress=meddle)


def test_what_cannot_begin(score, unigram, tokenizer, tmp_path):
    with pytest.raises(JobError, match="not fitted"):
        score(UnigramDetector(tokenizer))
    with pytest.raises(JobError, match=r"output: expected a file name of letters"):
        score(unigram, "my scores.parquet")
    with pytest.raises(FingerprintError):
        unigram.score(evtok.Tokens(np.array([1], np.int32), [0, 1], fingerprint="f" * 64, vocab_size=1202))
    assert not list(tmp_path.glob("*.parts"))


# ---- proving ------------------------------------------------------------------------------------------------


def test_p37_verify_finds_flips_in_the_file_and_its_parts(score, unigram):
    report = score(unigram)
    assert evtok.verify(report.output).ok
    rng = np.random.default_rng(37)
    parts = [p for p in report.job.folder.rglob("*") if p.is_file() and p.suffix in (".arrow", ".json")]
    files = [
        report.output,
        *(p for p in parts if p.name != "job.json"),
    ]  # the report is for people, and proves nothing
    for path in files:
        data = path.read_bytes()
        for _ in range(6):
            flipped = bytearray(data)
            flipped[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            path.write_bytes(flipped)
            assert not evtok.verify(report.output).ok, path
        path.write_bytes(data)
    proven = evtok.verify(report.output)
    assert (proven.ok, proven.events, proven.quarantined) == (
        True,
        report.counts.written,
        report.counts.quarantined,
    )


def test_a_file_alone_proves_itself(score, unigram, tmp_path):
    report = score(unigram)
    alone = shutil.copy(report.output, tmp_path / "alone.parquet")
    found = evtok.verify(alone)
    assert (found.ok, found.events) == (True, report.counts.written)
    alone.write_bytes(b"PAR1")
    assert not evtok.verify(alone).ok


def test_a_merged_file_of_other_parts_is_noticed(score, unigram):
    one, other = score(unigram), score(BatchSensitive(), "other.parquet")
    shutil.copy(other.output, one.output)
    record = other.job.folder / "merged.json"
    text = json.loads(record.read_text())
    from evtok.jobs.documents import seal

    text.pop("checksum")
    (one.job.folder / "merged.json").write_bytes(seal({**text, "name": "scores.parquet"}))
    assert [line for line in evtok.verify(one.output).problems if "was merged from other parts" in line]
