"""Event tokens: what is fitted, what is refused, and what is on disk. Compared with ==."""

from __future__ import annotations

import hashlib
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evtok
from event_tokenizers import (
    COUNTS,
    FEATURES,
    KINDS,
    PLAIN,
    SEQUENCE,
    TYPES,
    codes,
    every_kind,
    made,
    make_events,
    one_of_each,
    with_value,
)
from evtok import Events, _core
from evtok.errors import ArtefactError, InvalidEventsError
from evtok.tokenizers import (
    CodebookTokenizer,
    EqualFrequency,
    Feature,
    NumericFeature,
    Uniform,
    artefact,
)

GOLDEN = Path(__file__).parent / "golden"
sys.path.insert(0, str(GOLDEN))
from events import golden_events  # noqa: E402
from quantity_tokenizers import golden_quantity_tokenizers  # noqa: E402

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


@pytest.mark.parametrize("kind", ["binned", "codebook"])
def test_p55_golden_tokens(isa: str, kind: str) -> None:
    folder = GOLDEN / "quantities-0.1.0"
    golden = json.loads((folder / "expected.json").read_text())
    if golden["numerics_version"] != _core.numerics_version:
        pytest.skip(f"numerics version {golden['numerics_version']}: its tokens are another's")
    tokenizer = evtok.load_tokenizer(folder / kind)
    assert tokenizer.fingerprint == golden_quantity_tokenizers()[kind].fingerprint
    for dtype in (np.float32, np.float64):
        tokens = tokenizer.encode(golden_events(20_000, dtype))
        content = tokens.ids.astype("<i4").tobytes() + tokens.offsets.astype("<i8").tobytes()
        expected = golden["tokens_sha256"][f"{kind} {np.dtype(dtype).name}"]
        assert hashlib.sha256(content).hexdigest() == expected


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
