"""Workers that are lost, late, blind or nonsensical: what the coordinator makes of their answers."""

from __future__ import annotations

import json
import time

import pytest

import evtok
from evtok.errors import JobError, ShardError
from evtok.jobs import dispatch, retry
from evtok.jobs.answer import read_answer
from evtok.jobs.dispatch import Reply
from evtok.jobs.worker import run_task

DONE = {"index": 1, "attempt": 1, "worker": "w:1", "read_s": 0.0, "encode_s": 0.0, "write_s": 0.1} | {
    "state": "done",
    "record": "0" * 64,
}


class Scripted(dispatch.Workers):
    """Carry out tasks here, but for the replies that `script` makes of (ticket, number of the task, attempt)."""

    slots = 2
    script = staticmethod(lambda ticket, index, attempt: None)
    begin_after = 0.0  # seconds

    def __init__(self, *arguments):
        self._told, self._begin = [], time.monotonic() + self.begin_after

    def submit(self, ticket, document, avoid):
        index, attempt = (int(part) for part in ticket.split("-")[2:])
        reply = type(self).script(ticket, index, attempt)
        self._told.append(reply or Reply.of(ticket, run_task(document), "good"))

    def begun(self, tickets):
        return tickets if time.monotonic() > self._begin else ()

    def wait(self, seconds):
        if time.monotonic() < self._begin:
            time.sleep(0.02)
            return []
        told, self._told = self._told, []
        return told

    def abandon(self, ticket):
        return ""

    def close(self, drain):
        pass


@pytest.fixture
def scripted(job, monkeypatch):
    """Run a job of 7 tasks by workers with a script; returns what was told, and the report or the error."""

    def run_it(script, **options):
        monkeypatch.setattr(retry, "_FIRST_WAIT", 0.001)
        monkeypatch.setattr(Scripted, "script", staticmethod(script))
        monkeypatch.setattr("evtok.jobs.choose.LocalWorkers", Scripted)
        told = []
        try:
            report = job(workers=1, progress=told.append, **options)
        except JobError as error:
            return told, error
        return told, report

    return run_it


def test_p35_lost_tasks_are_no_quarantine(scripted, tmp_path):
    told, error = scripted(
        lambda ticket, index, attempt: Reply(ticket, lost="gone") if index == 2 else None,
        allow_quarantine=True,
    )
    assert "no worker answered 1 of the tasks" in str(error)
    assert "shard-000002 was given up after 4 attempts" in str(error)
    assert not json.loads((tmp_path / "out" / "manifest.json").read_text())["complete"]
    assert [event["attempt"] for event in told if event["event"] == "retry"] == [2, 3, 4]


def test_workers_that_do_nothing_end_the_job(scripted):
    told, error = scripted(lambda ticket, index, attempt: Reply(ticket, lost="gone", final=True))
    assert "of 3 tasks none was answered, and no task is done yet" in str(error)
    assert "given up after 1 attempt;" in str(error)
    assert not [event for event in told if event["event"] == "shard"]


def test_p36_a_machine_without_the_input_does_not_decide_what_is_bad(scripted, shas, undisturbed):
    def blind(ticket, index, attempt):
        said = {**DONE, "state": "unreadable", "reason": "No such file", "may_pass": False}
        del said["record"]
        return Reply.of(ticket, said, "blind") if attempt == 1 else None

    told, report = scripted(blind)
    assert report.complete
    assert shas(report.folder) == undisturbed
    assert len([event for event in told if event["event"] == "retry"]) == 7


def test_a_task_that_came_too_late_is_lost_and_no_error(scripted):
    def late(ticket, index, attempt):
        said = {
            **DONE,
            "state": "failed",
            "error": "LateError",
            "reason": "its time was over",
            "may_pass": True,
        }
        del said["record"]
        return Reply.of(ticket, said, "slow") if index == 2 else None

    told, error = scripted(late, task_timeout=60.0)
    assert "no worker answered 1 of the tasks" in str(error)
    assert len([event for event in told if event["event"] == "shard"]) == 6


def test_p34_a_task_has_its_time_from_when_it_begins(scripted, monkeypatch):
    monkeypatch.setattr(Scripted, "begin_after", 4.0)
    told, report = scripted(lambda *arguments: None, task_timeout=3.0)
    assert report.complete
    assert not [event for event in told if event["event"] == "retry"]


@pytest.mark.parametrize(
    "sent",
    [
        None,
        [],
        {},
        {"state": []},
        DONE | {"state": "else"},
        DONE | {"more": 1},
        DONE | {"read_s": "x"},
        DONE | {"read_s": float("nan")},
        DONE | {"write_s": -1.0},
        DONE | {"write_s": 10**400},
        DONE | {"record": "0"},
        DONE | {"worker": 3},
        DONE | {"index": True},
        {key: value for key, value in DONE.items() if key != "worker"},
        {key: value for key, value in DONE.items() if key != "record"} | {"state": "failed"},
    ],
)
def test_what_is_no_answer_is_lost(sent):
    assert "not an answer" in Reply.of("t", sent, "w").lost
    if not (isinstance(sent, dict) and sent.get("write_s") == 10**400):
        with pytest.raises(ShardError):
            read_answer(sent)


def test_answers_are_read(task):
    assert read_answer(DONE) == DONE
    assert read_answer(run_task(b"{}"))["error"] == "ShardError"
    assert read_answer(run_task(task()))["state"] == "done"


def test_a_worker_that_does_not_see_the_input_says_that_another_may(task, inputs, tmp_path):
    document = task()
    inputs[0].rename(tmp_path / "elsewhere")
    answer = run_task(document)
    assert (answer["state"], answer["may_pass"]) == ("unreadable", True)
    (tmp_path / "elsewhere").rename(inputs[0])
    inputs[0].write_bytes(b"x")  # another file: what is said of it is no proof either
    assert run_task(document)["may_pass"]


def test_a_process_that_dies_while_it_starts_is_replaced(job, monkeypatch, tmp_path):
    from evtok.jobs import local_workers

    mark = tmp_path / "died"
    first = f"import os; p = {str(mark)!r}; d = os.path.exists(p); open(p, 'w').close(); d or os._exit(7); "
    monkeypatch.setattr(local_workers, "_PROGRAM", first + local_workers._PROGRAM)
    assert job(workers=1).complete
    assert evtok.verify(tmp_path / "out").ok
