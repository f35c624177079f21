"""Resuming: shards of two inputs are never mixed, and what changes an input is noticed."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest

import evtok
from evtok.errors import JobError
from evtok.jobs.inputs import stamp


class Stop(Exception):
    """A job that dies."""


def stop_at(event, name=None):
    def listener(told):
        if told["event"] == event and name in (None, told.get("name")):
            raise Stop

    return listener


def test_p33_a_b_a_does_not_mix_two_inputs(write, tmp_path, tokenizer, jets_schema, shas):
    """A stops at its start, B (other content, same size) after a shard; then A again must not keep it."""
    a, b = (write(tmp_path / f"{name}.parquet", 300, seed) for name, seed in (("a", 1), ("b", 2)))
    size = max(a.stat().st_size, b.stat().st_size) + 64
    for path in (a, b):
        data = path.read_bytes()  # padding before the footer: Parquet finds it from the end
        footer = int.from_bytes(data[-8:-4], "little") + 8
        path.write_bytes(data[:-footer] + b"\0" * (size - len(data)) + data[-footer:])

    def job(path, output, **options):
        return evtok.tokenize_files(
            [path], tokenizer, tmp_path / output, schema=jets_schema, events_per_shard=100, **options
        )

    expected = {path: shas(job(path, f"whole-{path.stem}").folder) for path in (a, b)}
    assert expected[a] != expected[b]
    with pytest.raises(Stop):
        job(a, "out", progress=stop_at("start"))
    with pytest.raises(Stop):
        job(b, "out", progress=stop_at("shard", "shard-000000.arrow"))
    with pytest.raises(JobError, match="other bytes than were recorded"):
        job(a, "out")
    assert job(b, "out").proven == 1
    assert shas(tmp_path / "out") == expected[b]


def test_the_folder_of_another_job_is_refused_before_anything_is_written(
    inputs, tokenizer, jets_schema, tmp_path
):
    options = {"schema": jets_schema, "events_per_shard": 3000}
    folder = evtok.tokenize_files(inputs, tokenizer, tmp_path / "out", **options).folder
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for bad in (inputs[:1], inputs[::-1]):
        with pytest.raises(JobError, match="other ingredients"):
            evtok.tokenize_files(bad, tokenizer, folder, **options)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_records_name_their_source_without_a_path_of_the_machine(inputs, tokenizer, jets_schema, tmp_path):
    folder = evtok.tokenize_files(inputs, tokenizer, tmp_path / "out", schema=jets_schema).folder
    sources = []
    for path in sorted(folder.glob("shard-*.json")):
        assert str(tmp_path) not in path.read_text()
        sources.append(json.loads(path.read_text())["source"])
    assert len(set(sources)) == 2
    assert all(len(source) == 64 for source in sources)


def test_p33_another_machine_goes_on_where_the_first_one_stopped(
    inputs, tokenizer, jets_schema, tmp_path, monkeypatch, shas
):
    """It numbers devices and inodes of the shared folder in its own way."""

    def job(output, **options):
        return evtok.tokenize_files(
            inputs, tokenizer, tmp_path / output, schema=jets_schema, events_per_shard=2000, **options
        )

    first = job("out")
    real = os.stat

    def elsewhere(*arguments, **options):
        state = real(*arguments, **options)
        ns = {name: getattr(state, name) for name in dir(state) if name.startswith("st_")}
        return SimpleNamespace(**ns | {"st_dev": state.st_dev + 7, "st_ino": state.st_ino + 1000})

    monkeypatch.setattr("evtok.jobs.inputs.os", SimpleNamespace(stat=elsewhere))
    assert stamp(str(inputs[0])).split(":")[1] != str(inputs[0].stat().st_dev)
    assert job("out").proven == first.shards == 4
    assert job("new", reuse=tmp_path / "out").proven == 4
    assert shas(tmp_path / "new") == shas(tmp_path / "out")


def test_file_urls_are_known_as_local_files_are(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x\n1\n")
    first = stamp(f"file://{path}")
    assert first == stamp(str(path)) != ""
    os.utime(path, ns=(1, 1))
    state = path.stat()
    path.write_text("x\n2\n")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert stamp(f"file://{path}") not in (first, "")


@pytest.mark.parametrize(
    ("info", "known"),
    [({"mtime": 5}, False), ({"LastModified": "x"}, False), ({"ETag": None}, False), ({"ETag": "t"}, True),
     ({"generation": 7, "mtime": 5}, True)],
)  # fmt: skip
def test_of_a_server_only_tags_of_the_content_count(monkeypatch, info, known):
    fsspec = pytest.importorskip("fsspec")

    class Server:
        def info(self, name):
            return {"name": name, "size": 3, **info}

    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url: (Server(), "a"))
    first = stamp("https://server/a.csv")
    assert bool(first) is known
    info["mtime"] = 6
    assert stamp("https://server/a.csv") == first


def test_a_file_that_is_replaced_while_the_job_is_planned_is_not_recorded_as_the_new_one(
    job, inputs, jets_schema, tmp_path, monkeypatch
):
    """What was opened is read on; the record must not say that it was what took its place."""
    from evtok.jobs import opening

    real = opening._open

    def then_replaced(*arguments):
        found = real(*arguments)
        other = tmp_path / "other.parquet"
        other.write_bytes(inputs[0].read_bytes())
        other.replace(inputs[0])
        return found

    monkeypatch.setattr(opening, "_open", then_replaced)
    with pytest.raises(JobError, match="changed"):
        job(files=inputs[:1])
