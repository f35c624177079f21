"""Memory that a caller gives for the ids: `encode(..., out=)`. Integers: compared with ==."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from event_tokenizers import every_kind, made, make_events
from evtok import Events
from evtok.tokenizers import BinnedTokenizer, Explicit, Feature

FULL = -77  # what the memory holds before


@every_kind
@pytest.mark.parametrize("spare", [0, 1, 1000])
@pytest.mark.parametrize("dtype", [np.int32, np.uint16])
@pytest.mark.parametrize("threads", [1, 3])
def test_ids_are_the_same_and_lie_in_the_memory(kind: str, spare: int, dtype: Any, threads: int) -> None:
    events = make_events()
    tokenizer = made(kind, specials=("pad", "cls"))
    tokenizer.fit(events)
    expected = tokenizer.encode(events, dtype=dtype)
    out = np.full(len(expected.ids) + spare, FULL % 60_000, dtype)
    tokens = tokenizer.encode(events, dtype=dtype, out=out, threads=threads)
    np.testing.assert_array_equal(tokens.ids, expected.ids)
    np.testing.assert_array_equal(tokens.offsets, expected.offsets)
    assert tokens.ids.dtype == dtype
    assert tokens.report == expected.report
    np.testing.assert_array_equal(out[: len(expected.ids)], expected.ids)
    assert np.all(out[len(expected.ids) :] == FULL % 60_000)  # nothing behind them is touched
    assert np.shares_memory(tokens.ids, out) or not len(out)
    assert not tokens.ids.flags.writeable


def plain() -> BinnedTokenizer:
    return BinnedTokenizer({"pt": Feature("pt", Explicit((20.0, 60.0)))})


def test_tokens_hold_on_to_the_memory() -> None:
    tokenizer, events = plain(), make_events()
    tokens = tokenizer.encode(events, out=np.empty(events.n_objects, np.int32))
    filler = [np.full(events.n_objects, FULL, np.int32) for _ in range(20)]
    np.testing.assert_array_equal(tokens.ids, tokenizer.encode(events).ids)
    assert len(filler) == 20


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda n: np.empty(n - 1, np.int32), ValueError, "has room for"),
        (lambda n: np.empty(n, np.int64), TypeError, "array of int32, as dtype says, got one of int64"),
        (lambda n: np.empty(n, ">i4"), TypeError, "got one of >i4"),
        (lambda n: [0] * n, TypeError, "got list"),
        (lambda n: np.empty((n, 1), np.int32), ValueError, r"expected shape \(n,\)"),
        (lambda n: np.empty(2 * n, np.int32)[::2], ValueError, "contiguous: False"),
        (lambda n: np.broadcast_to(np.int32(0), (n,)), ValueError, "writable: False"),
        (lambda n: np.zeros(4 * n + 1, np.uint8)[1:].view(np.int32), ValueError, "aligned: False"),
    ],
)
def test_memory_that_does_not_do_is_refused(make: Any, error: type[Exception], message: str) -> None:
    events = make_events()
    with pytest.raises(error, match=f"out: .*{message}"):
        plain().encode(events, out=make(events.n_objects))


def test_memory_of_the_events_is_refused() -> None:
    pt = np.array([10.0, 30.0, 70.0], np.float32)
    events = Events([0, 1, 3], {"pt": pt})
    with pytest.raises(ValueError, match="out: shares memory with the events"):
        plain().encode(events, out=pt.view(np.int32))
    np.testing.assert_array_equal(pt, [10, 30, 70])
