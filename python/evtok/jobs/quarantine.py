"""Events that cannot become tokens: written down with the reason, never dropped in silence.

``quarantine/shard-NNNNNN.jsonl`` has one JSON object a line, in the order of the entries: ``file``, ``entry`` and
``reason`` of an event, and ``line`` (from 1) when the text there could not be read; or, for a range that could not
be read at all, a single line with ``file``, ``start``, ``stop`` and ``reason``.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.errors import InvalidEventsError
from evtok.events import Events

FOLDER = "quarantine"


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
