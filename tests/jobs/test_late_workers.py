"""P34: workers whose answers are lost, or who come when the account of the job is made already."""

from __future__ import annotations

import pytest

import evtok
from evtok.errors import JobError
from evtok.jobs import commits, dispatch
from evtok.jobs.durable import OutputFolder
from evtok.jobs.worker import run_task

LOST = "shard-000001"


class Forgetful(dispatch.Workers):
    """Carry out every task here; of one, the answer is always lost, and it is done at a time that `when` says."""

    slots = 1
    when = ""

    def __init__(self, *arguments):
        self._told, self.kept = [], []
        type(self).last = self

    def submit(self, ticket, document, avoid):
        if ticket.split("-")[2] != "1":
            answer = run_task(document)
            self._told.append(dispatch.Reply(ticket, answer, worker=answer["worker"]))
            return
        self.kept.append(document)
        if self.when == "at once":
            assert run_task(document)["state"] == "done"
        self._told.append(dispatch.Reply(ticket, lost="the worker was cut off", worker="here"))

    def wait(self, seconds):
        told, self._told = self._told, []
        return told

    def abandon(self, ticket):
        return ""

    def close(self, drain):
        if self.when == "at the end" and self.kept:
            assert run_task(self.kept[0])["state"] == "done"
            self.kept.clear()


@pytest.fixture
def job(inputs, tokenizer, jets_schema, tmp_path, monkeypatch):
    """Run a job by workers that are `Forgetful`, or by this process."""

    def run_it(name, when=None, **options):
        with monkeypatch.context() as patch:
            patch.setattr(Forgetful, "when", when)
            patch.setattr("evtok.jobs.choose.LocalWorkers", Forgetful)
            workers = None if when is None else 1
            return evtok.tokenize_files(
                inputs,
                tokenizer,
                tmp_path / name,
                schema=jets_schema,
                events_per_shard=2000,
                workers=workers,
                **options,
            )

    return run_it


@pytest.mark.parametrize("when", ["at once", "at the end"])
def test_p34_a_shard_whose_answer_was_lost_is_taken_from_its_record(job, shas, when):
    report = job("out", when)
    assert report.complete
    assert shas(report.folder) == shas(job("undisturbed").folder)
    assert not list(report.folder.glob("quarantine/*.jsonl"))
    assert evtok.verify(report.folder).ok


def test_p34_a_worker_that_comes_after_the_account_changes_nothing(job, shas, tmp_path):
    with pytest.raises(JobError):
        job("out", "never")
    out, last = tmp_path / "out", Forgetful.last
    before = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for document in last.kept:
        answer = run_task(document)
        assert answer["state"] == "failed"
        assert "no job of its plan runs in this folder any more" in answer["reason"]
    assert before == {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert job("out").complete
    assert evtok.verify(out).ok
    assert list(out.glob("quarantine/*.jsonl")) == []


def test_p34_the_account_of_a_refused_range_survives_a_worker_that_is_late_all_the_same(job, tmp_path):
    """Its look for whose folder it is came just before the end of the job: it writes, and removes nothing."""
    with pytest.raises(JobError):
        job("out", "never")
    with OutputFolder(tmp_path / "out", create=False) as folder:
        with folder.subfolder("quarantine", create=True) as below:
            below.write(f"{LOST}.jsonl", b"the account of this range\n")
        manifest = folder.read("manifest.json")
        commits.allow(folder, evtok.jobs.manifest.Manifest.from_bytes(manifest, "").plan.digest())
        assert run_task(Forgetful.last.kept[0])["state"] == "done"
        with folder.subfolder("quarantine") as below:
            assert below.read(f"{LOST}.jsonl") == b"the account of this range\n"


def test_p34_a_worker_of_an_earlier_job_commits_nothing_to_the_next_one(job, tmp_path):
    with pytest.raises(JobError):
        job("out", "never")
    with OutputFolder(tmp_path / "out", create=False) as folder:
        commits.allow(folder, "0" * 64)
        assert run_task(Forgetful.last.kept[0])["state"] == "failed"
        assert f"{LOST}.json" not in folder.names()
