"""Watching a job: its log, `status` on running, finished and dead ones, and the report at the end."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys

import pytest

import evtok
from evtok.cli import status as cli_status
from evtok.errors import JobError, MissingBackendError, ShardError
from evtok.jobs import log
from evtok.jobs.durable import OutputFolder
from evtok.jobs.history import History
from evtok.jobs.status import status
from html_page import Page

#: What a hostile or broken log may hold between two good lines.
STRANGE_LINES = [
    b'{"time": "t", "event": "shard", "events": 12',
    b"\xff\xfe\x00",
    b"[1, 2]",
    b"null",
    b'{"event": "shard"}',
    b'{"time": 3, "event": "shard", "events": 1}',
    b"[" * 3000,
    b'{"time": "t", "event": "shard", "events": ' + b"9" * 3000 + b"}",
    b'{"time": "t", "event": "begin", "worker": "' + b"x" * 10_000 + b'"}',
]


@pytest.fixture
def job(inputs, tokenizer, jets_schema, tmp_path):
    """Run a job of 4 shards; keyword arguments override."""

    def run_it(**options):
        settings = {"schema": jets_schema, "events_per_shard": 2000, **options}
        files = settings.pop("files", inputs)
        return evtok.tokenize_files(files, tokenizer, tmp_path / "out", **settings).folder

    return run_it


def lines_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines() if line]


class Stop(Exception):
    """Ends a job from its listener."""


def stop_after(shards, error=Stop):
    def listen(event):
        nonlocal shards
        shards -= event["event"] == "shard"
        if shards == 0:
            raise error

    return listen


# ---- the log ------------------------------------------------------------------------------------------------


def test_the_log_has_a_line_for_each_event_and_each_run(job):
    folder = job()
    job()
    lines = lines_of(folder)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) for line in lines)
    kinds = [line["event"] for line in lines]
    assert (kinds.count("begin"), kinds.count("end"), kinds.count("shard")) == (2, 2, 4)
    assert (kinds[0], kinds[-1], lines[-1]["exit"]) == ("begin", "end", 0)
    shard = next(line for line in lines if line["event"] == "shard")
    assert shard["worker"].endswith(f":{os.getpid()}")
    assert shard["bytes"] == (folder / shard["name"]).stat().st_size
    assert 0 < shard["encode_s"] < 60
    assert 0 < shard["write_s"] < 60
    assert 0 < shard["read_s"] < 60
    history = History.of(lines)
    assert (history.runs, history.work.tasks, history.work.events) == (2, 4, 6234)


def test_lines_are_bounded_and_one_object_each():
    for reason in ("x" * 100_000, "\0\n\r\u2028", "ü" * 9999, "\ud800"):
        data = log.line("end", reason=reason, other="y" * 5000, exit=1)
        assert len(data) <= log.MAX_LINE
        assert data.count(b"\n") == 1
        assert log.parsed(data)["exit"] == 1
    assert log.parsed(log.line("progress", rate=float("nan")))["event"] == "progress"


def test_the_log_decides_nothing(job, shas):
    folder = job()
    expected = shas(folder)
    (folder / "log.jsonl").write_bytes(b"\n".join(STRANGE_LINES))
    for name in ("job.json", "job.html"):
        (folder / name).write_bytes(b"damaged")
    assert evtok.verify(folder).ok
    assert evtok.tokenize_files is not None
    job()
    assert shas(folder) == expected
    assert evtok.verify(folder).ok
    assert Page((folder / "job.html").read_text()).facts  # written anew


def test_a_link_in_place_of_the_log_is_refused(job, tmp_path):
    (tmp_path / "out").mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "out" / "log.jsonl").symlink_to(victim)
    with pytest.raises(JobError, match=r"log\.jsonl: cannot open it"):
        job()
    assert victim.read_text() == "precious"


def test_a_log_that_cannot_be_written_costs_no_job(job, monkeypatch):
    class Full(log.io.FileIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("evtok.jobs.log.io.FileIO", Full)
    folder = job()
    assert evtok.verify(folder).ok
    assert (folder / "log.jsonl").read_bytes() == b""


# ---- status -------------------------------------------------------------------------------------------------


def test_status_of_a_finished_job(job):
    found = status(job())
    assert (found.state, found.ok, found.shards, found.shards_done) == ("complete", True, 4, 4)
    assert (found.events, found.events_done, found.counts.written) == (6234, 6234, 6234)
    assert (found.damaged, found.history.current.exit, found.eta_seconds) == ((), 0, None)
    assert found.events_per_second > 0
    json.dumps(found.to_json(), allow_nan=False)


def test_status_of_a_running_job_disturbs_nothing(job, tmp_path):
    seen = []

    def listen(event):
        if event["event"] == "shard":
            before = sorted((p.name, p.stat().st_mtime_ns) for p in (tmp_path / "out").iterdir())
            seen.append(status(tmp_path / "out"))
            assert before == sorted((p.name, p.stat().st_mtime_ns) for p in (tmp_path / "out").iterdir())

    job(progress=listen)
    assert [found.state for found in seen] == ["running"] * 4
    assert [found.shards_done for found in seen] == [1, 2, 3, 4]
    assert seen[1].to_json()["exit"] is None
    assert status(tmp_path / "out").state == "complete"


def test_asking_for_the_lock_does_not_take_it(tmp_path):
    """A job that starts while somebody asks must not be refused."""
    with OutputFolder(tmp_path) as asking:
        assert not asking.is_locked()
        assert list(tmp_path.iterdir()) == []
        with OutputFolder(tmp_path) as job:
            job.lock()
            assert asking.is_locked()
            with OutputFolder(tmp_path) as other, pytest.raises(JobError, match="another job is writing"):
                other.lock()
        assert not asking.is_locked()
        with OutputFolder(tmp_path) as job:
            job.lock()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Stop("no\nmore"), 1),
        (MissingBackendError("torch"), 2),
        (KeyboardInterrupt(), 130),
        (SystemExit(143), 143),
    ],
)
def test_status_of_a_stopped_job_names_its_exit_code(job, tmp_path, error, code):
    with pytest.raises(type(error)):
        job(progress=stop_after(2, error))
    found = status(tmp_path / "out")
    assert (found.state, found.shards_done, found.ok) == ("stopped", 2, False)
    assert found.history.current.exit == code
    assert not (tmp_path / "out" / "job.html").exists()
    job()
    assert status(tmp_path / "out").state == "complete"


def test_status_of_a_job_that_was_killed(job, tmp_path, jets_schema, inputs, tokenizer):
    tokenizer.save(tmp_path / "tok")
    program = (
        "import evtok, os, json, sys\n"
        "def listen(e):\n"
        "    if e['event'] == 'shard':\n"
        "        os.kill(os.getpid(), 9)\n"
        f"evtok.tokenize_files({[str(p) for p in inputs]!r}, {str(tmp_path / 'tok')!r}, {str(tmp_path / 'out')!r}, "
        f"schema={jets_schema!r}, events_per_shard=2000, progress=listen)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    found = status(tmp_path / "out")
    assert (found.state, found.shards_done, found.ok) == ("dead", 1, False)
    assert found.history.current.exit is None
    log_file = tmp_path / "out" / "log.jsonl"
    whole = log_file.read_bytes()
    for cut in range(len(whole) - 60, len(whole)):  # as kill -9 within a write would leave it
        log_file.write_bytes(whole[:cut])
        assert status(tmp_path / "out").state == "dead"
    job()
    assert status(tmp_path / "out").state == "complete"
    assert [line["event"] for line in map(log.parsed, log_file.read_bytes().splitlines(True)) if line].count(
        "end"
    ) == 1


def test_status_survives_any_log(job):
    folder = job()
    good = (folder / "log.jsonl").read_bytes().splitlines(True)
    mixed = b"".join(line + strange + b"\n" for line, strange in zip(good * 2, STRANGE_LINES, strict=False))
    (folder / "log.jsonl").write_bytes(mixed)
    assert status(folder).state == "complete"
    assert status(folder).history.runs >= 1
    (folder / "log.jsonl").unlink()
    assert status(folder).history.runs == 0
    os.mkfifo(folder / "log.jsonl")
    assert status(folder).state == "complete"


def test_status_of_a_folder_that_cannot_be_written(job):
    folder = job()
    for path in (*folder.iterdir(), folder):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
    try:
        assert status(folder).state == "complete"
    finally:
        folder.chmod(0o755)


def test_status_names_what_is_missing_or_cut(job):
    folder = job()
    shard = folder / "shard-000001.arrow"
    shard.write_bytes(shard.read_bytes()[:-1])
    (folder / "shard-000002.json").unlink()
    (folder / "shard-000003.json").write_bytes(b"{}")
    found = status(folder)
    assert found.damaged == ("shard-000001.arrow", "shard-000003.json", "shard-000002.json")
    assert (found.shards_done, found.ok) == (1, False)


def test_status_where_there_is_no_job(tmp_path):
    with pytest.raises(JobError, match="there is no manifest"):
        status(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b"{}")
    with pytest.raises(ShardError):
        status(tmp_path)


def test_the_command(job, tmp_path, capsys, write):
    cli_status.status_command(job())
    said = capsys.readouterr().out
    assert "tokens, complete" in said
    assert "4 of 4" in said
    assert "6,234 of 6,234 (100.0%)" in said
    cli_status.status_command(tmp_path / "out", as_json=True)
    assert json.loads(capsys.readouterr().out)["state"] == "complete"
    (tmp_path / "out" / "shard-000001.arrow").unlink()
    with pytest.raises(cli_status.typer.Exit):
        cli_status.status_command(tmp_path / "out")
    assert "damaged     1: shard-000001.json; run the same command again" in capsys.readouterr().out


# ---- the report ---------------------------------------------------------------------------------------------


def test_the_report_of_a_job(job, tmp_path, write):
    bad = write(tmp_path / "<bad & ugly>.parquet", 3000, 5, nan=(3, 2999))
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(bad.read_bytes()[:3000])
    good = write(tmp_path / "good.parquet", 1000, 6)
    folder = job(files=[good, bad, broken], allow_quarantine=True)
    content = json.loads((folder / "job.json").read_text())
    account = content["account"]
    assert (account["read"], account["written"], account["quarantined"]) == (4000, 3998, 2)
    assert [file["read"] for file in content["files"]] == [1000, 3000, 0]
    for counts in (account, *content["files"]):
        assert counts["read"] == counts["written"] + counts["filtered"] + counts["quarantined"]
    assert account["weight_read"] > account["weight_written"] > 0
    assert content["bytes"] == sum(p.stat().st_size for p in folder.glob("shard-*.arrow"))
    (reason,) = content["quarantine"]["reasons"]
    assert reason["events"] == 2
    assert "pt = nan" in reason["reason"]
    assert reason["first"]["entry"] == 3
    assert content["quarantine"]["unreadable_files"][0]["path"] == str(broken)
    assert set(content["work"]["seconds"]) == {"read", "encode", "write"}
    assert content["workers"][0]["tasks"] == 3
    page = Page((folder / "job.html").read_text())
    assert page.facts["events in 3 files"] == "4,000"
    account_table = next(rows for caption, rows in page.tables.items() if caption.startswith("Every event"))
    assert account_table[2][:5] == ["<bad & ugly>.parquet", "3,000", "2,998", "0", "2"]
    assert account_table[3][0] == "broken.parquet (cannot be opened)"
    assert "Complete, but for what was allowed to be missing." in page.words
    assert [link for link in page.links if not link.startswith("#")] == []


def test_the_report_of_a_job_whose_quarantine_was_not_allowed(job, tmp_path, write):
    bad = write(tmp_path / "bad.parquet", 300, 5, nan=(3,))
    with pytest.raises(JobError, match="are in quarantine"):
        job(files=[bad])
    folder = tmp_path / "out"
    assert json.loads((folder / "job.json").read_text())["complete"] is False
    assert "Not finished." in Page((folder / "job.html").read_text()).words
    assert status(folder).state == "quarantine"
    assert lines_of(folder)[-1]["exit"] == 1
