"""Decoding: ids back to digits, and digits to bin centres or to draws within the bins."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from evtok.errors import InvalidEventsError
from evtok.events import TYPE_COLUMN, Events
from evtok.tokenizers.feature import FittedFeature
from evtok.tokenizers.sequence import find_objects
from evtok.tokenizers.vocabulary import Vocabulary
from evtok.tokens import Tokens

if TYPE_CHECKING:
    from evtok.tokenizers.binned import BinnedTokenizer

_UNKNOWN = -1  # the digit of an unknown object


def decode(tokenizer: BinnedTokenizer, tokens: Tokens, seed: int | None) -> Events:
    """Decode `tokens`; see `BinnedTokenizer.decode`."""
    settings = tokenizer.settings
    ids = tokens.ids.astype(np.int64)
    event_of = np.repeat(np.arange(len(tokens)), tokens.lengths)
    is_object, event_tokens = find_objects(tokenizer, settings.sequence, ids, tokens.offsets, event_of)
    draw = None if seed is None else np.random.Generator(np.random.PCG64(seed))

    of_event = {name: tokenizer.fitted[name] for name in settings.event_features}
    fields = event_fields(of_event, tokenizer.vocabulary, event_tokens, draw)
    object_digits, offsets = _digits(
        tokenizer, ids - tokenizer.vocabulary.object_base, is_object, event_of, len(tokens)
    )
    names = decoded_names(settings.features, (TYPE_COLUMN,) if settings.types else ())
    columns: dict[str, npt.NDArray[Any]] = {}
    types: tuple[str, ...] = ()
    for name, values in object_digits.items():
        if name == TYPE_COLUMN:
            columns[name], types = _types(tokenizer, values)
        else:
            columns[names[name]] = _values(tokenizer.fitted[name], values, draw)
    return Events(offsets, columns, fields, types=types)


def event_fields(
    fitted: Mapping[str, FittedFeature],
    vocabulary: Vocabulary,
    event_tokens: Mapping[str, npt.NDArray[np.int64]],
    draw: np.random.Generator | None = None,
) -> dict[str, npt.NDArray[np.float64]]:
    """Return fields (n_events,) from the token of each event feature (n_events,); NaN where there is no bin.

    A field has the name of the feature's column, which for a quantity is the quantity's: what was computed once is
    part of the event from then on.
    """
    names = decoded_names({name: one.feature for name, one in fitted.items()})
    fields = {}
    for name, one in fitted.items():
        digits = event_tokens[name] - vocabulary.event_bases[name]
        known = (digits >= 0) & (digits < one.n_digits)
        fields[names[name]] = _values(one, np.where(known, digits, _UNKNOWN), draw)
    return fields


class DecodedFeature(Protocol):
    """What the name of a decoded feature follows from."""

    @property
    def column(self) -> str:
        """Where its values come from."""

    @property
    def is_derived(self) -> bool:
        """True when the column cannot be had back from its values."""


def decoded_names(features: Mapping[str, DecodedFeature], taken: Collection[str] = ()) -> dict[str, str]:
    """Return the name under which each feature is decoded.

    It is the feature's column, so that what is decoded can be encoded; or its own name, where the column cannot be had
    back: for a relative or wrapped feature, and for the second feature of a column.
    """
    names: dict[str, str] = {}
    for name, feature in features.items():
        if not feature.is_derived and feature.column not in (*taken, *names.values()):
            names[name] = feature.column
    for name in features:
        if name not in names:
            if name in (*taken, *names.values()):
                raise ValueError(
                    f"features: two of them would be decoded to {name!r}; give {name!r} another name"
                )
            names[name] = name
    return names


def _digits(
    tokenizer: BinnedTokenizer,
    local: npt.NDArray[np.int64],
    is_object: npt.NDArray[np.bool_],
    event_of: npt.NDArray[np.int64],
    n_events: int,
) -> tuple[dict[str, npt.NDArray[np.int64]], npt.NDArray[np.int64]]:
    """Return the digits of each object by name (m,), and the offsets of the objects."""
    sizes = tokenizer.digits
    inside = (local >= 0) & (local < tokenizer.vocabulary.n_objects)
    keys = np.where(inside, local, _UNKNOWN)[is_object]
    counts = np.bincount(event_of[is_object], minlength=n_events)
    if tokenizer.settings.factorised:
        width = len(sizes)
        if (counts % width).any():
            event = int(np.flatnonzero(counts % width)[0])
            raise InvalidEventsError(
                f"tokens: event {event} has {int(counts[event])} object tokens, not a multiple of {width}"
            )
        parts = keys.reshape(-1, width)
        digits, base = {}, 0
        for k, (name, size) in enumerate(sizes.items()):
            part = np.where(parts[:, k] == _UNKNOWN, _UNKNOWN, parts[:, k] - base)
            misplaced = (parts[:, k] != _UNKNOWN) & ((part < 0) | (part >= size))
            if misplaced.any():
                raise InvalidEventsError(
                    f"tokens: object {int(np.flatnonzero(misplaced)[0])} is out of place: expected an id of {name!r}"
                )
            digits[name] = part
            base += size
        counts = counts // width
    else:
        known = keys != _UNKNOWN
        if tokenizer.seen is not None:
            keys = np.where(known, tokenizer.seen[np.maximum(keys, 0)], _UNKNOWN)
        factors = tokenizer.strides
        digits = {
            name: np.where(known, keys // factors[name] % size, _UNKNOWN) for name, size in sizes.items()
        }
    return digits, np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _values(
    fitted: FittedFeature, digits: npt.NDArray[np.int64], draw: np.random.Generator | None
) -> npt.NDArray[np.float64]:
    """Return the value of each digit (m,): its bin's centre, or a draw within the bin; NaN for an unknown one."""
    known = np.maximum(digits, 0)
    low, high = fitted.digit_range(known)
    # As the published scheme draws: the right edge minus a uniform number times the width.
    fraction = 0.5 if draw is None else draw.random(len(digits))
    values = fitted.feature.transform.inverse_float(high - fraction * (high - low))
    return np.where(digits == _UNKNOWN, np.nan, fitted.into_bins(values, known))


def _types(
    tokenizer: BinnedTokenizer, digits: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """Return codes (m,) and the names of the codes; an unknown object has the type ``unk``."""
    table = tokenizer.settings.types
    names = [*table]
    of_digit = np.full(max(table.values()) + 1, len(names))
    for code, name in enumerate(names):
        of_digit[table[name]] = code
    codes = np.where(digits == _UNKNOWN, len(names), of_digit[np.maximum(digits, 0)])
    if (codes == len(names)).any():
        names.append("unk")
    return codes.astype(np.uint8), tuple(names)
