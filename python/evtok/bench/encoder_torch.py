"""What a user of torch writes: `torch.nn.TransformerEncoder` in eval mode, without gradients.

Each function gives the ways that are worth a try: with and without the fused layer that torch calls its fast path, in
one call or in pieces that fit the caches better, with one thread or all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

from evtok import Tokens
from evtok.bench.encoder_data import Array, Network
from evtok.bench.encoder_ways import Way

#: Sequences of a piece.
PIECE = 256

FAST = ((True, "fast path"), (False, "no fast path"))


def module(network: Network) -> Any:
    """Return the encoder as `torch.nn.TransformerEncoder`, in eval mode."""
    torch = import_module("torch")
    of = network.settings
    layer = torch.nn.TransformerEncoderLayer(
        *(of.width, of.heads, of.feed_forward, of.dropout, of.activation),
        batch_first=True,
        norm_first=of.norm_first,
    )
    norm = torch.nn.LayerNorm(of.width) if of.norm_first else None
    made = torch.nn.TransformerEncoder(layer, of.layers, norm, enable_nested_tensor=False)
    made.load_state_dict({name: torch.from_numpy(value) for name, value in network.encoder().items()})
    return made.eval()


def encode(network: Network, x: Array, threads: int, piece: int | None = None) -> list[Way]:
    """Return ways to encode float32 sequences x (n, length, d): in one call, or `piece` of them a call."""
    torch = import_module("torch")
    made, given = module(network), torch.from_numpy(x)
    parts = given.split(piece or len(given))

    def run() -> Any:
        found = [made(part) for part in parts]
        return (found[0] if len(found) == 1 else torch.cat(found)).numpy()

    return [Way(name, _set(fast, threads, run), threads) for fast, name in FAST]


def encode_bfloat16(network: Network, x: Array, threads: int) -> list[Way]:
    """Return ways to encode in bfloat16: a module that was converted, or one under autocast."""
    torch = import_module("torch")
    made, given = module(network), torch.from_numpy(x)
    converted, narrow = module(network).to(torch.bfloat16), given.to(torch.bfloat16)

    def run() -> Any:
        return converted(narrow).float().numpy()

    def automatic() -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return made(given).float().numpy()

    return [
        *(Way(f"module, {name}", _set(fast, threads, run), threads) for fast, name in FAST),
        Way("autocast", _set(False, threads, automatic), threads),
    ]


def each(network: Network, pieces: Sequence[Array], threads: int) -> list[Way]:
    """Return ways to encode one sequence (length, d) after the other, a call for each."""
    torch = import_module("torch")
    made = module(network)

    def run() -> Any:
        return [made(torch.from_numpy(piece)[None])[0].numpy() for piece in pieces]

    return [
        Way(f"{name}, {n} threads", _set(fast, n, run), n)
        for fast, name in FAST
        for n in sorted({1, threads})
    ]


def pseudo_likelihoods(network: Network, tokens: Tokens, mask_id: int, threads: int) -> list[Way]:
    """Return ways to score events: padded to all places, each place hidden in turn in the events that have it.

    The whole encoder sees all places; the head only sees the rows of what is hidden.
    """
    score = _padded_scores(network, mask_id)
    lengths = tokens.lengths
    ids = np.zeros((len(lengths), network.settings.max_length), np.int64)
    ids[np.arange(ids.shape[1]) < lengths[:, None]] = tokens.ids
    return [
        Way(name, _set(fast, threads, lambda: score(ids, lengths, ids.shape[1])), threads)
        for fast, name in FAST
    ]


def each_pseudo_likelihood(
    network: Network, events: Sequence[Array], mask_id: int, threads: int
) -> list[Way]:
    """Return ways to score one event after the other: its masked copies are a batch, without padding."""
    torch = import_module("torch")
    embedding, positions, made, head = _layers(network)
    cross_entropy = torch.nn.functional.cross_entropy

    def run() -> Any:
        scores = []
        for event in events:
            ids = torch.from_numpy(event).long()
            n = len(ids)
            own = torch.arange(n)
            passes = ids.repeat(n, 1)
            passes[own, own] = mask_id
            hidden = made(embedding(passes) + positions[:n])[own, own]
            scores.append(cross_entropy(head(hidden), ids).item())
        return np.array(scores)

    return [
        Way(f"{name}, {n} threads", _set(fast, n, run), n)
        for fast, name in FAST
        for n in sorted({1, threads})
    ]


def _padded_scores(network: Network, mask_id: int) -> Callable[[Array, Array, int], Array]:
    torch = import_module("torch")
    embedding, positions, made, head = _layers(network)
    cross_entropy = torch.nn.functional.cross_entropy

    def run(ids: Array, lengths: Array, places: int) -> Array:
        rows, n_rows = torch.from_numpy(ids), torch.from_numpy(lengths)
        padding = torch.arange(places) >= n_rows[:, None]
        total = torch.zeros(len(rows))
        for place in range(places):
            having = (n_rows > place).nonzero()[:, 0]
            if len(having) == 0:
                break
            target = rows[having]
            masked = target.clone()
            masked[:, place] = mask_id
            x = embedding(masked) + positions[:places]
            hidden = made(x, src_key_padding_mask=padding[having])[:, place]
            total[having] += cross_entropy(head(hidden), target[:, place], reduction="none")
        return np.asarray((total / n_rows).numpy())

    return run


def _layers(network: Network) -> tuple[Any, Any, Any, Any]:
    torch = import_module("torch")
    state = {name: torch.from_numpy(value) for name, value in network.state.items()}
    embedding = torch.nn.Embedding.from_pretrained(state["embedding.weight"])
    head = torch.nn.Linear(network.width, network.n_ids)
    head.load_state_dict({"weight": state["head.weight"], "bias": state["head.bias"]})
    return embedding, state["positions.weight"], module(network), head.eval()


def _set(fast: bool, threads: int, run: Callable[[], Any]) -> Callable[[], Any]:
    """Return `run` without gradients, with so many threads, and with or without the fast path."""
    torch = import_module("torch")

    def set_run() -> Any:
        with torch.inference_mode(), _switched(torch, fast, threads):
            return run()

    return set_run


@contextmanager
def _switched(torch: Any, fast: bool, threads: int) -> Iterator[None]:
    switch, before, n_before = (
        torch.backends.mha,
        torch.backends.mha.get_fastpath_enabled(),
        torch.get_num_threads(),
    )
    switch.set_fastpath_enabled(fast)
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        switch.set_fastpath_enabled(before)
        torch.set_num_threads(n_before)
