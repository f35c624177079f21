"""One process, several processes, a Dask cluster: the same bytes, whoever dies, is late or is of another version."""

from __future__ import annotations

import json
import os
import signal

import pytest

import evtok
from evtok import _core
from evtok.detectors import UnigramDetector
from evtok.errors import InputFileError, JobError
from evtok.io import Schema, load_schema, preset_names
from evtok.io.schema_dict import as_dict
from evtok.jobs import dispatch, retry
from evtok.jobs.local_workers import threads_of
from evtok.jobs.worker import run_task

WORKERS = min(2, _core.available_cpus())


# ---- the same bytes ---------------------------------------------------------------------------------------------


def test_p41_worker_processes_write_the_same_bytes(job, shas, undisturbed):
    told = []
    report = job(workers=WORKERS, progress=told.append)
    assert shas(report.folder) == undisturbed
    assert report.complete
    assert evtok.verify(report.folder).ok
    shards = [event for event in told if event["event"] == "shard"]
    assert len(shards) == len(undisturbed) == 7
    assert not any(event["worker"].endswith(f":{os.getpid()}") for event in shards)
    assert all({"read_s", "encode_s", "write_s", "attempt"} <= set(event) for event in shards)
    assert [e["done_events"] for e in told if e["event"] == "progress"][-1] == 6234
    assert job(workers=WORKERS).proven == 7  # and another executor proves what one wrote
    assert job().proven == 7


def test_scores_of_workers_are_those_of_one_process(inputs, tokenizer, jets_schema, tmp_path):
    events = evtok.open_events(inputs[0], jets_schema).read()
    detector = UnigramDetector(tokenizer).fit(events[events.multiplicity > 0])
    settings = {"schema": jets_schema, "events_per_shard": 2000, "allow_quarantine": True}  # of no jets
    one = evtok.score_files(inputs, detector, tmp_path / "one.parquet", **settings)
    two = evtok.score_files(inputs, detector, tmp_path / "two.parquet", workers=WORKERS, **settings)
    assert two.sha256 == one.sha256
    assert evtok.verify(two.output).ok


@pytest.mark.parametrize("name", preset_names())
def test_schemas_survive_the_document(name):
    schema = load_schema(name)
    assert repr(Schema.from_dict(json.loads(json.dumps(as_dict(schema))))) == repr(schema)


# ---- one task ---------------------------------------------------------------------------------------------------


def test_a_task_is_json_in_and_json_out(task, undisturbed, shas, tmp_path):
    answer = run_task(task())
    assert json.loads(json.dumps(answer)) == answer
    assert answer["state"] == "done", answer
    assert shas(tmp_path / "one-task") == {"shard-000001.arrow": undisturbed["shard-000001.arrow"]}
    assert run_task(json.loads(task())) | {"read_s": 0, "encode_s": 0, "write_s": 0} == answer | {
        "read_s": 0,
        "encode_s": 0,
        "write_s": 0,
    }  # once more, as an object, gives the same


@pytest.mark.parametrize("changed", ["evtok", "numerics", "pyarrow", "format"])
def test_other_versions_are_refused(task, changed, tmp_path):
    versions = json.loads(task())["versions"]
    other = versions[changed] + 1 if isinstance(versions[changed], int) else "0.0.0"
    answer = run_task(task(versions=versions | {changed: other}))
    assert answer["state"] == "failed"
    assert answer["error"] == "VersionError"
    assert changed in answer["reason"]
    assert not list((tmp_path / "one-task").glob("shard-*"))


def test_a_task_that_is_late_commits_nothing(task, tmp_path):
    answer = run_task(task(timeout=0.0))
    assert (answer["state"], answer["error"]) == ("failed", "LateError")
    assert not list((tmp_path / "one-task").glob("shard-*"))


def test_other_ingredients_are_refused(task):
    assert "not the tokenizer of this job" in run_task(task(fingerprint="0" * 64))["reason"]
    assert "not the one that the job was planned with" in run_task(task(schema_digest="0" * 64))["reason"]
    assert "checksum" in run_task(task().replace(b'"attempt": 1', b'"attempt": 2'))["reason"]
    assert run_task(b"{}")["error"] == "ShardError"
    assert run_task(task(output="/nowhere/at/all"))["error"] == "NoFolderError"
    assert run_task(task(threads=0))["error"] == "ShardError"


# ---- workers that fail ------------------------------------------------------------------------------------------


POISON = """
import os, signal, sys
import evtok.jobs.worker as worker
real = worker.run_task
def poisoned(document):
    if b'"index": 2,' in document:
        mark = os.environ["EVTOK_TEST_POISON"]
        count = len(open(mark).read()) if os.path.exists(mark) else 0
        if count < int(os.environ["EVTOK_TEST_DEATHS"]):
            open(mark, "a").write("x")
            os.kill(os.getpid(), signal.SIGKILL)
    return real(document)
worker.run_task = poisoned
"""


@pytest.fixture
def poison(tmp_path, monkeypatch):
    """Let workers die of task 2, so many times."""

    def set_up(deaths):
        folder = tmp_path / "poison"
        folder.mkdir()
        (folder / "evtok_test_poison.py").write_text(POISON)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("EVTOK_TEST_POISON", str(folder / "deaths"))
        monkeypatch.setenv("EVTOK_TEST_DEATHS", str(deaths))
        program = "evtok.jobs.local_workers._PROGRAM"
        old = "from evtok.jobs.worker_process import serve"
        from evtok.jobs import local_workers

        monkeypatch.setattr(program, local_workers._PROGRAM.replace(old, f"import evtok_test_poison; {old}"))

    return set_up


def test_p34_a_worker_that_dies_costs_its_task_which_is_tried_again(job, shas, undisturbed, poison):
    poison(1)
    told = []
    report = job(workers=WORKERS, progress=told.append)
    assert shas(report.folder) == undisturbed
    (again,) = [event for event in told if event["event"] == "retry"]
    assert again["name"] == "shard-000002"
    assert "was killed by signal 9" in again["reason"]
    assert not [path for path in report.folder.iterdir() if path.name.endswith(".tmp")]


def test_p34_a_task_that_kills_every_worker_is_given_up_alone(job, shas, undisturbed, poison, tmp_path):
    poison(99)
    with pytest.raises(JobError, match="1000 of 6234 events are in quarantine"):
        job(workers=WORKERS)
    (line,) = (tmp_path / "out" / "quarantine" / "shard-000002.jsonl").read_text().splitlines()
    lost = json.loads(line)
    assert (lost["start"], lost["stop"]) == (2000, 3000)
    assert f"given up after {retry.RETRIES + 1} attempts" in lost["reason"]
    healed = job()
    assert healed.complete
    assert healed.proven == 6
    assert shas(healed.folder) == undisturbed


def test_p34_a_stopped_worker_loses_its_task_and_is_harmless_when_it_goes_on(job, shas, undisturbed):
    told, stopped = [], []

    def listen(event):
        told.append(event)
        if event["event"] == "shard" and not stopped:
            stopped.append(int(event["worker"].rpartition(":")[2]))
            os.kill(stopped[0], signal.SIGSTOP)

    report = job(workers=1, task_timeout=4, progress=listen)
    assert shas(report.folder) == undisturbed
    assert next(event["reason"] for event in told if event["event"] == "retry") == "took longer than 4 s"


def test_p32_a_lost_connection_is_tried_again_and_a_full_disk_is_not(job, shas, undisturbed, monkeypatch):
    monkeypatch.setattr(retry, "_FIRST_WAIT", 0.001)
    real, failures = evtok.io.EventSource.iter_records, []

    def flaky(self, file, start, *arguments):
        if start == 2000 and len(failures) < retry.RETRIES:
            failures.append(start)
            raise InputFileError("cut off") from ConnectionResetError(104, "Connection reset by peer")
        yield from real(self, file, start, *arguments)

    monkeypatch.setattr(evtok.io.EventSource, "iter_records", flaky)
    told = []
    report = job(progress=told.append)
    assert shas(report.folder) == undisturbed
    assert [event["attempt"] for event in told if event["event"] == "retry"] == [2, 3, 4]
    assert not retry.may_pass(OSError(28, "No space left on device"))
    assert retry.may_pass(TimeoutError())

    def broken(self, *arguments):
        raise InputFileError("cut off") from ConnectionResetError(104, "Connection reset by peer")
        yield

    monkeypatch.setattr(evtok.io.EventSource, "iter_records", broken)
    with pytest.raises((InputFileError, ConnectionResetError)):
        job("out-of-reach")  # not for ever


def test_a_record_that_is_not_there_is_not_believed(job, monkeypatch):
    monkeypatch.setattr(retry, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(dispatch, "_SHARED_FOLDER_WAITS", (0.0,))
    monkeypatch.setattr("evtok.jobs.choose.LocalWorkers", Liars)
    with pytest.raises(JobError, match="is this folder the same one on all machines"):
        job(workers=1)


class Liars(dispatch.Workers):
    """Say that all is done."""

    slots = 1

    def __init__(self, *arguments):
        self.told = []

    def submit(self, ticket, document, avoid):
        self.told.append(
            dispatch.Reply(ticket, {"state": "done", "worker": "liar:1", "record": "0" * 64}, worker="liar")
        )

    def wait(self, seconds):
        told, self.told = self.told, []
        return told

    def abandon(self, ticket):
        return ""

    def close(self, drain):
        pass


# ---- budgets ----------------------------------------------------------------------------------------------------


def test_p28_threads_of_all_workers_are_no_more_than_the_cpus(job, monkeypatch):
    monkeypatch.setattr("evtok.jobs.local_workers._core.available_cpus", lambda: 8)
    assert [threads_of(n, None) for n in (1, 2, 3, 8)] == [8, 4, 2, 1]
    assert threads_of(4, 2) == 2
    with pytest.raises(JobError, match="4 workers of 3 threads each need 12 CPUs, there are 8"):
        threads_of(4, 3)
    with pytest.raises(JobError, match="9 processes asked for, there are 8"):
        job(workers=9)
    with pytest.raises(JobError, match="at least 1"):
        job(workers=0)
    with pytest.raises(JobError, match="one of them"):
        job(workers=1, client="tcp://127.0.0.1:1")
    with pytest.raises(JobError, match="task_timeout: is for workers"):
        job(task_timeout=5)
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(JobError, match="task_timeout: expected a number of seconds above 0"):
            job(workers=1, task_timeout=seconds)


def test_workers_that_cannot_start_end_the_job(job, monkeypatch):
    monkeypatch.setattr("evtok.jobs.local_workers._PROGRAM", "raise SystemExit(3)")
    with pytest.raises(JobError, match="ended with status 3 before it could take a task"):
        job(workers=1)


def test_only_plans_know_all_inputs(task):
    """A task stays small however many files a job has."""
    assert len(task()) < 4000
    assert "inputs" not in json.loads(task())
