"""Events that cannot become tokens: written down with the reason, never dropped in silence.

``quarantine/shard-NNNNNN.jsonl`` has one JSON object a line, in the order of the entries: ``file``, ``entry`` and
``reason`` of an event, and ``line`` (from 1) when the text there could not be read; or, for a range that could not
be read at all, a single line with ``file``, ``start``, ``stop`` and ``reason``.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.errors import InvalidEventsError
from evtok.events import Events
from evtok.jobs.durable import OutputFolder

FOLDER = "quarantine"


def name_of(stem: str) -> str:
    """Return the name of the file that belongs to a shard."""
    return stem + ".jsonl"


def keep_only(folder: OutputFolder, stems: Collection[str]) -> None:
    """Remove the files of other shards, which an earlier run wrote; only for the holder of the lock.

    A worker may not: it can be late, and what lies there may be the account of its own range, given up since.
    """
    if FOLDER not in folder.names():
        return
    kept = {name_of(stem) for stem in stems}
    with folder.subfolder(FOLDER) as below:
        for name in below.names():
            if name.startswith("shard-") and name.endswith(".jsonl") and name not in kept:
                below.remove(name)


def split(
    tokenizer: Any, events: Events, dtype: np.dtype[Any], threads: int | None
) -> tuple[Any, npt.NDArray[np.int64], list[str]]:
    """Encode a chunk; events that the tokenizer refuses are left out, with their reasons.

    Returns
    -------
    tokens : Tokens
        Of the events that remain, in order; ids of `dtype`.
    refused : int64 (r,)
        Positions in the chunk of those that do not.
    reasons : list of str (r,)
        What the tokenizer says of each.
    """
    try:
        return tokenizer.encode(events, threads=threads, dtype=dtype), np.empty(0, np.int64), []
    except InvalidEventsError:
        refused = _refused(tokenizer, events, dtype, threads)
    reasons = [reason for _, reason in refused]
    positions = np.array([position for position, _ in refused], np.int64)
    kept = events[np.delete(np.arange(len(events)), positions)]
    return tokenizer.encode(kept, threads=threads, dtype=dtype), positions, reasons


def _refused(
    tokenizer: Any, events: Events, dtype: np.dtype[Any], threads: int | None, first: int = 0
) -> list[tuple[int, str]]:
    """Find the events that cannot be encoded, by halves: they are few, and only the tokenizer knows the rule."""
    try:
        tokenizer.encode(events, threads=threads, dtype=dtype)
    except InvalidEventsError as error:
        if len(events) <= 1:
            return [(first, str(error))]
        half = len(events) // 2
        left = _refused(tokenizer, events[:half], dtype, threads, first)
        return left + _refused(tokenizer, events[half:], dtype, threads, first + half)
    return []


def line(**content: Any) -> bytes:
    """Write one line of a quarantine file."""
    return json.dumps(content, sort_keys=True).encode("ascii") + b"\n"
