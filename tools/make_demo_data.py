"""Cut the bundled demo events out of larger simulated samples.

    python tools/make_demo_data.py SOURCE examples/data

SOURCE holds the ``channel3`` folder: one Parquet file, one Dark Machines text file and one JSON file with the settings
of the generator for each process. The first events of each are taken. With the same packages the same files come out,
byte for byte.
"""

from __future__ import annotations

import argparse
import itertools
import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import awkward as ak
import pyarrow as pa
import pyarrow.parquet as pq
import uproot

COLLECTIONS = {
    "Jet": ("pt", "eta", "phi", "mass", "hadronFlavour", "btag"),
    "Electron": ("pt", "eta", "phi", "mass", "charge"),
    "Muon": ("pt", "eta", "phi", "mass", "charge"),
    "Photon": ("pt", "eta", "phi", "mass"),
}
FIELDS = ("MET_pt", "MET_phi", "run", "luminosityBlock", "event", "genWeight", "label")

# ROOT files carry the time of writing and a random id; both are fixed here so that the bytes repeat.
WRITTEN = datetime(2025, 1, 1)
IDENTITY = uuid.UUID(int=0)


@dataclass(frozen=True)
class Cut:
    """How many events of one process to take, in which format, and what plots call it."""

    process: str
    title: str
    description: str
    events: int
    format: str


CUTS = (
    Cut("ttbar", "top pairs", "top quark pairs, pT-hat above 200 GeV", 3000, "parquet"),
    Cut("qcd", "QCD dijets", "two jets, pT-hat above 400 GeV", 1000, "parquet"),
    Cut("znunu", "Z → νν + jet", "Z to neutrinos and a jet, pT-hat above 300 GeV", 1000, "parquet"),
    Cut("wlnu", "W → ℓν + jet", "W to leptons and a jet, pT-hat above 300 GeV", 1000, "root"),
    Cut(
        "gluino_tttt",
        "gluinos → top quarks",
        "gluino pairs of 1.6 TeV, neutralino of 200 GeV",
        1000,
        "parquet",
    ),
    Cut(
        "gluino_qq",
        "gluinos → light quarks",
        "gluino pairs of 1.4 TeV, neutralino of 1.1 TeV",
        1000,
        "parquet",
    ),
    Cut("stop", "stop pairs", "top squark pairs of 1 TeV, neutralino of 100 GeV", 1000, "dm.csv"),
)


def cut_table(source: Path, events: int) -> pa.Table:
    """Read the first events, and only the columns that the demo needs."""
    table = pq.read_table(source).slice(0, events)
    arrays = {}
    for collection, members in COLLECTIONS.items():
        array = ak.from_arrow(table[collection])
        arrays[collection] = ak.to_arrow(
            ak.zip({name: array[name] for name in members}), extensionarray=False, list_to32=True
        )
    for name in FIELDS:
        arrays[name] = table[name].combine_chunks()
    return pa.table(arrays)


def write_parquet(source: Path, target: Path, events: int) -> None:
    """Write records, as awkward does, without the metadata of the larger file."""
    pq.write_table(cut_table(source, events), target, compression="zstd", compression_level=19)


def write_root(source: Path, target: Path, events: int) -> None:
    """Write a TTree with the branches of NanoAOD: a counter for each collection, and flat columns."""
    table = cut_table(source, events)
    branches: dict[str, Any] = {name: table[name].to_numpy() for name in FIELDS}
    branches |= {collection: ak.from_arrow(table[collection]) for collection in COLLECTIONS}
    with mock.patch("datetime.datetime") as clock:
        clock.now.return_value = WRITTEN
        with uproot.recreate(target, compression=uproot.ZSTD(10), uuid_function=lambda: IDENTITY) as file:
            types = {name: getattr(value, "type", None) or value.dtype for name, value in branches.items()}
            types = {name: kind.content if hasattr(kind, "content") else kind for name, kind in types.items()}
            tree = file.mktree("Events", types, counter_name=lambda name: "n" + name)
            tree.extend(branches)


def write_text(source: Path, target: Path, events: int) -> None:
    """Copy the first lines: one is one event."""
    with source.open("rb") as lines:
        target.write_bytes(b"".join(itertools.islice(lines, events)))


WRITERS = {
    "parquet": ("parquet", write_parquet),
    "root": ("parquet", write_root),
    "dm.csv": ("dm.csv", write_text),
}


def make(source: Path, target: Path) -> None:
    """Write every file of the demo, and ``processes.json``, which says what they are."""
    target.mkdir(parents=True, exist_ok=True)
    processes = []
    for cut in CUTS:
        stem = source / "channel3" / f"c3_{cut.process}"
        settings = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
        suffix, write = WRITERS[cut.format]
        file = f"{cut.process}.{cut.format}"
        write(stem.parent / f"{stem.name}.{suffix}", target / file, cut.events)
        processes.append(
            {
                "file": file,
                "title": cut.title,
                "description": cut.description,
                "signal": bool(settings["label"]),
                "cross_section_pb": settings["sigma_pb"] * settings["selection_efficiency"],
                "selection_efficiency": settings["selection_efficiency"],
                "events": cut.events,
                "events_of_full_sample": settings["events"],
                "generator": settings["pythia"],
                "seed": settings["seed"],
                "settings": settings["settings"],
            }
        )
        print(f"{file:24} {cut.events:5} events  {(target / file).stat().st_size / 1e3:7.1f} kB")
    text = json.dumps(processes, indent=1, ensure_ascii=False) + "\n"
    (target / "processes.json").write_text(text, encoding="utf-8")


def main() -> None:
    """Read the two folders from the command line."""
    parser = argparse.ArgumentParser(description="Cut the bundled demo events out of larger samples.")
    parser.add_argument("source", type=Path, help="folder that holds channel3/")
    parser.add_argument("target", type=Path, help="folder to write, for example examples/data")
    arguments = parser.parse_args()
    make(arguments.source, arguments.target)


if __name__ == "__main__":
    main()
