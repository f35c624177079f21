"""Stage 2: events to tokens.

`BinnedTokenizer` (binned.py) is made of `Feature`s (feature.py): a column, a `Transform` (thresholds.py) and a binning.
Presets of published schemes lie in presets.py, and what a tokenizer is on disk in artefact.py.
"""

from __future__ import annotations

import os

from evtok.errors import ArtefactError
from evtok.tokenizers import artefact
from evtok.tokenizers.binned import BinnedTokenizer
from evtok.tokenizers.binned_config import KIND as _BINNED
from evtok.tokenizers.edge_definitions import EqualFrequency, LookupTableBins
from evtok.tokenizers.feature import Explicit, Feature, Uniform
from evtok.tokenizers.presets import log_uniform
from evtok.tokenizers.thresholds import Transform

__all__ = [
    "BinnedTokenizer",
    "EqualFrequency",
    "Explicit",
    "Feature",
    "LookupTableBins",
    "Transform",
    "Uniform",
    "load_tokenizer",
    "log_uniform",
]


def load_tokenizer(folder: str | os.PathLike[str]) -> BinnedTokenizer:
    """Read a tokenizer of any kind from its folder.

    Raises
    ------
    ArtefactError
        A missing, altered, hostile or newer artefact, or one that is no tokenizer.
    """
    config, tensors = artefact.load(folder)
    if config.get("kind") == _BINNED:
        return BinnedTokenizer.from_artefact(config, tensors)
    raise ArtefactError(f"{folder}: expected a tokenizer of kind {_BINNED!r}, got {config.get('kind')!r}")
