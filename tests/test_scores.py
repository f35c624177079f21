"""`Scores`: files that are not ours, hostile metadata, altered rows."""

from __future__ import annotations

import json
import random
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import evtok
from evtok import scores as evtok_scores
from evtok.errors import EvtokError, ShardError
from evtok.jobs.record import Counts
from evtok.jobs.score_file import KEY, Part, ScoredInput, ScoreFacts
from evtok.jobs.shard_format import ContentHash

STRANGE = [None, True, -1, 0, 2**62, 2**63, 2**200, 0.5, 1e308, "", "x", "a\0b", "\ud800", [], {}, [[]], [1, 2],
           {"a": 1}, "0" * 64, [["entry", "O"]]]  # fmt: skip


def _columns(n=70):
    rng = np.random.default_rng(0)
    return {
        "score": rng.random(n).astype(np.float32),
        "entry": np.arange(n, dtype=np.int64),
        "weight": rng.random(n),
    }


def _facts(columns):
    from evtok.jobs.batch import Batch

    names = (("score", "float32"), ("entry", "int64"), ("weight", "float64"))
    parts = []
    for k, (start, stop) in enumerate([(0, 50), (50, 70)]):
        content = ContentHash(names)
        content.update(Batch({name: values[start:stop] for name, values in columns.items()}))
        parts.append(Part(k, stop - start, content.hexdigest()))
    return ScoreFacts(
        model={"kind": "unigram", "fingerprint": "0" * 64, "folder": "model"},
        inputs=(ScoredInput("a.root", "Events", 50), ScoredInput("b.root", None, 20)),
        schema="1" * 64,
        counts=Counts(read=70, written=70),
        columns=names[1:],
        parts=tuple(parts),
        events_per_batch=16_384,
        run={
            "backend": "native",
            "torch": "",
            "events_per_call": 8192,
            "evtok": "0",
            "pyarrow": "1",
            "numerics": 1,
        },
    )


def _write(path, columns=None, metadata=None, files=None, drop=()):
    columns = columns or _columns()
    facts = _facts(_columns())
    data = {**columns, "file": pa.array(files or ["a.root"] * 50 + ["b.root"] * 20).dictionary_encode()}
    schema = facts.arrow_schema().with_metadata({KEY: facts.to_bytes() if metadata is None else metadata})
    table = pa.table([pa.array(data[name]) for name in schema.names], schema=schema)
    pq.write_table(table.drop_columns(list(drop)), path)
    return path


def test_what_was_written_is_read(tmp_path):
    found = evtok.Scores.read(_write(tmp_path / "s.parquet"))
    assert np.array_equal(found.score, _columns()["score"])
    assert np.array_equal(found.fields["weight"], _columns()["weight"])
    assert found.file_index.tolist() == [0] * 50 + [1] * 20
    assert found.facts == _facts(_columns())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"cannot read it: ENOENT"),
        (b"", "expected a file of scores"),
        (b"PAR1PAR1", "expected a file of scores"),
        (b"score,file\n1,a\n", "expected a file of scores"),
    ],
)
def test_files_that_are_none(tmp_path, content, said):
    path = tmp_path / "s.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ShardError, match=f"{path}.*{said}"):
        evtok.Scores.read(path)


def test_parquet_of_others(tmp_path):
    pq.write_table(pa.table({"score": [1.0]}), tmp_path / "s.parquet")
    with pytest.raises(ShardError, match="Parquet without its metadata"):
        evtok.Scores.read(tmp_path / "s.parquet")
    with pytest.raises(ShardError):
        evtok.Scores.read(tmp_path)


@pytest.mark.parametrize(
    "metadata",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"format": "evtok-scores"}',
        b'{"format": "x", "version": 1}',
        b'{"format": "evtok-scores", "version": 1}',
    ],
)
def test_metadata_that_are_none(tmp_path, metadata):
    with pytest.raises(ShardError):
        evtok.Scores.read(_write(tmp_path / "s.parquet", metadata=metadata))


@pytest.mark.parametrize("seed", range(4))
def test_p45_p48_hostile_metadata_are_refused(tmp_path, seed):
    """One value of the JSON becomes another: a `ShardError`, or a file that reads the same rows."""
    rng = random.Random(seed)
    refused = 0
    for _ in range(60):
        content = json.loads(_facts(_columns()).to_bytes())
        places = list(_places(content))
        *way, key = rng.choice(places)
        holder = content
        for step in way:
            holder = holder[step]
        if rng.randrange(4):
            holder[key] = rng.choice(STRANGE)
        else:
            del holder[key]
        path = _write(tmp_path / "s.parquet", metadata=json.dumps(content).encode())
        try:
            found = evtok.Scores.read(path)
        except EvtokError:
            refused += 1
        else:
            assert np.array_equal(found.score, _columns()["score"])
    assert refused > 40


def _places(value, path=()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield (*path, key)
        yield from _places(below, (*path, key))


def test_p39_more_rows_than_the_bytes_can_hold_are_refused(tmp_path, monkeypatch):
    path = _write(tmp_path / "scores.parquet")
    monkeypatch.setattr("evtok.scores._FREE_BYTES", 1000)  # 70 rows of 20 bytes
    evtok.Scores.read(path)
    monkeypatch.setattr("evtok.scores._MOST_TIMES_THE_FILE", 0.01)
    with pytest.raises(ShardError, match="claims 1400 bytes of rows in a file of"):
        evtok.Scores.read(path)


def test_a_selection(tmp_path):
    scores = evtok.Scores.read(_write(tmp_path / "scores.parquet"))
    keep = scores.score > 0.5
    chosen = scores.select(keep)
    assert len(chosen) == keep.sum()
    np.testing.assert_array_equal(chosen.fields["weight"], scores.fields["weight"][keep])
    np.testing.assert_array_equal(chosen.file, scores.file[keep])
    for wrong in (keep[1:], keep.astype(int)):
        with pytest.raises(IndexError, match="expected bool of shape"):
            scores.select(wrong)


def test_p37_altered_rows_are_noticed(tmp_path):
    path = tmp_path / "s.parquet"
    for name in ("score", "entry", "weight"):
        columns = _columns()
        columns[name][60] += 1
        with pytest.raises(ShardError, match=r"rows 50 to 70 \(part 1\) are not those that were written"):
            evtok.Scores.read(_write(path, columns))
        assert evtok.Scores.read(path, verify=False).entry[60] in (60, 61)
    with pytest.raises(ShardError, match="its column 'file' is not that of its parts"):
        evtok.Scores.read(_write(path, files=["a.root"] * 49 + ["b.root"] * 21))
    with pytest.raises(ShardError, match="its columns are not those"):
        evtok.Scores.read(_write(path, drop=["weight"]))
    columns = _columns()
    columns["score"][3] = np.nan
    with pytest.raises(ShardError, match="a score that is not finite"):
        evtok.Scores.read(_write(path, columns), verify=False)


def test_p37_truncations_and_flips_of_the_file(tmp_path):
    path = _write(tmp_path / "s.parquet")
    data = path.read_bytes()
    expected = evtok.Scores.read(path)
    for size in range(0, len(data), max(1, len(data) // 40)):
        path.write_bytes(data[:size])
        with pytest.raises(ShardError):
            evtok.Scores.read(path)
    rng = np.random.default_rng(1)
    for _ in range(200):
        flipped = bytearray(data)
        flipped[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            found = evtok.Scores.read(path)
        except ShardError:
            continue
        assert found.score.tobytes() == expected.score.tobytes()
        assert found.entry.tobytes() == expected.entry.tobytes()
        assert found.file.tolist() == expected.file.tolist()


def test_p37_names_that_are_no_text_any_more(tmp_path):
    path = _write(tmp_path / "s.parquet")
    data, expected = path.read_bytes(), evtok.Scores.read(path)
    causes = set()
    for name in (b"a.root", b"weight"):
        for found in re.finditer(name, data):
            path.write_bytes(data[: found.start()] + b"\xeb" + data[found.start() + 1 :])
            try:
                same = evtok.Scores.read(path)
            except ShardError as error:
                causes.add(type(error.__cause__))
            else:  # statistics of a column, which nobody reads
                assert same.file.tolist() == expected.file.tolist()
                assert list(same.fields) == list(expected.fields)
    assert UnicodeDecodeError in causes


def test_p37_places_outside_of_the_names(tmp_path):
    """As a flipped bit in a page without a checksum leaves them."""
    path = _write(tmp_path / "s.parquet")
    facts = evtok.Scores.read(path).facts
    places = pa.array([0] * 50 + [1] * 19 + [7], pa.int32())
    altered = pa.DictionaryArray.from_arrays(places, pa.array(["a.root", "b.root"]), safe=False)
    with pytest.raises(ShardError, match="its column 'file' is not that of its parts"):
        evtok_scores._file_index(pa.chunked_array([altered]), facts, path)
