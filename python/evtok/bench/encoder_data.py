"""What the encoder benchmark computes with: a network of drawn weights, sequences, and ragged events of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import Events, Tokens
from evtok.bench.tokenize import SEED
from evtok.detectors import MaskedTokenDetector
from evtok.detectors.masked_token_settings import NetworkSettings
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform

Array = npt.NDArray[Any]

#: What torch's layer normalisation adds to the variance.
EPSILON = 1e-5
#: Objects of a ragged event, before it is cut to 1 and to the length of the shape.
MEAN_OBJECTS = 10

# Activations that float64 computes for a verification: one call of erf for each, which NumPy does not have.
_VERIFIED = 2_000_000
# Sequences and events that differ, whatever they take: of ragged ones so many that their mean is that of all.
_LEAST, _LEAST_RAGGED = 5, 101


@dataclass(frozen=True)
class Network:
    """A masked-token network: an embedding with positions, an encoder, a head.

    Attributes
    ----------
    settings : NetworkSettings
    state : dict of str to float32 arrays
        By their names in a state dict of torch.
    n_ids : int
        Ids that the head tells apart.
    """

    settings: NetworkSettings
    state: dict[str, Array]
    n_ids: int

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return self.settings.width

    def layer(self, k: int) -> dict[str, Array]:
        """Return the tensors of a layer by the names that `torch.nn.TransformerEncoderLayer` gives them."""
        return _below(self.state, f"encoder.layers.{k}.")

    def encoder(self) -> dict[str, Array]:
        """Return the tensors of the encoder by the names that `torch.nn.TransformerEncoder` gives them."""
        return _below(self.state, "encoder.")

    def operations(self, length: int) -> float:
        """Return the operations of a sequence, a multiply-add counted as two: dense layers and attention."""
        d, inner = self.width, self.settings.feed_forward
        return self.settings.layers * (2.0 * length * (4 * d * d + 2 * d * inner) + 4.0 * length * length * d)


def network(shape: dict[str, Any]) -> Network:
    """Draw the network of a shape: pre-norm and GELU, as `evtok.detectors.MaskedTokenDetector` has them by default."""
    random = np.random.default_rng(SEED)
    settings = NetworkSettings(
        shape["layers"], shape["d"], shape["heads"], shape["ff"], "learned", shape["length"], True, "gelu"
    )

    def tensor(name: str, size: tuple[int, ...]) -> Array:
        if len(size) == 2:
            spread = 1.0 if name in ("embedding.weight", "positions.weight") else size[1] ** -0.5
            return random.normal(0, spread, size).astype(np.float32)
        return random.normal("norm" in name and name.endswith("weight"), 0.1, size).astype(np.float32)

    n_ids = shape["vocab"]
    state = {name: tensor(name, size) for name, size in settings.shapes(n_ids, n_ids).items()}
    return Network(settings, state, n_ids)


def sequences(shape: dict[str, Any]) -> tuple[Array, int]:
    """Draw float32 sequences (events, length, d); the second result says after how many of them they repeat.

    float64 computes those that differ, and so all are verified.
    """
    random = np.random.default_rng(SEED + 1)
    n, length, d = shape["events"], shape["length"], shape["d"]
    distinct = _distinct(shape, n, length, _LEAST)
    x = random.standard_normal((distinct, length, d), np.float32)
    return repeated(x, n), distinct


def detector(made: Network) -> MaskedTokenDetector:
    """Return a detector of the network, as if it had been trained."""
    n_bins = made.n_ids - 4  # specials: pad, mask, unk, cls
    few = Events(np.array([0, 1]), {"pt": np.ones(1, np.float32)})
    tokenizer = BinnedTokenizer({"pt": Feature("pt", Uniform(n_bins - 1, 0, 1))}).fit(few)
    of = made.settings
    new = MaskedTokenDetector(
        tokenizer,
        layers=of.layers,
        width=of.width,
        heads=of.heads,
        feed_forward=of.feed_forward,
        max_length=of.max_length,
    )
    new._state = made.state
    config, tensors = new.to_artefact()
    return MaskedTokenDetector.from_artefact(config, tensors)


def ragged(shape: dict[str, Any], of: MaskedTokenDetector, n: int) -> tuple[Tokens, int]:
    """Draw `n` events, Poisson of `MEAN_OBJECTS` objects and at most as many as `shape` has places.

    The second result says after how many events they repeat.
    """
    distinct = _distinct(shape, n, 1 + MEAN_OBJECTS * MEAN_OBJECTS, _LEAST_RAGGED)
    drawn = np.random.default_rng(SEED + 3).poisson(MEAN_OBJECTS, distinct)
    return events_of(of, np.clip(drawn, 1, shape["length"]), n), distinct


def events_of(of: MaskedTokenDetector, lengths: npt.NDArray[np.int64], n: int) -> Tokens:
    """Draw events of `lengths` tokens, as `of` scores them; `n` events, these again and again."""
    scored = np.flatnonzero(of.groups.is_scored)
    ids = np.random.default_rng(SEED + 2).choice(scored, int(lengths.sum()))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(repeated(lengths, n))])
    tokenizer = of.inputs.tokenizer
    return Tokens(
        repeated(ids, int(offsets[-1])).astype(np.int32),
        offsets,
        fingerprint=tokenizer.fingerprint,
        vocab_size=tokenizer.vocab_size,
        pad_id=tokenizer.pad_id,
    )


def repeated(first: Array, n: int) -> Array:
    """Return `n` rows, those of `first` again and again."""
    return np.ascontiguousarray(first[np.arange(n) % len(first)])


def _distinct(shape: dict[str, Any], n: int, rows: int, least: int) -> int:
    most: int = _VERIFIED // (rows * shape["ff"] * shape["layers"])
    return min(n, max(least, most) | 1)  # odd, so that the same event comes at other places of a tile


def _below(state: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
