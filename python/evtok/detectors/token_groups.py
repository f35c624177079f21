"""What a token is about: an object of some type, a quantity of the event, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from evtok.events import TYPE_COLUMN
from evtok.tokenizers import BinnedTokenizer, CodebookTokenizer, Tokenizer
from evtok.tokenizers.sequence import OBJECTS, around_objects
from evtok.tokens import Tokens

#: Special tokens that say nothing about the event. ``unk`` is not among them: it is an object, if an unknown one.
SILENT = ("pad", "mask", "cls", "bos", "eos", "sep")

#: The group of ids that stand for what the tokenizer does not know: ``unk``, and the headroom of a vocabulary.
UNKNOWN = "unk"

#: Ids that a detector of tokens can tell apart; beyond, its tables would fill the memory.
MAX_VOCABULARY = 1 << 24

_NONE = -1
_CHUNK = 1 << 16  # ids that are decoded at a time


@dataclass(frozen=True, eq=False)
class TokenGroups:
    """The group of each id.

    Attributes
    ----------
    names : tuple of str
        Types of objects ("objects" where these have no type; the digits' names for factorised tokens), event tokens by
        their names, and "unk".
    of_id : int16 array (vocab_size,)
        The group's place in `names`; -1 for an id that says nothing about the event, such as padding.
    """

    names: tuple[str, ...]
    of_id: npt.NDArray[np.int16]

    @cached_property
    def is_scored(self) -> npt.NDArray[np.bool_]:
        """True for the ids that say something (vocab_size,)."""
        return np.asarray(self.of_id != _NONE, np.bool_)

    def weights(self, given: Mapping[str, float]) -> npt.NDArray[np.float32]:
        """Return the weight of each group (n_groups,), 1 for those that are not given.

        Raises
        ------
        ValueError
            A name that no group has.
        """
        for name in given:
            if name not in self.names:
                raise ValueError(
                    f"type_weights: expected names of {', '.join(self.names)}, as the tokenizer has them; got {name!r}"
                )
        return np.array([given.get(name, 1.0) for name in self.names], np.float32)


def token_groups(tokenizer: Tokenizer) -> TokenGroups:
    """Return what each id of a fitted tokenizer is about.

    Raises
    ------
    ValueError
        A vocabulary of more than `MAX_VOCABULARY` ids.
    """
    if tokenizer.vocab_size > MAX_VOCABULARY:
        raise ValueError(
            f"tokenizer: a vocabulary of {tokenizer.vocab_size} ids, and a detector takes at most {MAX_VOCABULARY}; "
            "use fewer bins, factorised=True, or vocabulary='seen'"
        )
    vocabulary = tokenizer.vocabulary
    object_names, of_object = _objects(tokenizer)
    names = tuple(dict.fromkeys((*object_names, *vocabulary.event_bases, UNKNOWN)))
    place = {name: k for k, name in enumerate(names)}
    of_id = np.full(tokenizer.vocab_size, place[UNKNOWN], np.int16)
    first = vocabulary.object_base
    of_id[first : first + vocabulary.n_objects] = np.array([place[name] for name in object_names])[of_object]
    for name, base in vocabulary.event_bases.items():
        of_id[base : base + vocabulary.event_digits[name]] = place[name]
    for name, special in tokenizer.special_ids.items():
        if name in SILENT:
            of_id[special] = _NONE
    of_id.setflags(write=False)
    return TokenGroups(names, of_id)


def _objects(tokenizer: Tokenizer) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return names, and the place among them of each id of an object (n_objects,)."""
    n_objects = tokenizer.vocabulary.n_objects
    places = np.zeros(n_objects, np.int64)
    if not isinstance(tokenizer, (BinnedTokenizer, CodebookTokenizer)):
        return [OBJECTS], places  # another package's: nothing is known of its types
    if isinstance(tokenizer, BinnedTokenizer) and tokenizer.settings.factorised:
        digits = tokenizer.digits
        return [*digits], np.repeat(np.arange(len(digits)), list(digits.values()))
    names: dict[str, int] = {}
    for start in range(0, n_objects, _CHUNK):
        stop = min(start + _CHUNK, n_objects)
        decoded = tokenizer.decode(_each_alone(tokenizer, np.arange(start, stop)))
        if TYPE_COLUMN not in decoded.columns:
            return [OBJECTS], places
        of_type = [names.setdefault(name, len(names)) for name in decoded.types]
        places[start:stop] = np.array(of_type)[decoded.columns[TYPE_COLUMN]]
    return [*names], places


def _each_alone(tokenizer: BinnedTokenizer | CodebookTokenizer, objects: npt.NDArray[np.int64]) -> Tokens:
    """Return an event for each of the objects, which has nothing else but the tokens that every event has."""
    vocabulary = tokenizer.vocabulary
    fixed = vocabulary.special_ids | vocabulary.event_bases
    before, after = around_objects(tokenizer.settings.sequence)
    ids = np.empty((len(objects), len(before) + 1 + len(after)), np.int32)
    ids[:, : len(before)] = [fixed[name] for name in before]
    ids[:, len(before)] = vocabulary.object_base + objects
    ids[:, len(before) + 1 :] = [fixed[name] for name in after]
    return Tokens(
        ids.ravel(),
        np.arange(len(objects) + 1) * ids.shape[1],
        fingerprint=tokenizer.fingerprint,
        vocab_size=tokenizer.vocab_size,
        pad_id=tokenizer.pad_id,
    )
