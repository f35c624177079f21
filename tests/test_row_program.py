"""The compiled encode call: what it refuses, and that chunks and threads change nothing. Integers, compared with ==."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evtok import _core

EDGES = np.array([0.25, 1, 2], np.float32)
X = np.array([0.0, 0.5, 1.5, 2.5, 9.0], np.float32)


def options(**changed: Any) -> dict[str, Any]:
    plain = {
        "right": False, "lowest": -1e30, "highest": 1e30, "first": 0, "last": 3, "origin": 0, "outside_unknown": False,
        "stride": 1, "base": 0, "relative": False, "wrap": False, "reference": None, "zero_is_digit_zero": False,
    }  # fmt: skip
    return plain | changed


def run(
    *features: dict[str, Any], ranks: int | None = None, factorised: bool = False, base: int = 0
) -> list[int]:
    program = _core.RowProgram(len(X))
    for feature in features:
        program.add_bins(X, EDGES, feature)
    program.set_vocabulary(factorised, base, -1)
    if ranks is not None:
        program.set_ranks(np.arange(ranks, dtype=np.int32))
    ids = np.empty(len(X) * (len(features) if factorised else 1), np.int32)
    program.ids(ids, 1)
    return ids.tolist()


def test_codes_within_their_limits_are_taken() -> None:
    assert run(options()) == [0, 1, 2, 3, 3]
    assert run(options(first=1, last=2, origin=1, stride=5)) == [0, 0, 5, 5, 5]
    assert run(options(first=1, last=3), ranks=4) == [1, 1, 2, 3, 3]
    assert run(options(stride=0), options(stride=4), ranks=13) == [0, 4, 8, 12, 12]


HOSTILE = [
    {"last": 4},
    {"last": 2**31 - 1},
    {"first": 3, "last": 2},
    {"first": -1},
    {"origin": -1},
    {"origin": 1},
    {"origin": -(2**31)},
    {"first": -5, "origin": -5},
    {"stride": -1},
    {"stride": -(2**31)},
    {"stride": 2**30},
]


@pytest.mark.parametrize("changed", HOSTILE, ids=str)
@pytest.mark.parametrize("factorised", [False, True])
def test_p19_options_that_lead_out_of_the_keys_are_refused(changed: dict[str, int], factorised: bool) -> None:
    with pytest.raises(ValueError, match=r"options: expected|combinations|base: expected"):
        run(options(), options(**changed), ranks=100, factorised=factorised)


def test_p19_a_negative_share_does_not_hide_a_large_one() -> None:
    """The keys of the first feature reach 300, whatever the sum of all shares is."""
    with pytest.raises(ValueError, match="options: expected 0 <= origin"):
        run(options(stride=100), options(first=3, origin=3, last=0, stride=100), ranks=4)
    with pytest.raises(ValueError, match="ranks: expected one rank for each key"):
        run(options(stride=100), ranks=300)


def test_p19_shares_whose_sum_overflows_are_refused() -> None:
    with pytest.raises(ValueError, match="combinations"):
        run(*[options(stride=2**31 - 1)] * 20)


@pytest.mark.parametrize("base", [-1, 2**31 - 3])
def test_p19_ids_beyond_int32_are_refused(base: int) -> None:
    with pytest.raises(ValueError, match="base: expected ids from 0"):
        run(options(), base=base)
    with pytest.raises(ValueError, match="base: expected ids from 0"):
        run(options(base=base), factorised=True)


@pytest.mark.parametrize("value", [-1, -(2**31), _core.unknown_flag + 1, 2**31 - 1])
def test_p19_contributions_are_digits_or_the_unknown_flag(value: int) -> None:
    contributions = np.full(256, _core.unknown_flag, np.int32)
    contributions[77] = value
    program = _core.RowProgram(2)
    program.add_types(np.zeros(2, np.uint8), contributions, 0)
    program.set_vocabulary(False, 0, -1)
    with pytest.raises(ValueError, match="contributions: expected digits or the unknown flag"):
        program.ids(np.empty(2, np.int32), 1)


def test_p19_derived_features_are_searched_in_float64() -> None:
    program = _core.RowProgram(len(X))
    for x, edges, relative in ((X, EDGES, True), (X, EDGES.astype(np.float64), False)):
        with pytest.raises(ValueError, match="edges: expected float64 for a derived feature"):
            program.add_bins(x, edges, options(relative=relative))


def test_p19_sizes_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="n_rows: expected 0 or more"):
        _core.RowProgram(-1)
    program = _core.RowProgram(len(X))
    program.add_bins(X, EDGES, options())
    program.set_offsets(np.array([0, len(X)]))
    with pytest.raises(ValueError, match="max_objects: expected 0 or more"):
        program.sequences_int32([1], [], None, -1, 1)


@pytest.mark.parametrize(
    "offsets", [[0, 9, 5], [0, 3, 2, 5], [1, 5], [-1, 5], [0, 4], [0, 6], [0, -(2**62), 5], [5], []]
)
def test_p19_offsets_are_checked_when_they_are_used(offsets: list[int]) -> None:
    """Not only when events are made: their owner can have written to the memory since."""
    with pytest.raises(ValueError, match="offsets: expected"):
        _core.RowProgram(len(X)).set_offsets(np.array(offsets, np.int64))


# ---- chunks and threads -------------------------------------------------------------------------------------


def wrapped(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return (x + np.pi) % (2 * np.pi) - np.pi


def borders_with_empty_events(n: int) -> npt.NDArray[np.int64]:
    """Offsets over n objects; empty events lie at the borders of chunks (2**15 objects) and of blocks (1024)."""
    rng = np.random.default_rng(3)
    inner = np.sort(rng.integers(0, n + 1, n // 12))
    ends = np.repeat(np.r_[np.arange(0, n, 1024), np.arange(0, n, 1 << 15), n], 3)
    beside = np.r_[np.arange(1 << 15, n, 1 << 15) - 1, np.arange(1 << 15, n, 1 << 15) + 1]
    return np.sort(np.concatenate([[0, n], inner, ends, beside])).astype(np.int64)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_p2_relative_features_across_chunks(isa: str, dtype: type, threads: int) -> None:
    n = 300_000
    rng = np.random.default_rng(1)
    offsets = borders_with_empty_events(n)
    phi = rng.uniform(-np.pi, np.pi, n).astype(dtype)
    reference = rng.uniform(-np.pi, np.pi, len(offsets) - 1)
    edges = np.linspace(-3, 3, 31)
    values = wrapped(phi.astype(np.float64) - np.repeat(reference, np.diff(offsets)))
    expected = np.digitize(values, edges)

    program = _core.RowProgram(n)
    program.set_offsets(offsets)
    program.add_bins(phi, edges, options(last=31, relative=True, wrap=True, reference=reference))
    program.set_vocabulary(False, 4, -1)
    ids = np.empty(n, np.int32)
    program.ids(ids, threads)
    np.testing.assert_array_equal(ids, expected + 4)

    starts, sequences, counts = program.sequences_int32([1], [2], None, 2**63 - 1, threads)
    np.testing.assert_array_equal(starts, offsets + 2 * np.arange(len(offsets)))
    rows = np.arange(n) + 2 * np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)) + 1
    np.testing.assert_array_equal(sequences[rows], expected + 4)
    np.testing.assert_array_equal(sequences[starts[:-1]], 1)
    np.testing.assert_array_equal(sequences[starts[1:] - 1], 2)
    assert (counts["invalid"], counts["truncated_events"]) == (0, 0)


@pytest.mark.parametrize("threads", [1, 4])
def test_p2_very_unequal_events(threads: int) -> None:
    """One event holds most objects; thousands are empty."""
    multiplicities = np.zeros(20_000, np.int64)
    multiplicities[[7, 11_000, 19_999]] = 3, 200_000, 90_000
    offsets = np.concatenate([[0], np.cumsum(multiplicities)])
    n = int(offsets[-1])
    x = np.random.default_rng(2).uniform(0, 3, n).astype(np.float32)
    program = _core.RowProgram(n)
    program.set_offsets(offsets)
    program.add_bins(x, EDGES, options())
    program.set_vocabulary(False, 10, -1)
    for most in (2**63 - 1, 100_000):
        starts, ids, counts = program.sequences_uint16([7], [], x, most, threads)
        kept = np.minimum(multiplicities, most)
        np.testing.assert_array_equal(np.diff(starts), kept + 1)
        np.testing.assert_array_equal(ids[starts[:-1]], 7)
        for event in (7, 11_000, 19_999):
            falling = -np.sort(-x[offsets[event] : offsets[event + 1]])[:most]
            np.testing.assert_array_equal(
                ids[starts[event] + 1 : starts[event + 1]], 10 + np.digitize(falling, EDGES)
            )
        assert counts["truncated_objects"] == n - kept.sum()


@pytest.mark.parametrize("value", [-1, -(2**63), 2**63 - 1, 300_001])
@pytest.mark.parametrize("place", [1, 65_535, 65_536, 65_537, 299_999])
def test_p19_a_bad_offset_is_found_wherever_threads_meet(value: int, place: int) -> None:
    offsets = np.arange(300_001)
    offsets[place] = value
    messages = set()
    for threads in (1, 2, 4):
        with pytest.raises(ValueError, match="offsets: expected to run from 0 to the 300000 rows") as caught:
            _core.RowProgram(300_000).set_offsets(offsets, threads)
        messages.add(str(caught.value))
    assert len(messages) == 1
    given = offsets.tolist()
    first = next(k for k in range(300_000) if not 0 <= given[k + 1] - given[k] <= 300_000)
    assert f"event {first} does not" in messages.pop()
