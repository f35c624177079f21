"""Detectors that give every token a surprise, and every event the sum, the mean or the largest of these.

A surprise is a negative log-likelihood, in nats. In: `Tokens`. Out: one float32 for each token, or for each event.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from evtok.detectors.inputs import TokenInputs
from evtok.detectors.interface import Backend, Detector
from evtok.detectors.token_groups import TokenGroups, token_groups
from evtok.scoring.segments import reduce_surprise
from evtok.tokenizers import Tokenizer
from evtok.tokenizers.artefact import closed
from evtok.tokenizers.edge_definitions import finite_number, whole_number
from evtok.tokens import Tokens

#: Weights of types, by name.
TypeWeights = Mapping[str, float] | Sequence[tuple[str, float]]

REDUCTIONS = ("mean", "sum", "max", "top-mean")


@dataclass(frozen=True)
class Reduction:
    """How the surprises of an event's tokens become one number.

    Parameters
    ----------
    reduction : {"mean", "sum", "max", "top-mean"}
        "mean" does not grow with the number of tokens, "sum" does, "top-mean" is the mean of the `top` largest.
    top : int
        Of "top-mean"; events with fewer tokens take all they have.
    type_weights : mapping of str to float, or sequence of pairs
        Weights by the names of `TokenDetector.groups`: types of objects, tokens of the event, ``unk``. The others count
        1. A mean is divided by the weights; the largest are those of weight times surprise. Tokens of weight 0 are left
        out, and an event without any other has no score.
    """

    reduction: Literal["mean", "sum", "max", "top-mean"] = "mean"
    top: int = 3
    type_weights: TypeWeights = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.reduction not in REDUCTIONS:
            raise ValueError(f"reduction: expected one of {', '.join(REDUCTIONS)}, got {self.reduction!r}")
        object.__setattr__(self, "top", whole_number(self.top, "top"))
        if self.top >= 1 << 31:
            raise ValueError(f"top: expected a number below 2**31, got {self.top}")
        try:
            weights = dict(self.type_weights)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"type_weights: expected names and weights, got {self.type_weights!r:.80}"
            ) from error
        for name, weight in weights.items():
            if not isinstance(name, str):
                raise TypeError(f"type_weights: expected names, got {name!r}")
            weights[name] = finite_number(weight, f"type_weights[{name!r}]")
            if not 0 <= weights[name] <= float(np.finfo(np.float32).max):
                raise ValueError(f"type_weights[{name!r}]: expected a float32 of at least 0, got {weight}")
        object.__setattr__(self, "type_weights", MappingProxyType(weights))

    def to_config(self) -> dict[str, Any]:
        """Return the JSON form."""
        weights = dict(self.type_weights)
        return {"reduction": self.reduction, "top": self.top, "type_weights": weights}

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """Read what `to_config` returned, trusting nothing."""
        closed(config, {"reduction", "top", "type_weights"}, "score")
        return cls(**config)


class TokenDetector(Detector):
    """Base of the detectors that know how surprising a token is.

    Parameters
    ----------
    inputs : Tokenizer or TokenInputs
        Fitted; the detector keeps it.
    reduction : Reduction
    """

    inputs: TokenInputs

    def __init__(self, inputs: Tokenizer | TokenInputs, reduction: Reduction) -> None:
        self.inputs = TokenInputs.of(inputs)
        self._set(reduction)

    def _set(self, reduction: Reduction) -> None:
        self.reduction = reduction
        if reduction.type_weights:
            _ = self._id_weights  # refuses unknown names

    # ---- to be written for each kind --------------------------------------------------------------------------

    @abstractmethod
    def _surprise(
        self, tokens: Tokens, backend: Literal["native", "torch"], threads: int
    ) -> npt.NDArray[np.float32]:
        """Return the surprise of every token (n_tokens,) of events that can be used; 0 where none is scored."""

    # ---- what it does -----------------------------------------------------------------------------------------

    @cached_property
    def groups(self) -> TokenGroups:
        """What each id is about, and whether it is scored."""
        return token_groups(self.inputs.tokenizer)

    @cached_property
    def _id_weights(self) -> npt.NDArray[np.float32]:
        """What each id counts in an event's score (vocab_size,); 0 for those that are not scored."""
        of_group = self.groups.weights(dict(self.reduction.type_weights))
        return np.where(self.groups.is_scored, of_group[self.groups.of_id], np.float32(0))

    @cached_property
    def _id_counts(self) -> npt.NDArray[np.bool_]:
        """Which ids count in an event's score (vocab_size,)."""
        return np.asarray(self._id_weights > 0, np.bool_)

    def with_score(self, **settings: Any) -> Self:
        """Return the same detector with another reduction: any of `reduction`, `top` and `type_weights`."""
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__
        for of_weights in ("_id_weights", "_id_counts"):
            other.__dict__.pop(of_weights, None)
        other._set(replace(self.reduction, **settings))
        return other

    def token_surprise(
        self, data: Any, *, backend: Backend = "auto", threads: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Return how surprising each token is.

        Parameters
        ----------
        data : Events, Tokens, dataset or iterable of chunks
            As for `score`.
        backend, threads
            As for `score`.

        Returns
        -------
        float32 array (n_tokens,)
            Negative log-likelihoods in nats, aligned with the ids of the tokens. Never NaN; 0 for tokens that say
            nothing about the event: padding, ``cls``, and the like.

        Raises
        ------
        InvalidEventsError
            Events that have no score.
        FingerprintError
            Tokens of another tokenizer.
        """
        self._require_fitted()
        chosen = self._backend(backend)
        return self._surprise(self._read(data, "raise").data, chosen, threads or 0)

    def _unusable(self, data: Tokens) -> tuple[npt.NDArray[np.bool_], str]:
        # No event is empty: `inputs` keeps those out.
        counts = np.logical_or.reduceat(self._id_counts[data.ids], data.offsets[:-1])
        return ~counts, "has no token that is scored"

    def _offsets(self, tokens: Tokens, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Return offsets (n_events + 1,) into the tokens whose ids are chosen (vocab_size,)."""
        reached = np.concatenate([np.zeros(1, np.int64), np.cumsum(chosen[tokens.ids])])
        return np.asarray(reached[tokens.offsets], np.int64)

    def _score(
        self, data: Tokens, backend: Literal["native", "torch"], threads: int
    ) -> npt.NDArray[np.float32]:
        return self._reduce(data, self._surprise(data, backend, threads), threads)

    def _reduce(
        self, tokens: Tokens, surprise: npt.NDArray[np.float32], threads: int
    ) -> npt.NDArray[np.float32]:
        """Return one number an event (n_events,), of the tokens that have a weight."""
        weights = self._id_weights[tokens.ids]
        how = self.reduction
        return reduce_surprise(how.reduction, surprise, tokens.offsets, weights, how.top, threads)
