"""Which events are signal: what was asked for, else the field ``label``, else what is known of the processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.errors import InvalidEventsError
from evtok.report.samples import Process

Signal = npt.NDArray[np.int8]

LABEL = "label"


@dataclass(frozen=True)
class Labels:
    """How events are told apart.

    Parameters
    ----------
    signal, background : sequence of str
        Patterns of the shell, matched on the names of input files without folders. With one of the two, all other
        files are the other; with both, files that match neither are shown but count as none.
    """

    signal: Sequence[str] = ()
    background: Sequence[str] = ()

    def of(
        self,
        origin: str,
        names: Sequence[str],
        file: npt.NDArray[np.int64],
        fields: Mapping[str, npt.NDArray[Any]],
        processes: Mapping[str, Process],
    ) -> Signal:
        """Return 1 for signal, 0 for background and -1 where it is not said, (n,).

        Parameters
        ----------
        origin : str
            Of the scores, for messages.
        names : sequence of str
            Of the input files.
        file : int64 (n,)
            Of each event, into `names`.
        fields : mapping of str to array (n,)
            What was kept of each event.
        processes : mapping of str to Process
            By the names of files.

        Raises
        ------
        InvalidEventsError
            A pattern that matches no file, a file that matches both, or a label other than 0 and 1.
        """
        if self.signal or self.background:
            return self._matched(origin, names)[file]
        if LABEL in fields:
            return _labelled(origin, np.asarray(fields[LABEL]))
        known = {True: 1, False: 0, None: -1}
        told = [known[processes[name].signal] if name in processes else -1 for name in names]
        return np.array(told, np.int8)[file]

    def words(self, scored_fields: Mapping[str, Any], *, any_signal: bool) -> str:
        """Say in a sentence how signal and background are told apart."""
        if self.signal or self.background:
            asked = [
                f"{what} are the files that match {' or '.join(patterns)}"
                for what, patterns in (("signal", self.signal), ("background", self.background))
                if patterns
            ]
            rest = (
                "" if len(asked) == 2 else "; all others are " + ("background" if self.signal else "signal")
            )
            return f"By the names of the input files, {' and '.join(asked)}{rest}."
        if LABEL in scored_fields:
            return "Signal are the events whose field “label” is 1, background those where it is 0."
        return (
            "Signal and background are told apart by the processes of the input files." if any_signal else ""
        )

    def _matched(self, origin: str, names: Sequence[str]) -> Signal:
        matches = {}
        for what, patterns in (("signal", self.signal), ("background", self.background)):
            for pattern in patterns:
                if not any(fnmatchcase(name, pattern) for name in names):
                    raise InvalidEventsError(
                        f"{what} {pattern!r}: matches none of the files that {origin} scored: "
                        f"{', '.join(names):.500}; patterns are those of the shell, such as '*{pattern.strip('*')}*'"
                    )
            matches[what] = [any(fnmatchcase(name, pattern) for pattern in patterns) for name in names]
        both = [
            name
            for name, a, b in zip(names, matches["signal"], matches["background"], strict=True)
            if a and b
        ]
        if both:
            raise InvalidEventsError(
                f"signal, background: {both[0]} matches a pattern of each; make them exclusive"
            )
        rest = -1 if self.signal and self.background else 0 if self.signal else 1
        return np.array(
            [
                1 if a else 0 if b else rest
                for a, b in zip(matches["signal"], matches["background"], strict=True)
            ],
            np.int8,
        )


def _labelled(origin: str, label: npt.NDArray[Any]) -> Signal:
    wrong = np.flatnonzero(~np.isin(label, (0, 1)))
    if wrong.size:
        raise InvalidEventsError(
            f"{origin}: field 'label': expected 0 (background) or 1 (signal), got {label[wrong[0]]} in row {wrong[0]}; "
            "say which files are signal with --signal or --background"
        )
    return label.astype(np.int8)
