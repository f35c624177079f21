"""What a job makes of events: tokens or scores. The rest of a job knows this much of it, and no more.

A `Product` says what shards hold, and is a part of the plan. An `Encoder` makes it, on the machine where a job runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from evtok.events import Events
from evtok.jobs.batch import Array, Batch
from evtok.jobs.fields import Fields
from evtok.tokens import EncodeReport


class Product(ABC):
    """What shards hold of each event beside its entry and the fields that are kept."""

    #: What it is called in plans and messages.
    NAME: ClassVar[str]
    #: Folder of the job with the artefact that made it, and what that is called.
    ARTEFACT: ClassVar[str]
    #: Keys of a plan that only this product has.
    KEYS: ClassVar[tuple[str, ...]]

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return the part of a plan that says what it is: the values of `KEYS`."""

    @classmethod
    @abstractmethod
    def from_json(cls, found: Fields) -> Self:
        """Read what `to_json` returned; raises `ShardError`."""

    @property
    @abstractmethod
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Names and NumPy dtypes of its own columns, which come first in a shard."""

    @abstractmethod
    def metadata(self) -> dict[str, str]:
        """Return what a shard says of it."""

    @abstractmethod
    def arrow_fields(self) -> list[Any]:
        """Return its own columns as a ``pyarrow.Field`` each."""

    @abstractmethod
    def to_arrow(self, batch: Any) -> list[Any]:
        """Return its own columns of a batch as arrays of Arrow, without a copy."""

    @abstractmethod
    def from_arrow(self, found: Any, columns: dict[str, Array]) -> Batch:
        """View its own columns of a ``pyarrow.RecordBatch``, without a copy; `columns` are the others."""

    @abstractmethod
    def check(self, batch: Any, name: str) -> None:
        """Refuse values that no job writes; raises `ShardError`."""

    @abstractmethod
    def fingerprint_of(self, folder: Path) -> str:
        """Return the fingerprint of the artefact in a folder; raises `ArtefactError`."""


@dataclass(frozen=True)
class Encoded:
    """What an encoder made of a chunk.

    Attributes
    ----------
    batch : Batch
        Of the events that it could encode, in order.
    refused : int64 array (r,)
        Positions of the others in the chunk, in order.
    reasons : sequence of str (r,)
        Why they go to quarantine.
    report : EncodeReport
        What was met on the way.
    """

    batch: Batch
    refused: npt.NDArray[np.int64]
    reasons: Sequence[str]
    report: EncodeReport


class Encoder(ABC):
    """Makes a product of events.

    Attributes
    ----------
    product : Product
    fingerprint : str
        Of the tokenizer or the model, when the job began.
    required_columns, required_fields : tuple of str
        What it reads of events.
    events_per_call : int or None
        Give it so many events at a time, whatever the reader's chunks; None where the bits do not depend on it.
    """

    product: Product
    fingerprint: str
    required_columns: tuple[str, ...]
    required_fields: tuple[str, ...]
    events_per_call: int | None = None

    @abstractmethod
    def encode(
        self, events: Events, columns: Mapping[str, Array], *, name: str, threads: int | None
    ) -> Encoded:
        """Encode a chunk, with its entries and kept fields; `name` is that of the shard, for messages."""

    @abstractmethod
    def require_unchanged(self, name: str) -> None:
        """Refuse to go on with another artefact than the job began with; raises `JobError`."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the tokenizer or the model."""


def without(columns: Mapping[str, Array], refused: npt.NDArray[np.int64]) -> dict[str, Array]:
    """Return columns without the events at some positions."""
    if not len(refused):
        return dict(columns)
    return {name: np.delete(values, refused) for name, values in columns.items()}
