"""The lookup benchmark: P57 and C29, wrong ids are not timed, and what is right is decided without the fast kernels."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evtok import Codebook, _core, reference
from evtok.bench import (
    document,
    machine,
    nearest,
    nearest_data,
    nearest_faiss,
    nearest_oracle,
    nearest_peers,
    registry,
    shapes,
    text,
)
from evtok.bench.harness import Case, Contestant, WrongResultError, measure

ROOT = Path(__file__).resolve().parents[1]
SHAPES = ("small", "small-cosine")


def quick(case: Case, rounds: int = 3) -> dict[str, Any]:
    return measure(case, rounds=rounds, flush_bytes=1 << 16)


def cases(shape: str, peers: bool = False) -> list[Case]:
    return list(registry.cases("nearest", registry.Settings(1, peers=peers), shape))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [quick(case) for shape in SHAPES for case in cases(shape)]


# ---- verified before timed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_p57_wrong_ids_are_not_timed(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """C29. One wrong id in each call of ours, in every case: all rows, small calls and the set-up."""
    made = cases(shape)
    assert len(made) >= 4
    right = Codebook.nearest
    calls = []

    def wrong_once(self: Codebook, x: Any, **options: Any) -> Any:
        ids = right(self, x, **options)
        if _core.active_isa() != "scalar":  # the specification stays right
            calls.append(len(x))
            ids[len(ids) // 2] = (ids[len(ids) // 2] + 1) % self.n_codes
        return ids

    monkeypatch.setattr(Codebook, "nearest", wrong_once)
    for case in made:
        calls.clear()
        with pytest.raises(WrongResultError, match=rf"nearest/{shape}/.*: evtok.*: [1-9]\d* values differ"):
            quick(case)
        n_calls = 1 if "set-up" in case.variant or case.unit == "vectors" else case.amount
        assert len(calls) == n_calls, "it ran once to be verified, and was not timed"


def test_p57_a_kernel_that_becomes_wrong_later_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    case = cases("small")[0]
    right, calls = Codebook.nearest, []

    def wrong_at_last(self: Codebook, x: Any, **options: Any) -> Any:
        calls.append(1)
        return right(self, x, **options) ^ (len(calls) > 4)

    monkeypatch.setattr(Codebook, "nearest", wrong_at_last)
    with pytest.raises(WrongResultError):
        quick(case)


def test_p57_a_wrong_specification_is_found_by_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    right = nearest_oracle.by_specification

    def wrong(*arguments: Any) -> Any:
        ids = right(*arguments)
        ids[-1] ^= 1
        return ids

    monkeypatch.setattr(nearest_oracle, "by_specification", wrong)
    with pytest.raises(WrongResultError, match="scalar specification and float64 differ in 1 of"):
        cases("small")[0].expected()


# ---- what is right ---------------------------------------------------------------------------------------------


def exact(x: Any, codes: Any, metric: str) -> list[list[Fraction]]:
    """The rational distances, or products negated, of every row and code."""

    def distance(row: Any, code: Any) -> Fraction:
        pairs = [(Fraction(float(a)), Fraction(float(b))) for a, b in zip(row, code, strict=True)]
        return sum(((a - b) ** 2 if metric == "l2" else -a * b for a, b in pairs), Fraction(0))

    return [[distance(row, code) for code in codes] for row in x]


@pytest.mark.parametrize("metric", ["l2", "dot"])
@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_float64_decides_only_what_it_knows(metric: str, offset: float) -> None:
    """Where it decides, no other code is within the error of the specification, in rational numbers."""
    rng = np.random.default_rng(3)
    codes = (rng.normal(size=(40, 3)) + offset).astype(np.float32)
    x = (rng.normal(size=(60, 3)) + offset).astype(np.float32)
    codes[7] = codes[3]  # a tie, for rows that are nearest to it
    x[:5] = codes[3]
    ids, decided = nearest_oracle.by_float64(x, codes, metric, 2)
    eta = Fraction((1 + 2.0**-24) ** 5 - 1)
    for row, distances in enumerate(exact(x, codes, metric)):
        best = min(distances)
        size = best if metric == "l2" else Fraction(float(np.abs(x[row]) @ np.abs(codes[ids[row]])))
        near = [k for k, d in enumerate(distances) if d <= best + 2 * eta * size]
        if decided[row]:
            assert near == [ids[row]]
        else:
            assert len(near) > 1 or metric == "dot" or offset, "only a row with rivals is left open"
    assert not decided[:5].any() or metric == "dot"
    assert decided[5:].mean() > 0.5 or (offset and metric == "dot")


@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
@pytest.mark.parametrize("offset", [0.0, 2000.0])
def test_expected_ids_are_those_of_the_specification(
    metric: Any, offset: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where most rows are left to the scalar kernel, and where none is looked at but the first."""
    monkeypatch.setattr(nearest_oracle, "_SCALAR_WORK", 0)
    rng = np.random.default_rng(5)
    codes = (rng.normal(size=(50, 6)) + offset).astype(np.float32)
    x = (rng.normal(size=(400, 6)) + offset).astype(np.float32)
    expected = nearest_oracle.by_specification(x, codes, metric, 1)
    np.testing.assert_array_equal(nearest_oracle.expected_ids(x, codes, metric, 1), expected)
    np.testing.assert_array_equal(Codebook(codes, metric=metric).nearest(x), expected)
    by_definition = reference.nearest(x[:40], codes, metric=metric)[0][:, 0]
    np.testing.assert_array_equal(expected[:40], by_definition)


def test_the_specification_is_forced_and_released(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    right = Codebook.nearest

    def watched(self: Codebook, x: Any, **options: Any) -> Any:
        seen.append(_core.active_isa())
        return right(self, x, **options)

    monkeypatch.setattr(Codebook, "nearest", watched)
    before = _core.active_isa()
    nearest_oracle.by_specification(np.zeros((2, 3), np.float32), np.ones((4, 3), np.float32), "l2", 1)
    assert seen == ["scalar"]
    assert _core.active_isa() == before


def test_one_code_is_always_the_answer() -> None:
    x = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(nearest_oracle.expected_ids(x, x[:1], "l2", 1), [0, 0, 0])


# ---- data and shapes -------------------------------------------------------------------------------------------


def test_the_data_are_the_same_each_time_and_clustered_rows_lie_near_codes() -> None:
    shape = {"n": 500, "k": 200, "d": 4, "metric": "l2"}
    codes = nearest_data.codes(shape)
    np.testing.assert_array_equal(codes, nearest_data.codes(shape))
    distance = {}
    for kind in nearest_data.KINDS:
        x = nearest_data.rows(shape, kind, codes)
        np.testing.assert_array_equal(x, nearest_data.rows(shape, kind, codes))
        assert x.dtype == codes.dtype == np.float32
        distance[kind] = np.median(Codebook(codes).nearest(x, return_distance=True)[1])
    assert 0 < distance["clustered"] < 0.3 * distance["Gaussian"]


def test_the_aims_are_those_of_the_project() -> None:
    """Times FAISS, by codes and dimensions."""
    aims = {(s["k"], s["d"]): s["reach"] for s in shapes.load("nearest") if "reach" in s}
    assert aims == {
        (8192, 4): 3,
        (16384, 3): 5,
        (512, 4): 1.5,
        (8192, 8): 1.4,
        (16384, 7): 1.4,
        (2048, 16): 1.6,
        (65536, 12): 1.6,
        (512, 32): 1.2,
        (1024, 256): 1.8,
        (16384, 64): 3,
    }


# ---- the rows --------------------------------------------------------------------------------------------------


def test_rows_say_rate_peers_and_share_of_the_arithmetic(rows: list[dict[str, Any]]) -> None:
    by_name = {document.row_name(row): row for row in rows}
    assert list(by_name) == [
        "nearest/small/K=300 D=5, Gaussian",
        "nearest/small/K=300 D=5, clustered",
        "nearest/small/K=300 D=5, 1 row a call",
        "nearest/small/K=300 D=5, 17 rows a call",
        "nearest/small/K=300 D=5, set-up",
        "nearest/small-cosine/K=100 D=9 cosine, Gaussian",
        "nearest/small-cosine/K=100 D=9 cosine, clustered",
        "nearest/small-cosine/K=100 D=9 cosine, 3 rows a call",
        "nearest/small-cosine/K=100 D=9 cosine, set-up",
    ]
    for row in rows:
        ours = row["contestants"][0]
        assert ours["differences"] == 0
        assert ours["rate"] == row["amount"] / ours["seconds"]["median"]
        assert ours["seconds"]["q1"] <= ours["seconds"]["median"] <= ours["seconds"]["q3"]
        assert row["verified_against"] == nearest_oracle.NAME
        assert len(row["input"]["sha256"]) == 64
    lookup = by_name["nearest/small/K=300 D=5, Gaussian"]
    (limit,) = lookup["limits"]
    assert limit["operations_per_unit"] == 2 * 300 * 5
    assert limit["median"] > 0
    assert any("% of the multiply-adds" in line and "flop/s" in line for line in text.row_lines(lookup))
    calls = by_name["nearest/small/K=300 D=5, 17 rows a call"]
    assert (calls["unit"], calls["amount"]) == ("calls", 200)
    assert any("µs a call" in line for line in text.row_lines(calls))


def test_a_contestant_with_fewer_units_is_rated_by_unit() -> None:
    data = np.arange(1000)
    case = Case(
        *("toy", "tiny", "", "values", len(data)),
        [
            Contestant("evtok", lambda: data * 2, "ours"),
            Contestant("slow", lambda: data[:100] * 2, "peer", amount=100),
            Contestant("arithmetic", lambda: None, "limit", operations=5000.0),
        ],
        lambda: data + data,
        "a sum",
        {},
        operations_per_unit={"each": 5.0},
        reach={"slow": 2.0},
    )
    row = quick(case)
    ours, slow, limit = row["contestants"]
    assert (ours["amount"], slow["amount"], limit["amount"]) == (1000, 100, None)
    for one in (ours, slow):
        assert one["rate"] == one["amount"] / one["seconds"]["median"]
    of_rounds = [
        (b / 100) / (a / 1000)
        for a, b in zip(ours["seconds"]["samples"], slow["seconds"]["samples"], strict=True)
    ]
    assert math.isclose(row["ratios"][0]["median"], float(np.median(of_rounds)))
    assert row["ratios"][0]["reach"] == 2.0
    shares = [b / a for a, b in zip(ours["seconds"]["samples"], limit["seconds"]["samples"], strict=True)]
    assert math.isclose(row["limits"][0]["median"], float(np.median(shares)))
    lines = "\n".join(text.row_lines(row))
    assert "to reach: 2" in lines

    wrong = Contestant("slow", lambda: data[:100] * 2 + 1, "peer", amount=100, exact=False)
    row = quick(replace(case, contestants=[case.contestants[0], wrong]))
    assert any("100 values differ of 100" in line for line in text.row_lines(row))


def test_the_table_has_lookups_and_calls(rows: list[dict[str, Any]]) -> None:
    spec = importlib.util.spec_from_file_location("table", ROOT / "benchmarks" / "table.py")
    assert spec is not None
    assert spec.loader is not None
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    changed = json.loads(json.dumps(rows))
    changed[0]["contestants"][1]["differences"] = 30
    changed[0]["ratios"][0]["reach"] = 1.5
    rates = machine.rates(1, repeats=1)
    lines = table.table([document.make(machine.facts(1), machine.versions(), [rates], changed)]).splitlines()
    heads = [line for line in lines if line.startswith("| what")]
    assert len(heads) == 2
    assert "of the multiply-add peak" in heads[0]
    assert "one call" in heads[1]
    found = [line for line in lines if line.startswith("| nearest")]
    assert len(found) == len(rows)
    assert all(line.count("|") == heads[" a call" in line or "set-up" in line].count("|") for line in found)
    assert "1 % of numpy" in found[0]
    assert "1.5 × numpy" in found[0]
    assert found[1].count("| none |") == 1


# ---- peers -----------------------------------------------------------------------------------------------------


def test_absent_peers_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "version_of", lambda package: "1" if package == "numpy" else None)
    row = quick(cases("small", peers=True)[0])
    assert row["absent"] == ["faiss-cpu", "scikit-learn", "scipy", "torch", "vector-quantize-pytorch"]
    assert [one["name"] for one in row["contestants"]] == ["evtok", "numpy", "multiply-adds"]


@pytest.mark.peers
@pytest.mark.parametrize("shape", SHAPES)
def test_all_peers_find_nearly_the_same_ids(shape: str) -> None:
    for package in ("faiss", "torch", "sklearn", "scipy", "vector_quantize_pytorch"):
        pytest.importorskip(package)
    lookup, *_, small, set_up = cases(shape, peers=True)
    names = [c.name for c in lookup.contestants]
    assert names[:3] == ["evtok", "numpy", "FAISS IndexFlatL2"]
    assert names[-5:] == ["torch", "scikit-learn", "scipy", "vector-quantize-pytorch", "multiply-adds"]
    assert ("FAISS IndexFlatIP" in names) == (shape == "small-cosine")
    for case in (lookup, small, set_up):
        expected = case.expected()
        for one in case.contestants:
            if one.role != "limit":
                assert case.differences(one.run(), expected) <= (0 if one.exact else 0.01 * len(expected))
    assert any("blas_threshold" in note and "of 4 settings" in note for note in lookup.notes)


def test_slow_peers_get_fewer_rows_and_the_row_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_peers, "PEERS", (replace(nearest_peers.PEERS[0], pairs=300 * 11),))
    row = quick(cases("small")[0])
    assert [one["amount"] for one in row["contestants"]] == [3000, 11, None]


@pytest.mark.peers
def test_faiss_has_its_settings_only_while_it_is_called() -> None:
    faiss = pytest.importorskip("faiss")
    before = faiss.cvar.distance_compute_blas_threshold
    with nearest_faiss.set_to(nearest_faiss.Settings(7, 64, 32)):
        assert faiss.cvar.distance_compute_blas_threshold == 7
        assert faiss.cvar.distance_compute_blas_query_bs == 64
    assert faiss.cvar.distance_compute_blas_threshold == before
    assert nearest_faiss.CANDIDATES[0].blas_threshold == before, (
        "the first candidate is what FAISS starts with"
    )


# ---- command ---------------------------------------------------------------------------------------------------


def test_the_command_measures_lookups(tmp_path: Path) -> None:
    pytest.importorskip("typer")
    kept = {name: value for name, value in os.environ.items() if name != "EVTOK_TEST_DATA"}
    output = tmp_path / "run.json"
    arguments = ["nearest", "--shape", "small-cosine", "--rounds", "3", "--threads", "1"]
    command = [sys.executable, "-m", "evtok.cli", "bench", *arguments, "--json", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=kept)
    assert done.returncode == 0, done.stderr
    assert "evtok : numpy = " in done.stdout
    assert [row["shape"] for row in document.read(output)["rows"]] == ["small-cosine"] * 4
