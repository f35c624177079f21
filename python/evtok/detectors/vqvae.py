"""`VQVAE`: learns the codes of objects by taking them apart and putting them together; makes a `CodebookTokenizer`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from evtok import _core, scoring
from evtok._optional import require
from evtok.codebook import Codebook
from evtok.detectors.deep_svdd_state import FARTHEST, Moments, tensors_of
from evtok.detectors.interface import Detector, Progress, Tensors
from evtok.detectors.object_inputs import Features, ObjectInputs
from evtok.detectors.training import History, TrainingSettings
from evtok.errors import ArtefactError
from evtok.events import Events
from evtok.tokenizers import CodebookTokenizer, NumericFeature, artefact
from evtok.tokenizers.artefact import closed
from evtok.tokenizers.codebook_features import KEPT
from evtok.tokenizers.edge_definitions import finite_number, whole_number
from evtok.tokenizers.feature_network import Dense, FeatureNetwork

_MOST = 1 << 20
_LARGEST = 1e37  # below the largest float32, by more than sums of it are rounded

_REDUCTIONS = ("mean", "max", "sum")


class VQVAE(Detector):
    """Objects, one by one, through a few numbers that are rounded to one of K codes, and back.

    An encoder of dense layers and ReLUs, an `evtok.torch.VectorQuantizer`, and a decoder of the same form. Training
    lowers the mean squared error of the features, the cross-entropy of the type, and the distance of vectors to codes.
    `tokenizer` returns what it learned; as a detector, it scores events by how badly their objects come back.

    Parameters
    ----------
    inputs : mapping of str to NumericFeature, or ObjectInputs
        The features of an object; `ObjectInputs(features, types)` to look at types too. They need no scaling: they are
        standardised with their (weighted) mean and deviation.
    n_codes : int
        K.
    code_dims : int
        Numbers that an object becomes before it is rounded.
    hidden : sequence of int
        Widths of the dense layers of the encoder; the decoder has them in reverse.
    commitment : float
        Weight of the distance between vectors and codes.
    code_decay : float
        Of the moving averages that codes follow.
    dead_below : float
        A code that is chosen less often than this, in the moving average of its count per batch, is replaced.
    reduction : {"mean", "max", "sum"}
        How the score of an event follows from its objects: the squared error of the standardised features plus -log p
        of the type (nats).
    epochs, batch, learning_rate, weight_decay, patience, warm_up, decay, gradient_norm, device, seed
        See `evtok.detectors.training.TrainingSettings`; what is counted there as events are objects. An object counts
        as much as its event.

    Attributes
    ----------
    history : History or None
        How the latest `fit` went.

    Notes
    -----
    evtok's kernels score, with the same bits for any batch and any number of threads. A feature that is more than 10⁶
    deviations away from the mean counts as that far. Objects that are cut, or of unknown type, are not scored.
    """

    KIND = "vqvae"
    SETTINGS = (
        "n_codes", "code_dims", "hidden", "commitment", "code_decay", "dead_below", "reduction", "epochs", "batch",
        "learning_rate", "weight_decay", "patience", "warm_up", "decay", "gradient_norm", "seed",
    )  # fmt: skip

    inputs: ObjectInputs

    def __init__(
        self,
        inputs: Features | ObjectInputs,
        *,
        n_codes: int = 512,
        code_dims: int = 4,
        hidden: Sequence[int] = (64, 64),
        commitment: float = 1.0,
        code_decay: float = 0.95,
        dead_below: float = 0.5,
        reduction: Literal["mean", "max", "sum"] = "mean",
        epochs: int = 10,
        batch: int = 2048,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.0,
        patience: int | None = None,
        warm_up: int = 20,
        decay: Literal["constant", "cosine"] = "cosine",
        gradient_norm: float | None = None,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        seed: int = 0,
    ) -> None:
        self.inputs = ObjectInputs.of(inputs)
        self.n_codes, self.code_dims = _size(n_codes, "n_codes"), _size(code_dims, "code_dims")
        given: object = hidden
        if isinstance(given, str) or not isinstance(given, Sequence) or len(given) > 64:
            raise TypeError(f"hidden: expected a sequence of at most 64 integers, got {given!r:.80}")
        self.hidden = tuple(_size(one, "hidden") for one in hidden)
        for name, value in (
            ("commitment", commitment),
            ("code_decay", code_decay),
            ("dead_below", dead_below),
        ):
            if finite_number(value, name) < 0:
                raise ValueError(f"{name}: expected a number that is not negative, got {value}")
        if code_decay > 1:
            raise ValueError(f"code_decay: expected 0 to 1, got {code_decay}")
        self.commitment, self.code_decay = float(commitment), float(code_decay)
        self.dead_below = float(dead_below)
        if reduction not in _REDUCTIONS:
            raise ValueError(f"reduction: expected {', '.join(_REDUCTIONS)}, got {reduction!r:.80}")
        self.reduction = reduction
        self.training = TrainingSettings(
            epochs=epochs,
            batch=batch,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            patience=patience,
            seed=seed,
            warm_up=warm_up,
            decay=decay,
            gradient_norm=gradient_norm,
            device=device,
        )
        self.history: History | None = None
        self._tensors: Tensors = {}

    @property
    def is_fitted(self) -> bool:
        """True once the network is trained."""
        return bool(self._tensors)

    # ---- what it learned --------------------------------------------------------------------------------------

    def tokenizer(self, **options: Any) -> CodebookTokenizer:
        """Return the tokenizer whose ids are those of the codes; it keeps nothing of this object.

        Parameters
        ----------
        **options
            Of `CodebookTokenizer`: `specials`, `sequence`, `event_features` and so on. With event features whose edges
            are to be found, call its `fit`.
        """
        self._require_fitted()
        moments = Moments(self._tensors["mean"], self._tensors["scale"])
        return CodebookTokenizer(
            _standardised(self.inputs.features, moments),
            Codebook._quiet(self._tensors["codes"]),
            network=self.encoder,
            types=self.inputs.types or None,
            **options,
        )

    @property
    def encoder(self) -> FeatureNetwork:
        """Vectors of features to what is rounded to a code."""
        return _network(self._tensors, "encoder")

    @property
    def decoder(self) -> FeatureNetwork:
        """Codes to features, and to the logits of types."""
        return _network(self._tensors, "decoder")

    # ---- fitting ----------------------------------------------------------------------------------------------

    def _fit(
        self,
        train: Events,
        validation: Events | None,
        *,
        weights: npt.NDArray[np.float64],
        checkpoints: Path | None,
        progress: Progress | None,
    ) -> None:
        require("torch", extra="torch")
        from evtok.detectors import vqvae_torch

        n_features = len(self.inputs.features)
        raw, offsets = self._kept(train, 0)
        of_object = np.repeat(weights, np.diff(offsets))
        moments = Moments.of(raw[:, :n_features], of_object)
        data = [raw, *([] if validation is None else [self._kept(validation, 0)[0]])]
        for rows in data:
            rows[:, :n_features] = moments.standardised(rows[:, :n_features])
        state, self.history = vqvae_torch.fit(
            vqvae_torch.make(
                self._widths,
                self.n_codes,
                self.commitment,
                self.code_decay,
                self.dead_below,
                self.training.seed,
            ),
            data[0],
            data[1] if len(data) > 1 else None,
            n_features,
            self.training,
            weights=of_object * (len(of_object) / of_object.sum()),
            checkpoints=checkpoints,
            identity=_identity(self._config(), *data),
            progress=progress,
        )
        self._tensors = {"mean": moments.mean, "scale": moments.scale, **state}

    @property
    def _widths(self) -> tuple[int, ...]:
        """Of the encoder; those of the decoder are in reverse."""
        return (len(self.inputs.features) + len(self.inputs.types), *self.hidden, self.code_dims)

    def _kept(self, events: Events, threads: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return the vectors (m, D) of the objects that count, not standardised, and offsets (n + 1,)."""
        vectors, states = self.inputs.vectors(events, self.inputs.features, threads)
        kept = states == KEPT
        before = np.concatenate([[0], np.cumsum(kept)])
        return vectors[kept], before[events.offsets]

    # ---- scoring ----------------------------------------------------------------------------------------------

    def _score(
        self, data: Events, backend: Literal["native", "torch"], threads: int
    ) -> npt.NDArray[np.float32]:
        vectors, offsets = self._kept(data, threads)
        n_features = len(self.inputs.features)
        moments = Moments(self._tensors["mean"], self._tensors["scale"])
        vectors[:, :n_features] = moments.standardised(vectors[:, :n_features])
        errors = self._errors(vectors, threads or None)
        reduce = {"mean": scoring.segment_mean, "max": scoring.segment_max, "sum": scoring.segment_sum}
        return np.asarray(reduce[self.reduction](errors, offsets, threads=threads or None))

    def _errors(self, vectors: npt.NDArray[np.float32], threads: int | None) -> npt.NDArray[np.float32]:
        """Return the error of each object (m,): of its features, and of its type."""
        codes, n = self._tensors["codes"], len(self.inputs.features)
        ids = Codebook._quiet(codes).nearest(self.encoder(vectors, threads=threads), threads=threads)
        decoded = self.decoder(codes, threads=threads)  # of every code once
        errors = np.asarray(scoring.squared_sum(vectors[:, :n] - decoded[ids, :n], threads=threads))
        if self.inputs.types:
            types = vectors[:, n:].argmax(axis=1)
            errors = errors + np.asarray(scoring.nll_from_logits(decoded[ids, n:], types, threads=threads))
        return errors

    # ---- files ------------------------------------------------------------------------------------------------

    def _config(self) -> dict[str, Any]:
        inputs, _ = self.inputs.to_config()
        parts: dict[str, Any] = {**vars(self.training), **vars(self)}
        settings = {name: parts[name] for name in self.SETTINGS}
        return {"kind": self.KIND, "inputs": inputs, **settings, "hidden": list(self.hidden)}

    def to_artefact(self) -> tuple[dict[str, Any], Tensors]:  # noqa: D102
        self._require_fitted()
        return self._config(), dict(self._tensors)

    @classmethod
    def from_artefact(cls, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> Self:  # noqa: D102
        closed(config, {"kind", "inputs", *cls.SETTINGS}, "detector")
        if not isinstance(config["inputs"], dict):
            raise ArtefactError(f"inputs: expected an object, got {config['inputs']!r:.80}")
        inputs = ObjectInputs.from_config(config["inputs"], tensors)
        self = cls(inputs, **{name: config[name] for name in cls.SETTINGS})
        moments = Moments.from_tensors(tensors, len(inputs.features))
        shapes = {
            **_shapes("encoder", self._widths),
            **_shapes("decoder", self._widths[::-1]),
            "codes": (self.n_codes, self.code_dims),
        }
        found = {"mean": moments.mean, "scale": moments.scale, **tensors_of(tensors, shapes)}
        _require_finite_scores(found)
        self._tensors = found
        return self

    def __repr__(self) -> str:
        state = "" if self.is_fitted else ", not fitted"
        what = f"{len(self.inputs.features)} features and {len(self.inputs.types)} types"
        return f"<VQVAE: {what}, {self.n_codes} codes of {self.code_dims} numbers{state}>"


def _size(value: Any, name: str) -> int:
    size = whole_number(value, name)
    if size > _MOST:
        raise ValueError(f"{name}: expected at most {_MOST}, got {size}")
    return size


def _standardised(features: Features, moments: Moments) -> dict[str, NumericFeature]:
    """Return features that are standardised by their transform, in float64."""
    found = {}
    with _core.FloatEnvironment():
        for (name, feature), mean, scale in zip(features.items(), moments.mean, moments.scale, strict=True):
            was = feature.function
            subtract = float(was.subtract + mean / was.multiply)
            function = replace(was, subtract=subtract, multiply=float(was.multiply / scale))
            found[name] = replace(feature, transform=function)
    return found


def _shapes(part: str, widths: Sequence[int]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for k, (n_in, n_out) in enumerate(pairwise(widths)):
        shapes |= {f"{part}.{k}.weight": (n_out, n_in), f"{part}.{k}.bias": (n_out,)}
    return shapes


def _layers(tensors: Tensors, part: str) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    n = sum(name.startswith(f"{part}.") and name.endswith(".weight") for name in tensors)
    return [(tensors[f"{part}.{k}.weight"], tensors[f"{part}.{k}.bias"]) for k in range(n)]


def _network(tensors: Tensors, part: str) -> FeatureNetwork:
    *inner, last = _layers(tensors, part)
    return FeatureNetwork([*(Dense(weight, bias, "relu") for weight, bias in inner), Dense(*last)])


def _require_finite_scores(tensors: Tensors) -> None:
    """Refuse numbers with which a score could overflow."""
    codes = np.abs(tensors["codes"].astype(np.float64)).max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        encoded = _largest(tensors, "encoder", np.full(tensors["encoder.0.weight"].shape[1], FARTHEST))
        decoded = _largest(tensors, "decoder", codes)
        fits = ((encoded + codes) ** 2).sum() < _LARGEST and ((decoded + FARTHEST) ** 2).sum() < _LARGEST
    if not fits:
        raise ArtefactError(
            "its numbers are so large that scores overflow; fit again with a lower learning_rate"
        )


def _largest(tensors: Tensors, part: str, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    for weight, bias in _layers(tensors, part):
        x = np.abs(weight.astype(np.float64)) @ x + np.abs(bias.astype(np.float64))
        x = np.where(x < _LARGEST, x, np.inf)
    return x


def _identity(config: Mapping[str, Any], *data: npt.NDArray[np.float32]) -> str:
    digest = hashlib.sha256(artefact.canonical_json(config))
    for part in data:
        digest.update(np.ascontiguousarray(part, "<f4").tobytes())
    return digest.hexdigest()
