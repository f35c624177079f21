"""Who carries out the tasks of a job: this process, processes of this machine, a cluster. One interface for all.

An executor is given the tasks that are left, and yields one `Outcome` for each, in any order. It may carry out a task
several times, and two workers may have the same one: each writes the same bytes under a temporary name and renames
them, so whoever comes last changes nothing. Nobody but `run_job` writes the manifest.

=====================  ==================  =======================================================================
module                 class               carries out a task by
=====================  ==================  =======================================================================
`in_process`           `InProcess`         reading, encoding and writing here; a thread reads ahead
`dispatch`             `Dispatched`        giving its document (`task_document`) to one of `Workers`, who run
                                           `worker.run_task` and answer with a small JSON object; it tries again,
                                           proves what they claim, and bounds the tasks under way
`local_workers`        `LocalWorkers`      processes of this machine: ``workers=4``
`dask_workers`         `DaskWorkers`       ``dask.distributed``: ``client=client``
=====================  ==================  =======================================================================

While it runs, an executor tells `Job.progress` what `evtok.jobs.progress` lists: ``task`` when a task is handed out,
``retry`` when it is tried again, and `Progress.add` for events done. `run_job` tells the rest from the outcomes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from evtok.jobs.durable import OutputFolder
from evtok.jobs.plan import Plan, Task
from evtok.jobs.product import Encoder
from evtok.jobs.progress import Progress
from evtok.jobs.record import ShardRecord
from evtok.jobs.stages import Stages

#: A task to write, and the sha256 that an earlier run recorded for its shard.
Pending = tuple[Task, str | None]


@dataclass(frozen=True)
class Job:
    """What all tasks of a job have in common.

    Attributes
    ----------
    source : EventSource
        Of the inputs of the plan, in their order.
    encoder, plan, folder, progress
    threads : int or None
        For encoding, in each worker.
    memory : int or None
        Bytes that evtok may allocate, in each process.
    task_timeout : float or None
        Seconds that a task may take before it is given to another worker.
    """

    source: Any
    encoder: Encoder
    plan: Plan
    folder: OutputFolder
    progress: Progress
    threads: int | None = None
    memory: int | None = None
    task_timeout: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a task: a shard that is recorded, or the `reason` why there is none.

    Attributes
    ----------
    task : Task
    record : ShardRecord or None
    reason : str
    error : Exception or None
        Ends the job, unless quarantine is allowed; None for a task that no worker answered, which costs itself alone:
        the others are finished, and the job is not complete.
    worker : str
        Host and process of the last attempt.
    stages : Stages
        Seconds of that attempt.
    attempts : int
    """

    task: Task
    record: ShardRecord | None = None
    reason: str = ""
    error: Exception | None = None
    worker: str = ""
    stages: Stages = field(default_factory=Stages)
    attempts: int = 1


class Executor(ABC):
    """Carries out tasks of one job."""

    @abstractmethod
    def run(self, job: Job, pending: Sequence[Pending]) -> Generator[Outcome, None, None]:
        """Yield an outcome for each task; closing the generator, or an exception within, stops what is under way.

        Raises
        ------
        JobError
            What no further task would survive: storage that failed, workers of other versions.
        """

    def close(self) -> None:  # noqa: B027  most hold nothing
        """Leave the workers, also where no job was run; may be called twice."""
