"""Transformers on the CPU: `evtok.scoring.Encoder` and the detector it serves, beside torch and ONNX Runtime.

Full sequences in one call, then the pseudo-likelihood of ragged events, each token hidden in turn, then one event at a
time, as a trigger sees them. Sequences and events repeat after some, so that float64 can verify all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from evtok import _core
from evtok.bench import encoder_data, encoder_onnx, encoder_oracle, encoder_torch
from evtok.bench.encoder_data import Array, Network
from evtok.bench.encoder_ways import Way, fastest
from evtok.bench.harness import Case, Contestant, count_differences
from evtok.bench.machine import multiply_add_limit, version_of
from evtok.bench.registry import Settings
from evtok.bench.score_head import peak_extra_bytes
from evtok.bench.tokenize import SEED, sha256
from evtok.reference_encoder import encoder as defined_encoder
from evtok.scoring import Encoder
from evtok.scoring.encoder import Precision

TORCH, PIECES, ONNX, BFLOAT16 = (
    "torch",
    f"torch, {encoder_torch.PIECE} a call",
    "ONNX Runtime",
    "torch bfloat16",
)
PADDED, TORCH_BACKEND = "torch, padded", "evtok, backend torch"

#: The ratios to reach.
REACH = {TORCH: 3.0, ONNX: 1.8}
REACH_PADDED = {PADDED: 5.0}
REACH_EACH = {TORCH: 5.0}

#: Calls that follow each other in a case of one event at a time.
CALLS = 200
# Peers that give their memory back after each call, so that the next one tells what it takes.
_MEMORY = (TORCH, PADDED)
# Events that repeat, where they are scored.
_SCORED = 20
# Sequences that the definition computes in bfloat16.
_DEFINED = 3


def cases(shape: dict[str, Any], settings: Settings) -> Iterator[Case]:
    """Yield the cases of a shape."""
    bench = _Bench(shape, settings)
    yield bench.sequences()
    yield bench.sequences_in_bfloat16()
    yield bench.pseudo_likelihoods()
    for length in shape.get("calls", ()):
        yield bench.each(length)
    if "calls" in shape:
        yield bench.each_pseudo_likelihood(shape["calls"][0])


def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16."""
    return "avx512_bf16" in _core.available_isas()


class _Bench:
    """One shape, its network and its peers."""

    def __init__(self, shape: dict[str, Any], settings: Settings) -> None:
        self.shape, self.threads = shape, settings.threads
        self.network = encoder_data.network(shape)
        self.detector = encoder_data.detector(self.network)
        known = ("torch", "onnxruntime", "onnx") if settings.peers else ()
        self.absent = [package for package in known if version_of(package) is None]
        self.with_torch = settings.peers and "torch" not in self.absent
        self.with_onnx = settings.peers and not {"onnx", "onnxruntime"} & set(self.absent)

    # ---- full sequences -----------------------------------------------------------------------------------------

    def sequences(self) -> Case:
        """All sequences in one call, in float32."""
        x, distinct = encoder_data.sequences(self.shape)
        threads, network = self.threads, self.network
        encoder = native_encoder(network)
        ours = Contestant("evtok", lambda: encoder(x, threads=threads), "ours", _core.version, threads)
        peers: list[Contestant] = []
        notes: list[str] = []
        if self.with_torch:
            for name, ways in (
                (TORCH, encoder_torch.encode(network, x, threads)),
                (PIECES, encoder_torch.encode(network, x, threads, encoder_torch.PIECE)),
            ):
                peers.append(_peer(name, "torch", ways, notes))
        if self.with_onnx:
            peers.append(_peer(ONNX, "onnxruntime", encoder_onnx.encode(network, x, threads), notes))
        n, length, width = x.shape
        return self._case(
            f"{network.settings.layers} layers d={width}, {length} rows a sequence",
            ("events", n),
            [ours, *peers],
            lambda: encoder_data.repeated(encoder_oracle.encoded(x[:distinct], network), n),
            {"sha256": sha256(x), "bytes": x.nbytes, "repeat after": distinct},
            notes,
            operations_per_unit={"multiply-adds of the layers": network.operations(length)},
            reach=REACH,
        )

    def sequences_in_bfloat16(self) -> Case:
        """All sequences in one call, with factors of dense layers in bfloat16."""
        x, distinct = encoder_data.sequences(self.shape)
        threads, network = self.threads, self.network
        encoder = native_encoder(network, "bfloat16")
        ours = Contestant("evtok", lambda: encoder(x, threads=threads), "ours", _core.version, threads)
        peers: list[Contestant] = []
        notes: list[str] = []
        if self.with_torch:
            part = len(x) if has_bfloat16() else max(1, len(x) // 16)
            ways = encoder_torch.encode_bfloat16(network, x[:part], threads)
            peers.append(_peer(BFLOAT16, "torch", ways, notes, part))
            if not has_bfloat16():
                notes.append(
                    "this CPU does not multiply bfloat16: torch has fewer sequences of it, and is slow"
                )
        n, length, _ = x.shape
        return self._case(
            f"bfloat16, {network.settings.layers} layers d={network.width}, {length} rows a sequence",
            ("events", n),
            [ours, *peers],
            lambda: defined_in_bfloat16(network, x[: min(_DEFINED, distinct)]),
            {"sha256": sha256(x), "bytes": x.nbytes, "repeat after": distinct},
            notes,
            operations_per_unit={"multiply-adds of the layers": network.operations(length)},
            verified_by=f"evtok's readable definition, the first {_DEFINED}",
            differences=lambda got, expected: count_differences(np.asarray(got)[: len(expected)], expected),
        )

    # ---- ragged events -------------------------------------------------------------------------------------------

    def pseudo_likelihoods(self) -> Case:
        """Scores of ragged events: each token is hidden in turn."""
        detector, network, threads = self.detector, self.network, self.threads
        tokens, distinct = encoder_data.ragged(self.shape, detector, self.shape["pll"])
        contestants = [
            Contestant(
                "evtok",
                lambda: detector.score(tokens, backend="native", threads=threads),
                *("ours", _core.version, threads),
            )
        ]
        notes: list[str] = []
        if self.with_torch:
            ways = encoder_torch.pseudo_likelihoods(network, tokens, detector.mask_id, threads)
            ragged = Way(
                "events of a length together, without padding",
                lambda: detector.score(tokens, backend="torch", threads=threads),
                threads,
            )
            contestants += [
                _peer(PADDED, "torch", ways, notes),
                _peer(TORCH_BACKEND, "torch", [ragged], notes),
            ]
        n, lengths = len(tokens), tokens.lengths
        whole = float(np.mean([k * network.operations(int(k)) for k in lengths]))
        return self._case(
            f"pseudo-likelihood, {len(tokens.ids) / n:.1f} tokens an event in {self.shape['length']} places",
            ("events", n),
            contestants,
            lambda: encoder_data.repeated(
                encoder_oracle.pseudo_likelihoods(tokens[:distinct], network, detector.mask_id), n
            ),
            {
                "sha256": sha256(tokens.ids, tokens.offsets),
                "bytes": tokens.ids.nbytes + tokens.offsets.nbytes,
                "repeat after": distinct,
            },
            notes,
            operations_per_unit={"multiply-adds of each pass in full, without padding": whole},
            reach=REACH_PADDED,
        )

    # ---- one event at a time -------------------------------------------------------------------------------------

    def each(self, length: int) -> Case:
        """Many calls of one sequence each."""
        x, _ = encoder_data.sequences(self.shape | {"events": CALLS, "length": length})
        pieces, network, threads = list(x), self.network, self.threads
        encoder = native_encoder(network)
        ours = Contestant(
            "evtok",
            lambda: [encoder(piece[None], threads=threads)[0] for piece in pieces],
            *("ours", _core.version, threads),
        )
        return self._calls(
            f"one sequence of {length} rows a call",
            ours,
            lambda package: package.each(network, pieces, threads),
            lambda: encoder_oracle.encoded(x, network),
            {"sha256": sha256(x), "bytes": x.nbytes},
        )

    def each_pseudo_likelihood(self, length: int) -> Case:
        """Many scores of one event each."""
        detector, network, threads = self.detector, self.network, self.threads
        tokens = encoder_data.events_of(detector, np.full(_SCORED, length), CALLS)
        events = [tokens[k : k + 1] for k in range(CALLS)]
        ids = [event.ids.copy() for event in events]  # torch takes no arrays that are read-only
        ours = Contestant(
            "evtok",
            lambda: [detector.score(event, backend="native", threads=threads)[0] for event in events],
            *("ours", _core.version, threads),
        )
        return self._calls(
            f"pseudo-likelihood of one event of {length} tokens a call",
            ours,
            lambda package: package.each_pseudo_likelihood(network, ids, detector.mask_id, threads),
            lambda: encoder_data.repeated(
                encoder_oracle.pseudo_likelihoods(tokens[:_SCORED], network, detector.mask_id), CALLS
            ),
            {"sha256": sha256(tokens.ids), "bytes": tokens.ids.nbytes},
        )

    def _calls(
        self,
        variant: str,
        ours: Contestant,
        ways_of: Callable[[Any], list[Way]],
        expected: Callable[[], Array],
        given: dict[str, Any],
    ) -> Case:
        notes = [f"{CALLS} calls follow each other: only the first finds the caches cold"]
        contestants = [ours]
        if self.with_torch:
            contestants.append(_peer(TORCH, "torch", ways_of(encoder_torch), notes))
        if self.with_onnx:
            contestants.append(_peer(ONNX, "onnxruntime", ways_of(encoder_onnx), notes))
        return self._case(*(variant, ("calls", CALLS), contestants, expected, given, notes), reach=REACH_EACH)

    # ---- all of them ---------------------------------------------------------------------------------------------

    def _case(
        self,
        variant: str,
        amount: tuple[str, int],
        contestants: Sequence[Contestant],
        expected: Callable[[], Array],
        given: dict[str, Any],
        notes: list[str],
        verified_by: str = encoder_oracle.NAME,
        differences: Callable[[Any, Any], int] = encoder_oracle.count_far,
        **options: Any,
    ) -> Case:
        limits = [multiply_add_limit(self.threads)] if "operations_per_unit" in options else []
        peaks = {}
        if limits:  # calls of one event take next to nothing
            told = [one for one in contestants if one.role == "ours" or one.name in _MEMORY]
            peaks = {one.name: peak_extra_bytes(one.run) for one in told}
            taken = [f"{name} {peak / 1e6:.1f} MB" for name, peak in peaks.items() if peak is not None]
            notes.append(f"peak memory beyond the arguments: {', '.join(taken)}")
        return Case(
            *("encoder", self.shape["name"], variant, *amount),
            [*contestants, *limits],
            expected,
            verified_by,
            {"seed": SEED, **given, "peak_extra_bytes": peaks},
            absent=self.absent,
            notes=notes,
            differences=differences,
            **options,
        )


def defined_in_bfloat16(network: Network, x: Array) -> Array:
    """Return what the readable definition makes of sequences x (n, length, d) in bfloat16."""
    n, length, width = x.shape
    layers, settings = _layers_and_settings(network)
    offsets = np.arange(n + 1) * length
    rows = defined_encoder(x.reshape(-1, width), offsets, layers, **settings, precision="bfloat16")
    return rows.reshape(x.shape)


def native_encoder(network: Network, precision: Precision = "float32") -> Encoder:
    """Return our encoder of the network's tensors."""
    layers, settings = _layers_and_settings(network)
    return Encoder(layers, **settings, precision=precision)


def _layers_and_settings(network: Network) -> tuple[list[dict[str, Array]], dict[str, Any]]:
    """Return what our encoder and its definition are made of, but for the precision."""
    of, end = network.settings, network.encoder()
    settings = {
        "heads": of.heads,
        "activation": of.activation,
        "norm_first": of.norm_first,
        "eps": encoder_data.EPSILON,
        "norm": (end["norm.weight"], end["norm.bias"]),
    }
    return [network.layer(k) for k in range(of.layers)], settings


def _peer(
    name: str, package: str, ways: Sequence[Way], notes: list[str], amount: int | None = None
) -> Contestant:
    chosen, note = fastest(ways)
    notes.append(f"{name}: {note}")
    return Contestant(
        *(name, chosen.run, "peer", version_of(package) or "", chosen.threads), exact=False, amount=amount
    )
