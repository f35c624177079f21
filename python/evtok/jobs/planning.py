"""Make a plan from what the inputs say of themselves."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from evtok import _core
from evtok._optional import require
from evtok.errors import JobError
from evtok.jobs.inputs import stamp
from evtok.jobs.plan import Plan, PlannedInput
from evtok.jobs.shard_format import CONTAINERS, ENTRY, EVENTS_PER_BATCH


def make_plan(
    source: Any,
    tokenizer: Any,
    *,
    schema: str,
    container: str,
    events_per_shard: int,
    kept: Sequence[tuple[str, str]],
    unreadable: Sequence[PlannedInput] = (),
) -> Plan:
    """Plan a job over all files of `source`.

    Parameters
    ----------
    source : EventSource
    tokenizer : tokenizer
        Fitted.
    schema : str
        Identity of what `source` reads from the files.
    container : str
        "arrow" or "parquet".
    events_per_shard : int
    kept : sequence of (str, str)
        Fields of `source` to keep beside the tokens, with their dtypes.
    unreadable : sequence of PlannedInput
        Inputs that could not be opened; they come last and give no shards.

    Raises
    ------
    JobError
        Options that no job can have, no input, or an unfitted tokenizer.
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
    if not tokenizer.is_fitted:
        raise JobError("tokenizer: it is not fitted yet; call fit first")
    files = zip(source.files, source.trees, strict=True)
    readable = [PlannedInput(f.path, tree, f.n_events, f.size, stamp(f.path)) for f, tree in files]
    return Plan(
        inputs=(*readable, *unreadable),
        schema=schema,
        fingerprint=tokenizer.fingerprint,
        vocab_size=int(tokenizer.vocab_size),
        pad_id=int(tokenizer.pad_id),
        numerics=_core.numerics_version,
        container=container,
        codec=CONTAINERS[container],
        events_per_shard=events_per_shard,
        events_per_batch=EVENTS_PER_BATCH,
        columns=(ENTRY, *kept),
        evtok=_core.version,
        pyarrow=require("pyarrow", extra="io").__version__,
    )
