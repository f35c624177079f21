"""A Dask cluster: the same bytes, also where workers die, are late, have other versions, or cannot work at all."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import sys
import time
from collections import defaultdict
from types import SimpleNamespace

import pytest

import evtok
from evtok import _core
from evtok.errors import JobError
from evtok.jobs import dask_workers, retry
from evtok.jobs.dask_workers import DaskWorkers
from evtok.tokenizers import BinnedTokenizer, EqualFrequency, Feature, Uniform

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="session")
def cluster():
    """A Dask cluster of two worker processes, once for all tests."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as made,
        distributed.Client(made, set_as_default=False) as client,
    ):
        yield client


def test_p41_a_dask_cluster_writes_the_same_bytes(job, shas, undisturbed, cluster):
    report = job(client=cluster)
    assert shas(report.folder) == undisturbed
    assert evtok.verify(report.folder).ok
    again = job("by-address", client=cluster.scheduler.address)
    assert shas(again.folder) == undisturbed
    assert again.counts == report.counts


def test_p41_a_dask_cluster_fits_the_same_edges(cluster, inputs, jets_schema):
    """Of a tokenizer that needs every kind of pass: edges, and the combinations seen."""
    tokenizer = BinnedTokenizer(
        {"pt": Feature("pt", EqualFrequency(9)), "eta": Feature("eta", EqualFrequency(5), wrap=True)},
        vocabulary="seen",
    )
    with evtok.open_events(inputs, jets_schema) as source:
        expected = tokenizer.fit(source).fingerprint
        assert tokenizer.fit(source, client=cluster).fingerprint == expected


@pytest.mark.data
def test_p41_jobs_over_all_of_the_shared_events(cluster, shas, test_data, tmp_path):
    """Every file below pythia/, of whatever format: one job for each schema, here and on the cluster."""
    inputs = defaultdict(list)
    for path in sorted((test_data / "pythia").rglob("*")):
        if path.is_file() and path.suffix != ".json":
            with evtok.open_events(path) as source:
                inputs[source.schema.name].append(path)
    assert {"nanoaod", "darkmachines", "lhco"} <= set(inputs)
    tokenizer = BinnedTokenizer(
        {
            "pt": Feature("pt", Uniform(20, 0, 500), outside="clip"),
            "eta": Feature("eta", Uniform(12, -3, 3), outside="clip"),
        }
    )
    told = []
    for schema, files in inputs.items():
        options = {"schema": schema, "events_per_shard": 10_000}
        alone = evtok.tokenize_files(files, tokenizer, tmp_path / f"{schema}-alone", **options)
        report = evtok.tokenize_files(
            files, tokenizer, tmp_path / schema, client=cluster, progress=told.append, **options
        )
        assert report.counts == alone.counts
        assert report.counts.written == report.counts.read > 1000
        assert shas(report.folder) == shas(alone.folder)
        assert len(shas(report.folder)) == report.shards >= len(files)
        assert evtok.verify(report.folder).ok
    workers = {event["worker"].rpartition(":")[2] for event in told if event["event"] == "shard"}
    assert len(workers) == 2
    assert str(os.getpid()) not in workers


def test_relative_paths_are_those_of_the_coordinator(job, shas, undisturbed, cluster, inputs, monkeypatch):
    monkeypatch.chdir(inputs[0].parent)
    report = job(client=cluster, files=[path.name for path in inputs])
    assert shas(report.folder) == undisturbed


# ---- workers that fail ------------------------------------------------------------------------------------------


def _kill_first(told_to=os.kill):
    """A listener that kills the worker of the first shard, whatever it is at then."""
    told = []

    def listen(event):
        told.append(event)
        if event["event"] == "shard" and sum(one["event"] == "shard" for one in told) == 1:
            told_to(int(event["worker"].rpartition(":")[2]), signal.SIGKILL)

    return told, listen


def test_p34_a_dask_worker_that_is_stopped_and_goes_on(job, shas, undisturbed, cluster):
    """It holds tasks beyond their time; they are given to the other, and what it commits later changes nothing."""
    told, stopped = [], []

    def listen(event):
        told.append(event)
        if event["event"] == "shard" and not stopped:
            stopped.append(int(event["worker"].rpartition(":")[2]))
            os.kill(stopped[0], signal.SIGSTOP)

    for module in ("evtok.jobs.worker", "pyarrow.parquet"):  # what the first task would wait for
        cluster.run(importlib.import_module, module)
    try:
        report = job(client=cluster, task_timeout=5, progress=listen)
    finally:
        os.kill(stopped[0], signal.SIGCONT)
    assert shas(report.folder) == undisturbed
    assert any(event["reason"] == "took longer than 5 s" for event in told if event["event"] == "retry")
    cluster.wait_for_workers(2, timeout=60)
    cluster.run(time.sleep, 0)  # the one that was stopped has come to what it held
    assert shas(report.folder) == undisturbed
    assert evtok.verify(report.folder).ok


def test_p34_a_dask_worker_that_dies(job, shas, undisturbed, cluster):
    told, listen = _kill_first()
    report = job(client=cluster, progress=listen)
    assert shas(report.folder) == undisturbed
    assert [event for event in told if event["event"] == "finish"]
    cluster.wait_for_workers(2, timeout=60)


def test_a_scheduler_that_cannot_be_reached(job, monkeypatch):
    monkeypatch.setattr("evtok.jobs.dask_workers._CONNECT", 0.5)
    with pytest.raises(JobError, match="cannot reach the scheduler at tcp"):
        job(client="tcp://127.0.0.1:1")


# ---- workers that cannot work -----------------------------------------------------------------------------------


def test_workers_that_cannot_import_evtok_end_the_job(job, cluster, tmp_path):
    """Quarantine does not cover it: what nobody tried to read is not bad."""
    cluster.run(_forget_evtok)
    try:
        with pytest.raises(JobError, match=r"cannot carry out tasks: ModuleNotFoundError"):
            job(client=cluster, allow_quarantine=True)
    finally:
        cluster.run(_remember_evtok)
    assert not json.loads((tmp_path / "out" / "manifest.json").read_text())["complete"]


def _forget_evtok():
    sys.modules["evtok.jobs.dask_workers"] = None


def _remember_evtok():
    del sys.modules["evtok.jobs.dask_workers"]


def test_p41_a_worker_of_another_version_leaves_its_tasks_to_the_others(
    job, shas, undisturbed, cluster, monkeypatch
):
    monkeypatch.setattr(retry, "_FIRST_WAIT", 0.01)
    one = next(iter(cluster.nthreads()))
    cluster.run(_be_of_version, "0.0.1", workers=[one])
    told = []
    try:
        report = job(client=cluster, progress=told.append)
    finally:
        cluster.run(_be_of_version, _core.version, workers=[one])
    assert shas(report.folder) == undisturbed
    again = [event for event in told if event["event"] == "retry"]
    assert again
    assert all("has evtok 0.0.1" in event["reason"] for event in again)
    assert max(event["attempt"] for event in again) == 2  # the other worker had each of them next


def _be_of_version(version):
    from evtok.jobs import versions

    versions._core = SimpleNamespace(version=version, numerics_version=versions._core.numerics_version)


# ---- one client, with workers within this process ---------------------------------------------------------------


@pytest.fixture
def empty():
    """A cluster that has no worker yet, and a client of it."""
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as made,
        distributed.Client(made, set_as_default=False) as client,
    ):
        yield made, client


def test_p34_time_in_the_queue_is_not_time_of_a_task(empty):
    cluster, client = empty
    workers = DaskWorkers(client)
    assert workers.slots == 4  # so that a cluster that adapts starts some
    workers.submit("evtok-1", b"{}", ())
    assert list(workers.begun(["evtok-1"])) == []
    assert workers.wait(0.2) == []
    cluster.scale(1)
    (reply,) = workers.wait(30)
    assert reply.answer["error"] == "ShardError"
    assert reply.worker in client.nthreads()  # whom the scheduler can be told to avoid
    workers.close(0.0)


def test_as_many_tasks_have_begun_as_a_worker_has_threads(empty):
    workers = DaskWorkers(empty[1])
    workers._futures = {name: SimpleNamespace(key=f"key-{name}") for name in "abc"}
    workers._threads, workers._held = {"tcp://w": 1}, {"tcp://w": ["key-c", "key-b", "other"]}
    workers._looked = time.monotonic() + 60
    assert list(workers.begun(["a", "b", "c"])) == ["b"]


def test_p34_a_scheduler_that_does_not_answer_holds_nobody_up(empty, monkeypatch):
    _, client = empty
    workers = DaskWorkers(client)
    workers.submit("evtok-1", b"{}", ())

    async def never(*arguments, **options):
        await asyncio.sleep(60)

    silent = SimpleNamespace(processing=never, ncores=never)
    monkeypatch.setattr(dask_workers, "_CONNECT", 0.2)
    begin = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(client, "scheduler", silent)
        with pytest.raises(JobError, match="cannot ask for the workers"):
            _ = workers.slots
        assert list(workers.begun(["evtok-1"])) == []
        workers.close(1.0)
    assert time.monotonic() - begin < 10


def test_p34_a_task_does_not_wait_for_workers_that_have_gone(empty):
    workers = DaskWorkers(empty[1])
    workers._asked, workers._threads = time.monotonic() + 60, {"tcp://127.0.0.1:1": 1, "tcp://127.0.0.1:2": 1}
    workers.submit("evtok-1", b"{}", ["tcp://127.0.0.1:1"])
    assert workers.wait(0.1) == []
    del workers._threads["tcp://127.0.0.1:2"]
    (reply,) = workers.wait(5)
    assert "have gone" in reply.lost
    assert workers.wait(0.5) == []
    workers.close(0.0)


def test_whom_a_task_is_given_to(empty):
    workers = DaskWorkers(empty[1])
    now = time.monotonic()
    workers._threads = dict.fromkeys("abcd", 1)
    assert workers._choose([]) == []
    assert workers._choose(["a"]) == ["b", "c", "d"]
    workers._late = {"b": now}
    assert workers._choose([]) == ["a", "c", "d"]
    assert workers._choose(["a"]) == ["c", "d"]
    workers._late = dict.fromkeys("abc", now)  # most were late once: the last is not to have everything
    assert workers._choose([]) == []
    workers._late = dict.fromkeys("abcd", now)
    assert workers._choose(["a"]) == ["b", "c", "d"]
    assert workers._choose("abcd") == []
    workers._late = dict.fromkeys("abc", now - 2 * dask_workers._LATE_FOR)
    assert workers._choose("d") == ["a", "b", "c"]
    assert workers._late == {}


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (asyncio.CancelledError(), "lost"),
        (distributed.CancelledError("key"), "lost"),
        (distributed.comm.CommClosedError("gone"), "lost"),
        (TimeoutError(), "lost"),
        (ModuleNotFoundError("No module named 'evtok'"), "fatal"),
        (RuntimeError("Error during deserialization"), "fatal"),
    ],
)
def test_what_a_future_raises(empty, raised, kind):
    def result(timeout):
        raise raised

    future = SimpleNamespace(result=result, release=lambda: None)
    reply = DaskWorkers(empty[1])._reply("t", future)
    assert getattr(reply, kind)
    assert (reply.answer, reply.final, bool(reply.lost), bool(reply.fatal)) == (
        None,
        False,
        kind == "lost",
        kind == "fatal",
    )


def test_p28_tasks_of_a_worker_share_its_cpus(monkeypatch):
    worker = SimpleNamespace(address="tcp://w", state=SimpleNamespace(nthreads=3))
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    monkeypatch.setattr(dask_workers._core, "available_cpus", lambda: 8)
    monkeypatch.setattr(dask_workers, "run_task", lambda document, most_threads: most_threads)
    assert dask_workers.run_on_dask(b"") == {"address": "tcp://w", "answer": 2}
    worker.state.nthreads = 99
    assert dask_workers.run_on_dask(b"")["answer"] == 1
