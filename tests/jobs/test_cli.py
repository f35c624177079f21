"""The command `evtok`: what it prints, where, and how it exits."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys

import pytest

import evtok

COMMAND = [sys.executable, "-m", "evtok.cli"]


def run(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120, **options
    )


@pytest.fixture
def setup(tmp_path, inputs, tokenizer, jets_schema):
    """Paths of a tokenizer and of a schema."""
    tokenizer.save(tmp_path / "tok")
    schema = tmp_path / "jets.json"
    schema.write_text(json.dumps(jets_schema))
    return ["--tokenizer", tmp_path / "tok", "--schema", schema, "--events-per-shard", 3000]


def test_tokenize_verify_inspect(tmp_path, inputs, setup):
    out = tmp_path / "out"
    done = run("tokenize", *inputs, *setup, "-o", out)
    assert (done.returncode, done.stderr) == (0, "")  # P42: no progress where nobody looks
    assert "3 shards (0 proven from before), 6234 events" in done.stdout
    again = run("tokenize", *inputs, *setup, "-o", out)
    assert "3 shards (3 proven from before)" in again.stdout
    proven = run("verify", out)
    assert proven.returncode == 0
    assert "proven: 3 shards, 6234 events" in proven.stdout
    shown = run("inspect", out, "--event", 5)
    dataset = evtok.TokenDataset(out)
    assert shown.returncode == 0
    assert " ".join(map(str, dataset[5])) in shown.stdout
    decoded = dataset.tokenizer.decode(dataset[5:6])
    assert f"{decoded.columns['pt'][0]:.6g}" in shown.stdout
    assert "6,234" in run("inspect", out).stdout


def test_verify_exits_with_1_and_names_the_file(tmp_path, inputs, setup):
    out = tmp_path / "out"
    run("tokenize", *inputs, *setup, "-o", out, "--format", "parquet")
    (out / "shard-000001.parquet").write_bytes(b"")
    found = run("verify", out)
    assert (found.returncode, found.stdout) == (1, "")
    assert "shard-000001.parquet: 0 bytes" in found.stderr


def test_p42_log_json(tmp_path, inputs, setup):
    done = run("tokenize", *inputs, *setup, "-o", tmp_path / "out", "--log-json")
    events = [json.loads(line) for line in done.stderr.splitlines()]
    lost = {"unknown", "truncated_events", "truncated_objects", "cut_objects"}
    times = {"read_s", "encode_s", "write_s"}
    keys = {
        "start": {"folder", "shards", "events", "proven_shards", "proven_events"},
        "progress": {"done_events", "total_events", "events_per_s", "eta_s"},
        "shard": {"name", "events", "ids", "bytes", "quarantined", "sha256", "worker", "attempt"}
        | times
        | lost,
        "task": {"name", "attempt"},
        "finish": {"read", "written", "filtered", "quarantined", "ids", "bytes", "complete"} | lost,
    }
    assert {e["event"] for e in events} == set(keys)
    assert all(set(e) == keys[e["event"]] | {"event", "seconds"} for e in events)


def test_p42_a_bar_on_a_terminal(tmp_path, inputs, setup):
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*COMMAND, "tokenize", *map(str, inputs), *map(str, setup), "-o", str(tmp_path / "out")],
        stderr=theirs,
        stdout=subprocess.PIPE,
        check=False,
        timeout=120,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    drawn = b""
    with contextlib.suppress(OSError):  # the end of a pseudo-terminal is EIO
        while part := os.read(ours, 4096):
            drawn += part
    os.close(ours)
    assert done.returncode == 0
    assert "6234/6234" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode())
    assert "events/s" in drawn.decode()


def test_errors_are_one_line_without_a_traceback(tmp_path, inputs, setup, write):
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(inputs[0].read_bytes()[:1000])
    for arguments, text in [
        (("tokenize", broken, *setup, "-o", tmp_path / "o"), "broken.parquet"),
        (("tokenize", tmp_path / "no.parquet", *setup, "-o", tmp_path / "o"), "no such file"),
        (("tokenize", inputs[0], "--tokenizer", tmp_path / "no", "-o", tmp_path / "o"), "no"),
        (
            ("tokenize", inputs[0], *setup, "-o", tmp_path / "o", "--format", "csv"),
            "expected one of arrow, parquet",
        ),
        (("verify", tmp_path / "in"), "there is no manifest"),
        (("inspect", tmp_path / "in"), "there is no manifest"),
    ]:
        done = run(*arguments)
        assert done.returncode == 1, arguments
        assert done.stderr.startswith("evtok: error: ")
        assert text in done.stderr
        assert "Traceback" not in done.stderr


def test_quarantine_needs_permission(tmp_path, setup, write):
    path = write(tmp_path / "bad.parquet", 100, 1, nan=(3,))
    refused = run("tokenize", path, *setup, "-o", tmp_path / "out")
    assert refused.returncode == 1
    assert "1 of 100 events are in quarantine" in refused.stderr
    allowed = run("tokenize", path, *setup, "-o", tmp_path / "out", "--allow-quarantine")
    assert allowed.returncode == 0
    assert "1 events in quarantine" in allowed.stdout


@pytest.mark.parametrize(("bins", "n_pt"), [(None, 20), ("pt=7,eta=5", 7)])
def test_fit_tokenizer_follows_from_the_columns(tmp_path, write, bins, n_pt):
    path = write(tmp_path / "a.parquet", 3000, 4)
    schema = tmp_path / "s.json"
    jets = {"pt": "pt", "eta": "eta", "phi": "eta"}
    schema.write_text(
        json.dumps({"name": "s", "formats": ["parquet"], "objects": [{"collection": "Jet", "columns": jets}]})
    )
    options = ["--bins", bins] if bins else []
    done = run("fit-tokenizer", path, "--schema", schema, "-o", tmp_path / "tok", *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert evtok.load_tokenizer(tmp_path / "tok").digits["pt"] == n_pt
    made = run("tokenize", path, "--schema", schema, "--tokenizer", tmp_path / "tok", "-o", tmp_path / "out")
    assert made.returncode == 0
    assert run("verify", tmp_path / "out").returncode == 0


@pytest.mark.parametrize("bins", ["pt", "pt=0", "pt=x", "pt=1.5"])
def test_bins_that_are_none(tmp_path, inputs, setup, bins):
    done = run(
        "fit-tokenizer", inputs[0], "--schema", tmp_path / "jets.json", "-o", tmp_path / "t", "--bins", bins
    )
    assert done.returncode == 1


def test_wrong_usage_exits_with_2():
    assert run("tokenize").returncode == 2
    assert run("frobnicate").returncode == 2
    assert run("verify", "--nonsense").returncode == 2


def test_info():
    facts = json.loads(run("info", "--json").stdout)
    assert facts["version"] == evtok.__version__
    assert facts["isa"] in run("info").stdout


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_is_named(missing, tmp_path, inputs, setup):
    block = f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['evtok', 'info']; "
    done = subprocess.run(
        [sys.executable, "-c", block + "from evtok.cli import main; main()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'evtok[cli]'" in done.stderr
    assert "Traceback" not in done.stderr
