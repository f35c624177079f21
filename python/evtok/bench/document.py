"""The JSON document of a run: what was asked, the machine, the versions, and the rows."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evtok import _core
from evtok.errors import EvtokError

FORMAT, VERSION = "evtok-bench", 1


def make(
    machine: dict[str, Any],
    versions: dict[str, str | None],
    rates: Sequence[dict[str, Any]],
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return the document of a run.

    Parameters
    ----------
    machine : dict
        Of `evtok.bench.machine.facts`.
    versions : dict
        Of the peers; None for one that is not installed.
    rates : sequence of dict
        Of `evtok.bench.machine.rates`, before and after the rows: their ratio tells a machine that changed meanwhile.
    rows : list of dict
    """
    return {
        "format": FORMAT,
        "format_version": VERSION,
        "evtok": _core.version,
        "numerics_version": _core.numerics_version,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": versions,
        "rates": list(rates),
        "rows": rows,
    }


def write(path: str | os.PathLike[str], document: dict[str, Any]) -> None:
    """Write a document, whole or not at all; its folder must exist."""
    beside = Path(path).with_name(Path(path).name + ".new")
    beside.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    beside.replace(path)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a document that `write` wrote.

    Raises
    ------
    EvtokError
        A file that is none, or of another version.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvtokError(f"{path}: cannot be read as a benchmark run: {error}") from error
    found = (document.get("format"), document.get("format_version")) if isinstance(document, dict) else None
    if found != (FORMAT, VERSION):
        raise EvtokError(f"{path}: expected the JSON of evtok bench, version {VERSION}, got {found}")
    return dict(document)


def row_name(row: dict[str, Any]) -> str:
    """Return benchmark, shape and variant of a row."""
    return f"{row['benchmark']}/{row['shape']}/{row['variant']}"
