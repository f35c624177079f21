"""Read the range of a task in chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from evtok.errors import InputFileError, InvalidEventsError
from evtok.events import Events
from evtok.io.chunk_size import ChunkSize
from evtok.io.darkmachines_records import BadRecord
from evtok.jobs.plan import Task

#: Events, and the records between them that could not be read.
Chunk = tuple[Events, Sequence[BadRecord]]

#: More bad records than this, and the range is refused as a whole: the file is of another format.
MAX_BAD_RECORDS = 10_000

FIRST_CHUNK, SHORTEST_CHUNK, LONGEST_CHUNK = 2_000, 64, 65_536


class UnreadableError(Exception):
    """A range of an input that cannot be read; the reason is its ``__cause__``."""


def chunk_size(events_per_call: int | None) -> ChunkSize:
    """Return the sizes of chunks; what is encoded so many events at a time is read in no longer ones."""
    longest = min(LONGEST_CHUNK, events_per_call or LONGEST_CHUNK)
    return ChunkSize(longest, min(FIRST_CHUNK, longest), min(SHORTEST_CHUNK, longest))


def read_task(source: Any, file: int, task: Task, size: ChunkSize) -> Iterator[Chunk]:
    """Yield the entries of `task`, which are those of file number `file` of `source`.

    Raises
    ------
    UnreadableError
        A part of them cannot be read, or too many of the records are bad.
    """
    bad = _BadRecords(task)
    try:
        for events, left_out in source.iter_records(file, task.start, task.stop, size):
            bad.add(left_out)
            yield events, left_out
    except (InputFileError, InvalidEventsError, OSError) as error:
        raise UnreadableError(str(error)) from error


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
