"""The versions of all that writes shards: bytes depend on them, so workers must have those of the plan."""

from __future__ import annotations

from typing import Any

from evtok import _core
from evtok._optional import require
from evtok.errors import JobError
from evtok.jobs.fields import PLAIN, Fields
from evtok.jobs.shard_format import FORMAT_VERSION

KEYS = ("evtok", "numerics", "pyarrow", "format")


class VersionError(JobError):
    """A worker has other versions than the job was planned with."""


def here() -> dict[str, Any]:
    """Return the versions of this process."""
    pyarrow = str(require("pyarrow", extra="io").__version__)
    return dict(zip(KEYS, (_core.version, _core.numerics_version, pyarrow, FORMAT_VERSION), strict=True))


def read(content: Any, name: str) -> dict[str, Any]:
    """Read versions of a document; raises `ShardError`."""
    found = Fields(content, KEYS, name)
    return {
        "evtok": found.text("evtok", PLAIN),
        "numerics": found.integer("numerics"),
        "pyarrow": found.text("pyarrow", PLAIN),
        "format": found.integer("format"),
    }


def require_same(planned: dict[str, Any], worker: str) -> None:
    """Refuse a task of other versions.

    Raises
    ------
    VersionError
        Naming each that differs.
    """
    mine = here()
    other = [f"{key} {mine[key]}, not {planned[key]}" for key in KEYS if mine[key] != planned[key]]
    if other:
        raise VersionError(
            f"worker {worker} has {', '.join(other)}: its shards could have other bytes than those of the job; give "
            "all workers the versions that the job was planned with"
        )
