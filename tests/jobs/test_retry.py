"""Quarantine is tried again: in the same folder what could not be read, in a new one what was mended."""

from __future__ import annotations

import json
import shutil

import pytest

import evtok
from evtok.cli import retry as cli_retry
from evtok.errors import InputFileError, JobError
from evtok.io import EventSource
from evtok.jobs.again import retry
from evtok.jobs.status import status


@pytest.fixture
def files(tmp_path, write):
    """Three files: whole, cut short, with two events that are no numbers."""
    folder = tmp_path / "in"
    folder.mkdir()
    whole = write(folder / "a.parquet", 5000, 1)
    cut = write(folder / "b.parquet", 3000, 2)
    cut.with_suffix(".whole").write_bytes(cut.read_bytes())
    cut.write_bytes(cut.read_bytes()[:4000])
    return [whole, cut, write(folder / "c.parquet", 1500, 3, nan=(7, 1200))]


@pytest.fixture
def job(files, tokenizer, jets_schema, tmp_path):
    def run_it(name, inputs=files, **options):
        settings = {"schema": jets_schema, "events_per_shard": 2000, "allow_quarantine": True, **options}
        return evtok.tokenize_files(inputs, tokenizer, tmp_path / name, **settings)

    return run_it


def hashes(folder):
    """Of all that a reader uses: shards, records and manifest."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name.startswith(("shard-", "mani"))}


def test_a_range_that_could_not_be_read_is_tried_again(job, files, monkeypatch, tmp_path, jets_schema):
    expected = job("undisturbed", files[:1])
    real = EventSource.iter_records

    def lost(self, file, start=0, stop=None, *rest):
        if start == 2000:
            raise InputFileError("the connection was lost")
        return real(self, file, start, stop, *rest)

    monkeypatch.setattr(EventSource, "iter_records", lost)
    assert job("out", files[:1]).counts.quarantined == 2000
    monkeypatch.undo()
    report = retry(tmp_path / "out", schema=jets_schema)
    assert (report.proven, report.shards, report.counts.quarantined) == (2, 3, 0)
    assert hashes(tmp_path / "out") == hashes(expected.folder)
    assert list((tmp_path / "out" / "quarantine").iterdir()) == []
    assert evtok.verify(tmp_path / "out").ok


def test_a_mended_input_is_refused_in_its_folder(job, files, tmp_path, jets_schema):
    folder = job("out").folder
    before = hashes(folder)
    shutil.copyfile(files[1].with_suffix(".whole"), files[1])
    with pytest.raises(JobError, match="Changed: input"):
        retry(folder, schema=jets_schema, allow_quarantine=True)
    assert hashes(folder) == before


def test_a_mended_input_makes_a_new_folder_that_is_as_if_made_from_nothing(
    job, files, tmp_path, jets_schema, write
):
    old = job("old").folder
    before = hashes(old)
    shutil.copyfile(files[1].with_suffix(".whole"), files[1])
    write(files[2], 1500, 3)
    report = retry(old, tmp_path / "new", schema=jets_schema)
    assert report.counts.quarantined == 0
    assert (report.shards, report.proven) == (6, 3)  # those of a.parquet
    # In the order of the old plan, in which files that cannot be opened come last.
    nothing = job("nothing", [files[0], files[2], files[1]])
    assert hashes(tmp_path / "new") == hashes(nothing.folder)
    assert evtok.verify(tmp_path / "new").ok
    assert hashes(old) == before
    assert (old / "shard-000000.arrow").stat().st_ino == (
        tmp_path / "new" / "shard-000000.arrow"
    ).stat().st_ino


def test_quarantine_that_stays_is_taken_over_with_its_shard(job, files, tmp_path, jets_schema):
    old = job("old").folder
    shutil.copyfile(files[1].with_suffix(".whole"), files[1])
    with pytest.raises(JobError, match="2 of 9500 events are in quarantine"):
        retry(old, tmp_path / "new", schema=jets_schema)
    report = retry(old, tmp_path / "new", schema=jets_schema, allow_quarantine=True)
    assert (report.proven, report.counts.quarantined) == (6, 2)
    assert evtok.verify(tmp_path / "new").ok


def test_files_are_added_to_a_data_set(job, files, tmp_path, write):
    old = job("old", files[:1]).folder
    more = write(tmp_path / "in" / "0.parquet", 900, 9)
    report = job("new", [more, files[0]], reuse=old)
    assert (report.shards, report.proven) == (4, 3)
    assert hashes(report.folder) == hashes(job("nothing", [more, files[0]]).folder)


@pytest.mark.parametrize("damage", ["shard", "record", "no record", "input touched"])
def test_what_is_not_proven_is_made_again(job, files, tmp_path, damage):
    old = job("old", files[:1]).folder
    expected = hashes(old)
    shard, record = old / "shard-000001.arrow", old / "shard-000001.json"
    if damage == "shard":
        data = bytearray(shard.read_bytes())
        data[len(data) // 2] ^= 1
        shard.unlink()
        shard.write_bytes(data)
    elif damage == "record":
        record.write_bytes(record.read_bytes().replace(b'"start": 2000', b'"start": 2001'))
    elif damage == "no record":
        record.unlink()
    else:
        files[0].write_bytes(files[0].read_bytes())
    report = job("new", files[:1], reuse=old)
    assert report.proven == (0 if damage == "input touched" else 2)
    found = hashes(report.folder)
    assert found.keys() == expected.keys()
    assert {n: b for n, b in found.items() if n.endswith("arrow")} == {
        n: b for n, b in expected.items() if n.endswith("arrow")
    }
    assert evtok.verify(report.folder).ok


def test_without_hard_links_shards_are_copied(job, files, tmp_path, monkeypatch):
    old = job("old", files[:1]).folder

    def no_links(*_, **__):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("evtok.jobs.generation.os.link", no_links)
    report = job("new", files[:1], reuse=old)
    assert report.proven == 3
    assert hashes(report.folder) == hashes(old)
    assert (old / "shard-000000.arrow").stat().st_ino != (report.folder / "shard-000000.arrow").stat().st_ino


def test_a_killed_take_over_goes_on(job, files, tmp_path, monkeypatch):
    """Wherever it stops, the folder is one that the job completes."""
    old = job("old", files[:1]).folder
    from evtok.jobs.durable import OutputFolder

    real, left = OutputFolder.write, 3

    def stop(self, name, data):
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        real(self, name, data)

    monkeypatch.setattr(OutputFolder, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        job("new", files[:1], reuse=old)
    monkeypatch.undo()
    assert job("new", files[:1], reuse=old).proven == 3
    assert hashes(tmp_path / "new") == hashes(old)


def test_other_ingredients_are_never_mixed(job, files, tmp_path, jets_schema):
    old = job("old", files[:1]).folder
    with pytest.raises(JobError, match="events_per_shard: was 2000, is 1000"):
        job("new", files[:1], reuse=old, events_per_shard=1000)
    with pytest.raises(JobError, match="cannot take its own shards over"):
        job("old", files[:1], reuse=old)
    with pytest.raises(JobError, match="there is no manifest"):
        job("new", files[:1], reuse=tmp_path / "in")


def test_scores_are_tried_again(tmp_path, files, jets_schema):
    from evtok.detectors import HBOS

    events = evtok.Events.concatenate(list(evtok.open_events(files[:1], jets_schema)))
    detector = HBOS(["count"]).fit(events)
    options = {"schema": jets_schema, "allow_quarantine": True, "events_per_shard": 2000}
    evtok.score_files(files, detector, tmp_path / "old.parquet", **options)
    shutil.copyfile(files[1].with_suffix(".whole"), files[1])
    report = retry(tmp_path / "old.parquet", tmp_path / "new.parquet", schema=jets_schema)
    assert (report.counts.written, report.proven) == (9500, 4)
    assert evtok.verify(tmp_path / "new.parquet").ok
    found = status(tmp_path / "new.parquet")
    assert (found.product, found.state, found.shards_done) == ("scores", "complete", 6)
    assert (tmp_path / "new.parquet.parts" / "job.html").exists()


def test_the_command(job, files, tmp_path, jets_schema, capsys):
    old = job("old").folder
    shutil.copyfile(files[1].with_suffix(".whole"), files[1])
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(jets_schema))
    cli_retry.retry_command(old, tmp_path / "new", schema=str(schema), allow_quarantine=True)
    assert "6 shards (4 proven from before), 9498 events, 2 events in quarantine" in capsys.readouterr().out
