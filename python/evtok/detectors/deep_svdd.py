"""`DeepSVDD`: a network that maps background close to one point; the score is how far from it an event lands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt

from evtok import scoring
from evtok._optional import require
from evtok.detectors import deep_svdd_native
from evtok.detectors.deep_svdd_state import (
    Moments,
    encoder_shapes,
    feature_shapes,
    require_finite_scores,
    tensors_of,
)
from evtok.detectors.inputs import FeatureInputs, TokenInputs, inputs_from_config
from evtok.detectors.interface import Detector, Device, Progress, Tensors
from evtok.detectors.masked_token_settings import NetworkSettings
from evtok.detectors.training import History, TrainingSettings
from evtok.errors import ArtefactError
from evtok.tokenizers import Tokenizer, artefact
from evtok.tokenizers.artefact import closed
from evtok.tokenizers.edge_definitions import whole_number
from evtok.tokens import Tokens

_MOST_WIDE = 1 << 16

Item = TypeVar("Item")


class DeepSVDD(Detector):
    """The squared distance ‖f(x) - c‖² of what a network makes of an event from a fixed centre.

    The centre is the mean of what the network gives for background before training, with no coordinate closer to 0
    than 0.1; training then makes the mean squared distance from it small (Ruff et al. 2018). The network has no biases,
    and embeddings of tokens are not trained: otherwise it could map everything to the centre.

    Parameters
    ----------
    inputs : sequence of str, FeatureInputs, Tokenizer or TokenInputs
        Features go through dense layers, standardised with the (weighted) mean and deviation of background. Tokens go
        through a transformer encoder without positions, and their mean or sum through a dense layer.
    hidden : sequence of int
        Widths of the dense layers between features and output; leaky ReLUs follow them.
    outputs : int
        Numbers that an event becomes.
    layers, width, heads, feed_forward, max_length, pooling
        Of the encoder of tokens. A longer event has no score. `pooling` is "mean" or "sum"; a sum sees how many tokens
        an event has.
    epochs, batch, learning_rate, weight_decay, patience, warm_up, decay, device, seed
        See `evtok.detectors.training.TrainingSettings`.

    Attributes
    ----------
    history : History or None
        How the latest `fit` went.

    Notes
    -----
    The backend "native", which "auto" takes, needs no torch, and has the same bits for any batch, any number of threads
    and any machine. With torch the last bits of a score depend on the batch. A feature that is more than 10⁶ deviations
    away from the mean counts as that far, so that no sum overflows.
    """

    KIND = "deep-svdd"
    BACKENDS = ("native", "torch")
    DEVICES = ("cpu", "cuda")
    SETTINGS = (
        "hidden", "outputs", "layers", "width", "heads", "feed_forward", "max_length", "pooling", "epochs", "batch",
        "learning_rate", "weight_decay", "patience", "warm_up", "decay", "seed",
    )  # fmt: skip

    inputs: FeatureInputs | TokenInputs

    def __init__(
        self,
        inputs: Sequence[str] | FeatureInputs | Tokenizer | TokenInputs,
        *,
        hidden: Sequence[int] = (64, 32),
        outputs: int = 10,
        layers: int = 2,
        width: int = 64,
        heads: int = 4,
        feed_forward: int = 128,
        max_length: int = 256,
        pooling: Literal["mean", "sum"] = "mean",
        epochs: int = 50,
        batch: int = 512,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-5,
        patience: int | None = 10,
        warm_up: int = 0,
        decay: Literal["constant", "cosine"] = "constant",
        device: Literal["auto", "cpu", "cuda"] = "auto",
        seed: int = 0,
    ) -> None:
        if isinstance(inputs, (Tokenizer, TokenInputs)):
            self.inputs = TokenInputs.of(inputs)
        else:
            self.inputs = FeatureInputs.of(inputs)
        self.hidden = tuple(_width(one, "hidden") for one in _items(hidden, "hidden"))
        self.outputs = _width(outputs, "outputs")
        if pooling not in ("mean", "sum"):
            raise ValueError(f"pooling: expected 'mean' or 'sum', got {pooling!r:.80}")
        self.pooling = pooling
        self.network = NetworkSettings(layers, width, heads, feed_forward, "none", max_length, dropout=0.0)
        self.training = TrainingSettings(
            epochs=epochs,
            batch=batch,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            patience=patience,
            seed=seed,
            warm_up=warm_up,
            decay=decay,
            device=device,
        )
        self.history: History | None = None
        self._tensors: Tensors = {}
        self._native: deep_svdd_native.OfFeatures | deep_svdd_native.OfTokens | str | None = None

    @property
    def is_fitted(self) -> bool:
        """True once the network is trained."""
        return bool(self._tensors)

    def _lacks(self, backend: Literal["native", "torch"]) -> str:
        if backend == "native" and self.is_fitted:
            found = self._prepared()
            return found if isinstance(found, str) else ""
        return ""

    def _unusable(self, data: Any) -> tuple[npt.NDArray[np.bool_], str]:
        if not isinstance(data, Tokens):
            return super()._unusable(data)
        return (
            data.lengths > self.network.max_length,
            f"has more tokens than max_length, {self.network.max_length},",
        )

    # ---- fitting ----------------------------------------------------------------------------------------------

    def _fit(
        self,
        train: Any,
        validation: Any,
        *,
        weights: npt.NDArray[np.float64],
        checkpoints: Path | None,
        progress: Progress | None,
    ) -> None:
        require("torch", extra="torch")
        from evtok.detectors import deep_svdd_torch

        found: Tensors = {}
        identity = _identity(self._config(), train, validation)
        if isinstance(train, np.ndarray):
            moments = Moments.of(train, weights)
            train = moments.standardised(train)
            validation = None if validation is None else moments.standardised(validation)
            found = {"mean": moments.mean, "scale": moments.scale}
        state, history = deep_svdd_torch.fit(
            deep_svdd_torch.make(self._shapes, self.network, self.pooling, self.training.seed),
            train,
            validation,
            self.training,
            weights=weights,
            checkpoints=checkpoints,
            identity=identity,
            progress=progress,
        )
        self._tensors, self._native, self.history = found | state, None, history

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        if isinstance(self.inputs, FeatureInputs):
            return feature_shapes(len(self.inputs.names), self.hidden, self.outputs)
        return encoder_shapes(self.inputs.tokenizer.vocab_size, self.outputs, self.network)

    # ---- scoring ----------------------------------------------------------------------------------------------

    def _score(self, data: Any, backend: Literal["native", "torch"], threads: int) -> npt.NDArray[np.float32]:
        if isinstance(data, np.ndarray):
            data = Moments(self._tensors["mean"], self._tensors["scale"]).standardised(data)
        made = (
            self._by_kernels(data, threads) if backend == "native" else self._by_torch(data, threads, "cpu")
        )
        return self._distances(made, threads)

    def _score_on_gpu(self, data: Any, threads: int) -> npt.NDArray[np.float32]:
        if isinstance(data, np.ndarray):
            data = Moments(self._tensors["mean"], self._tensors["scale"]).standardised(data)
        return self._distances(self._by_torch(data, threads, "cuda"), threads)

    def _distances(self, made: npt.NDArray[np.float32], threads: int) -> npt.NDArray[np.float32]:
        centre = self._tensors["centre"]
        scores = scoring.squared_distance(made, centre, on_invalid="sentinel", threads=threads or None)
        if not np.isfinite(scores).all():
            raise ArtefactError("network: its numbers are too large; fit again with a lower learning_rate")
        return np.asarray(scores)

    def _by_kernels(self, data: Any, threads: int) -> npt.NDArray[np.float32]:
        network = self._prepared()
        assert not isinstance(network, str)  # `_lacks` said so before
        return network.outputs(data, threads)

    def _prepared(self) -> deep_svdd_native.OfFeatures | deep_svdd_native.OfTokens | str:
        """Return the network by evtok's kernels, made once; or why it cannot be."""
        if self._native is None:
            try:
                if isinstance(self.inputs, FeatureInputs):
                    self._native = deep_svdd_native.OfFeatures(self._tensors)
                else:
                    self._native = deep_svdd_native.OfTokens(self._tensors, self.network, self.pooling)
            except (
                ValueError
            ) as error:  # its tensors were checked: they are too large to prove that no sum overflows
                self._native = str(error)
        return self._native

    def _by_torch(self, data: Any, threads: int, device: Device) -> npt.NDArray[np.float32]:
        require("torch", extra="torch")
        from evtok.detectors import deep_svdd_torch

        module = deep_svdd_torch.make(self._shapes, self.network, self.pooling, self.training.seed)
        return deep_svdd_torch.outputs(module, self._tensors, data, threads, device)

    # ---- files ------------------------------------------------------------------------------------------------

    def _config(self) -> dict[str, Any]:
        inputs, _ = self.inputs.to_config()
        parts: dict[str, Any] = {**vars(self.network), **vars(self.training), **vars(self)}
        settings = {name: parts[name] for name in self.SETTINGS}
        return {"kind": self.KIND, "inputs": inputs, **settings, "hidden": list(self.hidden)}

    def to_artefact(self) -> tuple[dict[str, Any], Tensors]:  # noqa: D102
        self._require_fitted()
        _, tensors = self.inputs.to_config()
        return self._config(), tensors | self._tensors

    @classmethod
    def from_artefact(cls, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> Self:  # noqa: D102
        closed(config, {"kind", "inputs", *cls.SETTINGS}, "detector")
        inputs = inputs_from_config(config["inputs"], tensors)
        if not isinstance(inputs, (FeatureInputs, TokenInputs)):
            raise ArtefactError(f"inputs: a {cls.KIND} detector reads features or tokens, got {inputs.KIND}")
        self = cls(inputs, **{name: config[name] for name in cls.SETTINGS})
        found = tensors_of(tensors, self._shapes)
        if isinstance(inputs, FeatureInputs):
            moments = Moments.from_tensors(tensors, len(inputs.names))
            require_finite_scores(found)
            found |= {"mean": moments.mean, "scale": moments.scale}
        self._tensors = found
        return self

    def __repr__(self) -> str:
        state = "" if self.is_fitted else ", not fitted"
        if isinstance(self.inputs, TokenInputs):
            n_ids = self.inputs.tokenizer.vocab_size
            what = f"{self.network.layers} layers of width {self.network.width} on {n_ids} ids"
        else:
            what = f"{len(self.inputs.names)} features, hidden {list(self.hidden)}"
        return f"<DeepSVDD: {what}, {self.outputs} outputs{state}>"


def _items(given: Iterable[Item], name: str) -> tuple[Item, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{name}: expected a sequence of integers, got {given!r:.80}")
    items = tuple(given)
    if len(items) > 64:
        raise ValueError(f"{name}: expected at most 64 layers, got {len(items)}")
    return items


def _width(value: Any, name: str) -> int:
    width = whole_number(value, name)
    if width > _MOST_WIDE:
        raise ValueError(f"{name}: expected at most {_MOST_WIDE}, got {width}")
    return width


def _identity(config: Mapping[str, Any], *data: Any) -> str:
    digest = hashlib.sha256(artefact.canonical_json(cast("Any", config)))
    for part in data:
        for values in [part.offsets, part.ids] if isinstance(part, Tokens) else [part]:
            digest.update(b"-" if values is None else np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
