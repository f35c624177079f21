"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

import evtok
from evtok import _core


def pytest_report_header() -> str:
    """Say which evtok is tested: the installed one, or that of PYTHONPATH."""
    isas = ", ".join(_core.available_isas())
    return f"evtok {evtok.__version__} in {Path(evtok.__file__).parent}; instruction sets: {isas}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With EVTOK_REQUIRE_DATA=1, as in CI, a `data` test that skips has failed: nothing is left out silently."""
    report = yield
    required = os.environ.get("EVTOK_REQUIRE_DATA") == "1" and item.get_closest_marker("data") is not None
    if required and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"EVTOK_REQUIRE_DATA=1, but this test of real data was skipped: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of shared event files, named by EVTOK_TEST_DATA."""
    folder = os.environ.get("EVTOK_TEST_DATA")
    if not folder:
        pytest.skip("EVTOK_TEST_DATA is not set: the shared event files are not here")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"EVTOK_TEST_DATA={folder} is not a folder")
    return path


@pytest.fixture(params=_core.available_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set that this CPU can run, forced, and checked to be the one in use."""
    _core.force_isa(request.param)
    assert _core.active_isa() == request.param
    yield request.param
    _core.unforce_isa()
