"""The peers' own tests for the calls that evtok replaces, run with evtok in their place (substitute.py).

Which tests exist depends on the peer's version, so each list names those that must have passed, and the number is
exact for the version in constraints.txt.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

import pytest

from compat.method_calls import as_functions

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

pytestmark = [pytest.mark.peers, pytest.mark.slow]


@dataclass(frozen=True)
class Outcome:
    tests: dict[str, str]
    calls: dict[str, int]

    def named(self, outcome: str) -> list[str]:
        return sorted(name for name, result in self.tests.items() if result == outcome)


def run(peer: str, folder: Path, *arguments: str | Path, **environment: str) -> Outcome:
    outcome = folder / "outcome.json"
    paths = [str(HERE), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "substitute",
                "-p",
                "no:cacheprovider",
                "-c",
                os.devnull,
            ),
            *map(str, arguments),
        ],
        cwd=folder,
        env={
            **os.environ,
            "EVTOK_SUBSTITUTE": peer,
            "EVTOK_OUTCOME": str(outcome),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return Outcome(**json.loads(outcome.read_text(encoding="utf-8")))


def shipped(module: str) -> Path:
    """Find a test module that the peer ships."""
    found = import_module(module.rsplit(".", 1)[0]).__path__[0]
    path = Path(found) / (module.rsplit(".", 1)[1] + ".py")
    if not path.exists():
        pytest.skip(f"this build of the peer ships no {module}")
    return path


def is_tested_version(package: str) -> bool:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return f"{package}=={metadata.version(package)}" in pins.splitlines()


def check_number(outcome: Outcome, package: str, number: int) -> None:
    passed = len(outcome.named("passed"))
    assert passed == number if is_tested_version(package) else passed > 0


def test_scipy(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    outcome = run("scipy", tmp_path, shipped("scipy.cluster.tests.test_vq"))
    assert outcome.named("failed") == outcome.named("deselected") == outcome.named("skipped") == []
    for name in ("test_vq", "test_vq_matrix", "test_vq_1d", "test_vq_large_nfeat", "test_vq_large_features"):
        assert any(re.match(rf"TestVq::{name}\b", test) for test in outcome.named("passed")), name
    assert any("TestKMeans" in test for test in outcome.named("passed"))  # kmeans calls vq
    check_number(outcome, "scipy", 33)
    assert outcome.calls["evtok"] > 500


def test_sklearn(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    outcome = run(
        "sklearn",
        tmp_path,
        shipped("sklearn.metrics.tests.test_pairwise"),
        *("-k", "argmin"),
        SKLEARN_RUN_FLOAT32_TESTS="1",
    )
    assert outcome.named("failed") == outcome.named("skipped") == []
    assert not [name for name in outcome.named("deselected") if "argmin" in name]
    for dtype in ("float32", "float64"):
        name = f"test_pairwise_distances_argmin_min[{dtype}-"
        assert any(test.startswith(name) for test in outcome.named("passed"))
    for name in ("pairwise_distances_argmin", "pairwise_distances_argmin_min"):
        assert f"test_nan_euclidean_support[{name}]" in outcome.named("passed")
    check_number(outcome, "scikit-learn", 11)
    assert outcome.calls["evtok"] > 50
    assert outcome.calls["sklearn"] > 20  # other metrics, sparse arrays


def test_sklearn_estimators(tmp_path: Path) -> None:
    """The estimators of scikit-learn that predict by the nearest row."""
    pytest.importorskip("sklearn")
    modules = ("test_birch", "test_affinity_propagation", "test_mean_shift")
    files = [shipped(f"sklearn.cluster.tests.{name}") for name in modules]
    outcome = run("sklearn", tmp_path, *files, SKLEARN_RUN_FLOAT32_TESTS="1")
    assert outcome.named("failed") == outcome.named("deselected") == []
    for name in ("test_birch_predict", "test_affinity_propagation_predict"):
        assert any(test.startswith(name) for test in outcome.named("passed")), name
    assert outcome.calls["evtok"] > 5


def test_numpy_digitize(tmp_path: Path) -> None:
    outcome = run("numpy", tmp_path, shipped("numpy.lib.tests.test_function_base"), "-k", "TestDigitize")
    assert outcome.named("failed") == outcome.named("skipped") == []
    assert not [name for name in outcome.named("deselected") if "TestDigitize" in name]
    assert outcome.named("xfailed") == [
        "TestDigitize::test_large_integers_decreasing"
    ]  # NumPy's own gh-11022
    check_number(outcome, "numpy", 11)
    assert outcome.calls["evtok"] > 10


def test_numpy_searchsorted(tmp_path: Path) -> None:
    """NumPy tests the method; the copy of its tests calls the function."""
    copy = tmp_path / "test_multiarray.py"
    as_functions(shipped("numpy._core.tests.test_multiarray"), copy)
    outcome = run("numpy", tmp_path, copy, "-k", "test_searchsorted")
    assert outcome.named("failed") == outcome.named("skipped") == []
    assert not [name for name in outcome.named("deselected") if "test_searchsorted" in name]
    check_number(outcome, "numpy", 12)
    assert outcome.calls["evtok"] > 100
    assert outcome.calls["numpy"] > 20  # strings, objects, complex numbers, dates, NaN in a
