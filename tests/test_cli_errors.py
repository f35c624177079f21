"""How the command `evtok` refuses and stops: one line that says what to do, and an exit code."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

COMMAND = [sys.executable, "-m", "evtok.cli"]
SCHEMA = {
    "name": "s",
    "formats": ["parquet"],
    "objects": [{"collection": "Jet", "columns": {"pt": "pt", "eta": "eta", "phi": "eta"}}],
}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )


def write(path: Path, n_events: int) -> Path:
    rng = np.random.default_rng(1)
    offsets = pa.array(np.arange(n_events + 1) * 2)
    lists = [
        pa.LargeListArray.from_arrays(offsets, pa.array(rng.random(2 * n_events) * scale))
        for scale in (100, 3)
    ]
    pq.write_table(pa.table({"Jet_pt": lists[0], "Jet_eta": lists[1]}), path)
    return path


@pytest.fixture
def fitted(tmp_path: Path) -> list[object]:
    """Arguments for an input with a schema; a tokenizer fitted to it is in ``tok``."""
    (tmp_path / "s.json").write_text(json.dumps(SCHEMA))
    arguments = [write(tmp_path / "a.parquet", 3000), "--schema", tmp_path / "s.json"]
    assert run("fit-tokenizer", *arguments, "-o", tmp_path / "tok").returncode == 0
    return arguments


def refuses(done: subprocess.CompletedProcess[str], text: str) -> None:
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("evtok: error: ")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_refused(tmp_path: Path, fitted: list[object]) -> None:
    tokenized = run("tokenize", *fitted, "--tokenizer", tmp_path / "tok", "-o", tmp_path / "out")
    assert tokenized.returncode == 0, tokenized.stderr
    refuses(run("inspect", tmp_path / "out", "--event", 99999), "99999")
    refuses(run("inspect", tmp_path / "out", "--event", -1), "-1")
    fit = ("fit-tokenizer", *fitted, "-o")
    refuses(run(*fit, tmp_path / "t", "--bins", "pt=99999999999"), "at most 1000000 bins")
    refuses(run(*fit, tmp_path / "t", "--bins", "pt=1000001"), "at most 1000000 bins")
    refuses(run(*fit, tmp_path / "tok", "--bins", "pt=7"), "--overwrite")
    assert run(*fit, tmp_path / "tok").returncode == 0  # the same tokenizer again
    assert run(*fit, tmp_path / "tok", "--bins", "pt=7", "--overwrite").returncode == 0
    refuses(run(*fit, tmp_path / "t", "--preset", "finke"), "jetclass-npy")
    refuses(run(*fit, tmp_path / "t", "--preset", "lut"), "darkmachines")
    refuses(run(*fit, tmp_path / "a.parquet" / "t"), str(tmp_path / "a.parquet"))


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_p42_signals(tmp_path: Path, fitted: list[object], number: int, code: int, word: str) -> None:
    out = tmp_path / "out"
    big = write(tmp_path / "a.parquet", 1_000_000)
    shards = ("--events-per-shard", 2000, "--tokenizer", tmp_path / "tok", "-o", out)
    job = subprocess.Popen(
        [*COMMAND, *map(str, ("tokenize", big, *fitted[1:], *shards))], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(out.glob("shard-*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    job.send_signal(signal.SIGUSR1)
    time.sleep(0.5)
    job.send_signal(number)
    _, said = job.communicate(timeout=60)
    assert job.returncode == code, said
    state, last = said.splitlines()
    assert "of 1000000 events" in state
    assert "of 500 shards" in state
    assert last == f"evtok: {word}; what is recorded stays, run again to go on"


def test_p20_unknown_objects_are_reported(tmp_path: Path) -> None:
    """A tokenizer that knows jets alone, on events with leptons: the share of unk is said."""
    import evtok
    from evtok.tokenizers import BinnedTokenizer, Feature, Uniform

    events = Path(__file__).parents[1] / "examples" / "data" / "znunu.parquet"
    tokenizer = BinnedTokenizer({"eta": Feature("eta", Uniform(9, -5, 5))}, types=("j",))
    tokenizer.save(tmp_path / "tok")
    done = run("tokenize", events, "--tokenizer", tmp_path / "tok", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    unknown = sum(tokenizer.encode(part).report.unknown for part in evtok.open_events(str(events)))  # type: ignore[union-attr]
    assert unknown > 0
    assert f"evtok: warning: {unknown} of " in done.stderr
    assert "are unk" in done.stderr
