"""Jobs with a `CodebookTokenizer`: shards, resume, quarantine, accounts, and shards of another codebook."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import evtok
from evtok.errors import ArtefactError, FingerprintError, InvalidEventsError, JobError
from evtok.jobs import reading
from evtok.tokenizers import CodebookTokenizer, NumericFeature

FEATURES = {"pt": NumericFeature("pt", "log"), "eta": NumericFeature("eta", above=-3, below=3)}


@pytest.fixture(scope="session")
def codes():
    rng = np.random.default_rng(9)
    return np.stack([rng.normal(3.5, 1.2, 300), rng.normal(0, 1.2, 300)], axis=1).astype(np.float32)


@pytest.fixture
def codebook_tokenizer(codes):
    """Start and stop tokens as OmniJet's, and limits that cut some jets."""
    return CodebookTokenizer(
        FEATURES, codes, specials=("bos",), specials_high=("eos",), sequence=("bos", "objects", "eos")
    )


@pytest.mark.parametrize("container", ["arrow", "parquet"])
def test_shards_hold_what_encode_gives(inputs, codebook_tokenizer, jets_schema, tmp_path, container):
    out = tmp_path / "out"
    told = []
    report = evtok.tokenize_files(
        inputs,
        codebook_tokenizer,
        out,
        schema=jets_schema,
        events_per_shard=2000,
        format=container,
        progress=told.append,
    )
    events = evtok.Events.concatenate(list(evtok.open_events(inputs, jets_schema)))
    expected = codebook_tokenizer.encode(events)
    assert expected.report.cut_objects > 0
    assert report.counts.cut_objects == expected.report.cut_objects == told[-1]["cut_objects"]
    assert sum(e["cut_objects"] for e in told if e["event"] == "shard") == expected.report.cut_objects
    assert f"{expected.report.cut_objects} objects outside the limits" in report.warning
    assert (
        json.loads((out / "manifest.json").read_text())["totals"]["cut_objects"]
        == expected.report.cut_objects
    )
    assert evtok.verify(out).ok
    dataset = evtok.TokenDataset(out)
    assert (dataset.vocab_size, dataset.pad_id, len(dataset)) == (302, -1, 6234)
    assert all(np.array_equal(dataset[i], expected[i]) for i in range(0, 6234, 37))
    assert dataset[:].ids.tolist() == expected.ids.tolist()
    decoded = dataset.tokenizer.decode(dataset[10:20])
    assert list(decoded.columns) == ["pt", "eta"]


def test_p33_resume_writes_the_same_bytes(
    inputs, codebook_tokenizer, jets_schema, tmp_path, shas, monkeypatch
):
    def work(name, **options):
        evtok.tokenize_files(
            inputs, codebook_tokenizer, tmp_path / name, schema=jets_schema, events_per_shard=1000, **options
        )
        return shas(tmp_path / name)

    expected = work("whole")
    shards = 0

    def stop(event):
        nonlocal shards
        shards += event["event"] == "shard"
        if shards == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work("again", progress=stop)
    assert 3 <= len(shas(tmp_path / "again")) < len(expected)
    (tmp_path / "again" / "shard-000001.arrow").write_bytes(b"torn")
    monkeypatch.setattr(reading, "FIRST_CHUNK", 37)  # other chunks, and another number of threads
    assert work("again", threads=1) == expected


def test_p35_invalid_objects_put_their_event_into_quarantine(
    write, codebook_tokenizer, jets_schema, tmp_path
):
    path = write(tmp_path / "nan.parquet", 500, 3, nan=(7, 300))
    out = tmp_path / "out"
    with pytest.raises(JobError, match="2 of 500 events are in quarantine"):
        evtok.tokenize_files([path], codebook_tokenizer, out, schema=jets_schema)
    report = evtok.tokenize_files([path], codebook_tokenizer, out, schema=jets_schema, allow_quarantine=True)
    assert (report.counts.written, report.counts.quarantined) == (498, 2)
    lines = [
        json.loads(line) for line in (out / "quarantine" / "shard-000000.jsonl").read_text().splitlines()
    ]
    assert [line["entry"] for line in lines] == [7, 300]
    assert "pt: column 'pt' = nan is not finite" in lines[0]["reason"]
    found = evtok.verify(out)
    assert (found.ok, found.events, found.quarantined) == (True, 498, 2)
    assert 7 not in evtok.TokenDataset(out).field("entry")


def test_p10_p33_another_codebook_is_refused(inputs, codebook_tokenizer, codes, jets_schema, tmp_path):
    out = tmp_path / "out"
    evtok.tokenize_files(inputs, codebook_tokenizer, out, schema=jets_schema, events_per_shard=3000)
    changed = codes.copy()
    changed[5, 0] = np.nextafter(changed[5, 0], np.float32(99))
    other = CodebookTokenizer(
        FEATURES, changed, specials=("bos",), specials_high=("eos",), sequence=("bos", "objects", "eos")
    )
    with pytest.raises(FingerprintError, match="made by tokenizer"):
        other.decode(evtok.TokenDataset(out)[:5])
    with pytest.raises(JobError, match="Changed: fingerprint"):
        evtok.tokenize_files(inputs, other, out, schema=jets_schema, events_per_shard=3000)
    shutil.rmtree(out / "tokenizer")
    other.save(out / "tokenizer")
    with pytest.raises(FingerprintError, match="the shards were written with the tokenizer"):
        evtok.TokenDataset(out)
    assert not evtok.verify(out).ok
    with pytest.raises(ArtefactError, match="not the tokenizer of this job"):
        evtok.tokenize_files(inputs, codebook_tokenizer, out, schema=jets_schema, events_per_shard=3000)


def test_records_without_cut_objects_are_those_of_evtok_0_1_0(inputs, tokenizer, jets_schema, tmp_path):
    out = tmp_path / "out"
    evtok.tokenize_files(inputs, tokenizer, out, schema=jets_schema, events_per_shard=3000)
    for path in sorted(out.glob("*.json")):
        assert "cut_objects" not in path.read_text()


@pytest.mark.data
def test_real_jets_become_omnijet_tokens(test_data, tmp_path):
    path = test_data / "real" / "jets" / "jetclass_vectors.npy"
    with evtok.open_events(path) as source:
        tokenizer = CodebookTokenizer.preset("omnijet", n_codes=64, max_iterations=3).fit(source)
        events = evtok.Events.concatenate(list(source))
    report = evtok.tokenize_files(path, tokenizer, tmp_path / "out", events_per_shard=700)
    assert report.counts.cut_objects == tokenizer.encode(events).report.cut_objects > 0
    assert evtok.verify(tmp_path / "out").ok
    dataset = evtok.TokenDataset(tmp_path / "out")
    inside = (np.abs(events.columns["etarel"]) < 0.8) & (np.abs(events.columns["phirel"]) < 0.8)
    counts = np.add.reduceat(np.r_[inside, False], events.offsets[:-1]) * (events.multiplicity > 0)
    assert [len(ids) for ids in dataset] == (counts + 2).tolist()
    assert all(ids[0] == 0 and ids[-1] == 65 for ids in dataset)


@pytest.mark.data
def test_real_dark_machines_events_become_tokens(test_data, tmp_path):
    path = next((test_data / "real" / "darkmachines").glob("*.csv"))
    with evtok.open_events(path) as source:
        from evtok.tokenizers import codebook_presets

        first = source.read(0, 0, 1)
        tokenizer = codebook_presets.for_events(first, 128, max_iterations=5).fit(source)
    evtok.tokenize_files(path, tokenizer, tmp_path / "out", events_per_shard=2000)
    assert evtok.verify(tmp_path / "out").ok
    dataset = evtok.TokenDataset(tmp_path / "out")
    decoded = dataset.tokenizer.decode(dataset[:])
    assert (len(decoded), decoded.types) == (6399, first.types)


def test_a_report_about_bins_refuses_tokens_of_a_codebook(inputs, codebook_tokenizer, jets_schema, tmp_path):
    for package in ("matplotlib", "mplhep", "hist"):
        pytest.importorskip(package)
    from evtok.report import token_report

    evtok.tokenize_files(inputs, codebook_tokenizer, tmp_path / "out", schema=jets_schema)
    with pytest.raises(InvalidEventsError, match="tokens of a CodebookTokenizer; this page is about bins"):
        token_report(tmp_path / "out", tmp_path / "page.html", schema=jets_schema)
    assert not (tmp_path / "page.html").exists()
