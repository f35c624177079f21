"""The encoder benchmark: P57, a wrong row or a wrong score is not timed; its oracle is torch in float64."""

from __future__ import annotations

import importlib.util
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evtok.bench import (
    document,
    encoder,
    encoder_data,
    encoder_onnx,
    encoder_oracle,
    encoder_torch,
    encoder_ways,
    machine,
    registry,
    shapes,
    text,
)
from evtok.bench.harness import Case, WrongResultError, measure
from evtok.detectors import MaskedTokenDetector

pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[1]
SHAPE = shapes.load("encoder", "small")[0]


def cases(peers: bool = False) -> dict[str, Case]:
    """Return the cases of the small shape by the first word of their variants."""
    made = list(registry.cases("encoder", registry.Settings(1, peers=peers), "small"))
    return {case.variant.split(",")[0]: case for case in made}


def quick(made: Case) -> dict[str, Any]:
    return measure(made, rounds=3, flush_bytes=1 << 16)


# ---- what is measured --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "CALLS", 3)
        patch.setattr(encoder, "has_bfloat16", lambda: False)
        return [quick(case) for case in cases(peers=True).values()]


def test_every_case_has_its_peers_and_what_is_to_be_reached(rows: list[dict[str, Any]]) -> None:
    with_onnx = [] if rows[0]["absent"] else ["ONNX Runtime"]
    found = [[c["name"] for c in row["contestants"] if c["role"] == "peer"] for row in rows]
    assert found == [
        ["torch", "torch, 256 a call", *with_onnx],
        ["torch bfloat16"],
        ["torch, padded", "evtok, backend torch"],
        ["torch", *with_onnx],
        ["torch", *with_onnx],
    ]
    reach = [{r["to"]: r["reach"] for r in row["ratios"] if "reach" in r} for row in rows]
    of_onnx = dict.fromkeys(with_onnx, 1.8)
    assert reach == [{"torch": 3.0} | of_onnx, {}, {"torch, padded": 5.0}, {"torch": 5.0}, {"torch": 5.0}]
    assert [row["unit"] for row in rows] == ["events", "events", "events", "calls", "calls"]
    for row in rows:
        in_float32 = [c for c in row["contestants"] if c["role"] != "limit" and "bfloat16" not in c["name"]]
        assert [c["differences"] for c in in_float32] == [0] * len(in_float32), row["variant"]
        assert len(row["input"]["sha256"]) == 64
        assert len(row["limits"]) == (row["unit"] == "events")
    json.dumps(rows, allow_nan=False)


def test_operations_are_those_of_the_products() -> None:
    network = encoder_data.network(SHAPE)
    length, d, inner = 5, 8, 16
    rows = 2 * length * (3 * d * d + d * d + 2 * d * inner)
    attention = 2 * 2 * length * length * d
    assert network.operations(length) == 2 * (rows + attention)


def test_shapes_of_one_name_are_one_network() -> None:
    heads = {shape["name"]: shape for shape in shapes.load("score")}
    for shape in shapes.load("encoder"):
        same = ("length", "vocab", "d", "layers", "heads", "ff")
        assert {name: shape[name] for name in same} == {name: heads[shape["name"]][name] for name in same}


def test_the_tables_have_what_is_reached(rows: list[dict[str, Any]]) -> None:
    spec = importlib.util.spec_from_file_location("table", ROOT / "benchmarks" / "table.py")
    assert spec is not None
    assert spec.loader is not None
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    rates = {"copy": {"bytes_per_second": 1e9}}
    run = document.make(machine.facts(1), machine.versions(), [rates], rows)
    whole = [line for line in table.table([run]).splitlines() if line.startswith("| encoder")]
    assert len(whole) == 5
    assert "events/s" in whole[0]
    assert re.search(r" %, [\d.]+ [GMk]?flop/s", whole[0])
    assert all("5 × torch" in line for line in whole[2:])
    assert all(" µs |" in line for line in whole[3:])
    short = [line for line in table.short_table([run]).splitlines() if line.startswith("| encoder")]
    assert len(short) == 4 + len([r for r in rows[0]["ratios"] if "reach" in r])
    assert all(line.endswith((" 3 |", " 1.8 |", " 5 |")) for line in short if "bfloat16" not in line)
    lines = "\n".join(line for row in rows for line in text.row_lines(row))
    assert "fast path, the fastest of 2 ways" in lines
    assert "flop/s of " in lines


# ---- verified before timed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [np.nan, 2e-4])
def test_p57_a_wrong_row_is_not_timed(wrong: float, monkeypatch: pytest.MonkeyPatch) -> None:
    right = encoder.native_encoder

    def one_wrong(*arguments: Any) -> Any:
        made = right(*arguments)

        def encode(x: Any, **options: Any) -> Any:
            found = made(x, **options).copy()
            found[-1, -1, -1] += wrong
            return found

        return encode

    monkeypatch.setattr(encoder, "native_encoder", one_wrong)
    with pytest.raises(
        WrongResultError, match=r"encoder/small/2 layers.*: evtok: 1 values differ from NumPy"
    ):
        quick(cases()["2 layers d=8"])


def test_p57_a_wrong_row_in_bfloat16_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = encoder.defined_in_bfloat16

    def one_bit(*arguments: Any) -> Any:
        rows = right(*arguments)
        rows[1, 2, 3] = np.nextafter(rows[1, 2, 3], np.float32(9))
        return rows

    monkeypatch.setattr(encoder, "defined_in_bfloat16", one_bit)
    with pytest.raises(WrongResultError, match="evtok: 1 values differ from evtok's readable definition"):
        quick(cases()["bfloat16"])


def test_p57_a_wrong_pseudo_likelihood_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = MaskedTokenDetector.score

    def one_wrong(self: Any, *arguments: Any, **options: Any) -> Any:
        scores = right(self, *arguments, **options)
        scores[3] += 2e-4
        return scores

    monkeypatch.setattr(MaskedTokenDetector, "score", one_wrong)
    with pytest.raises(WrongResultError, match=r"pseudo-likelihood, .*: evtok: 1 values differ from NumPy"):
        quick(cases()["pseudo-likelihood"])


def test_events_are_counted_so_that_nan_and_shapes_fail() -> None:
    expected = np.zeros((3, 2, 2))
    assert encoder_oracle.count_far(expected + 9e-5, expected) == 0
    assert encoder_oracle.count_far(expected + 2e-4, expected) == 3
    assert encoder_oracle.count_far(expected + 2e-4, expected, tolerance=0.1) == 0
    assert encoder_oracle.count_far(np.where(np.arange(12).reshape(3, 2, 2) == 5, np.nan, 0), expected) == 1
    assert encoder_oracle.count_far(expected[:2], expected) == 3


# ---- the oracle and the data ------------------------------------------------------------------------------------


def test_the_oracle_is_torch_in_float64() -> None:
    torch = pytest.importorskip("torch")
    network = encoder_data.network(SHAPE)
    x, _ = encoder_data.sequences(SHAPE)
    with torch.inference_mode():
        expected = encoder_torch.module(network).double()(torch.from_numpy(x).double()).numpy()
    np.testing.assert_allclose(encoder_oracle.encoded(x, network), expected, rtol=0, atol=1e-12)


def test_the_oracle_of_scores_is_the_backend_torch() -> None:
    network = encoder_data.network(SHAPE)
    detector = encoder_data.detector(network)
    tokens, _ = encoder_data.ragged(SHAPE, detector, 11)
    expected = encoder_oracle.pseudo_likelihoods(tokens, network, detector.mask_id)
    np.testing.assert_allclose(detector.score(tokens, backend="torch"), expected, rtol=0, atol=2e-6)
    assert set(tokens.lengths) <= set(range(1, 6))
    assert detector.groups.is_scored[tokens.ids].all()


def test_sequences_and_events_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_data, "_VERIFIED", 1)
    monkeypatch.setattr(encoder_data, "_LEAST_RAGGED", 5)
    x, distinct = encoder_data.sequences(SHAPE)
    assert distinct == 5
    np.testing.assert_array_equal(x[5:10], x[:5])
    assert not np.isclose(x[0], x[1]).any()
    detector = encoder_data.detector(encoder_data.network(SHAPE))
    tokens, distinct = encoder_data.ragged(SHAPE, detector, 11)
    assert distinct == 5
    for event in range(5, 11):
        np.testing.assert_array_equal(tokens[event], tokens[event - 5])


# ---- the peers --------------------------------------------------------------------------------------------------


def test_every_way_of_torch_gives_the_same() -> None:
    network = encoder_data.network(SHAPE)
    x, _ = encoder_data.sequences(SHAPE)
    expected = encoder_oracle.encoded(x, network)
    for way in [*encoder_torch.encode(network, x, 1), *encoder_torch.encode(network, x, 1, 4)]:
        assert encoder_oracle.count_far(way.run(), expected) == 0, way.name
    narrow = encoder_torch.encode_bfloat16(network, x, 1)
    assert len(narrow) == 3
    for way in narrow:
        assert encoder_oracle.count_far(way.run(), expected, 0.2) == 0, way.name
        assert encoder_oracle.count_far(way.run(), expected) > 0, f"{way.name} is not bfloat16"


@pytest.mark.peers
def test_every_way_of_onnx_runtime_gives_the_same() -> None:
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    network = encoder_data.network(SHAPE)
    x, _ = encoder_data.sequences(SHAPE)
    expected = encoder_oracle.encoded(x, network)
    for way in encoder_onnx.encode(network, x, 1):
        assert encoder_oracle.count_far(way.run(), expected) == 0, way.name


def test_absent_peers_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "version_of", lambda package: None)
    made = cases(peers=True)
    assert {tuple(case.absent) for case in made.values()} == {("torch", "onnxruntime", "onnx")}
    assert all(len([c for c in case.contestants if c.role == "peer"]) == 0 for case in made.values())


def test_the_fastest_way_is_found() -> None:
    ways = [
        encoder_ways.Way("slow", lambda: time.sleep(0.02), 1),
        encoder_ways.Way("quick", lambda: None, 1),
    ]
    chosen, note = encoder_ways.fastest(ways)
    assert chosen.name == "quick"
    assert note == "quick, the fastest of 2 ways: slow; quick"
