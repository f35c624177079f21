"""A folder of a stranger is no place to import from, also when a job is run in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from evtok.jobs.local_workers import LocalWorkers


def test_p43_workers_import_nothing_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("json", "signal", "queue", "pyarrow", "evtok"):
        (tmp_path / f"{module}.py").write_text("open('executed', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    workers = LocalWorkers(1, 1)
    try:
        workers.prepare()
    finally:
        workers.close(5.0)
        assert not (tmp_path / "executed").exists()
