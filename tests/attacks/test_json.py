"""P43, P44, P48: JSON and TOML that exhaust a parser, say things twice, or hold what JSON has not."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import evtok
from evtok.errors import EvtokError
from evtok.io import load_schema
from evtok.jobs.documents import unseal
from evtok.jobs.score_file import ScoreFacts
from evtok.report import samples
from evtok.report.of_scores import _require_replaceable
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform, load_tokenizer

HOSTILE = {
    "brackets": b"[" * 60_000,
    "objects": b'{"a":' * 12_000,
    "a vast integer": b'{"format_version": ' + b"9" * 60_000 + b"}",
    "a key twice": b'{"name": "a", "name": "b"}',
    "NaN": b'{"format": NaN}',
    "not a number of JSON": b'{"format": 1e}',
    "a number beyond float64": b'{"format": 1e999}',
    "half of a surrogate pair": b'{"format": "\\ud800"}',
    "Latin-1": '{"name": "é"}'.encode("latin1"),
    "two documents": b"{}{}",
    "nothing": b"",
    "a list": b"[]",
    "a class to make": b'{"_target_": "os.system", "command": "true"}',
    "a Python object of YAML": b"!!python/object/apply:os.system ['true']",
}


@pytest.fixture(autouse=True)
def _limit() -> Iterator[None]:
    """No text takes long."""
    signal.alarm(60)
    yield
    signal.alarm(0)


def _artefact(path: Path, data: bytes) -> None:
    BinnedTokenizer({"pt": Feature("pt", Uniform(4, 0, 1))}).save(path / "tok")
    (path / "tok" / "config.json").write_bytes(data)
    load_tokenizer(path / "tok")


def _schema(path: Path, data: bytes) -> None:
    (path / "schema.json").write_bytes(data)
    load_schema(path / "schema.json")


READERS: dict[str, Callable[[Path, bytes], object]] = {
    "an artefact": _artefact,
    "a schema": _schema,
    "a manifest or record": lambda path, data: unseal(data, "document"),
    "a file of scores": lambda path, data: ScoreFacts.from_bytes(data, "scores"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_p43_p48_hostile_json(tmp_path: Path, name: str, reader: str) -> None:
    with pytest.raises(EvtokError):
        READERS[reader](tmp_path, HOSTILE[name])


@pytest.mark.parametrize(
    "text",
    [
        b"a = " + b"[" * 60_000,
        b"a" + b".a" * 100_000 + b" = 1",  # a parser that takes the square of their number
        b"a = " + b"9" * 60_000,
        b"[a]\n[a]",
        b"\xff\xfe",
        b"x = nan",
    ],
)
def test_p48_hostile_toml(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "schema.toml").write_bytes(text)
    with pytest.raises(EvtokError):
        load_schema(tmp_path / "schema.toml")


@pytest.mark.parametrize("name", ["config.json", "tensors.safetensors", "schema.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_p45_what_is_no_file(tmp_path: Path, name: str, kind: str) -> None:
    """A pipe that nobody writes, a device without end: never waited for, never read."""
    folder = tmp_path / "tok"
    BinnedTokenizer({"pt": Feature("pt", Uniform(4, 0, 1))}).save(folder)
    path = folder / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(EvtokError):
        load_schema(path) if name == "schema.json" else load_tokenizer(folder)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_p45_pipes_and_devices_where_evtok_looks_before_it_reads_or_writes(tmp_path: Path, kind: str) -> None:
    """The manifest of a report that was begun, a file of scores, an artefact and a page to be replaced."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(
        pa.table({"Jet_pt": pa.array([[1.0], [3.0]], pa.list_(pa.float32()))}), tmp_path / "in.parquet"
    )
    schema = {
        "name": "jets",
        "formats": ["parquet"],
        "objects": [{"collection": "Jet", "columns": {"pt": "pt"}}],
    }
    tokenizer = BinnedTokenizer({"pt": Feature("pt", Uniform(4, 0, 5))})
    evtok.tokenize_files(tmp_path / "in.parquet", tokenizer, tmp_path / "job", schema=schema)
    dataset = evtok.TokenDataset(tmp_path / "job")
    tokenizer.save(tmp_path / "tok")

    def plant(path: Path) -> Path:
        path.unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
        return path

    plant(tmp_path / "job" / "manifest.json")
    with pytest.raises(EvtokError, match=r"manifest\.json"):
        samples._read_job(dataset, {}, schema, 10, 1)
    for read in (evtok.TokenDataset, evtok.verify):
        try:
            found = read(tmp_path / "job")
        except EvtokError:
            continue
        assert not found.ok
    with pytest.raises(EvtokError, match="expected a regular file"):
        evtok.Scores.read(plant(tmp_path / "scores.parquet"))
    plant(tmp_path / "tok" / "config.json")
    with pytest.raises(EvtokError, match="not an evtok artefact"):
        tokenizer.save(tmp_path / "tok")
    with pytest.raises(EvtokError, match="no regular file"):
        _require_replaceable(plant(tmp_path / "page.html"))
