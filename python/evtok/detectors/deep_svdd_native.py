"""What the network of a `DeepSVDD` makes of events, by evtok's own kernels: the same bits for any batch."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from evtok import scoring
from evtok.detectors.deep_svdd_state import SLOPE
from evtok.detectors.interface import Tensors
from evtok.detectors.masked_token_settings import NetworkSettings
from evtok.detectors.native_encoder import encoder_of
from evtok.detectors.ragged_passes import cut
from evtok.tokenizers.feature_network import Dense, FeatureNetwork
from evtok.tokens import Tokens

#: Rows, one for each token, that are held at a time. The kernel has tiles of its own.
_ROWS = 1 << 15

_HEAD = "network.head.weight"


class OfFeatures:
    """Rows of standardised features (n, n_features); `tensors` are those of an artefact."""

    def __init__(self, tensors: Tensors) -> None:
        n_layers = sum(name.startswith("network.") for name in tensors)
        *inner, last = [_linear(tensors[f"network.{k}.weight"]) for k in range(n_layers)]
        layers = [Dense(weight, bias, "leaky_relu", SLOPE) for weight, bias in inner]
        self._network = FeatureNetwork([*layers, Dense(*last)])

    def outputs(self, rows: npt.NDArray[np.float32], threads: int) -> npt.NDArray[np.float32]:
        """Return what the network makes of them (n, outputs)."""
        return np.asarray(self._network(rows, threads=threads or None), np.float32)


class OfTokens:
    """Ragged tokens; `tensors` are those of an artefact."""

    def __init__(self, tensors: Tensors, settings: NetworkSettings, pooling: Literal["mean", "sum"]) -> None:
        state = {name.removeprefix("network."): value for name, value in tensors.items()}
        self._embedding = state["embedding.weight"]
        self._encoder = encoder_of(state, settings)
        self._pool = {"mean": scoring.segment_mean, "sum": scoring.segment_sum}[pooling]
        self._head = FeatureNetwork([Dense(*_linear(tensors[_HEAD]))])

    def outputs(self, tokens: Tokens, threads: int) -> npt.NDArray[np.float32]:
        """Return what the network makes of them (n, outputs); NaN or infinite where its numbers overflow."""
        found = [self._of_chunk(tokens[events], threads) for events in cut(tokens.lengths, _ROWS)]
        return np.concatenate(found) if found else np.empty((0, self._head.n_out), np.float32)

    def _of_chunk(self, tokens: Tokens, threads: int) -> npt.NDArray[np.float32]:
        offsets = np.ascontiguousarray(tokens.offsets)
        rows, *_ = self._encoder.run(self._embedding[tokens.ids], offsets, threads)
        # Each column of an event is a segment: column after column, event after event.
        width, n_rows = rows.shape[1], len(rows)
        starts = (np.arange(width)[:, None] * n_rows + offsets[:-1]).ravel()
        columns = rows.T.ravel()
        pooled = self._pool(
            columns, np.append(starts, len(columns)), on_invalid="sentinel", threads=threads or None
        )
        return self._head(np.ascontiguousarray(pooled.reshape(width, -1).T), threads=threads or None)


def _linear(weight: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return a layer without a bias."""
    return weight, np.zeros(len(weight), np.float32)
