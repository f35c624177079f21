"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from evtok import _core


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
