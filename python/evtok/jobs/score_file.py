"""The file of scores: one Parquet file with a row for each event, which says where it is from and proves itself.

Columns are ``score`` float32, ``file`` dictionary<string> (the path of the input), ``entry`` int64 (its row in the
input), then the kept fields. The schema's metadata has JSON under the key ``evtok``: `ScoreFacts`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from evtok._optional import require
from evtok.errors import ShardError
from evtok.jobs.batch import Array, Batch
from evtok.jobs.fields import HASH, PLAIN, Fields, integer, one_of, refuse, text
from evtok.jobs.manifest import Manifest
from evtok.jobs.record import Counts
from evtok.jobs.score_product import COLUMN, DTYPE
from evtok.jobs.shard_format import COLUMN_DTYPES, ENTRY, ContentHash
from evtok.tokenizers.artefact import canonical_json

KEY = b"evtok"
FORMAT = "evtok-scores"
VERSION = 1
FILE = "file"
_MODEL = ("kind", "fingerprint", "folder")
_RUN = ("backend", "torch", "events_per_call", "evtok", "pyarrow", "numerics")


@dataclass(frozen=True)
class ScoredInput:
    """An input file."""

    path: str
    tree: str | None
    n_events: int


@dataclass(frozen=True)
class Part:
    """Rows that follow each other, all of one input: how many, and the hash of their content."""

    input: int
    events: int
    content: str


@dataclass(frozen=True)
class ScoreFacts:
    """What a file of scores says of itself.

    Attributes
    ----------
    model : mapping
        ``kind``, ``fingerprint`` and ``folder`` of the detector.
    inputs : tuple of ScoredInput
    schema : str
        Digest of the schema that they were read with.
    counts : Counts
        Where their events went.
    columns : tuple of (str, str)
        "entry" and the kept fields, with their NumPy dtypes.
    parts : tuple of Part
        All rows, in order.
    events_per_batch : int
        Of the content's hash.
    run : mapping
        ``backend``, ``torch``, ``events_per_call``, ``evtok``, ``pyarrow`` and ``numerics``: what the bits depend on.
    """

    model: Mapping[str, str]
    inputs: tuple[ScoredInput, ...]
    schema: str
    counts: Counts
    columns: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    events_per_batch: int
    run: Mapping[str, Any]

    @classmethod
    def of(cls, manifest: Manifest, folder: str) -> Self:
        """Return what to say of the shards of a finished job; `folder` is that of the model."""
        plan = manifest.plan
        product = plan.product.to_json()
        run = {**product, "evtok": plan.evtok, "pyarrow": plan.pyarrow, "numerics": plan.numerics}
        return cls(
            model={"kind": product["kind"], "fingerprint": plan.fingerprint, "folder": folder},
            inputs=tuple(ScoredInput(file.path, file.tree, file.n_events) for file in plan.inputs),
            schema=plan.schema,
            counts=manifest.totals,
            columns=plan.columns,
            parts=tuple(
                Part(plan.task(shard.index).file, shard.events, shard.content) for shard in manifest.shards
            ),
            events_per_batch=plan.events_per_batch,
            run={key: run[key] for key in _RUN},
        )

    @property
    def n_events(self) -> int:
        """Rows of the file."""
        return sum(part.events for part in self.parts)

    def to_bytes(self) -> bytes:
        """Write the JSON."""
        return canonical_json(
            {
                "format": FORMAT,
                "version": VERSION,
                **{field.name: getattr(self, field.name) for field in fields(self)},
                "inputs": [asdict(file) for file in self.inputs],
                "counts": self.counts.to_json(),
                "parts": [list(asdict(part).values()) for part in self.parts],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Self:
        """Read the JSON, trusting nothing.

        Raises
        ------
        ShardError
            A value that evtok never writes there.
        """
        try:
            content = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ShardError(
                f"{name}: its metadata are not JSON ({error}); evtok did not write them"
            ) from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ShardError(
                f"{name}: expected a file of scores that evtok wrote; its metadata are of another format"
            )
        if content.get("version") != VERSION:
            raise ShardError(
                f"{name}: version {content.get('version')!r:.80}; this evtok reads version {VERSION}"
            )
        found = Fields(content, ["format", "version", *(field.name for field in fields(cls))], name)
        model = Fields(found["model"], _MODEL, found.where("model"))
        inputs = tuple(_input(row, found.where("inputs")) for row in found.rows("inputs"))
        counts = Counts.from_json(found["counts"], name)
        parts = tuple(_part(row, len(inputs), found.where("parts")) for row in found.rows("parts", 3))
        facts = cls(
            model={
                "kind": model.text("kind", PLAIN),
                "fingerprint": model.text("fingerprint", HASH),
                "folder": model.text("folder"),
            },
            inputs=inputs,
            schema=found.text("schema", HASH),
            counts=counts,
            columns=_columns(found.rows("columns", 2), found.where("columns")),
            parts=parts,
            events_per_batch=found.integer("events_per_batch", 1, 2**31 - 1),
            run=_run(found["run"], found.where("run")),
        )
        if [part.input for part in parts] != sorted(part.input for part in parts):
            raise ShardError(f"{name}: its rows are not in the order of its inputs")
        if facts.n_events != counts.written:
            raise ShardError(
                f"{name}: its parts hold {facts.n_events} events, its counts say {counts.written}"
            )
        return facts

    def arrow_schema(self) -> Any:
        """Return the ``pyarrow.Schema`` of the file."""
        pa = require("pyarrow", extra="io")
        columns = [
            pa.field(COLUMN, pa.float32(), nullable=False),
            pa.field(FILE, pa.dictionary(pa.int32(), pa.string()), nullable=False),
            *(pa.field(name, pa.from_numpy_dtype(dtype), nullable=False) for name, dtype in self.columns),
        ]
        return pa.schema(columns, metadata={KEY: self.to_bytes()})

    def files_of(self) -> npt.NDArray[np.int32]:
        """Return the input that each row is of (n,), as an index."""
        inputs = np.array([part.input for part in self.parts], np.int32)
        return np.repeat(inputs, [part.events for part in self.parts])

    def check_content(self, columns: Mapping[str, Array], name: str) -> None:
        """Prove the rows by the hashes of the parts; `columns` are the score, the entry and the kept fields.

        Raises
        ------
        ShardError
            Other rows than were written.
        """
        start = 0
        for k, part in enumerate(self.parts):
            content = ContentHash([(COLUMN, DTYPE), *self.columns])
            for batch in _batches(columns, start, start + part.events, self.events_per_batch):
                content.update(batch)
            if content.hexdigest() != part.content:
                raise ShardError(
                    f"{name}: rows {start} to {start + part.events} (part {k}) are not those that were written; the "
                    "file was altered: remove it and run the job again"
                )
            start += part.events


def _batches(columns: Mapping[str, Array], start: int, stop: int, size: int) -> Iterable[Batch]:
    for first in range(start, stop, size):
        yield Batch({name: values[first : min(first + size, stop)] for name, values in columns.items()})


def _input(row: Any, name: str) -> ScoredInput:
    found = Fields(row, [field.name for field in fields(ScoredInput)], name)
    return ScoredInput(found.text("path"), found.optional_text("tree"), found.integer("n_events"))


def _part(row: list[Any], n_inputs: int, name: str) -> Part:
    return Part(integer(row[0], name, 0, n_inputs - 1), integer(row[1], name), text(row[2], name, HASH))


def _columns(rows: list[Any], name: str) -> tuple[tuple[str, str], ...]:
    columns = tuple((text(key, name, PLAIN), one_of(dtype, COLUMN_DTYPES, name)) for key, dtype in rows)
    names = [COLUMN, FILE, *(key for key, _ in columns)]
    if columns[:1] != (ENTRY,) or len(set(names)) != len(names):
        raise refuse(name, "entry, then kept fields of other names", [key for key, _ in columns])
    return columns


def _run(content: Any, name: str) -> dict[str, Any]:
    found = Fields(content, _RUN, name)
    numbers = ("events_per_call", "numerics")
    return {key: found.integer(key) if key in numbers else found.text(key) for key in _RUN}
