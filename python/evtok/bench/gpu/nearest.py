"""`Codebook.nearest` of rows on a GPU, beside what users of torch write, and cuVS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from evtok import Codebook
from evtok.bench import nearest_data
from evtok.bench.gpu.device import Device
from evtok.bench.gpu.peers import OURS, Peers, Turns, compiled
from evtok.bench.harness import Case, Contestant
from evtok.bench.nearest_data import Array
from evtok.bench.registry import Settings
from evtok.bench.tokenize import SEED, sha256

# Distances that a peer holds at a time: 1 GiB of float32.
_CHUNK = 1 << 28
# Numbers of a code from which products of matrices are what a lookup can be compared with.
_MATRIX_DIMS = 32

CDIST, ADDMM, COMPILED = "torch cdist, argmin", "torch addmm, argmin", "torch addmm, argmin, compiled"


def cases(shape: dict[str, Any], settings: Settings) -> Iterator[Case]:
    """Yield a case for each kind of rows of the shape."""
    assert settings.device is not None
    codes = nearest_data.codes(shape)
    for kind in nearest_data.KINDS:
        yield _case(shape, kind, codes, settings, settings.device)


def _case(shape: dict[str, Any], kind: str, codes: Array, settings: Settings, device: Device) -> Case:
    metric = shape["metric"]
    codebook = Codebook(codes, metric=metric)
    x = nearest_data.rows(shape, kind, codes)
    n_codes, n_dims = codes.shape
    turns = Turns.of(device, x)
    contestants = [
        Contestant("evtok", lambda: codebook.nearest(*turns()), *OURS),
        Contestant(
            "evtok, sentinel",
            lambda: codebook.nearest(*turns(), on_invalid="sentinel"),
            *OURS,
        ),
    ]
    peers = _peers(device, settings, turns, codes, metric)
    if n_dims < _MATRIX_DIMS:
        limits = [device.product_limit("float32")]
        operations = {"three operations for each coordinate of each code": 3.0 * codes.size}
    else:
        limits = [device.product_limit("float32"), device.product_limit("bfloat16")]
        operations = {"one multiply-add for each coordinate of each code": 2.0 * codes.size}
    return Case(
        *("nearest", shape["name"], f"K={n_codes} D={n_dims} {metric}, {kind}", "vectors", len(x)),
        [*contestants, *peers.contestants, *limits],
        lambda: codebook.nearest(x),
        "Codebook.nearest on the CPU",
        {"seed": SEED, "sha256": sha256(x, codes), "rows": len(x), "bytes": x.nbytes + codes.nbytes},
        differences=device.count_differences,
        operations_per_unit=operations,
        reach=shape.get("reach_gpu", {}),
        absent=peers.absent,
        notes=[
            *peers.notes,
            f"peers hold at most {_CHUNK >> 20} Mi distances at a time; TF32 is off",
            "a search that leaves codes out can exceed 100 % of a limit",
        ],
    )


def _peers(device: Device, settings: Settings, turns: Turns, codes: Array, metric: str) -> Peers:
    peers = Peers(device, settings.peers)
    codes_ = device.put(codes)
    at_once = max(1, _CHUNK // len(codes))

    def in_chunks(torch: Any, find: Callable[[Any], Any]) -> Callable[[], Any]:
        def run() -> Any:
            found = [find(part) for part in turns()[0].split(at_once)]
            return found[0] if len(found) == 1 else torch.cat(found)

        return run

    def cdist(torch: Any) -> Callable[[], Any]:
        return in_chunks(torch, lambda x: torch.cdist(x, codes_).argmin(1))

    def product(torch: Any) -> Callable[[Any], Any]:
        if metric == "cosine":
            table = torch.nn.functional.normalize(codes_).T.contiguous()
            return lambda x: (x @ table).argmax(1)
        squares, table = codes_.square().sum(1), codes_.T.contiguous()
        return lambda x: torch.addmm(squares, x, table, alpha=-2).argmin(1)

    def by_product(torch: Any) -> Callable[[], Any]:
        return in_chunks(torch, product(torch))

    def by_product_compiled(torch: Any) -> Callable[[], Any]:
        return in_chunks(torch, compiled(torch, product(torch)))

    def by_cuvs(cuvs: Any) -> Callable[[], Any]:
        from importlib import import_module

        brute_force = import_module("cuvs.neighbors.brute_force")
        torch = device.torch()
        index = brute_force.build(codes_, metric="sqeuclidean" if metric == "l2" else "cosine")

        def run() -> Any:
            _, found = brute_force.search(index, turns()[0], 1)
            return torch.as_tensor(found, device="cuda")[:, 0]

        return run

    # None is exact: their sums are rounded in another order, and ties fall otherwise.
    if metric == "l2":
        peers.add(CDIST, "torch", cdist, exact=False)
    peers.add(ADDMM, "torch", by_product, exact=False)
    peers.add(COMPILED, "torch", by_product_compiled, exact=False)
    peers.add("cuVS brute force", "cuvs", by_cuvs, exact=False)
    return peers
