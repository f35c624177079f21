"""Vectors to codes: `evtok.Codebook.nearest` with a prepared codebook, beside the calls that users write.

Each shape has two kinds of rows, Gaussian ones and rows near their codes, as encoders give them. A shape with ``calls``
measures small calls too, and what the preparation costs. All rows are float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from evtok import Codebook, _core
from evtok.bench import nearest_data, nearest_oracle, nearest_peers
from evtok.bench.harness import Case, Contestant, count_differences
from evtok.bench.machine import limited_threads, multiply_add_limit, version_of
from evtok.bench.nearest_data import Array
from evtok.bench.nearest_peers import Call, Peer
from evtok.bench.registry import Settings
from evtok.bench.tokenize import SEED, sha256


def cases(shape: dict[str, Any], settings: Settings) -> Iterator[Case]:
    """Yield the cases of a shape."""
    known = [
        peer
        for peer in nearest_peers.PEERS
        if shape["metric"] in peer.metrics and (settings.peers or peer.package == "numpy")
    ]
    peers = [peer for peer in known if version_of(peer.package) is not None]
    absent = sorted({peer.package for peer in known} - {peer.package for peer in peers})
    bench = _Bench(shape, settings.threads, peers, absent)
    with limited_threads(settings.threads, [peer.module for peer in peers]):
        for kind in nearest_data.KINDS:
            yield bench.lookup(kind)
        for n in shape.get("calls", ()):
            yield bench.small_calls(n)
        if "calls" in shape:
            yield bench.set_up()


class _Bench:
    """One shape, its codes and its peers."""

    def __init__(
        self, shape: dict[str, Any], threads: int, peers: Sequence[Peer], absent: Sequence[str]
    ) -> None:
        self.shape, self.threads, self.peers, self.absent = shape, threads, peers, absent
        self.metric = shape["metric"]
        self.codes = nearest_data.codes(shape)
        self.codebook = Codebook(self.codes, metric=self.metric)

    def lookup(self, kind: str) -> Case:
        """All rows in one call; peers that take long get fewer."""
        x, threads = nearest_data.rows(self.shape, kind, self.codes), self.threads
        contestants = [
            Contestant(
                "evtok", lambda: [self.codebook.nearest(x, threads=threads)], "ours", _core.version, threads
            )
        ]
        notes: list[str] = []
        reach: dict[str, float] = {}
        for peer in self.peers:
            part = x[: max(1, peer.pairs // len(self.codes))]
            call = Call(peer, self.codes, self.metric, threads, part)
            contestants.append(
                _peer(peer, call.over([part]), threads, len(part) if len(part) < len(x) else None)
            )
            notes += call.notes
            if peer.reached and "reach" in self.shape:
                reach[peer.name] = float(self.shape["reach"])
        contestants.append(multiply_add_limit(threads))
        return self._case(
            kind,
            ("vectors", len(x)),
            x,
            contestants,
            operations_per_unit={"one multiply-add for each coordinate of each code": 2.0 * self.codes.size},
            reach=reach,
            notes=notes,
        )

    def small_calls(self, n: int) -> Case:
        """Many calls of n rows each, one after the other."""
        n_calls, threads = max(16, 4000 // (n + 3)), self.threads
        x = nearest_data.rows(self.shape | {"n": n * n_calls}, "Gaussian", self.codes)
        pieces = np.split(x, n_calls)
        contestants = [
            Contestant(
                "evtok",
                lambda: [self.codebook.nearest(piece, threads=threads) for piece in pieces],
                *("ours", _core.version, threads),
            )
        ]
        notes = [f"{n_calls} calls follow each other: only the first finds the caches cold"]
        for peer in self.peers:
            if peer.small_calls:
                call = Call(peer, self.codes, self.metric, threads, pieces[0])
                contestants.append(_peer(peer, call.over(pieces), threads))
                notes += call.notes
        variant = f"{n} {'row' if n == 1 else 'rows'} a call"
        return self._case(variant, ("calls", n_calls), x, contestants, notes=notes)

    def set_up(self) -> Case:
        """The preparation of the codes: a result is what finds ids, and is verified by those of a few rows."""
        x = nearest_data.rows(self.shape | {"n": 256}, "Gaussian", self.codes)
        contestants = [
            Contestant(
                "evtok.Codebook",
                lambda: Codebook(self.codes, metric=self.metric).nearest,
                "ours",
                _core.version,
            )
        ]
        contestants += [
            _peer(peer, lambda peer=peer: peer.set_up(self.codes), 1)
            for peer in self.peers
            if peer.set_up is not None and self.metric == "l2"
        ]
        return self._case(
            "set-up",
            ("calls", 1),
            x,
            contestants,
            differences=lambda find, expected: count_differences(find(x), expected),
        )

    def _case(
        self, variant: str, amount: tuple[str, int], x: Array, contestants: list[Contestant], **options: Any
    ) -> Case:
        codes, metric = self.codes, self.metric
        of_metric = "" if metric == "l2" else f" {metric}"
        return Case(
            "nearest",
            self.shape["name"],
            f"K={codes.shape[0]} D={codes.shape[1]}{of_metric}, {variant}",
            *amount,
            contestants,
            lambda: nearest_oracle.expected_ids(x, codes, metric, self.threads),
            nearest_oracle.NAME,
            {"seed": SEED, "sha256": sha256(x, codes), "rows": len(x), "bytes": x.nbytes + codes.nbytes},
            absent=self.absent,
            **(
                {"differences": lambda got, expected: count_differences(np.concatenate(got), expected)}
                | options
            ),
        )


def _peer(peer: Peer, run: Any, threads: int, amount: int | None = None) -> Contestant:
    version = version_of(peer.package) or ""
    return Contestant(peer.name, run, "peer", version, threads, exact=False, amount=amount)
