"""`run_task`: one task, carried out anywhere. JSON in, files in the folder of the job, JSON out.

A worker is any process that can import evtok, and reaches the input and the folder of the job. It may die at any
moment, be slow, or carry out a task that another has carried out already: a shard appears whole or not at all, and its
bytes are those of the task.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evtok import _core
from evtok.errors import EvtokError, JobError
from evtok.io import InputFile
from evtok.io.source import EventSource
from evtok.jobs import retry, versions
from evtok.jobs.durable import OutputFolder
from evtok.jobs.fit_document import FitDocument, is_fit
from evtok.jobs.fit_worker import count_range
from evtok.jobs.inputs import agree, stamp
from evtok.jobs.memory import Budget
from evtok.jobs.product import Encoder, Product
from evtok.jobs.reading import Chunk, Reading, UnreadableError
from evtok.jobs.score_product import ScoreProduct
from evtok.jobs.stages import Stages, timed_items, worker_name
from evtok.jobs.task import TaskRunner
from evtok.jobs.task_document import TaskDocument

#: Artefacts that a process keeps for its next task.
_KEPT = 2


class NoFolderError(JobError):
    """The folder of the job is not to be seen from here."""


class LateError(JobError):
    """The time of a task is over; it is another worker's now."""


#: What another worker may not meet.
_OF_THIS_WORKER = (versions.VersionError, LateError, NoFolderError)


def run_task(document: bytes | Mapping[str, Any], most_threads: int | None = None) -> dict[str, Any]:
    """Carry out a task.

    Parameters
    ----------
    document : bytes or mapping
        A `TaskDocument`, or a `FitDocument`, as bytes or as the object in them.
    most_threads : int, optional
        That this process has for a task; by default the CPUs there are.

    Returns
    -------
    dict
        That JSON can hold. All have ``index``, ``attempt``, ``worker`` (host and process id), ``read_s``, ``encode_s``,
        ``write_s`` (`evtok.jobs.stages`) and ``state``:

        ``counted``
            ``counts`` of a `FitDocument`, see `evtok.jobs.fit_worker`.
        ``done``
            ``record``: the sha256 of the record that lies in the folder of the job now, beside its shard.
        ``unreadable``
            ``reason`` why the input cannot be read; nothing was written. ``may_pass``: whether another try may help,
            such as one on a machine that sees the file of the plan when this one does not.
        ``failed``
            ``error``, the name of an error, and ``reason``; nothing was committed. ``may_pass`` likewise.

    Notes
    -----
    Safe to call from several threads of a process. No exception leaves it but Ctrl-C and the end of the process.
    """
    begin, stages = time.monotonic(), Stages()
    said: dict[str, Any] = {"index": -1, "attempt": 0, "worker": worker_name()}
    part: FitDocument | None = None
    try:
        if is_fit(document):
            part = FitDocument.from_bytes(document)
            said |= {"index": part.index, "attempt": part.attempt}
            with stages.timed("encode"):
                said |= {"counts": count_range(part, _source, most_threads)}
            return said | {"state": "counted"} | stages.to_json()
        task = TaskDocument.from_bytes(document)
        said |= {"index": task.task.index, "attempt": task.attempt}
        said |= {"state": "done", "record": _carry_out(task, stages, begin, most_threads)}
    except UnreadableError as error:
        reason = str(error)
        place = task.location().path
        if place != task.input.path:  # the reason is kept, and must not depend on who found it
            reason = reason.replace(place, task.input.path)
        said |= {"state": "unreadable", "reason": reason}
        said["may_pass"] = retry.may_pass(error) or not _sees_input(task)
    except Exception as error:
        known = isinstance(error, (EvtokError, OSError, MemoryError))
        said |= {
            "state": "failed",
            "error": type(error).__name__,
            "reason": str(error) if known else "".join(traceback.format_exception(error)),
            "may_pass": retry.may_pass(error)
            or isinstance(error, _OF_THIS_WORKER)
            or (part is not None and not _sees_input(part)),
        }
    return said | stages.to_json()


def _carry_out(task: TaskDocument, stages: Stages, begin: float, most_threads: int | None) -> str:
    """Write shard and record; returns the sha256 of the record."""
    versions.require_same(dict(task.versions), worker_name())
    if not Path(task.output).is_dir():
        raise NoFolderError(
            f"{task.output}: worker {worker_name()} does not see this folder; all machines need the folder of the job "
            "under the same path"
        )
    encoder = _encoder(task.product, task.fingerprint, Path(task.output))
    location = task.location()
    fields = tuple(dict.fromkeys((*encoder.required_fields, *(name for name, _ in task.columns[1:]))))
    source = _source(task, tuple(encoder.required_columns), fields)
    threads = None if task.threads is None else min(task.threads, most_threads or _core.available_cpus())
    with OutputFolder(task.output, create=False) as folder:
        budget = Budget(task.memory)
        runner = TaskRunner(
            task, encoder, folder, threads, budget, location.path, lambda: _require_time(task, begin)
        )
        chunks = Reading(encoder, budget, len(task.columns) - 1).read(source, 0, task.task)
        record = runner.run(task.task, _timed(chunks, stages), task.expected, stages)
    return hashlib.sha256(record.to_bytes()).hexdigest()


def _sees_input(task: TaskDocument | FitDocument) -> bool:
    """Whether this machine has the input that was planned: what it says of another file, or of none, is no proof."""
    with contextlib.suppress(Exception):  # a server that does not even tell what it has
        return agree(task.input.stamp, stamp(task.location().path))
    return False


def _timed(chunks: Iterator[Chunk], stages: Stages) -> Iterator[Chunk]:
    for chunk, seconds in timed_items(chunks):
        stages.seconds["read"] += seconds
        yield chunk


def _require_time(task: TaskDocument, begin: float) -> None:
    if task.timeout is not None and time.monotonic() - begin > task.timeout:
        raise LateError(
            f"{task.task.stem}: its time was over before worker {worker_name()} had written it; it is another's now"
        )


# ---- what a process keeps for the next task -------------------------------------------------------------------------

_encoders: dict[tuple[str, str], Encoder] = {}
_encoders_lock = threading.Lock()
_of_thread = threading.local()


def _encoder(product: Product, fingerprint: str, folder: Path) -> Encoder:
    """Return what makes the product, from the folder of the job; it is loaded once a process."""
    key = product.NAME, fingerprint
    with _encoders_lock:
        encoder = _encoders.pop(key, None) or _load(product, folder / product.ARTEFACT)
        if encoder.fingerprint != fingerprint:
            raise JobError(
                f"{folder / product.ARTEFACT}: not the {product.ARTEFACT} of this job; somebody replaced it"
            )
        _encoders[key] = encoder  # the last used is the last
        while len(_encoders) > _KEPT:
            del _encoders[next(iter(_encoders))]
    if encoder.product != product:
        raise versions.VersionError(
            f"worker {worker_name()} would compute {encoder.product}, the job was planned with {product}: it has other "
            "packages, or another version of torch"
        )
    return encoder


def _load(product: Product, path: Path) -> Encoder:
    if isinstance(product, ScoreProduct):
        from evtok.detectors.registry import load_detector
        from evtok.jobs.score_encoder import ScoreEncoder

        return ScoreEncoder(load_detector(path), product.device)
    from evtok.jobs.token_product import TokenEncoder
    from evtok.tokenizers import load_tokenizer

    return TokenEncoder(load_tokenizer(path))


def _source(
    task: TaskDocument | FitDocument, columns: tuple[str, ...], fields: tuple[str, ...]
) -> EventSource:
    """Return the input as it is to be read; the thread's last one stays open for its next task."""
    location = task.location()
    key = location, task.input.stamp, task.schema, columns, fields
    kept = getattr(_of_thread, "source", None)
    if kept is not None and kept[0] == key:
        found: EventSource = kept[1]
        return found
    if kept is not None:
        kept[1].close()
    schema = task.read_schema()
    if hashlib.sha256(repr(schema).encode()).hexdigest() != task.schema_digest:
        raise JobError(f"{task.input.path}: its schema is not the one that the job was planned with")
    known = InputFile(location.path, task.input.n_events, task.input.size, "", schema)
    source = EventSource([location], schema, columns=columns, fields=fields, files=[known])
    _of_thread.source = key, source
    return source
