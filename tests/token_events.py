"""Events, tokenizers and tiny networks for the tests of detectors of tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from evtok import Events, Tokens
from evtok.detectors import MaskedTokenDetector
from evtok.tokenizers import (
    BinnedTokenizer,
    CodebookTokenizer,
    EqualFrequency,
    Feature,
    NumericFeature,
    Uniform,
)

TYPES = ("j", "b", "e")

#: A network and a training that take a moment.
TINY: dict[str, Any] = {
    "layers": 1, "width": 8, "heads": 2, "feed_forward": 16, "epochs": 2, "batch": 32, "warm_up": 0
}  # fmt: skip


def make_events(n: int = 120, seed: int = 0, mean_objects: float = 4.0, **columns: Any) -> Events:
    """Return events of 1 and more objects, in which harder objects are more central."""
    rng = np.random.default_rng(seed)
    counts = 1 + rng.poisson(mean_objects - 1, n)
    m = int(counts.sum())
    pt = 20 + rng.exponential(60, m)
    made = {
        "pt": pt.astype(np.float32),
        "eta": (rng.normal(0, 1, m) * 60 / pt).clip(-2.4, 2.4).astype(np.float32),
        "type": rng.integers(0, len(TYPES), m).astype(np.uint8),
    }
    fields = {"MET": rng.exponential(80, n).astype(np.float32)}
    return Events(np.r_[0, np.cumsum(counts)], made | columns, fields, types=TYPES)


def binned(events: Events, **options: Any) -> BinnedTokenizer:
    """Return a tokenizer with a MET token, and ``cls`` before the objects."""
    settings: dict[str, Any] = {
        "types": TYPES,
        "event_features": {"MET": Feature("MET", EqualFrequency(3))},
        "sequence": ("cls", "MET", "objects"),
    }
    features = {"pt": Feature("pt", EqualFrequency(4), "log"), "eta": Feature("eta", Uniform(3, -2.5, 2.5))}
    return BinnedTokenizer(features, **settings | options).fit(events)


def codes(events: Events, **options: Any) -> CodebookTokenizer:
    """Return a tokenizer of 12 codes, of int32 ids."""
    features = {"pt": NumericFeature("pt", "log"), "eta": NumericFeature("eta")}
    return CodebookTokenizer(features, n_codes=12, types=TYPES, **options).fit(events)


def trained(events: Events, **options: Any) -> MaskedTokenDetector:
    """Return a detector that has seen half of the events for a moment."""
    half = len(events) // 2
    tokenizer = options.pop("tokenizer", None) or binned(events)
    return MaskedTokenDetector(tokenizer, **TINY | options).fit(events[:half], events[half:])


def untrained(
    tokenizer: BinnedTokenizer | CodebookTokenizer, seed: int = 0, **options: Any
) -> MaskedTokenDetector:
    """Return a detector of random numbers, which takes no torch to make."""
    empty = MaskedTokenDetector(tokenizer, **TINY | options)
    numbers = np.random.default_rng(seed)
    shapes = empty.network.shapes(tokenizer.vocab_size, empty._n_embeddings)
    tensors = {
        f"model.{name}": (numbers.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)
        for name, shape in shapes.items()
    }
    _, of_tokenizer = empty.inputs.to_config()
    return MaskedTokenDetector.from_artefact(empty._config(), of_tokenizer | tensors)


def tokens_of(tokenizer: BinnedTokenizer | CodebookTokenizer, *sequences: list[int]) -> Tokens:
    """Return tokens as if `tokenizer` had made them."""
    lengths = [len(sequence) for sequence in sequences]
    return Tokens(
        np.array([token for sequence in sequences for token in sequence], np.int32),
        np.r_[0, np.cumsum(lengths)],
        fingerprint=tokenizer.fingerprint,
        vocab_size=tokenizer.vocab_size,
        pad_id=tokenizer.pad_id,
    )
