"""The benchmark harness: P57, it refuses to time a wrong kernel, and its A/A runs lie within the noise it states."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evtok import _core
from evtok.bench import compare, document, harness, machine, peers, registry, shapes, statistics, text
from evtok.bench import tokenize as bench_tokenize
from evtok.bench.harness import Case, Contestant, WrongResultError, measure
from evtok.errors import EvtokError

ROOT = Path(__file__).resolve().parents[1]
DATA = np.arange(100_000, dtype=np.int64)


def doubled() -> Any:
    return DATA * 2


def make_case(*others: Contestant, ours: Any = doubled, **options: Any) -> Case:
    contestants = [Contestant("evtok", ours, "ours", "1"), *others]
    return Case(
        "toy",
        "tiny",
        "",
        "values",
        len(DATA),
        contestants,
        lambda: DATA + DATA,
        "a sum",
        {"seed": 0},
        **options,
    )


def quick(case: Case, rounds: int = 5) -> dict[str, Any]:
    return measure(case, rounds=rounds, flush_bytes=1 << 16)


# ---- verified before timed -------------------------------------------------------------------------------------


def test_threads_of_the_one_before_have_time_to_go_to_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(harness.time, "sleep", pauses.append)
    case = make_case(Contestant("peer", doubled, "peer", "1"))
    measure(case, rounds=3, clock=harness.HostClock(1 << 16, harness.REST_SECONDS))
    assert pauses == [harness.REST_SECONDS] * 3 * (3 + 1)  # ours twice and the peer, and once before
    assert harness.REST_SECONDS >= 0.05


def test_p57_a_wrong_kernel_is_not_timed() -> None:
    calls = []

    def wrong() -> Any:
        calls.append(1)
        result = doubled()
        result[77] += 1
        return result

    with pytest.raises(WrongResultError, match=r"toy/tiny: evtok: 1 values differ from a sum"):
        quick(make_case(ours=wrong))
    assert len(calls) == 1, "it ran once to be verified, and was not timed"


def test_p57_a_wrong_peer_that_claims_to_be_exact_is_not_timed() -> None:
    with pytest.raises(WrongResultError, match="peer: 99999 values differ"):
        quick(make_case(Contestant("peer", lambda: DATA, "peer", "1")))


def test_p57_a_kernel_that_becomes_wrong_later_is_caught() -> None:
    calls: list[int] = []

    def wrong_at_last() -> Any:
        calls.append(1)
        return doubled() + (len(calls) > 3)

    with pytest.raises(WrongResultError):
        quick(make_case(ours=wrong_at_last))


def test_p57_a_wrong_tokenizer_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a whole benchmark: the ids of one bin are off by one."""
    right = bench_tokenize.BinnedTokenizer.encode

    def off_by_one(self: Any, events: Any, **options: Any) -> Any:
        tokens = right(self, events, **options)
        ids = tokens.ids.copy()
        ids[ids == ids[0]] += 1
        return type(tokens)(ids, tokens.offsets, vocab_size=tokens.vocab_size + 1)

    monkeypatch.setattr(bench_tokenize.BinnedTokenizer, "encode", off_by_one)
    case = next(registry.cases("tokenize", registry.Settings(1), "small"))
    with pytest.raises(WrongResultError, match=r"tokenize/small/.*: evtok: [1-9]\d* values differ"):
        quick(case)


def test_the_differences_of_an_inexact_peer_are_stated() -> None:
    row = quick(
        make_case(Contestant("rough", lambda: DATA * 2 + (DATA % 1000 == 0), "peer", "1", exact=False))
    )
    assert [c["differences"] for c in row["contestants"]] == [0, 100]
    assert any("100 values differ" in line for line in text.row_lines(row))


@pytest.mark.parametrize(
    ("got", "expected", "differences"),
    [
        ([1.0, np.nan], [1.0, np.nan], 1),
        ([1, 2, 3], [1, 2], 3),
        ([], [], 0),
        ([1.0, 2.0], [1, 2], 2),
        ([1, 2], [1, 3], 1),
    ],
)
def test_differences_are_counted_so_that_nan_and_shapes_fail(
    got: Any, expected: Any, differences: int
) -> None:
    assert harness.count_differences(np.array(got), np.array(expected)) == differences


def test_the_first_contestant_must_be_ours() -> None:
    case = Case("toy", "tiny", "", "values", 1, [Contestant("p", doubled, "peer")], doubled, "itself", {})
    with pytest.raises(ValueError, match="must be ours"):
        measure(case)


# ---- statistics ------------------------------------------------------------------------------------------------


def test_the_interval_of_a_median_has_the_confidence_that_it_states() -> None:
    """Binomial: 11 samples give 1 - 2/2**11 from smallest to largest, 41 give order statistics inside of these."""
    few = statistics.median_interval(list(range(11)))
    assert (few["low"], few["median"], few["high"]) == (0, 5, 10)
    assert few["confidence"] == 1 - 2 / 2**11
    many = statistics.median_interval(list(range(41)))
    assert 0 < many["low"] < 20 == many["median"] < many["high"] < 40
    assert many["confidence"] >= statistics.CONFIDENCE
    assert statistics.median_interval([3.0])["confidence"] == 0


def test_p57_intervals_hold_the_true_median_as_often_as_stated() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for samples in np.exp(rng.normal(size=(4000, 15))):
        interval = statistics.median_interval(samples.tolist())
        held += interval["low"] <= 1 <= interval["high"]
    assert held / 4000 >= statistics.CONFIDENCE - 0.002


def test_p57_a_real_difference_exceeds_the_stated_noise() -> None:
    twice = make_case(
        Contestant("twice", lambda: (doubled(), doubled(), doubled(), doubled())[0], "peer", "1")
    )
    row = quick(twice, rounds=31)
    assert row["ratios"][0]["low"] > 1.2


@pytest.mark.alone
@pytest.mark.slow
def test_p57_a_a_runs_lie_within_the_stated_noise() -> None:
    """Four A/A pairs; with 99.9 % each, that one of them misses is a matter of one run in 250, of two one in 10^5."""
    misses = 0
    for case in [
        *registry.cases("tokenize", registry.Settings(1), "small"),
        *registry.cases("digitize", registry.Settings(1), "small"),
    ]:
        row = quick(case, rounds=15)
        misses += not row["again"]["within_noise"]
        assert row["again"]["confidence"] >= 0.999
    assert misses <= 1


# ---- the document -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run() -> dict[str, Any]:
    settings = registry.Settings(2)
    rows = [
        quick(case) for name in ("tokenize", "digitize") for case in registry.cases(name, settings, "small")
    ]
    rates = machine.rates(2, repeats=2)
    return document.make(machine.facts(2), machine.versions(), [rates, rates], rows)


def test_p57_a_run_states_all_that_is_needed_to_judge_it(run: dict[str, Any], tmp_path: Path) -> None:
    document.write(tmp_path / "run.json", run)
    again = document.read(tmp_path / "run.json")
    assert again == json.loads(json.dumps(run))
    assert {"cpu", "isa", "threads", "caches", "kernel", "governor", "load"} <= set(again["machine"])
    assert again["versions"]["numpy"] == np.__version__
    for row in again["rows"]:
        assert len(row["input"]["sha256"]) == 64
        assert row["verified_against"] == "numpy.digitize in float64"
        ours, numpy = row["contestants"][0], next(r for r in row["ratios"] if r["of"] == "evtok")
        assert ours["name"] == "evtok"
        assert ours["differences"] == 0
        assert len(ours["seconds"]["samples"]) == ours["seconds"]["n"] == 5
        assert ours["seconds"]["q1"] <= ours["seconds"]["median"] <= ours["seconds"]["q3"]
        assert ours["rate"] == row["amount"] / ours["seconds"]["median"]
        assert 0 < numpy["low"] <= numpy["median"] <= numpy["high"]
        fractions = [limit["median"] for limit in row["limits"] if limit["of"] == "evtok"]
        assert len(fractions) == 2
        assert all(fraction > 0 for fraction in fractions)


def test_other_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    (tmp_path / "b.json").write_text("{")
    for name in ("a.json", "b.json", "none.json"):
        with pytest.raises(EvtokError, match=name):
            document.read(tmp_path / name)


def test_the_yardsticks_are_measured_and_verified() -> None:
    rates = machine.rates(1, repeats=1)
    assert rates["copy"]["bytes_per_second"] > 1e8
    assert rates["multiply_add"]["operations_per_second"] > 1e7
    assert _core.multiply_adds(1000, 2)[1] == 2.0
    with pytest.raises(ValueError, match="target"):
        _core.copy_bytes(np.zeros(64, np.uint8), True, 1, np.zeros(80, np.uint8)[1:65])
    with pytest.raises(ValueError, match="target: expected shape"):
        _core.copy_bytes(np.zeros(64, np.uint8), True, 1, np.zeros(63, np.uint8))


def test_a_yardstick_that_does_not_do_its_work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "copy_bytes", lambda *_: None)
    with pytest.raises(WrongResultError, match="copy differs"):
        machine.copy_limit(1, 1)


# ---- comparing --------------------------------------------------------------------------------------------------


def with_ratio(run: dict[str, Any], factor: float) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(run))
    for row in changed["rows"]:
        for ratio in row["ratios"]:
            for name in ("low", "median", "high"):
                ratio[name] *= factor
    return changed


def test_p57_compare_tells_a_change_from_noise(run: dict[str, Any]) -> None:
    def verdicts(factor: float) -> set[str]:
        return {entry["verdict"] for entry in compare.compare(run, with_ratio(run, factor))}

    assert verdicts(1.0) == {"within noise"}
    assert verdicts(1e3) == {"faster"}
    assert verdicts(1e-3) == {"slower"}
    shorter = {**run, "rows": run["rows"][1:]}
    lines = list(compare.lines(run, shorter))
    assert sum("only in the old run" in line for line in lines) == len(run["rows"][0]["ratios"])
    other = {**run, "machine": {**run["machine"], "cpu": "another"}}
    assert any("another machine: cpu" in line for line in compare.lines(run, other))


def test_the_table_is_made_from_the_json(run: dict[str, Any]) -> None:
    spec = importlib.util.spec_from_file_location("table", ROOT / "benchmarks" / "table.py")
    assert spec is not None
    assert spec.loader is not None
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    readme = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    new = table.replaced(readme, table.table([run]))
    assert new.startswith(f"before\n{table.BEGIN}\n")
    assert new.endswith(f"{table.END}\nafter\n")
    assert "old\n" not in new
    assert (
        sum(line.startswith("| tokenize small") for line in new.splitlines()) == 6
    )  # with out=, and without
    assert table.replaced(new, table.table([run])) == new
    short = table.short_table([run]).splitlines()
    assert short[0].count("|") == 5
    assert sum(line.startswith("| tokenize small") for line in short) == 6
    with pytest.raises(SystemExit, match="expected one"):
        table.replaced("no markers", "")
    later = {**run, "rows": run["rows"][:1]}
    again = table.latest([run, later])
    assert [len(one["rows"]) for one in again] == [len(run["rows"]) - 1, 1]
    assert table.latest([later, run]) == [run]


# ---- shapes, peers, command -------------------------------------------------------------------------------------


def test_every_benchmark_has_shapes_and_unknown_ones_are_named() -> None:
    for name in registry.BENCHMARKS:
        assert shapes.load(name)
        with pytest.raises(EvtokError, match=f"{name} has no shape 'nope'; it has"):
            shapes.load(name, "nope")
    assert [shape["name"] for shape in shapes.load("tokenize")] == ["finke", "objects"]


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["uniform", "log-uniform", "equal-frequency"])
def test_the_peers_give_the_same_ids(kind: str) -> None:
    pytest.importorskip("torch")
    events = bench_tokenize.make_events(20_000, 8)
    counts = {"pt": 40, "eta": 30, "phi": 30}
    tokenizer = bench_tokenize.make_tokenizer(kind, counts, events)
    first = tokenizer.vocabulary.object_base
    expected = bench_tokenize.expected_ids(kind, counts, events, first)
    arguments = (
        events.columns["type"],
        [events.columns[name] for name in counts],
        [tokenizer.fitted[name].thresholds32 for name in counts],
        first,
    )
    np.testing.assert_array_equal(peers.numpy_chain(*arguments), expected)
    np.testing.assert_array_equal(peers.torch_chain(*arguments, 1)(), expected)


def test_absent_peers_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_tokenize, "version_of", lambda package: None)
    row = quick(next(registry.cases("tokenize", registry.Settings(1, peers=True), "small")))
    assert row["absent"] == ["torch", "numba"]
    assert any("numba is not installed" in line for line in text.row_lines(row))


def evtok_bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("typer")
    kept = {name: value for name, value in os.environ.items() if name != "EVTOK_TEST_DATA"}
    command = [sys.executable, "-m", "evtok.cli", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**kept, **environment})


def test_the_command_measures_writes_and_compares(tmp_path: Path) -> None:
    output = tmp_path / "run.json"
    arguments = ("digitize", "--shape", "small", "--rounds", "3", "--threads", "1")
    first = evtok_bench(*arguments, "--json", str(output))
    assert first.returncode == 0, first.stderr
    assert "evtok : numpy.digitize = " in first.stdout
    assert "% of the copy bandwidth" in first.stdout
    assert document.read(output)["machine"]["threads"] == 1
    second = evtok_bench(*arguments, "--compare", str(output))
    assert second.returncode == 0, second.stderr
    assert "digitize/small/float32, 41 edges: evtok : numpy.digitize: " in second.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("speed",), 2, "expected one of"),
        (("io",), 1, "needs event files"),
        (("digitize", "--shape", "nope"), 1, "has no shape"),
        (("--shape", "finke"), 2, "name the benchmark too"),
    ],
)
def test_the_command_says_what_it_cannot_do(arguments: tuple[str, ...], status: int, message: str) -> None:
    done = evtok_bench(*arguments)
    assert done.returncode == status
    assert message in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("shape", ["small", "small-parquet", "small-nanoaod", "small-memory"])
def test_reading_and_jobs_are_verified_and_measured(test_data: Path, shape: str) -> None:
    for case in registry.cases("io", registry.Settings(2, data=test_data), shape):
        row = case if isinstance(case, dict) else quick(case, rounds=3)
        if "memory" in row:
            assert all(point["peak_bytes"] < 1e9 for point in row["memory"])
        else:
            assert [c["differences"] for c in row["contestants"]] == [0] * len(row["contestants"])
            assert row["input"]["tiled"] >= 1
