"""Which tokens are used, how often, and what they mean. Numbers only; nothing is drawn here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.events import TYPE_COLUMN
from evtok.report.bins import Bins
from evtok.report.page import Html, element, escape
from evtok.report.quantities import type_name
from evtok.tokens import Tokens

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """A range of ids with one meaning, and how often its ids occur: ``counts[k]`` for id ``base + k``."""

    name: str
    base: int
    counts: Counts

    @property
    def size(self) -> int:
        """Ids in the block."""
        return len(self.counts)

    @property
    def used(self) -> int:
        """Ids that occur."""
        return int(np.count_nonzero(self.counts))

    @property
    def total(self) -> int:
        """Tokens of the block."""
        return int(self.counts.sum())

    @property
    def perplexity(self) -> float:
        """2 to the entropy in bits: the number of equally frequent ids that would be as hard to guess."""
        if not self.total:
            return 0.0
        p = self.counts[self.counts > 0] / self.total
        return float(np.exp(-(p * np.log(p)).sum()))


def count_ids(tokens: Sequence[Tokens], vocab_size: int) -> Counts:
    """Count each id, (vocab_size,)."""
    counts = np.zeros(vocab_size, np.int64)
    for part in tokens:
        counts += np.bincount(part.ids, minlength=vocab_size)
    return counts


def blocks(tokenizer: Any, counts: Counts) -> list[Block]:
    """Cut the counts (vocab_size,) into special tokens, objects, and tokens of the event; empty blocks are left out."""
    vocabulary = tokenizer.vocabulary
    special = np.array(sorted(vocabulary.special_ids.values()), np.int64)
    base, n = vocabulary.object_base, vocabulary.n_objects
    found = [Block("special", 0, counts[special]), Block("objects", base, counts[base : base + n])]
    for name, start in vocabulary.event_bases.items():
        found.append(Block(name, start, counts[start : start + vocabulary.event_digits[name]]))
    return [block for block in found if block.size]


def ranked(counts: Counts) -> Counts:
    """Return the counts that are not zero, falling."""
    return np.sort(counts[counts > 0])[::-1]


def most_used(block: Block, n: int) -> list[tuple[int, int]]:
    """Return (id, count) of the n most frequent ids; equal ones by id."""
    order = np.argsort(-block.counts, kind="stable")[:n]
    return [(block.base + int(k), int(block.counts[k])) for k in order if block.counts[k]]


def meaning(tokenizer: Any, bins: Sequence[Bins], token: int) -> Html:
    """Say what an id of an object or of the event stands for: its type, and the range of each feature."""
    vocabulary = tokenizer.vocabulary
    by_name = {one.name: one for one in bins}
    for name, base in vocabulary.event_bases.items():
        if base <= token < base + vocabulary.event_digits[name]:
            return _range(by_name[name], token - base)
    key = token - vocabulary.object_base
    if tokenizer.settings.factorised:
        for name, size in tokenizer.digits.items():
            if key < size:
                return _part(tokenizer, by_name, name, key)
            key -= size
    if tokenizer.seen is not None:
        key = int(tokenizer.seen[key])
    digits = {n: key // tokenizer.strides[n] % size for n, size in tokenizer.digits.items()}
    parts = [_part(tokenizer, by_name, name, digit) for name, digit in digits.items()]
    return Html(", ".join(parts))


def _part(tokenizer: Any, by_name: dict[str, Bins], name: str, digit: int) -> Html:
    if name != TYPE_COLUMN:
        return _range(by_name[name], digit)
    names = [known for known, value in tokenizer.settings.types.items() if value == digit]
    return escape(type_name(names[0]) if names else f"type {digit}")


def _range(bins: Bins, digit: int) -> Html:
    return element("span", bins.quantity.page, " ", bins.words(digit), class_="range")
