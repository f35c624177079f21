"""A small file of each format that evtok reads or writes, and how to read it to the last byte."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import evtok
from evtok.codebook import Codebook
from evtok.detectors import UnigramDetector
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform
from faults.imports import load_detector, load_tokenizer, open_events

N_EVENTS = 40
RNG = np.random.default_rng(1)
COUNTS = RNG.integers(0, 4, N_EVENTS)
OFFSETS = np.r_[0, np.cumsum(COUNTS)].astype(np.int64)
JETS = {name: RNG.normal(50, 9, COUNTS.sum()).astype(np.float32) for name in ("pt", "eta")}
MET = RNG.random(N_EVENTS).astype(np.float32)
PADDED = np.where(RNG.random((N_EVENTS, 4, 1)) < 0.6, RNG.normal(3, 0.1, (N_EVENTS, 4, 3)), 0)
SCHEMA = {
    "name": "jets",
    "formats": ["root", "parquet"],
    "objects": [{"collection": "Jet", "columns": {"pt": "pt", "eta": "eta"}}],
    "fields": {"MET": "MET_pt"},
}


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes
    ----------
    make : writes what is needed into a folder
    altered : the file in that folder that is damaged
    read : gives a digest of all that can be read from the folder
    ours : evtok wrote it, so that no damage may pass
    """

    name: str
    make: Callable[[Path], object]
    altered: str
    read: Callable[[Path], str]
    ours: bool = False


# ---- inputs -------------------------------------------------------------------------------------------------------


def _tree(path: Path, compression: Any) -> None:
    import awkward as ak
    import uproot

    with uproot.recreate(path, compression=compression) as file:
        branches = {"Jet_pt": "var * float32", "Jet_eta": "var * float32", "MET_pt": "float32"}
        jets = {f"Jet_{k}": ak.unflatten(v, COUNTS) for k, v in JETS.items()}
        file.mktree("Events", branches).extend({**jets, "MET_pt": MET})


def _rntuple(path: Path) -> None:
    import awkward as ak
    import uproot

    with uproot.recreate(path) as file:
        file.mkrntuple(
            "Events", {"Jet": ak.zip({k: ak.unflatten(v, COUNTS) for k, v in JETS.items()}), "MET_pt": MET}
        )


def _zlib(path: Path) -> None:
    import uproot

    _tree(path, uproot.ZLIB(4))


def _lz4(path: Path) -> None:
    import uproot

    _tree(path, uproot.LZ4(4))


def _parquet(path: Path, **options: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    lists = {
        f"Jet_{k}": pa.LargeListArray.from_arrays(pa.array(OFFSETS), pa.array(v)) for k, v in JETS.items()
    }
    pq.write_table(pa.table(lists | {"MET_pt": MET}), path, row_group_size=17, **options)


def _hdf5(path: Path, **options: Any) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("particles", data=PADDED, chunks=(8, 4, 3), **options)


def _csv() -> bytes:
    lines = []
    for k in range(N_EVENTS):
        jets = [
            f"j,{JETS['pt'][i] * 1e3 + 5:.6g},{JETS['pt'][i] * 1e3:.6g},{JETS['eta'][i] / 30:.5g},1.25"
            for i in range(OFFSETS[k], OFFSETS[k + 1])
        ]
        lines.append(";".join([str(k), "ttbar", "0.25", f"{MET[k] * 1e5:.6g}", "1.5", *jets]))
    return ("\n".join(lines) + "\n").encode()


def _events(name: str, schema: Any = None) -> Callable[[Path], str]:
    def read(folder: Path) -> str:
        with open_events(folder / name, schema) as source:
            events = source.read()
        digest = hashlib.sha256(events.offsets.tobytes())
        for key, column in (*events.columns.items(), *events.fields.items()):
            digest.update(key.encode() + column.tobytes())
        return digest.hexdigest()

    return read


def _input(name: str, file: str, make: Callable[[Path], object], schema: Any = None) -> Format:
    return Format(name, lambda folder: make(folder / file), file, _events(file, schema))


INPUTS = (
    _input("Dark Machines CSV", "x.csv", lambda path: path.write_bytes(_csv())),
    _input(
        "Dark Machines CSV, gzip", "x.csv.gz", lambda path: path.write_bytes(gzip.compress(_csv(), mtime=0))
    ),
    _input("ROOT tree, zlib", "x.root", _zlib, SCHEMA),
    _input("ROOT tree, lz4", "x.root", _lz4, SCHEMA),
    _input("ROOT tree, uncompressed", "x.root", lambda path: _tree(path, None), SCHEMA),
    _input("ROOT RNTuple", "x.root", _rntuple, SCHEMA),
    _input(
        "Parquet with page checksums", "x.parquet", lambda p: _parquet(p, write_page_checksum=True), SCHEMA
    ),
    _input("Parquet without", "x.parquet", _parquet, SCHEMA),
    _input(
        "HDF5 with fletcher32 and gzip",
        "x.h5",
        lambda p: _hdf5(p, compression="gzip", fletcher32=True),
        "padded",
    ),
    _input("HDF5 plain", "x.h5", _hdf5, "padded"),
    _input("npy", "x.npy", lambda path: np.save(path, PADDED), "padded"),
)


# ---- ours ---------------------------------------------------------------------------------------------------------


def _tokenizer() -> BinnedTokenizer:
    return BinnedTokenizer(
        {"pt": Feature("pt", Uniform(40, 0, 500)), "eta": Feature("eta", Uniform(30, -90, 90))}
    )


def _tokens(folder: Path, container: str) -> None:
    _parquet(folder / "in.parquet")
    evtok.tokenize_files(
        folder / "in.parquet",
        _tokenizer(),
        folder / "out",
        schema=SCHEMA,
        events_per_shard=20,
        format=container,
    )


def _arrow(folder: Path) -> None:
    _tokens(folder, "arrow")


def _shards(folder: Path) -> str:
    dataset = evtok.TokenDataset(folder / "out")
    digest = hashlib.sha256(repr((dataset.vocab_size, dataset.pad_id, len(dataset))).encode())
    for ids in dataset:
        digest.update(len(ids).to_bytes(8, "little") + ids.tobytes())
    digest.update(dataset.field("entry").tobytes())
    return digest.hexdigest()


def _model(folder: Path) -> UnigramDetector:
    _parquet(folder / "in.parquet")
    with open_events(folder / "in.parquet", SCHEMA) as source:
        events = source.read()
    detector = UnigramDetector(_tokenizer()).fit(events[events.multiplicity > 0])
    detector.save(folder / "model")
    return detector


def _scores(folder: Path) -> None:
    _model(folder)
    evtok.score_files(
        folder / "in.parquet", folder / "model", folder / "scores.parquet", schema=SCHEMA, events_per_shard=20,
        allow_quarantine=True,
    )  # fmt: skip


def _read_scores(folder: Path) -> str:
    scores = evtok.Scores.read(folder / "scores.parquet")
    parts = (scores.score, scores.entry, scores.file_index, *scores.fields.values())
    return hashlib.sha256(
        b"".join(part.tobytes() for part in parts) + repr(scores.inputs).encode()
    ).hexdigest()


def _codebook(folder: Path) -> None:
    Codebook(RNG.normal(size=(16, 3)).astype(np.float32)).save(folder / "codebook")


OURS = (
    Format("shard in Arrow", _arrow, "out/shard-000001.arrow", _shards, ours=True),
    Format(
        "shard in Parquet", lambda f: _tokens(f, "parquet"), "out/shard-000001.parquet", _shards, ours=True
    ),
    Format("record of a shard", _arrow, "out/shard-000001.json", _shards, ours=True),
    Format("manifest", _arrow, "out/manifest.json", _shards, ours=True),
    Format("file of scores", _scores, "scores.parquet", _read_scores, ours=True),
    *(
        Format(f"{kind}, {file}", make, f"{folder}/{file}", read, ours=True)
        for kind, folder, make, read in (
            (
                "tokenizer",
                "tok",
                lambda f: _tokenizer().save(f / "tok"),
                lambda f: load_tokenizer(f / "tok").fingerprint,
            ),
            ("model", "model", _model, lambda f: load_detector(f / "model").fingerprint),
            ("codebook", "codebook", _codebook, lambda f: Codebook.load(f / "codebook").fingerprint),
        )
        for file in ("config.json", "tensors.safetensors")
    ),
)
