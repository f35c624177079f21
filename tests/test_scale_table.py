"""The tables of docs/scale.md: they follow from the JSON of a run, and from nothing else."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def scale_table():
    spec = importlib.util.spec_from_file_location("scale_table", ROOT / "benchmarks" / "scale_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run():
    """One worker does 1000 events/s, two do 1800; 20 bytes an event."""
    seconds = {1: [2.0, 1.0, 1.0], 2: [1000 / 1800, 1000 / 1800, 0.1]}
    stages = {"read": 0.002, "encode": 0.001, "write": 0.0005}
    runs = [
        {"workers": n, "round": k, "events": 1000, "ids": 5000, "bytes": 7, "seconds": s, "stages": stages}
        for n, times in seconds.items()
        for k, s in enumerate(times)
    ]
    return {
        "created": "2026-01-02T03:04:05+00:00",
        "evtok": "0.2.0",
        "machine": {"cpu": "a CPU", "cpus": 2, "isa": "avx2"},
        "versions": {"numpy": "2.0"},
        "sample": {"name": "qcd.parquet", "events": 1000, "bytes": 9},
        "tiled": {"events": 1000, "bytes": 1_500_000, "files": 1},
        "events_per_shard": 500,
        "rows": [
            {
                "what": "tokens, arrow",
                "runs": runs,
                "apart": [{"jobs": 2, "round": k, "events_per_second": 1875.0 + 100 * k} for k in (-1, 0, 1)],
                "untiled": {"events": 1000, "bytes": 20_000},
            }
        ],
        "memory": [
            {"what": "tokens, arrow", "events": 1_000_000, "peak_bytes": 200e6},
            {"what": "tokens, arrow", "events": 10_000_000, "peak_bytes": 201e6},
        ],
    }


def test_the_tables_are_what_the_run_says(run):
    text = scale_table().table(run)
    assert "| tokens, arrow | 1 k events/s | 1.8 k events/s | 90% | 96% | 2 / 1 / 0.5 |" in text
    hours = 1e9 / 1800 / 3600
    assert f"| tokens, arrow | {2 * hours:,.1f} | 20 GB | {hours:.1f} h | {2 * hours / 100:.1f} h |" in text
    assert "1,000,000 events: 200 MB; 10,000,000 events: 201 MB" in text
    assert "Medians of 3 rounds" in text


def test_it_replaces_what_lies_between_the_marks(run, tmp_path):
    module = scale_table()
    source, target = tmp_path / "run.json", tmp_path / "scale.md"
    source.write_text(json.dumps(run))
    target.write_text(f"before\n{module.BEGIN}\nold\n{module.END}\nafter\n")
    for _ in range(2):
        module.main([str(source), str(target)])
    assert target.read_text() == f"before\n{module.BEGIN}\n{module.table(run)}\n{module.END}\nafter\n"
    target.write_text("no marks")
    with pytest.raises(SystemExit, match="expected one"):
        module.main([str(source), str(target)])


def test_the_page_shows_the_last_run():
    """Where a run is published, the page is that of the last one; no number in it was typed."""
    module = scale_table()
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    found = re.search(f"{module.BEGIN}\n(.*)\n{module.END}", page, re.DOTALL)
    assert found
    runs = sorted((ROOT / "benchmarks" / "results").glob("*-scale.json"))
    expected = module.table(json.loads(runs[-1].read_text(encoding="utf-8"))) if runs else "Not measured yet."
    assert found[1] == expected
