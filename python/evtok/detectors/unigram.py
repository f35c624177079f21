"""`UnigramDetector`: how rare an event's tokens are, each by itself. The baseline that a sequence model has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from evtok.detectors.inputs import TokenInputs, inputs_from_config
from evtok.detectors.interface import Progress, Tensors
from evtok.detectors.token_detector import Reduction, TokenDetector, TypeWeights
from evtok.errors import ArtefactError
from evtok.tokenizers import Tokenizer
from evtok.tokenizers.artefact import closed
from evtok.tokenizers.edge_definitions import finite_number
from evtok.tokens import Tokens


class UnigramDetector(TokenDetector):
    """The surprise of a token is -log of its share among the tokens of background.

    The share of an id that was counted c times among N is ``(c + smoothing) / (N + smoothing * n_ids)``, where `n_ids`
    counts the ids that are scored, and events count by their weights.

    Parameters
    ----------
    inputs : Tokenizer or TokenInputs
        Fitted.
    smoothing : float
        Is added to every count, so that ids that background lacks have a finite surprise; above 0.
    length_term : bool
        Whether -log of the share of events with as many scored tokens is added to what the tokens gave, however they
        are reduced: how many objects there are is information too. With the reduction "sum", the score is then the
        negative log-likelihood of a model that draws a number of tokens, and each by itself. These shares are smoothed
        in the same way, and all lengths above the longest of background count as one.
    reduction, top, type_weights
        See `evtok.detectors.token_detector.Reduction`.
    """

    KIND = "unigram"

    def __init__(
        self,
        inputs: Tokenizer | TokenInputs,
        *,
        smoothing: float = 1.0,
        length_term: bool = False,
        reduction: Literal["mean", "sum", "max", "top-mean"] = "mean",
        top: int = 3,
        type_weights: TypeWeights = (),
    ) -> None:
        super().__init__(inputs, Reduction(reduction, top, type_weights))
        self.smoothing = finite_number(smoothing, "smoothing")
        if not self.smoothing > 0:
            raise ValueError(f"smoothing: expected a number above 0, got {smoothing}")
        if not isinstance(length_term, bool):
            raise TypeError(f"length_term: expected True or False, got {length_term!r}")
        self.length_term = length_term
        self._tables: Tensors = {}

    @property
    def is_fitted(self) -> bool:
        """True once the shares are known."""
        return bool(self._tables)

    def _fit(
        self,
        train: Tokens,
        validation: Tokens | None,
        *,
        weights: npt.NDArray[np.float64],
        checkpoints: Path | None,
        progress: Progress | None,
    ) -> None:
        of_token = np.repeat(weights, train.lengths)
        counts = _counts(train.ids, of_token, self.inputs.tokenizer.vocab_size)
        is_scored = self.groups.is_scored
        surprise = np.zeros(len(counts), np.float32)
        surprise[is_scored] = _surprise_of(counts[is_scored], self.smoothing)
        lengths = _counts(np.diff(self._offsets(train, is_scored)), weights)
        longer = np.append(lengths[1:], 0.0)  # no event has none that is scored
        self._tables = {"token_surprise": surprise, "length_surprise": _surprise_of(longer, self.smoothing)}

    def _surprise(
        self, tokens: Tokens, backend: Literal["native", "torch"], threads: int
    ) -> npt.NDArray[np.float32]:
        return np.asarray(self._tables["token_surprise"][tokens.ids], np.float32)

    def _score(
        self, data: Tokens, backend: Literal["native", "torch"], threads: int
    ) -> npt.NDArray[np.float32]:
        scores = super()._score(data, backend, threads)
        if not self.length_term:
            return scores
        table = self._tables["length_surprise"]
        lengths = np.diff(self._offsets(data, self.groups.is_scored))
        return np.asarray(scores + table[np.minimum(lengths, len(table)) - 1], np.float32)

    # ---- files ------------------------------------------------------------------------------------------------

    def to_artefact(self) -> tuple[dict[str, Any], Tensors]:  # noqa: D102
        self._require_fitted()
        inputs, tensors = self.inputs.to_config()
        config = {
            "kind": self.KIND,
            "inputs": inputs,
            "smoothing": self.smoothing,
            "length_term": self.length_term,
            "score": self.reduction.to_config(),
        }
        return config, tensors | self._tables

    @classmethod
    def from_artefact(cls, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> Self:  # noqa: D102
        closed(config, {"kind", "inputs", "smoothing", "length_term", "score"}, "detector")
        inputs = inputs_from_config(config["inputs"], tensors)
        if not isinstance(inputs, TokenInputs):
            raise ArtefactError(f"inputs: a {cls.KIND} detector reads tokens, got {inputs.KIND}")
        reduction = Reduction.from_config(config["score"])
        self = cls(
            inputs,
            smoothing=config["smoothing"],
            length_term=config["length_term"],
            reduction=reduction.reduction,
            top=reduction.top,
            type_weights=reduction.type_weights,
        )
        self._tables = {name: _table(tensors, name) for name in ("token_surprise", "length_surprise")}
        n_ids = inputs.tokenizer.vocab_size
        if len(self._tables["token_surprise"]) != n_ids:
            raise ArtefactError(
                f"token_surprise: expected {n_ids} numbers, got {len(self._tables['token_surprise'])}"
            )
        return self

    def __repr__(self) -> str:
        state = "" if self.is_fitted else ", not fitted"
        return (
            f"<UnigramDetector of {self.inputs.tokenizer.vocab_size} ids, {self.reduction.reduction}{state}>"
        )


def _counts(
    values: npt.NDArray[Any], weights: npt.NDArray[np.float64], at_least: int = 0
) -> npt.NDArray[np.float64]:
    """Return what weighs each value from 0 to the largest."""
    return np.asarray(np.bincount(values, weights, at_least), np.float64)


def _surprise_of(counts: npt.NDArray[np.float64], smoothing: float) -> npt.NDArray[np.float32]:
    """Return -log of the smoothed share of each count, rounded to float32."""
    smooth = counts + smoothing
    # A single id, or nearly: its share rounds to 1, and -log of 1 is -0.
    return np.asarray(np.maximum(-np.log(smooth / smooth.sum()), 0.0), np.float32) + np.float32(0)


def _table(tensors: Mapping[str, npt.NDArray[Any]], name: str) -> npt.NDArray[np.float32]:
    table = tensors[name]
    if table.dtype != np.float32 or table.ndim != 1 or not table.size:
        raise ArtefactError(f"{name}: expected float32 numbers, got {table.dtype} of shape {table.shape}")
    if not (np.isfinite(table) & (table >= 0)).all():
        raise ArtefactError(f"{name}: expected finite numbers that are not negative")
    return np.array(table)
