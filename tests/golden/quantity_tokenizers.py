"""Tokenizers of both kinds with tokens of quantities, for the golden files: counts, sums and leading objects."""

from __future__ import annotations

import numpy as np
from codebook_tokenizers import numbers
from events import TYPES, golden_events

from evtok.tokenizers import (
    BinnedTokenizer,
    CodebookTokenizer,
    EqualFrequency,
    Feature,
    NumericFeature,
    Tokenizer,
    Uniform,
)


def golden_quantity_tokenizers() -> dict[str, Tokenizer]:
    """Make the tokenizers; edges that are to be found are fitted to golden events."""
    sample = golden_events(500, np.float32)
    event_features = {
        "MET": Feature("MET", EqualFrequency(9, outer=True), outside="clip"),
        "jets": Feature("count[j,b]", Uniform(9, -0.5, 7.5), outside="clip"),
        "all": Feature("count", EqualFrequency(12)),
        "HT": Feature("sum_pt[j,b]", EqualFrequency(200, outer=True), outside="clip"),
        "energy": Feature("sum_energy", EqualFrequency(150), "log1p"),
        "lead": Feature("pt_1[j,b]", EqualFrequency(100)),
        "second": Feature("eta_2", EqualFrequency(30), right=True),
    }
    sequence = ("jets", "HT", "objects", "MET", "all", "energy", "lead", "second")
    binned = BinnedTokenizer(
        {"eta": Feature("eta", Uniform(30, -4, 4))},
        types=TYPES,
        event_features=event_features,
        sequence=sequence,
        max_length=11,
        too_long="truncate",
    )
    codebook = CodebookTokenizer(
        {"pt": NumericFeature("pt", "log"), "eta": NumericFeature("eta", above=-4.75, below=4.75)},
        4 * numbers((64, 2), 31),
        event_features=event_features,
        sequence=sequence,
    )
    return {"binned": binned.fit(sample), "codebook": codebook.fit(sample)}
