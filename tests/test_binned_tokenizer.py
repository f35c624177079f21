"""`BinnedTokenizer` against readable definitions. Tolerance class of this file: integers, compared with ==."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evtok
from evtok import Events, _core, reference
from evtok.errors import FingerprintError, InvalidEventsError
from evtok.tokenizers import (
    BinnedTokenizer,
    EqualFrequency,
    Explicit,
    Feature,
    Transform,
    Uniform,
    binned_encode,
    defaults,
    log_uniform,
)
from evtok.tokenizers.feature import FittedFeature

TYPES = ("j", "b", "e-", "e+", "m-", "m+", "g")


def make_events(n: int = 300, seed: int = 0, dtype: type = np.float32, most: int = 12) -> Events:
    """Make events with empty ones at both ends."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, most + 1, n)
    counts[[0, -1]] = 0
    m = int(counts.sum())
    pt = np.exp(rng.normal(3.5, 1, m)).astype(dtype)
    eta = rng.normal(0, 1.5, m).astype(dtype)
    columns = {
        "pt": pt,
        "eta": eta,
        "phi": rng.uniform(-np.pi, np.pi, m).astype(dtype),
        "energy": (pt * np.cosh(eta)).astype(dtype),
        "type": rng.integers(0, len(TYPES), m).astype(np.uint8),
    }
    fields = {
        "MET": np.exp(rng.normal(4, 1, n)).astype(dtype),
        "METphi": rng.uniform(-np.pi, np.pi, n).astype(dtype),
        "jet_eta": rng.normal(0, 1, n),
        "jet_phi": rng.uniform(-np.pi, np.pi, n),
    }
    return Events(np.r_[0, np.cumsum(counts)], columns, fields, types=TYPES)


def kinematic_features() -> dict[str, Feature]:
    return {
        "pt": Feature("pt", Explicit(tuple(np.geomspace(1, 2000, 40)))),
        "eta": Feature("eta", Uniform(30, -4.0, 4.0)),
        "phi": Feature("phi", Uniform(30, -3.2, 3.2)),
    }


def numpy_digits(events: Events, features: dict[str, Feature]) -> list[npt.NDArray[Any]]:
    edges = {
        "pt": np.geomspace(1, 2000, 40),
        "eta": np.linspace(-4, 4, 30),
        "phi": np.linspace(-3.2, 3.2, 30),
    }
    return [np.digitize(events.columns[f.column], edges[name], f.right) for name, f in features.items()]


# ---- ids equal NumPy's -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("order", ["last-fastest", "first-fastest"])
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_p2_ids_equal_the_numpy_chain(isa: str, dtype: type, right: bool, order: Any, threads: int) -> None:
    events = make_events(3000, dtype=dtype, most=40)
    features = {name: Feature(f.column, f.binning, right=right) for name, f in kinematic_features().items()}
    tokenizer = BinnedTokenizer(features, types=TYPES, order=order, specials=("pad", "mask"))
    tokens = tokenizer.encode(events, threads=threads)
    assert evtok.last_backend() == f"evtok:{isa}"
    parts = [events.columns["type"].astype(np.int64), *numpy_digits(events, features)]
    sizes = [7, 41, 31, 31]
    if order == "last-fastest":
        expected = ((parts[0] * 41 + parts[1]) * 31 + parts[2]) * 31 + parts[3]
    else:
        expected = parts[0] + 7 * (parts[1] + 41 * (parts[2] + 31 * parts[3]))
    np.testing.assert_array_equal(tokens.ids, expected + 2)
    np.testing.assert_array_equal(tokens.offsets, events.offsets)
    assert tokenizer.vocab_size == 2 + int(np.prod(sizes))
    assert tokens.ids.dtype == np.int32


@given(
    pt=st.lists(
        st.floats(width=32, min_value=2**-149, allow_nan=False, allow_infinity=False), min_size=1, max_size=80
    ),
    edges=st.lists(st.floats(-80, 80), min_size=1, max_size=60),
    right=st.booleans(),
)
@settings(max_examples=60)
def test_p13_log_transform_is_exact(pt: list[float], edges: list[float], right: bool) -> None:
    """The code of log(x) follows from the exact logarithm (correctly rounded is enough where it is not on an edge)."""
    exact = sorted(set(edges))
    tokenizer = BinnedTokenizer(
        {"pt": Feature("pt", Explicit(tuple(exact)), Transform("log"), right=right)}, specials=()
    )
    x = np.array(pt, np.float32)
    events = Events([0, len(x)], {"pt": x})
    forward = Transform("log").forward
    for dtype in (np.float32, np.float64):
        got = tokenizer.encode(events.with_columns(pt=x.astype(dtype))).ids
        for value, code in zip(x, got, strict=True):
            log = forward(float(value))
            if log in exact and float(value) != 1.0:
                continue  # rounded onto an edge: only exact arithmetic can tell, and test_thresholds does
            assert code == reference.bin_code(log, exact, right)


def test_p13_values_on_every_edge_and_its_neighbours(isa: str) -> None:
    edges = np.sort(np.random.default_rng(3).normal(0, 2, 60))
    for dtype, right in itertools.product((np.float32, np.float64), (False, True)):
        e = edges.astype(dtype)
        x = np.concatenate(
            [
                e,
                np.nextafter(e, dtype(-9)),
                np.nextafter(e, dtype(9)),
                np.array([0.0, -0.0, 1e-45, -1e-45], dtype),
            ]
        )
        tokenizer = BinnedTokenizer({"x": Feature("x", Explicit(tuple(edges)), right=right)}, specials=())
        got = tokenizer.encode(Events([0, len(x)], {"x": x})).ids
        np.testing.assert_array_equal(got, np.digitize(x, edges, right))


@pytest.mark.parametrize("outside", ["codes", "clip", "unknown"])
def test_under_and_overflow(isa: str, outside: Any) -> None:
    x = np.linspace(-3, 3, 1001, dtype=np.float32)
    edges = np.linspace(-1, 1, 21)
    feature = Feature("x", Explicit(tuple(edges)), outside=outside)
    tokenizer = BinnedTokenizer({"x": feature}, specials=("unk",))
    tokens = tokenizer.encode(Events([0, len(x)], {"x": x}))
    codes = np.digitize(x, edges)
    if outside == "codes":
        expected = codes + 1
    elif outside == "clip":
        expected = np.clip(codes, 1, 20) - 1 + 1
    else:
        expected = np.where((codes < 1) | (codes > 20), 0, codes - 1 + 1)
        assert tokens.report is not None
        assert tokens.report.unknown == int(((codes < 1) | (codes > 20)).sum())
    np.testing.assert_array_equal(tokens.ids, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relative_and_wrapped_features_are_numpys_float64(isa: str, dtype: type) -> None:
    events = make_events(2000, dtype=dtype)
    features = {
        "deta": Feature("eta", Uniform(30, -0.8, 0.8), relative_to="jet_eta"),
        "dphi": Feature("phi", Uniform(30, -0.8, 0.8), relative_to="jet_phi", wrap=True),
    }
    tokens = BinnedTokenizer(features, specials=()).encode(events, threads=2)
    repeat = events.multiplicity
    deta = events.columns["eta"].astype(np.float64) - np.repeat(events.fields["jet_eta"], repeat)
    dphi = events.columns["phi"].astype(np.float64) - np.repeat(events.fields["jet_phi"], repeat)
    dphi = (dphi + np.pi) % (2 * np.pi) - np.pi
    edges = np.linspace(-0.8, 0.8, 30)
    np.testing.assert_array_equal(tokens.ids, np.digitize(deta, edges) * 31 + np.digitize(dphi, edges))


# ---- sequences -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factorised", [False, True])
@pytest.mark.parametrize("sort_by", [None, "pt", "eta"])
@pytest.mark.parametrize("max_length", [None, 8, 17])
@pytest.mark.parametrize("threads", [1, 5])
def test_sequences(factorised: bool, sort_by: str | None, max_length: int | None, threads: int) -> None:
    events = make_events(500)
    event_features = {
        "MET": Feature("MET", *log_uniform(9, 5, 500)),
        "METphi": Feature("METphi", Uniform(8, -3.2, 3.2)),
    }
    tokenizer = BinnedTokenizer(
        kinematic_features(),
        types=TYPES,
        specials=("pad", "bos", "cls"),
        specials_high=("eos", "sep"),
        event_features=event_features,
        sequence=("bos", "MET", "objects", "sep", "METphi", "eos"),
        factorised=factorised,
        sort_by=sort_by,
        max_length=max_length,
        too_long="truncate",
    )
    tokens = tokenizer.encode(events, threads=threads)
    plain = BinnedTokenizer(
        kinematic_features(), types=TYPES, specials=("pad", "bos", "cls"), factorised=factorised
    )
    width = 4 if factorised else 1
    objects = plain.encode(events).ids.reshape(-1, width)
    special, bases = tokenizer.special_ids, tokenizer.vocabulary.event_bases
    most = None if max_length is None else (max_length - 5) // width
    dropped = 0
    for i, got in enumerate(tokens):
        begin, end = events.offsets[i], events.offsets[i + 1]
        mine = objects[begin:end]
        if sort_by is not None:
            mine = mine[reference.object_order(events.columns[sort_by][begin:end].tolist())]
        kept = mine[:most]
        dropped += len(mine) - len(kept)
        met = bases["MET"] + reference.bin_code(
            float(events.fields["MET"][i]), np.geomspace(5, 500, 9).tolist()
        )
        metphi = bases["METphi"] + reference.bin_code(
            float(events.fields["METphi"][i]), np.linspace(-3.2, 3.2, 8).tolist()
        )
        expected = [special["bos"], met, *kept.ravel().tolist(), special["sep"], metphi, special["eos"]]
        assert got.tolist() == expected
    assert tokens.report is not None
    assert tokens.report.truncated_objects == dropped
    assert (dropped > 0) == (max_length == 8 or (factorised and max_length == 17))


def test_p1_splits_do_not_matter() -> None:
    events = make_events(1000)
    tokenizer = BinnedTokenizer(
        kinematic_features(), types=TYPES, sort_by="pt", specials=("eos",), sequence=("objects", "eos")
    )
    whole = tokenizer.encode(events)
    for cuts in ([0, 1, 2, 500, 1000], [0, 333, 334, 999, 1000]):
        parts = [tokenizer.encode(events[a:b]) for a, b in itertools.pairwise(cuts)]
        np.testing.assert_array_equal(np.concatenate([p.ids for p in parts]), whole.ids)


def test_equal_keys_stay_as_found_when_sorted() -> None:
    events = Events([0, 6], {"pt": np.array([1, 3, 3, 2, 3, 1.0]), "x": np.arange(6.0)})
    tokenizer = BinnedTokenizer(
        {"x": Feature("x", Explicit((0.5, 1.5, 2.5, 3.5, 4.5)))}, sort_by="pt", specials=()
    )
    assert tokenizer.encode(events).ids.tolist() == [1, 2, 4, 3, 0, 5]


def test_uint16_ids_are_the_same() -> None:
    events = make_events()
    tokenizer = BinnedTokenizer(kinematic_features(), specials=("cls",), sequence=("cls", "objects"))
    wide, narrow = tokenizer.encode(events), tokenizer.encode(events, dtype=np.uint16)
    assert narrow.ids.dtype == np.uint16
    np.testing.assert_array_equal(wide.ids, narrow.ids)
    with pytest.raises(ValueError, match="uint16 has no place"):
        tokenizer.encode(events, dtype=np.uint16, on_invalid="sentinel")
    large = BinnedTokenizer(kinematic_features(), types=TYPES)
    with pytest.raises(ValueError, match="uint16 cannot hold"):
        large.encode(events, dtype=np.uint16)


# ---- fitting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_frequency_is_the_definition_and_ignores_chunks_and_order(dtype: type) -> None:
    events = make_events(2000, dtype=dtype)
    feature = Feature("pt", EqualFrequency(41), Transform("log"))
    whole = BinnedTokenizer({"pt": feature}).fit(events)
    v = np.sort(events.columns["pt"])
    expected = v[[k * len(v) // 41 for k in range(1, 41)]]
    np.testing.assert_array_equal(whole.fitted["pt"].thresholds64, expected.astype(np.float64))
    codes = whole.encode(events).ids - 4
    counts = np.bincount(codes, minlength=41)
    assert counts.max() - counts.min() <= 1
    cuts = [0, 1, 700, 701, 1500, 2000]
    parts = [events[a:b] for a, b in itertools.pairwise(cuts)]
    for chunks in (parts, parts[::-1]):
        assert BinnedTokenizer({"pt": feature}).fit(chunks).fingerprint == whole.fingerprint


def test_outer_edges_keep_the_codes_and_close_the_bins() -> None:
    events = make_events(2000)
    plain = BinnedTokenizer({"pt": Feature("pt", EqualFrequency(10))}).fit(events)
    closed = BinnedTokenizer({"pt": Feature("pt", EqualFrequency(10, outer=True), outside="clip")}).fit(
        events
    )
    np.testing.assert_array_equal(plain.encode(events).ids, closed.encode(events).ids)
    edges = closed.fitted["pt"].edges
    assert edges[0] == events.columns["pt"].min()
    assert edges[-1] == events.columns["pt"].max()
    decoded = closed.decode(closed.encode(events)).columns["pt"]
    bins = np.digitize(events.columns["pt"], edges[1:-1])
    np.testing.assert_allclose(decoded, (edges[:-1] + edges[1:])[bins] / 2, rtol=1e-15)


def test_the_default_tokenizer_follows_from_the_columns() -> None:
    events = make_events(500)
    tokenizer = defaults.for_events(events, bins={"pt": 8}).fit(events)
    assert tokenizer.digits == {"type": 7, "pt": 8, "eta": 12, "phi": 12}
    assert tokenizer.settings.sequence == ("objects", "MET", "METphi")
    tokens = tokenizer.encode(events)
    np.testing.assert_array_equal(tokenizer.encode(tokenizer.decode(tokens)).ids, tokens.ids)
    jets = Events([0, 2], {"pt": np.ones(2), "etarel": np.zeros(2), "eta": np.ones(2), "phirel": np.zeros(2)})
    assert list(defaults.for_events(jets).settings.features) == ["pt", "etarel", "phirel"]
    with pytest.raises(InvalidEventsError, match="no column is known to be a transverse momentum"):
        defaults.for_events(Events([0, 1], {"x": np.ones(1)}))
    with pytest.raises(ValueError, match="bins: expected names of"):
        defaults.for_events(events, bins={"mass": 3})


def test_fit_refuses_an_iterator_and_invalid_values() -> None:
    events = make_events()
    tokenizer = BinnedTokenizer({"pt": Feature("pt", EqualFrequency(4))})
    with pytest.raises(TypeError, match="read only once"):
        tokenizer.fit(iter([events]))
    broken = events.with_columns(pt=np.where(np.arange(events.n_objects) == 7, np.nan, events.columns["pt"]))
    with pytest.raises(InvalidEventsError, match="feature 'pt': 1 values are NaN"):
        tokenizer.fit(broken)
    assert not tokenizer.is_fitted
    with pytest.raises(ValueError, match="call fit"):
        tokenizer.encode(events)
    assert tokenizer.fit(broken, on_invalid="skip").is_fitted


def test_uniform_range_from_data() -> None:
    events = make_events()
    tokenizer = BinnedTokenizer({"pt": Feature("pt", Uniform(5), Transform("log"))}).fit(events)
    pt = events.columns["pt"].astype(np.float64)
    log = Transform("log").forward
    expected = np.linspace(log(float(pt.min())), log(float(pt.max())), 5)
    np.testing.assert_array_equal(tokenizer.fitted["pt"].edges, expected)


# ---- published schemes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["transformer-hep", "jetsequences"])
def test_finke_ids(isa: str, variant: str) -> None:
    rng = np.random.default_rng(5)
    m = 20_000
    pt = np.exp(rng.uniform(-1.5, 7.5, m)).astype(np.float32)
    deta, dphi = rng.normal(0, 0.5, (2, m)).astype(np.float32)
    offsets = np.arange(0, m + 1, 50)
    tokenizer = BinnedTokenizer.preset("finke", variant=variant)
    tokens = tokenizer.encode(Events(offsets, {"pt": pt, "etarel": deta, "phirel": dphi}))
    # The published codes: log and digitize in float64.
    p = np.digitize(np.log(pt.astype(np.float64)), np.linspace(-0.7602971186, 6.9062547684, 40))
    e = np.digitize(deta.astype(np.float64), np.linspace(-0.8, 0.8, 30))
    f = np.digitize(dphi.astype(np.float64), np.linspace(-0.8, 0.8, 30))
    if variant == "transformer-hep":
        ids = (p + 41 * e + 41 * 31 * f).reshape(-1, 50)
        expected = np.c_[ids, np.full(len(ids), 39401)]
        assert tokenizer.vocab_size == 39402
        assert tokenizer.special_ids == {"eos": 39401}
    else:
        ids = ((p * 31 + e) * 31 + f).reshape(-1, 50)
        expected = np.c_[np.full(len(ids), 39401), ids, np.full(len(ids), 39402)]
        assert tokenizer.vocab_size == 39404
        assert tokenizer.special_ids == {"bos": 39401, "eos": 39402, "pad": 39403}
    np.testing.assert_array_equal(tokens.to_padded()[0], expected)


def published_lut(events: Events, n_bins: int, met: bool) -> tuple[npt.NDArray[np.int64], int]:
    """The look-up-table scheme as published (methods: pool, equal-frequency edges, pandas.cut, rank of the tuple)."""

    def labels(x: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        values = np.sort(x[x != 0].astype(np.float64))
        sizes = [len(values) // n_bins + (k < len(values) % n_bins) for k in range(n_bins)]
        ends = np.cumsum(sizes)
        edges = [values[0] - 1e-3, *values[ends - 1], values[-1] + 1e-3]
        cut = pd.cut(x.astype(np.float64), edges, labels=False) + 1
        return np.where(x == 0, 0, cut).astype(np.int64)

    codes = np.array([1, 2, 3, 4, 5, 6, 7])[events.columns["type"]]
    rows = np.stack([codes, *(labels(events.columns[c]) for c in ("pt", "energy", "eta", "phi"))], axis=1)
    unique = np.unique(rows, axis=0)
    table = {tuple(row): k for k, row in enumerate(unique.tolist())}
    return np.array([table[tuple(row)] for row in rows.tolist()]), len(unique)


@pytest.mark.parametrize("n_bins", [2, 5, 8])
def test_lut_ids(isa: str, n_bins: int) -> None:
    events = make_events(800)
    eta = events.columns["eta"].copy()
    eta[::97] = 0.0  # exact zeros have label 0
    events = events.with_columns(eta=eta)
    tokenizer = BinnedTokenizer.preset("lut", n_bins=n_bins).fit(events)
    expected, n_tuples = published_lut(events, n_bins, met=False)
    tokens = tokenizer.encode(events)
    np.testing.assert_array_equal(tokens.ids, expected)
    # max_id + 1 + ceil(0.1 * max_id), where unk is the highest id in use
    assert tokenizer.special_ids == {"unk": n_tuples}
    assert tokenizer.vocab_size == n_tuples + 1 + int(np.ceil(0.1 * n_tuples))
    assert tokens.report is not None
    assert tokens.report.unknown == 0
    other = make_events(200, seed=9)
    report = tokenizer.encode(other).report
    assert report is not None
    ids = tokenizer.encode(other).ids
    assert report.unknown == int((ids == n_tuples).sum()) > 0


# ---- invalid values: never a plausible token -------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -1.0])
@pytest.mark.parametrize("factorised", [False, True])
def test_p7_invalid_values(isa: str, bad: float, factorised: bool) -> None:
    events = make_events(50, dtype=np.float32, most=40)
    row = int(events.offsets[20]) + 1
    pt = events.columns["pt"].copy()
    pt[row] = bad
    broken = events.with_columns(pt=pt)
    features = {"pt": Feature("pt", *log_uniform(40, 1, 2000)), "eta": Feature("eta", Uniform(30, -4, 4))}
    tokenizer = BinnedTokenizer(features, types=TYPES, factorised=factorised)
    with pytest.raises(
        InvalidEventsError, match=r"event 20, object 1: pt = .*not valid for log bins of 'pt'"
    ):
        tokenizer.encode(broken)
    tokens = tokenizer.encode(broken, on_invalid="sentinel")
    width = 3 if factorised else 1
    good = tokenizer.encode(events).ids.reshape(-1, width)
    got = tokens.ids.reshape(-1, width)
    assert (got[row] == -1).all()
    np.testing.assert_array_equal(np.delete(got, row, 0), np.delete(good, row, 0))
    assert tokens.report is not None
    assert tokens.report.invalid == 1


def test_p7_every_output_is_written_and_every_invalid_row_found(isa: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1, 5000).astype(np.float32)
    bad = rng.random(5000) < 0.3
    x[bad] = rng.choice(np.array([np.nan, np.inf, -np.inf], np.float32), int(bad.sum()))
    tokenizer = BinnedTokenizer(
        {"x": Feature("x", Uniform(30, -2, 2)), "y": Feature("y", Uniform(30, -2, 2))}, specials=()
    )
    y = rng.permutation(x)
    tokens = tokenizer.encode(Events([0, 5000], {"x": x, "y": y}), on_invalid="sentinel")
    expected_bad = ~(np.isfinite(x) & np.isfinite(y))
    np.testing.assert_array_equal(tokens.ids == -1, expected_bad)
    edges = np.linspace(-2, 2, 30)
    expected = np.digitize(x, edges) * 31 + np.digitize(y, edges)
    np.testing.assert_array_equal(tokens.ids[~expected_bad], expected[~expected_bad])


@pytest.mark.parametrize(
    ("edges", "transform", "good", "bad"),
    [
        (Uniform(30, -4.0, 4.0), "identity", 0.05, np.nan),
        (Uniform(30, -4.0, 4.0), "identity", 0.05, np.inf),
        (Uniform(30, -4.0, 4.0), "sqrt", 0.05, -0.05),
        (Uniform(40, 2.7, 7.3), "log", 33.0, np.nan),
        (Uniform(40, 2.7, 7.3), "log", 33.0, -np.float32(np.nan)),
        (Uniform(40, 2.7, 7.3), "log", 33.0, np.inf),
        (Uniform(40, 2.7, 7.3), "log", 33.0, -33.0),
        (Uniform(40, 2.7, 7.3), "log", 33.0, 0.0),
    ],
)
def test_p7_invalid_values_on_regular_edges(
    isa: str, edges: Any, transform: Any, good: float, bad: float
) -> None:
    """Among very many values, where codes follow from a straight line; 64 of them together are invalid."""
    x = np.full(20_000, good, np.float32)
    x[6400:6464] = bad
    tokenizer = BinnedTokenizer({"x": Feature("x", edges, transform)})
    events = Events([0, len(x)], {"x": x})
    ids = tokenizer.encode(events, on_invalid="sentinel").ids
    valid = tokenizer.encode(Events([0, 1], {"x": np.array([good], np.float32)})).ids[0]
    np.testing.assert_array_equal(ids, np.where(np.arange(len(x)) // 64 == 100, -1, valid))
    with pytest.raises(InvalidEventsError, match="64"):
        tokenizer.encode(events)


def test_unknown_object_type() -> None:
    events = make_events()
    strict = BinnedTokenizer(kinematic_features(), types=("j", "b"), specials=())
    with pytest.raises(InvalidEventsError, match=r"unknown object type '.*'; the tokenizer knows j, b"):
        strict.encode(events)
    lenient = BinnedTokenizer(kinematic_features(), types=("j", "b"), specials=("unk",))
    tokens = lenient.encode(events)
    unknown = events.columns["type"] > 1
    np.testing.assert_array_equal(tokens.ids == 0, unknown)
    assert tokens.report is not None
    assert tokens.report.unknown == int(unknown.sum())


def test_type_table_is_the_users() -> None:
    """Type codes follow the names, not the codes that a reader happened to give."""
    events = make_events()
    table = {"j": 1, "b": 2, "g": 3, "e+": 4, "e-": 5, "m+": 6, "m-": 7}
    tokens = BinnedTokenizer({}, types=table, specials=()).encode(events)
    expected = np.array([table[name] for name in TYPES])[events.columns["type"]]
    np.testing.assert_array_equal(tokens.ids, expected)


def test_invalid_event_token() -> None:
    events = make_events(20)
    met = events.fields["MET"].copy()
    met[3] = np.nan
    broken = Events(events.offsets, events.columns, {**events.fields, "MET": met}, types=TYPES)
    tokenizer = BinnedTokenizer(
        kinematic_features(),
        event_features={"MET": Feature("MET", Uniform(5, 0, 100))},
        sequence=("objects", "MET"),
    )
    with pytest.raises(InvalidEventsError, match="event 3: field 'MET' = nan"):
        tokenizer.encode(broken)
    assert tokenizer.encode(broken, on_invalid="sentinel")[3][-1] == -1


def test_p21_missing_column_and_too_long_name_what_is_wrong() -> None:
    events = make_events()
    with pytest.raises(InvalidEventsError, match="no column 'd0'; there are pt, eta"):
        BinnedTokenizer({"d0": Feature("d0", Uniform(3, 0, 1))}).encode(events)
    with pytest.raises(InvalidEventsError, match=r"event \d+ has 12 objects, and max_length=5 holds 5"):
        BinnedTokenizer(kinematic_features(), max_length=5).encode(events)


# ---- decoding --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factorised", [False, True])
@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("seed", [None, 3])
def test_p10_encode_of_decode_is_the_identity(factorised: bool, right: bool, seed: int | None) -> None:
    events = make_events(500, dtype=np.float64)
    features = {
        "pt": Feature("pt", *log_uniform(12, 20, 300), right=right),
        "eta": Feature("eta", Uniform(9, -2, 2), right=right, outside="clip"),
        "phi": Feature("phi", EqualFrequency(5), right=right),
    }
    tokenizer = BinnedTokenizer(
        features,
        types=TYPES,
        factorised=factorised,
        specials=("pad", "cls", "sep"),
        event_features={"MET": Feature("MET", *log_uniform(5, 10, 300), right=right)},
        sequence=("cls", "objects", "sep", "MET"),
    ).fit(events)
    tokens = tokenizer.encode(events)
    decoded = tokenizer.decode(tokens, seed=seed)
    again = tokenizer.encode(decoded)
    np.testing.assert_array_equal(again.ids, tokens.ids)
    np.testing.assert_array_equal(decoded.offsets, events.offsets)
    assert decoded.types == TYPES
    np.testing.assert_array_equal(decoded.columns["type"], events.columns["type"])


def test_p10_lut_round_trip_with_zeros_and_unknowns() -> None:
    events = make_events(300)
    eta = events.columns["eta"].copy()
    eta[::31] = 0.0
    events = events.with_columns(eta=eta)
    tokenizer = BinnedTokenizer.preset("lut", n_bins=3).fit(events)
    tokens = tokenizer.encode(events)
    decoded = tokenizer.decode(tokens)
    np.testing.assert_array_equal(tokenizer.encode(decoded).ids, tokens.ids)
    assert (decoded.columns["eta"][::31] == 0).all()
    with_unknown = evtok.Tokens(
        np.r_[tokens.ids[:2], np.int32(tokenizer.special_ids["unk"])], [0, 3], vocab_size=tokenizer.vocab_size
    )
    unknown = tokenizer.decode(with_unknown)
    assert np.isnan(unknown.columns["pt"][2])
    assert unknown.types[unknown.columns["type"][2]] == "unk"


def test_p10_decode_refuses_wrong_ids_and_wrong_tokens() -> None:
    events = make_events(20)
    one = BinnedTokenizer(kinematic_features(), specials=())
    other = BinnedTokenizer({**kinematic_features(), "eta": Feature("eta", Uniform(29, -4, 4))}, specials=())
    with pytest.raises(FingerprintError, match="made by tokenizer"):
        other.decode(one.encode(events))
    for bad in (-2, one.vocab_size, -(2**31)):
        tokens = evtok.Tokens(np.array([0, bad], np.int32), [0, 2], vocab_size=one.vocab_size)
        with pytest.raises(InvalidEventsError, match=rf"id {bad} \(token 1\) is outside"):
            one.decode(tokens)


# ---- bad settings ----------------------------------------------------------------------------------------------


def met_named(name: str) -> dict[str, Any]:
    return {"event_features": {name: Feature("MET", Uniform(3, 0, 1))}, "sequence": ("objects", name)}


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"sequence": ("objects", "eos")}, "add it to specials"),
        ({"sequence": ("pad",)}, "'objects' once"),
        ({"specials": ("pad", "nope")}, "specials: expected names"),
        ({"specials": ("pad",), "specials_high": ("pad",)}, "occurs twice"),
        ({"order": "sideways"}, "order: expected"),
        ({"factorised": True, "vocabulary": "seen"}, "ranks combinations"),
        ({"event_features": {"MET": Feature("MET", Uniform(3, 0, 1))}}, "has no place"),
        ({"types": {"j": 300}}, r"types\['j'\]: expected a digit"),
        ({"types": "jb"}, "the one text 'jb'"),
        (
            {"features": {"type": Feature("pt", Uniform(3, 0, 1))}, "types": TYPES},
            "name of the object's type",
        ),
        (met_named("cls"), "'cls' has a meaning in `sequence` already"),
        (met_named("objects"), "'objects' has a meaning in `sequence` already"),
        (
            {
                "event_features": {
                    "low": Feature("MET", Uniform(3, 0, 1)),
                    "high": Feature("MET", Uniform(3, 1, 2)),
                },
                "sequence": ("low", "objects", "high"),
            },
            "'low' and 'high' are of the same field 'MET'",
        ),
        ({**met_named("MET"), "sequence": ("MET", "objects", "MET")}, "more than one place"),
        ({"max_length": 2.5}, "max_length: expected a whole number"),
        ({"headroom": None}, "headroom: expected a finite number"),
        ({"sort_by": ["pt"]}, "sort_by: expected the name"),
        (
            {"features": {f"f{k}": Feature("pt", Uniform(999, 0, 1)) for k in range(4)}},
            "combinations, more than",
        ),
    ],
)
def test_bad_settings(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _ = BinnedTokenizer(**{"features": kinematic_features(), **settings_}).vocab_size


@pytest.mark.parametrize("specials", [("pad", "nope"), ("pad", "pad")])
def test_bad_specials_are_refused_before_any_data_is_read(specials: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="specials: "):
        BinnedTokenizer({"pt": Feature("pt", EqualFrequency(4))}, specials=specials)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Explicit(()), "one edge or more"),
        (lambda: Feature("x", EqualFrequency(1)), "one bin has no edge"),
        (lambda: EqualFrequency(True), "n_bins: expected a whole number"),
        (lambda: Uniform(2.0, 0, 1), "n_edges: expected a whole number"),  # type: ignore[arg-type]
        (lambda: Uniform(3, "0", 1), "low: expected a finite number"),  # type: ignore[arg-type]
        (lambda: Feature("x", Explicit((1.0,)), outside="clip"), "needs 2 edges or more, got 1"),
        (lambda: Feature("x", Uniform(1, 0, 1), outside="unknown"), "needs 2 edges or more, got 1"),
        (
            lambda: Feature("x", EqualFrequency(5), outside="clip"),
            r"first and last of the 5 bins.*outer=True",
        ),
        (
            lambda: Feature("x", EqualFrequency(5), outside="unknown"),
            r"first and last of the 5 bins.*outer=True",
        ),
        (lambda: Feature("x", Uniform(3, 0, 1), "logarithm"), "transform kind: expected one of"),
        (lambda: Feature("x", Uniform(3, 0, 1), None), "transform: expected a Transform"),  # type: ignore[arg-type]
        (lambda: Feature("x", 31), "binning: expected Explicit"),  # type: ignore[arg-type]
    ],
)
def test_bad_features(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_one_bin_is_kept_by_clipping_between_outer_edges() -> None:
    events = make_events(50)
    one = BinnedTokenizer({"pt": Feature("pt", EqualFrequency(1, outer=True), outside="clip")}, specials=())
    assert set(one.fit(events).encode(events).ids.tolist()) == {0}


def test_names_of_transforms_and_numpy_numbers_are_fine() -> None:
    plain = BinnedTokenizer({"pt": Feature("pt", Uniform(5, 0.0, 4.0), Transform("log"))}, max_length=20)
    numpys = Uniform(np.int64(5), np.float32(-0.0), np.int16(4))  # type: ignore[arg-type]
    same = BinnedTokenizer({"pt": Feature("pt", numpys, "log")}, max_length=np.int32(20), headroom=0)  # type: ignore[arg-type]
    assert same.fingerprint == plain.fingerprint
    assert EqualFrequency(np.uint8(5)) == EqualFrequency(5)  # type: ignore[arg-type]


# ---- nothing changes behind the fingerprint --------------------------------------------------------------------


def test_fitted_content_is_read_only() -> None:
    events = make_events()
    tokenizer = BinnedTokenizer.preset("lut", n_bins=3).fit(events)
    fitted = tokenizer.fitted["pt"]
    for array in (fitted.edges, fitted.thresholds32, fitted.thresholds64, tokenizer.seen, tokenizer.ranks):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    for mapping in (
        tokenizer.fitted,
        tokenizer.settings.features,
        tokenizer.settings.event_features,
        tokenizer.settings.types,
    ):
        with pytest.raises(TypeError, match="does not support item"):
            mapping["pt"] = None  # type: ignore[index]
    edges = np.array([1.0, 2.0])
    own = FittedFeature.from_edges(Feature("x", Explicit((1.0, 2.0))), edges)
    edges[0] = -1
    assert own.edges.tolist() == [1.0, 2.0]


def test_a_failed_fit_keeps_the_old_one_and_no_encode_sees_half_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = make_events()
    tokenizer = BinnedTokenizer({"pt": Feature("pt", EqualFrequency(4))}).fit(events)
    before = tokenizer.fingerprint
    expected = tokenizer.encode(events).ids
    seen_during = []

    def fails(*_: Any) -> None:
        seen_during.append((tokenizer.fingerprint, tokenizer.encode(events).ids))
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(binned_encode, "rank_table", fails)
        with pytest.raises(OSError, match="disk full"):
            tokenizer.fit(events[:150])
    for mark, ids in [*seen_during, (tokenizer.fingerprint, tokenizer.encode(events).ids)]:
        assert mark == before
        np.testing.assert_array_equal(ids, expected)
    assert tokenizer.fit(events[:150]).fingerprint != before
    fresh = BinnedTokenizer({"pt": Feature("pt", EqualFrequency(4))})
    with monkeypatch.context() as patch:
        patch.setattr(binned_encode, "rank_table", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fresh.fit(events)
    assert not fresh.is_fitted


@pytest.mark.alone
@pytest.mark.slow
def test_p18_more_than_2_to_the_31_objects() -> None:
    """The ids of the last objects are right when there are more than 2**31; the values are one page of zeros."""
    import mmap

    n = 2**31 + 1000
    x = np.frombuffer(
        mmap.mmap(-1, 4 * n, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.float32
    )  # pages that were never written share one page of zeros
    x[-3:] = [0.5, 1.5, 2.5]
    program = _core.RowProgram(n)
    program.set_offsets(np.array([0, 5, n], np.int64))
    options = {
        "right": False, "lowest": -1e30, "highest": 1e30, "first": 0, "last": 3, "origin": 0, "outside_unknown": False,
        "stride": 1, "base": 0, "relative": False, "wrap": False, "reference": None, "zero_is_digit_zero": False,
    }  # fmt: skip
    program.add_bins(x, np.array([0.25, 1, 2], np.float32), options)
    program.set_vocabulary(False, 10, -1)
    offsets, ids, counts = program.sequences_uint16([7], [8], None, 2**62, 0)
    assert offsets.tolist() == [0, 7, n + 4]
    assert ids[-6:].tolist() == [10, 10, 11, 12, 13, 8]
    assert counts["invalid"] == 0
