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


#: Tests that must not skip where the variable is 1, as in CI: nothing is left out silently.
REQUIRED = {
    "data": "EVTOK_REQUIRE_DATA",
    "peers": "EVTOK_REQUIRE_PEERS",
    "emulated_cuda": "EVTOK_REQUIRE_EMULATED_CUDA",
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test with one of the marks `REQUIRED` fail when it skips."""
    report = yield
    for mark, variable in REQUIRED.items():
        required = os.environ.get(variable) == "1" and item.get_closest_marker(mark) is not None
        if required and report.skipped and not hasattr(report, "wasxfail"):
            report.outcome = "failed"
            report.longrepr = f"{variable}=1, but this test, marked {mark!r}, was skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """With EVTOK_REQUIRE_PEERS=1, no module skips as a whole because a package is missing."""
    report = yield
    if os.environ.get("EVTOK_REQUIRE_PEERS") == "1" and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"EVTOK_REQUIRE_PEERS=1, but this module was skipped: {report.longrepr}"
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
