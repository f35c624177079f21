"""The events of finished jobs beside their tokens: what every figure of a report is made of.

In: folders of shards. Out: one `Sample` for each input file, its original and its decoded events row by row.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.dataset import TokenDataset
from evtok.errors import FingerprintError, InvalidEventsError
from evtok.events import Events
from evtok.io import open_events
from evtok.jobs import manifest as manifests
from evtok.jobs.durable import OutputFolder
from evtok.jobs.manifest import Manifest, require_manifest
from evtok.jobs.plan import PlannedInput
from evtok.jobs.record import Counts
from evtok.tokenizers import BinnedTokenizer, event_features
from evtok.tokens import Tokens


@dataclass(frozen=True)
class Process:
    """What a report says of one input file: a name for plots, and a few words for tables.

    Parameters
    ----------
    title : str
        Short name of the process.
    description : str
        A few words more.
    signal : bool or None
        Whether it is a signal; drawn dashed. None: it is not said.
    settings : sequence of str
        Settings of the generator.
    generator : str
        Name and version of the generator.
    cross_section_pb : float or None
        Cross section in pb.
    """

    title: str
    description: str = ""
    signal: bool | None = None
    settings: Sequence[str] = ()
    generator: str = ""
    cross_section_pb: float | None = None


@dataclass(frozen=True)
class Sample:
    """One input file: its account, and the events that a report looks at.

    Attributes
    ----------
    events : Events
        As read.
    encoded, decoded, drawn : Events
        Object by object the same: as read, but in the order of the tokens and without objects that were cut off; at
        the centres of their bins; drawn uniformly within their bins.
    tokens : Tokens
        Of these events.
    """

    process: Process
    file: str
    format: str
    size: int
    counts: Counts
    events: Events
    tokens: Tokens
    encoded: Events
    decoded: Events
    drawn: Events


@dataclass(frozen=True)
class Job:
    """One folder of shards, its manifest, and a sample of each of its inputs that gave tokens."""

    folder: Path
    manifest: Manifest
    samples: tuple[Sample, ...]


def read_jobs(
    folders: Iterable[str | os.PathLike[str]],
    processes: Mapping[str, Process],
    *,
    schema: Any,
    max_events: int,
    seed: int,
) -> tuple[Any, list[Job]]:
    """Read the jobs in `folders`, all of one tokenizer; at most `max_events` events of each input.

    Returns
    -------
    tokenizer
        The one that all jobs used.
    jobs : list of Job

    Raises
    ------
    FingerprintError
        The jobs used different tokenizers.
    InvalidEventsError
        There is no event to report on, or the tokens are not those of bins.
    """
    datasets = [TokenDataset(folder) for folder in folders]
    fingerprints = {dataset.fingerprint for dataset in datasets}
    if len(fingerprints) > 1:
        raise FingerprintError(
            f"jobs: expected shards of one tokenizer, got {len(fingerprints)}: "
            f"{', '.join(sorted(f[:16] for f in fingerprints))}; write one report for each"
        )
    for dataset in datasets:
        _require_bins(dataset)
    jobs = [_read_job(dataset, processes, schema, max_events, seed) for dataset in datasets]
    if not any(job.samples for job in jobs):
        raise InvalidEventsError("jobs: expected folders with at least one event to report on, got none")
    return datasets[0].tokenizer, jobs


def _require_bins(dataset: TokenDataset) -> BinnedTokenizer:
    """Return the tokenizer of a job, if it is one of bins."""
    if not isinstance(dataset.tokenizer, BinnedTokenizer):
        raise InvalidEventsError(
            f"{dataset.folder}: tokens of a {type(dataset.tokenizer).__name__}; this page is about bins. Look at a "
            "codebook with `evtok codebook health`, and at events with `evtok inspect`"
        )
    return dataset.tokenizer


def _read_job(
    dataset: TokenDataset, processes: Mapping[str, Process], schema: Any, max_events: int, seed: int
) -> Job:
    with OutputFolder(dataset.folder, create=False) as folder:  # refuses links, pipes and devices
        manifest = require_manifest(folder.read(manifests.NAME), str(folder.path / manifests.NAME))
    samples, start = [], 0
    for planned, counts in zip(manifest.plan.inputs, manifest.files, strict=True):
        stop = start + min(counts.written, max_events)
        if stop > start:
            samples.append(_read_sample(dataset, planned, counts, processes, (start, stop), schema, seed))
        start += counts.written
    return Job(dataset.folder, manifest, tuple(samples))


def _read_sample(
    dataset: TokenDataset,
    planned: PlannedInput,
    counts: Counts,
    processes: Mapping[str, Process],
    rows: tuple[int, int],
    schema: Any,
    seed: int,
) -> Sample:
    tokenizer, name = _require_bins(dataset), PurePosixPath(planned.path).name
    tokens = dataset[rows[0] : rows[1]]
    entries = [dataset.row(i)["entry"] for i in range(*rows)]
    path = planned.path if "://" in planned.path else glob.escape(planned.path)
    with open_events(
        {path: planned.tree}, schema, columns=tokenizer.required_columns, fields=tokenizer.required_fields
    ) as source:
        events = source.read(0, 0, entries[-1] + 1)[entries]
        settings = tokenizer.settings
        events = event_features.with_fields(settings.event_features, events, settings.types)
        file_format = source.files[0].format
    decoded = tokenizer.decode(tokens)
    return Sample(
        processes.get(name, Process(title=name.split(".")[0])),
        name,
        file_format,
        planned.size,
        counts,
        events,
        tokens,
        _as_encoded(events, settings.sort_by, decoded.multiplicity),
        decoded,
        tokenizer.decode(tokens, seed=seed),
    )


def _as_encoded(events: Events, sort_by: str | None, counts: npt.NDArray[np.int64]) -> Events:
    """Put objects in the order of their tokens, and keep the first `counts` (n_events,) of each event."""
    n = events.multiplicity
    if sort_by is None and (n == counts).all():
        return events
    event = np.repeat(np.arange(len(events)), n)
    falling = -events.columns[sort_by].astype(np.float64) if sort_by else np.zeros(events.n_objects)
    order = np.lexsort((falling, event))
    kept = order[np.arange(events.n_objects) - np.repeat(events.offsets[:-1], n) < np.repeat(counts, n)]
    return Events(
        np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]),
        {name: values[kept] for name, values in events.columns.items()},
        events.fields,
        units=events.units,
        types=events.types,
    )
