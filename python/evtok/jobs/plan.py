"""The plan of a job: which inputs, cut into which ranges, encoded how. Small JSON, made from metadata alone.

Shards follow from the plan and from nothing else. Two plans that agree give the same bytes, so a job is
resumed only under an equal plan; a task is one range of one file, and can be run anywhere, any number of
times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from evtok.errors import JobError
from evtok.jobs.documents import digest, only_keys
from evtok.jobs.shard_format import FORMAT_VERSION, ShardLayout

EVENTS_PER_SHARD = 1_000_000
DEFAULT_KEEP = ("label", "weight", "event")


@dataclass(frozen=True)
class PlannedInput:
    """One input file.

    `stamp` is what its file system says of it without reading it (inode, mtime and ctime, or the tag of a
    server). The kernel moves the ctime with every change of the content, whatever is done to the mtime; so an
    equal stamp proves an unchanged file. Another stamp proves nothing: then the recorded shards are written
    again and compared.
    """

    path: str
    tree: str | None
    n_events: int
    size: int
    stamp: str
    unreadable: str | None = None  # why it could not be opened

    def identity(self) -> tuple[str | None, int, int, bool]:
        """Return what must not change between two runs."""
        return self.tree, self.n_events, self.size, self.unreadable is not None

    def source(self) -> str:
        """Return a digest of path and stamp, which two files never share; "" when the stamp is unknown."""
        return digest({"path": self.path, "stamp": self.stamp}) if self.stamp else ""


@dataclass(frozen=True)
class Task:
    """One shard to write: entries start to stop of one file."""

    index: int
    file: int
    start: int
    stop: int

    @property
    def stem(self) -> str:
        """Name of the shard without its suffix."""
        return f"shard-{self.index:06d}"


@dataclass(frozen=True)
class Plan:
    """Everything that the bytes of the shards depend on."""

    inputs: tuple[PlannedInput, ...]
    schema: str  # digest of the schema that the inputs are read with
    fingerprint: str
    vocab_size: int
    pad_id: int
    numerics: int
    container: str
    codec: str
    events_per_shard: int
    events_per_batch: int
    columns: tuple[tuple[str, str], ...]
    evtok: str
    pyarrow: str
    format: int = FORMAT_VERSION

    def tasks(self) -> Iterator[Task]:
        """Yield the ranges in the order of the inputs; none spans two files."""
        index = 0
        for k, file in enumerate(self.inputs):
            for start in range(0, file.n_events, self.events_per_shard):
                yield Task(index, k, start, min(start + self.events_per_shard, file.n_events))
                index += 1

    def layout(self) -> ShardLayout:
        """Return columns and metadata of the shards."""
        return ShardLayout(
            self.container,
            self.vocab_size,
            self.pad_id,
            self.fingerprint,
            self.numerics,
            self.evtok,
            self.columns,
        )

    def to_json(self) -> dict[str, Any]:
        """Return an object for a document."""
        return {
            **asdict(self),
            "inputs": [asdict(i) for i in self.inputs],
            "columns": [list(c) for c in self.columns],
        }

    @classmethod
    def from_json(cls, content: Any, name: str) -> Self:
        """Read what `to_json` returned."""
        found = only_keys(content, [field.name for field in fields(cls)], name)
        keys = [field.name for field in fields(PlannedInput)]
        found["inputs"] = tuple(
            PlannedInput(**only_keys(row, keys, f"{name}: inputs")) for row in found["inputs"]
        )
        found["columns"] = tuple((row[0], row[1]) for row in found["columns"])
        return cls(**found)

    def identity(self) -> dict[str, Any]:
        """Return what must be equal for two runs to write one folder: all but where the inputs lie."""
        inputs = [list(i.identity()) for i in self.inputs]
        return {**self.to_json(), "inputs": inputs}

    def digest(self) -> str:
        """Return the sha256 of the identity; every record carries it."""
        return digest(self.identity())

    def require_same(self, previous: Plan, folder: str) -> None:
        """Refuse to go on with a folder that another plan began.

        Raises
        ------
        JobError
            Naming each ingredient that changed.
        """
        changes = _input_changes(previous.inputs, self.inputs)
        before, now = previous.to_json(), self.to_json()
        changes += [
            f"{key}: was {before[key]!r}, is {now[key]!r}"
            for key in now
            if key != "inputs" and before[key] != now[key]
        ]
        if changes:
            raise JobError(
                f"{folder}: holds a job with other ingredients, and shards of both would be mixed. Changed: "
                + "; ".join(changes)
                + ". Write to another folder, or run with the ingredients of this one"
            )


def _input_changes(before: Sequence[PlannedInput], now: Sequence[PlannedInput]) -> list[str]:
    if len(before) != len(now):
        return [f"inputs: were {len(before)} files, are {len(now)}"]
    return [
        f"input {k}: was {a.path} with {a.n_events} events in {a.size} bytes, "
        f"is {b.path} with {b.n_events} events in {b.size} bytes"
        for k, (a, b) in enumerate(zip(before, now, strict=True))
        if a.identity() != b.identity()
    ]
