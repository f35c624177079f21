"""`Events`: structure is checked before any kernel sees it, and nothing is copied or lost."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evtok import Events, _core
from evtok.errors import InvalidEventsError
from evtok.events import MAX_PER_EVENT


def small() -> Events:
    return Events(
        [0, 2, 2, 5],
        {"pt": np.array([50, 40, 30, 20, 10], np.float32), "type": np.array([0, 1, 1, 0, 2], np.uint8)},
        {"MET": np.array([1.0, 2.0, 3.0])},
        units={"pt": "GeV"},
        types=("j", "b", "g"),
    )


# ---- offsets ---------------------------------------------------------------------------------------------------

HOSTILE = {
    "negative start": ([-1, 2, 5], "start at 0 or above, got -1"),
    "decreasing": (
        [0, 4, 2, 5],
        r"event 1 ends before it begins \(multiplicity below zero\): offsets\[2\] = 2",
    ),
    "past the end": ([0, 2, 6], "end at or below the 5 objects of the columns, got 6"),
    "largest int64": ([0, 2**63 - 1], "event 0 claims 9223372036854775807 objects"),
    "wraps around": (
        [0, 2**63 - 1, -(2**63)],
        "event 0 claims 9223372036854775807 objects|event 1 ends before",
    ),
    "all decreasing": ([5, 4, 3], "event 0 ends before it begins"),
    "empty": ([], r"expected shape \(n_events \+ 1,\)"),
    "two-dimensional": ([[0, 5]], r"expected shape \(n_events \+ 1,\)"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_p19_hostile_offsets_are_refused(case: str) -> None:
    offsets, message = HOSTILE[case]
    with pytest.raises(InvalidEventsError, match=message):
        Events(np.array(offsets, np.int64), {"pt": np.arange(5.0)})


def test_p19_floats_are_no_offsets() -> None:
    with pytest.raises(TypeError, match="offsets: expected integers, got dtype float64"):
        Events([0.0, 5.0], {"pt": np.arange(5.0)})


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64, ">i4", ">i8"])
def test_p19_every_integer_dtype_and_byte_order(dtype: npt.DTypeLike) -> None:
    events = Events(np.array([0, 2, 5], dtype), {"pt": np.arange(5.0)})
    assert events.offsets.tolist() == [0, 2, 5]
    assert events.offsets.dtype == np.int64


@given(offsets=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6), m=st.integers(0, 10))
def test_p19_any_offsets_are_right_or_refused(offsets: list[int], m: int) -> None:
    valid = offsets[0] >= 0 and offsets == sorted(offsets) and offsets[-1] <= m
    x = np.arange(m, dtype=np.float32)
    if valid:
        events = Events(np.array(offsets, np.int64), {"x": x})
        assert events.multiplicity.tolist() == np.diff(offsets).tolist()
        np.testing.assert_array_equal(events.columns["x"], x[offsets[0] : offsets[-1]])
    else:
        with pytest.raises(InvalidEventsError, match="offsets"):
            Events(np.array(offsets, np.int64), {"x": x})


@given(
    counts=st.lists(st.integers(-5, 2**40), min_size=1, max_size=50),
    most=st.integers(0, 2**41),
    dtype=st.sampled_from([np.int32, np.uint32, np.int64]),
)
def test_p19_the_check_finds_the_first_fault(counts: list[int], most: int, dtype: type) -> None:
    limits = np.iinfo(dtype)
    offsets = [0]
    for count in counts:
        offsets.append(min(max(offsets[-1] + count, limits.min), limits.max))
    steps = np.diff(offsets)
    bad = [k for k, step in enumerate(steps.tolist()) if step < 0 or step > most]
    fault, event, _ = _core.check_offsets(np.array(offsets, dtype), limits.max, most)
    if bad:
        assert event == bad[0]
        assert fault == (2 if steps[bad[0]] < 0 else 4)
    else:
        assert fault == 0


@pytest.mark.parametrize("count", [2**31 - 1, 2**62])
def test_p20_absurd_multiplicity_is_refused_before_memory_is_spent(count: int) -> None:
    with pytest.raises(InvalidEventsError, match=f"event 1 claims {count} objects, more than max_per_event"):
        Events(np.array([0, 2, 2 + count]), {"pt": np.arange(5.0)})


def test_p20_the_limit_is_the_callers() -> None:
    columns = {"pt": np.zeros(2_000_000, np.float32)}
    with pytest.raises(InvalidEventsError, match="raise max_per_event"):
        Events([0, 2_000_000], columns)
    assert Events([0, 2_000_000], columns, max_per_event=3_000_000).n_objects == 2_000_000


# ---- columns ---------------------------------------------------------------------------------------------------


def test_p17_contiguous_columns_are_not_copied() -> None:
    pt = np.arange(5, dtype=np.float32)
    events = Events(np.array([0, 2, 5]), {"pt": pt})
    assert np.shares_memory(events.columns["pt"], pt)
    assert np.shares_memory(events[1:].columns["pt"], pt)
    assert np.shares_memory(np.asarray(events.to_awkward().pt.layout.content.data), pt)


def test_immutable() -> None:
    events = small()
    with pytest.raises(ValueError, match="read-only"):
        events.columns["pt"][0] = 1
    with pytest.raises(TypeError):
        events.columns["new"] = np.zeros(5)  # type: ignore[index]
    with pytest.raises(AttributeError):
        events.offsets = np.zeros(1)  # type: ignore[misc]


@pytest.mark.parametrize(
    "layout", [lambda x: np.repeat(x, 2)[::2], lambda x: x[::-1].copy()[::-1], lambda x: x.astype(">f4")]
)
def test_p15_other_layouts_become_native(layout: Any) -> None:
    pt = np.arange(5, dtype=np.float32)
    column = Events([0, 5], {"pt": layout(pt)}).columns["pt"]
    assert column.flags.c_contiguous
    assert column.dtype == np.float32
    np.testing.assert_array_equal(column, pt)


def test_p16_dtypes() -> None:
    assert Events([0, 1], {"x": np.ones(1, np.float16)}).columns["x"].dtype == np.float32
    assert Events([0, 1], {"x": np.ones(1, np.int16)}).columns["x"].dtype == np.int16
    for bad in (np.array([1j]), np.array(["a"]), np.array([None])):
        with pytest.raises(TypeError, match=r"columns\['x'\]: expected real numbers"):
            Events([0, 1], {"x": bad})
    with pytest.raises(TypeError, match="wider than float64"):
        Events([0, 1], {"x": np.ones(1, np.longdouble)})


@pytest.mark.parametrize(
    ("columns", "fields", "types", "message"),
    [
        ({"a": np.zeros(5), "b": np.zeros(4)}, {}, (), "expected one length for all"),
        ({"a": np.zeros((5, 1))}, {}, (), r"columns\['a'\]: expected one dimension, got shape \(5, 1\)"),
        (
            {"a": np.zeros(5)},
            {"MET": np.zeros(3)},
            (),
            r"fields\['MET'\]: expected one value for each of the 2",
        ),
        (
            {"type": np.array([0, 1, 2, 0, 0])},
            {},
            ("j", "b"),
            "object 2 has code 2, but types names 2 codes: j, b",
        ),
    ],
)
def test_p21_what_does_not_fit_is_named(columns: Any, fields: Any, types: Any, message: str) -> None:
    with pytest.raises(InvalidEventsError, match=message):
        Events([0, 2, 5], columns, fields, types=types)


# ---- selecting and joining -------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_p43_pickled_events_are_the_same_and_read_only(again: Callable[[Events], Events]) -> None:
    for events in (small(), small()[1:], small()[:0]):
        found = again(events)
        assert repr(found) == repr(events)
        assert (dict(found.units), found.types) == (dict(events.units), events.types)
        np.testing.assert_array_equal(found.offsets, events.offsets)
        for name, column in events.columns.items():
            np.testing.assert_array_equal(found.columns[name], column)
            assert not found.columns[name].flags.writeable
        np.testing.assert_array_equal(found.fields["MET"], events.fields["MET"])


def test_pickled_events_may_be_longer_than_usual() -> None:
    n = MAX_PER_EVENT + 1
    events = Events([0, n], {"type": np.zeros(n, np.uint8)}, max_per_event=n)
    assert pickle.loads(pickle.dumps(events)).n_objects == n


def test_selection() -> None:
    events = small()
    assert events[1].n_objects == 0
    assert events[-1].columns["pt"].tolist() == [30, 20, 10]
    assert events[[2, 0]].columns["pt"].tolist() == [30, 20, 10, 50, 40]
    assert events[[2, 0]].fields["MET"].tolist() == [3, 1]
    assert events[np.array([True, False, True])].offsets.tolist() == [0, 2, 5]
    assert events[::2].offsets.tolist() == [0, 2, 5]
    assert len(events[2:1]) == 0
    assert [len(e) for e in events] == [1, 1, 1]
    with pytest.raises(IndexError, match="event 3"):
        events[3]
    with pytest.raises(IndexError, match="mask: expected shape"):
        events[np.array([True])]


def test_offsets_that_do_not_start_at_zero_select_a_part() -> None:
    events = Events([1, 3, 4], {"x": np.arange(5)})
    assert events.offsets.tolist() == [0, 2, 3]
    assert events.columns["x"].tolist() == [1, 2, 3]


def test_concatenate() -> None:
    events = small()
    joined = Events.concatenate([events[:1], events[1:2], events[2:]])
    assert joined.offsets.tolist() == events.offsets.tolist()
    np.testing.assert_array_equal(joined.columns["pt"], events.columns["pt"])
    with pytest.raises(InvalidEventsError, match=r"parts\[1\]: expected columns"):
        Events.concatenate([events, Events([0], {"pt": np.zeros(0)})])
    with pytest.raises(InvalidEventsError, match="at least one"):
        Events.concatenate([])


def test_no_events_at_all() -> None:
    events = Events([0], {"pt": np.zeros(0, np.float32)})
    assert len(events) == 0
    assert events.n_objects == 0


# ---- awkward and padded ----------------------------------------------------------------------------------------


def test_awkward_round_trip() -> None:
    ak = pytest.importorskip("awkward", reason="awkward is not installed")
    events = small()
    array = events.to_awkward()
    assert ak.to_list(array[0]) == [{"pt": 50.0, "type": 0}, {"pt": 40.0, "type": 1}]
    back = Events.from_awkward(array, {"MET": ak.Array([1.0, 2.0, 3.0])}, types=events.types)
    np.testing.assert_array_equal(back.offsets, events.offsets)
    np.testing.assert_array_equal(back.columns["pt"], events.columns["pt"])


def test_awkward_selections_views_and_options() -> None:
    """A mask leaves an IndexedArray whose content still has the unmasked offsets: pitfall 13 of the field."""
    ak = pytest.importorskip("awkward", reason="awkward is not installed")
    array = ak.Array([[{"pt": 1.0}, {"pt": 2.0}, {"pt": 3.0}], [{"pt": 4.0}], [], [{"pt": 5.0}, {"pt": 6.0}]])
    selected = Events.from_awkward(array[ak.Array([True, False, True, True])])
    assert selected.offsets.tolist() == [0, 3, 3, 5]
    assert selected.columns["pt"].tolist() == [1, 2, 3, 5, 6]
    assert Events.from_awkward(array[array.pt > 2]).columns["pt"].tolist() == [3, 4, 5, 6]
    assert Events.from_awkward(ak.to_regular(ak.Array([[{"pt": 1.0}], [{"pt": 2.0}]]))).offsets.tolist() == [
        0,
        1,
        2,
    ]
    with pytest.raises(TypeError, match="without missing values"):
        Events.from_awkward(ak.Array([[{"pt": 1.0}, {"pt": None}]]))
    with pytest.raises(TypeError, match="expected a list of records"):
        Events.from_awkward(ak.Array([[1.0, 2.0]]))


def test_from_padded() -> None:
    array = np.zeros((3, 4, 2), np.float32)
    array[0, :2] = [[5, 1], [4, 2]]
    array[2, 0] = [3, 0]
    events = Events.from_padded(array, names=("pt", "eta"))
    assert events.offsets.tolist() == [0, 2, 2, 3]
    assert events.columns["pt"].tolist() == [5, 4, 3]
    mask = np.zeros((3, 4), bool)
    mask[1, 1:3] = True
    masked = Events.from_padded(array, mask, ("pt", "eta"))
    assert masked.offsets.tolist() == [0, 0, 2, 2]
    assert masked.columns["pt"].tolist() == [0, 0]
    with pytest.raises(InvalidEventsError, match="array: expected shape"):
        Events.from_padded(array, names=("pt", "eta", "phi"))
    with pytest.raises(InvalidEventsError, match=r"mask: expected shape \(3, 4\)"):
        Events.from_padded(array, mask[:, :2], ("pt", "eta"))
    with pytest.raises(InvalidEventsError, match="padded_where_zero"):
        Events.from_padded(array, names=("pt", "eta"), padded_where_zero="phi")
