"""The parser of Dark Machines text against its readable definition, bit for bit."""

from __future__ import annotations

import gzip
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evtok import _core, reference
from evtok.io.darkmachines import looks_like

RECORD = b"354;p;2.44336e-05;1.05628e+06;-1.22431;b,947383,824498,-0.523103,1.64421;g51004.9,50000,1,-2;"


def parse(text: bytes, dtype: Any = np.float32, threads: int = 1, **options: Any) -> dict[str, Any]:
    given = {
        "codes": list(range(7)),
        "processes": None,
        "energy_divisor": 1000.0,
        "skip_bad": True,
        **options,
    }
    return _core.parse_darkmachines(text, 2**62, True, float64=dtype == np.float64, threads=threads, **given)


def assert_same(text: bytes, dtype: Any = np.float32) -> None:
    """Every bit of what the parser gives is what the readable definition gives."""
    offsets, columns, fields, bad = reference.parse_darkmachines(text, dtype=dtype)
    got = parse(text, dtype)
    np.testing.assert_array_equal(got["offsets"], offsets)
    assert [entry[0] for entry in got["bad"]] == bad
    for name, expected in columns.items():
        assert got["columns"][name].dtype == expected.dtype
        assert got["columns"][name].tobytes() == expected.tobytes(), name
    for name in ("event", "weight", "MET", "METphi"):
        assert got["fields"][name].tobytes() == fields[name].tobytes(), name


digits = st.text("0123456789", max_size=25)
decimals = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    digits,
    st.sampled_from(["", "."]),
    digits,
    st.sampled_from(["", "e5", "E-7", "e+22", "e-23", "e300", "e-310", "e-400", "e999"]),
)
numbers = st.one_of(
    st.floats(allow_nan=False).map(repr), st.floats(allow_nan=False).map("{:g}".format), decimals
)


@settings(max_examples=500, deadline=None)
@given(numbers)
@example("9007199254740993")
@example("1e23")
@example("2.4703282292062328e-324")
def test_a_number_is_the_nearest_float64(number: str) -> None:
    text = f"1;p;{number};0;0".encode()
    try:
        expected = float(number) if re.fullmatch(r"-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", number, re.I) else None
    except ValueError:
        expected = None
    weight = parse(text)["fields"]["weight"]
    if expected is None or not np.isfinite(expected):
        assert len(weight) == 0
    else:
        assert weight.tobytes() == np.float64(expected).tobytes()


def test_random_short_numbers_are_the_nearest_float64() -> None:
    rng = random.Random(5)
    texts = [f"{rng.choice(['', '-'])}{rng.randrange(10 ** rng.randrange(1, 18))}" for _ in range(30_000)]
    texts += [f"{t}.{rng.randrange(10 ** rng.randrange(1, 12))}" for t in texts]
    texts += [f"{t}e{rng.randrange(-30, 30)}" for t in texts]
    weight = parse("".join(f"1;p;{t};0;0\n" for t in texts).encode())["fields"]["weight"]
    assert weight.tobytes() == np.array([float(t) for t in texts]).tobytes()


types = st.sampled_from(
    ["j,", "b,", "e-,", "e+,", "m-,", "m+,", "mu-,", "mu+,", "g,", "g", "a,", "a", "x,", "e", "", "gg,"]
)
objects = st.builds(lambda t, values: t + ",".join(values), types, st.lists(numbers, min_size=3, max_size=5))
records = st.builds(
    lambda head, rest, tail: ";".join([*head, *rest]) + tail,
    st.tuples(st.integers(-(2**64), 2**64).map(str), st.text(max_size=9), numbers, numbers, numbers),
    st.lists(objects, max_size=4),
    st.sampled_from(["", ";", ";;"]),
)
texts = st.builds(
    lambda lines: "".join(a + b for a, b in lines).encode("utf-8", "surrogatepass"),
    st.lists(
        st.tuples(
            st.one_of(records, st.just(RECORD.decode()), st.text(max_size=5)),
            st.sampled_from(["\n", "\r\n", "\n\n", ""]),
        ),
        max_size=6,
    ),
)


@settings(max_examples=300, deadline=None)
@given(texts, st.sampled_from([np.float32, np.float64]))
def test_p40_any_text_is_read_as_its_definition_says(text: bytes, dtype: Any) -> None:
    assert_same(text, dtype)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2 * len(RECORD)), st.binary(max_size=4)), max_size=4))
def test_p40_damaged_records_are_read_as_their_definition_says(edits: list[tuple[int, bytes]]) -> None:
    text = bytearray(RECORD + b"\n" + RECORD + b"\n")
    for at, new in edits:
        text[at : at + len(new)] = new
    assert_same(bytes(text))


def test_p13_text_is_rounded_once_and_the_same_for_any_number_of_threads() -> None:
    rng = random.Random(3)
    lines = [
        f"{k};p;1;{rng.random() * 1e6:.{rng.randrange(18)}f};1;"
        + "".join(
            f"j,{rng.random() * 1e6!r},{rng.random() * 1e5:g},{rng.random()!r},-1;"
            for _ in range(rng.randrange(9))
        )
        for k in range(12_000)
    ]
    text = "\n".join(lines).encode()
    assert len(text) > 1_500_000  # several pieces for the threads
    one = parse(text)
    energy = np.array([float(number) for number in re.findall(rb"j,([^,]*)", text)])
    assert one["columns"]["energy"].tobytes() == (energy / 1000.0).astype(np.float32).tobytes()
    for threads in (2, 3, 7):
        many = parse(text, threads=threads)
        assert many["offsets"].tobytes() == one["offsets"].tobytes()
        assert all(
            many["columns"][name].tobytes() == one["columns"][name].tobytes() for name in one["columns"]
        )


def test_p40_mutations_never_crash() -> None:
    rng = random.Random(9)
    base = bytearray((RECORD + b"\n") * 5)
    for _ in range(10_000):
        text = bytearray(base)
        for _ in range(rng.randrange(1, 5)):
            text[rng.randrange(len(text))] = rng.randrange(256)
        got = parse(bytes(text))
        assert got["records"] == len(got["offsets"]) - 1 + len(got["bad"])


def test_looks_like() -> None:
    assert looks_like(RECORD)
    assert looks_like(b"\r\n\n" + RECORD[:60])
    assert looks_like(gzip.compress(RECORD * 100)[:300])
    assert looks_like(b"1;p;1;2;3")
    for other in (
        b"",
        b"a,b,c\n1,2,3",
        b"\x89HDF\r\n\x1a\n",
        b"PAR1;",
        b"id;p;w;MET;phi\n",
        b"1;p;1;2",
        b"\x1f\x8bxx",
    ):
        assert not looks_like(other)


def test_the_core_refuses_other_buffers() -> None:
    with pytest.raises(ValueError, match="contiguous bytes"):
        _core.scan_darkmachines(np.zeros(4, np.int32), 1, 0)
    with pytest.raises(ValueError, match="contiguous bytes"):
        _core.scan_darkmachines(np.zeros(8, np.uint8)[::2], 1, 0)
    assert _core.scan_darkmachines(bytearray(b"a\n\r\nb"), 9, 0) == (1, 2, 4, 2)


@pytest.mark.data
def test_both_photon_spellings_of_a_real_file_are_the_same(test_data: Path) -> None:
    text = (test_data / "pythia/ttbar.dm.csv").read_bytes()
    assert text.count(b";g,") > 10
    with_comma, without = parse(text), parse(text.replace(b";g,", b";g"))
    assert without["columns"]["energy"].tobytes() == with_comma["columns"]["energy"].tobytes()
    assert without["bad"] == []


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        "pythia/ttbar.dm.csv",
        "pythia/channel3/c3_qcd.dm.csv",
        "real/darkmachines/monojet_Zp2000.0_DM_50.0_chan3.csv",
    ],
)
def test_shared_files(name: str, test_data: Path) -> None:
    assert_same((test_data / name).read_bytes())
