"""What tokens do not say of the events is counted, and NaN and refused ranges are proven like the rest."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import evtok
from evtok.cli.app import app
from evtok.detectors import UnigramDetector
from evtok.detectors.object_inputs import ObjectInputs
from evtok.jobs import reading
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform
from evtok.tokenizers.codebook_features import NumericFeature


@pytest.fixture
def lossy():
    """A tokenizer that does not know jets above 100 GeV, and cuts events after 3 tokens."""
    return BinnedTokenizer(
        {
            "pt": Feature("pt", Uniform(40, 0, 100), outside="unknown"),
            "eta": Feature("eta", Uniform(30, -4, 4)),
        },
        specials=("pad", "unk"),
        max_length=3,
        too_long="truncate",
    )


def test_p35_unknown_and_truncated_objects_are_in_the_account(
    inputs, lossy, jets_schema, tmp_path, monkeypatch
):
    events = evtok.Events.concatenate(list(evtok.open_events(inputs, jets_schema)))
    met = lossy.encode(events).report
    assert met is not None
    expected = (met.unknown + met.unknown_event_tokens, met.truncated_events, met.truncated_objects)
    assert all(expected)
    monkeypatch.setattr(reading, "FIRST_CHUNK", 37)
    told = []
    report = evtok.tokenize_files(
        inputs, lossy, tmp_path / "out", schema=jets_schema, events_per_shard=2000, progress=told.append
    )
    keys = ("unknown", "truncated_events", "truncated_objects")
    assert tuple(getattr(report.counts, key) for key in keys) == expected
    assert tuple(told[-1][key] for key in keys) == expected
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert tuple(manifest["totals"][key] for key in keys) == expected
    for k, key in enumerate(keys):
        assert sum(event[key] for event in told if event["event"] == "shard") == expected[k]
    assert f"{expected[0]} of {report.ids} tokens ({expected[0] / report.ids:.3%}) are unk" in report.warning
    assert f"{expected[1]} of 6234 events were cut, by {expected[2]} objects" in report.warning
    assert evtok.verify(tmp_path / "out").ok


def _losses(counts):
    return counts.unknown, counts.truncated_events, counts.truncated_objects, counts.cut_objects


def test_p35_jobs_of_scores_count_what_their_tokens_do_not_say(
    inputs, lossy, jets_schema, tmp_path, monkeypatch
):
    """Of the events that have a score: most of those without a jet have none, and are not in the sums."""
    for module in ("batch", "planning"):
        monkeypatch.setattr(f"evtok.jobs.{module}.EVENTS_PER_BATCH", 512)
    events = evtok.Events.concatenate(list(evtok.open_events(inputs, jets_schema)))
    event = int(np.argmax(events.multiplicity[:5000] > 3))  # gets an invalid jet beside unknown ones
    pt = events.columns["pt"].copy()
    pt[events.offsets[event] : events.offsets[event + 1]] = 1000
    pt[events.offsets[event]] = np.nan
    table = pq.read_table(inputs[0])
    lists = pa.LargeListArray.from_arrays(
        pa.array(events.offsets[:5001]), pa.array(pt[: events.offsets[5000]])
    )
    pq.write_table(table.set_column(table.column_names.index("Jet_pt"), "Jet_pt", lists), inputs[0])
    events = evtok.Events.concatenate(list(evtok.open_events(inputs, jets_schema)))
    scored = events[(events.multiplicity > 0) & (np.arange(len(events)) != event)]
    met = lossy.encode(scored).report
    expected = (met.unknown, met.truncated_events, met.truncated_objects, 0)
    assert all(expected[:3])
    everything = lossy.encode(events, on_invalid="sentinel").report
    assert everything.unknown > expected[0]  # so that it would show if those in quarantine were counted
    detector = UnigramDetector(lossy).fit(scored)
    told = []
    report = evtok.score_files(
        inputs,
        detector,
        tmp_path / "s.parquet",
        schema=jets_schema,
        events_per_shard=2000,
        allow_quarantine=True,
        progress=told.append,
    )
    assert report.counts.written == len(scored)
    assert _losses(report.counts) == expected
    assert _losses(evtok.Scores.read(report.output).counts) == expected
    parts = tmp_path / "s.parquet.parts"
    manifest = json.loads((parts / "manifest.json").read_text())
    records = [json.loads(path.read_text())["counts"] for path in sorted(parts.glob("shard-*.json"))]
    page = json.loads((parts / "job.json").read_text())
    for k, key in enumerate(("unknown", "truncated_events", "truncated_objects")):
        assert manifest["totals"][key] == page["account"][key] == expected[k]
        assert sum(record[key] for record in records) == expected[k]
        assert sum(event[key] for event in told if event["event"] == "shard") == expected[k]
    assert "What the scores do not say" in (parts / "job.html").read_text()
    warning = report.job.warning
    assert f"{expected[0]} objects or values are unknown to the model (unk)" in warning
    assert f"{expected[1]} of {len(scored)} events were cut, by {expected[2]} objects" in warning


def test_p35_the_command_says_what_scores_do_not_say(inputs, lossy, jets_schema, tmp_path):
    events = evtok.Events.concatenate(list(evtok.open_events(inputs, jets_schema)))
    UnigramDetector(lossy).fit(events[events.multiplicity > 0]).save(tmp_path / "model")
    (tmp_path / "jets.toml").write_text(
        """name = "jets"\nformats = ["parquet"]\n[[objects]]\ncollection = "Jet"\n"""
        """columns = { pt = "pt", eta = "eta" }\n"""
    )
    output = tmp_path / "s.parquet"
    command = ["score", str(inputs[1]), "--model", str(tmp_path / "model"), "--output", str(output)]
    done = CliRunner().invoke(app, [*command, "--schema", str(tmp_path / "jets.toml"), "--allow-quarantine"])
    assert done.exit_code == 0, done.output
    unknown = evtok.Scores.read(output).counts.unknown
    assert unknown > 0
    assert f"evtok: warning: {unknown} objects or values are unknown to the model (unk)" in done.output


def test_p35_detectors_of_objects_count_cut_and_unknown_ones(inputs, jets_schema):
    """The same of what no token is made of."""
    events = evtok.Events.concatenate(list(evtok.open_events(inputs, jets_schema)))
    types = np.arange(events.n_objects, dtype=np.uint8) % 3
    typed = evtok.Events(events.offsets, {**events.columns, "type": types}, types=("j", "b", "m"))
    cut = ObjectInputs({"pt": NumericFeature("pt", below=50)}, types=("j", "b"))
    given, met = cut.met(typed)
    assert given is typed
    outside = events.columns["pt"] >= 50
    assert met.cut_objects + met.unknown == (outside | (types == 2)).sum()
    assert met.cut_objects >= (outside & (types != 2)).sum() > 0
    assert met.unknown >= (~outside & (types == 2)).sum() > 0
    whole, part = cut.met(typed[:100])[1], cut.met(typed[100:])[1]
    assert (whole.unknown + part.unknown, whole.cut_objects + part.cut_objects) == (
        met.unknown,
        met.cut_objects,
    )


def test_nothing_lost_is_nothing_to_warn_of(inputs, tokenizer, jets_schema, tmp_path):
    assert evtok.tokenize_files(inputs, tokenizer, tmp_path / "out", schema=jets_schema).warning == ""


def test_nan_weights_are_proven(inputs, tokenizer, jets_schema, tmp_path):
    table = pq.read_table(inputs[1])
    weights = table["weight"].to_numpy().copy()
    weights[3] = np.nan
    pq.write_table(
        table.set_column(table.column_names.index("weight"), "weight", pa.array(weights)), inputs[1]
    )
    report = evtok.tokenize_files(inputs, tokenizer, tmp_path / "out", schema=jets_schema)
    assert np.isnan(report.counts.weight_read)
    assert evtok.verify(tmp_path / "out").problems == []


@pytest.mark.parametrize("damage", ["altered", "gone"])
def test_the_quarantine_of_a_refused_range_is_proven(inputs, tokenizer, jets_schema, tmp_path, damage):
    data = bytearray(inputs[0].read_bytes())
    begin = pq.ParquetFile(inputs[0]).metadata.row_group(3).column(0).data_page_offset
    data[begin : begin + 400] = b"\xff" * 400
    inputs[0].write_bytes(data)
    out = tmp_path / "out"
    evtok.tokenize_files(
        inputs, tokenizer, out, schema=jets_schema, events_per_shard=1000, allow_quarantine=True
    )
    found = evtok.verify(out)
    assert found.ok
    assert found.quarantined == 1000
    path = out / "quarantine" / "shard-000002.jsonl"
    if damage == "gone":
        path.unlink()
    else:
        path.write_text(path.read_text().replace('"start": 2000', '"start": 2001'))
    assert [p for p in evtok.verify(out).problems if "shard-000002.jsonl: missing or altered" in p]
