"""Decoding: ids back to digits, and digits to bin centres or to draws within the bins."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evtok.errors import InvalidEventsError
from evtok.events import TYPE_COLUMN, Events
from evtok.tokenizers.feature import Feature, FittedFeature
from evtok.tokens import Tokens

if TYPE_CHECKING:
    from evtok.tokenizers.binned import BinnedTokenizer

_UNKNOWN = -1  # the digit of an unknown object
_SENTINEL = -1  # the id of an invalid one


def decode(tokenizer: BinnedTokenizer, tokens: Tokens, seed: int | None) -> Events:
    """Decode `tokens`; see `BinnedTokenizer.decode`."""
    settings = tokenizer.settings
    ids = tokens.ids.astype(np.int64)
    event_of = np.repeat(np.arange(len(tokens)), tokens.lengths)
    is_object, event_tokens = _places(tokenizer, ids, tokens.offsets, event_of)
    draw = None if seed is None else np.random.Generator(np.random.PCG64(seed))

    names = decoded_names(settings.event_features)
    fields: dict[str, Any] = {}
    for name, base in tokenizer.vocabulary.event_bases.items():
        fitted = tokenizer.fitted[name]
        digits = event_tokens[name] - base
        known = (digits >= 0) & (digits < fitted.n_digits)
        fields[names[name]] = _values(fitted, np.where(known, digits, _UNKNOWN), draw)

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


def decoded_names(features: Mapping[str, Feature], taken: Collection[str] = ()) -> dict[str, str]:
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


def _places(
    tokenizer: BinnedTokenizer,
    ids: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    event_of: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.bool_], dict[str, npt.NDArray[np.int64]]]:
    """Check that every sequence is laid out as `encode` does, padding at its end aside.

    Returns
    -------
    is_object : bool (n_tokens,)
        True for the tokens of objects.
    event_tokens : dict of str to int64 (n_events,)
        The token of each event feature.
    """
    settings, vocabulary = tokenizer.settings, tokenizer.vocabulary
    starts, ends = offsets[:-1], _ends(tokenizer, ids, offsets)
    n_before, n_after = len(settings.before), len(settings.after)
    short = np.flatnonzero(ends - starts < n_before + n_after)
    if short.size:
        event = int(short[0])
        raise InvalidEventsError(
            f"tokens: event {event} has {int(ends[event] - starts[event])} tokens besides padding, fewer than the "
            f"{n_before + n_after} around the objects"
        )
    event_tokens: dict[str, npt.NDArray[np.int64]] = {}
    places = [starts + k for k in range(n_before)] + [ends - n_after + k for k in range(n_after)]
    for name, place in zip((*settings.before, *settings.after), places, strict=True):
        if name in vocabulary.event_bases:
            event_tokens[name] = ids[place]
            right = _belongs(
                tokenizer, ids[place], vocabulary.event_bases[name], vocabulary.event_digits[name]
            )
        else:
            right = ids[place] == vocabulary.special_ids[name]
        _refuse(tokenizer, ids, place[~right], event_of, f"a token {name!r}")
    place = np.arange(len(ids))
    is_object = (place >= (starts + n_before)[event_of]) & (place < (ends - n_after)[event_of])
    right = _belongs(tokenizer, ids, vocabulary.object_base, vocabulary.n_objects)
    _refuse(tokenizer, ids, place[is_object & ~right], event_of, "a token of an object")
    return is_object, event_tokens


def _ends(
    tokenizer: BinnedTokenizer, ids: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return where each sequence ends (n_events,), padding after it left out."""
    if tokenizer.pad_id < 0:
        return offsets[1:]
    # The last token so far that is no padding; an event that is all padding ends where it begins.
    last = np.maximum.accumulate(np.where(ids != tokenizer.pad_id, np.arange(len(ids)), -1))
    ends = np.maximum(np.concatenate([np.full(1, -1), last])[offsets[1:]] + 1, offsets[:-1])
    own = len(list(takewhile(lambda name: name == "pad", reversed(tokenizer.settings.after))))
    return np.asarray(np.minimum(ends + own, offsets[1:]), np.int64)


def _belongs(
    tokenizer: BinnedTokenizer, ids: npt.NDArray[np.int64], base: int, size: int
) -> npt.NDArray[np.bool_]:
    """True for ids of a block, and for those that stand for an unknown or an invalid value."""
    unknown = tokenizer.special_ids.get("unk", _SENTINEL)
    right = ((ids >= base) & (ids < base + size)) | (ids == unknown) | (ids == _SENTINEL)
    return np.asarray(right, np.bool_)


def _refuse(
    tokenizer: BinnedTokenizer,
    ids: npt.NDArray[np.int64],
    wrong: npt.NDArray[np.int64],
    event_of: npt.NDArray[np.int64],
    expected: str,
) -> None:
    """Raise for the first of the tokens that are `wrong`, if there is one."""
    if not wrong.size:
        return
    token = int(wrong[0])
    given, size = int(ids[token]), tokenizer.vocab_size
    if not 0 <= given < size:
        raise InvalidEventsError(f"tokens: id {given} (token {token}) is outside the {size} ids")
    names = {k: f" ({name!r})" for name, k in tokenizer.special_ids.items()}
    raise InvalidEventsError(
        f"tokens: event {int(event_of[token])} is out of place at token {token}: expected {expected}, got id "
        f"{given}{names.get(given, '')}"
    )


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
