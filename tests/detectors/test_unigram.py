"""The unigram detector: -log of a token's smoothed share, and of the share of a length.

Tolerance class: the table is float64 rounded once; reductions are those of `evtok.scoring`, here to 1e-6.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evtok.detectors import UnigramDetector, load_detector
from evtok.detectors.token_groups import token_groups
from evtok.errors import ArtefactError, FingerprintError, InvalidEventsError
from evtok.tokenizers import artefact
from token_events import binned, codes, make_events, tokens_of

EVENTS = make_events()
TOKENIZER = binned(EVENTS)
SPECIALS = {TOKENIZER.special_ids[name] for name in ("pad", "mask", "cls")}


def shares(weights: Any = None, smoothing: float = 1.0) -> dict[int, float]:
    """Return -log of the share of every id that is scored: a loop."""
    tokens = TOKENIZER.encode(EVENTS)
    counted: Counter[int] = Counter()
    for k, ids in enumerate(tokens):
        for token in ids.tolist():
            if token not in SPECIALS:
                counted[token] += 1.0 if weights is None else weights[k]  # type: ignore[assignment]
    ids = [token for token in range(TOKENIZER.vocab_size) if token not in SPECIALS]
    total = sum(counted.values()) + smoothing * len(ids)
    return {token: -math.log((counted[token] + smoothing) / total) for token in ids}


@pytest.mark.parametrize("smoothing", [1.0, 0.01])
def test_the_surprise_is_the_smoothed_share_of_a_loop(smoothing: float) -> None:
    detector = UnigramDetector(TOKENIZER, smoothing=smoothing).fit(EVENTS)
    expected = shares(smoothing=smoothing)
    assert sum(math.exp(-value) for value in expected.values()) == pytest.approx(1)
    everything = tokens_of(TOKENIZER, [*range(TOKENIZER.vocab_size)])
    found = detector.token_surprise(everything)
    assert found.dtype == np.float32
    for token, value in enumerate(found.tolist()):
        assert value == pytest.approx(expected.get(token, 0.0), rel=1e-6)
    tokens = TOKENIZER.encode(EVENTS)
    means = [np.mean([expected[token] for token in ids.tolist()[1:]]) for ids in tokens]
    np.testing.assert_allclose(detector.score(EVENTS), means, rtol=1e-6)
    np.testing.assert_array_equal(detector.score(tokens), detector.score(EVENTS))


def test_weights_count_events() -> None:
    weights = np.random.default_rng(0).random(len(EVENTS))
    weights[:40] = 0
    found = UnigramDetector(TOKENIZER).fit(EVENTS, weights=weights)
    expected = shares(weights / weights.mean())
    surprise = found.token_surprise(tokens_of(TOKENIZER, [*expected]))
    np.testing.assert_allclose(surprise, [*expected.values()], rtol=1e-6)


def test_the_sum_with_the_length_is_a_likelihood() -> None:
    """It adds up to 1 over all events of up to two objects, and one share for all that are longer."""
    base, size = TOKENIZER.vocabulary.object_base, TOKENIZER.vocabulary.n_objects
    short = tokens_of(TOKENIZER, *[[base]] * 3, *[[base, base + 1]] * 5)
    detector = UnigramDetector(TOKENIZER, reduction="sum", length_term=True, smoothing=0.5).fit(short)
    plain = UnigramDetector(TOKENIZER, reduction="sum", smoothing=0.5).fit(short)
    longer = tokens_of(TOKENIZER, [base] * 3, [base] * 9)
    lengths = [-math.log(count / 9.5) for count in (3.5, 5.5, 0.5)]
    np.testing.assert_allclose(
        detector.score(short) - plain.score(short), [lengths[0]] * 3 + [lengths[1]] * 5, rtol=1e-5
    )
    np.testing.assert_allclose(detector.score(longer) - plain.score(longer), [lengths[2]] * 2, rtol=1e-5)
    singles = detector.score(tokens_of(TOKENIZER, *([base + k] for k in range(size))))
    others = detector.score(
        tokens_of(TOKENIZER, *([k] for k in range(TOKENIZER.vocab_size) if k not in SPECIALS))
    )
    assert np.exp(-singles.astype(np.float64)).sum() < np.exp(-others.astype(np.float64)).sum()
    assert np.exp(-others.astype(np.float64)).sum() == pytest.approx(3.5 / 9.5, rel=1e-5)


def test_files_and_bad_input(tmp_path: Path) -> None:
    detector = UnigramDetector(
        TOKENIZER, length_term=True, reduction="top-mean", top=2, type_weights={"MET": 2.0}
    ).fit(EVENTS)
    detector.save(tmp_path / "model")
    loaded = load_detector(tmp_path / "model")
    assert loaded.fingerprint == detector.fingerprint
    np.testing.assert_array_equal(loaded.score(EVENTS), detector.score(EVENTS))
    config, tensors = detector.to_artefact()
    table = tensors["token_surprise"]
    for k, (message, bad_config, bad_tensors) in enumerate(
        [
            ("expected 55 numbers", config, tensors | {"token_surprise": table[:-1]}),
            ("float32", config, tensors | {"token_surprise": table.astype(np.float64)}),
            ("not negative", config, tensors | {"token_surprise": -1 - table}),
            ("not negative", config, tensors | {"length_surprise": np.full_like(table, np.inf)}),
            (
                "missing",
                config,
                {name: value for name, value in tensors.items() if name != "length_surprise"},
            ),
            ("smoothing", config | {"smoothing": 0.0}, tensors),
            ("length_term", config | {"length_term": 1}, tensors),
            ("unknown key", config | {"evil": 1}, tensors),
            ("score", config | {"score": {"reduction": "mean"}}, tensors),
        ]
    ):
        artefact.save(tmp_path / str(k), bad_config, bad_tensors)
        with pytest.raises(ArtefactError, match=message):
            load_detector(tmp_path / str(k))
    with pytest.raises(FingerprintError):
        detector.score(binned(EVENTS, order="first-fastest").encode(EVENTS))
    with pytest.raises(InvalidEventsError, match="event 1"):
        detector.score(tokens_of(TOKENIZER, [10], [TOKENIZER.special_ids["cls"]]))
    with pytest.raises(ValueError, match="smoothing"):
        UnigramDetector(TOKENIZER, smoothing=0)


# ---- groups -------------------------------------------------------------------------------------------------------


def test_groups_are_those_that_the_tokenizer_decodes_to() -> None:
    groups = token_groups(TOKENIZER)
    assert groups.names == ("j", "b", "e", "MET", "unk")
    tokens = TOKENIZER.encode(EVENTS)
    decoded = TOKENIZER.decode(tokens)
    names = [groups.names[k] for k in groups.of_id[tokens.ids] if k >= 0]
    expected = []
    for k in range(len(EVENTS)):
        types = decoded.columns["type"][decoded.offsets[k] : decoded.offsets[k + 1]]
        expected += ["MET", *(decoded.types[code] for code in types)]
    assert names == expected
    assert {token for token in range(TOKENIZER.vocab_size) if groups.of_id[token] < 0} == SPECIALS
    assert groups.names[groups.of_id[TOKENIZER.special_ids["unk"]]] == "unk"


def test_groups_of_other_tokenizers() -> None:
    parts = binned(EVENTS, factorised=True)
    factorised = token_groups(parts)
    assert factorised.names == ("type", "pt", "eta", "MET", "unk")
    sizes = [*parts.digits.values(), *parts.vocabulary.event_digits.values(), 1]
    assert np.bincount(factorised.of_id[factorised.is_scored]).tolist() == sizes
    untyped = token_groups(binned(EVENTS, types=None, headroom=0.1))
    assert untyped.names == ("objects", "MET", "unk")
    seen = binned(EVENTS, vocabulary="seen")
    assert set(token_groups(seen).names) >= {"j", "b", "e"}
    of_codes = codes(EVENTS)
    groups = token_groups(of_codes)
    assert set(groups.names) == {"j", "b", "e", "unk"}
    tokens = of_codes.encode(EVENTS)
    decoded = of_codes.decode(tokens)
    assert [groups.names[k] for k in groups.of_id[tokens.ids]] == [
        decoded.types[code] for code in decoded.columns["type"]
    ]
