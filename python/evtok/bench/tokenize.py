"""Objects to ids: type + pT + η + φ through `BinnedTokenizer.encode`, beside the chains that users write."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import Events, _core
from evtok.bench import peers
from evtok.bench.harness import Case, Contestant
from evtok.bench.machine import copy_limit, version_of
from evtok.bench.registry import Settings
from evtok.tokenizers import BinnedTokenizer, EqualFrequency, Feature, Uniform, log_uniform

SEED = 20260101

#: First and last edge of each feature; the data reach beyond them.
RANGES = {"pt": (15.0, 1500.0), "eta": (-4.0, 4.0), "phi": (-3.1, 3.1)}

# One byte of type and three float32 read, one int32 written; a write that is not streamed reads its line first.
BYTES = {"read and written": 17.0, "with write-allocate": 21.0}


def cases(shape: dict[str, Any], settings: Settings) -> Iterator[Case]:
    """Yield a case for each kind of edges of the shape."""
    events = make_events(shape["objects"], shape["types"])
    for kind in shape["edges"]:
        yield _case(shape, kind, events, settings)


def make_events(n_objects: int, n_types: int) -> Events:
    """Make `n_objects` objects in events of 1 to 15, the same for the same arguments."""
    rng = np.random.default_rng(SEED)
    counts = rng.integers(1, 16, n_objects // 8 + 1)
    offsets = np.minimum(np.r_[0, np.cumsum(counts)], n_objects)
    offsets[-1] = n_objects
    columns = {
        "pt": np.exp(rng.normal(np.float32(4.2), 1, n_objects)).astype(np.float32),
        "eta": rng.normal(0, 1.8, n_objects).astype(np.float32),
        "phi": rng.uniform(-np.pi, np.pi, n_objects).astype(np.float32),
        "type": rng.integers(0, n_types, n_objects).astype(np.uint8),
    }
    return Events(
        offsets, columns, units={"pt": "GeV", "phi": "rad"}, types=[f"type{k}" for k in range(n_types)]
    )


def make_tokenizer(kind: str, n_edges: dict[str, int], events: Events) -> BinnedTokenizer:
    """Make the tokenizer of a case, `n_edges` edges a feature, and fit it where its edges come from data."""
    features = {}
    for name, n in n_edges.items():
        low, high = RANGES[name]
        if kind == "equal-frequency":
            features[name] = Feature(name, EqualFrequency(n + 1))
        elif kind == "log-uniform" and name == "pt":
            features[name] = Feature(name, *log_uniform(n, low, high))
        else:
            features[name] = Feature(name, Uniform(n, low, high))
    tokenizer = BinnedTokenizer(features, types=events.types)
    return tokenizer if tokenizer.is_fitted else tokenizer.fit(events)


def expected_ids(
    kind: str, n_edges: dict[str, int], events: Events, first: int, fitted_to: Events | None = None
) -> npt.NDArray[np.int32]:
    """Return the ids by NumPy in float64, from the definition of the edges and none of evtok's arrays.

    `fitted_to` are the events that edges come from, by default the same.
    """
    ids = events.columns["type"].astype(np.int64)
    for name, n in n_edges.items():
        x = events.columns[name].astype(np.float64)
        low, high = RANGES[name]
        if kind == "equal-frequency":
            of = x if fitted_to is None else fitted_to.columns[name].astype(np.float64)
            ranks = [k * len(of) // (n + 1) for k in range(1, n + 1)]
            edges = np.partition(of, ranks)[ranks]
        elif kind == "log-uniform" and name == "pt":
            x, edges = np.log(x), np.linspace(np.log(low), np.log(high), n)
        else:
            edges = np.linspace(low, high, n)
        ids = ids * (n + 1) + np.digitize(x, edges)
    return (ids + first).astype(np.int32)


def _case(shape: dict[str, Any], kind: str, events: Events, settings: Settings) -> Case:
    n_edges: dict[str, int] = shape["features"]
    tokenizer = make_tokenizer(kind, n_edges, events)
    types = events.columns["type"]
    columns = [events.columns[name] for name in n_edges]
    edges = [tokenizer.fitted[name].thresholds32 for name in n_edges]
    first, threads, n_objects = tokenizer.vocabulary.object_base, settings.threads, events.n_objects
    given = np.ones(n_objects, np.int32)  # ones are written, so the pages are there
    contestants = [
        Contestant(
            "evtok", lambda: tokenizer.encode(events, threads=threads).ids, "ours", _core.version, threads
        ),
        Contestant(
            "evtok, out=",
            lambda: tokenizer.encode(events, threads=threads, out=given).ids,
            "ours",
            _core.version,
            threads,
        ),
        Contestant(
            "numpy.digitize chain",
            lambda: peers.numpy_chain(types, columns, edges, first),
            "peer",
            np.__version__,
        ),
    ]
    absent = []
    if settings.peers:
        for package, make in _optional_peers(kind, types, columns, edges, first, threads).items():
            version = version_of(package)
            if version is None:
                absent.append(package)
            else:
                name, exact, run = make()
                contestants.append(Contestant(name, run, "peer", version, threads, exact))
    contestants.append(copy_limit(threads, BYTES["read and written"] * n_objects))
    return Case(
        "tokenize",
        shape["name"],
        f"{kind} {'/'.join(str(n) for n in n_edges.values())}",
        "objects",
        n_objects,
        contestants,
        lambda: expected_ids(kind, n_edges, events, first),
        "numpy.digitize in float64",
        {"seed": SEED, "sha256": sha256(types, *columns), "events": len(events), "bytes": 17 * n_objects},
        bytes_per_unit=BYTES,
        reach={"numpy.digitize chain": shape["reach"]} if "reach" in shape else {},
        absent=absent,
        notes=(
            "without out=, a result has the memory of the one before it, which is gone; the first one has new memory",
        ),
    )


def _optional_peers(
    kind: str, types: Any, columns: list[Any], edges: list[Any], first: int, threads: int
) -> dict[str, Any]:
    def torch() -> tuple[str, bool, Any]:
        return "torch.bucketize chain", True, peers.torch_chain(types, columns, edges, first, threads)

    def numba() -> tuple[str, bool, Any]:
        if kind == "equal-frequency":
            return "numba loop", True, peers.numba_search(types, columns, edges, first, threads)
        ranges = [(*RANGES[name], kind == "log-uniform" and name == "pt") for name in RANGES]
        counts = [len(e) for e in edges]
        return "numba loop", False, peers.numba_loop(types, columns, ranges, counts, first, threads)

    return {"torch": torch, "numba": numba}


def sha256(*arrays: npt.NDArray[Any]) -> str:
    """Return the sha256 of the bytes of `arrays`, one after the other."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()
