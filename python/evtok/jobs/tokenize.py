"""`tokenize_files`: the job as one call."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from evtok.errors import InputFileError, JobError
from evtok.io import EventSource, InputFile, Schema, load_schema
from evtok.io.paths import Location, expand
from evtok.jobs.inputs import stamp
from evtok.jobs.plan import DEFAULT_KEEP, EVENTS_PER_SHARD, PlannedInput
from evtok.jobs.planning import make_plan
from evtok.jobs.progress import Listener
from evtok.jobs.run import JobReport, run_job
from evtok.tokenizers import Tokenizer, load_tokenizer


def tokenize_files(
    inputs: Any,
    tokenizer: Tokenizer | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    format: str = "arrow",
    events_per_shard: int = EVENTS_PER_SHARD,
    threads: int | None = None,
    schema: Schema | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    keep: Sequence[str] | str | None = None,
    allow_quarantine: bool = False,
    progress: Listener | None = None,
) -> JobReport:
    """Tokenize event files into a folder of shards that can be proven, resumed and memory-mapped.

    Parameters
    ----------
    inputs : path, URL, list of these, or dict of path to tree
        As for `evtok.open_events`.
    tokenizer : Tokenizer or path
        Fitted; a copy of it is kept in ``output/tokenizer``.
    output : path
        The folder. Run again with the same arguments, an interrupted job goes on, and a finished one is proven.
    format : {"arrow", "parquet"}
        Arrow IPC is memory-mapped without a copy: take it for training, which shuffles. Parquet is smaller and for
        reading in order: any event costs decompressing the batch that it is in.
    events_per_shard : int
        Shards hold this many events of one file; the last of a file may hold fewer.
    threads : int, optional
        For encoding; by default all CPUs that this process may use. One more thread reads.
    schema : optional
        As for `evtok.open_events`.
    keep : sequence of str, or one str, optional
        Fields of the event to keep beside its tokens; by default those of label, weight and event that the
        first file has. Its row in its file is always kept, as ``entry``.
    allow_quarantine : bool
        Finish although events, lines of text or files cannot be tokenized. They are listed with reasons in
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
    names = _names(keep)
    if not isinstance(tokenizer, Tokenizer):
        tokenizer = load_tokenizer(tokenizer)
    source, unreadable = _open(expand(inputs), schema, tokenizer.required_columns, allow_quarantine)
    with source:
        kept = _kept(source, DEFAULT_KEEP if keep is None else names, required=keep is not None)
        fields = dict.fromkeys((*tokenizer.required_fields, *(name for name, _ in kept)))
        chosen = source.select(tokenizer.required_columns, fields)
        plan = make_plan(
            chosen,
            tokenizer,
            schema=hashlib.sha256(repr(chosen.schema).encode()).hexdigest(),
            container=format,
            events_per_shard=events_per_shard,
            kept=kept,
            unreadable=unreadable,
        )
        return run_job(
            chosen,
            tokenizer,
            plan,
            output,
            threads=threads,
            allow_quarantine=allow_quarantine,
            listener=progress,
        )


def _open(
    locations: Sequence[Location], schema: Any, columns: Sequence[str], allow_unreadable: bool
) -> tuple[EventSource, list[PlannedInput]]:
    """Open the inputs; those that cannot be opened come back apart, if there may be any."""
    chosen = None if schema is None else load_schema(schema)
    names = tuple(columns)
    if not allow_unreadable:
        return EventSource(locations, chosen, columns=names), []
    good, files, bad = list[Location](), list[InputFile](), list[PlannedInput]()
    for location in locations:
        try:
            with EventSource([location], chosen, columns=names) as one:
                files += one.files
                chosen = one.schema
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
    return EventSource(good, chosen, columns=names, files=files), bad


def _names(keep: Sequence[str] | str | None) -> tuple[str, ...]:
    names = (keep,) if isinstance(keep, str) else tuple(keep or ())
    for name in names:
        if not isinstance(name, str):
            raise JobError(f"keep: expected names of fields, got {name!r}")
        if names.count(name) > 1:
            raise JobError(f"keep: {name!r} is there twice")
        if name in ("entry", "tokens"):
            raise JobError(
                f"keep: {name!r} is a column of every shard, and cannot be the name of a field to keep"
            )
    return names


def _kept(source: EventSource, keep: Sequence[str], *, required: bool) -> list[tuple[str, str]]:
    """Find out which of the fields to keep are there, and their dtypes, in the first event there is."""
    first = source.first_event()
    if first is None:
        return []
    missing = [name for name in keep if name not in first.fields]
    if missing and required:
        raise JobError(
            f"keep: {source.paths[0]} has no field {missing[0]!r}; it has {', '.join(first.fields) or 'none'}"
        )
    return [(name, first.fields[name].dtype.name) for name in keep if name in first.fields]
