"""P46: nobody is listened to, and what gives access is written nowhere."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

import evtok
from evtok.errors import InputFileError, JobError
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform

SECRET = "hunter2hunter2"
SCHEMA: dict[str, Any] = {
    "name": "jets",
    "formats": ["parquet"],
    "objects": [{"collection": "Jet", "columns": {"pt": "pt"}}],
}
TOKENIZER = BinnedTokenizer({"pt": Feature("pt", Uniform(40, 0, 500))})
LISTEN = "0A"  # state of a socket in /proc/net/tcp


def _sockets_of(pid: int) -> set[str]:
    """The inodes of sockets that a process has open."""
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(fd)
        except OSError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            found.add(target[len("socket:[") : -1])
    return found


def _tree(pid: int) -> list[int]:
    """A process and all that it started, and these did; what ends meanwhile has none."""
    children: list[int] = []
    with contextlib.suppress(OSError):  # the process, and below: a thread
        for task in list(Path(f"/proc/{pid}/task").iterdir()):
            with contextlib.suppress(OSError):
                children += [int(child) for child in (task / "children").read_text().split()]
    return [pid, *(one for child in children for one in _tree(child))]


def listening(pid: int) -> set[str]:
    """The inodes of listening sockets (TCP) of a process and those below it."""
    listed = set()
    for name in ("tcp", "tcp6"):
        path = Path(f"/proc/{pid}/net/{name}")
        rows = [line.split() for line in path.read_text().splitlines()[1:]] if path.exists() else []
        listed |= {row[9] for row in rows if row[3] == LISTEN}
    held: set[str] = set()
    for process in _tree(pid):
        try:
            held |= _sockets_of(process)
        except OSError:  # it ended meanwhile
            continue
    return held & listed


def _events(path: Path, n: int = 4000) -> Path:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"Jet_pt": pa.array([[1.0, 2.0], [3.0]] * n, pa.list_(pa.float32()))}), path)
    return path


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="needs /proc")
def test_p46_the_look_at_sockets_sees_one() -> None:
    """So that the other tests can fail: a socket of a process below this one is found."""
    program = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); print(1, flush=True); input()"
    before = listening(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        assert len(listening(os.getpid()) - before) == 1
    finally:
        child.communicate(b"\n")


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="needs /proc")
def test_p46_workers_of_this_machine_open_no_port(tmp_path: Path) -> None:
    path = _events(tmp_path / "in.parquet")
    before, seen, trees, done = listening(os.getpid()), set[str](), set[int](), threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            seen.update(listening(os.getpid()))
            trees.update(_tree(os.getpid()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        told: list[dict[str, Any]] = []
        evtok.tokenize_files(
            path,
            TOKENIZER,
            tmp_path / "out",
            schema=SCHEMA,
            events_per_shard=1000,
            workers=min(2, len(os.sched_getaffinity(0))),
            progress=lambda event: (told.append(event), seen.update(listening(os.getpid())))[0],
        )
    finally:
        done.set()
        watcher.join()
    assert {int(one["worker"].rpartition(":")[2]) for one in told if one["event"] == "shard"} <= trees
    assert seen <= before


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="needs /proc")
def test_p46_imports_open_no_port() -> None:
    program = (
        "import sys, socket\n"
        "def refuse(event, arguments):\n"
        "    if event in ('socket.bind', 'socket.connect', 'socket.getaddrinfo'): raise SystemExit(event)\n"
        "sys.addaudithook(refuse)\n"
        "import evtok, evtok.io, evtok.jobs, evtok.detectors, evtok.cli.app, evtok.jobs.worker, evtok.jobs.fit\n"
        "import evtok.jobs.dask_workers, evtok.report, evtok.metrics\n"
        "print('imported')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "imported\n", done.stderr


@pytest.mark.parametrize(
    "url",
    [
        f"https://me:{SECRET}@127.0.0.1:1/x.parquet",
        f"https://{SECRET}@127.0.0.1:1/x.parquet",
        f"s3://me:{SECRET}@bucket/x.parquet",
        f"https://127.0.0.1:1/x.parquet?key={SECRET}",
        f"https://127.0.0.1:1/x.parquet?a=1&X-Amz-Signature={SECRET}",
        f"https://127.0.0.1:1/x.parquet?X%2DAmz%2DSignature={SECRET}",
        f"https://127.0.0.1:1/x.parquet?private_token={SECRET}",
        f"simplecache::https://127.0.0.1:1/x.parquet?access_token={SECRET}",
    ],
)
@pytest.mark.parametrize("allow_quarantine", [False, True])
def test_p46_what_gives_access_is_written_nowhere(tmp_path: Path, url: str, allow_quarantine: bool) -> None:
    """Not by a job that could go on without the file either: its name would be in the account."""
    path = _events(tmp_path / "in.parquet", 10)
    told: list[Any] = []
    options: dict[str, Any] = {
        "schema": SCHEMA,
        "allow_quarantine": allow_quarantine,
        "progress": told.append,
    }
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises((InputFileError, JobError)) as refused:
            evtok.tokenize_files([path, url], TOKENIZER, tmp_path / "out", **options)
    assert SECRET not in f"{refused.value!s} {[str(one.message) for one in warned]} {told}"
    written = [one for one in tmp_path.rglob("*") if one.is_file()]
    assert path in written
    assert not [one for one in written if SECRET.encode() in one.read_bytes()]


def test_p46_the_environment_is_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials come from there; workers have it, and documents and logs do not."""
    for name in ("AWS_SECRET_ACCESS_KEY", "BEARER_TOKEN", "EVTOK_ANYTHING"):
        monkeypatch.setenv(name, SECRET)
    path = _events(tmp_path / "in.parquet", 500)
    told: list[Any] = []
    evtok.tokenize_files(
        path,
        TOKENIZER,
        tmp_path / "out",
        schema=SCHEMA,
        workers=1,
        progress=told.append,
        events_per_shard=300,
    )
    written = {one.name: one.read_bytes() for one in (tmp_path / "out").rglob("*") if one.is_file()}
    assert {"manifest.json", "log.jsonl", "job.json", "job.html", "shard-000000.json"} <= set(written)
    assert not [name for name, data in written.items() if SECRET.encode() in data]
    assert SECRET not in str(told)
