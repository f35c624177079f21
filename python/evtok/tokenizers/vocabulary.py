"""The vocabulary: which id means what. Special tokens, objects, then tokens of the event, and special tokens again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SPECIAL_NAMES = ("pad", "mask", "unk", "cls", "bos", "eos", "sep")

#: Combinations of digits that one object may have; beyond, a token for each feature is the way.
MAX_COMBINATIONS = 1 << 30


@dataclass(frozen=True)
class Vocabulary:
    """Ids in blocks: special tokens at the low end, objects, one block for each event token, specials at the high end.

    Parameters
    ----------
    specials_low, specials_high : sequence of str
        Names of special tokens in the order of their ids, at the two ends.
    n_objects : int
        Size of the block of object ids.
    event_digits : mapping of str to int
        Size of the block of each event token.
    headroom : float
        Ids kept free at the end, as a fraction of the highest id, rounded up (the look-up-table scheme keeps 0.1).
    """

    specials_low: tuple[str, ...]
    specials_high: tuple[str, ...]
    n_objects: int
    event_digits: Mapping[str, int] = field(default_factory=dict)
    headroom: float = 0.0

    def __post_init__(self) -> None:
        names = (*self.specials_low, *self.specials_high)
        for name in names:
            if name not in SPECIAL_NAMES:
                raise ValueError(f"specials: expected names of {', '.join(SPECIAL_NAMES)}, got {name!r}")
        if len(set(names)) != len(names):
            raise ValueError(f"specials: a name occurs twice in {names}")
        if not 0 <= self.headroom <= 1:
            raise ValueError(f"headroom: expected 0 to 1, got {self.headroom}")

    @property
    def special_ids(self) -> dict[str, int]:
        """Id of each special token by name."""
        ids = {name: k for k, name in enumerate(self.specials_low)}
        start = self._specials_high_base
        ids.update({name: start + k for k, name in enumerate(self.specials_high)})
        return ids

    @property
    def object_base(self) -> int:
        """The first object id."""
        return len(self.specials_low)

    @property
    def event_bases(self) -> dict[str, int]:
        """The first id of each event token's block."""
        bases, base = {}, self.object_base + self.n_objects
        for name, size in self.event_digits.items():
            bases[name] = base
            base += size
        return bases

    @property
    def _specials_high_base(self) -> int:
        return self.object_base + self.n_objects + sum(self.event_digits.values())

    @property
    def size(self) -> int:
        """Number of ids, headroom included."""
        used = self._specials_high_base + len(self.specials_high)
        return used + math.ceil(self.headroom * max(0, used - 1))


def strides(digits: Sequence[int], last_fastest: bool) -> list[int]:
    """Factors of the mixed radix: an object's key is the sum of digit times factor.

    Raises
    ------
    ValueError
        More combinations than `MAX_COMBINATIONS`.
    """
    result = [1] * len(digits)
    order = range(len(digits))
    product = 1
    for k in reversed(order) if last_fastest else order:
        result[k] = product
        product *= digits[k]
    if product > MAX_COMBINATIONS:
        raise ValueError(
            f"features: {' x '.join(map(str, digits))} = {product} combinations, more than {MAX_COMBINATIONS}; use "
            "fewer bins, or factorised=True"
        )
    return result
