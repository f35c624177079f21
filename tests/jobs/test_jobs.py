"""Jobs: what they write, what they refuse, and that every event is accounted for."""

from __future__ import annotations

import json
import os
import shutil
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import evtok
from evtok.errors import InputFileError, JobError
from evtok.jobs import batch, in_process, pipeline, reading
from evtok.jobs.durable import OutputFolder
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Batches of 512 events, so that small files have several."""
    for module in ("batch", "planning"):
        monkeypatch.setattr(f"evtok.jobs.{module}.EVENTS_PER_BATCH", 512)


@pytest.fixture
def job(inputs, tokenizer, jets_schema, tmp_path):
    """Run a job over `inputs`; keyword arguments override."""

    def run_it(name="out", **options):
        settings = {"schema": jets_schema, "events_per_shard": 2000, **options}
        files, tok = settings.pop("files", inputs), settings.pop("tokenizer", tokenizer)
        return evtok.tokenize_files(files, tok, tmp_path / name, **settings)

    return run_it


@pytest.mark.parametrize("container", ["arrow", "parquet"])
def test_tokens_are_those_of_encode(job, inputs, tokenizer, jets_schema, container):
    report = job(format=container)
    assert report.complete
    assert report.shards == 4  # 5000 = 2000 + 2000 + 1000 and 1234: no range spans two files
    dataset = evtok.TokenDataset(report.folder)
    events = evtok.Events.concatenate(list(evtok.open_events(inputs, jets_schema)))
    expected = tokenizer.encode(events, dtype=np.uint16)
    found = dataset[:]
    assert np.array_equal(found.ids, expected.ids)
    assert found.ids.dtype == np.uint16
    assert np.array_equal(found.offsets, expected.offsets)
    assert np.array_equal(dataset.field("weight"), events.fields["weight"])
    assert np.array_equal(dataset.field("entry"), np.concatenate([np.arange(5000), np.arange(1234)]))
    assert evtok.verify(report.folder).ok


@pytest.mark.parametrize("container", ["arrow", "parquet"])
def test_p41_bytes_do_not_depend_on_threads_chunks_or_place(
    job, inputs, shas, container, monkeypatch, tmp_path, jets_schema, tokenizer
):
    expected = shas(job(format=container).folder)
    assert len(expected) == 4
    for threads, chunk in [(1, 37), (2, 511), (7, 100_000)]:
        monkeypatch.setattr(reading, "FIRST_CHUNK", chunk)
        monkeypatch.setattr(reading, "LONGEST_CHUNK", chunk)
        monkeypatch.setattr(reading, "SHORTEST_CHUNK", 1)
        assert shas(job(f"out-{threads}", format=container, threads=threads).folder) == expected
    moved = tmp_path / "elsewhere"
    shutil.copytree(inputs[0].parent, moved)
    assert shas(job("out-moved", format=container, files=[moved / p.name for p in inputs]).folder) == expected


def test_arrow_and_parquet_hold_the_same_content(job):
    contents = []
    for container in ("arrow", "parquet"):
        folder = job(f"out-{container}", format=container).folder
        contents.append([json.loads(p.read_text())["content"] for p in sorted(folder.glob("shard-*.json"))])
    assert contents[0] == contents[1]


def test_shards_are_read_by_pyarrow_alone(job, tokenizer):
    folder = job().folder
    table = pa.ipc.open_file(folder / "shard-000003.arrow").read_all()
    assert table.num_rows == 1234
    assert table.schema.names == ["tokens", "entry", "label", "weight", "event"]
    assert table.schema.metadata[b"evtok.fingerprint"].decode() == tokenizer.fingerprint
    assert table.schema.field("tokens").type.value_type == pa.uint16()


def test_a_large_vocabulary_is_stored_as_int32(job):
    wide = BinnedTokenizer(
        {"pt": Feature("pt", Uniform(400, 0, 500)), "eta": Feature("eta", Uniform(300, -4, 4))}
    )
    assert wide.vocab_size > 65_536
    assert evtok.TokenDataset(job(tokenizer=wide).folder)[0].dtype == np.int32


# ---- resuming -----------------------------------------------------------------------------------------------


def test_p33_a_second_run_writes_nothing(job):
    folder = job().folder
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir() if p.name.startswith("shard")}
    assert job().proven == 4
    assert before == {p.name: p.stat().st_mtime_ns for p in folder.iterdir() if p.name.startswith("shard")}


@pytest.mark.parametrize("damage", ["shard", "record", "truncated", "gone", "no record"])
def test_p33_a_damaged_shard_is_written_again_and_is_the_same(job, shas, damage):
    folder = job().folder
    expected = shas(folder)
    shard, record = folder / "shard-000001.arrow", folder / "shard-000001.json"
    data = bytearray(shard.read_bytes())
    if damage == "shard":
        data[len(data) // 2] ^= 1
        shard.write_bytes(data)
    elif damage == "truncated":
        shard.write_bytes(data[:-1])
    elif damage == "gone":
        shard.unlink()
    elif damage == "record":
        record.write_text(record.read_text().replace('"start": 2000', '"start": 2001'))
    else:
        record.unlink()
    assert not evtok.verify(folder).ok
    assert job().proven == 3
    assert shas(folder) == expected
    assert evtok.verify(folder).ok


def test_p33_changed_content_with_the_same_size_and_mtime_is_refused(job, inputs, shas):
    """One weight changes, in an uncompressed file: neither its size nor its mtime tells."""
    table = pq.read_table(inputs[1])
    weights = table["weight"].to_numpy().copy()
    pq.write_table(table, inputs[1], compression="none", use_dictionary=False, write_statistics=False)
    folder = job().folder
    expected = shas(folder)
    before = inputs[1].stat()
    weights[1000] += 1
    changed = table.set_column(table.column_names.index("weight"), "weight", pa.array(weights))
    pq.write_table(changed, inputs[1], compression="none", use_dictionary=False, write_statistics=False)
    os.utime(inputs[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    after = inputs[1].stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(
        JobError, match=r"b\.parquet gives other bytes than were recorded: the input has changed"
    ):
        job()
    assert shas(folder) == expected


def test_p33_a_touched_input_is_compared_and_not_refused(job, inputs, shas):
    expected = shas(job().folder)
    inputs[0].touch()
    assert job().proven == 1  # the three shards of the touched file were written again, and are the same
    assert shas(job().folder) == expected
    assert job().proven == 4


@pytest.mark.parametrize(
    "change", ["tokenizer", "events_per_shard", "format", "keep", "inputs", "schema", "numerics"]
)
def test_p33_other_ingredients_are_refused_and_named(job, inputs, jets_schema, change, monkeypatch, shas):
    folder = job().folder
    expected = shas(folder)
    other = BinnedTokenizer(
        {"pt": Feature("pt", Uniform(41, 0, 500)), "eta": Feature("eta", Uniform(30, -4, 4))}
    )
    options = {
        "tokenizer": {"tokenizer": other},
        "events_per_shard": {"events_per_shard": 1999},
        "format": {"format": "parquet"},
        "keep": {"keep": ["label"]},
        "inputs": {"files": inputs[:1]},
        "schema": {"schema": {**jets_schema, "energy_unit": "MeV"}},
        "numerics": {},
    }[change]
    if change == "numerics":

        class Core:
            numerics_version, version = 999, evtok.__version__

        monkeypatch.setattr("evtok.jobs.planning._core", Core)
    name = {"tokenizer": "fingerprint", "format": "container", "keep": "columns"}.get(change, change)
    with pytest.raises(JobError, match=f"(?s)holds a job with other ingredients.*{name}"):
        job(**options)
    assert shas(folder) == expected


def test_an_input_that_changes_while_it_is_read_is_noticed(job, inputs, monkeypatch):
    real = pipeline.read_ahead

    def meddling(items):
        for item in real(items):
            os.utime(inputs[0])
            yield item

    monkeypatch.setattr(in_process, "read_ahead", meddling)
    with pytest.raises(JobError, match=r"a\.parquet: the file changed while it was read"):
        job()


def test_two_jobs_cannot_write_one_folder(job, tmp_path):
    with OutputFolder(tmp_path / "out") as held:
        held.lock()
        with pytest.raises(JobError, match="another job is writing this folder"):
            job()
    assert job().complete


def test_leftovers_of_dead_jobs_are_removed(job, tmp_path):
    job()
    stale = tmp_path / "out" / ".shard-000001.arrow.0123456789abcdef.tmp"
    stale.write_bytes(b"x")
    mine = tmp_path / "out" / ".notes.tmp"
    mine.write_bytes(b"x")
    job()
    assert not stale.exists()
    assert mine.exists()


def test_a_folder_of_unknown_shards_is_refused(job, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "shard-000000.arrow").write_bytes(b"whose?")
    with pytest.raises(JobError, match="no manifest"):
        job()


# ---- accounting and quarantine ------------------------------------------------------------------------------


def test_p35_refused_events_are_listed_counted_and_fail_the_job(
    write, tmp_path, tokenizer, jets_schema, inputs
):
    path = write(tmp_path / "in" / "bad.parquet", 1500, 3, nan=(0, 700, 701, 1499))
    out = tmp_path / "out"
    with pytest.raises(JobError, match=r"4 of 6500 events are in quarantine"):
        evtok.tokenize_files([inputs[0], path], tokenizer, out, schema=jets_schema, events_per_shard=1000)
    with pytest.raises(evtok.errors.ShardError, match="not finished"):
        evtok.TokenDataset(out)
    report = evtok.tokenize_files(
        [inputs[0], path], tokenizer, out, schema=jets_schema, events_per_shard=1000, allow_quarantine=True
    )
    assert report.proven == report.shards == 7
    assert (report.counts.read, report.counts.written, report.counts.quarantined) == (6500, 6496, 4)
    lines = [
        json.loads(s) for p in sorted((out / "quarantine").iterdir()) for s in p.read_text().splitlines()
    ]
    assert [line["entry"] for line in lines] == [0, 700, 701, 1499]
    assert all(line["file"] == str(path) and "pt" in line["reason"] for line in lines)
    dataset = evtok.TokenDataset(out)
    assert len(dataset) == 6496
    weights = pq.read_table(path)["weight"].to_numpy()
    assert report.counts.weight_read - report.counts.weight_written == pytest.approx(
        weights[[0, 700, 701, 1499]].sum()
    )
    assert list(np.setdiff1d(np.arange(1500), dataset.field("entry")[5000:])) == [0, 700, 701, 1499]
    assert evtok.verify(out).ok


def test_p35_an_unreadable_file_is_named_and_can_be_quarantined(inputs, tmp_path, tokenizer, jets_schema):
    broken = tmp_path / "in" / "broken.parquet"
    broken.write_bytes(inputs[1].read_bytes()[:-100])
    files = [inputs[0], broken, inputs[1]]
    with pytest.raises(InputFileError, match=r"broken\.parquet"):
        evtok.tokenize_files(files, tokenizer, tmp_path / "out", schema=jets_schema)
    report = evtok.tokenize_files(
        files, tokenizer, tmp_path / "out", schema=jets_schema, allow_quarantine=True
    )
    assert report.counts.written == 6234
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert "broken.parquet" in manifest["plan"]["inputs"][2]["unreadable"]


def test_p35_a_range_that_cannot_be_read_goes_to_quarantine(inputs, tmp_path, tokenizer, jets_schema):
    data = bytearray(inputs[0].read_bytes())
    begin = pq.ParquetFile(inputs[0]).metadata.row_group(3).column(0).data_page_offset
    data[begin : begin + 400] = b"\xff" * 400
    inputs[0].write_bytes(data)
    options = {"schema": jets_schema, "events_per_shard": 1000}
    with pytest.raises(InputFileError, match=r"a\.parquet"):
        evtok.tokenize_files(inputs, tokenizer, tmp_path / "out", **options)
    report = evtok.tokenize_files(inputs, tokenizer, tmp_path / "out", allow_quarantine=True, **options)
    assert [(lost.file, lost.start, lost.stop) for lost in report.refused] == [(0, 2000, 3000)]
    assert (report.counts.read, report.counts.written, report.counts.quarantined) == (6234, 5234, 1000)
    assert evtok.verify(tmp_path / "out").ok
    assert len(evtok.TokenDataset(tmp_path / "out")) == 5234


def test_p35_a_reader_that_loses_events_fails_the_job(job, monkeypatch):
    real = evtok.io.EventSource.iter_records

    def lossy(self, *arguments, **options):
        for events, bad in real(self, *arguments, **options):
            yield events[: len(events) - 1], bad

    monkeypatch.setattr(evtok.io.EventSource, "iter_records", lossy)
    with pytest.raises(JobError, match="the events do not add up"):
        job()


def test_files_without_events_are_no_shards(write, tmp_path, tokenizer, jets_schema, inputs):
    empty = write(tmp_path / "in" / "empty.parquet", 0, 5)
    report = evtok.tokenize_files([empty, inputs[1]], tokenizer, tmp_path / "out", schema=jets_schema)
    assert (report.shards, report.counts.written) == (1, 1234)
    assert evtok.verify(report.folder).ok


def test_fields_to_keep(job, write, tmp_path):
    assert evtok.TokenDataset(job("one", keep=["weight"]).folder).fields == ("entry", "weight")
    with pytest.raises(JobError, match=r"has no field 'nope'; it has"):
        job("two", keep=["nope"])
    bare = write(tmp_path / "in" / "bare.parquet", 100, 6, fields=False)
    with pytest.raises(JobError, match="keep"):
        job("three", files=[bare], keep=["weight"])


# ---- the rest -----------------------------------------------------------------------------------------------


def test_p45_links_at_output_paths_are_refused(job, tmp_path):
    out, prey = tmp_path / "out", tmp_path / "prey"
    prey.write_bytes(b"precious")
    out.mkdir()
    (out / "manifest.json").symlink_to(prey)
    with pytest.raises(evtok.errors.EvtokError, match=r"manifest\.json"):
        job()
    (out / "manifest.json").unlink()
    job()
    (out / "shard-000000.json").unlink()
    (out / "shard-000000.arrow").unlink()
    (out / "shard-000000.arrow").symlink_to(prey)
    with pytest.raises(JobError, match=r"shard-000000\.arrow: a link or a folder is in the way"):
        job()
    assert prey.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", "", ".hidden", "a\0b", "é", "x" * 256])
def test_p45_names_that_lead_out_are_refused(tmp_path, name):
    with OutputFolder(tmp_path / "f") as folder, pytest.raises(JobError, match="not a name"):
        folder.create(name)


def test_p42_events_of_a_job(job):
    told = []
    job(progress=told.append)
    assert [e["event"] for e in told if e["event"] != "progress"] == [
        "start",
        *["task", "shard"] * 4,
        "finish",
    ]
    done = [e["done_events"] for e in told if e["event"] == "progress"]
    assert done == sorted(done)
    assert done[-1] == 6234
    json.dumps(told)
    assert told[-1]["written"] == 6234


def test_the_reading_thread_ends_with_the_job(job, monkeypatch):
    monkeypatch.setattr(
        "evtok.jobs.task.ShardWriter.write", lambda *a: (_ for _ in ()).throw(JobError("stop"))
    )
    before = threading.active_count()
    with pytest.raises(JobError, match="stop"):
        job()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("fails", "there", "said"), [(1, False, "Nothing was left"), (2, True, "The file is there")]
)
def test_a_failed_fsync_says_what_is_there(tmp_path, monkeypatch, fails, there, said):
    calls, real = [], os.fsync

    def fsync(fd):
        calls.append(fd)
        if len(calls) == fails:
            raise OSError(5, "Input/output error")
        real(fd)

    monkeypatch.setattr("evtok.jobs.durable.os.fsync", fsync)
    with OutputFolder(tmp_path) as folder, pytest.raises(JobError, match=said):
        folder.write("a.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"] * there


def test_a_batch_above_int32_is_refused():
    with pytest.raises(JobError, match="more than the 2147483647"):
        batch.check_batch_size(2**31, "shard-000000")
