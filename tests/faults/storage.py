"""P31, P32: every call that writes, failing once; a disk that fills up. Run with `fail_nth.c` preloaded.

The shim lets the Nth write, fsync, close, rename, open, unlink or mkdir below the folder of a job fail, take half of
the bytes, or kill the process just before or after it.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from faults import forks
from faults.jobs_at_risk import JOBS, fault_of, hashes, make, temporaries, warm_up
from faults.rows import Row

KINDS = ("open", "write", "fsync", "close", "rename", "unlink", "mkdir")
FAIL, SHORT, KILL_BEFORE, KILL_AFTER = range(4)
#: What the shim does, and how the errors that a call can give are named.
ACTIONS = {
    "EIO": (FAIL, errno.EIO),
    "ENOSPC": (FAIL, errno.ENOSPC),
    "EDQUOT": (FAIL, errno.EDQUOT),
    "EINTR": (FAIL, errno.EINTR),
    "half of the bytes are taken": (SHORT, 0),
    "kill -9 just before": (KILL_BEFORE, 0),
    "kill -9 just after": (KILL_AFTER, 0),
}


def run(work: Path, *, full: bool) -> Iterator[Row]:
    """Compile the shim, and run this file as a program with it."""
    shim = work / "fail_nth.so"
    source = Path(__file__).with_name("fail_nth.c")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        row = Row("every call that writes failing once", "no partial file; resume identical", ())
        row.notes.append("not run: there is no C compiler to make the shim")
        yield row
        return
    subprocess.run([compiler, "-O1", "-fPIC", "-shared", "-o", shim, source, "-ldl"], check=True)
    command = [sys.executable, "-m", "faults.storage", str(shim), str(work), str(int(full))]
    environment = os.environ | {"LD_PRELOAD": str(shim), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            yield Row.from_json(json.loads(line))
    if child.returncode:
        raise RuntimeError(f"the part with the shim ended with {child.returncode}")


class Shim:
    """`fail_nth.c`, which is loaded already."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        self._library.fail_nth_count.restype = ctypes.c_long

    def arm(self, folder: Path, kind: str, number: int, action: str) -> None:
        what, code = ACTIONS[action]
        self._library.fail_nth_arm(
            os.fsencode(folder.resolve()), KINDS.index(kind), ctypes.c_long(number), what, code
        )

    def counts(self) -> dict[str, int]:
        return {kind: self._library.fail_nth_count(k) for k, kind in enumerate(KINDS)}

    def hit(self) -> bool:
        return bool(self._library.fail_nth_hit())


def _rows(shim: Shim, work: Path, *, full: bool) -> Iterator[Row]:
    inputs = work / "in"
    forks.require(make, inputs)
    warm_up(inputs, work)
    for name, job in JOBS.items():
        whole_folder = work / "whole"
        whole_folder.mkdir()

        def counted(output: Path, job=job) -> dict[str, int]:
            shim.arm(output, "write", 0, "EIO")
            job(inputs, output)
            return shim.counts()

        calls = forks.require(counted, whole_folder)
        whole = hashes(whole_folder)
        for action in ACTIONS:
            kinds = ("write",) if action.startswith("half") else KINDS
            yield _row(shim, work, inputs, name, action, {k: calls[k] for k in kinds}, whole, full)
        shutil.rmtree(whole_folder)


def _row(
    shim: Shim,
    work: Path,
    inputs: Path,
    name: str,
    action: str,
    calls: dict[str, int],
    whole: dict[str, str],
    full: bool,
) -> Row:
    row = Row(
        f"{action}: each call that writes, of a job that writes {name}, once",
        "the job says so or goes on; no partial file at a final path; after resuming, the files of an undisturbed run",
        (
            "error with the errno, identical after resuming",
            "went on, identical",
            "killed, identical after resuming",
        ),
    )
    for kind, n in calls.items():
        numbers = range(1, n + 1) if full else sorted({1, 1 + n // 2, n} if n else ())
        for number in numbers:
            output = work / "failing"
            output.mkdir()
            outcome, example = _trial(shim, inputs, output, name, kind, number, action, whole)
            row.add(outcome, f"{kind} number {number}: {example}")
            shutil.rmtree(output)
    row.notes.append("calls: " + ", ".join(f"{n} {kind}" for kind, n in calls.items() if n))
    return row


def _trial(
    shim: Shim,
    inputs: Path,
    output: Path,
    name: str,
    kind: str,
    number: int,
    action: str,
    whole: dict[str, str],
) -> tuple[str, object]:
    what, code = ACTIONS[action]

    def fails(output: Path) -> bool:
        shim.arm(output, kind, number, action)
        JOBS[name](inputs, output)
        return shim.hit()

    first = forks.run(fails, output)
    wrong = fault_of(output, whole, finished=False)
    if wrong is not None:
        return "a wrong file at a final path", wrong
    if first.returned:
        if not first.value:
            return "the call did not come", first
        wrong = fault_of(output, whole, finished=True)
        return ("went on, identical", "") if wrong is None else ("went on, not identical", wrong)
    if first.how == "died" and what in (KILL_BEFORE, KILL_AFTER):
        how = "killed"
    elif first.how == "raised":
        causes, text, _ = first.value
        if not causes[0].endswith("Error") or causes[0] == "OSError" or errno.errorcode[code] not in text:
            return "an error that does not say so", first.value
        if temporaries(output):
            return "an error that leaves a temporary file", (text, temporaries(output))
        how = "error with the errno"
    else:
        return "an end of another kind", first
    again = forks.run(JOBS[name], inputs, output)
    wrong = fault_of(output, whole, finished=True) if again.returned else again.value
    return (f"{how}, identical after resuming", "") if wrong is None else (f"{how}, not resumed", wrong)


if __name__ == "__main__":
    import faults.imports  # noqa: F401

    for found in _rows(Shim(sys.argv[1]), Path(sys.argv[2]), full=sys.argv[3] == "1"):
        print(json.dumps(found.to_json()), flush=True)
