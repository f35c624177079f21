"""The encoder benchmark's oracle: NumPy in float64, written as the papers write it. No kernel of evtok takes part."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from evtok import Tokens
from evtok.bench.encoder_data import EPSILON, Array, Network

#: What results may differ by from float64.
TOLERANCE = 1e-4
NAME = f"NumPy in float64, to {TOLERANCE:g}"

_erf = np.frompyfunc(math.erf, 1, 1)


def encoded(x: Array, network: Network) -> Array:
    """Return what the encoder makes of sequences x (n, length, d), one after the other, in float64."""
    wide = [_wide(network.layer(k)) for k in range(network.settings.layers)]
    norm = _wide(network.encoder())
    results = []
    for rows in x.astype(np.float64):
        for layer in wide:
            rows = rows + _attention(_norm(rows, layer, "norm1"), layer, network.settings.heads)
            inner = _linear(_norm(rows, layer, "norm2"), layer, "linear1")
            inner = inner * 0.5 * (1 + np.asarray(_erf(inner / math.sqrt(2)), np.float64))
            rows = rows + _linear(inner, layer, "linear2")
        results.append(_norm(rows, norm, "norm"))
    return np.stack(results)


def pseudo_likelihoods(tokens: Tokens, network: Network, mask_id: int) -> Array:
    """Return of each event the mean of -log p over its tokens, each hidden in a pass of its own, in float64."""
    state = _wide(network.state)
    scores = []
    for start, stop in pairwise(tokens.offsets):
        ids = tokens.ids[start:stop]
        own = np.arange(len(ids))
        passes = np.where(np.eye(len(ids), dtype=bool), mask_id, ids)
        x = state["embedding.weight"][passes] + state["positions.weight"][own]
        hidden = encoded(x, network)[own, own]
        logits = hidden @ state["head.weight"].T + state["head.bias"]
        most = logits.max(axis=1)
        total = np.log(np.exp(logits - most[:, None]).sum(axis=1)) + most
        scores.append((total - logits[own, ids]).mean())
    return np.array(scores)


def count_far(got: Any, expected: Array, tolerance: float = TOLERANCE) -> int:
    """Count the events of which a value differs by more than the tolerance; NaN differs from everything."""
    found = np.asarray(got)
    if found.shape != expected.shape:
        return max(len(expected), 1)
    near = np.abs(found - expected) <= tolerance
    return int(len(expected) - np.count_nonzero(near.reshape(len(expected), -1).all(axis=1)))


def _attention(x: Array, layer: dict[str, Array], heads: int) -> Array:
    length, d = x.shape
    joined = x @ layer["self_attn.in_proj_weight"].T + layer["self_attn.in_proj_bias"]
    query, key, value = joined.reshape(length, 3, heads, d // heads).transpose(1, 2, 0, 3)
    scores = query @ key.transpose(0, 2, 1) / math.sqrt(d // heads)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    seen = (weights @ value).transpose(1, 0, 2).reshape(length, d)
    return _linear(seen, layer, "self_attn.out_proj")


def _linear(x: Array, layer: dict[str, Array], name: str) -> Array:
    result: Array = x @ layer[f"{name}.weight"].T + layer[f"{name}.bias"]
    return result


def _norm(x: Array, layer: dict[str, Array], name: str) -> Array:
    centred = x - x.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + EPSILON)
    result: Array = centred / spread * layer[f"{name}.weight"] + layer[f"{name}.bias"]
    return result


def _wide(state: dict[str, Array]) -> dict[str, Array]:
    return {name: value.astype(np.float64) for name, value in state.items()}
