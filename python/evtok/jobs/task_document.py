"""A task as a small JSON document: all that its shard depends on, and where it goes. It is what workers are sent.

Nothing of ours is pickled on its way to a worker. The tokenizer or the model is not sent either: it lies in the folder
of the job, and the document has its fingerprint.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from evtok.errors import ShardError
from evtok.io import Schema
from evtok.io.paths import Location
from evtok.io.schema_dict import as_dict
from evtok.jobs import versions
from evtok.jobs.documents import canonical, seal, unseal
from evtok.jobs.executor import Job
from evtok.jobs.fields import HASH, LARGEST, Fields, integer, one_of, refuse
from evtok.jobs.plan import Plan, PlannedInput, Task, read_columns, read_input, read_product
from evtok.jobs.product import Product
from evtok.jobs.shard_format import CONTAINERS, ShardLayout

TASK_FORMAT = 1
_KEYS = (
    *("task_format", "plan", "index", "file", "start", "stop", "input", "base", "schema", "schema_digest"),
    *("product", "container", "columns", "events_per_batch", "fingerprint", "versions"),
    *("output", "expected", "threads", "memory", "timeout", "attempt"),
)


@dataclass(frozen=True)
class TaskDocument:
    """One task.

    Attributes
    ----------
    plan : str
        Digest of the plan.
    task : Task
    input : PlannedInput
        Its file, with the stamp that tells a change.
    base : str
        Folder that a relative path of the input begins in.
    schema, schema_digest : str
        JSON of the schema, and the digest of the schema that the plan has.
    product : Product
    container : str
    columns : tuple of (str, str)
    events_per_batch : int
    fingerprint : str
        Of the tokenizer or the model.
    versions : dict
        Of all that writes shards.
    output : str
        Folder of the job: absolute, and the same for all workers.
    expected : str or None
        The sha256 that was recorded for the shard before.
    threads, memory : int or None
        That the worker may use.
    timeout : float or None
        Seconds, from when a worker begins, after which the task is another's, and nothing is committed any more.
    attempt : int
        From 1.
    """

    plan: str
    task: Task
    input: PlannedInput
    base: str
    schema: str
    schema_digest: str
    product: Product
    container: str
    columns: tuple[tuple[str, str], ...]
    events_per_batch: int
    fingerprint: str
    versions: Mapping[str, Any]
    output: str
    expected: str | None = None
    threads: int | None = None
    memory: int | None = None
    timeout: float | None = None
    attempt: int = 1

    @classmethod
    def of(cls, job: Job, task: Task, expected: str | None, attempt: int) -> Self:
        """Return the document of a task that is handed out now."""
        plan = job.plan
        return cls(
            plan=plan.digest(),
            task=task,
            input=plan.input_of(task),
            base=str(Path.cwd()),
            schema=json.dumps(as_dict(job.source.schema)),
            schema_digest=plan.schema,
            product=plan.product,
            container=plan.container,
            columns=plan.columns,
            events_per_batch=plan.events_per_batch,
            fingerprint=plan.fingerprint,
            versions=_versions(plan),
            output=os.path.abspath(job.folder.path),  # noqa: PTH100  links stay as they are
            expected=expected,
            threads=job.threads,
            memory=job.memory,
            timeout=None if job.task_timeout is None else float(job.task_timeout),
            attempt=attempt,
        )

    def to_bytes(self) -> bytes:
        """Write the document."""
        return seal(
            {
                "task_format": TASK_FORMAT,
                "plan": self.plan,
                **asdict(self.task),
                "input": asdict(self.input),
                "base": self.base,
                "schema": self.schema,
                "schema_digest": self.schema_digest,
                "product": self.product.to_json(),
                "container": self.container,
                "columns": [list(column) for column in self.columns],
                "events_per_batch": self.events_per_batch,
                "fingerprint": self.fingerprint,
                "versions": dict(self.versions),
                "output": self.output,
                "expected": self.expected,
                "threads": self.threads,
                "memory": self.memory,
                "timeout": self.timeout,
                "attempt": self.attempt,
            }
        )

    @classmethod
    def from_bytes(cls, document: bytes | Mapping[str, Any], name: str = "task") -> Self:
        """Read a document, or the object that is in it.

        Raises
        ------
        ShardError
            Altered, of another format, or not a task.
        """
        content = unseal(document if isinstance(document, bytes) else canonical(document), name)
        if content.get("task_format") != TASK_FORMAT:
            raise ShardError(
                f"{name}: format {content.get('task_format')!r}; this evtok reads format {TASK_FORMAT}"
            )
        found = Fields(content, _KEYS, name)
        product = read_product(found["product"], name)
        timeout = found["timeout"]
        if timeout is not None and not (isinstance(timeout, float) and timeout >= 0):
            raise refuse(found.where("timeout"), "seconds or null", timeout)
        document_ = cls(
            plan=found.text("plan", HASH),
            task=Task(
                index=found.integer("index"),
                file=found.integer("file"),
                start=found.integer("start"),
                stop=found.integer("stop", found.integer("start") + 1),
            ),
            input=read_input(found["input"], found.where("input")),
            base=found.text("base"),
            schema=found.text("schema"),
            schema_digest=found.text("schema_digest", HASH),
            product=product,
            container=one_of(found["container"], CONTAINERS, found.where("container")),
            columns=read_columns(found.rows("columns", 2), product, found.where("columns")),
            events_per_batch=found.integer("events_per_batch", 1, 2**31 - 1),
            fingerprint=found.text("fingerprint", HASH),
            versions=versions.read(found["versions"], found.where("versions")),
            output=found.text("output"),
            expected=found.optional_text("expected", HASH),
            threads=_optional_integer(found, "threads", 1 << 16),
            memory=_optional_integer(found, "memory", LARGEST),
            timeout=timeout,
            attempt=found.integer("attempt", 1),
        )
        if document_.task.stop > document_.input.n_events:
            raise refuse(name, f"a range of the {document_.input.n_events} events", document_.task.stop)
        return document_

    # ---- what a `TaskRunner` needs of a plan --------------------------------------------------------------------

    def layout(self) -> ShardLayout:
        """Return columns and metadata of the shard."""
        return ShardLayout(
            self.container,
            self.product,
            self.fingerprint,
            int(self.versions["numerics"]),
            str(self.versions["evtok"]),
            self.columns,
        )

    def digest(self) -> str:
        """Return the digest of the plan."""
        return self.plan

    def input_of(self, task: Task) -> PlannedInput:
        """Return the file of the task."""
        return self.input

    # ---- what a worker needs ------------------------------------------------------------------------------------

    def location(self) -> Location:
        """Return where the input lies for a process that works in any folder."""
        return place_of(self.input, self.base)

    def read_schema(self) -> Schema:
        """Return the schema that the input is read with; raises `SchemaError`."""
        return schema_of(self.schema)


def place_of(file: PlannedInput, base: str) -> Location:
    """Return where an input lies, whose relative path begins in `base`, for a process that works in any folder."""
    location = Location(file.path, file.tree)
    if location.is_url or str(Path.cwd()) == base:
        return location
    return Location(str(Path(base) / location.path), location.tree)


def schema_of(text: str) -> Schema:
    """Read the schema of a document; raises `SchemaError` or `ShardError`."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ShardError(f"task: its schema is not JSON ({error})") from error
    return Schema.from_dict(content, "schema of the task")


def _versions(plan: Plan) -> dict[str, Any]:
    planned = (plan.evtok, plan.numerics, plan.pyarrow, plan.format)
    return dict(zip(versions.KEYS, planned, strict=True))


def _optional_integer(found: Fields, key: str, high: int) -> int | None:
    return None if found[key] is None else integer(found[key], found.where(key), 1, high)
