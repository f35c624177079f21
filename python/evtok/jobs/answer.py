"""The answer of a worker to a task, read as what anybody may have sent: it has this form, or it is none."""

from __future__ import annotations

import math
from typing import Any

from evtok.jobs.fields import HASH, LARGEST, Fields, integer, one_of, refuse
from evtok.jobs.stages import NAMES

_NAME = "answer"
_SECONDS = tuple(f"{name}_s" for name in NAMES)
_ALWAYS = ("index", "attempt", "worker", "state", *_SECONDS)
_OF_STATE = {
    "done": ("record",),
    "counted": ("counts",),
    "unreadable": ("reason", "may_pass"),
    "failed": ("error", "reason", "may_pass"),
}


def read_answer(content: Any) -> dict[str, Any]:
    """Return what `evtok.jobs.worker.run_task` answered.

    Raises
    ------
    ShardError
        It has other keys than an answer of its state, or a value that no answer has.
    """
    state = one_of(content.get("state") if isinstance(content, dict) else None, _OF_STATE, f"{_NAME}: state")
    keys = (*_ALWAYS, *_OF_STATE[state])
    found = Fields(content, keys, _NAME)
    integer(
        found["index"], found.where("index"), -1, LARGEST
    )  # -1 and 0 where the document could not be read
    found.integer("attempt")
    found.text("worker")
    for key in _SECONDS:
        _seconds(found[key], found.where(key))
    if state == "done":
        found.text("record", HASH)
        return dict(content)
    if state == "counted":
        found.rows("counts", 5)
        return dict(content)
    found.text("reason")
    found.boolean("may_pass")
    if state == "failed":
        found.text("error")
    return dict(content)


def _seconds(value: Any, name: str) -> None:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise refuse(name, "seconds", value)
