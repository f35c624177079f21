"""Decoding: ids back to digits, and digits to bin centres or to draws within the bins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evtok.errors import InvalidEventsError
from evtok.events import TYPE_COLUMN, Events
from evtok.tokenizers.feature import FittedFeature
from evtok.tokens import Tokens

if TYPE_CHECKING:
    from evtok.tokenizers.binned import BinnedTokenizer

_UNKNOWN = -1  # the digit of an unknown object


def decode(tokenizer: BinnedTokenizer, tokens: Tokens, seed: int | None) -> Events:
    """Decode `tokens`; see `BinnedTokenizer.decode`."""
    vocabulary = tokenizer.vocabulary
    ids = tokens.ids.astype(np.int64)
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < vocabulary.size:
        bad = int(np.flatnonzero((ids < 0) | (ids >= vocabulary.size))[0])
        raise InvalidEventsError(
            f"tokens: id {int(ids[bad])} (token {bad}) is outside the {vocabulary.size} ids"
        )
    event_of = np.repeat(np.arange(len(tokens)), tokens.lengths)
    draw = None if seed is None else np.random.Generator(np.random.PCG64(seed))

    fields: dict[str, Any] = {}
    for name, base in vocabulary.event_bases.items():
        fitted = tokenizer.fitted[name]
        fields[fitted.feature.column] = _event_values(fitted, ids, event_of, base, len(tokens), draw, name)

    unknown_id = vocabulary.special_ids.get("unk", -1)
    local = ids - vocabulary.object_base
    # In a sequence, `unk` stands for an object; for a token of the event it would stand after all objects of a plain
    # layout, but its place alone cannot tell, so a fixed place in the sequence is used.
    is_object = (local >= 0) & (local < vocabulary.n_objects)
    is_object |= (ids == unknown_id) & _in_object_place(tokenizer, tokens)
    digits, offsets = _digits(tokenizer, local, is_object, event_of, len(tokens))

    columns: dict[str, npt.NDArray[Any]] = {}
    types: tuple[str, ...] = ()
    for name, values in digits.items():
        if name == TYPE_COLUMN:
            columns[name], types = _types(tokenizer, values)
        else:
            columns[name] = _values(tokenizer.fitted[name], values, draw)
    return Events(offsets, columns, fields, types=types)


def _in_object_place(tokenizer: BinnedTokenizer, tokens: Tokens) -> npt.NDArray[np.bool_]:
    """True for each token (n_tokens,) that lies between the tokens before and after the objects."""
    position = np.arange(len(tokens.ids)) - np.repeat(tokens.offsets[:-1], tokens.lengths)
    remaining = np.repeat(tokens.lengths, tokens.lengths) - 1 - position
    inside = (position >= len(tokenizer.settings.before)) & (remaining >= len(tokenizer.settings.after))
    return np.asarray(inside, np.bool_)


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


def _event_values(
    fitted: FittedFeature,
    ids: npt.NDArray[np.int64],
    event_of: npt.NDArray[np.int64],
    base: int,
    n_events: int,
    draw: np.random.Generator | None,
    name: str,
) -> npt.NDArray[np.float64]:
    """Return the value of one event token for each event (n_events,); NaN where the event has none."""
    digits = ids - base
    mine = (digits >= 0) & (digits < fitted.n_digits)
    result = np.full(n_events, _UNKNOWN)
    if (np.bincount(event_of[mine], minlength=n_events) > 1).any():
        raise InvalidEventsError(f"tokens: an event has more than one token of {name!r}")
    result[event_of[mine]] = digits[mine]
    return _values(fitted, result, draw)


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
