"""Inputs for the fault tests, the hashes of an undisturbed run, and the check that every fault ends with."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).parent / "job.py"


@pytest.fixture(scope="session")
def program() -> list[str]:
    """The command that runs a job in a process of its own."""
    return [sys.executable, str(PROGRAM)]


@pytest.fixture(scope="session")
def job() -> ModuleType:
    """The same as a module of this process."""
    spec = importlib.util.spec_from_file_location("fault_job", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, job: ModuleType) -> Path:
    """Inputs and a tokenizer."""
    path = tmp_path_factory.mktemp("faults") / "in"
    job.make(path)
    return path


def _hashes(output: Path) -> dict[str, str]:
    found = [p for p in output.glob("shard-*") if not p.name.startswith(".")]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


@pytest.fixture(scope="session")
def undisturbed(folder: Path, program: list[str]) -> dict[str, str]:
    """Hashes of all shards and records of a run that nothing disturbed."""
    output = folder.parent / "undisturbed"
    subprocess.run([*program, "run", str(folder), str(output)], check=True, capture_output=True)
    hashes = _hashes(output)
    assert len(hashes) == 32
    return hashes


@pytest.fixture(scope="session")
def check(undisturbed: dict[str, str]) -> Callable[[Path], int]:
    """Prove that whatever lies at a final path is whole and right; returns how many files do."""

    def prove(output: Path) -> int:
        found = _hashes(output)
        for name, sha256 in found.items():
            assert sha256 == undisturbed[name], f"{name} is not what an undisturbed run writes"
        return len(found)

    return prove
