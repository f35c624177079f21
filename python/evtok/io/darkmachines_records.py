"""Records of Dark Machines text, block by block: counting them, finding one, and parsing them in order."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import Any

from evtok import _core
from evtok.errors import InputFileError
from evtok.io.text_stream import TextStream

MAX_LINE = _core.darkmachines_max_line
MAX_PROCESSES = 65_536

_TO_THE_END = 2**62
_CONTENT = 2


@dataclass(frozen=True)
class BadRecord:
    """A record that could not be read.

    `line` counts from 1, `record` from 0; bytes [`begin`, `end`) of the (decompressed) text hold it,
    without the end of the line.
    """

    path: str
    line: int
    record: int
    begin: int
    end: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.reason}"


@dataclass(frozen=True)
class _Mark:
    """The state of a scan at the start of a block."""

    position: int
    records: int
    lines: int
    open: int


class RecordIndex:
    """The number of records in a text, and where to begin reading for any one of them."""

    def __init__(self, text: TextStream) -> None:
        self._marks: list[_Mark] = []
        mark = _Mark(0, 0, 0, 0)
        while data := text.read():
            self._marks.append(mark)
            records, lines, _, still_open = _core.scan_darkmachines(data, _TO_THE_END, mark.open)
            mark = _Mark(text.position, mark.records + records, mark.lines + lines, still_open)
        self.n_records = mark.records + (mark.open == _CONTENT)

    def seek(self, reader: RecordReader, record: int) -> None:
        """Place a reader at the start of the line of a record, or behind the last one."""
        # The end of the line of the record before is looked for, so the mark must lie before it.
        mark = self._marks[bisect.bisect_left(self._marks, record, key=lambda m: m.records) - 1]
        text = reader.text
        text.seek(mark.position)
        data = text.read()
        wanted = record - mark.records
        records, lines, used, _ = _core.scan_darkmachines(data, wanted, mark.open)
        if records < wanted:
            raise InputFileError(f"{text.path}: has changed since its {self.n_records} records were counted")
        reader.place(data, used, record, mark.lines + lines)


class RecordReader:
    """Parses the records of a stream in order; `record` and `line` (both from 0) come next."""

    def __init__(self, text: TextStream, options: dict[str, Any]) -> None:
        self.text = text
        self.record = 0
        self._line = 0
        self._data = b""
        self._used = 0
        self._last = False
        self._options = options

    def place(self, data: bytes, used: int, record: int, line: int) -> None:
        """Continue with ``data[used:]``, the bytes before the position of the stream."""
        self._data, self._used, self.record, self._line = data, used, record, line

    def read(self, n_records: int) -> tuple[list[dict[str, Any]], list[BadRecord]]:
        """Parse the next `n_records`; returns what the parser gave for each block, and the bad records.

        Raises
        ------
        InputFileError
            A bad record, unless these are skipped; a text that ends before.
        """
        stop = self.record + n_records
        parts: list[dict[str, Any]] = []
        bad: list[BadRecord] = []
        while True:
            part = _core.parse_darkmachines(
                memoryview(self._data)[self._used :], stop - self.record, self._last, **self._options
            )
            bad += [self._bad(*entry) for entry in part["bad"]]
            if bad and not self._options["skip_bad"]:
                raise _refusal(bad[0])
            parts.append(part)
            self._used += part["used"]
            self.record += part["records"]
            self._line += part["lines"]
            if self.record == stop:
                return parts, bad
            if self._last:
                raise InputFileError(
                    f"{self.text.path}: ends after {self.record} records, expected at least {stop}; "
                    "if they were counted before, the file has changed"
                )
            if len(self._data) - self._used > MAX_LINE:
                bad.append(self._skip_long_line())
            else:
                self._refill()

    def _bad(self, line: int, record: int, begin: int, end: int, reason: str) -> BadRecord:
        start = self.text.position - len(self._data) + self._used
        return BadRecord(
            self.text.path, self._line + line + 1, self.record + record, start + begin, start + end, reason
        )

    def _refill(self) -> None:
        more = self.text.read()
        self._data = self._data[self._used :] + more
        self._used = 0
        self._last = not more

    def _skip_long_line(self) -> BadRecord:
        """Step over a line that is too long to be held."""
        length = len(self._data) - self._used
        reason = f"expected a line of at most {MAX_LINE} bytes, got more than {length}"
        begin = self._bad(0, 0, 0, length, reason)
        if not self._options["skip_bad"]:
            raise _refusal(begin)
        found = -1
        while found < 0 and not self._last:
            self._used = len(self._data)
            self._refill()
            found = self._data.find(b"\n")
        self._used = len(self._data) if found < 0 else found + 1
        end = self.text.position - len(self._data) + (len(self._data) if found < 0 else found)
        bad = BadRecord(begin.path, begin.line, begin.record, begin.begin, end, reason)
        self.record += 1
        self._line += 1
        return bad


def process_names(text: TextStream) -> tuple[str, ...]:
    """Return the names of the processes in a text, in order of first appearance."""
    names: list[str] = []
    rest = b""
    too_long = False
    while data := text.read():
        whole = data.rfind(b"\n") + 1
        lines = rest + data[:whole] if whole else b""
        if too_long and whole:
            lines, too_long = data[data.find(b"\n") + 1 : whole], False
        names = _core.darkmachines_processes(lines, names)
        rest = data[whole:] if whole else rest + data
        if len(rest) > MAX_LINE:  # no record: the parser will refuse it
            rest, too_long = b"", True
        if len(names) > MAX_PROCESSES:
            raise InputFileError(
                f"{text.path}: expected at most {MAX_PROCESSES} names of processes, got more"
            )
    return tuple(names if too_long else _core.darkmachines_processes(rest, names))


def _refusal(bad: BadRecord) -> InputFileError:
    return InputFileError(
        f"{bad}. Repair the file or fetch it again, or leave such records out and list them with "
        "on_bad_line='skip'"
    )
