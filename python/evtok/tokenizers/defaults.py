"""The tokenizer that one gets without asking for one: it follows from the columns that a source has."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evtok.errors import InvalidEventsError
from evtok.event_quantities import EventQuantities, Quantity
from evtok.events import TYPE_COLUMN, Events
from evtok.tokenizers.binned import OBJECTS, BinnedTokenizer
from evtok.tokenizers.edge_definitions import EqualFrequency
from evtok.tokenizers.feature import Feature, Uniform
from evtok.tokenizers.thresholds import Transform

#: Names under which a transverse momentum, a pseudorapidity (or its distance to the jet axis) and an azimuth occur,
#: the best first.
_PT = ("pt", "ptrel")
_ETA = ("etarel", "deta", "eta")
_PHI = ("phirel", "dphi", "phi")

#: Bins of each feature. With 7 types: 7 x 20 x 12 x 12 = 20 160 ids, which fit 16 bits with all others.
BINS = {"pt": 20, "eta": 12, "phi": 12, "MET": 20, "METphi": 12}

#: Bins of any other quantity.
QUANTITY_BINS = 20


def for_events(
    events: Events,
    bins: Mapping[str, int] | None = None,
    *,
    quantities: Sequence[str] = (),
    **options: Any,
) -> BinnedTokenizer:
    """Make a tokenizer (to be fitted) for events like these.

    The object's type, if there are types; pT in bins of equal frequency; η in bins of equal frequency; φ in equal bins
    from -π to π. Relative η and φ are preferred to absolute ones. MET and METphi, if there are such fields, become
    tokens after the objects, and so do `quantities`. The order of the objects is kept.

    Parameters
    ----------
    events : Events
        A sample; only its columns, fields and types matter.
    bins : mapping of str to int, optional
        Bins of pt, eta, phi, MET, METphi and quantities, where they should differ from `BINS` and `QUANTITY_BINS`.
    quantities : sequence of str
        More tokens of the event, such as ``["count[j,b]", "sum_pt[j,b]"]``; see `of_quantities`.
    **options
        Passed on to `BinnedTokenizer`.

    Raises
    ------
    InvalidEventsError
        The events have no column that is known to be a transverse momentum, or no angle, or not what a quantity is of.
    ValueError
        `bins` names something else.
    """
    given = dict(bins or {})
    _check_bins(given, (*BINS, *quantities))
    counts = BINS | given
    pt, eta, phi = kinematic_columns(events)
    features = {
        pt: _equal(pt, counts["pt"], Transform("log")),
        eta: _equal(eta, counts["eta"]),
        phi: _angle(phi, counts["phi"]) if phi == "phi" else _equal(phi, counts["phi"]),
    }
    wanted = [name for name in ("MET", "METphi") if name in events.fields]
    wanted += [name for name in quantities if name not in wanted]
    event_features = of_quantities(events, wanted, {name: n for name, n in given.items() if name in wanted})
    arguments: dict[str, Any] = {
        "types": events.types if TYPE_COLUMN in events.columns and events.types else None,
        "event_features": event_features,
        "sequence": (OBJECTS, *event_features),
    }
    return BinnedTokenizer(features, **{**arguments, **options})


def of_quantities(
    events: Events, names: Sequence[str], bins: Mapping[str, int] | None = None
) -> dict[str, Feature]:
    """Make the features of event tokens.

    A multiplicity has a bin for each number from 0, the last one for all larger ones too; an angle has equal bins from
    -π to π; anything else has bins of equal frequency.

    Parameters
    ----------
    events : Events
        A sample; only its columns, fields and types matter.
    names : sequence of str
        Quantities, see `evtok.event_quantities`: ``MET``, ``count[j,b]``, ``sum_pt[j,b]``, ``pt_1[j]``, ...
    bins : mapping of str to int, optional
        Bins of each, where they should differ from `BINS` and `QUANTITY_BINS`.

    Raises
    ------
    InvalidEventsError
        The events have not what a quantity is of.
    ValueError
        A name that is no quantity, or `bins` of something else.
    """
    _check_bins(bins or {}, names)
    EventQuantities(names).compute(events[:0])  # raises for what is not there
    counts = {**BINS, **(bins or {})}
    features = {}
    for name in names:
        quantity, n_bins = Quantity.parse(name), counts.get(name, QUANTITY_BINS)
        if quantity.of == "count":
            features[name] = Feature(name, Uniform(n_bins + 1, -0.5, n_bins - 0.5), outside="clip")
        elif name == "METphi" or (quantity.of == "ranked" and quantity.column == "phi"):
            features[name] = _angle(name, n_bins)
        else:
            features[name] = _equal(name, n_bins)
    return features


def _check_bins(bins: Mapping[str, int], known: Sequence[str]) -> None:
    unknown = sorted(set(bins) - set(known))
    if unknown:
        raise ValueError(f"bins: expected names of {', '.join(known) or 'nothing'}, got {unknown[0]!r}")


def kinematic_columns(events: Events) -> tuple[str, str, str]:
    """Return the names of the columns of pT, η and φ, relative angles before absolute ones.

    Raises
    ------
    InvalidEventsError
        The events have no column that is known to be one of these.
    """
    return (
        _first(events.columns, _PT, "a transverse momentum"),
        _first(events.columns, _ETA, "a pseudorapidity"),
        _first(events.columns, _PHI, "an azimuth"),
    )


def _equal(column: str, n_bins: int, transform: Transform | None = None) -> Feature:
    return Feature(column, EqualFrequency(n_bins, outer=True), transform or Transform(), outside="clip")


def _angle(column: str, n_bins: int) -> Feature:
    return Feature(column, Uniform(n_bins + 1, -math.pi, math.pi), outside="clip")


def _first(columns: Mapping[str, Any], names: Sequence[str], what: str) -> str:
    for name in names:
        if name in columns:
            return name
    raise InvalidEventsError(
        f"events: no column is known to be {what} ({', '.join(names)}); there are {', '.join(columns) or 'none'}; "
        "define the tokenizer's features yourself"
    )
