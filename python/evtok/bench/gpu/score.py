"""Likelihoods of a head, and sums over events, on a GPU, beside what users of torch write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.bench.gpu.device import Device
from evtok.bench.gpu.peers import OURS, Peers, Turns, compiled, without_gradients
from evtok.bench.harness import Case, Contestant
from evtok.bench.registry import Settings
from evtok.bench.score_head import TOLERANCE, count_far, make_rows
from evtok.bench.tokenize import SEED, sha256
from evtok.scoring import TokenHead, segment_sum, token_nll

Array = npt.NDArray[Any]

# Rows that the CPU is asked about, spread over all.
_VERIFIED = 1024

EAGER, COMPILED = "torch linear, cross_entropy", "torch linear, cross_entropy, compiled"


def cases(shape: dict[str, Any], settings: Settings) -> Iterator[Case]:
    """Yield the cases of a shape: one with a vocabulary is a head in float32 and in bfloat16, any other a sum."""
    device = settings.device
    assert device is not None
    if "vocab" in shape:
        for dtype in ("bfloat16", "float32"):
            yield _head(shape, dtype, settings, device)
    else:
        yield _sum(shape, settings, device)


# ---- linear to likelihood ------------------------------------------------------------------------------------------


def _head(shape: dict[str, Any], dtype: str, settings: Settings, device: Device) -> Case:
    hidden, weight, bias, targets = make_rows(shape)
    n = len(hidden)
    turns = Turns([[device.put(hidden, dtype)] for _ in range(2)])
    weight_, bias_, targets_ = device.put(weight, dtype), device.put(bias, dtype), device.put(targets)
    head = TokenHead(weight_, bias_)
    ours = [
        Contestant("evtok", lambda: token_nll(turns()[0], weight_, bias_, targets_), *OURS),
        Contestant(
            "evtok, TokenHead, sentinel",
            lambda: head.nll(turns()[0], targets_, on_invalid="sentinel"),
            *OURS,
        ),
    ]
    peers = Peers(device, settings.peers)

    def linear_loss(torch: Any) -> Callable[[Any], Any]:
        functional = torch.nn.functional

        def loss(h: Any) -> Any:
            logits = functional.linear(h, weight_, bias_)
            return functional.cross_entropy(logits, targets_, reduction="none")

        return loss

    def eager(torch: Any) -> Callable[[], Any]:
        loss = linear_loss(torch)
        return without_gradients(torch, lambda: loss(*turns()))

    def fused(torch: Any) -> Callable[[], Any]:
        loss = compiled(torch, linear_loss(torch))
        return without_gradients(torch, lambda: loss(*turns()))

    # In bfloat16 their logits, and what they return, are rounded to 8 bits.
    peers.add(EAGER, "torch", eager, exact=False)
    peers.add(COMPILED, "torch", fused, exact=False)
    contestants = [*ours, *peers.contestants]
    peaks = {c.name: device.peak_extra_bytes(c.run) for c in contestants}
    every = max(1, n // _VERIFIED)
    held = [
        device.get(device.put(a, dtype)) for a in (hidden[::every], weight, bias)
    ]  # as rounded to `dtype`
    return Case(
        *("score", shape["name"], f"V={len(weight)} d={weight.shape[1]} {dtype}, linear to likelihood"),
        *("rows", n),
        [*contestants, device.product_limit(dtype)],
        lambda: token_nll(held[0], held[1], held[2], targets[::every]),
        f"token_nll on the CPU, to {TOLERANCE:g}, every {every}th row",
        {
            "seed": SEED,
            "sha256": sha256(hidden, weight, bias, targets),
            "bytes": hidden.nbytes + weight.nbytes,
            "peak_extra_bytes": peaks,
        },
        differences=lambda got, expected: count_far(device.get(got)[::every], expected),
        operations_per_unit={"one multiply-add for each weight": 2.0 * weight.size},
        reach=shape.get("reach_gpu", {}),
        absent=peers.absent,
        notes=[*peers.notes, f"peak memory beyond the arguments: {_megabytes(peaks)}"],
    )


def _megabytes(peaks: dict[str, int | None]) -> str:
    return ", ".join(f"{name} {peak / 1e6:.1f} MB" for name, peak in peaks.items() if peak is not None)


# ---- sums over events ----------------------------------------------------------------------------------------------


def _sum(shape: dict[str, Any], settings: Settings, device: Device) -> Case:
    random = np.random.default_rng(SEED)
    lengths = random.integers(0, 2 * shape["length"] + 1, shape["events"])
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    values = random.standard_normal(int(offsets[-1]), np.float32)
    turns = Turns.of(device, values, offsets)
    ours = Contestant("evtok", lambda: segment_sum(*turns()), *OURS)
    peers = Peers(device, settings.peers)

    def reduced(torch: Any) -> Callable[[], Any]:
        def run() -> Any:
            values, offsets = turns()
            return torch.segment_reduce(values, "sum", offsets=offsets, initial=0.0)

        return run

    def added(torch: Any) -> Callable[[], Any]:
        events = torch.repeat_interleave(torch.arange(len(lengths), device="cuda"), device.put(lengths))
        return lambda: torch.zeros(len(lengths), device="cuda").index_add_(0, events, turns()[0])

    peers.add("torch.segment_reduce", "torch", reduced, exact=False)
    peers.add("torch index_add_", "torch", added, exact=False)
    bytes_per_event = (values.nbytes + offsets.nbytes + 4.0 * len(lengths)) / len(lengths)
    return Case(
        *("score", shape["name"], f"segment_sum, {len(values) / len(lengths):.1f} values an event"),
        *("events", len(lengths)),
        [ours, *peers.contestants, device.copy_limit(bytes_per_event * len(lengths))],
        lambda: segment_sum(values, offsets),
        "segment_sum on the CPU",
        {"seed": SEED, "sha256": sha256(values, offsets), "bytes": values.nbytes + offsets.nbytes},
        differences=device.count_differences,
        bytes_per_unit={"read and written": bytes_per_event},
        absent=peers.absent,
        notes=[*peers.notes, "torch adds in float32; index_add_ is given the event of each value"],
    )
