"""Stage 2: events to tokens.

`BinnedTokenizer` (binned.py) is made of `Feature`s (feature.py): a column, a `Transform` (thresholds.py) and a binning.
`CodebookTokenizer` (codebook.py) is made of `NumericFeature`s (codebook_features.py), perhaps a `FeatureNetwork`
(feature_network.py), and a codebook. Both may have tokens of the event (event_features.py). What both are for others is
in interface.py, and what a tokenizer is on disk in artefact.py; presets of published schemes lie in presets.py and
codebook_presets.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from evtok.errors import ArtefactError
from evtok.tokenizers import artefact
from evtok.tokenizers.binned import BinnedTokenizer
from evtok.tokenizers.codebook import CodebookTokenizer
from evtok.tokenizers.codebook_features import NumericFeature
from evtok.tokenizers.edge_definitions import EqualFrequency, LookupTableBins
from evtok.tokenizers.feature import Explicit, Feature, Uniform
from evtok.tokenizers.feature_network import FeatureNetwork
from evtok.tokenizers.interface import Tokenizer
from evtok.tokenizers.presets import log_uniform
from evtok.tokenizers.thresholds import Transform

__all__ = [
    "BinnedTokenizer",
    "CodebookTokenizer",
    "EqualFrequency",
    "Explicit",
    "Feature",
    "FeatureNetwork",
    "LookupTableBins",
    "NumericFeature",
    "Tokenizer",
    "Transform",
    "Uniform",
    "load_tokenizer",
    "log_uniform",
    "tokenizer_from_artefact",
]


_KINDS: dict[str, type[Tokenizer]] = {kind.KIND: kind for kind in (BinnedTokenizer, CodebookTokenizer)}


def load_tokenizer(folder: str | os.PathLike[str]) -> Tokenizer:
    """Read a tokenizer of any kind from its folder.

    Raises
    ------
    ArtefactError
        A missing, altered, hostile or newer artefact, or one that is no tokenizer.
    """
    config, tensors = artefact.load(folder)
    return tokenizer_from_artefact(config, tensors, str(folder))


def tokenizer_from_artefact(
    config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]], name: str = "tokenizer"
) -> Tokenizer:
    """Make a tokenizer of any kind from what `Tokenizer.to_artefact` returned, trusting nothing.

    Raises
    ------
    ArtefactError
        A config that is no tokenizer's.
    """
    kind = config.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ArtefactError(f"{name}: expected a tokenizer of kind {' or '.join(_KINDS)}, got {kind!r:.80}")
    return _KINDS[kind].from_artefact(config, tensors)
