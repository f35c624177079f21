"""`score_files`: a score for every event of many files, as one call."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evtok.detectors.interface import Detector
from evtok.detectors.registry import load_detector
from evtok.errors import JobError
from evtok.io import Schema
from evtok.jobs import resume
from evtok.jobs.choose import means
from evtok.jobs.durable import OutputFolder, is_name
from evtok.jobs.generation import take_over
from evtok.jobs.merge import merge, parts_of, require_own
from evtok.jobs.opening import planned
from evtok.jobs.progress import Listener
from evtok.jobs.record import Counts
from evtok.jobs.run import JobReport, job_folder, run_job
from evtok.jobs.score_encoder import ScoreEncoder
from evtok.jobs.score_file import FILE
from evtok.jobs.score_product import COLUMN
from evtok.jobs.watching import watched

#: Less than a shard of tokens holds: scores can be a thousand times slower, and a task that is killed begins anew.
EVENTS_PER_SHARD = 262_144


@dataclass(frozen=True)
class ScoreReport:
    """What a job of scores did.

    Attributes
    ----------
    output : Path
        The file of scores.
    size, sha256 : int, str
        Of that file.
    was_there : bool
        Whether it was there already, whole, and nothing had to be written.
    job : JobReport
        Of the parts that it was merged from.
    backend : str
        Who computed: "native" or "torch".
    seconds : float
        All in all.
    """

    output: Path
    size: int
    sha256: str
    was_there: bool
    job: JobReport
    backend: str
    seconds: float

    @property
    def counts(self) -> Counts:
        """Where all events went."""
        return self.job.counts

    @property
    def events_scored(self) -> int:
        """Events that this run read, the others were proven."""
        return self.job.counts.read - self.job.proven_events

    @property
    def events_per_second(self) -> float:
        """Events that this run read, in each second of it."""
        return self.events_scored / max(self.job.seconds, 1e-9)


def score_files(
    inputs: Any,
    detector: Detector | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    device: Literal["cpu", "cuda"] = "cpu",
    threads: int | None = None,
    schema: Schema | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    keep: Sequence[str] | str | None = None,
    allow_quarantine: bool = False,
    events_per_shard: int = EVENTS_PER_SHARD,
    workers: int | None = None,
    client: Any = None,
    memory: int | str | None = None,
    task_timeout: float | None = None,
    progress: Listener | None = None,
    reuse: str | os.PathLike[str] | None = None,
) -> ScoreReport:
    """Score event files into one Parquet file that can be proven and resumed.

    Parameters
    ----------
    inputs : path, URL, list of these, or dict of path to tree
        As for `evtok.open_events`.
    detector : Detector or path
        Fitted; a copy of it is kept with the parts.
    output : path
        The file, read by `evtok.Scores`. Its parts lie beside it in the folder ``<output>.parts``. Run again with the
        same arguments, an interrupted job goes on, and a finished one is proven.
    device : {"cpu", "cuda"}
        Where torch computes the scores of a detector that can use a GPU. It is part of the job: scores of a GPU have
        other last bits.
    threads : int, optional
        For scoring, in each process; by default all CPUs that this process may use. One more thread reads.
    schema : optional
        As for `evtok.open_events`.
    keep : sequence of str, or one str, optional
        Fields of the event to keep beside its score; by default those of label, weight and event that the first file
        has. Its file and its row in it are always kept.
    allow_quarantine : bool
        Finish although events, lines of text or files cannot be scored. They are listed with reasons in
        ``<output>.parts/quarantine`` and counted in either case.
    events_per_shard : int
        Events of one part: what is lost when the job is killed.
    workers : int, optional
        Processes of this machine that share the work; by default this process does it. The CPUs are divided among them:
        `threads` is of each. One that dies costs its task, which is tried again.
    client : distributed.Client or str, optional
        Of a Dask cluster, or the address of its scheduler, whose workers share the work. Inputs and output must lie
        where all of them find them under the same paths, and all must have the same versions of evtok and pyarrow.
    memory : int or str, optional
        Bytes that evtok may allocate, such as ``"2GB"``, of all processes of this machine together; with a client, for
        each task. It sets how many events are read at a time.
    task_timeout : float, optional
        Seconds that a task may take at a worker before another is given it; a late one changes nothing.
    progress : callable, optional
        Called with each event of `evtok.jobs.progress`, a dict that JSON can hold.
    reuse : path, optional
        File of scores of an earlier job with the same ingredients, for an output of more or mended files: shards of
        files that did not change since are taken over instead of being made again.

    Returns
    -------
    ScoreReport

    Raises
    ------
    JobError
        The storage failed, another job writes the parts, they belong to a job with other ingredients, something else
        lies at `output`, or events are in quarantine that was not allowed. What was recorded stays valid.
    InputFileError
        A file that cannot be read, unless quarantine is allowed.

    Notes
    -----
    The detector is given the same batches of events whatever the reader's chunks, so that the same machine gives the
    same bytes again.
    """
    begin = time.monotonic()
    loaded = detector if isinstance(detector, Detector) else load_detector(detector)
    model = "" if isinstance(detector, Detector) else os.fspath(detector)
    path, encoder = Path(output), ScoreEncoder(loaded, device)
    if not is_name(path.name):
        raise JobError(
            f"output: expected a file name of letters, digits, '.', '_' and '-', got {path.name!r}"
        )
    with (
        means(workers, client, threads, memory, task_timeout) as used,
        planned(
            inputs,
            encoder,
            taken=("entry", COLUMN, FILE),
            schema=schema,
            container="arrow",
            events_per_shard=events_per_shard,
            keep=keep,
            allow_unreadable=allow_quarantine,
        ) as (source, plan),
        OutputFolder(path.parent) as home,
        job_folder(parts_of(path)) as folder,
    ):
        require_own(folder, home, path.name)
        if reuse is not None:
            take_over(folder, plan, reuse)
        resume.begin(folder, plan)  # before the log: nothing is written into the folder of another job
        with watched(folder, progress) as told:
            report = run_job(
                source,
                encoder,
                plan,
                folder,
                allow_quarantine=allow_quarantine,
                listener=told,
                means=used,
                task_timeout=task_timeout,
            )
            merged, was_there = merge(folder, home, path.name, model)
            seconds = time.monotonic() - begin
            told(
                {
                    "event": "merge",
                    "seconds": round(seconds, 3),
                    "path": str(path),
                    "bytes": merged.size,
                    "sha256": merged.sha256,
                    "was_there": was_there,
                }
            )
    return ScoreReport(path, merged.size, merged.sha256, was_there, report, encoder.product.backend, seconds)
