"""``log.jsonl`` of a job folder: what happened and when, one JSON object a line, appended by the coordinator alone.

Each line has ``time`` (UTC), ``event`` and what `evtok.jobs.progress` says of that event. A run begins with ``begin``
(``worker``, ``evtok``) and ends with ``end`` (``exit`` as the command exits, ``reason``); a run that was killed has no
``end``. Lines are short, and those of ``progress`` thin out the longer a run takes.

The log is for watching. It proves nothing and decides nothing: records and the manifest do. So it is not made durable,
a line that cannot be written costs no job, and readers skip what they do not understand: the last line may be cut.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from evtok._core import version
from evtok.errors import MissingBackendError, ShardError
from evtok.jobs.durable import OutputFolder
from evtok.jobs.progress import Listener
from evtok.jobs.stages import worker_name

NAME = "log.jsonl"
MAX_LINE = 4096
#: Readers look at the end of a longer log only; some 100 000 shards fit.
MAX_READ = 64 * 2**20
_LARGEST = 2**63
_SECONDS_BETWEEN_PROGRESS = 5.0

Line = dict[str, Any]


class JobLog:
    """The log of one run; give it to a job as its listener, and `listener` is told everything too.

    Parameters
    ----------
    folder : OutputFolder
        Of the job, locked.
    listener : callable, optional

    Raises
    ------
    JobError
        The log cannot be opened, or something else than a file lies there.
    """

    def __init__(self, folder: OutputFolder, listener: Listener | None = None) -> None:
        self.finished = False
        self.lost_lines = 0
        self._listener = listener
        self._begin = self._last_progress = time.monotonic()
        self._file = io.FileIO(folder.append(NAME), "ab")
        self._torn = True  # a run that was killed can have left a cut line: begin a new one
        self.write("begin", worker=worker_name(), evtok=version)

    def __call__(self, event: Line) -> None:
        """Log an event of `evtok.jobs.progress`, and tell the listener."""
        name = event["event"]
        self.finished = self.finished or name == "finish"
        if name != "progress" or self._due():
            self.write(**event)
        if self._listener is not None:
            self._listener(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None:
            self.write("end", exit=0, reason="")
        else:
            self.write("end", exit=_exit_code(error), reason=str(error) or type(error).__name__)
        with contextlib.suppress(OSError):  # what is lost of the log is no loss of the job
            self._file.close()

    def write(self, event: str, **content: Any) -> None:
        """Append a line; one that the storage does not take is counted and left out."""
        data = line(event, **content)
        if self._torn:
            data = b"\n" + data
        try:
            written = self._file.write(data)
        except OSError:
            written = 0
        self._torn = written != len(data)
        self.lost_lines += self._torn

    def _due(self) -> bool:
        """Whether a line of progress is due: a long run has few more of them than a short one."""
        now = time.monotonic()
        if now - self._last_progress < max(_SECONDS_BETWEEN_PROGRESS, (now - self._begin) / 200):
            return False
        self._last_progress = now
        return True


def line(event: str, **content: Any) -> bytes:
    """Write one line of at most `MAX_LINE` bytes; long texts are cut."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for longest in (MAX_LINE, 400, 40):
        cut = {
            key: value[:longest] + "..." if isinstance(value, str) and len(value) > longest else value
            for key, value in content.items()
        }
        with contextlib.suppress(ValueError):  # NaN, which JSON does not have
            data = json.dumps({"time": now, "event": event, **cut}, allow_nan=False).encode("ascii") + b"\n"
            if len(data) <= MAX_LINE:
                return data
    return json.dumps({"time": now, "event": event[:40]}).encode("ascii") + b"\n"


def read(folder: OutputFolder) -> Iterator[Line]:
    """Yield the lines of a log, oldest first; nothing when there is none. What is no line of a log is left out.

    Values are text, finite numbers below 2**63, True, False and None; others are left out.
    """
    try:
        fd = folder.open(NAME)
    except ShardError:
        return
    with open(fd, "rb") as file:  # noqa: PTH123  a descriptor
        size = os.fstat(fd).st_size
        file.seek(max(0, size - MAX_READ))
        left = MAX_READ
        while left > 0 and (data := file.readline(min(left, MAX_LINE + 1))):
            left -= len(data)
            found = parsed(data)
            if found is not None:
                yield found


def parsed(data: bytes) -> Line | None:
    """Return the content of one line, None when it is none."""
    if len(data) > MAX_LINE or not data.endswith(b"\n"):
        return None
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    found = {key: value for key, value in content.items() if _plain(value)}
    return found if isinstance(found.get("event"), str) and isinstance(found.get("time"), str) else None


def _plain(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -_LARGEST < value < _LARGEST
    return value is None or isinstance(value, str)


def _exit_code(error: BaseException) -> int:
    """Return the code that the command `evtok` exits with."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    return 2 if isinstance(error, MissingBackendError) else 1
