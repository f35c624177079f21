"""Events of a shard as arrays: what is kept of each, and their token ids in shards of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from evtok.errors import JobError

EVENTS_PER_BATCH = 16_384
MAX_IDS_PER_BATCH = 2**31 - 1

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Batch:
    """Some events: columns (n,) each, in the order in which a shard holds them."""

    columns: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.columns["entry"])

    @property
    def n_ids(self) -> int:
        """Token ids of all events together."""
        return 0

    def arrays(self) -> tuple[Array, ...]:
        """Return all arrays, in the order in which a content is hashed."""
        return tuple(self.columns.values())

    def part(self, start: int, stop: int) -> Self:
        """Return events `start` to `stop`."""
        return type(self)(self._columns(start, stop))

    @classmethod
    def joined(cls, parts: Sequence[Self], name: str) -> Self:
        """Return the events of all parts, one part after the other; `name` is for messages."""
        return cls(cls._joined_columns(parts))

    def _columns(self, start: int, stop: int) -> dict[str, Array]:
        return {name: values[start:stop] for name, values in self.columns.items()}

    @staticmethod
    def _joined_columns(parts: Sequence[Batch]) -> dict[str, Array]:
        return {name: _joined([part.columns[name] for part in parts]) for name in parts[0].columns}


@dataclass(frozen=True)
class TokenBatch(Batch):
    """Some events and their tokens: those of event `i` are ``ids[offsets[i]:offsets[i + 1]]``.

    Attributes
    ----------
    offsets : integer array (n + 1,)
        Increasing; int32 and from 0 in the batches of a shard.
    ids : uint16 or int32 array (t,)
    """

    offsets: npt.NDArray[np.integer[Any]]
    ids: Array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_ids(self) -> int:  # noqa: D102
        return len(self.ids)

    def arrays(self) -> tuple[Array, ...]:  # noqa: D102
        return (self.offsets, self.ids, *self.columns.values())

    def part(self, start: int, stop: int) -> Self:  # noqa: D102
        offsets = self.offsets[start : stop + 1]
        return type(self)(
            self._columns(start, stop), offsets - offsets[0], self.ids[offsets[0] : offsets[-1]]
        )

    @classmethod
    def joined(cls, parts: Sequence[Self], name: str) -> Self:  # noqa: D102
        counts = _joined([np.diff(part.offsets) for part in parts])
        offsets = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        check_batch_size(int(offsets[-1]), name)
        ids = _joined([part.ids for part in parts])
        return cls(cls._joined_columns(parts), offsets.astype(np.int32), ids)


def check_batch_size(n_ids: int, name: str) -> None:
    """Refuse a batch whose offsets would not fit in int32."""
    if n_ids > MAX_IDS_PER_BATCH:
        raise JobError(
            f"{name}: {EVENTS_PER_BATCH} events hold {n_ids} tokens, more than the {MAX_IDS_PER_BATCH} of "
            "a record batch; set max_length in the tokenizer"
        )


def _joined(parts: list[Any]) -> Array:
    return np.ascontiguousarray(parts[0] if len(parts) == 1 else np.concatenate(parts))
