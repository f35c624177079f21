"""The scoring benchmark: P57, likelihoods that differ from float64 are not timed; memory is measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evtok.bench import registry, score_head
from evtok.bench.harness import Case, WrongResultError, measure


def case(peers: bool = False) -> Case:
    (only,) = registry.cases("score", registry.Settings(1, peers=peers), "small")
    assert isinstance(only, Case)
    return only


def quick(made: Case) -> dict[str, Any]:
    return measure(made, rounds=3, flush_bytes=1 << 16)


def test_the_row_has_the_peers_and_the_limit() -> None:
    pytest.importorskip("torch")
    row = quick(case(peers=True))
    names = [c["name"] for c in row["contestants"] if c["role"] == "peer"]
    assert names == ["torch linear, log_softmax, gather", "torch linear, cross_entropy"]
    assert all(c["differences"] == 0 for c in row["contestants"] if c["role"] != "limit")
    assert [limit["operations_per_unit"] for limit in row["limits"]] == [2 * 100 * 16] * 2
    assert row["amount"] == 300


@pytest.mark.parametrize("wrong", [np.nan, 2e-4])
def test_p57_a_wrong_likelihood_is_not_timed(wrong: float, monkeypatch: pytest.MonkeyPatch) -> None:
    right = score_head.token_nll

    def one_wrong(*arguments: Any, **options: Any) -> Any:
        nll = right(*arguments, **options)
        nll[17] += wrong
        return nll

    monkeypatch.setattr(score_head, "token_nll", one_wrong)
    with pytest.raises(
        WrongResultError, match=r"score/small/.*: evtok: 1 values differ from NumPy in float64"
    ):
        quick(case())


def test_the_oracle_is_the_definition_in_float64() -> None:
    hidden, weight, bias, targets = score_head.make_rows({"events": 3, "length": 2, "vocab": 5, "d": 4})
    logits = hidden.astype(np.float64) @ weight.T.astype(np.float64) + bias
    expected = [np.log(np.exp(row).sum()) - row[target] for row, target in zip(logits, targets, strict=True)]
    np.testing.assert_allclose(score_head.in_float64(hidden, weight, bias, targets), expected, rtol=1e-12)


def test_peak_memory_is_that_of_the_call() -> None:
    # So much that the allocator takes it from the system anew: glibc keeps freed blocks of up to 32 MiB.
    taken = score_head.peak_extra_bytes(lambda: np.ones(12_000_000))
    if taken is None:
        pytest.skip("this system does not tell")
    assert 90_000_000 < taken < 105_000_000
