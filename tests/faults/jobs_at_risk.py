"""Jobs that the campaign kills and starves: tokens in Arrow and in Parquet, and scores, over the same events."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import evtok
from evtok.detectors import UnigramDetector
from faults import job
from faults.imports import warm

#: What a job leaves that tells of its run, and so differs from run to run.
_OF_THE_RUN = frozenset([".evtok-lock", "log.jsonl", "job.json", "job.html"])
#: Few events and many files: what is tried is the writing.
EVENTS_PER_SHARD = 400


def make(folder: Path) -> None:
    """Write inputs, a tokenizer and a model."""
    job.make(folder, EVENTS_PER_SHARD)
    events = next(iter(evtok.open_events(folder / "0.parquet", job.SCHEMA)))
    UnigramDetector(evtok.load_tokenizer(folder / "tokenizer")).fit(events[events.multiplicity > 0]).save(
        folder / "model"
    )


def tokens_arrow(folder: Path, output: Path) -> None:
    job.run(folder, output / "tokens", events_per_shard=EVENTS_PER_SHARD)


def tokens_parquet(folder: Path, output: Path) -> None:
    job.run(folder, output / "tokens", events_per_shard=2 * EVENTS_PER_SHARD, format="parquet")


def scores(folder: Path, output: Path) -> None:
    evtok.score_files(
        sorted(folder.glob("*.parquet")),
        folder / "model",
        output / "scores.parquet",
        schema=job.SCHEMA,
        events_per_shard=2 * EVENTS_PER_SHARD,
        allow_quarantine=True,
    )


JOBS: dict[str, Callable[[Path, Path], None]] = {
    "tokens in Arrow": tokens_arrow,
    "tokens in Parquet": tokens_parquet,
    "scores": scores,
}


def warm_up(inputs: Path, work: Path) -> None:
    """Import all that the jobs import."""
    for name, run in JOBS.items():
        output = work / name
        output.mkdir()
        warm(run, inputs, output)
        shutil.rmtree(output)


def hashes(output: Path) -> dict[str, str]:
    """Return the sha256 of every file that lies at its final path."""
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.name not in _OF_THE_RUN and not is_temporary(path, output)
    }


def is_temporary(path: Path, output: Path) -> bool:
    """Whether it lies at, or below, a name that says that it is unfinished."""
    return any(part.startswith(".") for part in path.relative_to(output).parts)


def temporaries(output: Path) -> list[str]:
    """Return the files that are unfinished."""
    return [
        str(path.relative_to(output))
        for path in sorted(output.rglob("*"))
        if path.name not in _OF_THE_RUN and is_temporary(path, output)
    ]


def fault_of(output: Path, whole: dict[str, str], *, finished: bool) -> str | None:
    """Return what is wrong with what lies at final paths, None when each file is whole and right.

    The manifest of an unfinished job says less than that of a finished one, and is not compared before.
    """
    found = hashes(output)
    for name, sha256 in found.items():
        if name not in whole:
            return f"{name} is no file of an undisturbed run"
        if sha256 != whole[name] and (finished or not name.endswith("manifest.json")):
            return f"{name} is not what an undisturbed run writes"
    missing = set(whole) - set(found)
    if finished and missing:
        return f"{sorted(missing)[0]} is missing"
    if finished:
        for folder in (output / "tokens", output / "scores.parquet.parts"):
            problems = evtok.verify(folder).problems if folder.is_dir() else []
            if problems:
                return problems[0]
        left = temporaries(output)
        if left:
            return f"{left[0]} was left behind"
    return None
