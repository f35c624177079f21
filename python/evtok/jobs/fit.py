"""Fit a tokenizer to files by workers: each counts ranges of files, and the counts are added up here.

The edges have the bits of a fit in one process, whatever the number of workers: see `evtok.jobs.fit_document`. Nothing
is written; a fit that is stopped begins anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.errors import JobError, ShardError
from evtok.io.schema_dict import as_dict
from evtok.io.source import EventSource
from evtok.jobs import retry
from evtok.jobs.choose import require_timeout, workers_of
from evtok.jobs.dispatch import Reply, Workers, error_of
from evtok.jobs.fields import LARGEST, integer, text
from evtok.jobs.fit_document import CountedFeature, FitDocument, seen_document, unpack, versions_here
from evtok.jobs.inputs import stamp
from evtok.jobs.plan import PlannedInput
from evtok.tokenizers.binned_config import Settings
from evtok.tokenizers.feature import FittedFeature
from evtok.tokenizers.order_statistics import MAX_TABLES, OrderStatistics

#: Events of a range: few enough that every worker has some, and that one which is lost costs little.
_FEWEST, _MOST = 65_536, 1_048_576
_RANGES_PER_SLOT = 2

#: Numbers that an answer may hold of a feature, and distinct keys that there are at most.
_MOST_COUNTS, _MOST_KEYS = MAX_TABLES << 16, 1 << 31

Row = tuple[str, int, int, str, str]


@contextlib.contextmanager
def counting(
    source: Any, settings: Settings, workers: int | None, client: Any, task_timeout: float | None = None
) -> Iterator[CountedByWorkers]:
    """Yield who counts the events of an open source for the fit of a tokenizer; leaves the workers at the end.

    Raises
    ------
    TypeError
        Something else than what `evtok.open_events` returns, of which workers would have no files.
    JobError
        Workers that cannot be had, or a time for tasks without workers.
    """
    require_timeout(task_timeout, with_workers=workers is not None or client is not None)
    if not isinstance(source, EventSource):
        raise TypeError(
            f"source: workers read files, so expected what evtok.open_events returns, got {type(source).__name__}"
        )
    used, threads = workers_of(workers, client, None)
    try:
        yield CountedByWorkers(source, settings, used, threads, task_timeout)
    finally:
        used.close(0.0)


class CountedByWorkers:
    """Has ranges of the files of `source` counted by `workers`; an `Elsewhere` of `binned_fit`."""

    def __init__(
        self,
        source: EventSource,
        settings: Settings,
        workers: Workers,
        threads: int,
        task_timeout: float | None = None,
    ) -> None:
        self._settings, self._workers, self._timeout = settings, workers, task_timeout
        self._run = itertools.count()
        schema = json.dumps(as_dict(source.schema))
        self._blank = [
            FitDocument(
                index=0,
                attempt=1,
                start=0,
                stop=file.n_events,
                input=PlannedInput(file.path, tree, file.n_events, file.size, stamp(file.path)),
                base=str(Path.cwd()),
                schema=schema,
                schema_digest=hashlib.sha256(repr(source.schema).encode()).hexdigest(),
                versions=versions_here(),
                threads=threads,
                types=dict(settings.types),
            )
            for file, tree in zip(source.files, source.trees, strict=True)
        ]

    def count(self, statistics: Mapping[str, OrderStatistics]) -> None:
        """Add the counts of one pass over all files to `statistics`."""
        wanted = []
        for name, one in statistics.items():
            depth, prefixes = one.sought
            of_event = name in self._settings.event_features
            feature = (self._settings.event_features if of_event else self._settings.features)[name]
            wanted.append(CountedFeature(name, of_event, feature, str(one.dtype), depth, tuple(prefixes)))

        def add(rows: Sequence[Row]) -> None:
            if [row[0] for row in rows] != list(statistics):
                raise ShardError(f"counts: expected those of {', '.join(statistics)}")
            found = [
                (
                    unpack(row[3], "uint32", _MOST_COUNTS, "places"),
                    unpack(row[4], "uint64", _MOST_COUNTS, "numbers"),
                )
                for row in rows
            ]
            for row, (places, numbers) in zip(rows, found, strict=True):
                statistics[row[0]].require_part(places, numbers)
            for row, (places, numbers) in zip(rows, found, strict=True):  # all of an answer, or nothing
                statistics[row[0]].add_part(places, numbers, row[1], row[2])

        self._pass(add, features=tuple(wanted))

    def keys(self, fitted: Mapping[str, FittedFeature], on_invalid: str) -> npt.NDArray[np.int32]:
        """Return the distinct keys of all objects, increasing."""
        seen: npt.NDArray[np.int32] = np.zeros(0, np.int32)

        def add(rows: Sequence[Row]) -> None:
            nonlocal seen
            keys = unpack(rows[0][3] if len(rows) == 1 else None, "int32", _MOST_KEYS, "keys")
            seen = np.union1d(seen, keys).astype(np.int32)

        self._pass(add, seen=seen_document(self._settings, fitted, on_invalid))
        return seen

    def _pass(self, add: Callable[[Sequence[Row]], None], **asked: Any) -> None:
        total = sum(one.stop for one in self._blank)
        size = min(max(total // (_RANGES_PER_SLOT * self._workers.slots), _FEWEST), _MOST)
        ranges = [
            replace(one, start=start, stop=min(start + size, one.stop), **asked)
            for one in self._blank
            for start in range(0, one.stop, size)
        ]
        _Pass(self._workers, f"evtok-fit-{next(self._run)}", ranges, add, self._timeout).run()


@dataclass
class _Turn:
    """A range on its way."""

    document: FitDocument
    avoid: set[str] = field(default_factory=set)
    expires: float = math.inf


class _Pass:
    """The ranges of one pass: those that wait, each not before its time, and those under way."""

    def __init__(
        self,
        workers: Workers,
        name: str,
        ranges: Sequence[FitDocument],
        add: Callable[[Sequence[Row]], None],
        timeout: float | None,
    ) -> None:
        self._workers, self._name, self._add, self._timeout = workers, name, add, timeout
        self._order = itertools.count()
        turns = [_Turn(replace(one, index=k)) for k, one in enumerate(ranges)]
        self._waiting = [(0.0, next(self._order), turn) for turn in turns]
        self._under_way: dict[str, _Turn] = {}

    def run(self) -> None:
        """Return when all are added up; raises `JobError`, or what a worker says of a file."""
        while self._waiting or self._under_way:
            self._hand_out()
            now = time.monotonic()
            times = [turn.expires for turn in self._under_way.values()]
            times += [self._waiting[0][0]] if self._waiting and not self._under_way else []
            for reply in self._workers.wait(min(1.0, max(0.0, min(times, default=now) - now))):
                back = self._under_way.pop(reply.ticket, None)
                if back is not None:  # else it was taken away: its counts are another's
                    self._judge(back, reply)
            self._expire()

    def _hand_out(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now and len(self._under_way) < self._workers.slots:
            self._workers.prepare()
            turn = heapq.heappop(self._waiting)[2]
            ticket = f"{self._name}-{turn.document.index}-{turn.document.attempt}"
            self._under_way[ticket] = turn
            self._workers.submit(ticket, turn.document.to_bytes(), turn.avoid)

    def _expire(self) -> None:
        """Take ranges away from workers whose time is over; it begins when a worker does."""
        if self._timeout is None:
            return
        now = time.monotonic()
        unbegun = [ticket for ticket, turn in self._under_way.items() if turn.expires == math.inf]
        for ticket in self._workers.begun(unbegun) if unbegun else ():
            self._under_way[ticket].expires = now + self._timeout
        for ticket, turn in list(self._under_way.items()):
            if turn.expires <= now:
                del self._under_way[ticket]
                worker = self._workers.abandon(ticket)
                reason = f"took longer than {self._timeout:g} s"
                self._again(turn, Reply(ticket, lost=reason, worker=worker), reason, None)

    def _judge(self, turn: _Turn, reply: Reply) -> None:
        """Add what was counted, or try again what may pass."""
        answer = reply.answer
        if reply.fatal:
            raise JobError(f"{turn.document.input.path}: {reply.fatal}")
        if answer is None:
            self._again(turn, reply, reply.lost, None)
        elif answer["state"] == "counted":
            try:
                self._add([_row(row) for row in answer["counts"]])
            except (ShardError, ValueError) as error:
                self._again(turn, reply, f"not an answer: {error}", None)
        elif answer["state"] == "done" or answer["may_pass"]:
            self._again(turn, reply, str(answer.get("reason", "another answer")), answer)
        else:
            raise error_of(answer, answer["reason"])

    def _again(self, turn: _Turn, reply: Reply, reason: str, answer: Mapping[str, Any] | None) -> None:
        attempt, document = turn.document.attempt + 1, turn.document
        if attempt > retry.RETRIES + 1 or reply.final:
            where = f"{document.input.path}, entries {document.start} to {document.stop}"
            raise JobError(
                f"{where}: could not be counted in {attempt - 1} attempts; the last, by {reply.worker or 'a worker'}: "
                f"{reason}"
            )
        wait = retry.wait_before(attempt) if answer is not None or not reply.worker else 0.0
        again = _Turn(replace(document, attempt=attempt), turn.avoid | ({reply.worker} - {""}))
        heapq.heappush(self._waiting, (time.monotonic() + wait, next(self._order), again))


def _row(row: Any) -> Row:
    """Read a row of an answer: a name, how many values were invalid and zero, and two packed arrays."""
    name = "counts"
    return (
        text(row[0], name),
        integer(row[1], name, 0, LARGEST),
        integer(row[2], name, 0, LARGEST),
        text(row[3], name),
        text(row[4], name),
    )
