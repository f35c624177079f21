"""Open the inputs of a job and plan it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from evtok.errors import InputFileError, JobError
from evtok.io import EventSource, InputFile, load_schema
from evtok.io.paths import Location, expand, secret_in
from evtok.jobs.inputs import stamp
from evtok.jobs.plan import DEFAULT_KEEP, Plan, PlannedInput
from evtok.jobs.planning import make_plan
from evtok.jobs.product import Encoder


@contextmanager
def planned(
    inputs: Any,
    encoder: Encoder,
    *,
    taken: Sequence[str],
    schema: Any,
    container: str,
    events_per_shard: int,
    keep: Sequence[str] | str | None,
    allow_unreadable: bool,
) -> Iterator[tuple[EventSource, Plan]]:
    """Yield a source of what `encoder` reads and the fields to keep, and the plan of a job over it.

    Parameters
    ----------
    inputs, schema
        As for `evtok.open_events`.
    taken : sequence of str
        Names that no kept field can have.
    keep : sequence of str, or one str, or None
        Fields to keep; None for those of `DEFAULT_KEEP` that the first file has.
    allow_unreadable : bool
        Plan without the files that cannot be opened.
    """
    names = _names(keep, taken)
    locations = expand(inputs)
    _refuse_secrets(locations)
    stamps = {location.path: stamp(location.path) for location in locations}
    source, unreadable = _open(locations, schema, encoder.required_columns, allow_unreadable)
    with source:
        kept = _kept(source, DEFAULT_KEEP if keep is None else names, required=keep is not None)
        fields = dict.fromkeys((*encoder.required_fields, *(name for name, _ in kept)))
        chosen = source.select(encoder.required_columns, fields)
        plan = make_plan(
            chosen,
            encoder,
            schema=hashlib.sha256(repr(chosen.schema).encode()).hexdigest(),
            container=container,
            events_per_shard=events_per_shard,
            kept=kept,
            stamps=stamps,
            unreadable=unreadable,
        )
        yield chosen, plan


def _refuse_secrets(locations: Sequence[Location]) -> None:
    """Refuse URLs that give access to whoever knows them: manifests, records, logs and reports name the inputs."""
    for one in locations:
        name = secret_in(one.path) if one.is_url else ""
        if name:
            host = one.path.partition("?")[0].rpartition("://")[2].partition("/")[0]
            raise JobError(
                f"inputs: a URL of {host} has {name}=, which gives access to whoever reads it, and a job writes the "
                "names of its inputs into manifest, records, log and report; give credentials to the library that "
                "opens the URL (its settings, its environment variables, ~/.netrc), or copy the file"
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


def _names(keep: Sequence[str] | str | None, taken: Sequence[str]) -> tuple[str, ...]:
    names = (keep,) if isinstance(keep, str) else tuple(keep or ())
    for name in names:
        if not isinstance(name, str):
            raise JobError(f"keep: expected names of fields, got {name!r}")
        if names.count(name) > 1:
            raise JobError(f"keep: {name!r} is there twice")
        if name in taken:
            raise JobError(
                f"keep: {name!r} is a column of every shard, and cannot be the name of a field to keep"
            )
    return names


def _kept(source: EventSource, keep: Sequence[str], *, required: bool) -> list[tuple[str, str]]:
    """Find out which of the fields to keep are there, and their dtypes, in the first event there is."""
    first = source.select((), None).first_event()  # its fields alone: a format may read much for one event
    if first is None:
        return []
    missing = [name for name in keep if name not in first.fields]
    if missing and required:
        raise JobError(
            f"keep: {source.paths[0]} has no field {missing[0]!r}; it has {', '.join(first.fields) or 'none'}"
        )
    return [(name, first.fields[name].dtype.name) for name in keep if name in first.fields]
