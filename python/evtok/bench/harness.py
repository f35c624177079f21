"""The harness: no result is timed before it is verified, and no speed is stated without its peer of the same run.

A round calls every contestant once: ours, ours once more (A/A), each peer, and the limits of the machine; the next
round goes the other way, so that a drift of the clock meets all alike. Before each call the caches are filled with
something else. Ratios are taken within a round, then their median.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from evtok.bench.statistics import median_interval, summary
from evtok.errors import EvtokError

#: Rounds of a case: at least the first, at most the second; between them, as many as fit into the time.
LEAST_ROUNDS, MOST_ROUNDS = 11, 41
SECONDS_PER_CASE = 15.0

#: The name of the second run of ours in each round.
AGAIN = "again"


class WrongResultError(EvtokError):
    """A kernel whose result is not the expected one; it is not timed."""


@dataclass(frozen=True)
class Contestant:
    """One way to do the work of a case.

    Attributes
    ----------
    name : str
    run : callable
        Does the work and returns its result. What it needs has been made before.
    role : {"ours", "peer", "limit"}
        A limit is the machine itself: it moves `traffic` bytes or does `operations`, and has no result.
    version : str
        Of the package.
    threads : int
        That it uses.
    exact : bool
        False: known to differ from the definition in some values; how many is recorded instead of refused.
    traffic : float
        Bytes that a limit moves.
    operations : float
        Floating-point operations that a limit does.
    amount : int, optional
        That its call handles the first so many units alone, because it takes long; its rate is per unit all the same.
    """

    name: str
    run: Callable[[], Any]
    role: Literal["ours", "peer", "limit"]
    version: str = ""
    threads: int = 1
    exact: bool = True
    traffic: float = 0.0
    operations: float = 0.0
    amount: int | None = None


@dataclass(frozen=True)
class Case:
    """One row of the benchmarks.

    Attributes
    ----------
    benchmark, shape, variant : str
        Where it belongs; together they name the row.
    unit : str
        What is counted, such as "objects".
    amount : float
        How many of them one call handles.
    contestants : sequence of Contestant
        The first is ours.
    expected : callable
        Returns the right result, by the way that `verified_against` names; called once.
    differences : callable (result, expected) -> int
        Number of values that differ; 0 means right. It must compare with ==.
    input : dict
        What the data are: seed, sha256, size.
    bytes_per_unit, operations_per_unit : mapping of str to float
        Bytes that each unit must at least read and write, or operations that it needs, by the way of counting.
    reach : mapping of str to float
        The ratio to a peer that this row is meant to reach.
    absent : sequence of str
        Peers that are not installed.
    notes : sequence of str
        What a reader of the number must know.
    collects : bool
        Python's garbage collector runs during the timed part, as it does for users: for whole jobs, whose objects in
        circles would else hold more and more memory.
    """

    benchmark: str
    shape: str
    variant: str
    unit: str
    amount: float
    contestants: Sequence[Contestant]
    expected: Callable[[], Any]
    verified_against: str
    input: dict[str, Any]
    differences: Callable[[Any, Any], int] = field(
        default=lambda got, expected: count_differences(got, expected)
    )
    bytes_per_unit: dict[str, float] = field(default_factory=dict)
    operations_per_unit: dict[str, float] = field(default_factory=dict)
    reach: dict[str, float] = field(default_factory=dict)
    absent: Sequence[str] = ()
    notes: Sequence[str] = ()
    collects: bool = False

    @property
    def name(self) -> str:
        """Benchmark, shape and variant."""
        return "/".join(part for part in (self.benchmark, self.shape, self.variant) if part)

    def amount_of(self, contestant: Contestant) -> float:
        """Units that one call of `contestant` handles."""
        return self.amount if contestant.amount is None else contestant.amount


class Clock(Protocol):
    """What times one call."""

    def flush(self) -> None:
        """Fill the caches with something else."""

    def timed(self, run: Callable[[], Any]) -> tuple[float, Any]:
        """Return the seconds that `run` took, and its result."""


#: Threads of OpenMP and of ONNX Runtime look for work by spinning for 20 to 50 ms after a call, on the CPUs of whoever
#: comes next; so long a pause, and more, lies before each call.
REST_SECONDS = 0.1


class HostClock:
    """Wall time, after `rest_seconds` of sleep and after `flush_bytes` were written: twice the caches, or more."""

    def __init__(self, flush_bytes: int, rest_seconds: float = 0.0) -> None:
        self._flush = np.zeros(flush_bytes // 8, np.int64)
        self._rest_seconds = rest_seconds

    def flush(self) -> None:
        """Let the threads of others go to sleep, and fill the caches with something else."""
        time.sleep(self._rest_seconds)
        self._flush += 1

    def timed(self, run: Callable[[], Any]) -> tuple[float, Any]:
        """Return the seconds that `run` took, and its result."""
        begin = time.perf_counter_ns()
        result = run()
        return (time.perf_counter_ns() - begin) * 1e-9, result


def count_differences(got: Any, expected: Any) -> int:
    """Count the values in which two arrays differ; another shape or dtype kind means all."""
    a, b = np.asarray(got), np.asarray(expected)
    if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
        return max(a.size, b.size, 1)
    return int(a.size - np.count_nonzero(a == b))  # NaN differs from everything


def measure(
    case: Case,
    *,
    rounds: int | None = None,
    flush_bytes: int = 1 << 26,
    clock: Clock | None = None,
    seconds_per_case: float = SECONDS_PER_CASE,
) -> dict[str, Any]:
    """Verify every contestant of `case`, then time all of them; returns the row of the run's JSON.

    Parameters
    ----------
    case : Case
    rounds : int, optional
        By default as many as `seconds_per_case` allows, within bounds.
    flush_bytes : int
        Written before each call: twice the caches, or more.
    clock : Clock, optional
        By default a `HostClock` of `flush_bytes`.

    Raises
    ------
    WrongResultError
        A result that is not the expected one, before or after the timing.
    """
    ours = case.contestants[0]
    if ours.role != "ours" or not ours.exact:
        raise ValueError(f"{case.name}: the first contestant must be ours, and exact")
    expected = case.expected()
    wrong = {c.name: _verify(case, c, c.run(), expected) for c in case.contestants if c.role != "limit"}

    entries = [(ours.name, ours), (AGAIN, ours)] + [(c.name, c) for c in case.contestants[1:]]
    clock = clock or HostClock(flush_bytes)
    started = time.perf_counter()
    for _, contestant in entries:  # warm-up, which also says how long a round takes
        clock.flush()
        clock.timed(contestant.run)
    if rounds is None:
        taken = max(time.perf_counter() - started, 1e-6)
        rounds = int(np.clip(seconds_per_case / taken, LEAST_ROUNDS, MOST_ROUNDS))
    seconds: dict[str, list[float]] = {name: [] for name, _ in entries}
    collecting = gc.isenabled()
    gc.collect()
    if not case.collects:
        gc.disable()
    try:
        for k in range(rounds):
            for name, contestant in entries if k % 2 == 0 else entries[::-1]:
                clock.flush()
                if case.collects:
                    gc.collect()  # what the one before has left
                taken, result = clock.timed(contestant.run)
                if k == rounds - 1 and contestant.role != "limit":
                    _verify(case, contestant, result, expected)
                del result  # outside of the timed part
                seconds[name].append(taken)
    finally:
        if collecting:
            gc.enable()
    return _row(case, seconds, wrong)


def _verify(case: Case, contestant: Contestant, result: Any, expected: Any) -> int:
    part = expected if contestant.amount is None else expected[: contestant.amount]
    wrong = case.differences(result, part)
    if wrong and contestant.exact:
        raise WrongResultError(
            f"{case.name}: {contestant.name}: {wrong} values differ from {case.verified_against}; a wrong result is "
            "not timed"
        )
    return wrong


def _row(case: Case, seconds: dict[str, list[float]], wrong: dict[str, int]) -> dict[str, Any]:
    def ratio(slow: str, fast: str, amounts: float = 1.0) -> dict[str, float]:
        pairs = zip(seconds[slow], seconds[fast], strict=True)
        return median_interval([a / b * amounts for a, b in pairs])

    def of_limit(c: Contestant, limit: Contestant, what: str, counting: str, size: float) -> dict[str, Any]:
        full = limit.traffic if what == "bytes" else limit.operations
        return {
            "of": c.name,
            "limit": limit.name,
            "counting": counting,
            f"{what}_per_unit": size,
            f"limit_{what}_per_second": full / float(np.median(seconds[limit.name])),
            **ratio(limit.name, c.name, size * case.amount_of(c) / full),
        }

    ours = [c for c in case.contestants if c.role == "ours"]
    again = ratio(AGAIN, ours[0].name)
    limits = [
        of_limit(c, limit, what, counting, size)
        for c in ours
        for limit in case.contestants
        if limit.role == "limit"
        for what, sizes in (("bytes", case.bytes_per_unit), ("operations", case.operations_per_unit))
        if (limit.traffic if what == "bytes" else limit.operations)
        for counting, size in sizes.items()
    ]
    return {
        "benchmark": case.benchmark,
        "shape": case.shape,
        "variant": case.variant,
        "unit": case.unit,
        "amount": case.amount,
        "input": case.input,
        "verified_against": case.verified_against,
        "contestants": [
            {
                "name": c.name,
                "role": c.role,
                "version": c.version,
                "threads": c.threads,
                "exact": c.exact,
                "differences": wrong.get(c.name),
                "amount": None if c.role == "limit" else case.amount_of(c),
                "rate": None if c.role == "limit" else case.amount_of(c) / float(np.median(seconds[c.name])),
                "seconds": {**summary(seconds[c.name]), "samples": seconds[c.name]},
            }
            for c in case.contestants
        ],
        "ratios": [
            {
                "of": c.name,
                "to": peer.name,
                **ratio(peer.name, c.name, case.amount_of(c) / case.amount_of(peer)),
                **({"reach": case.reach[peer.name]} if peer.name in case.reach else {}),
            }
            for c in ours
            for peer in case.contestants
            if peer.role == "peer"
        ],
        "limits": limits,
        "again": {**again, "within_noise": again["low"] <= 1 <= again["high"]},
        "absent": list(case.absent),
        "notes": list(case.notes),
    }
