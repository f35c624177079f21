"""P34: a Dask cluster of 4 workers that are killed, stopped past their deadlines and continued, or cut off the network.

Jobs over small files that are made here, and, where EVTOK_TEST_DATA names them, over all event files of its `pythia`.
Each worker has a network namespace of its own where this process may make one; else cutting the network is left out.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from faults.rows import Row

N_WORKERS = 4
DEADLINE = 2.0  # seconds of a task
KINDS = {
    "killed": "a worker killed (SIGKILL), and another one started",
    "stopped": f"a worker stopped (SIGSTOP) beyond the {DEADLINE:g} s of a task, and continued when the job is done",
    "cut off": "the network of a worker cut, and mended after 4 s",
}
_BRIDGE, _NETWORK = "evtokfaults", "10.199.87"


def run(work: Path, *, full: bool) -> Iterator[Row]:
    """20 jobs with each fault, or 1; in a process of its own, whose threads no other part inherits."""
    if not find_spec("distributed"):
        row = Row(
            "workers of a Dask cluster killed, stopped or cut off", "the files of a job on one machine", ()
        )
        row.notes.append("not run: distributed is not installed")
        yield row
        return
    command = [sys.executable, "-W", "ignore", "-m", "faults.cluster", str(work), "20" if full else "1"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            yield Row.from_json(json.loads(line))
    if child.returncode:
        raise RuntimeError(f"the part with the cluster ended with {child.returncode}")


class Cluster:
    """A scheduler and its workers, as processes that can be hit."""

    def __init__(self, work: Path) -> None:
        self._work, self._n = work, 0
        self.namespaces = _bridge()
        host = f"{_NETWORK}.1" if self.namespaces else "127.0.0.1"
        self.address = f"tcp://{host}:18786"
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self._scheduler = self._start("scheduler", "--host", host, "--port", "18786", "--no-dashboard")
        for _ in range(N_WORKERS):
            self.add()

    def _start(self, what: str, *arguments: str, inside: str | None = None) -> subprocess.Popen[bytes]:
        prefix = ["ip", "netns", "exec", inside] if inside else []
        command = [*prefix, sys.executable, "-m", "dask", what, *arguments]
        with open(self._work / f"{what}.log", "ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def add(self) -> None:
        """Start one more worker."""
        self._n += 1
        inside = _namespace(self._n) if self.namespaces else None
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self._work)]
        options += ["--death-timeout", "600"]
        self.workers[self._n] = self._start("worker", self.address, *options, inside=inside)

    def cut(self, k: int, *, up: bool) -> None:
        subprocess.run(["ip", "link", "set", f"evtokf{k}", "up" if up else "down"], check=True)

    def close(self) -> None:
        for process in (*self.workers.values(), self._scheduler):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if self.namespaces:
            for k in range(1, self._n + 1):
                subprocess.run(["ip", "netns", "del", f"evtokf{k}"], check=False)
            subprocess.run(["ip", "link", "del", _BRIDGE], check=False)


def _bridge() -> bool:
    """Make the bridge that the namespaces of all workers are joined to; False where that is not allowed."""
    if not shutil.which("ip") or os.geteuid() != 0:
        return False
    commands = ("link add {b} type bridge", "addr add {n}.1/24 dev {b}", "link set {b} up")
    return all(
        subprocess.run(
            ["ip", *c.format(b=_BRIDGE, n=_NETWORK).split()], capture_output=True, check=False
        ).returncode
        == 0
        for c in commands
    )


def _namespace(k: int) -> str:
    name = f"evtokf{k}"
    for command in (
        f"netns add {name}",
        f"link add {name} type veth peer name eth0 netns {name}",
        f"link set {name} master {_BRIDGE}",
        f"link set {name} up",
        f"-n {name} addr add {_NETWORK}.{k + 1}/24 dev eth0",
        f"-n {name} link set eth0 up",
        f"-n {name} link set lo up",
    ):
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)
    return name


@dataclass(frozen=True)
class Jobs:
    """Carries out `count` jobs below a folder, one after the other; options go to `tokenize_files`."""

    run: Callable[..., None]
    count: int = 1

    def __call__(self, output: Path, **options: Any) -> None:
        self.run(output, **options)


def _rows(work: Path, trials: int) -> Iterator[Row]:
    from distributed import Client

    jobs: list[tuple[str, int, Callable[[], Jobs]]] = [("", trials, lambda: _small_files(work / "in"))]
    if data := os.environ.get("EVTOK_TEST_DATA"):
        pythia = Path(data) / "pythia"
        jobs.append((" over all files of pythia", max(1, trials // 4), lambda: _pythia(pythia, work)))
    cluster = Cluster(work)
    try:
        with Client(cluster.address, timeout=120, set_as_default=False) as client:
            client.wait_for_workers(N_WORKERS, timeout=180)
            for name, times, make in jobs:
                run = make()
                run(work / "whole")
                whole = _shards(work / "whole")
                shutil.rmtree(work / "whole")
                for kind, text in KINDS.items():
                    row = Row(
                        f"Dask, {N_WORKERS} workers{', jobs' if name else ''}{name}: {text}",
                        "the same events, in shards of the same sha256 as those of a job on one machine",
                        ("identical",),
                    )
                    yield _tried(row, client, cluster, run, work / "out", kind, times, whole)
    finally:
        cluster.close()


def _small_files(inputs: Path) -> Jobs:
    from faults import job

    job.make(inputs, 8000)

    def run(output: Path, **options: Any) -> None:
        progress = options.pop("progress", None)
        job.run(inputs, output / "tokens", progress, 2000, **options)

    return Jobs(run)


def _pythia(folder: Path, work: Path) -> Jobs:
    """Return a job for each layout: its files are read together."""
    import evtok
    from evtok.tokenizers import BinnedTokenizer, Feature, Uniform

    ranges = {"pt": (0, 500), "eta": (-4, 4), "phi": (-3.2, 3.2)}
    tokenizer = BinnedTokenizer({name: Feature(name, Uniform(40, *ends)) for name, ends in ranges.items()})
    tokenizer.save(work / "tokenizer")
    patterns = (
        "**/*.dm.csv",
        "**/c3_*.parquet",
        "ttbar.parquet",
        "*_lhco.parquet",
        "*.h5",
        "*.nano.root",
        "*.rntuple.root",
    )
    groups = [sorted(folder.glob(pattern)) for pattern in patterns]
    there = {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"}
    if there != {path for group in groups for path in group} or not all(groups):
        raise RuntimeError(
            f"{folder}: a file is in none of the jobs, or a job without files: adapt the patterns"
        )

    def run(output: Path, **options: Any) -> None:
        for k, files in enumerate(groups):
            evtok.tokenize_files(files, work / "tokenizer", output / str(k), events_per_shard=1000, **options)

    return Jobs(run, len(groups))


def _shards(folder: Path) -> dict[str, str]:
    from faults.jobs_at_risk import hashes

    return {name: mark for name, mark in hashes(folder).items() if Path(name).name.startswith("shard-")}


def _tried(
    row: Row,
    client: Any,
    cluster: Cluster,
    run: Jobs,
    output: Path,
    kind: str,
    trials: int,
    whole: dict[str, str],
) -> Row:
    if kind == "cut off" and not cluster.namespaces:
        row.notes.append("not run: no network namespaces may be made here")
        return row
    in_time = 0
    for trial in range(trials):
        outcome, example, hit = _trial(client, cluster, run, output, kind, trial, whole)
        row.add(outcome, example)
        in_time += hit
    row.notes.append(f"{in_time} of the faults came while the job ran")
    row.notes.append(f"{len(whole)} files of shards")
    return row


def _trial(
    client: Any, cluster: Cluster, run: Jobs, output: Path, kind: str, trial: int, whole: dict[str, str]
) -> tuple[str, object, bool]:
    import evtok

    started, hit = threading.Event(), []
    rng = random.Random(trial)
    n_started, struck = itertools.count(1), rng.randint(1, run.count)  # which of its jobs is struck
    victim = rng.choice(list(cluster.workers))
    process = cluster.workers[victim]

    def strike() -> None:
        started.wait(120)
        time.sleep(rng.uniform(0.0, 1.0))
        hit.append(not done.is_set())
        if kind == "killed":
            process.kill()
            cluster.workers.pop(victim)
            cluster.add()
        elif kind == "stopped":
            process.send_signal(signal.SIGSTOP)
        else:
            cluster.cut(victim, up=False)
            time.sleep(4)
            cluster.cut(victim, up=True)

    def listen(event: dict[str, Any]) -> None:
        if event["event"] == "start" and next(n_started) == struck:
            started.set()

    done = threading.Event()
    striker = threading.Thread(target=strike)
    striker.start()
    error: Exception | None = None
    try:
        run(output, progress=listen, client=client, task_timeout=DEADLINE)
    except Exception as raised:
        error = raised
    done.set()
    started.set()
    striker.join()
    if kind == "stopped":
        process.send_signal(signal.SIGCONT)
        time.sleep(2)  # the late worker finishes what it was at, and writes it
    problems = [] if error else [p for one in sorted(output.iterdir()) for p in evtok.verify(one).problems]
    same = _shards(output) == whole
    shutil.rmtree(output)
    with contextlib.suppress(Exception):
        client.wait_for_workers(N_WORKERS, timeout=60)
    if error is not None:
        return "the job failed", error, bool(hit and hit[0])
    if problems or not same:
        return "not identical", problems or "other shards", bool(hit and hit[0])
    return "identical", "", bool(hit and hit[0])


if __name__ == "__main__":
    for found in _rows(Path(sys.argv[1]), int(sys.argv[2])):
        print(json.dumps(found.to_json()), flush=True)
