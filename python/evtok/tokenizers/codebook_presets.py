"""Published codebook tokenizers, and the one that follows from the columns that a source has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from evtok.codebook import Codebook
from evtok.events import TYPE_COLUMN, Events
from evtok.tokenizers import defaults
from evtok.tokenizers.codebook import CodebookTokenizer
from evtok.tokenizers.codebook_features import NumericFeature
from evtok.tokenizers.feature_network import FeatureNetwork
from evtok.tokenizers.sequence import OBJECTS
from evtok.tokenizers.thresholds import Transform


def omnijet(
    codebook: Codebook | npt.ArrayLike | None = None,
    *,
    n_codes: int | None = None,
    network: FeatureNetwork | None = None,
    columns: Sequence[str] = ("pt", "etarel", "phirel"),
    relative_to: Sequence[str] | None = None,
    **options: Any,
) -> CodebookTokenizer:
    """Make tokens of jet constituents as OmniJet-α (2403.05618) has them.

    Features are ``log(pt) - 1.8``, ``3 Δη`` and ``3 Δφ``, of the constituents with |Δη| and |Δφ| below 0.8; a start
    token with id 0, code k with id k + 1, and a stop token with id K + 1. The published codebook belongs to an encoder
    (a transformer over the jet) that is no network of dense layers: encode with it, and look the vectors up by
    `Codebook.nearest`. This preset is for a codebook of the features, or of an encoder of dense layers.

    Parameters
    ----------
    codebook, n_codes, network
        As for `CodebookTokenizer`; with neither codebook nor n_codes, 8192 codes are to be found.
    columns : three names
        Columns of pT in GeV, Δη and Δφ; or of pT, η and φ with `relative_to`.
    relative_to : two names, optional
        Fields with η and φ of the jet axis, to be subtracted; Δφ is wrapped.
    **options
        Passed on to `CodebookTokenizer`.
    """
    pt, eta, phi = columns
    jet_eta, jet_phi = relative_to if relative_to is not None else (None, None)
    triple = Transform(multiply=3.0)
    features = {
        "pt": NumericFeature(pt, Transform("log", subtract=1.8)),
        "etarel": NumericFeature(eta, triple, relative_to=jet_eta, above=-0.8, below=0.8),
        "phirel": NumericFeature(
            phi, triple, relative_to=jet_phi, wrap=jet_phi is not None, above=-0.8, below=0.8
        ),
    }
    arguments: dict[str, Any] = {
        "specials": ("bos",),
        "specials_high": ("eos",),
        "sequence": ("bos", OBJECTS, "eos"),
        "standardise": False,
    }
    if codebook is None and n_codes is None:
        n_codes = 8192
    return CodebookTokenizer(features, codebook, n_codes=n_codes, network=network, **{**arguments, **options})


def for_events(
    events: Events,
    n_codes: int,
    *,
    quantities: Sequence[str] = (),
    bins: Mapping[str, int] | None = None,
    **options: Any,
) -> CodebookTokenizer:
    """Make a tokenizer (to be fitted) for events like these.

    The features are log pT, η and φ, each minus its mean and divided by its standard deviation; relative η and φ are
    preferred to absolute ones. The object's type, if there are types, follows as one number for each type. Tokens of
    the event follow the objects, where there are `quantities`.

    Parameters
    ----------
    events : Events
        A sample; only its columns, fields and types matter.
    n_codes : int
        Codes that `fit` is to find.
    quantities : sequence of str
        Tokens of the event, such as ``["MET", "METphi", "count[j,b]", "sum_pt[j,b]"]``; see `defaults.of_quantities`.
    bins : mapping of str to int, optional
        Bins of the quantities, where they should differ from the default.
    **options
        Passed on to `CodebookTokenizer`.

    Raises
    ------
    InvalidEventsError
        The events have no column that is known to be a transverse momentum, or no angle, or not what a quantity is of.
    ValueError
        `bins` names something else.
    """
    pt, eta, phi = defaults.kinematic_columns(events)
    features = {pt: NumericFeature(pt, "log"), eta: NumericFeature(eta), phi: NumericFeature(phi)}
    types = events.types if TYPE_COLUMN in events.columns and events.types else None
    event_features = defaults.of_quantities(events, quantities, bins)
    arguments: dict[str, Any] = {
        "n_codes": n_codes,
        "types": types,
        "event_features": event_features,
        "sequence": (OBJECTS, *event_features),
    }
    return CodebookTokenizer(features, **{**arguments, **options})


PRESETS: dict[str, Callable[..., CodebookTokenizer]] = {"omnijet": omnijet}


def make(name: str, **options: Any) -> CodebookTokenizer:
    """Make the tokenizer of the preset `name`."""
    if name not in PRESETS:
        raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name](**options)
