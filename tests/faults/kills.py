"""P31: kill -9 of a job at a random moment, then the same job again."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from faults import forks
from faults.jobs_at_risk import JOBS, fault_of, hashes, make, temporaries, warm_up
from faults.rows import Row


def run(work: Path, *, full: bool) -> Iterator[Row]:
    """200 kills of each of three jobs, or 8."""
    inputs = work / "in"
    forks.require(make, inputs)
    warm_up(inputs, work)
    for name in JOBS:
        yield _row(name, inputs, work, 200 if full else 8)


def _row(name: str, inputs: Path, work: Path, kills: int) -> Row:
    row = Row(
        f"kill -9 at a random moment of a job that writes {name}, then the job again",
        "each file at a final path whole at any time; after resuming, the sha256 of every file of an undisturbed run",
        ("identical",),
    )
    whole, seconds = _undisturbed(name, inputs, work / "whole")
    rng = random.Random(31)
    in_flight = unfinished = published = 0
    for _ in range(kills):
        output = work / "killed"
        output.mkdir()
        child = forks.Child(JOBS[name], inputs, output)
        time.sleep(rng.uniform(0, seconds))
        child.kill()
        in_flight += child.wait().how == "died"
        unfinished += bool(temporaries(output))
        published += 0 < len(hashes(output)) < len(whole)
        wrong = fault_of(output, whole, finished=False)
        if wrong is None:
            again = forks.run(JOBS[name], inputs, output)
            wrong = fault_of(output, whole, finished=True) if again.returned else str(again.value)
        row.add("identical" if wrong is None else "not identical", wrong)
        shutil.rmtree(output)
    shutil.rmtree(work / "whole")
    row.notes.append(
        f"{in_flight} kills hit the job while it ran, {published} when some of its files were there and some not, "
        f"{unfinished} left a file under a temporary name"
    )
    return row


def _undisturbed(name: str, inputs: Path, output: Path) -> tuple[dict[str, str], float]:
    """Return the hashes of an undisturbed run, and the seconds that it takes: the shorter of two."""
    seconds = []
    for _ in range(2):
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        start = time.monotonic()
        forks.require(JOBS[name], inputs, output)
        seconds.append(time.monotonic() - start)
    return hashes(output), min(seconds)
