"""A bound on what evtok allocates: it decides how many events are read at a time, and refuses what cannot fit.

Half of it is for events on their way: some are read while others wait and others are encoded, and each stage has
copies of its own. The other half is for what waits to be written: a record batch has the same events however little
memory there is, for the bytes of a shard must not depend on it. The interpreter, the libraries, the tokenizer or model
itself and what a reading library holds of a file (a row group, a basket) come on top.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from evtok.errors import JobError
from evtok.events import Events

#: With less, not even small chunks fit.
LEAST = 16 * 2**20

#: So many times its size an event takes between file and batch, with those that are read ahead of it.
_COPIES = 12
#: While a batch is joined and written there are so many of it.
_BATCH_COPIES = 4
#: Nobody knows how many objects events hold before the first are read; they are taken to hold no more than this.
_FIRST_OBJECTS = 4096

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS |= {unit + "i": 1024**k for k, unit in enumerate("KMGT", 1)}
_TEXT = re.compile(r"\s*([0-9]+(?:[.][0-9]+)?)\s*([KMGT]i?|)B?\s*", re.IGNORECASE)


def parse(memory: int | str | None, processes: int = 1) -> int | None:
    """Return the bytes of each process: of a number, or of a text such as ``"2GB"`` or ``"512MiB"``.

    Raises
    ------
    JobError
        Neither, or too few.
    """
    if memory is None:
        return None
    if isinstance(memory, str):
        found = _TEXT.fullmatch(memory)
        if found is None:
            raise JobError(f"memory: expected bytes, such as 2GB or 512MiB, got {memory!r}")
        unit = found[2][:1].upper() + found[2][1:].lower()
        bytes_ = int(float(found[1]) * _UNITS[unit])
    else:
        try:
            bytes_ = operator.index(memory)
        except TypeError:
            raise JobError(f"memory: expected bytes, such as 2GB or 512MiB, got {memory!r}") from None
    if bytes_ // processes < LEAST:
        raise JobError(
            f"memory: {bytes_} bytes for {processes} processes; evtok needs at least {LEAST >> 20}MiB for each"
        )
    return bytes_ // processes


class Budget:
    """What one process may allocate for one task; None is as much as it takes."""

    def __init__(self, total: int | None) -> None:
        self.total = total

    def chunk(self, columns: int, fields: int) -> tuple[int, int, int] | None:
        """Return how to read events of so many columns and fields; None for as usual.

        Returns
        -------
        first, longest : int
            Events of the first chunk, and the most in any.
        objects : int
            The objects that a chunk should have at most.
        """
        if self.total is None:
            return None
        objects = max(1, self.total // 2 // (_COPIES * 4 * (columns + 1)))
        longest = max(1, self.total // 2 // (_COPIES * 8 * (fields + 3)) // 2)
        return max(1, min(objects // _FIRST_OBJECTS, longest)), longest, max(1, objects // 2)

    def fits(self, events: Events) -> bool:
        """Whether a chunk is small enough."""
        return self.total is None or _COPIES * size_of(events) <= self.total // 2

    def refuse(self, events: Events, name: str) -> JobError:
        """Return the error for a single event that does not fit."""
        needed = 2 * _COPIES * size_of(events)
        return JobError(
            f"{name}: one event with {events.n_objects} objects needs {needed} bytes, and memory is {self.total}; give "
            f"at least {needed} to each process"
        )

    def require_events(self, parts: Iterable[Events], name: str) -> None:
        """Refuse more events waiting for one call of a detector than there is room for; raises `JobError`."""
        if self.total is None:
            return
        self._require(sum(size_of(part) for part in parts), f"{name}: the events of one call of the detector")

    def require_batch(self, arrays: Iterable[np.ndarray[Any, Any]], name: str) -> None:
        """Refuse more waiting for a record batch than half of the budget has room for; raises `JobError`."""
        if self.total is None:
            return
        self._require(sum(array.nbytes for array in arrays), f"{name}: the events of one record batch")

    def _require(self, size: int, what: str) -> None:
        needed = 2 * _BATCH_COPIES * size
        if self.total is not None and needed > self.total:
            raise JobError(
                f"{what} need {needed} bytes, and memory is {self.total}; give at least {needed} to each process, or "
                "set max_length in the tokenizer"
            )


def size_of(events: Events) -> int:
    """Return the bytes of all arrays of events."""
    arrays = (events.offsets, *events.columns.values(), *events.fields.values())
    return sum(array.nbytes for array in arrays)
