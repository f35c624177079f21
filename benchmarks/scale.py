"""Measure what a large job costs: its rate over workers, its peak memory at two sizes, its bytes an event.

Usage: python benchmarks/scale.py SAMPLE.parquet OUTPUT.json [--events N] [--workers 1,2] [--rounds 3]
           [--memory N,N] [--model FOLDER]... [--folder SCRATCH]

The sample is tiled: its rows are repeated into one file of `--tile` events, and a job reads that file under as many
names (hard links) as give the events that are asked for. So inputs are in the page cache, and the events repeat; the
document says both. Every job is a process of its own, confined to as many CPUs as it has workers, each with one thread.
Rounds visit the numbers of workers up and down in turn, and end with as many jobs that know nothing of each other, of
one worker and one CPU each: the sum of their rates is what the machine gives, as its CPUs share more than each job
knows. Before anything counts, `evtok.verify` proves the shards, and the jobs of all numbers of workers must write the
same bytes. Bytes an event are of a job over the sample itself, as what repeats compresses too well. `scale_table.py`
makes the tables of docs/scale.md of the document.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import evtok
from evtok.bench import machine
from evtok.bench.io import make_tokenizer
from evtok.detectors import HBOS

FORMAT = "evtok-scale"


# ---- one job, in a process of its own ---------------------------------------------------------------------------


def run_job(asked: dict[str, Any]) -> dict[str, Any]:
    """Run a job as asked, confined to as many CPUs as it has workers, and say what it took."""
    first, cpus = asked.get("first_cpu", 0), sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cpus[first : first + (asked["workers"] or len(cpus))])
    output = Path(asked["output"])
    options: dict[str, Any] = {"events_per_shard": asked["events_per_shard"]}
    if asked["workers"]:
        options |= {"workers": asked["workers"], "threads": 1}
    begin = time.monotonic()
    if asked["product"] == "scores":
        job = evtok.score_files(asked["inputs"], asked["artefact"], output, **options).job
        stored = output.stat().st_size
    else:
        job = evtok.tokenize_files(
            asked["inputs"], asked["artefact"], output, format=asked["product"], **options
        )
        stored = job.size
    wall = time.monotonic() - begin
    found = {"events": job.counts.written, "ids": job.ids, "bytes": stored, "seconds": wall}
    found["stages"] = json.loads((job.folder / "job.json").read_text(encoding="utf-8"))["work"]["seconds"]
    # After the job: its workers have ended, and their time and memory are known.
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    found["cpu_seconds"] = sum(one.ru_utime + one.ru_stime for one in usage)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    found["peak_bytes"] = 1024 * int(status["VmHWM"].split()[0])
    if asked["verify"]:
        found["proven"] = evtok.verify(output).ok
        found["content"] = _content(job.folder)
    return found


def _content(folder: Path) -> str:
    """Return one hash of all shards."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.glob("shard-*") if p.suffix != ".json"):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def in_a_process(asked: dict[str, Any]) -> dict[str, Any]:
    """Run a job by this script in a fresh process; its output is removed."""
    output = Path(asked["output"])
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--job", json.dumps(asked)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"the job failed: {done.stderr.strip()}")
        return json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])
    finally:
        for path in (output, output.with_name(output.name + ".parts")):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


# ---- inputs -----------------------------------------------------------------------------------------------------


def tile(sample: Path, n_events: int, path: Path) -> int:
    """Write the rows of `sample` again and again into `path` until it has `n_events`; returns how many it has."""
    table = pq.read_table(sample)
    times = -(-n_events // table.num_rows)
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in range(times):
            writer.write_table(table)
    return times * table.num_rows


def links(file: Path, n: int, folder: Path) -> list[str]:
    """Give a file `n` names."""
    folder.mkdir()
    names = [folder / f"{k:05d}.parquet" for k in range(n)]
    for name in names:
        os.link(file, name)
    return [str(name) for name in names]


# ---- what is measured -------------------------------------------------------------------------------------------


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the document of a run."""
    tiled = folder / "tiled.parquet"
    per_file = tile(options.sample, min(options.tile, options.events), tiled)
    products = list(_products(options, folder))
    inputs = links(tiled, max(*options.workers, round(options.events / per_file)), folder / "inputs")
    common = {"inputs": inputs, "events_per_shard": options.events_per_shard, "output": str(folder / "out")}
    rows = []
    for product in products:
        asked = {**common, **product["asked"]}
        apart: list[dict[str, Any]] = []
        runs = list(_scaling(asked, options, apart))
        once = {**common, **product["asked"], "inputs": [str(options.sample)], "workers": 0, "verify": False}
        stored = {
            key: value for key, value in in_a_process(once).items() if key in ("events", "bytes", "ids")
        }
        rows.append({"what": product["what"], "runs": runs, "apart": apart, "untiled": stored})
    memory = []
    for k, n_events in enumerate(options.memory):
        some = links(tiled, max(1, round(n_events / per_file)), folder / f"memory-{k}")
        asked = {**common, **products[0]["asked"], "inputs": some, "workers": 0, "verify": False}
        found = in_a_process(asked)
        memory.append(
            {"what": products[0]["what"], "events": found["events"], "peak_bytes": found["peak_bytes"]}
        )
        print(f"memory: {found['events']:,} events, {found['peak_bytes'] / 1e6:,.0f} MB", file=sys.stderr)
    table = pq.read_metadata(options.sample)
    return {
        "format": FORMAT,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "evtok": evtok.__version__,
        "machine": machine.facts(1),
        "versions": {"numpy": machine.version_of("numpy"), "pyarrow": pa.__version__},
        "sample": {
            "name": options.sample.name,
            "events": table.num_rows,
            "bytes": options.sample.stat().st_size,
        },
        "tiled": {"events": per_file, "bytes": tiled.stat().st_size, "files": len(inputs)},
        "events_per_shard": options.events_per_shard,
        "rows": rows,
        "memory": memory,
    }


def _products(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what is made: tokens in both containers, scores of a cheap detector and of those that were named."""
    make_tokenizer().save(folder / "tokenizer")
    for container in ("arrow", "parquet"):
        asked = {"product": container, "artefact": str(folder / "tokenizer")}
        yield {"what": f"tokens, {container}", "asked": asked}
    HBOS(["count", "sum_pt"]).fit(evtok.open_events(options.sample)).save(folder / "hbos")
    for path in (folder / "hbos", *options.model):
        kind = evtok.load_detector(path).KIND
        yield {"what": f"scores, {kind}", "asked": {"product": "scores", "artefact": str(path)}}


def _scaling(
    asked: dict[str, Any], options: argparse.Namespace, apart: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    content = None
    for k in range(options.rounds):
        for workers in options.workers if k % 2 == 0 else options.workers[::-1]:
            found = in_a_process({**asked, "workers": workers, "verify": k == 0})
            if k == 0:
                content = content or found["content"]
                if not found["proven"] or found["content"] != content:
                    raise SystemExit(f"{asked['product']}: {workers} workers did not write the same shards")
            rate = found["events"] / found["seconds"]
            print(f"{asked['product']}: {workers} workers, {rate:,.0f} events/s", file=sys.stderr)
            yield {"workers": workers, "round": k, **{key: found[key] for key in _KEPT}}
        n = max(options.workers)
        with ThreadPoolExecutor(n) as pool:
            jobs = list(pool.map(lambda place, n=n: _one_of(asked, place, n), range(n)))
        together = sum(job["events"] / job["seconds"] for job in jobs)
        print(f"{asked['product']}: {n} jobs apart, {together:,.0f} events/s", file=sys.stderr)
        apart.append({"jobs": n, "round": k, "events_per_second": together})


def _one_of(asked: dict[str, Any], place: int, n: int) -> dict[str, Any]:
    """Run one of `n` jobs at the same time, on its share of the inputs and a CPU of its own."""
    share = {"inputs": asked["inputs"][place::n], "output": f"{asked['output']}-{place}"}
    return in_a_process({**asked, **share, "workers": 1, "first_cpu": place, "verify": False})


_KEPT = ("events", "ids", "bytes", "seconds", "cpu_seconds", "stages")


def main(arguments: list[str]) -> None:
    """Run the script."""
    if arguments[:1] == ["--job"]:
        print(json.dumps(run_job(json.loads(arguments[1]))))
        return
    cpus = len(os.sched_getaffinity(0))

    def numbers(text: str) -> list[int]:
        return [int(float(part)) for part in text.split(",")]

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sample", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--events", type=lambda text: int(float(text)), default=4_000_000)
    parser.add_argument("--tile", type=lambda text: int(float(text)), default=1_000_000)
    parser.add_argument("--events-per-shard", type=lambda text: int(float(text)), default=250_000)
    parser.add_argument("--workers", type=numbers, default=sorted({1, *range(2, cpus, 2), cpus}))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=numbers, default=[1_000_000, 10_000_000])
    parser.add_argument("--model", type=Path, action="append", default=[])
    parser.add_argument(
        "--folder", type=Path, default=None, help="for inputs and outputs; a temporary one by default"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        document = measure(options, Path(folder))
    options.output.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
