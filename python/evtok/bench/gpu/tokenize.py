"""`BinnedTokenizer.encode` of columns on a GPU, beside the chains of `torch.bucketize` and `cupy.digitize`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

from evtok import Events
from evtok.bench.gpu.device import Device
from evtok.bench.gpu.peers import OURS, Peers, Turns, compiled
from evtok.bench.harness import Case, Contestant
from evtok.bench.registry import Settings
from evtok.bench.tokenize import BYTES, SEED, expected_ids, make_events, make_tokenizer, sha256
from evtok.cuda.events import GpuEvents
from evtok.errors import EvtokError

# Objects that NumPy checks in float64, from the first one on: the CPU's kernel checks all.
_BY_NUMPY = 1 << 20


def cases(shape: dict[str, Any], settings: Settings) -> Iterator[Case]:
    """Yield a case for each kind of edges of the shape."""
    assert settings.device is not None
    events = make_events(shape["objects"], shape["types"])
    for kind in shape["edges"]:
        yield _case(shape, kind, events, settings, settings.device)


def on_device(device: Device, events: Events) -> GpuEvents:
    """Return the events on the device."""
    columns = {name: device.put(x) for name, x in events.columns.items()}
    return GpuEvents(device.put(events.offsets), columns, units=events.units, types=events.types)


def _case(shape: dict[str, Any], kind: str, events: Events, settings: Settings, device: Device) -> Case:
    n_edges: dict[str, int] = shape["features"]
    tokenizer = make_tokenizer(kind, n_edges, events)
    first, n_objects = tokenizer.vocabulary.object_base, events.n_objects
    turns = cycle([on_device(device, events) for _ in range(2)])
    contestants = [
        Contestant("evtok", lambda: tokenizer.encode(next(turns)).ids, *OURS),
        Contestant(
            "evtok, sentinel",
            lambda: tokenizer.encode(next(turns), on_invalid="sentinel").ids,
            *OURS,
        ),
    ]
    edges = [tokenizer.fitted[name].thresholds32 for name in n_edges]
    inputs = [events.columns["type"], *(events.columns[name] for name in n_edges)]
    peers = _peers(device, settings, Turns.of(device, *inputs), [device.put(e) for e in edges], first)

    def expected() -> Any:
        ids = tokenizer.encode(events).ids
        few = events[: int(events.offsets.searchsorted(_BY_NUMPY))]
        if (ids[: few.n_objects] != expected_ids(kind, n_edges, few, first, events)).any():
            raise EvtokError("bench: the CPU's ids are not those of NumPy in float64")
        return ids

    return Case(
        *("tokenize", shape["name"], f"{kind} {'/'.join(str(n) for n in n_edges.values())}"),
        *("objects", n_objects),
        [*contestants, *peers.contestants, device.copy_limit(BYTES["read and written"] * n_objects)],
        expected,
        "the CPU's kernel, and numpy.digitize in float64 for the first ones",
        {"seed": SEED, "sha256": sha256(*inputs), "events": len(events), "bytes": 17 * n_objects},
        differences=device.count_differences,
        bytes_per_unit={"read and written": BYTES["read and written"]},
        absent=peers.absent,
        notes=[*peers.notes, "evtok waits for the device, to raise an error; sentinel does not wait"],
    )


def _peers(device: Device, settings: Settings, turns: Turns, edges: Sequence[Any], first: int) -> Peers:
    peers = Peers(device, settings.peers)

    def chain(torch: Any) -> Callable[..., Any]:
        def ids_of(types: Any, *columns: Any) -> Any:
            ids = types.to(torch.int32)
            for x, borders in zip(columns, edges, strict=True):
                ids = ids * (len(borders) + 1) + torch.bucketize(x, borders, right=True, out_int32=True)
            return ids + first

        return ids_of

    def eager(torch: Any) -> Callable[[], Any]:
        run = chain(torch)
        return lambda: run(*turns())

    def fused(torch: Any) -> Callable[[], Any]:
        run = compiled(torch, chain(torch))
        return lambda: run(*turns())

    def by_cupy(cupy: Any) -> Callable[[], Any]:
        borders_ = [cupy.asarray(e) for e in edges]

        def run() -> Any:
            types, *columns = (cupy.asarray(x) for x in turns())
            ids = types.astype(cupy.int32)
            for x, borders in zip(columns, borders_, strict=True):
                ids *= len(borders) + 1
                ids += cupy.digitize(x, borders).astype(cupy.int32)
            ids += first
            return ids

        return run

    peers.add("torch.bucketize chain", "torch", eager)
    peers.add("torch.bucketize chain, compiled", "torch", fused)
    peers.add("cupy.digitize chain", "cupy", by_cupy)
    return peers
