"""The sequence of an event: special tokens and tokens of the event, and among them the objects, once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from evtok.errors import InvalidEventsError
from evtok.tokenizers.vocabulary import SPECIAL_NAMES

if TYPE_CHECKING:
    from evtok.tokenizers.interface import Tokenizer

#: The place of the objects in a sequence.
OBJECTS = "objects"

SENTINEL = -1  # the id of an invalid object or value


def around_objects(sequence: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the entries before the objects, and those after them."""
    place = sequence.index(OBJECTS)
    return tuple(sequence[:place]), tuple(sequence[place + 1 :])


def check_sequence(
    sequence: Sequence[str], specials: Sequence[str], event_features: Sequence[str], max_length: int | None
) -> None:
    """Refuse a sequence with entries of unknown names, event features or objects missing or twice, or no room.

    Parameters
    ----------
    sequence : sequence of str
        What the sequence of an event holds.
    specials, event_features : sequence of str
        Names that it may hold; each event feature once.
    max_length : int or None
        The longest sequence.

    Raises
    ------
    ValueError
    """
    known = {*specials, *event_features, OBJECTS}
    for entry in sequence:
        if entry not in known:
            hint = " (add it to specials)" if entry in SPECIAL_NAMES else ""
            raise ValueError(f"sequence: expected entries of {sorted(known)}, got {entry!r}{hint}")
    if sequence.count(OBJECTS) != 1:
        raise ValueError(f"sequence: expected 'objects' once, got {sequence}")
    for name in event_features:
        if name not in sequence:
            raise ValueError(f"sequence: event feature {name!r} has no place in it; add its name")
        if sequence.count(name) > 1:
            raise ValueError(f"sequence: event feature {name!r} has more than one place in it")
    if max_length is not None and max_length < len(sequence) - 1:
        raise ValueError(f"max_length: {max_length} leaves no room for the tokens around the objects")


def find_objects(
    tokenizer: Tokenizer,
    sequence: Sequence[str],
    ids: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    event_of: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.bool_], dict[str, npt.NDArray[np.int64]]]:
    """Check that every sequence is laid out as `encode` does, padding at its end aside.

    Parameters
    ----------
    tokenizer : Tokenizer
    sequence : sequence of str
        What the sequence of an event holds, ``"objects"`` once.
    ids : int64 (n_tokens,)
    offsets : int64 (n_events + 1,)
    event_of : int64 (n_tokens,)
        The event of each token.

    Returns
    -------
    is_object : bool (n_tokens,)
        True for the tokens of objects.
    event_tokens : dict of str to int64 (n_events,)
        The token of each event feature.

    Raises
    ------
    InvalidEventsError
        A sequence without all of its special and event tokens where they belong, or anything else than objects
        between them.
    """
    vocabulary = tokenizer.vocabulary
    before, after = around_objects(sequence)
    starts, ends = offsets[:-1], _ends(tokenizer, after, ids, offsets)
    n_before, n_after = len(before), len(after)
    short = np.flatnonzero(ends - starts < n_before + n_after)
    if short.size:
        event = int(short[0])
        raise InvalidEventsError(
            f"tokens: event {event} has {int(ends[event] - starts[event])} tokens besides padding, fewer than the "
            f"{n_before + n_after} around the objects"
        )
    event_tokens: dict[str, npt.NDArray[np.int64]] = {}
    places = [starts + k for k in range(n_before)] + [ends - n_after + k for k in range(n_after)]
    for name, place in zip((*before, *after), places, strict=True):
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
    tokenizer: Tokenizer,
    after: Sequence[str],
    ids: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Return where each sequence ends (n_events,), padding after it left out."""
    if tokenizer.pad_id < 0:
        return offsets[1:]
    # The last token so far that is no padding; an event that is all padding ends where it begins.
    last = np.maximum.accumulate(np.where(ids != tokenizer.pad_id, np.arange(len(ids)), -1))
    ends = np.maximum(np.concatenate([np.full(1, -1), last])[offsets[1:]] + 1, offsets[:-1])
    own = len(list(takewhile(lambda name: name == "pad", reversed(after))))
    return np.asarray(np.minimum(ends + own, offsets[1:]), np.int64)


def _belongs(tokenizer: Tokenizer, ids: npt.NDArray[np.int64], base: int, size: int) -> npt.NDArray[np.bool_]:
    """True for ids of a block, and for those that stand for an unknown or an invalid value."""
    unknown = tokenizer.special_ids.get("unk", SENTINEL)
    right = ((ids >= base) & (ids < base + size)) | (ids == unknown) | (ids == SENTINEL)
    return np.asarray(right, np.bool_)


def _refuse(
    tokenizer: Tokenizer,
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
