"""Documents that are sealed and yet not of evtok: a `ShardError` that says so, at once, and no file elsewhere."""

from __future__ import annotations

import copy
import json
import random
import shutil

import pytest

import evtok
from evtok.errors import EvtokError, JobError, ShardError
from evtok.jobs.documents import CHECKSUM, seal
from evtok.jobs.durable import OutputFolder
from evtok.jobs.manifest import Manifest
from evtok.jobs.record import ShardRecord

STRANGE = [None, True, -1, 0, 1, 2**62, 2**63, 2**200, 0.5, 1e308, "", "x", "../x", "a\0b", "\ud800", "nan", [], {},
           [[]], [1, 2], {"a": 1}, "0" * 64, [["entry", "O"]]]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write, tokenizer, jets_schema):
    base = tmp_path_factory.mktemp("hostile")
    files = [write(base / "a.parquet", 250, 1, nan=(3,)), write(base / "b.parquet", 70, 2)]
    evtok.tokenize_files(
        files, tokenizer, base / "out", schema=jets_schema, events_per_shard=100, allow_quarantine=True
    )
    return base / "out"


def _content(path):
    content = json.loads(path.read_text())
    del content[CHECKSUM]
    return content


def _places(value, path=()):
    """Yield the path of every value in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield (*path, key)
        yield from _places(below, (*path, key))


def _mutate(content, rng):
    changed = copy.deepcopy(content)
    place = rng.choice(list(_places(changed)))
    holder = changed
    for key in place[:-1]:
        holder = holder[key]
    what = rng.randrange(8)
    if what == 0:
        del holder[place[-1]]
    elif what == 1 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[place[-1]]))
    elif what == 2 and type(holder[place[-1]]) is int:
        holder[place[-1]] += rng.choice([-1, 1])
    else:
        holder[place[-1]] = rng.choice(STRANGE)
    return changed


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["manifest.json", "shard-000000.json"])
def test_p45_p48_strange_values_are_refused_with_a_typed_error(folder, tmp_path, name, seed):
    rng = random.Random(seed)
    target = tmp_path / "copy"
    shutil.copytree(folder, target)
    content = _content(folder / name)
    refused = 0
    for _ in range(60):
        (target / name).write_bytes(seal(_mutate(content, rng)))
        refused += not evtok.verify(target).ok
        try:
            dataset = evtok.TokenDataset(target)
            for i in range(0, min(len(dataset), 1000), 50):
                _ = dataset[i], dataset.file_of(i)
        except EvtokError:
            pass
    assert refused > 40  # the others change what nobody can check, such as the path of an input


def _edited(path, *places):
    content = _content(path)
    for *way, key, value in places:
        holder = content
        for step in way:
            holder = holder[step]
        holder[key] = value
    return seal(content)


@pytest.mark.parametrize(
    "edit",
    [
        ("plan", "events_per_shard", 0),
        ("plan", "events_per_shard", 1.5),
        ("plan", "events_per_shard", True),
        ("plan", "container", "../arrow"),
        ("plan", "columns", [["entry", "object"]]),
        ("plan", "columns", [["entry", "int64"], ["tokens", "int64"]]),
        ("plan", "vocab_size", -1),
        ("plan", "inputs", 0, "n_events", -1),
        ("plan", "inputs", 0, "n_events", 10**18),
        ("complete", "yes"),
        ("shards", 0, 0, "../../x.arrow"),
        ("shards", 0, 1, 99),
        ("shards", []),
        ("files", []),
        ("totals", "read", -1),
    ],
)
def test_manifests_that_no_job_writes(folder, edit):
    with pytest.raises(ShardError, match="m"):
        Manifest.from_bytes(_edited(folder / "manifest.json", edit), "manifest")


@pytest.mark.parametrize(
    "edit",
    [("index", -1), ("size", 1.0), ("sha256", "x"), ("counts", "weight_read", "1.5"), ("batches", [[1, 2]]),
     ("batches", 0, 2, 8), ("batches", 0, 0, 5), ("end", "size", -1), ("name", None)],
)  # fmt: skip
def test_records_that_no_job_writes(folder, edit):
    with pytest.raises(ShardError, match="record"):
        ShardRecord.from_bytes(_edited(folder / "shard-000000.json", edit), "record")


def test_p48_an_unfinished_manifest_of_a_vast_plan_costs_nothing(folder, tmp_path):
    target = tmp_path / "copy"
    shutil.copytree(folder, target)
    edits = [("complete", False), ("shards", []), ("files", [])]
    edits += [("plan", "inputs", 0, "n_events", 10**18), ("plan", "events_per_shard", 1)]
    (target / "manifest.json").write_bytes(_edited(folder / "manifest.json", *edits))
    assert not evtok.verify(target).ok
    with pytest.raises(ShardError, match="not finished"):
        evtok.TokenDataset(target)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "", "a\0b", "x" * 256])
def test_p45_names_that_lead_out_are_not_opened(tmp_path, name):
    (tmp_path / "x").write_text("prey")
    with OutputFolder(tmp_path / "f") as folder, pytest.raises(ShardError, match="not a name"):
        folder.open(name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"events_per_shard": 2.5}, "events_per_shard: expected an integer, got 2.5"),
        ({"events_per_shard": "10"}, "events_per_shard: expected an integer"),
        ({"keep": ["label", "label"]}, "keep: 'label' is there twice"),
        ({"keep": ["entry"]}, "keep: 'entry' is a column of every shard"),
        ({"keep": [1]}, "keep: expected names of fields, got 1"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    inputs, tokenizer, jets_schema, tmp_path, options, message
):
    with pytest.raises(JobError, match=message):
        evtok.tokenize_files(inputs, tokenizer, tmp_path / "out", schema=jets_schema, **options)
    assert not (tmp_path / "out").exists()


def test_one_name_to_keep_and_indices(inputs, tokenizer, jets_schema, tmp_path):
    evtok.tokenize_files(inputs, tokenizer, tmp_path / "out", schema=jets_schema, keep="label")
    dataset = evtok.TokenDataset(tmp_path / "out")
    assert dataset.fields == ("entry", "label")
    with pytest.raises(TypeError, match=r"expected an int or a slice, got 1\.7"):
        _ = dataset[1.7]
    for i in (-1, 6234):
        with pytest.raises(IndexError, match=rf"event {i}: expected 0 to 6233"):
            dataset.file_of(i)


def test_p35_quarantine_that_was_not_allowed_is_what_both_readers_say(
    write, tokenizer, jets_schema, tmp_path
):
    path = write(tmp_path / "a.parquet", 100, 1, nan=(5,))
    with pytest.raises(JobError, match="in quarantine"):
        evtok.tokenize_files([path], tokenizer, tmp_path / "out", schema=jets_schema)
    advice = "1 of 100 events.*run again with --allow-quarantine"
    with pytest.raises(ShardError, match=advice):
        evtok.TokenDataset(tmp_path / "out")
    (problem,) = evtok.verify(tmp_path / "out").problems
    assert "run again with --allow-quarantine" in problem
