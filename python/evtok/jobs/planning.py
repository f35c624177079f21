"""Make a plan from what the inputs say of themselves."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from evtok import _core
from evtok._optional import require
from evtok.errors import JobError
from evtok.jobs.batch import EVENTS_PER_BATCH
from evtok.jobs.plan import Plan, PlannedInput
from evtok.jobs.product import Encoder
from evtok.jobs.shard_format import CONTAINERS, ENTRY


def make_plan(
    source: Any,
    encoder: Encoder,
    *,
    schema: str,
    container: str,
    events_per_shard: int,
    kept: Sequence[tuple[str, str]],
    stamps: Mapping[str, str],
    unreadable: Sequence[PlannedInput] = (),
) -> Plan:
    """Plan a job over all files of `source`.

    Parameters
    ----------
    source : EventSource
    encoder : Encoder
    schema : str
        Identity of what `source` reads from the files.
    container : str
        "arrow" or "parquet".
    events_per_shard : int
    kept : sequence of (str, str)
        Fields of `source` to keep beside the product, with their dtypes.
    stamps : mapping of str to str
        The stamp of each file (`jobs/inputs.py`), taken before it was opened: what is read later is of the file that
        was opened, and must not pass for one that took its place in between.
    unreadable : sequence of PlannedInput
        Inputs that could not be opened; they come last and give no shards.

    Raises
    ------
    JobError
        Options that no job can have, or no input.
    """
    if container not in CONTAINERS:
        raise JobError(f"format: expected one of {', '.join(CONTAINERS)}, got {container!r}")
    try:
        events_per_shard = operator.index(events_per_shard)
    except TypeError:
        raise JobError(f"events_per_shard: expected an integer, got {events_per_shard!r}") from None
    if events_per_shard < 1:
        raise JobError(f"events_per_shard: expected at least 1, got {events_per_shard}")
    if not source.files:
        raise JobError("inputs: expected at least one file, got none")
    files = zip(source.files, source.trees, strict=True)
    readable = [PlannedInput(f.path, tree, f.n_events, f.size, stamps[f.path]) for f, tree in files]
    return Plan(
        inputs=(*readable, *unreadable),
        schema=schema,
        fingerprint=encoder.fingerprint,
        product=encoder.product,
        numerics=_core.numerics_version,
        container=container,
        codec=CONTAINERS[container],
        events_per_shard=events_per_shard,
        events_per_batch=EVENTS_PER_BATCH,
        columns=(ENTRY, *kept),
        evtok=_core.version,
        pyarrow=require("pyarrow", extra="io").__version__,
    )
