"""`tokenize_files`: the job as one call."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from evtok.io import Schema
from evtok.jobs.choose import means
from evtok.jobs.generation import take_over
from evtok.jobs.opening import planned
from evtok.jobs.plan import EVENTS_PER_SHARD
from evtok.jobs.progress import Listener
from evtok.jobs.resume import begin
from evtok.jobs.run import JobReport, job_folder, run_job
from evtok.jobs.token_product import TokenEncoder
from evtok.jobs.watching import watched
from evtok.tokenizers import Tokenizer, load_tokenizer


def tokenize_files(
    inputs: Any,
    tokenizer: Tokenizer | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    format: str = "arrow",
    events_per_shard: int = EVENTS_PER_SHARD,
    threads: int | None = None,
    device: str | None = None,
    schema: Schema | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    keep: Sequence[str] | str | None = None,
    allow_quarantine: bool = False,
    workers: int | None = None,
    client: Any = None,
    memory: int | str | None = None,
    task_timeout: float | None = None,
    progress: Listener | None = None,
    reuse: str | os.PathLike[str] | None = None,
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
        For encoding, in each process; by default all CPUs that this process may use. One more thread reads.
    device : str, optional
        ``"cuda"`` or ``"cuda:1"``: this process encodes there, and writes the same shards. Of a `BinnedTokenizer`, and
        not together with `workers` or `client`. By default the CPU encodes.
    schema : optional
        As for `evtok.open_events`.
    keep : sequence of str, or one str, optional
        Fields of the event to keep beside its tokens; by default those of label, weight and event that the
        first file has. Its row in its file is always kept, as ``entry``.
    allow_quarantine : bool
        Finish although events, lines of text or files cannot be tokenized. They are listed with reasons in
        ``output/quarantine`` and counted in either case.
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
        Folder of an earlier job with the same ingredients, for an output of more or mended files: shards of
        files that did not change since are taken over instead of being made again.

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
    if device is not None and (workers is not None or client is not None):
        raise ValueError("device: one process uses a GPU; leave out workers and client, or the device")
    encoder = TokenEncoder(
        tokenizer if isinstance(tokenizer, Tokenizer) else load_tokenizer(tokenizer), device
    )
    with (
        means(workers, client, threads, memory, task_timeout) as used,
        planned(
            inputs,
            encoder,
            taken=("entry", "tokens"),
            schema=schema,
            container=format,
            events_per_shard=events_per_shard,
            keep=keep,
            allow_unreadable=allow_quarantine,
        ) as (source, plan),
        job_folder(output) as folder,
    ):
        if reuse is not None:
            take_over(folder, plan, reuse)
        begin(folder, plan)  # before the log: nothing is written into the folder of another job
        with watched(folder, progress) as told:
            return run_job(
                source,
                encoder,
                plan,
                folder,
                allow_quarantine=allow_quarantine,
                listener=told,
                means=used,
                task_timeout=task_timeout,
            )
