"""P37: any flipped bit and any truncation of what a job wrote is detected when it is read."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

import evtok
from evtok.errors import EvtokError, ShardError
from evtok.jobs.documents import canonical, seal, unseal
from evtok.jobs.manifest import Manifest
from evtok.jobs.record import Counts, ShardRecord

#: Flips in all; raise it by EVTOK_TEST_FLIPS for a longer hunt.
FLIPS = int(os.environ.get("EVTOK_TEST_FLIPS", "2400"))


@pytest.fixture(scope="module", params=["arrow", "parquet"])
def folder(request, tmp_path_factory, write, tokenizer, jets_schema):
    """A job with two shards of a few batches."""
    base = tmp_path_factory.mktemp(request.param)
    monkeypatch = pytest.MonkeyPatch()
    for module in ("batch", "planning"):
        monkeypatch.setattr(f"evtok.jobs.{module}.EVENTS_PER_BATCH", 64)
    path = write(base / "in.parquet", 300, 11)
    out = base / "out"
    evtok.tokenize_files(
        path, tokenizer, out, schema=jets_schema, events_per_shard=200, format=request.param, keep=["weight"]
    )
    monkeypatch.undo()
    return out


def read_all(folder, **options):
    dataset = evtok.TokenDataset(folder, **options)
    ids = [bytes(ids) for ids in dataset]
    return (
        ids,
        dataset.field("weight").tobytes(),
        dataset.field("entry").tobytes(),
        dataset.vocab_size,
        dataset.pad_id,
    )


def proven_files(folder):
    """Return the files of a job but those that tell people how it went: they prove nothing."""
    told = {".evtok-lock", "log.jsonl", "job.json", "job.html"}
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in told]


def test_p37_every_flipped_bit_is_detected(folder, tmp_path):
    """Random single flips in each file of the folder, in proportion: an error, or data that are not changed."""
    expected = read_all(folder)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    files = proven_files(copy)
    assert len(files) == 7  # two shards, two records, the manifest, two files of the tokenizer
    rng = np.random.default_rng(37)
    detected = silent = harmless = 0
    for path in files:
        data = path.read_bytes()
        for _ in range(FLIPS // 2 // len(files)):
            place, bit = int(rng.integers(len(data))), int(rng.integers(8))
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                same = read_all(copy) == expected
            except EvtokError:
                detected += 1
                continue
            harmless += same
            silent += not same
        path.write_bytes(data)
    assert silent == 0
    assert harmless == 0  # every byte is under a hash, those that Arrow only pads with too
    assert detected >= 1000
    assert read_all(copy) == expected


def test_p37_the_flips_do_matter(folder, tmp_path):
    """Without verification a flip of an id goes through: the test above has something to find."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    shard = next(p for p in copy.glob("shard-000000.*") if p.suffix != ".json")
    if shard.suffix == ".parquet":
        pytest.skip("compressed pages fail in their own ways")
    ids = evtok.TokenDataset(folder)[:50].ids.tobytes()
    data = bytearray(shard.read_bytes())
    data[data.index(ids) + 9] ^= 1
    shard.write_bytes(data)
    assert read_all(copy, verify=False) != read_all(folder)
    with pytest.raises(ShardError, match=r"batch 0 does not have its recorded hash"):
        read_all(copy)
    assert any("hash" in problem or "sha256" in problem for problem in evtok.verify(copy).problems)


def test_p37_every_truncation_is_detected(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for path in (p for p in proven_files(copy) if p.parent == copy):
        data = path.read_bytes()
        for size in {*range(0, len(data), max(1, len(data) // 60)), len(data) - 1}:
            path.write_bytes(data[:size])
            with pytest.raises(EvtokError):
                read_all(copy)
        path.write_bytes(data + b"\0")
        with pytest.raises(EvtokError):
            read_all(copy)
        path.write_bytes(data)


def test_p37_verify_finds_flips_too(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    rng = np.random.default_rng(38)
    for path in proven_files(copy):
        data = path.read_bytes()
        for _ in range(20):
            flipped = bytearray(data)
            flipped[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            path.write_bytes(flipped)
            assert not evtok.verify(copy).ok, path
        path.write_bytes(data)
    assert evtok.verify(copy).ok


def test_swapped_and_foreign_shards_are_noticed(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    first, second = (next(p for p in copy.glob(f"shard-00000{k}.*") if p.suffix != ".json") for k in (0, 1))
    foreign = first.with_name(f"shard-000002{first.suffix}")
    shutil.copy(first, foreign)
    assert evtok.verify(copy).problems == [f"{foreign}: belongs to no task of this job; remove it"]
    foreign.unlink()
    shutil.copy(second, first)
    shutil.copy(second.with_suffix(".json"), first.with_suffix(".json"))
    with pytest.raises(ShardError, match="another range than its name says"):
        read_all(copy)


# ---- documents ----------------------------------------------------------------------------------------------


def test_documents_are_exactly_what_was_sealed():
    data = seal({"a": 1, "b": [1.5, "é"]})
    assert unseal(data, "x") == {"a": 1, "b": [1.5, "é"]}
    for other in (
        data + b" ",
        data.replace(b"1.5", b"1.50"),
        data.replace(b"\n", b"\r\n"),
        b"{}",
        b"[1]",
        b"\xff",
        b"",
    ):
        with pytest.raises(ShardError):
            unseal(other, "x")
    with pytest.raises(ValueError):
        canonical({"a": float("nan")})


def test_p54_other_formats_and_unknown_keys_are_refused(folder):
    record = unseal((folder / "shard-000000.json").read_bytes(), "record")
    manifest = unseal((folder / "manifest.json").read_bytes(), "manifest")
    for content, read in ((record, ShardRecord.from_bytes), (manifest, Manifest.from_bytes)):
        with pytest.raises(ShardError, match="this evtok reads format 1"):
            read(seal({**content, "format": 2}), "x")
        with pytest.raises(ShardError, match=r"unknown keys \['extra'\]"):
            read(seal({**content, "extra": 1}), "x")
        assert read(seal(content), "x").to_bytes() == seal(content)


def test_sums_that_are_not_finite_survive_json():
    counts = Counts(read=1, written=1, weight_read=float("inf"), weight_written=float("-inf"))
    assert Counts.from_json(counts.to_json(), "x") == counts
