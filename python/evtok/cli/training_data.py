"""Events for ``evtok train``, from event files or shards of tokens: which of them, and in which of two samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import Events, TokenDataset, Tokens, open_events
from evtok.detectors import TokenInputs
from evtok.detectors.inputs import Inputs
from evtok.errors import EvtokError, InvalidEventsError
from evtok.io import EventSource
from evtok.jobs.manifest import NAME as MANIFEST

LABEL = "label"
ANY = "any"


@dataclass(frozen=True)
class Choice:
    """Which events to take, by the options of the command."""

    schema: str | None = None
    background_label: str | None = None
    weights: str | None = None
    skip_invalid: bool = False

    def fields(self, there: Sequence[str]) -> list[str]:
        """Return the fields to read of those that there are."""
        if self.weights is not None and self.weights not in there:
            raise EvtokError(
                f"--weights: the inputs have no field {self.weights!r}; they have {', '.join(there) or 'none'}"
            )
        if self.background_label not in (None, ANY) and LABEL not in there:
            raise EvtokError(f"--background-label: the inputs have no field {LABEL!r}; leave the option out")
        return [name for name in dict.fromkeys((LABEL, self.weights)) if name is not None and name in there]

    def wanted(self, labels: npt.NDArray[Any] | None, n_events: int, name: str) -> npt.NDArray[np.bool_]:
        """Return which events to train on (n_events,)."""
        if labels is None or self.background_label == ANY:
            return np.ones(n_events, np.bool_)
        if self.background_label is None:
            others = labels != 0
            if others.any():
                raise EvtokError(
                    f"{name}: the field {LABEL!r} is {labels[others][0]} for some events; a detector is to learn "
                    "background alone: say which value is background (--background-label 0), or train on all "
                    "(--background-label any)"
                )
            return np.asarray(~others, np.bool_)
        try:
            return np.asarray(labels == float(self.background_label), np.bool_)
        except ValueError:
            raise EvtokError(
                f"--background-label: expected a number or 'any', got {self.background_label!r}"
            ) from None


@dataclass(frozen=True)
class Sample:
    """Events as a detector reads them.

    Attributes
    ----------
    data : Tokens, or float32 array (n, n_features)
    entries : int64 array (n,)
        Rows in their files.
    files : int64 array (n,)
        Number of the input that each is of.
    weights : float64 array (n,), optional
    other, invalid : int
        Events that were left out: of another label, and those that cannot be used.
    """

    data: Any
    entries: npt.NDArray[np.int64]
    files: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64] | None
    other: int = 0
    invalid: int = 0

    def __len__(self) -> int:
        return len(self.entries)

    def select(self, which: npt.NDArray[np.bool_]) -> Sample:
        """Return the events where `which` (n,) is true."""
        data = self.data.select(which) if isinstance(self.data, Tokens) else self.data[which]
        weights = None if self.weights is None else self.weights[which]
        return replace(self, data=data, entries=self.entries[which], files=self.files[which], weights=weights)


@dataclass(frozen=True)
class _Chunk:
    """Events or tokens of one input, with what is known of each."""

    name: str
    file: int
    data: Events | Tokens
    entries: npt.NDArray[np.int64]
    fields: dict[str, npt.NDArray[Any]]
    unreadable: int = 0


def read(paths: Sequence[str], inputs: Inputs[Any], choice: Choice) -> Sample:
    """Read events to train on, or to validate on.

    Parameters
    ----------
    paths : sequence of str
        Event files, as for `evtok.open_events`, or folders of shards.
    inputs : Inputs
        What the detector reads.
    choice : Choice

    Raises
    ------
    EvtokError
        No event; labels or weights that are not there; events that cannot be used and may not be left out.
    """
    shards = [(Path(path) / MANIFEST).is_file() for path in paths]
    if any(shards) and not all(shards):
        raise EvtokError("inputs: event files and folders of shards cannot be mixed; name one sort")
    if any(shards) and not isinstance(inputs, TokenInputs):
        raise EvtokError(
            "inputs: shards hold tokens, and a detector of features reads event files; name those"
        )
    chunks = _shards(paths, choice) if any(shards) else _events(paths, inputs, choice)
    policy = "sentinel" if choice.skip_invalid else "raise"
    parts, data = list[Sample](), list[Any]()
    for chunk in chunks:
        wanted = choice.wanted(chunk.fields.get(LABEL), len(chunk.entries), chunk.name)
        picked = chunk.data.select(wanted) if isinstance(chunk.data, Tokens) else chunk.data[wanted]
        try:
            found = inputs.read(picked, on_invalid=policy)  # type: ignore[arg-type]
        except InvalidEventsError as error:
            raise EvtokError(
                f"{chunk.name}, among entries {chunk.entries[0]} to {chunk.entries[-1]}: {error}; --skip-invalid "
                "leaves such events out"
            ) from error
        valid = np.flatnonzero(wanted)[found.valid]
        weights = (
            None if choice.weights is None else np.asarray(chunk.fields[choice.weights], np.float64)[valid]
        )
        data.append(found.data)
        parts.append(
            Sample(
                None,
                chunk.entries[valid],
                np.full(len(valid), chunk.file, np.int64),
                weights,
                other=int(np.count_nonzero(~wanted)),
                invalid=int(np.count_nonzero(~found.valid)) + chunk.unreadable,
            )
        )
    if not sum(map(len, parts)):
        raise EvtokError(f"{', '.join(paths)}: no event to learn from")
    return Sample(
        Tokens.concatenate(data) if isinstance(data[0], Tokens) else np.concatenate(data),
        np.concatenate([part.entries for part in parts]),
        np.concatenate([part.files for part in parts]),
        np.concatenate([part.weights for part in parts if part.weights is not None])
        if choice.weights
        else None,
        sum(part.other for part in parts),
        sum(part.invalid for part in parts),
    )


def _events(paths: Sequence[str], inputs: Inputs[Any], choice: Choice) -> Iterator[_Chunk]:
    with open_events(paths, choice.schema) as found:
        first = found.first_event()
        fields = [] if first is None else choice.fields(list(first.fields))
        source = found.select(inputs.required_columns, dict.fromkeys((*inputs.required_fields, *fields)))
        for k, file in enumerate(source.files):
            entry = 0
            for events, bad in _chunks(source, k, skip_bad=choice.skip_invalid):
                stop = entry + len(events) + len(bad)
                entries = np.delete(np.arange(entry, stop, dtype=np.int64), [one - entry for one in bad])
                if len(events) or bad:
                    values = {name: events.fields[name] for name in fields}
                    yield _Chunk(file.path, k, events, entries, values, len(bad))
                entry = stop


def _chunks(source: EventSource, k: int, *, skip_bad: bool) -> Iterator[tuple[Events, list[int]]]:
    if skip_bad:
        for events, bad in source.iter_records(k):
            yield events, [one.record for one in bad]
    else:
        for events in source.iter_range(k):
            yield events, []


def _shards(paths: Sequence[str], choice: Choice) -> Iterator[_Chunk]:
    first = 0
    for path in paths:
        dataset = TokenDataset(path)
        fields = choice.fields([name for name in dataset.fields if name != "entry"])
        entries, files = dataset.field("entry"), dataset.file_indices()
        values = {name: dataset.field(name) for name in fields}
        for k in np.unique(files):
            start, stop = np.searchsorted(files, [k, k + 1])
            yield _Chunk(
                dataset.file_of(int(start)),
                first + int(k),
                dataset[int(start) : int(stop)],
                entries[start:stop],
                {name: column[start:stop] for name, column in values.items()},
            )
        first += int(files.max(initial=-1)) + 1


def split(sample: Sample, fraction: float, seed: int) -> tuple[Sample, Sample]:
    """Divide events into those to train on and those to validate on.

    An event's place depends on its row in its file and on the seed alone, not on what else is read.

    Raises
    ------
    EvtokError
        One of the two would be empty.
    """
    aside = in_validation(sample.entries, fraction, seed)
    train, validation = sample.select(~aside), sample.select(aside)
    if not len(train) or not len(validation):
        raise EvtokError(
            f"--validation-fraction: of {len(sample)} events, {len(train)} would remain to train on and "
            f"{len(validation)} to validate on; give more events, or another fraction"
        )
    return train, replace(validation, other=0, invalid=0)


def in_validation(entries: npt.NDArray[np.int64], fraction: float, seed: int) -> npt.NDArray[np.bool_]:
    """Return which rows are to validate on (n,): about `fraction` of them, by the finaliser of SplitMix64."""
    start = (seed + 1) * 0x9E3779B97F4A7C15 % 2**64
    mixed = entries.astype(np.uint64) + np.uint64(start)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53 < fraction)
