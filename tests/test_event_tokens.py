"""Tokens of the event in both kinds of tokenizer. Tolerance class of this file: integers and bits, compared with ==."""

from __future__ import annotations

import numpy as np
import pytest

import evtok
from event_tokenizers import (
    COUNTS,
    FEATURES,
    KINDS,
    SEQUENCE,
    TYPES,
    binned,
    event_ids,
    every_kind,
    made,
    make_events,
    one_of_each,
    with_value,
)
from evtok import Events
from evtok.errors import InvalidEventsError
from evtok.event_quantities import EventQuantities
from evtok.tokenizers import (
    EqualFrequency,
    Explicit,
    Feature,
)

# ---- ids --------------------------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_p2_event_tokens_are_numpys_bins_of_the_quantities(isa: str, kind: str, dtype: type) -> None:
    events = make_events(dtype=dtype)
    tokenizer = made(kind).fit(events)
    found = event_ids(tokenizer, tokenizer.encode(events, threads=3))
    quantities = EventQuantities([feature.column for feature in FEATURES.values()]).compute(events)
    edges = {name: tokenizer.fitted.event_features[name] for name in FEATURES} if "codes" in kind else {}
    for name, feature in FEATURES.items():
        fitted = edges.get(name) or tokenizer.fitted[name]
        thresholds = (
            fitted.thresholds32 if quantities[feature.column].dtype == np.float32 else fitted.thresholds64
        )
        value = quantities[feature.column]
        if feature.wrap:
            value, thresholds = (value.astype(np.float64) + np.pi) % (2 * np.pi) - np.pi, fitted.thresholds64
        digits = (
            np.clip(np.digitize(value, thresholds, feature.right), fitted.first, fitted.last) - fitted.first
        )
        np.testing.assert_array_equal(found[name], digits, err_msg=name)
    np.testing.assert_array_equal(found["jets"], np.minimum(quantities["count[j,b]"], 11))


@every_kind
def test_the_other_tokens_are_those_without_event_tokens(kind: str) -> None:
    events = make_events()
    plain, rich = KINDS[kind]().fit(events), made(kind).fit(events)
    counts = rich.encode(events).lengths
    inside = np.concatenate([np.arange(n) for n in counts])
    objects = (inside >= 3) & (inside < np.repeat(counts, counts) - 4)
    np.testing.assert_array_equal(rich.encode(events).ids[objects], plain.encode(events).ids)
    assert rich.vocab_size == plain.vocab_size + sum(rich.vocabulary.event_digits.values())
    assert rich.fingerprint != plain.fingerprint


@one_of_each
def test_p1_tokens_of_an_event_do_not_depend_on_the_others(kind: str) -> None:
    events = make_events()
    tokenizer = made(kind).fit(events)
    whole = tokenizer.encode(events)
    parts = [tokenizer.encode(events[a:b], threads=t) for a, b, t in ((0, 1, 1), (1, 173, 2), (173, 400, 5))]
    np.testing.assert_array_equal(np.concatenate([part.ids for part in parts]), whole.ids)
    assert tokenizer.encode(events, dtype=np.uint16).ids.tolist() == whole.ids.tolist()
    assert len(tokenizer.encode(events[:0])) == 0


@one_of_each
def test_truncation_counts_all_objects(kind: str) -> None:
    """A multiplicity is that of the event, not of the tokens that a sequence has room for."""
    events = make_events()
    full = made(kind).fit(events)
    short = made(kind, max_length=len(SEQUENCE) + 1, too_long="truncate").fit(events)
    tokens = short.encode(events)
    assert tokens.lengths.max() == len(SEQUENCE) + 1
    assert tokens.report is not None
    assert tokens.report.truncated_events > 0
    for name, ids in event_ids(full, full.encode(events)).items():
        np.testing.assert_array_equal(event_ids(short, tokens)[name], ids)


# ---- decoding ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["binned", "factorised", "seen"])
def test_p10_encode_of_decode_is_the_identity(kind: str) -> None:
    events = make_events()
    tokenizer = made(kind).fit(events)
    for seed in (None, 3):
        tokens = tokenizer.encode(events)
        decoded = tokenizer.decode(tokens, seed=seed)
        np.testing.assert_array_equal(tokenizer.encode(decoded).ids, tokens.ids)


@every_kind
def test_p10_quantities_are_decoded_to_fields_in_their_bins(kind: str) -> None:
    events = make_events()
    tokenizer = made(kind).fit(events)
    tokens = tokenizer.encode(events)
    decoded = tokenizer.decode(tokens)
    # A wrapped feature has its own name, as has a wrapped feature of an object.
    assert set(decoded.fields) == {"MET", "METphi", "count[j,b]", "sum_pt[j,b]", "pt_1[j]", "count"}
    counts = EventQuantities(["count[j,b]"]).compute(events)["count[j,b]"]
    np.testing.assert_array_equal(decoded.fields["count[j,b]"], np.minimum(counts, 11))  # centres are numbers
    again = Events(
        events.offsets, events.columns, decoded.fields, types=TYPES
    )  # for codes that have no object of their own
    for name, ids in event_ids(tokenizer, tokenizer.encode(again)).items():
        np.testing.assert_array_equal(ids, event_ids(tokenizer, tokens)[name], err_msg=name)


@one_of_each
def test_p10_event_tokens_out_of_place_are_refused(kind: str) -> None:
    events = make_events(20)
    tokenizer = made(kind).fit(events)
    tokens = tokenizer.encode(events)
    swapped = tokens.ids.copy()
    swapped[[1, 2]] = swapped[[2, 1]]
    with pytest.raises(InvalidEventsError, match="expected a token 'jets'"):
        tokenizer.decode(
            evtok.Tokens(
                swapped,
                tokens.offsets,
                fingerprint=tokens.fingerprint,
                vocab_size=tokenizer.vocab_size,
                pad_id=tokenizer.pad_id,
            )
        )


# ---- what is read -----------------------------------------------------------------------------------------------


@one_of_each
def test_required_columns_and_fields_are_enough_and_needed(kind: str) -> None:
    events = make_events()
    tokenizer = made(kind).fit(events)
    assert set(tokenizer.required_columns) == {"pt", "eta", "type"}
    assert tokenizer.required_fields == ("MET", "METphi")
    few = KINDS[kind](event_features={"jets": COUNTS}, sequence=("objects", "jets"))
    assert "type" in few.required_columns
    assert few.required_fields == ()
    few.fit(events)
    for name in few.required_columns:
        columns = {key: value for key, value in events.columns.items() if key != name}
        with pytest.raises(InvalidEventsError, match=f"no column '{name}'"):
            few.encode(Events(events.offsets, columns, types=TYPES))


@one_of_each
def test_a_field_with_the_name_of_a_quantity_is_the_quantity(kind: str) -> None:
    events = make_events(50)
    tokenizer = KINDS[kind](event_features={"jets": COUNTS}, sequence=("jets", "objects")).fit(events)
    given = Events(events.offsets, events.columns, {"count[j,b]": np.full(50, 9, np.int32)}, types=TYPES)
    tokens = tokenizer.encode(given)
    assert (tokens.ids[tokens.offsets[:-1]] == tokenizer.vocabulary.event_bases["jets"] + 9).all()


@pytest.mark.parametrize("kind", ["binned", "learnt codes"])
def test_codes_without_names_are_those_of_the_tokenizer(kind: str) -> None:
    events = make_events()
    tokenizer = KINDS[kind](event_features={"jets": COUNTS}, sequence=("jets", "objects")).fit(events)
    expected = tokenizer.encode(events).ids
    bare = Events(events.offsets, events.columns)
    np.testing.assert_array_equal(tokenizer.encode(bare).ids, expected)
    np.testing.assert_array_equal(tokenizer.encode(events.to_awkward()).ids, expected)


@one_of_each
def test_missing_types_are_named(kind: str) -> None:
    events = make_events()
    other = Events(events.offsets, events.columns, events.fields, types=("j", "e", "m"))
    tokenizer = made(kind).fit(events)
    with pytest.raises(InvalidEventsError, match=r"quantity 'count\[j,b\]': the events have no type 'b'"):
        tokenizer.encode(other, on_invalid="sentinel")
    with pytest.raises(InvalidEventsError, match="no type 'b'"):
        made(kind).fit(other)


# ---- invalid values ---------------------------------------------------------------------------------------------


@one_of_each
@pytest.mark.parametrize(
    ("name", "message"),
    [("MET", "event 7: field 'MET' = nan"), ("pt", r"event 7: quantity 'sum_pt\[j,b,e\]' = nan")],
)
def test_p7_invalid_event_tokens(isa: str, kind: str, name: str, message: str) -> None:
    features = {
        "MET": FEATURES["MET"],
        "HT": Feature("sum_pt[j,b,e]", Explicit((0.0, 100.0, 1000.0))),
        "jets": COUNTS,
    }
    events = make_events(30)
    tokenizer = KINDS[kind](event_features=features, sequence=("objects", *features)).fit(events)
    broken = with_value(events, 7, name)
    with pytest.raises(InvalidEventsError, match=message):
        tokenizer.encode(broken)
    tokens = tokenizer.encode(broken, on_invalid="sentinel")
    place = {"MET": -3, "pt": -2}[name]
    assert tokens[7][place] == -1
    assert tokens.report is not None
    assert tokens.report.invalid_event_tokens == 1
    assert tokens.report.invalid == (name == "pt")
    decoded = tokenizer.decode(tokens)
    assert np.isnan(decoded.fields["MET" if name == "MET" else "sum_pt[j,b,e]"]).tolist() == [
        k == 7 for k in range(30)
    ]


@one_of_each
def test_unknown_event_tokens_are_unk_and_counted(kind: str) -> None:
    features = {"jets": Feature("count", Explicit((2.0, 4.0, 6.0)), outside="unknown")}
    events = make_events()
    tokenizer = KINDS[kind](event_features=features, sequence=("jets", "objects")).fit(events)
    tokens = tokenizer.encode(events)
    outside = (events.multiplicity < 2) | (events.multiplicity >= 6)
    assert ((tokens.ids[tokens.offsets[:-1]] == tokenizer.special_ids["unk"]) == outside).all()
    assert tokens.report is not None
    assert tokens.report.unknown_event_tokens == int(outside.sum())


def test_a_leading_pt_that_is_not_there_can_have_a_bin_of_its_own() -> None:
    """Zero is no value of a logarithm; `zero_is_code_zero` takes it out of the fit, and gives it digit 0."""
    events = make_events()
    lead = Feature("pt_1[b]", EqualFrequency(5, outer=True), "log", outside="clip", zero_is_code_zero=True)
    tokenizer = binned(event_features={"lead": lead}, sequence=("lead", "objects")).fit(events)
    tokens = tokenizer.encode(events)
    digits = tokens.ids[tokens.offsets[:-1]] - tokenizer.vocabulary.event_bases["lead"]
    absent = EventQuantities(["count[b]"]).compute(events)["count[b]"] == 0
    assert ((digits == 0) == absent).all()
    usage = np.bincount(digits)[1:]
    assert usage.max() - usage.min() <= 2
    assert (tokenizer.decode(tokens).fields["pt_1[b]"] == 0).tolist() == absent.tolist()
