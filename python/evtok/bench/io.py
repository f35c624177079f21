"""Files to events and to shards: the text parser beside plain Python, whole jobs beside reading alone, and memory.

The data are a sample of `--data` (or EVTOK_TEST_DATA), tiled. Files are in the page cache: the disk is not measured,
except where a job writes its shards durably.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import evtok
from evtok import _core
from evtok._optional import require
from evtok.bench import readers, tiling
from evtok.bench.harness import Case, Contestant, WrongResultError
from evtok.bench.machine import version_of
from evtok.bench.registry import Settings
from evtok.errors import EvtokError
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform, log_uniform

_CHUNK = 65_536


def cases(shape: dict[str, Any], settings: Settings) -> Iterator[Any]:
    """Yield the case of the shape; for memory, the finished row.

    Raises
    ------
    EvtokError
        There is no folder of event files.
    """
    if settings.data is None:
        raise EvtokError("io: needs event files to tile: give their folder as --data, or as EVTOK_TEST_DATA")
    make = {"darkmachines": _text, "parquet": _parquet, "nanoaod": _nanoaod, "memory": _memory}[
        shape["format"]
    ]
    with tempfile.TemporaryDirectory(prefix="evtok-bench-") as folder:
        yield from make(shape, settings, settings.data, Path(folder))


def make_tokenizer() -> BinnedTokenizer:
    """Make the tokenizer of the jobs; it needs no data."""
    features = {
        "pt": Feature("pt", *log_uniform(40, 15.0, 3000.0)),
        "eta": Feature("eta", Uniform(30, -4.0, 4.0)),
        "phi": Feature("phi", Uniform(30, -3.2, 3.2)),
    }
    return BinnedTokenizer(features, types=("j", "b", "e-", "e+", "m-", "m+", "g"))


def _reach(shape: dict[str, Any], *peers: str) -> dict[str, float]:
    return dict.fromkeys(peers, shape["reach"]) if "reach" in shape else {}


# ---- text --------------------------------------------------------------------------------------------------------


def _text(shape: dict[str, Any], settings: Settings, data: Path, folder: Path) -> Iterator[Case]:
    from evtok.io.darkmachines import COLUMNS, DarkMachinesFile

    sample = tiling.sample(data, "darkmachines")
    path, times = tiling.tile_text(sample, shape["bytes"], folder)

    def ours() -> Any:
        with DarkMachinesFile(str(path), threads=1) as file:
            return list(file.iter_events(0, file.n_events, _CHUNK))

    def differences(got: Any, expected: Any) -> int:
        if isinstance(got, list):  # chunks of Events
            whole = evtok.Events.concatenate(got)
            got = whole.offsets, whole.columns
        (starts, columns), (right_starts, right) = got, expected
        if not np.array_equal(starts, right_starts):
            return max(1, len(right_starts))
        return sum(int(np.count_nonzero(~(columns[name] == right[name]))) for name in COLUMNS)

    yield Case(
        "io",
        shape["name"],
        "text to columns, one thread",
        "bytes",
        path.stat().st_size,
        [
            Contestant("evtok", ours, "ours", _core.version, 1),
            Contestant(
                "plain Python", lambda: readers.read_darkmachines(path), "peer", sys.version.split()[0]
            ),
        ],
        lambda: readers.read_darkmachines(path),
        "plain Python",
        tiling.describe(sample, path, times),
        differences=differences,
        reach=_reach(shape, "plain Python"),
        notes=("the count of records, a pass of its own, is part of our time",),
    )


# ---- jobs --------------------------------------------------------------------------------------------------------


class _Output:
    """A folder for the shards of one job, removed with the result: outside of the timed part."""

    def __init__(self, parent: Path) -> None:
        folder = tempfile.mkdtemp(dir=parent)
        self.shards = Path(folder) / "shards"
        weakref.finalize(self, shutil.rmtree, folder)


def _parquet(shape: dict[str, Any], settings: Settings, data: Path, folder: Path) -> Iterator[Case]:
    sample = tiling.sample(data, "parquet")
    path, times = tiling.tile_parquet(sample, shape["events"], folder)
    version = version_of("pyarrow") or ""
    require("pyarrow", extra="io").set_cpu_count(
        settings.threads
    )  # of its own pool, which evtok reads with too
    peers = [
        Contestant(
            "pyarrow, columns alone, 1 thread", lambda: readers.read_parquet(path, False), "peer", version
        ),
        Contestant(
            "pyarrow, columns alone",
            lambda: readers.read_parquet(path, True),
            "peer",
            version,
            settings.threads,
        ),
    ]
    yield _job(shape, settings, sample, path, times, peers, reading_threads=settings.threads)


def _nanoaod(shape: dict[str, Any], settings: Settings, data: Path, folder: Path) -> Iterator[Case]:
    sample = tiling.sample(data, "nanoaod")
    path, times = tiling.tile_nanoaod(sample, shape["events"], folder)
    peers = [
        Contestant(
            "uproot, columns alone", lambda: readers.read_nanoaod(path), "peer", version_of("uproot") or ""
        )
    ]
    yield _job(shape, settings, sample, path, times, peers)


def _job(
    shape: dict[str, Any],
    settings: Settings,
    sample: Path,
    path: Path,
    times: int,
    peers: list[Contestant],
    reading_threads: int = 1,
) -> Case:
    tokenizer = make_tokenizer()
    columns, kept = tokenizer.required_columns, ("label", "weight", "event")
    once = evtok.open_events(sample, columns=columns).read()

    def job() -> Any:
        output = _Output(path.parent)
        evtok.tokenize_files(path, tokenizer, output.shards, threads=settings.threads)
        return output

    def read() -> Any:
        with evtok.open_events(path, columns=columns, fields=kept) as source:
            return sum(events.n_objects for events in source)

    def differences(got: Any, expected: Any) -> int:
        if isinstance(got, int):  # a reader's number of objects
            return abs(got - len(expected))
        ids = evtok.TokenDataset(got.shards)[:].ids
        if len(ids) != len(expected):
            return max(len(ids), len(expected))
        return int(np.count_nonzero(ids != expected))

    return Case(
        "io",
        shape["name"],
        "tokenize_files",
        "events",
        times * len(once),
        [
            Contestant("evtok.tokenize_files", job, "ours", _core.version, settings.threads),
            Contestant("evtok.open_events", read, "ours", _core.version, reading_threads),
            *peers,
        ],
        lambda: np.tile(tokenizer.encode(once).ids, times),
        "encode of the sample, tiled",
        tiling.describe(sample, path, times),
        differences=differences,
        reach=_reach(shape, *(peer.name for peer in peers)),
        notes=(
            "the job writes its shards durably (fsync); all read the fields label, weight and event too",
            "Python's garbage collector runs, as it does for users",
        ),
        collects=True,
    )


# ---- memory ------------------------------------------------------------------------------------------------------

# VmHWM, because getrusage would give the peak of this process where it is larger: a child inherits it.
_JOB = """
import json, sys
from pathlib import Path
import evtok
from evtok.bench.io import make_tokenizer
report = evtok.tokenize_files(sys.argv[1], make_tokenizer(), sys.argv[2], threads=int(sys.argv[3]))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps({"events": report.counts.written, "peak_bytes": 1024 * int(status["VmHWM"].split()[0])}))
"""


def _memory(shape: dict[str, Any], settings: Settings, data: Path, folder: Path) -> Iterator[dict[str, Any]]:
    sample = tiling.sample(data, "parquet")
    measured = []
    for n_events in shape["events"]:
        path, times = tiling.tile_parquet(sample, n_events, folder)
        command = [
            sys.executable,
            "-c",
            _JOB,
            str(path),
            str(folder / f"shards-{n_events}"),
            str(settings.threads),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own interpreter and code
        if done.returncode:
            raise EvtokError(f"io/{shape['name']}: the job failed: {done.stderr.strip()}")
        result = json.loads(done.stdout)
        if result["events"] < n_events:
            raise WrongResultError(
                f"io/{shape['name']}: {result['events']} events written, expected {n_events}"
            )
        measured.append({**result, **tiling.describe(sample, path, times)})
        path.unlink()
    yield {
        "benchmark": "io",
        "shape": shape["name"],
        "variant": "peak memory of a job",
        "unit": "events",
        "threads": settings.threads,
        "memory": measured,
        "notes": ["peak resident memory of the whole process, Python and its packages included"],
    }
