"""Pseudo-likelihoods of a `MaskedTokenDetector` on a GPU, beside torch with padded events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from evtok import Tokens
from evtok.bench import encoder_data, encoder_torch
from evtok.bench.encoder_data import Network
from evtok.bench.gpu.peers import OURS, Peers, without_gradients
from evtok.bench.harness import Case, Contestant
from evtok.bench.registry import Settings
from evtok.bench.score_head import TOLERANCE, count_far
from evtok.bench.tokenize import SEED, sha256

EAGER, FAST, COMPILED = "torch, padded", "torch, padded, fast path", "torch, padded, compiled"

#: The ratio to reach.
REACH = {EAGER: 3.0}


def cases(shape: dict[str, Any], settings: Settings) -> Iterator[Case]:
    """Yield the one case of the shape."""
    device = settings.device
    assert device is not None
    network = encoder_data.network(shape)
    detector = encoder_data.detector(network)
    tokens, distinct = encoder_data.ragged(shape, detector, shape["pll"])
    n = len(tokens)
    ours = Contestant(
        "evtok",
        lambda: detector.score(tokens, device="cuda"),
        *OURS,
    )
    peers = Peers(device, settings.peers)
    for name, options in ((EAGER, {}), (FAST, {"fast": True}), (COMPILED, {"with_compile": True})):
        peers.add(
            *(
                name,
                "torch",
                lambda torch, options=options: _padded(torch, network, tokens, detector, **options),
            ),
            exact=False,
        )
    operations = float(np.mean([k * network.operations(int(k)) for k in tokens.lengths]))
    yield Case(
        *("encoder", shape["name"]),
        f"pseudo-likelihood, {len(tokens.ids) / n:.1f} tokens an event in {shape['length']} places",
        *("events", n),
        [ours, *peers.contestants, device.product_limit("float32"), device.product_limit("bfloat16")],
        lambda: encoder_data.repeated(detector.score(tokens[:distinct], backend="native"), n),
        f"the native encoder on the CPU, to {TOLERANCE:g}",
        {"seed": SEED, "sha256": sha256(tokens.ids, tokens.offsets), "bytes": tokens.ids.nbytes},
        differences=count_far,
        operations_per_unit={"multiply-adds of each pass in full, without padding": operations},
        reach=REACH,
        absent=peers.absent,
        notes=[*peers.notes, "tokens come from the host and scores go back to it, for all contestants"],
    )


def _padded(
    torch: Any,
    network: Network,
    tokens: Tokens,
    detector: Any,
    *,
    fast: bool = False,
    with_compile: bool = False,
) -> Callable[[], Any]:
    """Return what scores events padded to all places: each place is hidden in turn, in the events that have it."""
    state = {name: torch.from_numpy(value).cuda() for name, value in network.state.items()}
    embedding, positions = state["embedding.weight"], state["positions.weight"]
    encoder, functional = encoder_torch.module(network).cuda(), torch.nn.functional
    lengths, places = tokens.lengths, network.settings.max_length
    ids = np.zeros((len(lengths), places), np.int64)
    ids[np.arange(places) < lengths[:, None]] = tokens.ids

    def surprise(masked: Any, target: Any, padding: Any, place: Any) -> Any:
        hidden = encoder(embedding[masked] + positions[:places], src_key_padding_mask=padding)
        own = hidden.index_select(1, place)[:, 0]
        logits = functional.linear(own, state["head.weight"], state["head.bias"])
        return functional.cross_entropy(logits, target, reduction="none")

    step = torch.compile(surprise, dynamic=True) if with_compile else surprise

    def run() -> Any:
        before = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(fast)
        try:
            rows, n_rows = torch.from_numpy(ids).cuda(), torch.from_numpy(lengths).cuda()
            padding = torch.arange(places, device="cuda") >= n_rows[:, None]
            total = torch.zeros(len(rows), device="cuda")
            for place in range(int(lengths.max())):
                having = (n_rows > place).nonzero()[:, 0]
                target = rows[having]
                masked = target.clone()
                masked[:, place] = detector.mask_id
                at = torch.tensor([place], device="cuda")
                total[having] += step(masked, target[:, place], padding[having], at)
            return (total / n_rows).cpu().numpy()
        finally:
            torch.backends.mha.set_fastpath_enabled(before)

    return without_gradients(torch, run)
