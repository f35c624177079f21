"""Read the range of a task in chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from evtok.errors import InputFileError, InvalidEventsError
from evtok.events import Events
from evtok.io.chunk_size import ChunkSize
from evtok.io.darkmachines_records import BadRecord
from evtok.jobs.memory import Budget
from evtok.jobs.plan import Task
from evtok.jobs.product import Encoder

#: Events, and the records between them that could not be read.
Chunk = tuple[Events, Sequence[BadRecord]]

#: More bad records than this, and the range is refused as a whole: the file is of another format.
MAX_BAD_RECORDS = 10_000

FIRST_CHUNK, SHORTEST_CHUNK, LONGEST_CHUNK = 2_000, 64, 131_072


class UnreadableError(Exception):
    """A range of an input that cannot be read; the reason is its ``__cause__``."""


class Reading:
    """How the ranges of a job are read, one after the other; what one teaches of the size of events serves the next.

    Parameters
    ----------
    encoder : Encoder
        What is encoded so many events at a time is read in no longer chunks.
    budget : Budget
    fields : int
        How many fields are kept.
    """

    def __init__(self, encoder: Encoder, budget: Budget, fields: int) -> None:
        self._budget = budget
        longest = min(LONGEST_CHUNK, encoder.events_per_call or LONGEST_CHUNK)
        bound = budget.chunk(len(encoder.required_columns), len(encoder.required_fields) + fields)
        if bound is None:
            self._size = ChunkSize(longest, min(FIRST_CHUNK, longest), min(SHORTEST_CHUNK, longest))
        else:
            first, most, objects = bound
            self._size = ChunkSize(min(longest, most), min(FIRST_CHUNK, first), 1, objects)

    def read(self, source: Any, file: int, task: Task) -> Iterator[Chunk]:
        """Yield the entries of `task`, which are those of file number `file` of `source`.

        Raises
        ------
        UnreadableError
            A part of them cannot be read, or too many of the records are bad.
        JobError
            A single event is larger than the memory.
        """
        bad, entry = _BadRecords(task), task.start
        try:
            while entry < task.stop:
                with closing(source.iter_records(file, entry, task.stop, self._size)) as records:
                    for events, left_out in records:
                        if not self._budget.fits(events):
                            self._smaller(events, f"{source.paths[file]}: entry {entry}")
                            break
                        entry += len(events) + len(left_out)
                        bad.add(left_out)
                        yield events, left_out
                    else:
                        return
        except (InputFileError, InvalidEventsError, OSError) as error:
            raise UnreadableError(str(error)) from error

    def _smaller(self, events: Events, name: str) -> None:
        """Read these events again, fewer at a time."""
        if len(events) <= 1:
            raise self._budget.refuse(events, name)
        size = self._size
        size.events = size.longest = max(1, len(events) // 4)


class _BadRecords:
    """Counts the bad records of a task."""

    def __init__(self, task: Task) -> None:
        self._task, self._n = task, 0
        self._first: BadRecord | None = None

    def add(self, bad: Sequence[BadRecord]) -> None:
        """Add those of a chunk; refuse the range when there are too many."""
        self._n += len(bad)
        self._first = self._first or next(iter(bad), None)
        if self._first is not None and self._n > MAX_BAD_RECORDS:
            raise InputFileError(
                f"{self._first}; more than {MAX_BAD_RECORDS} of the records {self._task.start} to "
                f"{self._task.stop} cannot be read, this is the first of them: the file is corrupt or of "
                "another format"
            )
