"""`count_range`: one range of a fit, counted anywhere. JSON in, JSON out; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from evtok import _core
from evtok.errors import InputFileError, JobError
from evtok.events import Events
from evtok.io.source import EventSource
from evtok.jobs import versions
from evtok.jobs.fit_document import FitDocument, pack, read_seen, versions_here
from evtok.jobs.inputs import agree, stamp
from evtok.jobs.stages import worker_name
from evtok.tokenizers import binned_encode, binned_rows, event_features
from evtok.tokenizers.order_statistics import OrderStatistics

#: Opens the input of a document, with these columns and fields.
Open = Callable[[FitDocument, tuple[str, ...], tuple[str, ...]], EventSource]


def count_range(document: FitDocument, open_source: Open, most_threads: int | None) -> list[list[Any]]:
    """Count a range.

    Returns
    -------
    list of [name, invalid, zeros, places, numbers]
        Of each feature: the places in its tables with a count that is not 0, and these counts (`OrderStatistics.part`),
        packed; or, where combinations are looked for, one row whose places are the keys.

    Raises
    ------
    VersionError
        Another evtok than the coordinator's.
    JobError
        The file changed.
    """
    mine = versions_here()
    if mine != dict(document.versions):
        raise versions.VersionError(
            f"worker {worker_name()} has {mine}, not {dict(document.versions)}; give all workers the same evtok"
        )
    threads = min(document.threads, most_threads or _core.available_cpus())
    with _core.FloatEnvironment():
        if document.seen is not None:
            found = [["seen", 0, 0, *_seen(document, document.seen, open_source)]]
        else:
            found = _counts(document, open_source, threads)
    place = document.location().path
    if not agree(document.input.stamp, stamp(place)):
        raise JobError(
            f"{document.input.path}: the file changed while it was read; fit again when nobody writes to it"
        )
    return found


def _counts(document: FitDocument, open_source: Open, threads: int) -> list[list[Any]]:
    wanted = {one.name: one for one in document.features}
    of_objects = {name: one.feature for name, one in wanted.items() if not one.of_event}
    of_events = {name: one.feature for name, one in wanted.items() if one.of_event}
    counted = {
        name: OrderStatistics.of_part(
            one.dtype,
            one.feature.transform.valid_range(one.dtype),
            one.depth,
            one.prefixes,
            skip_zeros=one.feature.zero_is_code_zero,
            threads=threads,
        )
        for name, one in wanted.items()
    }
    quantities = event_features.quantities(of_events)
    columns = tuple(dict.fromkeys((*(f.column for f in of_objects.values()), *quantities.required_columns)))
    relative = (f.relative_to for f in of_objects.values() if f.relative_to is not None)
    fields = tuple(dict.fromkeys((*quantities.required_fields, *relative)))
    for events in _events(document, open_source, columns, fields):
        values: Mapping[str, Any] = {
            **{name: binned_rows.compared_values(f, events) for name, f in of_objects.items()},
            **event_features.compared(of_events, events, document.types),
        }
        for name, one in counted.items():
            if values[name].dtype != wanted[name].dtype:
                raise InputFileError(
                    f"{document.input.path}: feature {name!r} is {wanted[name].dtype} in the first chunk and "
                    f"{values[name].dtype} here; make it one dtype in all (float64 holds both exactly)"
                )
            one.count(values[name])
    rows = []
    for name, one in counted.items():
        places, numbers, invalid, zeros = one.part()
        rows.append([name, invalid, zeros, pack(places), pack(numbers)])
    return rows


def _seen(document: FitDocument, artefact: str, open_source: Open) -> tuple[str, str]:
    settings, fitted, on_invalid = read_seen(artefact)
    features = settings.features.values()
    columns = [feature.column for feature in features] + (["type"] if settings.types else [])
    fields = tuple(dict.fromkeys(f.relative_to for f in features if f.relative_to is not None))
    keys = np.zeros(0, np.int32)
    for events in _events(document, open_source, tuple(dict.fromkeys(columns)), fields):
        keys = np.union1d(keys, binned_encode.keys(settings, fitted, events, on_invalid)).astype(np.int32)
    return pack(keys), ""


def _events(
    document: FitDocument, open_source: Open, columns: tuple[str, ...], fields: tuple[str, ...]
) -> Iterator[Events]:
    yield from open_source(document, columns, fields).iter_range(0, document.start, document.stop)
