from __future__ import annotations

import itertools

import numpy as np
import pytest

import evtok
from evtok.errors import InvalidEventsError
from evtok.tokenizers.edge_definitions import EqualFrequency
from evtok.tokenizers.feature import Explicit, Feature, Uniform

TYPES = ("j", "b", "e", "m")


def columns(n, dtype, random):
    return {
        "pt": np.exp(random.normal(3.5, 1.0, n)).astype(dtype),
        "eta": random.uniform(-3.5, 3.5, n).astype(dtype),
        "phi": random.uniform(-np.pi, np.pi, n).astype(dtype),
        "type": random.integers(0, len(TYPES), n).astype(np.uint8),
    }


def ragged(multiplicity, dtype=np.float32, seed=1):
    random = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(multiplicity)]).astype(np.int64)
    n = len(multiplicity)
    fields = {
        "MET": random.exponential(50, n).astype(dtype),
        "axis": random.uniform(-3, 3, n),
    }
    return offsets, columns(int(offsets[-1]), dtype, random), fields


def on_gpu(gpu, offsets, given, fields=None, **options):
    return evtok.GpuEvents(
        gpu.put(offsets),
        {name: gpu.put(x) for name, x in given.items()},
        {name: gpu.put(x) for name, x in (fields or {}).items()},
        **options,
    )


def features(**options):
    return {
        "pt": Feature("pt", Uniform(41, 1, 8), transform="log", **options),
        "eta": Feature("eta", Uniform(31, -3, 3), **options),
        "phi": Feature("phi", Uniform(31, -np.pi, np.pi), **options),
    }


def agree(gpu, tokenizer, offsets, given, fields=None, types=TYPES, **options):
    host = tokenizer.encode(evtok.Events(offsets, given, fields, types=types), **options)
    made = tokenizer.encode(on_gpu(gpu, offsets, given, fields, types=types), **options)
    assert evtok.last_backend() == "evtok:cuda"
    assert type(made) is evtok.GpuTokens
    assert type(made.ids) is type(gpu.put(offsets))
    back = made.to_host()
    np.testing.assert_array_equal(back.offsets, host.offsets)
    np.testing.assert_array_equal(back.ids, host.ids)
    assert back.ids.dtype == host.ids.dtype
    assert back.report == host.report
    assert (back.fingerprint, back.vocab_size, back.pad_id, len(made)) == (
        host.fingerprint,
        host.vocab_size,
        host.pad_id,
        len(host),
    )


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 2047, 2048, 2049, 8195])
def test_plain_ids_are_those_of_the_cpu_around_every_tile(gpu, n):
    given = columns(n, np.float32, np.random.default_rng(n))
    for names in (["pt"], ["pt", "eta"], ["pt", "eta", "phi"]):
        made = {name: one for name, one in features().items() if name in names}
        for types in (None, TYPES):
            agree(gpu, evtok.BinnedTokenizer(made, types=types), [0, n], given)
    del made["phi"]
    agree(gpu, evtok.BinnedTokenizer(made, types=TYPES), [0, n], given, dtype=np.uint16)


def test_values_at_edges_and_odd_numbers(gpu):
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38], np.float32)
    for right, outside in itertools.product((False, True), ("codes", "clip", "unknown")):
        made = {
            "eta": Feature("eta", Uniform(31, -3, 3), right=right, outside=outside),
            "pt": Feature("pt", Explicit((0.0, 0.0, 1.0, 1.0, 1.5, 2.0)), right=right, outside=outside),
            "log": Feature("pt", Uniform(20, -3, 4), transform="log", right=right, outside=outside),
        }
        for names in (("eta",), ("pt",), ("log",), ("eta", "pt", "log")):
            tokenizer = evtok.BinnedTokenizer({name: made[name] for name in names})
            edges = np.concatenate([tokenizer.fitted[name].thresholds32 for name in names])
            x = np.concatenate(
                [odd, edges, np.nextafter(edges, np.float32(9e9)), np.nextafter(edges, np.float32(-9e9))]
            )
            given = {"eta": x, "pt": x[::-1].copy()}
            agree(gpu, tokenizer, [0, len(x)], given, types=(), on_invalid="sentinel")


def test_bins_that_no_table_separates(gpu):
    random = np.random.default_rng(3)
    x = np.concatenate([random.normal(1000, 1e-3, 3000), random.normal(0, 1e-30, 3000), [5e8]]).astype("f")
    edges = np.unique(np.quantile(x, np.linspace(0, 1, 300)).astype(np.float32)).astype(float)
    tokenizer = evtok.BinnedTokenizer({"pt": Feature("pt", Explicit(tuple(edges)))})
    agree(gpu, tokenizer, [0, len(x)], {"pt": x}, types=())


SEQUENCES = [
    {},
    {"sequence": ("bos", "objects", "eos")},
    {"sequence": ("met", "objects"), "sort_by": "pt"},
    {"sequence": ("cls", "objects", "met", "sep"), "max_length": 9, "too_long": "truncate"},
    {"sort_by": "eta", "max_length": 5, "too_long": "truncate"},
]


@pytest.mark.parametrize("sequence", SEQUENCES, ids=range(len(SEQUENCES)))
@pytest.mark.parametrize("factorised", [False, True])
def test_options_agree(gpu, sequence, factorised):
    random = np.random.default_rng(11)
    multiplicity = np.concatenate([[0, 0], random.poisson(6, 120), [0, 40, 1, 0]])
    sequence = dict(sequence)
    if "met" in sequence.get("sequence", ()):
        sequence["event_features"] = {"met": Feature("MET", Uniform(9, 0, 100))}
    specials = ("pad", "mask", "unk", "cls", "bos", "eos", "sep")
    for dtype, has_unk, order in itertools.product(
        (np.float32, np.float64), (False, True), ("last-fastest", "first-fastest")
    ):
        offsets, given, fields = ragged(multiplicity, dtype)
        given["pt"][::7] = given["pt"][0]  # equal ones keep their order
        given["eta"][3::50] = np.nan
        given["eta"][4::9] = 0
        fields["MET"][5] = np.nan
        made = features(outside="unknown" if has_unk else "codes")
        made["near"] = Feature("phi", Uniform(7, -1, 1), relative_to="axis", wrap=True)
        made["turn"] = Feature("eta", Uniform(5, -3, 3), wrap=True)
        made["table"] = Feature("eta", Explicit((-2, -0.5, 0.5, 1.5)), right=True, zero_is_code_zero=True)
        names = ("pt", "near", "table") if order == "last-fastest" else ("turn", "near", "pt")
        tokenizer = evtok.BinnedTokenizer(
            {name: made[name] for name in names},
            types=TYPES[:3],  # one is unknown
            specials=specials if has_unk else specials[:2] + specials[3:],
            order=order,
            factorised=factorised,
            **sequence,
        )
        agree(gpu, tokenizer, offsets, given, fields, on_invalid="sentinel")


@pytest.mark.parametrize("table", [True, False])
def test_combinations_seen(gpu, table, monkeypatch):
    if not table:
        monkeypatch.setattr("evtok.tokenizers.binned_encode._MAX_TABLE", 10)
    offsets, given, _ = ragged([200, 0, 300])
    fit = evtok.BinnedTokenizer(
        {"pt": Feature("pt", EqualFrequency(8)), "eta": Feature("eta", EqualFrequency(8))},
        types=TYPES,
        vocabulary="seen",
    ).fit(evtok.Events(offsets[:2], {name: x[:200] for name, x in given.items()}, types=TYPES))
    assert (fit.ranks is not None) == table
    agree(gpu, fit, offsets, given)
    without = evtok.BinnedTokenizer(
        {"pt": Feature("pt", EqualFrequency(8))}, types=TYPES, vocabulary="seen", specials=("pad",)
    ).fit(evtok.Events([0, 5], {name: x[:5] for name, x in given.items()}, types=TYPES))
    agree(gpu, without, offsets, given, on_invalid="sentinel")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_long_events_are_sorted_stably(gpu, dtype):
    offsets, given, _ = ragged([256, 257, 5, 3000, 0, 1], dtype)
    given["pt"] = np.round(given["pt"] / 20) * 20  # many equal ones
    for options in ({}, {"max_length": 700, "too_long": "truncate"}):
        tokenizer = evtok.BinnedTokenizer(
            {"eta": Feature("eta", Uniform(31, -3, 3))}, sort_by="pt", **options
        )
        agree(gpu, tokenizer, offsets, given, types=())
    given["pt"][::5] = np.nan
    agree(gpu, tokenizer, offsets, given, types=())


def test_offsets_that_begin_later_and_columns_of_integers(gpu):
    given = columns(50, np.float32, np.random.default_rng(2))
    given["pt"] = given["pt"].astype(np.int32)
    given["type"] = given["type"].astype(np.int64)
    tokenizer = evtok.BinnedTokenizer(features(), types=TYPES)
    for dtype in (np.int32, np.int64):
        offsets = np.array([3, 10, 10, 41], dtype)
        agree(gpu, tokenizer, offsets, given)
    made = on_gpu(gpu, offsets, given, types=TYPES)
    assert (len(made), made.n_objects, made.longest, made.types) == (3, 38, 31, TYPES)
    assert repr(made) == "<GpuEvents: 3 events, 38 objects, columns pt, eta, phi, type>"
    host = made.to_host()
    np.testing.assert_array_equal(host.columns["eta"], given["eta"][3:41])
    np.testing.assert_array_equal(host.offsets, [0, 7, 7, 38])


FAULTS = [
    ([-1, 3], {}, "start at 0 or above, got -1"),
    ([0, 4, 2, 6], {}, "event 1 ends before it begins"),
    ([0, 4, 9], {}, "at or below the 6 objects of the columns, got 9"),
    ([0, 4, 6], {"max_per_event": 3}, "event 0 claims 4 objects"),
    ([0, 6], {"types": ("j",)}, "object 2 has code 3, but types names 1 codes"),
]


@pytest.mark.parametrize(("offsets", "options", "message"), FAULTS)
def test_broken_events_have_the_messages_of_the_cpu(gpu, offsets, options, message):
    given = {"pt": np.ones(6, np.float32), "type": np.array([0, 0, 3, 0, 1, 0], np.int32)}
    for make in (evtok.Events, lambda *a, **k: on_gpu(gpu, *a, **k)):
        with pytest.raises(InvalidEventsError, match=message):
            make(np.array(offsets), given, **options)


def test_other_refusals(gpu):
    pt = gpu.put(np.ones(6, np.float32))
    offsets = gpu.put(np.array([0, 6]))
    with pytest.raises(InvalidEventsError, match="one length for all"):
        evtok.GpuEvents(offsets, {"pt": pt, "eta": pt[:5]})
    with pytest.raises(
        InvalidEventsError, match=r"fields\['MET'\]: expected one value for each of the 1 events"
    ):
        evtok.GpuEvents(offsets, {"pt": pt}, {"MET": pt})
    with pytest.raises(InvalidEventsError, match=r"columns\['pt'\]: expected one dimension"):
        evtok.GpuEvents(offsets, {"pt": pt.reshape(2, 3)})
    events = evtok.GpuEvents(offsets, {"pt": pt, "n": gpu.put(np.arange(6))})
    of_n = evtok.BinnedTokenizer({"n": Feature("n", Uniform(3, 0, 2))})
    with pytest.raises(TypeError, match=r"columns\['n'\]: 64-bit integers are not taken on a GPU"):
        of_n.encode(events)
    with pytest.raises(InvalidEventsError, match="no column 'eta'; there are pt, n"):
        evtok.BinnedTokenizer({"eta": Feature("eta", Uniform(3, 0, 2))}).encode(events)
    counted = evtok.BinnedTokenizer(
        {"pt": Feature("pt", Uniform(3, 0, 2))},
        event_features={"c": Feature("count", Uniform(3, 0, 2))},
        sequence=("c", "objects"),
    )
    with pytest.raises(InvalidEventsError, match="no field 'count'; on a GPU, quantities"):
        counted.encode(events)


def test_invalid_values_have_the_messages_of_the_cpu(gpu):
    offsets, given, fields = ragged([2, 0, 3])
    given["eta"][3] = np.nan
    given["eta"][4] = np.inf
    tokenizer = evtok.BinnedTokenizer(features(), types=TYPES)
    messages = []
    for events in (
        evtok.Events(offsets, given, fields, types=TYPES),
        on_gpu(gpu, offsets, given, fields, types=TYPES),
    ):
        with pytest.raises(InvalidEventsError) as error:
            tokenizer.encode(events)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert messages[0].startswith("event 2, object 1: eta = nan is not valid")
    fields["MET"][1] = np.nan
    with_met = evtok.BinnedTokenizer(
        features(), event_features={"met": Feature("MET", Uniform(9, 0, 100))}, sequence=("met", "objects")
    )
    with pytest.raises(InvalidEventsError, match="event 1: field 'MET' = nan is not valid"):
        with_met.encode(on_gpu(gpu, offsets, given, fields))
    short = evtok.BinnedTokenizer(features(), max_length=2)
    with pytest.raises(InvalidEventsError, match="event 2 has 3 objects, and max_length=2"):
        short.encode(on_gpu(gpu, offsets, given, fields))


def test_columns_that_are_not_aligned(gpu):
    given = columns(1001, np.float32, np.random.default_rng(2))
    tokenizer = evtok.BinnedTokenizer(features(), types=TYPES)
    host = tokenizer.encode(evtok.Events([0, 1000], {name: x[1:] for name, x in given.items()}, types=TYPES))
    moved = {name: gpu.put(x)[1:] for name, x in given.items()}
    made = tokenizer.encode(evtok.GpuEvents(gpu.put(np.array([0, 1000])), moved, types=TYPES))
    np.testing.assert_array_equal(gpu.get(made.ids), host.ids)
