"""`MaskedTokenDetector`: how well a network that learned background guesses a token from the others of its event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt

from evtok._optional import require
from evtok.detectors.inputs import TokenInputs, inputs_from_config
from evtok.detectors.interface import Device, Progress, Tensors
from evtok.detectors.masked_token_native import NativeScorer
from evtok.detectors.masked_token_settings import PRECISIONS, MaskingSettings, NetworkSettings, one_of
from evtok.detectors.token_detector import Reduction, TokenDetector, TypeWeights
from evtok.detectors.training import History, TrainingSettings
from evtok.errors import ArtefactError
from evtok.tokenizers import Tokenizer, artefact
from evtok.tokenizers.artefact import closed
from evtok.tokens import Tokens

if TYPE_CHECKING:
    from evtok.detectors.masked_token_scoring import Scorer

_PREFIX = "model."


class MaskedTokenDetector(TokenDetector):
    """The surprise of a token is -log of the probability that a transformer gives it, while it is hidden.

    The network is trained on background alone: some tokens of an event are replaced by a mask, and it learns to say
    what they were, from the others. It is an embedding, to which positions are added, `torch.nn.TransformerEncoder`,
    and a linear head over the vocabulary.

    Parameters
    ----------
    inputs : Tokenizer or TokenInputs
        Fitted. Its ``mask`` hides tokens; where it has none, the network has an id of its own.
    layers, width, heads, feed_forward : int
        Of the encoder. `width` is a multiple of `heads`.
    positions : {"learned", "sinusoidal", "none"}
        What is added to the embedding at each place of the sequence. With "none" the order of tokens has no meaning.
    max_length : int
        Tokens of the longest event that can be used. Longer ones have no score; nothing is cut.
    norm_first : bool
        Whether layers normalise what they take, or what they give.
    activation : {"gelu", "relu"}
    dropout : float
        In training.
    masking : {"fraction", "one"}
        What training hides: each token with the probability `mask_fraction`, at least one; or exactly one an event.
    mask_fraction : float
        Of "fraction", and of the score "random-masks".
    score_form : {"pseudo-likelihood", "random-masks", "single-pass"}
        Of which passes the surprise of a token comes: one for each token, in which it alone is hidden; `n_masks` passes
        that each hide `mask_fraction` of the tokens (rounded up), every token at least once, and the mean over those
        that hide it; or one in which nothing is hidden, which is cheap, and not what the network was trained for.
    n_masks, mask_seed : int
        Of "random-masks". The masks are a function of an event's tokens and of the seed.
    reduction, top, type_weights
        How an event's score follows: see `evtok.detectors.token_detector.Reduction`.
    precision : {"float32", "bfloat16"}
        Of the factors in the encoder's dense layers, for a score; sums are float32. "bfloat16" keeps 8 bits and gives
        other scores, faster on CPUs with AVX512-BF16: it is in the fingerprint, and only the backend "native" has it.
    epochs, batch, learning_rate, weight_decay, patience, warm_up, decay, gradient_norm, device, seed
        See `evtok.detectors.training.TrainingSettings`. `seed` is also that of the first weights.

    Attributes
    ----------
    history : History or None
        How the latest `fit` went; None for a detector that was read from a folder.

    Notes
    -----
    Only rows of hidden tokens go through the head, in training and for a score, and of the last layer only they are
    computed. Nothing is padded.

    The backend "native", which "auto" takes, needs no torch. It computes in float32, has the same bits for any batch,
    any number of threads and any machine, and agrees with float64 to 1e-4. With the backend "torch" events of the same
    length are scored together, and the head is `evtok.scoring.TokenHead`; but the last bits of torch's matrix products
    depend on the shape of a batch and on the number of threads, and so do those of a score: scores of the same event
    agree to 1e-5, relative to the larger of 1 and the score, and to 1e-4 with float64. In a process that was forked,
    torch has one thread: those of its parent are gone, and it would wait for them.
    """

    KIND = "masked-token"
    BACKENDS = ("native", "torch")
    DEVICES = ("cpu", "cuda")

    def __init__(
        self,
        inputs: Tokenizer | TokenInputs,
        *,
        layers: int = 2,
        width: int = 64,
        heads: int = 4,
        feed_forward: int = 256,
        positions: Literal["learned", "sinusoidal", "none"] = "learned",
        max_length: int = 256,
        norm_first: bool = True,
        activation: Literal["gelu", "relu"] = "gelu",
        dropout: float = 0.1,
        masking: Literal["fraction", "one"] = "fraction",
        mask_fraction: float = 0.15,
        score_form: Literal["pseudo-likelihood", "random-masks", "single-pass"] = "pseudo-likelihood",
        n_masks: int = 8,
        mask_seed: int = 0,
        reduction: Literal["mean", "sum", "max", "top-mean"] = "mean",
        top: int = 3,
        type_weights: TypeWeights = (),
        precision: Literal["float32", "bfloat16"] = "float32",
        epochs: int = 10,
        batch: int = 256,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        patience: int | None = None,
        warm_up: int = 20,
        decay: Literal["constant", "cosine"] = "cosine",
        gradient_norm: float | None = 1.0,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        seed: int = 0,
    ) -> None:
        super().__init__(inputs, Reduction(reduction, top, type_weights))
        self.network = NetworkSettings(
            layers, width, heads, feed_forward, positions, max_length, norm_first, activation, dropout
        )
        self.masking = MaskingSettings(masking, mask_fraction, score_form, n_masks, mask_seed)
        one_of(precision, "precision", PRECISIONS)
        self.precision = precision
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
        self._state: Tensors = {}
        self._scorers: dict[tuple[str, str, str], Scorer | NativeScorer | str] = {}

    # ---- what it is -------------------------------------------------------------------------------------------

    @property
    def is_fitted(self) -> bool:
        """True once the network is trained."""
        return bool(self._state)

    @property
    def mask_id(self) -> int:
        """The id that hides a token: the tokenizer's ``mask``, or the first above its vocabulary."""
        tokenizer = self.inputs.tokenizer
        return tokenizer.special_ids.get("mask", tokenizer.vocab_size)

    @property
    def _n_embeddings(self) -> int:
        return max(self.inputs.tokenizer.vocab_size, self.mask_id + 1)

    def _unusable(self, data: Tokens) -> tuple[npt.NDArray[np.bool_], str]:
        unusable, why = super()._unusable(data)
        too_long = data.lengths > self.network.max_length
        if np.count_nonzero(unusable):
            return unusable | too_long, why
        return too_long, f"has more tokens than the {self.network.max_length} of max_length"

    # ---- fitting ----------------------------------------------------------------------------------------------

    def _fit(
        self,
        train: Tokens,
        validation: Tokens | None,
        *,
        weights: npt.NDArray[np.float64],
        checkpoints: Path | None,
        progress: Progress | None,
    ) -> None:
        require("torch", extra="torch")
        from evtok.detectors import masked_token_training

        model = masked_token_training.new_model(
            self.inputs.tokenizer.vocab_size, self._n_embeddings, self.network, self.training.seed
        )
        self.history = masked_token_training.fit(
            model,
            train,
            validation,
            is_scored=self.groups.is_scored,
            mask_id=self.mask_id,
            masking=self.masking,
            training=self.training,
            weights=weights,
            checkpoints=checkpoints,
            identity=self._identity,
            progress=progress,
        )
        self._state = {name: value.numpy().copy() for name, value in model.state_dict().items()}
        self._scorers = {}

    @property
    def _identity(self) -> str:
        """Stands for all that decides the training but the events."""
        inputs, tensors = self.inputs.to_config()
        masks = [self.masking.masking, self.masking.mask_fraction]
        return artefact.fingerprint(
            {"inputs": inputs, "network": asdict(self.network), "masks": masks, "seed": self.training.seed},
            tensors,
        )

    # ---- scoring ----------------------------------------------------------------------------------------------

    def with_score(self, **settings: Any) -> Self:
        """Return a detector of the same network that scores in another way.

        Parameters
        ----------
        **settings
            Any of `score_form`, `n_masks`, `mask_seed`, `precision`, `reduction`, `top` and `type_weights`; the others
            stay as they are.
        """
        of_masks = {name: settings.pop(name) for name in _SCORE_SETTINGS if name in settings}
        precision = settings.pop("precision", self.precision)
        one_of(precision, "precision", PRECISIONS)
        other = super().with_score(**settings)
        other.masking, other.precision = replace(self.masking, **of_masks), precision
        return other

    def _lacks(self, backend: Literal["native", "torch"]) -> str:
        if backend == "torch" and self.precision != "float32":
            return f"its precision is {self.precision}; with_score(precision='float32') gives one that can"
        if backend == "native" and self.is_fitted:
            found = self._prepared(backend)
            return found if isinstance(found, str) else ""
        return ""

    def _surprise(
        self, tokens: Tokens, backend: Literal["native", "torch"], threads: int
    ) -> npt.NDArray[np.float32]:
        scorer = self._prepared(backend)
        assert not isinstance(scorer, str)  # `_lacks` said so before
        return scorer.token_surprise(tokens, self.masking, threads)

    def _score_on_gpu(self, data: Tokens, threads: int) -> npt.NDArray[np.float32]:
        scorer = self._prepared("torch", "cuda")
        if isinstance(scorer, str):
            raise ArtefactError(scorer)
        return self._reduce(data, scorer.token_surprise(data, self.masking, threads), threads)

    def _prepared(
        self, backend: Literal["native", "torch"], device: Device = "cpu"
    ) -> Scorer | NativeScorer | str:
        """Return the network, made once and shared with detectors that score in another way; or why it cannot be."""
        key = (backend, self.precision, device)
        if key not in self._scorers:
            try:
                self._scorers[key] = self._native() if backend == "native" else self._torch(device)
            except (
                ValueError
            ) as error:  # its tensors were checked: they are too large to prove that no sum overflows
                self._scorers[key] = str(error)
        return self._scorers[key]

    def _native(self) -> NativeScorer:
        return NativeScorer(self._state, self.network, self.mask_id, self.groups.is_scored, self.precision)

    def _torch(self, device: Device = "cpu") -> Scorer:
        require("torch", extra="torch")
        from evtok.detectors import masked_token_scoring, masked_token_training

        model = masked_token_training.model_of(
            self._state, self.inputs.tokenizer.vocab_size, self._n_embeddings, self.network
        )
        return masked_token_scoring.Scorer(model, self.mask_id, self.groups.is_scored, device)

    # ---- files ------------------------------------------------------------------------------------------------

    def _config(self) -> dict[str, Any]:
        inputs, _ = self.inputs.to_config()
        # Where it was trained decides no score, and is left out.
        training = {name: value for name, value in asdict(self.training).items() if name != "device"}
        return {
            "kind": self.KIND,
            "inputs": inputs,
            "network": asdict(self.network),
            "masking": asdict(self.masking),
            "score": self.reduction.to_config(),
            "precision": self.precision,
            "training": training,
        }

    def to_artefact(self) -> tuple[dict[str, Any], Tensors]:  # noqa: D102
        self._require_fitted()
        _, tensors = self.inputs.to_config()
        return self._config(), tensors | {_PREFIX + name: value for name, value in self._state.items()}

    @classmethod
    def from_artefact(cls, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> Self:  # noqa: D102
        closed(config, {"kind", "inputs", "network", "masking", "score", "precision", "training"}, "detector")
        inputs = inputs_from_config(config["inputs"], tensors)
        if not isinstance(inputs, TokenInputs):
            raise ArtefactError(f"inputs: a {cls.KIND} detector reads tokens, got {inputs.KIND}")
        settings: dict[str, Any] = {}
        for part in ("network", "masking", "training"):
            if not isinstance(config[part], dict):
                raise ArtefactError(f"{part}: expected an object, got {config[part]!r:.80}")
            settings |= config[part]
        reduction = Reduction.from_config(config["score"])
        self = cls(inputs, **settings, **reduction.to_config(), precision=config["precision"])
        self._state = _state(tensors, self.network.shapes(inputs.tokenizer.vocab_size, self._n_embeddings))
        return self

    def __repr__(self) -> str:
        network = self.network
        state = "" if self.precision == "float32" else f" in {self.precision}"
        state += "" if self.is_fitted else ", not fitted"
        return (
            f"<MaskedTokenDetector: {network.layers} layers of width {network.width}, "
            f"{self.inputs.tokenizer.vocab_size} ids, {self.masking.score_form}{state}>"
        )


_SCORE_SETTINGS = ("score_form", "n_masks", "mask_seed")


def _state(
    tensors: Mapping[str, npt.NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors of the network, each of its shape; those of other names are left out, and refused later."""
    state = {}
    for name, shape in shapes.items():
        if _PREFIX + name not in tensors:
            raise ArtefactError(f"{_PREFIX}{name}: missing")
        value = tensors[_PREFIX + name]
        if value.dtype != np.float32 or value.shape != shape:
            raise ArtefactError(
                f"{_PREFIX}{name}: expected float32 of shape {shape}, got {value.dtype} of shape {value.shape}"
            )
        if not np.isfinite(value).all():
            raise ArtefactError(f"{_PREFIX}{name}: expected finite numbers")
        state[name] = np.array(value)
    return state
