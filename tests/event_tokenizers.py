"""Both kinds of tokenizer with tokens of the event, and events for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import evtok
from evtok import Events
from evtok.tokenizers import (
    BinnedTokenizer,
    CodebookTokenizer,
    EqualFrequency,
    Explicit,
    Feature,
    NumericFeature,
    Tokenizer,
    Uniform,
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
