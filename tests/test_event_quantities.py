"""Quantities of events against Python loops. Tolerance class of this file: bits, compared with ==."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evtok
from evtok import Events
from evtok.errors import InvalidEventsError
from evtok.event_quantities import EventQuantities, Quantity, split_names
from test_float_environment import modes, same_in

TYPES = ("j", "b", "e-", "m+")

NAMES = (
    "MET",
    "count",
    "count[j]",
    "count[j,b]",
    "sum_pt",
    "sum_pt[b,j]",
    "sum_mass[m+]",
    "pt_1",
    "pt_2[j,b]",
    "eta_1[b]",
    "mass_3",
)


def expected(name: str, events: Events) -> list[float]:
    """Return a quantity by loops over events and objects; Python's floats are float64."""
    quantity = Quantity.parse(name)
    if quantity.of == "field":
        return [float(value) for value in events.fields[name]]
    result = []
    for one in range(len(events)):
        rows = [
            row
            for row in range(int(events.offsets[one]), int(events.offsets[one + 1]))
            if not quantity.types or events.types[events.columns["type"][row]] in quantity.types
        ]
        if quantity.column is None:
            result.append(float(len(rows)))
            continue
        values = [float(events.columns[quantity.column][row]) for row in rows]
        if quantity.of == "sum":
            total = 0.0
            for value in values:
                total += value
            result.append(total)
            continue
        pt = [float(events.columns["pt"][row]) for row in rows]
        if any(math.isnan(one) for one in pt):
            result.append(math.nan)
            continue
        order = sorted(range(len(rows)), key=lambda k: -pt[k])
        result.append(values[order[quantity.rank - 1]] if len(rows) >= quantity.rank else 0.0)
    return result


def make_events(counts: list[int], seed: int, dtype: type) -> Events:
    """Make events whose sums depend on the order of the objects, with equal pT among them."""
    rng = np.random.default_rng(seed)
    m = sum(counts)
    pt = np.exp(rng.normal(3, 6, m)).astype(dtype)
    pt[rng.random(m) < 0.3] = 25
    columns = {
        "pt": pt,
        "eta": rng.normal(0, 2, m).astype(dtype),
        "mass": rng.integers(-9, 9, m) * 10.0 ** rng.integers(-16, 16, m),
        "type": rng.integers(0, len(TYPES), m).astype(np.uint8),
    }
    fields = {"MET": np.exp(rng.normal(4, 1, len(counts))).astype(dtype)}
    return Events(np.r_[0, np.cumsum(counts, dtype=np.int64)], columns, fields, types=TYPES)


def same_bits(a: npt.ArrayLike, b: npt.ArrayLike) -> bool:
    return np.asarray(a, np.float64).tobytes() == np.asarray(b, np.float64).tobytes()


@given(
    st.lists(st.integers(0, 9), max_size=12), st.integers(0, 10**6), st.sampled_from([np.float32, np.float64])
)
@settings(max_examples=80, deadline=None)
def test_every_quantity_has_the_bits_of_a_loop(counts: list[int], seed: int, dtype: type) -> None:
    events = make_events(counts, seed, dtype)
    found = EventQuantities(NAMES).compute(events)
    assert list(found) == list(NAMES)
    for name in NAMES:
        assert found[name].shape == (len(counts),)
        assert same_bits(found[name], expected(name, events)), name


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 10**6), st.data())
@settings(max_examples=30, deadline=None)
def test_a_quantity_of_an_event_does_not_depend_on_the_others(
    counts: list[int], seed: int, data: st.DataObject
) -> None:
    events = make_events(counts, seed, np.float32)
    chosen = np.array(data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=9)), np.int64)
    whole, part = (EventQuantities(NAMES).compute(some) for some in (events, events[chosen]))
    for name in NAMES:
        assert same_bits(whole[name][chosen], part[name]), name


def test_the_order_of_objects_decides_the_last_bits_of_a_sum() -> None:
    """So it has to be that of the objects, and a pairwise or an exact sum would be another one."""
    pt = np.array([1.0, 1e16, 1.0, 1.0, -1e16, 1.0])
    events = Events([0, 6], {"pt": pt})
    assert EventQuantities(["sum_pt"]).compute(events)["sum_pt"] == [1.0]
    assert EventQuantities(["sum_pt"]).compute(Events([0, 6], {"pt": pt[[1, 4, 0, 2, 3, 5]]}))["sum_pt"] == [
        4.0
    ]
    assert math.fsum(pt) == 4.0


def test_a_permutation_of_objects_keeps_counts_and_leading_objects() -> None:
    rng = np.random.default_rng(2)
    events = make_events([7, 0, 12, 1], 3, np.float64)
    events = events.with_columns(pt=rng.permutation(events.n_objects) + 1.0)  # no equal ones
    event = np.repeat(np.arange(4), events.multiplicity)
    shuffled = np.lexsort((rng.random(events.n_objects), event))
    other = Events(
        events.offsets,
        {name: column[shuffled] for name, column in events.columns.items()},
        events.fields,
        types=TYPES,
    )
    for name in ("count[j,b]", "pt_1[j,b]", "eta_2", "mass_1[b]"):
        assert same_bits(*(EventQuantities([name]).compute(some)[name] for some in (events, other))), name


def test_of_equal_objects_the_first_leads() -> None:
    events = Events([0, 4], {"pt": np.array([5.0, 9.0, 9.0, 9.0]), "eta": np.array([0.0, 1.0, 2.0, 3.0])})
    found = EventQuantities(["eta_1", "eta_2", "eta_4", "eta_5"]).compute(events)
    assert [float(value[0]) for value in found.values()] == [1.0, 2.0, 0.0, 0.0]


def test_nan_and_infinities_are_handed_on() -> None:
    """Whoever uses a quantity refuses them: none becomes a plausible number."""
    pt = np.array([1.0, np.nan, 2.0, 3.0, np.inf])
    events = Events([0, 3, 4, 5], {"pt": pt})
    found = EventQuantities(["sum_pt", "pt_1", "pt_5"]).compute(events)
    assert same_bits(found["sum_pt"], [np.nan, 3.0, np.inf])
    assert same_bits(found["pt_1"], [np.nan, 3.0, np.inf])  # the one that is NaN might be the first
    assert same_bits(found["pt_5"], [np.nan, 0.0, 0.0])


def test_no_events_and_no_objects() -> None:
    for counts in ([], [0], [0, 0, 0]):
        events = make_events(counts, 0, np.float32)
        for name, value in EventQuantities(NAMES[1:]).compute(events).items():
            assert value.dtype == np.float64
            assert same_bits(value, np.zeros(len(counts))), name
    assert EventQuantities(NAMES).rows(make_events([], 0, np.float32)).shape == (0, len(NAMES))


def test_integers_are_exact_or_refused() -> None:
    columns = {"charge": np.array([1, -1], np.int64), "type": np.zeros(2, np.uint8)}
    events = Events([0, 2], columns, types=TYPES)
    assert EventQuantities(["sum_charge[j]"]).compute(events)["sum_charge[j]"] == [0.0]
    wide = events.with_columns(charge=np.array([2**53 + 1, 0], np.int64))
    with pytest.raises(TypeError, match=r"columns\['charge'\]: expected integers up to 2\*\*53"):
        EventQuantities(["sum_charge[j]"]).compute(wide)


def test_a_field_that_is_named_like_a_quantity_is_a_field() -> None:
    """What a name is never depends on the file, and a job asks its files for no column that they do not have."""
    fields = ["tau_21", "sum_et", "btag_1", "sum_pt_1", "counts_2"]
    computed = ["count", "sum_pt", "energy_2", "tau_1[j]", "sum_et[j]"]
    named = EventQuantities([*fields, *computed])
    assert named.required_fields == tuple(fields)
    assert named.required_columns == ("pt", "energy", "tau", "type", "et")
    events = Events([0, 1], {"pt": np.array([5.0])}, {"tau_21": np.array([0.4]), "sum_et": np.array([90.0])})
    found = EventQuantities(["tau_21", "sum_et", "sum_pt"]).compute(events)
    assert {name: values.tolist() for name, values in found.items()} == {
        "tau_21": [0.4],
        "sum_et": [90.0],
        "sum_pt": [5.0],
    }


def test_a_field_of_that_name_is_the_quantity() -> None:
    events = make_events([3, 2], 1, np.float32)
    given_ = Events(events.offsets, events.columns, {"count[j,b]": np.array([7, 8], np.int32)}, types=TYPES)
    found = EventQuantities(["count[j,b]", "count"]).compute(given_)
    assert found["count[j,b]"].tolist() == [7, 8]
    assert found["count"].tolist() == [3.0, 2.0]


def test_codes_without_names_mean_what_the_caller_says() -> None:
    named = make_events([3, 0, 5], 4, np.float32)
    bare = Events(named.offsets, named.columns, named.fields)
    codes = {name: code for code, name in enumerate(TYPES)}
    wanted = EventQuantities(["count[b,m+]"])
    assert same_bits(wanted.compute(named)["count[b,m+]"], wanted.compute(bare, codes)["count[b,m+]"])
    with pytest.raises(InvalidEventsError, match="no type 'b'; they have none that has a name"):
        wanted.compute(bare)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("HT", "quantity 'HT': the events have no such field; they have MET"),
        ("sum_px", "quantity 'sum_px': the events have no column 'px'; they have pt, eta, mass, type"),
        ("sum_ptt", r"no such field; they have MET; of objects, it needs types: sum_ptt\[j\]"),
        ("tau_1[j]", "no column 'tau'"),
        ("count[j,g]", r"quantity 'count\[j,g\]': the events have no type 'g'; they have j, b, e-, m\+"),
    ],
)
def test_what_is_missing_is_named(name: str, message: str) -> None:
    with pytest.raises(InvalidEventsError, match=message):
        EventQuantities([name]).compute(make_events([2], 0, np.float32))


@pytest.mark.parametrize(
    "name",
    ["counts[j]", "count[]", "count[j", "count[j,]", "count[j,j]", "pt_0[j]", "sum_[j]", "[j]", "count[j]]"],
)
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="quantity '"):
        EventQuantities([name])


def test_what_is_read() -> None:
    quantities = EventQuantities(["MET", "count", "sum_energy[j]", "eta_2", "pt_1[b]", "sum_pt"])
    assert quantities.required_fields == ("MET",)
    assert quantities.required_columns == ("energy", "type", "eta", "pt")


def test_names_in_a_list_keep_their_commas() -> None:
    assert split_names("MET, count[j,b],sum_pt[j,b] ,,pt_1") == ["MET", "count[j,b]", "sum_pt[j,b]", "pt_1"]
    assert split_names("") == []


def test_rows_are_rounded_once() -> None:
    events = make_events([5, 0, 9], 6, np.float64)
    rows = EventQuantities(NAMES).rows(events)
    assert rows.dtype == np.float32
    for k, name in enumerate(NAMES):
        with np.errstate(over="ignore"):
            assert np.array_equal(rows[:, k], np.array(expected(name, events)).astype(np.float32)), name


@modes
def test_p9_a_mode_of_the_caller_changes_nothing(bits: int) -> None:
    prepare = """
from evtok import Events
from evtok.event_quantities import EventQuantities
rng = np.random.default_rng(0)
pt = np.concatenate([rng.normal(size=90) * 10.0 ** rng.integers(-9, 9, 90), np.full(10, 1e-310)])
events = Events([0, 40, 90, 100], {"pt": pt, "type": (np.arange(100) % 2).astype(np.uint8)}, types=("j", "b"))
"""
    found = same_in(bits, prepare, "result = EventQuantities(['sum_pt', 'sum_pt[b]', 'pt_1']).rows(events)")
    assert found == ["kept", "same"]
    compute = (
        "result = np.array(list(EventQuantities(['sum_pt', 'sum_pt[b]', 'pt_1']).compute(events).values()))"
    )
    assert same_in(bits, prepare, compute) == ["kept", "same"]


# ---- files ------------------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("name", ["ttbar.dm.csv", "ttbar.nano.root", "ttbar.parquet"])
def test_every_reader_gives_what_a_quantity_is_of(test_data: Path, name: str) -> None:
    path = test_data / "pythia" / name
    wanted = EventQuantities(["MET", "count[j,b]", "sum_pt[j,b]", "pt_1[j,b]", "count"])
    everything: Any = evtok.open_events(path).read(0, 0, 300)
    with evtok.open_events(path, columns=wanted.required_columns, fields=wanted.required_fields) as source:
        events = source.read(0, 0, 300)
    assert set(events.columns) == {"pt", "type"}
    found = wanted.compute(events)
    for quantity, value in wanted.compute(everything).items():
        assert same_bits(value, found[quantity]), quantity
        assert same_bits(value, expected(quantity, events)), quantity
    assert found["count[j,b]"].max() > 3
