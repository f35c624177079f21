"""Jobs over Dark Machines text with bad lines: one quarantine entry each, every other event kept (P35, P36, P40)."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

import evtok
from evtok.errors import InputFileError, JobError
from evtok.io import source as sources
from evtok.io.darkmachines import looks_like
from evtok.jobs import reading
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform

N, PER_SHARD = 50, 10
BAD = b"7;p;1;2;3;j,1,2"  # its header is good, its only object is cut
REASON = "object 1: too few values"
WHERE = {
    "first": [0],
    "last": [N - 1],
    "middle": [23],
    "boundary": [9, 10],
    "several": [0, 3, 4, 9, 10, 31, 48, 49],
    "a whole range": list(range(20, 30)),
    "all but one": [k for k in range(N) if k != 37],
    "all": list(range(N)),
}


def record(k: int) -> bytes:
    """Return event `k`: 1 to 4 jets, and a weight that is exact in binary."""
    jets = b"".join(b";j,%d,%d,0.%d,1" % (9000 + k, 1000 * (k + j), j) for j in range(1 + k % 4))
    return b"%d;ttbar;%d;%d;0.5" % (k, 1 << (k % 20), 1000 + k) + jets


def text(bad: dict[int, bytes], n: int = N) -> bytes:
    """Return `n` records, with two lines before and one empty line behind each third."""
    return b"\n\n" + b"".join(bad.get(k, record(k)) + (b"\n\n" if k % 3 == 0 else b"\n") for k in range(n))


def line_of(k: int) -> int:
    return 3 + k + (k + 2) // 3


def write(path, data: bytes):
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def quarantined(folder) -> dict[str, list[dict]]:
    files = sorted((folder / "quarantine").glob("*")) if (folder / "quarantine").exists() else []
    return {p.stem: [json.loads(line) for line in p.read_text().splitlines()] for p in files}


@pytest.fixture
def job(tokenizer, tmp_path):
    def run_it(files, name="out", **options):
        tok = options.pop("tokenizer", tokenizer)
        return evtok.tokenize_files(
            files,
            tok,
            tmp_path / name,
            **{"events_per_shard": PER_SHARD, "allow_quarantine": True, **options},
        )

    return run_it


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(("suffix", "container"), [(".csv", "arrow"), (".csv.gz", "parquet")])
def test_p35_p40_bad_lines_are_quarantined_one_by_one(
    job, tokenizer, shas, tmp_path, where, suffix, container
):
    bad = WHERE[where]
    good = np.setdiff1d(np.arange(N), bad)
    path = write(tmp_path / f"events{suffix}", text(dict.fromkeys(bad, BAD)))
    with pytest.raises(JobError, match=rf"{len(bad)} of {N} events are in quarantine"):
        job(path, format=container, allow_quarantine=False)
    report = job(path, format=container)
    assert report.complete
    assert report.proven == report.shards == N // PER_SHARD
    assert report.refused == ()
    assert (report.counts.read, report.counts.written, report.counts.quarantined) == (N, len(good), len(bad))

    found = quarantined(report.folder)
    for index in range(N // PER_SHARD):
        name = f"shard-{index:06d}"
        lost = [k for k in bad if k // PER_SHARD == index]
        lines = found.pop(name, [])
        assert [(one["file"], one["entry"], one["line"]) for one in lines] == [
            (str(path), k, line_of(k)) for k in lost
        ]
        assert all(set(one) == {"file", "entry", "line", "reason"} for one in lines)
        assert all(REASON in one["reason"] for one in lines)
        counts = json.loads((report.folder / f"{name}.json").read_text())["counts"]
        assert (counts["read"], counts["written"], counts["quarantined"]) == (
            PER_SHARD,
            PER_SHARD - len(lost),
            len(lost),
        )
    assert found == {}

    dataset = evtok.TokenDataset(report.folder)
    assert len(dataset) == len(good)
    if len(good):
        assert np.array_equal(dataset.field("entry"), good)
        assert np.array_equal(dataset.field("event"), good)
        whole = evtok.open_events(write(tmp_path / "whole.csv", text({}))).read()
        expected = tokenizer.encode(whole[good], dtype=np.uint16)
        assert np.array_equal(dataset[:].ids, expected.ids)
        assert np.array_equal(dataset[:].offsets, expected.offsets)
        weight = sum(float(1 << (k % 20)) for k in good)
        assert report.counts.weight_written == report.counts.weight_read == weight
    assert evtok.verify(report.folder).ok

    before = shas(report.folder)
    assert job(path, "again", format=container).complete
    assert shas(tmp_path / "again") == before
    for name in before:
        (report.folder / name).unlink()
        assert job(path, format=container).proven == N // PER_SHARD - 1
    assert shas(report.folder) == before
    assert evtok.verify(report.folder).ok


def test_p41_neither_shards_nor_quarantine_depend_on_chunks_or_threads(job, shas, tmp_path, monkeypatch):
    """Bad lines between events that the tokenizer refuses: those of four jets."""
    narrow = BinnedTokenizer({"pt": Feature("pt", Uniform(40, 0, 500))}, max_length=3, too_long="raise")
    bad = [0, 4, 10, 19, 20, 41, 42, 43]
    path = write(tmp_path / "events.csv", text(dict.fromkeys(bad, BAD)))
    report = job(path, tokenizer=narrow)
    lines = [one for lines in quarantined(report.folder).values() for one in lines]
    assert [one["entry"] for one in lines] == sorted({*bad, *range(3, N, 4)})
    assert [one["entry"] for one in lines if "line" in one] == bad

    def texts(folder):
        return {p.name: p.read_bytes() for p in (folder / "quarantine").iterdir()}

    for threads, chunk in [(1, 1), (2, 3), (7, 10), (1, 100_000)]:
        monkeypatch.setattr(reading, "FIRST_CHUNK", chunk)
        monkeypatch.setattr(reading, "LONGEST_CHUNK", chunk)
        monkeypatch.setattr(reading, "SHORTEST_CHUNK", 1)
        again = job(path, f"out-{chunk}", tokenizer=narrow, threads=threads)
        assert shas(again.folder) == shas(report.folder)
        assert texts(again.folder) == texts(report.folder)


def test_p35_the_account_holds_for_each_file_and_in_total(job, tmp_path):
    first = write(tmp_path / "a.csv", text({3: BAD, 49: BAD}))
    second = write(tmp_path / "b.csv.gz", text(dict.fromkeys(range(12), BAD), n=23))
    third = write(tmp_path / "c.csv", text({}, n=7))
    report = job([first, second, third])
    manifest = json.loads((report.folder / "manifest.json").read_text())
    rows = [(c["read"], c["written"], c["quarantined"]) for c in manifest["files"]]
    assert rows == [(50, 48, 2), (23, 11, 12), (7, 7, 0)]
    assert (report.counts.read, report.counts.written, report.counts.quarantined) == (80, 66, 14)
    assert Counter(one["file"] for lines in quarantined(report.folder).values() for one in lines) == {
        str(first): 2,
        str(second): 12,
    }
    assert evtok.verify(report.folder).ok


@pytest.mark.parametrize(
    "garbage",
    [b"id;process;weight;MET;METphi", b"not a record", b"\xef\xbb\xbf0;p;1;2;3", b"\xff" * 900, b"-"],
)
def test_p36_a_first_line_that_is_no_record_does_not_hide_the_format(job, tmp_path, garbage):
    report = job(write(tmp_path / "events.csv", text({0: garbage})))
    assert [one["entry"] for one in quarantined(report.folder)["shard-000000"]] == [0]
    assert report.counts.written == N - 1


def test_what_only_contains_such_a_line_is_not_such_text():
    assert looks_like(b"header\n\n" + record(1))
    assert not looks_like(b"PK\x03\x04\x14\0\0\0events.csv\n" + record(1))
    assert not looks_like(b"header " + record(1))
    assert not looks_like(b"\n" * 4096)


def test_p36_a_range_with_too_many_bad_lines_is_refused_as_a_whole(job, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_BAD_RECORDS", 5)
    bad = {**dict.fromkeys(range(5), BAD), **dict.fromkeys(range(20, 26), BAD)}
    path = write(tmp_path / "events.csv", text(bad))
    for chunk in (1, 4, 1000):
        monkeypatch.setattr(reading, "FIRST_CHUNK", chunk)
        monkeypatch.setattr(reading, "SHORTEST_CHUNK", chunk)
        report = job(path, f"out-{chunk}")
        assert [(lost.start, lost.stop) for lost in report.refused] == [(20, 30)]
        assert f"line {line_of(20)}: {REASON}" in report.refused[0].reason
        assert "more than 5 of the records 20 to 30" in report.refused[0].reason
        assert (report.counts.written, report.counts.quarantined) == (35, 15)
        assert evtok.verify(report.folder).ok
    with pytest.raises(InputFileError, match="more than 5 of the records 20 to 30 cannot be read"):
        job(path, "strict", allow_quarantine=False)


def test_p36_a_file_that_is_cut_is_no_matter_of_single_lines(job, tmp_path):
    whole = write(tmp_path / "a.csv", text({}))
    cut = tmp_path / "b.csv.gz"
    cut.write_bytes(gzip.compress(text({3: BAD}))[:-9])
    with pytest.raises(InputFileError, match=r"b\.csv\.gz"):
        job([whole, cut], allow_quarantine=False)
    report = job([whole, cut], "other")
    assert report.counts.written == N
    manifest = json.loads((report.folder / "manifest.json").read_text())
    assert "b.csv.gz" in manifest["plan"]["inputs"][1]["unreadable"]


def test_reading_a_source_itself_still_refuses_a_bad_line(tmp_path):
    path = write(tmp_path / "events.csv", text({7: BAD}))
    with evtok.open_events(path, chunk=4) as source:
        with pytest.raises(InputFileError, match=f"line {line_of(7)}: {REASON}"):
            source.read()
        parts = list(source.iter_records(0))
        assert [(len(events), [one.record for one in bad]) for events, bad in parts[:3]] == [
            (4, []),
            (3, [7]),
            (4, []),
        ]
        assert source.first_event().fields["event"][0] == 0


def test_sources_of_other_formats_have_no_bad_records(inputs, jets_schema):
    with evtok.open_events(inputs, jets_schema, chunk=2000) as source:
        assert [(len(events), bad) for events, bad in source.iter_records(1)] == [(1234, [])]


def test_exit_codes_and_what_is_said(tmp_path, tokenizer):
    tokenizer.save(tmp_path / "tok")
    path = write(tmp_path / "events.csv", text({3: BAD, 30: BAD}))

    def command(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "evtok.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    job = ("tokenize", path, "--tokenizer", tmp_path / "tok", "-o", tmp_path / "out")
    refused = command(*job)
    assert refused.returncode == 1
    assert "2 of 50 events are in quarantine" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert command("verify", tmp_path / "out").returncode == 1
    allowed = command(*job, "--allow-quarantine")
    assert allowed.returncode == 0
    assert "48 events" in allowed.stdout
    assert "2 events in quarantine" in allowed.stdout
    assert command("verify", tmp_path / "out").returncode == 0


@pytest.mark.parametrize("allow_quarantine", [False, True])
def test_a_file_is_opened_once_to_plan_and_once_to_read(
    job, inputs, jets_schema, monkeypatch, allow_quarantine
):
    opened = Counter()
    real = sources.open_file

    def counting(location, schema):
        opened[location.path] += 1
        return real(location, schema)

    monkeypatch.setattr(sources, "open_file", counting)
    job(inputs, schema=jets_schema, events_per_shard=1000, allow_quarantine=allow_quarantine)
    assert opened == {str(inputs[0]): 2, str(inputs[1]): 2}
    opened.clear()
    job(inputs[:1], "one", schema=jets_schema, allow_quarantine=allow_quarantine)
    # The thread that reads goes on with the file that planning opened; with a quarantine, it was tried before.
    assert opened == {str(inputs[0]): 1 + int(allow_quarantine)}
