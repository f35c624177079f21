"""Reductions over events, distances and histogram scores of `evtok.scoring`, beside NumPy and torch.

Ours is held to the readable definition, bit by bit, on the first events or rows. The peers add in another order, or in
float64, so how many of their results differ in some bit is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evtok import _core, scoring
from evtok.bench.harness import Case, Contestant, count_differences
from evtok.bench.machine import copy_limit, limited_threads, multiply_add_limit, version_of
from evtok.bench.registry import Settings
from evtok.bench.tokenize import SEED, sha256
from evtok.reference_scoring_rows import histogram_score, mahalanobis, squared_distance
from evtok.reference_scoring_segments import event_weights, reduce_event

Array = npt.NDArray[Any]
Run = Callable[[], Any]

# Events or rows that are computed by the definition.
_DEFINED = 200


@dataclass(frozen=True)
class _Work:
    """One kernel on its data: what a row of the benchmark is made of."""

    variant: str
    unit: str
    amount: int
    ours: Run
    peers: dict[str, Run]
    defined: Run
    arrays: tuple[Array, ...]
    bytes_per_unit: dict[str, float] = field(default_factory=dict)
    operations_per_unit: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def cases(shape: dict[str, Any], settings: Settings) -> Iterator[Case]:
    """Yield the cases of a shape."""
    known = ("numpy", "torch") if settings.peers else ("numpy",)
    packages = [name for name in known if version_of(name) is not None]
    with limited_threads(settings.threads, packages):
        if "torch" in packages:
            import_module("torch").set_num_threads(settings.threads)
        for work in (*_reductions(shape, settings.threads), *_of_rows(shape, settings.threads)):
            yield _case(shape, work, settings.threads, packages, [p for p in known if p not in packages])


def _case(shape: dict[str, Any], work: _Work, threads: int, packages: list[str], absent: list[str]) -> Case:
    contestants = [Contestant("evtok", work.ours, "ours", _core.version, threads)]
    for name, run in work.peers.items():
        package = name.split(".", 1)[0]
        if package in packages:
            peer_threads = 1 if package == "numpy" else threads
            version = version_of(package) or ""
            contestants.append(Contestant(name, run, "peer", version, peer_threads, exact=False))
    size = sum(array.nbytes for array in work.arrays)
    contestants.append(copy_limit(threads, max(work.bytes_per_unit.values()) * work.amount))
    if work.operations_per_unit:
        contestants.append(multiply_add_limit(threads))
    return Case(
        "score",
        shape["name"],
        work.variant,
        work.unit,
        work.amount,
        contestants,
        work.defined,
        f"evtok's readable definition, the first {_DEFINED}",
        {"seed": SEED, "sha256": sha256(*work.arrays), "bytes": size},
        differences=lambda got, expected: count_differences(np.asarray(got)[: len(expected)], expected),
        bytes_per_unit=work.bytes_per_unit,
        operations_per_unit=work.operations_per_unit,
        absent=absent,
        notes=work.notes,
    )


# ---- events -----------------------------------------------------------------------------------------------------


def _reductions(shape: dict[str, Any], threads: int) -> Iterator[_Work]:
    random = np.random.default_rng(SEED)
    n, length = shape["events"], shape["length"]
    offsets = np.concatenate(
        [[0], np.cumsum(random.poisson(length - 1, n) + 1)]
    )  # peers have no empty events
    values = random.exponential(3, int(offsets[-1])).astype(np.float32)
    types, type_weights = random.integers(0, 4, len(values)).astype(np.uint8), np.array([1, 0.5, 2, 0.25])
    lengths = np.diff(offsets)
    traffic = {"read and written": 4 + 12 * n / len(values)}

    def defined(reduction: Literal["sum", "mean", "max", "top_mean"], typed: bool = False) -> Run:
        weights = event_weights(None, types if typed else None, type_weights if typed else None, values)

        def run() -> Array:
            ends = pairwise(offsets[: _DEFINED + 1])
            return np.array(
                [reduce_event(values[a:b], weights[a:b], reduction, 3, 0.0) for a, b in ends], np.float32
            )

        return run

    def torch_reduce(reduce: str) -> Run:
        def run() -> Any:
            torch = import_module("torch")
            data, sizes = torch.from_numpy(values), torch.from_numpy(lengths)
            return torch.segment_reduce(data, reduce, lengths=sizes).numpy()

        return run

    works: dict[str, tuple[Run, dict[str, Run], Run]] = {
        "sum": (
            lambda: scoring.segment_sum(values, offsets, threads=threads),
            {
                "numpy.add.reduceat": lambda: np.add.reduceat(values, offsets[:-1]),
                "torch.segment_reduce": torch_reduce("sum"),
            },
            defined("sum"),
        ),
        "mean": (
            lambda: scoring.segment_mean(values, offsets, threads=threads),
            {
                "numpy.add.reduceat": lambda: np.add.reduceat(values, offsets[:-1]) / lengths,
                "torch.segment_reduce": torch_reduce("mean"),
            },
            defined("mean"),
        ),
        "max": (
            lambda: scoring.segment_max(values, offsets, threads=threads),
            {
                "numpy.maximum.reduceat": lambda: np.maximum.reduceat(values, offsets[:-1]),
                "torch.segment_reduce": torch_reduce("max"),
            },
            defined("max"),
        ),
        "mean of the 3 largest": (
            lambda: scoring.segment_top_mean(values, offsets, 3, threads=threads),
            {},
            defined("top_mean"),
        ),
    }
    for name, (ours, peers, expected) in works.items():
        yield _Work(
            f"{name} of an event", "values", len(values), ours, peers, expected, (values, offsets), traffic
        )
    yield _Work(
        "mean of an event, weights of types",
        *("values", len(values)),
        lambda: scoring.segment_mean(
            values, offsets, types=types, type_weights=type_weights, threads=threads
        ),
        {"numpy.add.reduceat": lambda: _weighted_mean(values, type_weights, types, offsets)},
        defined("mean", typed=True),
        (values, offsets, types),
        {"read and written": traffic["read and written"] + 1},
    )


def _weighted_mean(values: Array, type_weights: Array, types: Array, offsets: Array) -> Any:
    weights = type_weights.astype(np.float32)[types]
    return np.add.reduceat(values * weights, offsets[:-1]) / np.add.reduceat(weights, offsets[:-1])


# ---- rows -------------------------------------------------------------------------------------------------------


def _of_rows(shape: dict[str, Any], threads: int) -> Iterator[_Work]:
    random = np.random.default_rng(SEED)
    n, d, k = shape["rows"], shape["d"], shape["classes"]
    x = random.normal(size=(n, d)).astype(np.float32)
    first = x[:_DEFINED]
    traffic = {"read and written": 4.0 * d + 4}

    def torch_rows(score: Callable[[Any, Any], Any]) -> Run:
        def run() -> Any:
            torch = import_module("torch")
            return score(torch, torch.from_numpy(x)).numpy()

        return run

    centre = random.normal(size=d).astype(np.float32)
    yield _Work(
        f"squared distance, D={d}",
        *("rows", n),
        lambda: scoring.squared_distance(x, centre, threads=threads),
        {
            "numpy": lambda: ((x - centre) ** 2).sum(axis=1),
            "torch": torch_rows(lambda torch, rows: ((rows - torch.from_numpy(centre)) ** 2).sum(1)),
        },
        lambda: np.array([squared_distance(row, centre) for row in first], np.float32),
        (x, centre),
        traffic,
    )

    edges = [np.quantile(x[:100_000, j], np.linspace(0, 1, shape["bins"] + 1)) for j in range(d)]
    density = [random.normal(size=shape["bins"] + 2) for _ in range(d)]
    yield _Work(
        f"histograms, D={d}, {shape['bins']} bins",
        *("rows", n),
        lambda: scoring.histogram_score(x, edges, density, threads=threads),
        {
            "numpy.digitize": lambda: sum(
                -density[j].astype(np.float32)[np.digitize(x[:, j], edges[j])] for j in range(d)
            ),
            "torch.bucketize": torch_rows(lambda torch, rows: _torch_histograms(torch, rows, edges, density)),
        },
        lambda: np.array([histogram_score(row, edges, density) for row in first], np.float32),
        (x, *edges, *density),
        traffic,
    )

    means = random.normal(size=(k, d))
    factors = random.normal(0, 0.1, (k, d, d)) + np.eye(d)
    own = np.einsum("kij,kil->kjl", factors, factors)
    own = (own + own.transpose(0, 2, 1)) / 2
    for shared, precision in ((True, own[0]), (False, own)):
        classes = scoring.GaussianClasses(means, precision)
        whitening = d * (d + 1.0)  # a multiply-add is two operations
        yield _Work(
            f"Mahalanobis, K={k} D={d}, {'one precision' if shared else 'a precision each'}",
            *("rows", n),
            partial(classes.distance, x, threads=threads),
            {"torch": torch_rows(partial(_torch_mahalanobis, means, precision))},
            partial(_defined_distances, first[:8], classes),
            (x, means, precision),
            traffic,
            {
                "multiply-adds of whitening and squares": (
                    whitening + 2.0 * k * d if shared else k * (whitening + 2.0 * d)
                )
            },
            ("the definition is computed for 8 rows",),
        )


def _torch_histograms(torch: Any, rows: Any, edges: list[Array], density: list[Array]) -> Any:
    score = torch.zeros(len(rows))
    for j, (borders, values) in enumerate(zip(edges, density, strict=True)):
        bins = torch.bucketize(
            rows[:, j].contiguous(), torch.from_numpy(borders.astype(np.float32)), right=True
        )
        score -= torch.from_numpy(values.astype(np.float32))[bins]
    return score


def _torch_mahalanobis(means: Array, precision: Array, torch: Any, rows: Any) -> Any:
    matrices = np.broadcast_to(precision, (len(means), *precision.shape[-2:])).astype(np.float32)
    least = None
    for mean, matrix in zip(means.astype(np.float32), matrices, strict=True):
        apart = rows - torch.from_numpy(mean)
        distance = ((apart @ torch.from_numpy(matrix)) * apart).sum(1)
        least = distance if least is None else torch.minimum(least, distance)
    return least


def _defined_distances(rows: Array, classes: scoring.GaussianClasses) -> Array:
    centres, factors, whitened = classes.kernel_parameters()
    return np.array([mahalanobis(row, centres, factors, whitened)[0] for row in rows], np.float32)
