"""benchmarks/gpu/run.py, as far as it goes without a GPU: time limits, what it writes, its table."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the script, by name; none of them stays imported."""
    names = ("runner", "sections", "table", "run")
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


def make_runner(module: Any, folder: Path, seconds: float = 60) -> Any:
    return module("runner").Runner(folder, folder, False, None, None, time.monotonic() + seconds)


def test_a_command_that_hangs_is_killed_with_its_children(module: Any, tmp_path: Path) -> None:
    runner = make_runner(module, tmp_path)
    began = time.monotonic()
    status, text = runner.run(["sh", "-c", "echo begun; sleep 60 & wait"], 2)
    assert time.monotonic() - began < 30  # the child holds the pipe open: it was ended too
    assert (status, text) == ("stopped after 2 s", "begun\n")
    assert runner.run([sys.executable, "-c", "raise SystemExit(3)"], 20)[0] == "failed (3)"
    assert runner.run(["/nowhere/to/be/found"], 5)[0].startswith("failed (")
    assert "begun" in (tmp_path / "log.txt").read_text()


def test_nothing_starts_when_the_time_is_over(module: Any, tmp_path: Path) -> None:
    assert make_runner(module, tmp_path, 5).run([sys.executable], 5) == ("no time left", "")


def test_the_table_names_what_failed_and_what_was_reached(module: Any, tmp_path: Path) -> None:
    ours = {"name": "evtok", "role": "ours", "rate": 1.5e11}
    row = {"benchmark": "tokenize", "shape": "finke", "variant": "uniform", "unit": "objects"}
    rates = {"copy": {"bytes_per_second": 4.3e12}, "multiply_add": {"operations_per_second": 5e13}}
    rates["bfloat16"] = {"operations_per_second": 7.9e14}
    run = {
        "rates": [rates],
        "rows": [
            row
            | {
                "contestants": [ours],
                "again": {"within_noise": True},
                "limits": [{"of": "evtok", "limit": "copy", "median": 0.6}],
                "ratios": [{"of": "evtok", "to": "a peer", "median": 21.0, "reach": 20}],
            },
            {"benchmark": "nearest", "shape": "wide", "variant": "", "failed": "TypeError: not there yet"},
        ],
    }
    (tmp_path / "bench.json").write_text(json.dumps(run))
    sections = {
        "tests": {
            "status": "failed (1)",
            "seconds": 3.0,
            "summary": "1 failed",
            "failed": ["FAILED that one"],
        },
        "bench": {
            "status": "nearest: failed (1)",
            "seconds": 9.0,
            "nearest": {"status": "failed (1)", "end": []},
        },
    }
    text = "\n".join(module("table").lines({"sections": sections}, tmp_path / "bench.json"))
    for part in (
        *(
            "failed (1)  1 failed",
            "| FAILED that one",
            "copy 4.30 TB/s, float32 50.0 and bfloat16 790 Tflop/s",
        ),
        *(
            "1.5e+11 objects/s, 60 % of copy; 21 x a peer (reach 20)",
            "NOT MEASURED: TypeError: not there yet",
        ),
    ):
        assert part in text


def test_the_command_writes_what_it_found(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / "run.py", tmp_path / "out", "--only", "facts", "--emulated"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["sections"]["facts"]["status"] == "ok"
    assert summary["sections"]["facts"]["packages"]["numpy"]
    refused = subprocess.run(
        [sys.executable, FOLDER / "run.py", tmp_path, "--only", "speed"], capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert "expected some of facts, build" in refused.stderr
