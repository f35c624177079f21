"""Tokens of the event: bins of its fields, or of quantities that are computed from its objects.

`Feature.column` names a field, or a quantity of `evtok.event_quantities` such as ``count[j,b]``. A quantity is float64,
and compared with float64 thresholds. Events that have a field of that name bring the quantity with them: decoded events
do, and so they can be encoded again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _core
from evtok.errors import InvalidEventsError
from evtok.event_quantities import EventQuantities
from evtok.events import Events
from evtok.tokenizers import binned_rows, encoding
from evtok.tokenizers.feature import Feature, FittedFeature
from evtok.tokenizers.sequence import OBJECTS
from evtok.tokenizers.vocabulary import SPECIAL_NAMES, Vocabulary


def check(features: Mapping[str, Feature], taken: Collection[str]) -> None:
    """Refuse event features that are none, or whose name or column has another meaning.

    Parameters
    ----------
    features : mapping of str to Feature
        As a user gave them.
    taken : collection of str
        Names of the features of objects.

    Raises
    ------
    ValueError
    """
    untrusted: Mapping[Any, object] = features
    for key, value in untrusted.items():
        if not isinstance(key, str) or not key or not isinstance(value, Feature):
            raise ValueError(f"event_features: expected features by name, got {key!r}: {value!r}")
    both = set(taken) & set(features)
    if both:
        raise ValueError(f"event_features: {sorted(both)} are names of features of objects too")
    columns: dict[str, str] = {}
    for name, feature in features.items():
        if name in SPECIAL_NAMES or name == OBJECTS:
            raise ValueError(
                f"event_features: {name!r} has a meaning in `sequence` already; use another name"
            )
        if feature.relative_to is not None:
            raise ValueError(
                f"event_features[{name!r}]: a feature of the event cannot be relative to the event"
            )
        if feature.column in columns:
            raise ValueError(
                f"event_features: {columns[feature.column]!r} and {name!r} are of the same field "
                f"{feature.column!r}, which could be decoded to one of them only"
            )
        columns[feature.column] = name
    try:
        quantities(features)
    except ValueError as error:
        raise ValueError(f"event_features: {error}") from error


def quantities(features: Mapping[str, Feature]) -> EventQuantities:
    """Return what the features are of; it says which columns and fields are read."""
    return EventQuantities([feature.column for feature in features.values()])


def values(
    features: Mapping[str, Feature], events: Events, codes: Mapping[str, int]
) -> dict[str, npt.NDArray[Any]]:
    """Return the values (n_events,) of each feature, float32 or float64.

    Parameters
    ----------
    features : mapping of str to Feature
    events : Events
    codes : mapping of str to int
        What the codes of types mean, for events that do not name them.

    Raises
    ------
    InvalidEventsError
        A field, column or type that the events do not have.
    TypeError
        Integers above 2**53 in size.
    """
    fields = quantities(features).required_fields
    computed = [f.column for f in features.values() if f.column not in (*fields, *events.fields)]
    found = EventQuantities(computed).compute(events, codes)
    return {
        name: found[feature.column]
        if feature.column in found
        else encoding.column(events, feature.column, of_event=True)
        for name, feature in features.items()
    }


def with_fields(features: Mapping[str, Feature], events: Events, codes: Mapping[str, int]) -> Events:
    """Return the events with each quantity as a field, so that it stays what it was if objects are left out."""
    found = values(features, events, codes)
    fields = {feature.column: found[name] for name, feature in features.items()}
    units = {
        one.name: events.units[one.column]
        for one in quantities(features).quantities
        if one.column is not None and one.column in events.units
    }
    return Events(
        events.offsets,
        events.columns,
        {**events.fields, **fields},
        units={**units, **events.units},
        types=events.types,
    )


def compared(
    features: Mapping[str, Feature], events: Events, codes: Mapping[str, int]
) -> dict[str, npt.NDArray[Any]]:
    """Return the same as it is compared with the edges: wrapped, where the feature says so."""
    return {
        name: binned_rows.derived(features[name], x) for name, x in values(features, events, codes).items()
    }


@dataclass(frozen=True)
class EventTokens:
    """Ids of each event feature, int32 (n_events,), -1 where it is invalid; and how many are invalid or unknown."""

    ids: Mapping[str, npt.NDArray[np.int32]]
    invalid: int
    unknown: int


def encode(
    fitted: Mapping[str, FittedFeature],
    events: Events,
    codes: Mapping[str, int],
    vocabulary: Vocabulary,
    on_invalid: str,
    threads: int,
) -> EventTokens:
    """Turn the features of each event into tokens.

    Parameters
    ----------
    fitted : mapping of str to FittedFeature
        The event features.
    events : Events
    codes : mapping of str to int
        What the codes of types mean, for events that do not name them.
    vocabulary : Vocabulary
        Has a block of ids for each feature.
    on_invalid : {"raise", "sentinel"}
    threads : int
        0: as many as there are.

    Raises
    ------
    InvalidEventsError
        See `values`; or an invalid value, unless it is to be -1.
    """
    features = {name: one.feature for name, one in fitted.items()}
    ids: dict[str, npt.NDArray[np.int32]] = {}
    invalid = unknown = 0
    for name, x in values(features, events, codes).items():
        program = _core.RowProgram(len(events))
        binned_rows.add(program, fitted[name], x, None, 1, 0)
        program.set_vocabulary(False, vocabulary.event_bases[name], vocabulary.special_ids.get("unk", -1))
        ids[name] = np.empty(len(events), np.int32)
        counts = program.ids(ids[name], threads)
        if counts["invalid"] and on_invalid == "raise":
            _raise_invalid(features[name].column, events, x, int(counts["first_invalid"]))
        invalid += counts["invalid"]
        unknown += counts["unknown"]
    return EventTokens(ids, invalid, unknown)


def _raise_invalid(name: str, events: Events, x: npt.NDArray[Any], event: int) -> None:
    what = "field" if name in events.fields else "quantity"
    raise InvalidEventsError(
        f"event {event}: {what} {name!r} = {float(x[event])!r} is not valid for its bins; drop or mend it, or encode "
        "with on_invalid='sentinel'"
    )
