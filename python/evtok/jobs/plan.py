"""The plan of a job: which inputs, cut into which ranges, encoded how. Small JSON, made from metadata alone.

Shards follow from the plan and from nothing else. Two plans that agree give the same bytes, so a job is
resumed only under an equal plan; a task is one range of one file, and can be run anywhere, any number of
times.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import accumulate
from typing import Any, Self

from evtok.errors import JobError, ShardError
from evtok.jobs.documents import digest
from evtok.jobs.fields import HASH, LARGEST, PLAIN, Fields, integer, one_of, refuse, text
from evtok.jobs.inputs import on_any_machine
from evtok.jobs.product import Product
from evtok.jobs.score_product import ScoreProduct
from evtok.jobs.shard_format import COLUMN_DTYPES, CONTAINERS, ENTRY, FORMAT_VERSION, ShardLayout
from evtok.jobs.token_product import TokenProduct

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
        """Return a digest of path and stamp, the same on all machines that see this file; "" for an unknown stamp."""
        return digest({"path": self.path, "stamp": on_any_machine(self.stamp)}) if self.stamp else ""


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
    product: Product
    numerics: int
    container: str
    codec: str
    events_per_shard: int
    events_per_batch: int
    columns: tuple[tuple[str, str], ...]
    evtok: str
    pyarrow: str
    format: int = FORMAT_VERSION

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(-(-file.n_events // self.events_per_shard) for file in self.inputs))

    @property
    def n_tasks(self) -> int:
        """Number of ranges."""
        return self._ends[-1] if self._ends else 0

    def task(self, index: int) -> Task:
        """Return a range by its number; none spans two files."""
        if not 0 <= index < self.n_tasks:
            raise ShardError(f"shard {index}: the plan has {self.n_tasks} shards")
        k = bisect.bisect_right(self._ends, index)
        start = (index - (self._ends[k - 1] if k else 0)) * self.events_per_shard
        return Task(index, k, start, min(start + self.events_per_shard, self.inputs[k].n_events))

    def tasks(self) -> Iterator[Task]:
        """Yield the ranges in the order of the inputs."""
        return (self.task(index) for index in range(self.n_tasks))

    def layout(self) -> ShardLayout:
        """Return columns and metadata of the shards."""
        return ShardLayout(
            self.container,
            self.product,
            self.fingerprint,
            self.numerics,
            self.evtok,
            self.columns,
        )

    def to_json(self) -> dict[str, Any]:
        """Return an object for a document."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "product"}
        return {
            **own,
            **self.product.to_json(),
            "inputs": [asdict(i) for i in self.inputs],
            "columns": [list(c) for c in self.columns],
        }

    @classmethod
    def from_json(cls, content: Any, name: str) -> Self:
        """Read what `to_json` returned.

        Raises
        ------
        ShardError
            A value that no plan has.
        """
        kind = _kind_of_product(content)
        own = [field.name for field in fields(cls) if field.name != "product"]
        found = Fields(content, [*own, *kind.KEYS], f"{name}: plan")
        product = kind.from_json(found)
        container = one_of(found["container"], CONTAINERS, found.where("container"))
        inputs = tuple(read_input(row, found.where("inputs")) for row in found.rows("inputs"))
        integer(sum(file.n_events for file in inputs), f"{name}: events of all inputs")
        return cls(
            inputs=inputs,
            schema=found.text("schema", HASH),
            fingerprint=found.text("fingerprint", HASH),
            product=product,
            numerics=found.integer("numerics"),
            container=container,
            codec=one_of(found["codec"], [CONTAINERS[container]], found.where("codec")),
            events_per_shard=found.integer("events_per_shard", 1),
            events_per_batch=found.integer("events_per_batch", 1, 2**31 - 1),
            columns=read_columns(found.rows("columns", 2), product, found.where("columns")),
            evtok=found.text("evtok", PLAIN),
            pyarrow=found.text("pyarrow", PLAIN),
            format=found.integer("format", FORMAT_VERSION, FORMAT_VERSION),
        )

    def identity(self) -> dict[str, Any]:
        """Return what must be equal for two runs to write one folder: all but where the inputs lie."""
        inputs = [list(i.identity()) for i in self.inputs]
        return {**self.to_json(), "inputs": inputs}

    def digest(self) -> str:
        """Return the sha256 of the identity; every record carries it."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return digest(self.identity())

    def input_of(self, task: Task) -> PlannedInput:
        """Return the file that a task is a range of."""
        return self.inputs[task.file]

    def require_same(self, previous: Plan, folder: str) -> None:
        """Refuse to go on with a folder that another plan began.

        Raises
        ------
        JobError
            Naming each ingredient that changed.
        """
        changes = _input_changes(previous.inputs, self.inputs)
        if previous.product.NAME != self.product.NAME:
            changes.append(f"what is written: was {previous.product.NAME}, is {self.product.NAME}")
        before, now = previous.to_json(), self.to_json()
        changes += [
            f"{key}: was {before[key]!r}, is {now[key]!r}"
            for key in now
            if key in before and key != "inputs" and before[key] != now[key]
        ]
        if changes:
            raise JobError(
                f"{folder}: holds a job with other ingredients, and shards of both would be mixed. Changed: "
                + "; ".join(changes)
                + ". Write to another folder, or run with the ingredients of this one"
            )


def read_input(row: Any, name: str) -> PlannedInput:
    """Read an input of a document; raises `ShardError`."""
    found = Fields(row, [field.name for field in fields(PlannedInput)], name)
    unreadable = found.optional_text("unreadable")
    return PlannedInput(
        path=found.text("path"),
        tree=found.optional_text("tree"),
        n_events=found.integer("n_events", 0, 0 if unreadable is not None else LARGEST),
        size=found.integer("size"),
        stamp=found.text("stamp"),
        unreadable=unreadable,
    )


def _kind_of_product(content: Any) -> type[Product]:
    """Return what a plan is for; those of tokens do not say, as evtok 0.1.0 knew nothing else."""
    if isinstance(content, dict) and "product" in content:
        return ScoreProduct
    return TokenProduct


def read_product(content: Any, name: str) -> Product:
    """Read what `Product.to_json` returned, by itself; raises `ShardError`."""
    kind = _kind_of_product(content)
    return kind.from_json(Fields(content, kind.KEYS, f"{name}: product"))


def read_columns(rows: list[Any], product: Product, name: str) -> tuple[tuple[str, str], ...]:
    """Read the columns of a document; raises `ShardError`."""
    columns = tuple((text(key, name, PLAIN), one_of(dtype, COLUMN_DTYPES, name)) for key, dtype in rows)
    names = [*(key for key, _ in product.columns), *(key for key, _ in columns)]
    if columns[:1] != (ENTRY,) or len(set(names)) != len(names):
        raise refuse(name, "entry, then kept fields of other names", [key for key, _ in columns])
    return columns


def _input_changes(before: Sequence[PlannedInput], now: Sequence[PlannedInput]) -> list[str]:
    if len(before) != len(now):
        return [f"inputs: were {len(before)} files, are {len(now)}"]
    return [
        f"input {k}: was {a.path} with {a.n_events} events in {a.size} bytes, "
        f"is {b.path} with {b.n_events} events in {b.size} bytes"
        for k, (a, b) in enumerate(zip(before, now, strict=True))
        if a.identity() != b.identity()
    ]
