"""`tokenize_files`: the job as one call."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from evtok.errors import InputFileError, JobError
from evtok.io import Schema, open_events
from evtok.io.paths import Location, expand
from evtok.jobs.inputs import stamp
from evtok.jobs.plan import DEFAULT_KEEP, EVENTS_PER_SHARD, PlannedInput
from evtok.jobs.planning import make_plan
from evtok.jobs.progress import Listener
from evtok.jobs.run import JobReport, run_job
from evtok.tokenizers import BinnedTokenizer, load_tokenizer


def tokenize_files(
    inputs: Any,
    tokenizer: BinnedTokenizer | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    format: str = "arrow",
    events_per_shard: int = EVENTS_PER_SHARD,
    threads: int | None = None,
    schema: Schema | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    keep: Sequence[str] | None = None,
    allow_quarantine: bool = False,
    progress: Listener | None = None,
) -> JobReport:
    """Tokenize event files into a folder of shards that can be proven, resumed and memory-mapped.

    Parameters
    ----------
    inputs : path, URL, list of these, or dict of path to tree
        As for `evtok.open_events`.
    tokenizer : BinnedTokenizer or path
        Fitted; a copy of it is kept in ``output/tokenizer``.
    output : path
        The folder. Run again with the same arguments, an interrupted job goes on, and a finished one is proven.
    format : {"arrow", "parquet"}
        Arrow IPC is memory-mapped without a copy; Parquet is smaller.
    events_per_shard : int
        Shards hold this many events of one file; the last of a file may hold fewer.
    threads : int, optional
        For encoding; by default all CPUs that this process may use. One more thread reads.
    schema : optional
        As for `evtok.open_events`.
    keep : sequence of str, optional
        Fields of the event to keep beside its tokens; by default those of label, weight and event that the
        first file has. Its row in its file is always kept, as ``entry``.
    allow_quarantine : bool
        Finish although events or files cannot be tokenized. They are listed with reasons in
        ``output/quarantine`` and counted in either case.
    progress : callable, optional
        Called with each event of `evtok.jobs.progress`, a dict that JSON can hold.

    Returns
    -------
    JobReport

    Raises
    ------
    JobError
        The storage failed, another job writes the folder, the folder belongs to a job with other ingredients,
        or events are in quarantine that was not allowed. What was recorded stays valid.
    InputFileError
        A file that cannot be read, unless quarantine is allowed.
    """
    if not isinstance(tokenizer, BinnedTokenizer):
        tokenizer = load_tokenizer(tokenizer)
    locations = expand(inputs)
    good, bad = _openable(locations, schema) if allow_quarantine else (locations, [])
    kept, found = _fields(
        good, schema, tokenizer, DEFAULT_KEEP if keep is None else tuple(keep), keep is not None
    )
    fields = dict.fromkeys((*tokenizer.required_fields, *kept))
    source = open_events(_paths(good), found, columns=tokenizer.required_columns, fields=fields)
    with source:
        plan = make_plan(
            source,
            tokenizer,
            schema=hashlib.sha256(repr(source.schema).encode()).hexdigest(),
            container=format,
            events_per_shard=events_per_shard,
            keep=kept,
            trees=[location.tree for location in good],
            unreadable=bad,
        )
        return run_job(
            source,
            tokenizer,
            plan,
            output,
            threads=threads,
            allow_quarantine=allow_quarantine,
            listener=progress,
        )


def _openable(locations: Sequence[Location], schema: Any) -> tuple[list[Location], list[PlannedInput]]:
    """Tell the inputs that can be opened from those that cannot."""
    good, bad = [], []
    for location in locations:
        try:
            with open_events(_paths([location]), schema) as source:
                _ = source.files
            good.append(location)
        except InputFileError as error:
            bad.append(
                PlannedInput(
                    location.path,
                    location.tree,
                    n_events=0,
                    size=location.size(),
                    stamp=stamp(location.path),
                    unreadable=str(error),
                )
            )
    if not good:
        raise InputFileError(
            f"inputs: none of the {len(bad)} files can be read; the first: {bad[0].unreadable}"
        )
    return good, bad


def _fields(
    locations: Sequence[Location],
    schema: Any,
    tokenizer: BinnedTokenizer,
    keep: Sequence[str],
    required: bool,
) -> tuple[list[str], Schema]:
    """Find out which of the fields to keep are there, in the first event there is."""
    found: Schema | None = None
    for location in locations:
        with open_events(_paths([location]), found or schema, columns=tokenizer.required_columns) as source:
            found = source.schema
            if not source.n_events:
                continue
            there = source.read(0, 0, 1).fields
        missing = [name for name in keep if name not in there]
        if missing and required:
            raise JobError(
                f"keep: {location} has no field {missing[0]!r}; it has {', '.join(there) or 'none'}"
            )
        return [name for name in keep if name in there], found
    assert found is not None  # `expand` gives at least one file
    return [], found


def _paths(locations: Sequence[Location]) -> list[Any]:
    """Say again which files are meant, so that a name is not taken for a pattern."""
    return [{glob.escape(one.path) if not one.is_url else one.path: one.tree} for one in locations]
