"""P31: what a killed job leaves under temporary names is gone after the next one; no call fails without a name."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

import evtok
from evtok.errors import JobError
from evtok.jobs.durable import OutputFolder
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform


def _killed_in_a_child(function) -> None:
    pid = os.fork()
    if pid == 0:
        function()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_a_job_killed_while_it_copies_its_tokenizer_leaves_nothing_to_stay(tmp_path: Path) -> None:
    tokenizer = BinnedTokenizer({"pt": Feature("pt", Uniform(4, 0, 1))})

    def die() -> None:
        os.rename = Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        with OutputFolder(tmp_path / "out") as folder:
            folder.adopt("tokenizer", tokenizer.save)

    _killed_in_a_child(die)
    with OutputFolder(tmp_path / "out") as folder:
        assert list(folder.temporaries()) == folder.names() != []
        folder.remove_temporaries()
        assert folder.names() == []
        folder.adopt("tokenizer", tokenizer.save)
        assert folder.names() == ["tokenizer"]


def test_half_a_file_in_quarantine_is_cleared_away(job, folder, tmp_path: Path) -> None:
    job.run(folder, tmp_path / "out")
    (tmp_path / "out" / "quarantine").mkdir(exist_ok=True)
    left = tmp_path / "out" / "quarantine" / ".shard-000001.jsonl.0123456789abcdef.tmp"
    left.write_bytes(b"half")
    job.run(folder, tmp_path / "out")
    assert not left.exists()
    assert evtok.verify(tmp_path / "out").ok


def test_a_file_that_cannot_be_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with OutputFolder(tmp_path) as folder:
        folder.write("x.jsonl", b"")
        monkeypatch.setattr("evtok.jobs.durable.os.unlink", failing)
        with pytest.raises(JobError, match=r"x\.jsonl: cannot remove it: EIO \(5\)"):
            folder.remove("x.jsonl")
        monkeypatch.undo()
        monkeypatch.setattr("evtok.jobs.durable.os.close", failing)
    monkeypatch.undo()  # leaving the folder raised nothing
