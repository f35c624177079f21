"""The most anomalous events, read again from their files, and how much each of their tokens surprised the detector."""

from __future__ import annotations

import glob
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.errors import EvtokError
from evtok.events import TYPE_COLUMN, Events
from evtok.io import open_events
from evtok.report.scored import Scored
from evtok.tokenizers import event_features
from evtok.tokenizers.sequence import around_objects

#: What a file that is not what it was, or a detector that does not fit it, can raise.
UNREADABLE = (EvtokError, OSError, ValueError, TypeError, KeyError, IndexError)


@dataclass(frozen=True)
class Member:
    """One object of an event; kinematics are NaN, and `surprise` (nats) None, where they are not known."""

    kind: str
    pt: float
    eta: float
    phi: float
    surprise: float | None = None


@dataclass(frozen=True)
class OfEvent:
    """One token of the event itself, such as its MET: name of the quantity, its value, its surprise in nats."""

    name: str
    value: float
    surprise: float


@dataclass(frozen=True)
class Anomaly:
    """One event.

    Attributes
    ----------
    row : int
        In its `Scored`.
    members : sequence of Member
        Its objects, as read.
    of_event : sequence of OfEvent
        Tokens that are not of objects.
    uncovered : int
        Objects that have no token of their own.
    missing : tuple of float, or None
        Size and azimuth of the missing transverse momentum.
    rescored : float or None
        What the detector gives the event now.
    fault : str
        Why there is nothing to draw; empty if there is.
    """

    row: int
    members: Sequence[Member] = ()
    of_event: Sequence[OfEvent] = ()
    uncovered: int = 0
    missing: tuple[float, float] | None = None
    rescored: float | None = None
    fault: str = ""


def highest(scored: Scored, n: int) -> list[int]:
    """Return the rows of the n highest scores, falling; equal ones in the order of the file."""
    rows = np.flatnonzero(scored.scorable)
    order = np.argsort(-scored.score[rows].astype(np.float64), kind="stable")
    return [int(row) for row in rows[order[:n]]]


def look_up(scored: Scored, rows: Sequence[int], detector: Any, schema: Any) -> list[Anomaly]:
    """Read events again, and ask the detector about their tokens.

    Parameters
    ----------
    scored : Scored
    rows : sequence of int
    detector : Detector or None
        None where it is not there: nothing is said of tokens.
    schema : as for `evtok.open_events`

    Returns
    -------
    list of Anomaly
        One for each row; those that cannot be read say why.
    """
    found = []
    for row in rows:
        try:
            event = read_rows(scored, int(scored.file[row]), np.array([scored.entry[row]]), schema)
            found.append(_anomaly(row, event, detector))
        except UNREADABLE as error:
            found.append(Anomaly(row, fault=str(error) or type(error).__name__))
    return found


def read_rows(scored: Scored, file: int, entries: npt.NDArray[np.int64], schema: Any) -> Events:
    """Read the events of some entries (k,), rising, of one input file.

    Raises
    ------
    EvtokError, OSError
        The file cannot be read, or has fewer events.
    """
    path, tree = scored.files[file].path, scored.files[file].tree
    first, last = int(entries[0]), int(entries[-1])
    with open_events({path if "://" in path else glob.escape(path): tree}, schema) as source:
        n_events = source.files[0].n_events
        if last >= n_events:
            raise EvtokError(
                f"{path}: has {n_events} events, and entry {last} was scored: it is another file now"
            )
        return source.read(0, first, last + 1)[entries - first]


def _anomaly(row: int, event: Events, detector: Any) -> Anomaly:
    kinds = _kinds(event)
    kinematics = [event.columns.get(name) for name in ("pt", "eta", "phi")]
    values = np.array(
        [np.full(event.n_objects, math.nan) if one is None else one for one in kinematics], np.float64
    ).reshape(3, -1)
    surprises: dict[int, float] = {}
    of_event: list[OfEvent] = []
    rescored, uncovered = None, 0
    if detector is not None:
        rescored = float(detector.score(event, on_invalid="sentinel")[0])
        if hasattr(detector, "token_surprise") and hasattr(detector.inputs, "tokenizer"):
            surprises, of_event = _surprises(event, detector)
            uncovered = event.n_objects - len(surprises)
    members = [
        Member(kinds[k], float(pt), float(eta), float(phi), surprises.get(k))
        for k, (pt, eta, phi) in enumerate(values.T)
    ]
    met, angle = (event.fields.get(name) for name in ("MET", "METphi"))
    missing = None if met is None or angle is None else (float(met[0]), float(angle[0]))
    return Anomaly(row, members, of_event, uncovered, missing, rescored)


def _kinds(event: Events) -> list[str]:
    if TYPE_COLUMN not in event.columns or not event.types:
        return ["object"] * event.n_objects
    return [event.types[int(code)] for code in event.columns[TYPE_COLUMN]]


def _surprises(event: Events, detector: Any) -> tuple[dict[int, float], list[OfEvent]]:
    """Return the surprise of each object by its index, and of the tokens of the event."""
    tokenizer = detector.inputs.tokenizer
    tokens = tokenizer.encode(event)
    surprise = np.asarray(detector.token_surprise(tokens), np.float64)
    if surprise.shape != (len(tokens.ids),):
        raise EvtokError(
            f"detector: expected a surprise for each of {len(tokens.ids)} tokens, got {surprise.shape}"
        )
    before, after = around_objects(tokenizer.settings.sequence)
    stop = len(surprise) - len(after)
    of_objects = surprise[len(before) : stop]
    settings = tokenizer.settings
    width = len(tokenizer.digits) if getattr(settings, "factorised", False) else 1
    of_objects = of_objects.reshape(-1, width).sum(axis=1)
    kept = _kept(tokenizer, event, len(of_objects))
    around = [*zip(before, surprise, strict=False), *zip(after, surprise[stop:], strict=True)]
    bases = tokenizer.vocabulary.event_bases
    of_event = [
        OfEvent(name, _value(tokenizer, event, name), float(s)) for name, s in around if name in bases
    ]
    return {int(k): float(s) for k, s in zip(kept, of_objects, strict=True)}, of_event


def _kept(tokenizer: Any, event: Events, n: int) -> npt.NDArray[np.int64]:
    """Return the objects (n,) that the n object tokens of an event stand for, in the order of the tokens.

    An object by itself shows whether it has a token at all; those that have one are sorted and cut off as the settings
    say.

    Raises
    ------
    EvtokError
        The tokens are not as many as that gives.
    """
    alone = Events(
        np.arange(event.n_objects + 1),
        event.columns,
        {name: np.repeat(values, event.n_objects) for name, values in event.fields.items()},
        units=event.units,
        types=event.types,
    )
    around = len(tokenizer.settings.sequence) - 1
    kept = np.arange(event.n_objects)
    if event.n_objects != n:
        kept = kept[tokenizer.encode(alone, on_invalid="sentinel").lengths > around]
    if tokenizer.settings.sort_by:
        kept = kept[
            np.argsort(-event.columns[tokenizer.settings.sort_by][kept].astype(np.float64), kind="stable")
        ]
    if len(kept) < n:
        raise EvtokError(f"tokens: {n} tokens of objects, and {len(kept)} objects that have one")
    return kept[:n]


def _value(tokenizer: Any, event: Events, name: str) -> float:
    """Return the value of a quantity of the event."""
    settings = tokenizer.settings
    found = event_features.with_fields(settings.event_features, event, settings.types)
    return float(found.fields[settings.event_features[name].column][0])


__all__ = ["UNREADABLE", "Anomaly", "Member", "OfEvent", "highest", "look_up", "read_rows"]
