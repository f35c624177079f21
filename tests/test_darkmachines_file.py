"""The reader of Dark Machines files: ranges, bad records, damage, gzip, URLs and threads."""

from __future__ import annotations

import gzip
import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evtok import reference
from evtok.errors import InputFileError, SchemaError
from evtok.events import Events
from evtok.io import darkmachines, darkmachines_records, text_stream
from evtok.io.darkmachines import DarkMachinesFile

TYPES = ("j", "b", "e-", "e+", "m-", "m+", "g")
RECORD = b"354;p;2.44336e-05;1.05628e+06;-1.22431;b,947383,824498,-0.523103,1.64421;g51004.9,50000,1,-2;"
SCHEMA = {"name": "dm", "formats": ["darkmachines"], "energy_unit": "MeV", "types": list(TYPES)}


def write(path: Path, text: bytes) -> str:
    path.write_bytes(text)
    return str(path)


def read(
    file: DarkMachinesFile, start: int = 0, stop: int | None = None, chunk: int = 1000, **what: Any
) -> Events:
    return Events.concatenate(
        list(file.iter_events(start, file.n_events if stop is None else stop, chunk, **what))
    )


def assert_equal_events(a: Events, b: Events) -> None:
    np.testing.assert_array_equal(a.offsets, b.offsets)
    for one, other in ((a.columns, b.columns), (a.fields, b.fields)):
        assert list(one) == list(other)
        assert all(one[name].tobytes() == other[name].tobytes() for name in one)


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (b"1;p;1;2", "too few fields: expected ';' and field 5 (METphi), got the end of the line"),
        (b"1;p;0,5;2;3", "before field 4 (MET): expected ';' (decimals take a point, not a comma), got ',5'"),
        (b"1;p;1;2;3;j,1,5,2,3,4", "object 1: too many values: expected ';' after E,pt,eta,phi"),
        (b"1;p;1;2;3;j,1,2,3", "object 1: too few values: expected ',' and phi"),
        (b"1;p;1;2;3;q,1,2,3,4", "object 1: expected a type (j b e- e+ m- m+ g) and a comma, got 'q'"),
        (b"1;p;1;2;3;j,nan,2,3,4", "object 1: E: expected a decimal number such as 1.06946e+06, got 'nan'"),
        (
            b"1;p;1;2;3;j,1e999,2,3,4",
            "object 1: E: expected a number within the range of float32, got '1e999'",
        ),
        (b"1;p;1;2;3;j,1e99,2,3,4", "object 1: E: expected a number within the range of float32, got '1e99'"),
        (b"1;p;-1e999;2;3", "field 3 (weight): expected a number within the range of float64, got '-1e999'"),
        (b"1;p;1;0x2;3", "before field 5 (METphi): expected ';', got 'x2'"),
        (
            b"1;\xe9t\xe9;1;2;3",
            r"expected 1 to 256 printable ASCII characters without a comma, got '\xe9t\xe9'",
        ),
        (b"1;p;1;2;3;j,1\0,2,3,4", r"got '\x00'"),
        (
            b"1;p;1;" + b"7" * 5000 + b";3",
            "at most 1024 characters, got '7777777777777777777777777777777777777777'...",
        ),
        (b"id;process;weight;MET;METphi", "field 1 (event id): expected an integer of 64 bits, got 'id'"),
        (b"-" * 2_000_000, "expected a line of at most 1048576 bytes, got 2000000"),
        (b"-" * 9_000_000, "expected a line of at most 1048576 bytes, got more than"),
    ],
)
def test_p40_p21_a_bad_record_is_an_error_with_file_and_line(
    bad: bytes, expected: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "events.csv", RECORD + b"\n\n" + bad + b"\r\n" + RECORD)
    with pytest.raises(InputFileError) as caught:
        read(DarkMachinesFile(path))
    message = str(caught.value)
    assert message.startswith(f"{path}, line 3: ")
    assert expected in message
    assert "on_bad_line='skip'" in message
    assert len(message) < 600
    file = DarkMachinesFile(path, on_bad_line="skip")
    assert len(read(file)) == 2
    assert [(p.line, p.record, p.end - p.begin) for p in file.problems] == [
        (3, 1, len(bad) + (len(bad) > 5_000_000))
    ]
    assert Path(path).read_bytes()[file.problems[0].begin :].startswith(bad)


def make(n: int, seed: int = 1, bad_every: int = 0) -> bytes:
    """Return records of every kind, with empty lines and both line ends."""
    rng = random.Random(seed)
    lines = []
    for k in range(n):
        rows = ";".join(
            f"{rng.choice(['j,', 'b,', 'e-,', 'mu+,', 'g', 'g,'])}{rng.random() * 1e6:g},{rng.random() * 1e5:g},1,-2"
            for _ in range(rng.randrange(6))
        )
        line = (
            f"{k};{rng.choice('pqr')};1;{rng.random() * 1e5:g};3"
            + rng.choice(["", ";"])
            + (";" + rows).replace(";;", ";") * bool(rows)
        )
        lines.append(
            re.sub(";;+", ";", "bad" if bad_every and k % bad_every == 3 else line)
            + rng.choice(["\n", "\r\n", "\n\n"])
        )
    return "".join(lines).encode()


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so small that every line crosses one."""
    monkeypatch.setattr(text_stream, "BLOCK", 61)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n\n\r\n"])
def test_any_range_any_chunk_any_block(
    suffix: str, ending: bytes, small_blocks: None, tmp_path: Path
) -> None:
    text = make(70).rstrip() + ending
    path = write(tmp_path / f"events{suffix}", gzip.compress(text) if suffix.endswith("gz") else text)
    file = DarkMachinesFile(path, SCHEMA)
    offsets, columns, fields, _ = reference.parse_darkmachines(text)
    whole = Events(
        offsets, columns, {n: fields[n] for n in ("event", "weight", "MET", "METphi")}, types=TYPES
    )
    assert file.n_events == 70
    rng = random.Random(2)
    for start, stop in [
        (0, 70),
        (0, 1),
        (69, 70),
        (70, 70),
        *(sorted((rng.randrange(71), rng.randrange(71))) for _ in range(40)),
    ]:
        chunk = rng.randrange(1, 40)
        parts = list(file.iter_events(start, stop, chunk))
        assert [len(part) for part in parts] == [min(chunk, stop - k) for k in range(start, stop, chunk)]
        if parts:
            assert_equal_events(Events.concatenate(parts), whole[start:stop])
    assert file.problems == []


def test_p35_every_record_is_an_event_or_a_problem(small_blocks: None, tmp_path: Path) -> None:
    text = make(90, bad_every=7)
    path = write(tmp_path / "events.csv", text)
    for start, stop in [(0, 90), (10, 60), (89, 90), (3, 4)]:
        file = DarkMachinesFile(path, on_bad_line="skip")
        n_events = sum(len(events) for events in file.iter_events(start, stop, 8))
        assert n_events + len(file.problems) == stop - start
        for problem in file.problems:
            assert problem.record % 7 == 3
            assert text[problem.begin : problem.end] == b"bad"
            assert text[: problem.begin].count(b"\n") == problem.line - 1
        before = file.problems
        list(file.iter_events(start, stop, 5))
        assert file.problems == before  # read again, listed once


def test_a_line_without_end_needs_no_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(darkmachines_records, "MAX_LINE", 200)
    monkeypatch.setattr(text_stream, "BLOCK", 61)
    text = RECORD + b"\n" + b"\0" * 5000 + b"\n" + RECORD + b"\n" + b";" * 3000
    file = DarkMachinesFile(write(tmp_path / "events.csv", text), on_bad_line="skip")
    assert len(read(file, fields=["process"])) == 2
    assert [(p.line, p.record, text[p.begin : p.end]) for p in file.problems] == [
        (2, 1, b"\0" * 5000),
        (4, 3, b";" * 3000),
    ]


def test_columns_fields_units_types_and_processes(tmp_path: Path) -> None:
    path = write(tmp_path / "events.csv", b"1;b;1;2000;3;g,5000,4000,1,2\n2;a;1;2;3\n3;b;1;2;3\n")
    file = DarkMachinesFile(path, SCHEMA, dtype="float64")
    events = read(file, columns=["type", "pt"], fields=["process", "MET"])
    assert list(events.columns) == ["type", "pt"]
    assert events.types == TYPES
    assert events.columns["type"].tolist() == [6]
    assert events.columns["pt"].dtype == np.float64
    assert events.columns["pt"].tolist() == [4.0]
    assert dict(events.units) == {"pt": "GeV", "MET": "GeV"}
    assert file.processes == ("b", "a")
    assert events.fields["process"].tolist() == [0, 1, 0]
    assert events.fields["MET"][0] == 2.0
    assert read(DarkMachinesFile(path, processes=["a", "b"]), fields=["process"]).fields[
        "process"
    ].tolist() == [1, 0, 1]
    with pytest.raises(
        InputFileError, match=r"line 1: field 2 \(process\): expected one of the names given, got 'b'"
    ):
        read(DarkMachinesFile(path, processes=["a"]), fields=["process"])
    few = DarkMachinesFile(path, {**SCHEMA, "types": ["b", "g"]})
    assert read(few).columns["type"].tolist() == [1]
    with pytest.raises(
        InputFileError, match="line 1: object 1: expected one of the types of the schema, got 'g'"
    ):
        read(DarkMachinesFile(path, {**SCHEMA, "types": ["b", "j"]}))
    with pytest.raises(SchemaError, match="tau"):
        DarkMachinesFile(path, {**SCHEMA, "types": ["b", "tau"]})
    with pytest.raises(SchemaError, match="mass"):
        read(file, columns=["mass"])
    with pytest.raises(TypeError, match="dtype: expected float32 or float64, got int32"):
        DarkMachinesFile(path, dtype="int32")


def test_files_that_end_early_or_are_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "events.csv", RECORD + b"\n" + RECORD)
    with pytest.raises(InputFileError, match="ends after 2 records, expected at least 3"):
        list(DarkMachinesFile(path).iter_events(0, 3, 10))
    with pytest.raises(InputFileError, match="holds 2 records; 1 to 3 were asked for"):
        list(DarkMachinesFile(path).iter_events(1, 3, 10))
    file = DarkMachinesFile(path)
    assert file.n_events == 2
    write(tmp_path / "events.csv", RECORD[:50])
    with pytest.raises(InputFileError, match="has changed since its 2 records were counted"):
        list(file.iter_events(1, 2, 10))
    with pytest.raises(InputFileError, match="no such file"):
        DarkMachinesFile(str(tmp_path / "other.csv"))
    empty = DarkMachinesFile(write(tmp_path / "empty.csv", b"\n\n"))
    assert empty.n_events == 0
    assert list(empty.iter_events(0, 0, 1)) == []


def test_too_many_problems_refuse_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(darkmachines, "MAX_PROBLEMS", 5)
    path = write(tmp_path / "events.csv", b"bad\n" * 6)
    with pytest.raises(InputFileError, match="more than 5 records cannot be read, the first of them: line 1"):
        list(DarkMachinesFile(path, on_bad_line="skip").iter_events(0, 6, 2))


def test_fsspec_urls(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    text = make(30)
    for name, data in (("events.csv", text), ("events.csv.gz", gzip.compress(text))):
        with fsspec.open(f"memory://{name}", "wb") as file:
            file.write(data)
        assert_equal_events(
            read(DarkMachinesFile(f"memory://{name}"), 5),
            read(DarkMachinesFile(write(tmp_path / name, data)), 5),
        )
        assert (
            DarkMachinesFile(f"memory://{name}", storage_options={"skip_instance_cache": True}).n_events == 30
        )


def attempt(path: str) -> Events | InputFileError | None:
    """Read a file whole: its events, None where it holds none, or the error."""
    try:
        file = DarkMachinesFile(path)
        parts = list(file.iter_events(0, file.n_events, 5))
    except InputFileError as error:
        return error
    return Events.concatenate(parts) if parts else None


def test_p36_truncation_at_every_byte(tmp_path: Path) -> None:
    """A cut is an error, or gives the whole records before it and perhaps one that was cut short."""
    text = make(12)
    whole = read(DarkMachinesFile(write(tmp_path / "whole.csv", text)))
    errors = 0
    for cut in range(1, len(text)):
        result = attempt(write(tmp_path / "cut.csv", text[:cut]))
        lines = text[:cut].count(b"\n")
        complete = sum(bool(line.strip()) for line in text.split(b"\n")[:lines])
        if isinstance(result, InputFileError):
            errors += 1
            assert f"cut.csv, line {lines + 1}: " in str(result)
        elif result is None:
            assert complete == 0
        else:
            assert complete <= len(result) <= complete + 1
            assert_equal_events(result[:complete], whole[:complete])
    assert errors > len(text) // 3


def test_p36_truncated_and_damaged_gzip_is_an_error(tmp_path: Path) -> None:
    data = gzip.compress(make(40), mtime=0)
    good = attempt(write(tmp_path / "good.csv.gz", data))
    assert isinstance(good, Events)
    for cut in range(0, len(data), 3):
        broken = attempt(write(tmp_path / "cut.csv.gz", data[:cut]))
        assert isinstance(broken, InputFileError) or (broken is None and cut == 0)
    rng = random.Random(4)
    for _ in range(400):
        at, bit = rng.randrange(len(data)), rng.randrange(8)
        broken = attempt(
            write(tmp_path / "flip.csv.gz", data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
        )
        if not isinstance(broken, InputFileError):
            assert 3 <= at < 10  # time stamp, flags of the compressor and system: nothing that matters
            assert isinstance(broken, Events)
            assert_equal_events(broken, good)


def test_p39_a_gzip_bomb_is_refused_before_memory_is_spent(tmp_path: Path) -> None:
    path = write(tmp_path / "bomb.csv.gz", gzip.compress(b"\n" * 100_000_000, 9))
    with pytest.raises(InputFileError, match="expected gzip of at most 200 times its size"):
        _ = DarkMachinesFile(path).n_events


def test_p24_threads_may_share_one_file(tmp_path: Path) -> None:
    file = DarkMachinesFile(write(tmp_path / "events.csv", make(2000)))
    expected = read(file)
    with ThreadPoolExecutor(4) as pool:
        for events in pool.map(lambda start: read(file, start, 2000, 100), range(0, 2000, 97)):
            assert_equal_events(events, expected[2000 - len(events) :])
