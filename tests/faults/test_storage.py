"""P31, P32: a full disk, an I/O error, a quota: named as such, no partial file, and resuming gives the same bytes."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import subprocess

import pytest

import evtok
from evtok.errors import EvtokError, JobError

FAULTS = [
    ("open", errno.EIO),
    ("write", errno.ENOSPC),
    ("write", errno.EDQUOT),
    ("fsync", errno.EIO),
    ("close", errno.EDQUOT),
    ("rename", errno.ENOSPC),
]


class Fault:
    """Lets the Nth call of one function of `os` on a file of the job fail, as the system would."""

    def __init__(self, monkeypatch, call: str, number: int, code: int):
        self.left, self.hit = number, False
        real = getattr(os, call)

        def failing(*arguments, **options):
            counts = True
            if call == "open":  # of evtok; the log proves nothing, and a job does without it
                counts = "dir_fd" in options and arguments[0] != "log.jsonl"
            if call == "close":  # of a file that was written: nothing is lost with a folder or the lock
                counts = fcntl.fcntl(arguments[0], fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
            if counts and not self.hit:
                self.left -= 1
                if self.left == 0:
                    self.hit = True
                    if call == "close":
                        real(*arguments)  # Linux closes the descriptor whatever it reports
                    raise OSError(code, os.strerror(code))
            return real(*arguments, **options)

        monkeypatch.setattr(f"evtok.jobs.durable.os.{call}", failing)


def _error_of(function, *arguments):
    try:
        function(*arguments)
    except EvtokError as error:
        return error
    return None


@pytest.mark.parametrize(("call", "code"), FAULTS)
def test_p31_p32_every_call_failing_once(job, folder, check, undisturbed, tmp_path, call, code):
    """Fail the first, second, third ... call; steps grow (EVTOK_TEST_FAULTS=all: every one) until none is left."""
    number, failures = 1, 0
    while True:
        output = tmp_path / f"{number}"
        with pytest.MonkeyPatch.context() as monkeypatch:
            fault = Fault(monkeypatch, call, number, code)
            error = _error_of(job.run, folder, output)
        if error is None:
            assert not fault.hit, f"{call} number {number} failed and nobody said so"
            break
        assert isinstance(error.__cause__, OSError)
        assert error.__cause__.errno == code
        assert f"{errno.errorcode[code]} ({code})" in str(error)
        assert str(output) in str(error)
        assert fault.hit
        failures += 1
        check(output)
        assert not [p for p in output.rglob("*") if p.name.endswith(".tmp") and p.is_file()]
        job.run(folder, output)
        assert check(output) == len(undisturbed)
        assert evtok.verify(output).ok
        shutil.rmtree(output)
        number += 1 if os.environ.get("EVTOK_TEST_FAULTS") == "all" else 1 + number // 2
    assert failures >= 3


def test_p31_short_writes_and_interrupts_are_continued(
    job, folder, check, undisturbed, tmp_path, monkeypatch
):
    real = os.write
    monkeypatch.setattr(
        "evtok.jobs.durable.os.write", lambda fd, data: real(fd, data[: max(1, len(data) // 2)])
    )
    job.run(folder, tmp_path / "out")
    assert check(tmp_path / "out") == len(undisturbed)


def test_p32_file_size_limit(program, folder, check, undisturbed, tmp_path):
    """SIGXFSZ and EFBIG, as ``ulimit -f`` gives them."""
    output = tmp_path / "out"
    limited = subprocess.run(
        [*program, "run", str(folder), str(output)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)),
    )
    assert limited.returncode == 1
    assert "EFBIG (27)" in limited.stderr
    assert "the file needs at least" in limited.stderr
    check(output)
    assert not [p for p in output.iterdir() if p.name.endswith(".tmp")]
    subprocess.run([*program, "run", str(folder), str(output)], check=True, capture_output=True)
    assert check(output) == len(undisturbed)


def test_p32_a_full_disk(program, folder, check, undisturbed, tmp_path):
    """A tmpfs of 1 MiB fills up half-way; the job goes on when there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        output = disk / "out"
        full = subprocess.run(
            [*program, "run", str(folder), str(output)], capture_output=True, text=True, check=False
        )
        assert full.returncode == 1
        assert "ENOSPC (28)" in full.stderr
        assert "the file needs at least" in full.stderr
        assert "are free" in full.stderr
        written = check(output)
        assert 0 < written < len(undisturbed)
        assert not [p for p in output.iterdir() if p.name.endswith(".tmp")]
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        subprocess.run([*program, "run", str(folder), str(output)], check=True, capture_output=True)
        assert check(output) == len(undisturbed)
        assert evtok.verify(output).ok
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def test_p32_a_folder_that_cannot_be_written(job, folder, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(JobError, match=r"ENOTDIR|EEXIST"):
        job.run(folder, blocked / "out")
