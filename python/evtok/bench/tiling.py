"""Files of any size, tiled from a small sample of events: the same events again and again."""

from __future__ import annotations

import hashlib
import math
from importlib import import_module
from pathlib import Path
from typing import Any

from evtok._optional import require
from evtok.errors import EvtokError

#: The samples, below the folder of event files.
SAMPLES = {
    "darkmachines": "pythia/channel3/c3_ttbar.dm.csv",
    "parquet": "pythia/channel3/c3_ttbar.parquet",
    "nanoaod": "pythia/ttbar.nano.root",
}

#: What the preset ``nanoaod`` reads for the tokenizer of these benchmarks, by collection.
COLLECTIONS = {
    "Jet": ("pt", "eta", "phi", "btag"),
    "Electron": ("pt", "eta", "phi", "charge"),
    "Muon": ("pt", "eta", "phi", "charge"),
    "Photon": ("pt", "eta", "phi"),
}
_ROWS_IN_GROUP = 100_000  # of Parquet, and about the size that analysis frameworks write
_ROWS_IN_BASKET = 20_000


def sample(data: Path, kind: str) -> Path:
    """Return the sample of a format.

    Raises
    ------
    EvtokError
        It is not below `data`.
    """
    path = data / SAMPLES[kind]
    if not path.is_file():
        raise EvtokError(f"--data: {data} has no {SAMPLES[kind]}, which the benchmark of {kind} tiles")
    return path


def describe(path: Path, tiled: Path, times: int) -> dict[str, Any]:
    """Return what the data of a case are, for the JSON."""
    return {
        "sample": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "tiled": times,
        "bytes": tiled.stat().st_size,
    }


def tile_text(path: Path, n_bytes: int, folder: Path) -> tuple[Path, int]:
    """Write the lines of `path` as often as makes `n_bytes`, at least once; returns file and times."""
    text = path.read_bytes()
    times = max(1, math.ceil(n_bytes / len(text)))
    tiled = folder / "tiled.dm.csv"
    with tiled.open("wb") as file:
        for _ in range(times):
            file.write(text)
    return tiled, times


def tile_parquet(path: Path, n_events: int, folder: Path) -> tuple[Path, int]:
    """Write the rows of `path` as often as makes `n_events`, with its compression."""
    pq = require("pyarrow.parquet", extra="io")
    table = pq.read_table(path)
    times = max(1, math.ceil(n_events / table.num_rows))
    together = import_module("pyarrow").concat_tables(
        [table] * max(1, min(times, _ROWS_IN_GROUP // table.num_rows))
    )
    tiled = folder / f"tiled-{n_events}.parquet"
    compression = pq.ParquetFile(path).metadata.row_group(0).column(0).compression
    options = {"compression": compression, "use_compliant_nested_type": False}  # names as in the sample
    with pq.ParquetWriter(tiled, table.schema, **options) as writer:
        left = times * table.num_rows
        while left:
            part = together.slice(0, min(left, together.num_rows))
            writer.write_table(part, row_group_size=_ROWS_IN_GROUP)
            left -= part.num_rows
    return tiled, times


def tile_nanoaod(path: Path, n_events: int, folder: Path) -> tuple[Path, int]:
    """Write object branches and numbers of the event of `path` as often as makes `n_events`, with its compression."""
    uproot, ak = require("uproot", extra="io"), require("awkward", extra="io")
    with uproot.open(path) as file:
        tree, compression = file["Events"], file.file.compression
        flat = [b.name for b in tree.branches if "[" not in b.typename and not b.name.startswith("n")]
        arrays = {name: tree[name].array() for name in flat}
        for collection in COLLECTIONS:
            prefix = collection + "_"
            branches = {
                b.name.removeprefix(prefix): b.array() for b in tree.branches if b.name.startswith(prefix)
            }
            arrays[collection] = ak.zip(branches)
    rows = len(arrays[flat[0]])
    times = max(1, math.ceil(n_events / rows))
    repeat = max(1, min(times, _ROWS_IN_BASKET // rows))
    many = {name: ak.concatenate([array] * repeat) for name, array in arrays.items()}
    tiled = folder / "tiled.nano.root"
    with uproot.recreate(tiled, compression=compression) as file:
        tree = file.mktree("Events", {name: array.type.content for name, array in arrays.items()})
        left = times * rows
        while left:
            n = min(left, repeat * rows)
            tree.extend({name: array[:n] for name, array in many.items()})
            left -= n
    return tiled, times
