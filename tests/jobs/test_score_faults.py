"""P31, P32: a job of scores that is killed, or whose disk is full, leaves whole files, and goes on to the same ones."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys

import pytest

import evtok
from evtok.detectors import UnigramDetector
from evtok.errors import JobError


@pytest.fixture(scope="module")
def setup(tmp_path_factory, write, jets_schema, tokenizer):
    """A model, an input, a schema, and the sha256 of the scores of an undisturbed job."""
    base = tmp_path_factory.mktemp("faults")
    path = write(base / "a.parquet", 3000, 1)
    events = next(iter(evtok.open_events(path, jets_schema)))
    UnigramDetector(tokenizer).fit(events[events.multiplicity > 0]).save(base / "model")
    (base / "jets.json").write_text(json.dumps(jets_schema))
    return base, _score(base, base / "whole.parquet").sha256


def _score(base, output):
    return evtok.score_files(
        base / "a.parquet",
        base / "model",
        output,
        schema=base / "jets.json",
        events_per_shard=1000,
        allow_quarantine=True,
    )


def _error_of(base, output):
    try:
        _score(base, output)
    except JobError as error:
        return error
    return None


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("call", "code"), [("write", errno.ENOSPC), ("fsync", errno.EIO), ("rename", errno.ENOSPC)]
)
def test_p31_p32_calls_that_fail_once(setup, tmp_path, call, code):
    """Fail the first, second, fourth ... call, up to those of the merge; then go on."""
    base, expected = setup
    number, failures = 1, 0
    real = getattr(os, call)
    while True:
        output = tmp_path / f"{number}.parquet"
        left = number

        def failing(*arguments, **options):
            nonlocal left
            left -= 1
            if left == 0:
                raise OSError(code, os.strerror(code))
            return real(*arguments, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"evtok.jobs.durable.os.{call}", failing)
            error = _error_of(base, output)
        if error is None:
            assert left > 0, f"{call} number {number} failed and nobody said so"
            break
        assert f"{errno.errorcode[code]} ({code})" in str(error)
        assert call != "write" or "the file needs at least" in str(error)
        failures += 1
        assert not [p for p in tmp_path.rglob("*.tmp") if p.is_file()]
        assert not output.exists() or _sha256(output) == expected
        assert _sha256(_score(base, output).output) == expected
        assert evtok.verify(output).ok
        number += 1 + number // 2
    assert failures >= 4


def test_p32_a_disk_that_is_full_when_parts_are_merged(setup, tmp_path):
    base, expected = setup
    output = tmp_path / "scores.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evtok.jobs.score.merge", lambda *_: (_ for _ in ()).throw(JobError("stop")))
        with pytest.raises(JobError, match="stop"):
            _score(base, output)
    with pytest.MonkeyPatch.context() as patch:
        real, written = os.write, []

        def full(fd, data):
            written.append(len(data))
            if (
                len(written) > 2
            ):  # whose folder it is, and the manifest, which every run writes anew, just fit
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(fd, data)

        patch.setattr("evtok.jobs.durable.os.write", full)
        with pytest.raises(JobError, match=r"scores\.parquet: write failed: ENOSPC"):
            _score(base, output)
    assert [p.name for p in tmp_path.iterdir()] == ["scores.parquet.parts"]
    report = _score(base, output)
    assert (report.job.proven, report.sha256) == (3, expected)


@pytest.mark.parametrize("line", ["shard", "finish"])
def test_p31_kill_9_at_the_end_of_a_shard_and_resume(setup, tmp_path, line):
    """The job is killed when it says that a shard is recorded, or that all are."""
    base, expected = setup
    output = tmp_path / "scores.parquet"
    command = [
        sys.executable,
        "-m",
        "evtok.cli",
        "score",
        str(base / "a.parquet"),
        "--model",
        str(base / "model"),
    ]
    command += ["--schema", str(base / "jets.json"), "--events-per-shard", "1000", "--allow-quarantine"]
    command += ["--log-json", "-o", str(output)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as child:
        assert any(json.loads(said)["event"] == line for said in child.stderr)
        child.send_signal(signal.SIGKILL)
    assert not output.exists() or _sha256(output) == expected
    assert list((tmp_path / "scores.parquet.parts").glob("shard-*.arrow"))
    stale = tmp_path / ".scores.parquet.0123456789abcdef.tmp"
    stale.write_bytes(b"of a merge that was killed")
    other = tmp_path / ".other.parquet.0123456789abcdef.tmp"
    other.write_bytes(b"of another job")
    output.unlink(missing_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "events/s" in done.stdout or "proven from before" in done.stdout
    assert _sha256(output) == expected
    assert not stale.exists()
    assert other.exists()
