"""The shapes that the benchmarks run, by name: benchmarks/shapes.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evtok.errors import EvtokError


def shapes_file() -> Path:
    """Return the file of shapes: beside this module when evtok is installed, in the checkout otherwise."""
    installed = Path(__file__).with_name("shapes.json")
    if installed.is_file():
        return installed
    return Path(__file__).resolve().parents[3] / "benchmarks" / "shapes.json"


def load(benchmark: str, name: str | None = None, *, on_gpu: bool = False) -> list[dict[str, Any]]:
    """Return the shapes of a benchmark: the one named, or all that run by default.

    On a GPU those run by default that have an entry "gpu", whose values replace the others: a GPU needs more rows.

    Raises
    ------
    EvtokError
        A name that this benchmark does not have.
    """
    shapes = json.loads(shapes_file().read_text(encoding="utf-8"))[benchmark]
    if on_gpu:
        shapes = [{"default": "gpu" in shape} | shape | shape.get("gpu", {}) for shape in shapes]
    if name is None:
        return [shape for shape in shapes if shape.get("default", True)]
    found = [shape for shape in shapes if shape["name"] == name]
    if not found:
        raise EvtokError(
            f"--shape: {benchmark} has no shape {name!r}; it has {', '.join(s['name'] for s in shapes)}"
        )
    return found
