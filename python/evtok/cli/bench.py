"""``evtok bench`` comes from the package of benchmarks."""

from __future__ import annotations

import importlib.util
from typing import Any


def register(app: Any) -> None:
    """Add the command to `app`, if this installation has the benchmarks."""
    if importlib.util.find_spec("evtok.bench") and importlib.util.find_spec("evtok.bench.cli"):
        importlib.import_module("evtok.bench.cli").register(app)
