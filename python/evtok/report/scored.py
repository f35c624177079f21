"""Scores of one or more detectors, put in order: which detector, which process, and which rows are signal.

In: what `evtok.score_files` wrote. Out: one `Scored` for each detector, its rows cut into populations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.errors import InvalidEventsError
from evtok.report.labels import Labels
from evtok.report.samples import Process

Rows = npt.NDArray[np.int64]

#: More processes than this are not told apart by colour: they are shown as background, signal and the rest.
MOST_POPULATIONS = 12


@dataclass(frozen=True)
class File:
    """An input file whose events were scored."""

    path: str
    tree: str | None = None

    @property
    def name(self) -> str:
        """The path without its folders."""
        return file_name(self.path)


@dataclass(frozen=True)
class Part:
    """What one scores file says: of one detector, for the events of some input files.

    Of `scores` are used: score, file_index, entry, fields, inputs, model, counts, and run and facts where there are.
    """

    origin: str
    scores: Any  # evtok.scores.Scores

    @property
    def files(self) -> tuple[File, ...]:
        """The input files, in the order of `file_index`."""
        facts = getattr(self.scores, "facts", None)
        if facts is None:
            return tuple(File(str(path)) for path in self.scores.inputs)
        return tuple(File(one.path, one.tree) for one in facts.inputs)

    @property
    def model(self) -> Mapping[str, Any]:
        """What is known of the detector: kind, fingerprint, folder and settings."""
        return self.scores.model or {}


@dataclass(frozen=True)
class Population:
    """Events of one process, as rows of a `Scored`; `signal` is None where that is not said."""

    process: Process
    rows: Rows
    signal: bool | None

    @property
    def title(self) -> str:
        """Name of the process."""
        return self.process.title


@dataclass(frozen=True)
class Scored:
    """Every event that one detector scored.

    Attributes
    ----------
    name : str
        Of the detector, as figures and tables call it.
    parts : sequence of Part
        The files that the rows come from.
    score : float32 (n,)
        Higher is more anomalous. NaN and infinities are not scores: see `scorable`.
    files : tuple of File
        The input files.
    file : int64 (n,)
        Of each row, into `files`.
    entry : int64 (n,)
        Where in its file an event lies.
    fields : mapping of str to array (n,)
        What was kept of each event.
    signal : int8 (n,)
        1 for signal, 0 for background, -1 where that is not said.
    """

    name: str
    parts: Sequence[Part]
    score: npt.NDArray[np.float32]
    files: tuple[File, ...]
    file: Rows
    entry: Rows
    fields: Mapping[str, npt.NDArray[Any]]
    signal: npt.NDArray[np.int8]
    processes: Mapping[str, Process]

    def __len__(self) -> int:
        return len(self.score)

    @property
    def model(self) -> Mapping[str, Any]:
        """What is known of the detector."""
        return self.parts[0].model

    @cached_property
    def scorable(self) -> npt.NDArray[np.bool_]:
        """True for events whose score is a finite number (n,)."""
        return np.asarray(np.isfinite(self.score), np.bool_)

    @cached_property
    def weight(self) -> npt.NDArray[np.float64] | None:
        """Weight of each event (n,); None without a field ``weight``, or when one of them is not finite."""
        found = self.fields.get("weight")
        if found is None or not np.isfinite(np.asarray(found, np.float64)).all():
            return None
        return np.asarray(found, np.float64)

    @cached_property
    def populations(self) -> list[Population]:
        """Events with a score by process and label, backgrounds first, each in the order of the files."""
        found: dict[tuple[str, int], tuple[Process, list[Rows]]] = {}
        order = np.lexsort((np.arange(len(self)), self.signal, self.file))
        order = order[self.scorable[order]]
        key = self.file[order] * 4 + self.signal[order]
        for rows in np.split(order, np.flatnonzero(np.diff(key)) + 1):
            if len(rows):
                process, label = self._process(int(self.file[rows[0]])), int(self.signal[rows[0]])
                found.setdefault((process.title, label), (process, []))[1].append(rows)
        titles = [title for title, _ in found]
        populations = [
            Population(
                _named(process, label) if titles.count(title) > 1 else process,
                np.sort(np.concatenate(rows)),
                None if label < 0 else bool(label),
            )
            for (title, label), (process, rows) in found.items()
        ]
        if len(populations) > MOST_POPULATIONS:
            populations = self._merged()
        return sorted(populations, key=lambda one: -1 if one.signal is None else int(one.signal))

    def of(self, *, signal: bool) -> Rows:
        """Return the rows with a score that are signal, or background."""
        return np.flatnonzero(self.scorable & (self.signal == int(signal)))

    def _process(self, file: int) -> Process:
        name = self.files[file].name
        return self.processes.get(name) or Process(title=name.split(".")[0] or name)

    def _merged(self) -> list[Population]:
        titles = {-1: "events", 0: "background", 1: "signal"}
        rows = {label: np.flatnonzero(self.scorable & (self.signal == label)) for label in titles}
        return [
            Population(Process(title=titles[label]), mine, None if label < 0 else bool(label))
            for label, mine in rows.items()
            if mine.size
        ]


def file_name(path: str) -> str:
    """Return a path without its folders, or a URL without its host and folders."""
    return PurePosixPath(path).name or path


def gather(
    parts: Iterable[tuple[str | None, Part]], processes: Mapping[str, Process], labels: Labels
) -> list[Scored]:
    """Put files together that one detector scored, and name the detectors.

    Parameters
    ----------
    parts : iterable of (name, Part)
        Files of one name belong together; without a name, those of one fingerprint do.
    processes : mapping of str to Process
        What to say of an input file, by its name without folders.
    labels : Labels
        Says which events are signal.

    Raises
    ------
    InvalidEventsError
        No event, an event twice, labels that are none, or not one finite score.
    """
    groups: dict[str, list[Part]] = {}
    names: dict[str, str] = {}
    for name, part in parts:
        fingerprint = str(part.model.get("fingerprint") or "")
        key = f"name {name}" if name else f"model {fingerprint}" if fingerprint else f"file {part.origin}"
        groups.setdefault(key, []).append(part)
        names[key] = name or ""
    own = {key: names[key] or detector_name(group[0].model) for key, group in groups.items()}
    found = []
    for key, group in groups.items():
        name = own[key]
        if list(own.values()).count(name) > 1:  # such as the seeds of one kind
            name = f"{name}, {file_name(group[0].origin).split('.')[0]}"
        found.append(_scored(name, group, processes, labels))
    if not found:
        raise InvalidEventsError("scores: expected at least one file of scores, got none")
    return found


def detector_name(model: Mapping[str, Any]) -> str:
    """Return a kind of detector in words: ``masked-token`` is "masked token"."""
    kind = str(model.get("kind") or "score")
    return kind.upper() if kind == "hbos" else kind.replace("-", " ").replace("_", " ")


def _scored(name: str, parts: list[Part], processes: Mapping[str, Process], labels: Labels) -> Scored:
    origins = ", ".join(part.origin for part in parts)
    score = np.concatenate([np.asarray(part.scores.score, np.float32) for part in parts])
    entry = np.concatenate([np.asarray(part.scores.entry, np.int64) for part in parts])
    if not len(score):
        raise InvalidEventsError(f"{origins}: expected scores of at least one event, got none")
    if not np.isfinite(score).any():
        raise InvalidEventsError(
            f"{origins}: none of the {len(score)} scores is a finite number; score the events again"
        )
    files = tuple(dict.fromkeys(file for part in parts for file in part.files))
    place = {file: k for k, file in enumerate(files)}
    file = np.concatenate(
        [np.array([place[f] for f in part.files], np.int64)[part.scores.file_index] for part in parts]
    )
    fields = {
        key: np.concatenate([np.asarray(part.scores.fields[key]) for part in parts])
        for key in parts[0].scores.fields
        if all(key in part.scores.fields for part in parts)
    }
    _refuse_duplicates(origins, files, file, entry)
    signal = labels.of(origins, [one.name for one in files], file, fields, processes)
    return Scored(name, tuple(parts), score, files, file, entry, fields, signal, processes)


def _refuse_duplicates(origins: str, files: Sequence[File], file: Rows, entry: Rows) -> None:
    order = np.lexsort((entry, file))
    same = np.flatnonzero((np.diff(file[order]) == 0) & (np.diff(entry[order]) == 0))
    if same.size:
        row = order[same[0]]
        raise InvalidEventsError(
            f"{origins}: {same.size} events occur twice, the first is entry {entry[row]} of {files[file[row]].path}; "
            "every figure would count them twice: give each file of scores once"
        )


def _named(process: Process, label: int) -> Process:
    return Process(
        title=f"{process.title}, {('background', 'signal')[label] if label >= 0 else 'not labelled'}"
    )
