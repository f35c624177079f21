"""How evtok is installed: what is pinned, what the metadata say, and what an editable install does."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PYPROJECT["project"]["optional-dependencies"]


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def test_p47_everything_that_make_installs_is_pinned_to_one_version() -> None:
    wanted = [
        *PYPROJECT["build-system"]["requires"],
        *PYPROJECT["project"]["dependencies"],
        "torch",
        "cmake",
        "ninja",
    ]
    for extra in ("io", "cli", "plot", "torch", "trees", "dev"):
        wanted += EXTRAS[extra]
    for requirement in map(Requirement, wanted):
        version = pinned().get(canonicalize_name(requirement.name))
        assert version is not None, f"constraints.txt does not pin {requirement.name}"
        assert requirement.specifier.contains(version), (
            f"constraints.txt pins {version}, expected {requirement}"
        )


def test_constraints_name_no_host_and_no_path() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        assert re.fullmatch(r"#.*|[\w.-]+==[\w.]+", line), line


def test_p53_metadata() -> None:
    project = PYPROJECT["project"]
    assert project["requires-python"] == ">=3.11"
    assert "numpy>=2.0" in project["dependencies"]
    assert not any(Requirement(r).name == "torch" for r in project["dependencies"]), "torch stays optional"
    assert set(EXTRAS) >= {"io", "torch", "trees", "cuda", "cluster", "plot", "cli", "all", "dev"}
    assert PYPROJECT["tool"]["cibuildwheel"]["manylinux-x86_64-image"] == "manylinux_2_28"


@pytest.mark.slow
def test_p56_an_editable_install_rebuilds_when_asked_and_not_at_import(tmp_path: Path) -> None:
    """Edited C++ is used after the next ``pip install -e``; importing builds nothing."""
    if os.environ.get("EVTOK_TEST_EDITABLE") != "1":
        pytest.skip("EVTOK_TEST_EDITABLE=1 is not set: this test compiles evtok anew (minutes)")
    installed = {canonicalize_name(d.name) for d in importlib.metadata.distributions()}
    missing = {"pip", "scikit-build-core", "pybind11", "ninja"} - installed
    assert not missing, f"not installed: {missing}; pip install 'evtok[dev]'"

    checkout = tmp_path / "checkout"
    not_sources = shutil.ignore_patterns(".*", "*.so", "__pycache__", "build", "dist", "*-output")
    shutil.copytree(ROOT, checkout, ignore=not_sources)

    # An environment of its own, which sees the build tools of this one.
    home = tmp_path / "environment"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    (site / "tools.pth").write_text(sysconfig.get_path("purelib") + "\n")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"

    def python_says(*arguments: str) -> str:
        command = [str(python), *arguments]
        result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=1500)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout.strip()

    def install() -> None:
        options = [
            "--no-build-isolation",
            "--no-deps",
            "--no-index",
            f"-Cbuild-dir={checkout / 'build' / 'package'}",
        ]
        python_says("-m", "pip", "install", *options, "-e", str(checkout))

    question = "import evtok, evtok._core as c; print(evtok.__file__, c.numerics_version)"
    install()
    where, version = python_says("-c", question).split()
    assert Path(where).is_relative_to(checkout)

    source = checkout / "cpp" / "bindings" / "bind_runtime.cpp"
    text = source.read_text()
    edited = text.replace(
        'm.attr("numerics_version") = kNumericsVersion;', 'm.attr("numerics_version") = 4242;'
    )
    assert edited != text
    source.write_text(edited)
    assert python_says("-c", question).split()[1] == version, "importing must not build"
    install()
    assert python_says("-c", question).split()[1] == "4242"
