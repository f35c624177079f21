"""What a log says of the runs of a job, added up: for `evtok status` and for the report at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from evtok.jobs.log import Line
from evtok.jobs.stages import NAMES

_MOST_WORKERS = 10_000
_MOST_RETRIES = 50


@dataclass
class Work:
    """What was done: tasks, events read, bytes written, seconds of each stage."""

    tasks: int = 0
    events: int = 0
    size: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(NAMES, 0.0))

    def add(self, line: Line) -> None:
        """Add a line ``shard``."""
        self.tasks += 1
        self.events += whole(line, "events") + whole(line, "quarantined")
        self.size += whole(line, "bytes")
        for name in NAMES:
            self.seconds[name] += number(line, f"{name}_s")


@dataclass
class Run:
    """One run of the command: since when, by whom, how fast, and how it ended: `exit` is None if it did not."""

    begin: str
    worker: str
    last: str
    proven_events: int = 0
    seconds: float | None = None
    events_per_second: float = 0.0
    exit: int | None = None
    reason: str = ""


@dataclass
class History:
    """All runs of a job, as far as its log tells.

    Attributes
    ----------
    runs : int
    current : Run or None
        The last one.
    work : Work
        Of all runs; a shard that was written twice counts twice.
    workers : dict of str to Work
    retries : int
        Attempts that failed and were repeated.
    retried : list of Line
        The last of them.
    """

    runs: int = 0
    current: Run | None = None
    work: Work = field(default_factory=Work)
    workers: dict[str, Work] = field(default_factory=dict)
    retries: int = 0
    retried: list[Line] = field(default_factory=list)

    @classmethod
    def of(cls, lines: Iterable[Line]) -> History:
        """Add up the lines of a log, which anybody may have written."""
        history = cls()
        for line in lines:
            history._add(line)
        return history

    def _add(self, line: Line) -> None:
        kind, run = line["event"], self.current
        if kind == "begin":
            self.runs += 1
            self.current = Run(line["time"], text(line, "worker"), line["time"])
            return
        if run is not None:
            run.last = line["time"]
        if kind == "progress" and run is not None:
            run.events_per_second = number(line, "events_per_s")
        elif kind == "start" and run is not None:
            run.proven_events = whole(line, "proven_events")
        elif kind == "finish" and run is not None:
            read = max(0, whole(line, "read") - run.proven_events)
            run.seconds = number(line, "seconds")
            run.events_per_second = read / max(run.seconds, 1e-9)
        elif kind == "end" and run is not None:
            run.exit, run.reason = whole(line, "exit"), text(line, "reason")
        elif kind == "shard":
            self.work.add(line)
            name = text(line, "worker")
            if name in self.workers or len(self.workers) < _MOST_WORKERS:
                self.workers.setdefault(name, Work()).add(line)
        elif kind == "retry":
            self.retries += 1
            self.retried = [*self.retried, line][-_MOST_RETRIES:]


def number(line: Line, key: str) -> float:
    """Return a number that is not negative; 0 where there is none."""
    value = line.get(key)
    return max(0.0, float(value)) if isinstance(value, (int, float)) else 0.0


def whole(line: Line, key: str) -> int:
    """Return an integer that is not negative; 0 where there is none."""
    value = line.get(key)
    return max(0, value) if type(value) is int else 0


def text(line: Line, key: str) -> str:
    """Return a text; "" where there is none."""
    value = line.get(key)
    return value if isinstance(value, str) else ""
