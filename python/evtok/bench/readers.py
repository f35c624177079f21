"""The peers of the reading benchmarks: the same columns, read alone, by the package that users know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evtok._optional import require
from evtok.bench.tiling import COLLECTIONS

#: Fields that a job keeps by default, as the sample names them.
KEPT = ("genWeight", "label", "event")

_CODES = {name: code for code, name in enumerate(("j", "b", "e-", "e+", "m-", "m+", "g"))}


def read_darkmachines(path: Path) -> tuple[Any, dict[str, Any]]:
    """Read Dark Machines text by plain Python, line by line, as analyses do; returns offsets and columns in GeV."""
    offsets, code, energy, pt, eta, phi = [0], [], [], [], [], []
    with path.open(encoding="ascii") as lines:
        for line in lines:
            fields = line.rstrip("\n").rstrip(";").split(";")
            for item in fields[5:]:
                name, e, p, h, f = item.split(",")
                code.append(_CODES[name])
                energy.append(float(e))
                pt.append(float(p))
                eta.append(float(h))
                phi.append(float(f))
            offsets.append(len(pt))
    columns = {
        "energy": (np.array(energy) / 1000).astype(np.float32),
        "pt": (np.array(pt) / 1000).astype(np.float32),
        "eta": np.array(eta, np.float32),
        "phi": np.array(phi, np.float32),
        "type": np.array(code, np.uint8),
    }
    return np.array(offsets), columns


def read_parquet(path: Path, use_threads: bool) -> int:
    """Read the columns of a job by pyarrow; returns the number of objects."""
    pq = require("pyarrow.parquet", extra="io")
    names = [f"{c}.list.item.{x}" for c, parts in COLLECTIONS.items() for x in parts]
    table = pq.ParquetFile(path).read(columns=[*names, *KEPT], use_threads=use_threads)
    return sum(sum(len(piece.flatten()) for piece in table[c].chunks) for c in COLLECTIONS)


def read_nanoaod(path: Path) -> int:
    """Read the branches of a job by uproot; returns the number of objects."""
    uproot, ak = require("uproot", extra="io"), require("awkward", extra="io")
    names = [f"{c}_{x}" for c, parts in COLLECTIONS.items() for x in parts]
    with uproot.open(path) as file:
        arrays = file["Events"].arrays([*names, *KEPT], how=dict)
    return sum(int(ak.count(arrays[f"{c}_pt"])) for c in COLLECTIONS)
