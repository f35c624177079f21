"""Tokens of the event in both kinds of tokenizer. Tolerance class of this file: integers and bits, compared with ==."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import evtok
from evtok import Events
from evtok.errors import ArtefactError, InvalidEventsError
from evtok.event_quantities import EventQuantities
from evtok.tokenizers import (
    BinnedTokenizer,
    CodebookTokenizer,
    EqualFrequency,
    Explicit,
    Feature,
    NumericFeature,
    Tokenizer,
    Uniform,
    artefact,
    codebook_presets,
    defaults,
)

TYPES = ("j", "b", "e")
COUNTS = Feature("count[j,b]", Uniform(13, -0.5, 11.5), outside="clip")
FEATURES = {
    "MET": Feature("MET", Explicit((50.0, 100.0, 200.0))),
    "METphi": Feature("METphi", Uniform(9, -np.pi, np.pi), outside="clip", wrap=True),
    "jets": COUNTS,
    "HT": Feature("sum_pt[j,b]", EqualFrequency(7, outer=True), "log1p", outside="clip"),
    "lead": Feature("pt_1[j]", EqualFrequency(5), right=True),
    "all": Feature("count", EqualFrequency(6)),
}
SEQUENCE = ("cls", "jets", "HT", "objects", "MET", "METphi", "all", "lead")


def make_events(n: int = 400, seed: int = 0, dtype: type = np.float32) -> Events:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(4, n)
    counts[[0, -1]] = 0
    m = int(counts.sum())
    columns = {
        "pt": (20 + rng.exponential(60, m)).astype(dtype),
        "eta": rng.normal(0, 1, m).astype(dtype),
        "type": rng.integers(0, len(TYPES), m).astype(np.uint8),
    }
    fields = {
        "MET": rng.exponential(90, n).astype(dtype),
        "METphi": rng.uniform(-np.pi, np.pi, n).astype(dtype),
    }
    return Events(np.r_[0, np.cumsum(counts)], columns, fields, types=TYPES)


def with_value(events: Events, event: int, name: str) -> Events:
    """Put a NaN into a field, or into the first object of an event."""
    columns = {key: value.copy() for key, value in events.columns.items()}
    fields = {key: value.copy() for key, value in events.fields.items()}
    if name in fields:
        fields[name][event] = np.nan
    else:
        columns[name][events.offsets[event]] = np.nan
    return Events(events.offsets, columns, fields, types=events.types)


def binned(**options: Any) -> BinnedTokenizer:
    features = {
        "pt": Feature("pt", EqualFrequency(4, outer=True), "log", outside="clip"),
        "eta": Feature("eta", Uniform(5, -2.0, 2.0)),
    }
    return BinnedTokenizer(features, **{"types": TYPES, **options})


def codes() -> npt.NDArray[np.float32]:
    return np.random.default_rng(5).normal(0, 2, (17, 2)).astype(np.float32)


PLAIN = {"pt": NumericFeature("pt", "log"), "eta": NumericFeature("eta")}

KINDS: dict[str, Callable[..., Any]] = {
    "binned": binned,
    "factorised": lambda **options: binned(factorised=True, **options),
    "seen": lambda **options: binned(vocabulary="seen", **options),
    "given codes": lambda **options: CodebookTokenizer(PLAIN, codes(), **options),
    "learnt codes": lambda **options: CodebookTokenizer(PLAIN, n_codes=9, types=TYPES, **options),
}

every_kind = pytest.mark.parametrize("kind", list(KINDS))
one_of_each = pytest.mark.parametrize("kind", ["binned", "given codes", "learnt codes"])


def made(kind: str, **options: Any) -> Any:
    return KINDS[kind](**{"event_features": FEATURES, "sequence": SEQUENCE, **options})


def event_ids(tokenizer: Tokenizer, tokens: evtok.Tokens) -> dict[str, npt.NDArray[np.int64]]:
    """Return the token of each event feature, by its place, minus the first id of its block."""
    begins, ends = tokens.offsets[:-1], tokens.offsets[1:]
    places = {"jets": begins + 1, "HT": begins + 2, "MET": ends - 4, "METphi": ends - 3, "all": ends - 2}
    bases = tokenizer.vocabulary.event_bases
    return {name: tokens.ids[place].astype(np.int64) - bases[name] for name, place in places.items()} | {
        "lead": tokens.ids[ends - 1].astype(np.int64) - bases["lead"]
    }


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


# ---- fitting ----------------------------------------------------------------------------------------------------


@every_kind
def test_p14_fits_do_not_depend_on_chunks_or_threads(kind: str) -> None:
    events = make_events(600)
    parts = [events[:1], events[1:250], events[250:250], events[250:]]
    assert made(kind).fit(parts).fingerprint == made(kind).fit(events).fingerprint


@one_of_each
def test_edges_that_are_to_be_found_make_a_tokenizer_unfitted(kind: str) -> None:
    tokenizer = made(kind)
    assert not tokenizer.is_fitted
    with pytest.raises(ValueError, match=r"call fit\(events\) first"):
        tokenizer.encode(make_events())
    with pytest.raises(TypeError, match="not fitted"):
        pickle.dumps(tokenizer)
    with pytest.raises(TypeError, match="an iterator can be read only once"):
        tokenizer.fit(iter([make_events()]))
    with pytest.raises(InvalidEventsError, match="at least one chunk"):
        tokenizer.fit([])


def test_given_codes_and_edges_need_no_fit() -> None:
    tokenizer = CodebookTokenizer(
        PLAIN, codes(), event_features={"jets": COUNTS}, sequence=("jets", "objects")
    )
    assert tokenizer.is_fitted
    mark = tokenizer.fingerprint
    assert tokenizer.fit(make_events()).fingerprint == mark
    assert tokenizer.fit_report is None


def test_given_codes_stay_when_edges_are_fitted() -> None:
    tokenizer = made("given codes").fit(make_events())
    assert (tokenizer.codebook.vectors == codes()).all()
    first = tokenizer.fingerprint
    assert tokenizer.fit(make_events(seed=3)).fingerprint != first
    assert tokenizer.fit(make_events()).fingerprint == first
    with pytest.raises(ValueError, match="codebook: has 2 dimensions, and there are 3 features"):
        CodebookTokenizer(
            {**PLAIN, "more": NumericFeature("eta")}, codes(), event_features=FEATURES, sequence=SEQUENCE
        )


@one_of_each
def test_p7_fit_refuses_or_skips_invalid_values_and_keeps_the_older_fit(kind: str) -> None:
    events = make_events()
    jets_first = np.flatnonzero(events.columns["type"][events.offsets[1:-2]] == 0) + 1
    broken = with_value(events, int(jets_first[0]), "pt")
    tokenizer = made(kind).fit(events)
    mark = tokenizer.fingerprint
    with pytest.raises(InvalidEventsError, match=r"feature '(pt|HT)': 1 values are NaN|source: object"):
        tokenizer.fit(broken)
    assert tokenizer.fingerprint == mark
    assert made(kind).fit(broken, on_invalid="skip").is_fitted
    found = {"MET": Feature("MET", EqualFrequency(4))}
    with pytest.raises(InvalidEventsError, match="feature 'MET': 1 values are NaN"):
        KINDS[kind](event_features=found, sequence=("objects", "MET")).fit(with_value(events, 5, "MET"))


@one_of_each
def test_ties_of_a_multiplicity_make_bins_that_stay_empty(kind: str) -> None:
    """Equal edges: the ids of the bins between them never occur, and nothing else is different."""
    events = make_events()
    features = {"all": Feature("count", EqualFrequency(12, outer=True), outside="clip")}
    tokenizer = KINDS[kind](event_features=features, sequence=("all", "objects")).fit(events)
    fitted = tokenizer.fitted.event_features["all"] if "codes" in kind else tokenizer.fitted["all"]
    assert len(set(fitted.edges)) < len(fitted.edges)
    tokens = tokenizer.encode(events)
    digits = tokens.ids[tokens.offsets[:-1]] - tokenizer.vocabulary.event_bases["all"]
    assert len(set(digits)) < fitted.n_digits == 12
    order = np.argsort(events.multiplicity, kind="stable")
    assert (np.diff(digits[order]) >= 0).all()
    same = np.diff(events.multiplicity[order]) == 0
    assert (np.diff(digits[order])[same] == 0).all()
    decoded = tokenizer.decode(tokens).fields["count"]
    again = Events(events.offsets, events.columns, {"count": decoded}, types=TYPES)
    np.testing.assert_array_equal(tokenizer.encode(again).ids, tokens.ids)


# ---- settings and artefacts -------------------------------------------------------------------------------------


@one_of_each
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"event_features": {"jets": COUNTS}}, "event feature 'jets' has no place"),
        (
            {"event_features": {"jets": COUNTS}, "sequence": ("jets", "objects", "jets")},
            "more than one place",
        ),
        ({"event_features": {"cls": COUNTS}}, "'cls' has a meaning in `sequence` already"),
        ({"event_features": {"objects": COUNTS}}, "'objects' has a meaning"),
        ({"event_features": {"pt": COUNTS}}, r"\['pt'\] are names of features of objects too"),
        ({"event_features": {"a": COUNTS, "b": COUNTS}}, r"'a' and 'b' are of the same field 'count\[j,b\]'"),
        ({"event_features": {"a": "count"}}, "expected features by name"),
        ({"event_features": {"": COUNTS}}, "expected features by name"),
        (
            {"event_features": {"a": Feature("counts[j]", Uniform(3, 0, 1))}},
            r"event_features: quantity 'counts\[j\]': expected a field, count\[types\]",
        ),
        (
            {"event_features": {"a": Feature("sum_pt[j,j]", Uniform(3, 0, 1))}},
            "types between commas, each once",
        ),
        (
            {"event_features": {"a": Feature("count", Uniform(3, 0, 1), relative_to="MET")}},
            "cannot be relative to the event",
        ),
        (
            {"event_features": FEATURES, "sequence": SEQUENCE, "max_length": 6},
            "leaves no room for the tokens around the objects",
        ),
    ],
)
def test_settings_that_mean_nothing_are_refused(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KINDS[kind](**options)


@every_kind
def test_p37_saved_loaded_and_pickled_tokenizers_are_the_same(kind: str, tmp_path: Path) -> None:
    events = make_events()
    tokenizer = made(kind).fit(events)
    tokenizer.save(tmp_path / "tok")
    for again in (evtok.load_tokenizer(tmp_path / "tok"), pickle.loads(pickle.dumps(tokenizer))):
        assert again.fingerprint == tokenizer.fingerprint
        assert again.settings == tokenizer.settings
        np.testing.assert_array_equal(again.encode(events).ids, tokenizer.encode(events).ids)
        assert again.fit(events).fingerprint == tokenizer.fingerprint


def test_p55_artefacts_without_event_features_have_no_key_for_them() -> None:
    """So they have the bytes, and the fingerprint, of older versions; see the golden files."""
    config, tensors = CodebookTokenizer(PLAIN, codes()).to_artefact()
    assert "event_features" not in config
    assert set(tensors) == {"codebook", "mean", "scale"}


def _hostile() -> dict[str, tuple[Any, str]]:
    bins = {**vars(COUNTS.binning), "kind": "uniform"}

    def feature(**changes: Any) -> Any:
        return lambda c, t: c["event_features"][2].update(changes)

    return {
        "no list": (lambda c, t: c.update(event_features={"a": 1}), "event_features: expected a list"),
        "none": (lambda c, t: c.update(event_features=None), "event_features: expected a list"),
        "left out": (lambda c, t: c.pop("event_features"), "sequence: expected entries|missing key"),
        "twice": (
            lambda c, t: c.update(event_features=c["event_features"] * 2),
            "expected features of different names",
        ),
        "quantity": (feature(column="count[j"), r"event_features: quantity 'count\[j': expected a field"),
        "type": (feature(column="count[j,,b]"), "expected types between commas"),
        "number": (feature(column=3), "column: expected a name"),
        "unknown key": (feature(code="print()"), "unknown key 'code'"),
        "special": (feature(name="mask"), "sequence: expected entries|has a meaning"),
        "object": (feature(name="pt"), "names of features of objects too|expected entries"),
        "more bins": (
            feature(binning={**bins, "n_edges": 9}),
            "expected 9 increasing",
        ),
        "huge": (
            feature(binning={**bins, "n_edges": 10**18}),
            "increasing",
        ),
        "thresholds": (
            lambda c, t: t.update({k: v[::-1].copy() for k, v in t.items() if "jets.thresholds32" in k}),
            "increasing float32",
        ),
        "moved": (
            lambda c, t: t.update({k: v + 1 for k, v in t.items() if "jets.edges" in k}),
            "the thresholds are not those of the edges",
        ),
        "no tensor": (
            lambda c, t: [t.pop(k) for k in list(t) if "jets.edges" in k],
            r"missing key '(event\.)?jets\.edges'",
        ),
        "another tensor": (lambda c, t: t.update({"event.more": np.zeros(3)}), "unknown key 'event.more'"),
    }


@one_of_each
@pytest.mark.parametrize("case", list(_hostile()))
def test_p37_hostile_artefacts_are_refused(tmp_path: Path, kind: str, case: str) -> None:
    attack, message = _hostile()[case]
    config, tensors = made(kind).fit(make_events(60)).to_artefact()
    config, tensors = json.loads(json.dumps(config)), {name: value.copy() for name, value in tensors.items()}
    attack(config, tensors)
    artefact.save(tmp_path / "bad", config, tensors)
    with pytest.raises(ArtefactError, match=message):
        evtok.load_tokenizer(tmp_path / "bad")


def test_p37_an_empty_list_of_event_features_is_another_form() -> None:
    config, tensors = CodebookTokenizer(PLAIN, codes()).to_artefact()
    with pytest.raises(ArtefactError, match="another form than evtok gives it"):
        CodebookTokenizer.from_artefact({**config, "event_features": []}, tensors)


# ---- defaults ---------------------------------------------------------------------------------------------------


def default_events() -> Events:
    events = make_events()
    return events.with_columns(phi=np.linspace(-3, 3, events.n_objects))


def test_default_tokenizers_have_more_event_tokens_only_when_asked() -> None:
    events = default_events()
    assert defaults.for_events(events).settings.sequence == ("objects", "MET", "METphi")
    assert codebook_presets.for_events(events, 9).settings.sequence == ("objects",)
    quantities = ("count[j,b]", "sum_pt[j,b]", "MET", "phi_1[j]")
    bins = {"count[j,b]": 6, "MET": 3}
    tokenizer = defaults.for_events(events, {**bins, "pt": 4}, quantities=quantities).fit(events)
    assert tokenizer.vocabulary.event_digits == {
        "MET": 3, "METphi": 12, "count[j,b]": 6, "sum_pt[j,b]": 20, "phi_1[j]": 20
    }  # fmt: skip
    other = codebook_presets.for_events(events, 9, quantities=quantities, bins=bins).fit(events)
    assert other.vocabulary.event_digits == {"count[j,b]": 6, "sum_pt[j,b]": 20, "MET": 3, "phi_1[j]": 20}
    same = ("count[j,b]", "sum_pt[j,b]", "MET", "phi_1[j]")
    for name in same:
        np.testing.assert_array_equal(tokenizer.fitted[name].edges, other.fitted.event_features[name].edges)
    counts = EventQuantities(["count[j,b]"]).compute(events)["count[j,b]"]
    for one in (tokenizer, other):
        np.testing.assert_array_equal(
            one.decode(one.encode(events)).fields["count[j,b]"], np.minimum(counts, 5)
        )


def test_defaults_refuse_what_is_not_there() -> None:
    events = default_events()
    with pytest.raises(InvalidEventsError, match="no type 'g'"):
        defaults.for_events(events, quantities=["count[g]"])
    with pytest.raises(InvalidEventsError, match="no such field"):
        codebook_presets.for_events(events, 9, quantities=["HT"])
    with pytest.raises(ValueError, match=r"bins: expected names of .*count, got 'HT'"):
        defaults.for_events(events, {"HT": 3}, quantities=["count"])
    with pytest.raises(ValueError, match="bins: expected names of count, got 'pt'"):
        codebook_presets.for_events(events, 9, quantities=["count"], bins={"pt": 3})


@pytest.mark.data
@pytest.mark.parametrize("codebook", [False, True])
def test_files_of_every_format_give_the_tokens_of_their_events(
    test_data: Path, tmp_path: Path, codebook: bool
) -> None:
    quantities = ("MET", "METphi", "count[j,b]", "sum_pt[j,b]")
    for name in ("ttbar.dm.csv", "ttbar.nano.root", "ttbar.parquet"):
        path = test_data / "pythia" / name
        sample = evtok.open_events(path).read(0, 0, 500)
        tokenizer: Tokenizer = (
            codebook_presets.for_events(sample, 16, quantities=quantities)
            if codebook
            else defaults.for_events(sample, quantities=quantities)
        )
        with evtok.open_events(
            path, columns=tokenizer.required_columns, fields=tokenizer.required_fields
        ) as source:
            tokenizer.fit(source)
            few = source.read(0, 0, 500)
        np.testing.assert_array_equal(tokenizer.encode(few).ids, tokenizer.encode(sample).ids)
        report = evtok.tokenize_files([path], tokenizer, tmp_path / name)
        assert report.complete
        written = evtok.TokenDataset(report.folder)[:500]
        np.testing.assert_array_equal(written.ids, tokenizer.encode(sample).ids)
