"""What a detector reads of events: their tokens, or a row of features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt

from evtok import _arrays
from evtok.dataset import TokenDataset
from evtok.errors import ArtefactError, FingerprintError, InvalidEventsError
from evtok.event_quantities import EventQuantities
from evtok.events import Events
from evtok.tokenizers import Tokenizer, tokenizer_from_artefact
from evtok.tokens import EncodeReport, Tokens

OnInvalid = Literal["raise", "sentinel"]

Data = TypeVar("Data")


@dataclass(frozen=True)
class Read(Generic[Data]):
    """`data` of the events that can be used, and which of all events these are: `valid`, bool (n_events,)."""

    data: Data
    valid: npt.NDArray[np.bool_]


class Inputs(ABC, Generic[Data]):
    """Turns what a user has into what a detector computes with, and keeps events out that have no score."""

    KIND: str

    @property
    @abstractmethod
    def required_columns(self) -> tuple[str, ...]:
        """Columns of `Events` that are read."""

    @property
    @abstractmethod
    def required_fields(self) -> tuple[str, ...]:
        """Fields of `Events` that are read."""

    @abstractmethod
    def read(self, data: Any, *, on_invalid: OnInvalid = "raise") -> Read[Data]:
        """Return what a detector computes with.

        Raises
        ------
        InvalidEventsError
            Events that cannot be used, unless `on_invalid` is "sentinel".
        FingerprintError
            Tokens of another tokenizer.
        TypeError
            Something else than is read.
        """

    def met(self, events: Events, *, threads: int | None = None) -> tuple[Any, EncodeReport]:
        """Return what `read` takes of `events`, invalid ones among them, and what was met that it does not tell.

        Jobs of scores count that: ids that are ``unk``, objects of unknown type, objects that were cut.
        """
        return events, EncodeReport(len(events), events.n_objects)

    @abstractmethod
    def to_config(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return the part of an artefact that says what is read."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Make the inputs from what `to_config` returned, trusting nothing."""


class TokenInputs(Inputs[Tokens]):
    """The tokens of one tokenizer.

    Parameters
    ----------
    tokenizer : Tokenizer
        Fitted. A detector keeps it, so that it scores events, and refuses the tokens of any other.
    """

    KIND = "tokens"

    def __init__(self, tokenizer: Tokenizer) -> None:
        if not isinstance(tokenizer, Tokenizer):
            raise TypeError(f"tokenizer: expected a Tokenizer, got {type(tokenizer).__name__}")
        if not tokenizer.is_fitted:
            raise ValueError("tokenizer: expected one that is fitted; call its fit first")
        self.tokenizer = tokenizer
        self._sized = ("", 0)

    @classmethod
    def of(cls, given: Tokenizer | TokenInputs) -> TokenInputs:
        """Return `given` as inputs."""
        return given if isinstance(given, TokenInputs) else cls(given)

    @property
    def required_columns(self) -> tuple[str, ...]:  # noqa: D102
        return self.tokenizer.required_columns

    @property
    def required_fields(self) -> tuple[str, ...]:  # noqa: D102
        return self.tokenizer.required_fields

    def read(self, data: Any, *, on_invalid: OnInvalid = "raise") -> Read[Tokens]:
        """Return the tokens of the events that have any, and none that is invalid.

        `data` is `Events`, `Tokens`, a `TokenDataset`, or an iterable of `Events` or `Tokens`, such as what
        `evtok.open_events` returns.
        """
        tokens = self._tokens(data, on_invalid)
        if not tokens.fingerprint:
            raise FingerprintError("data: tokens that do not say which tokenizer made them cannot be scored")
        self.tokenizer.require_own(tokens)
        valid = self._valid(tokens)
        if np.count_nonzero(valid) == len(valid):
            return Read(tokens, valid)
        if on_invalid == "raise":
            wrong = int(np.argmin(valid))
            raise InvalidEventsError(f"data: event {wrong} {self._fault(tokens[wrong])}")
        return Read(tokens.select(valid), valid)

    def _tokens(self, data: Any, on_invalid: OnInvalid) -> Tokens:
        if isinstance(data, Tokens):
            return data
        if isinstance(data, Events):
            return self.tokenizer.encode(data, on_invalid=on_invalid)
        if isinstance(data, TokenDataset):
            return data[:]
        if isinstance(data, (str, bytes, np.ndarray)) or not isinstance(data, Iterable):
            raise TypeError(
                f"data: expected Events, Tokens, a TokenDataset or an iterable of chunks, got {type(data).__name__}"
            )
        return Tokens.concatenate([self._tokens(chunk, on_invalid) for chunk in data])

    def met(self, events: Events, *, threads: int | None = None) -> tuple[Tokens, EncodeReport]:  # noqa: D102
        tokens = self.tokenizer.encode(events, on_invalid="sentinel", threads=threads)
        return tokens, tokens.report or EncodeReport(len(events), events.n_objects)

    def _valid(self, tokens: Tokens) -> npt.NDArray[np.bool_]:
        ids = tokens.ids
        wrong = (ids < 0) | (ids >= self._vocab_size)
        valid = tokens.lengths > 0
        if np.count_nonzero(wrong):  # `any` takes five times as long for a single event
            valid[np.searchsorted(tokens.offsets, np.flatnonzero(wrong), side="right") - 1] = False
        return valid

    @property
    def _vocab_size(self) -> int:
        """That of the tokenizer, which works it out each time; kept for as long as its fingerprint stays."""
        fingerprint, size = self._sized
        if fingerprint != self.tokenizer.fingerprint:
            size = self.tokenizer.vocab_size
            self._sized = (self.tokenizer.fingerprint, size)
        return size

    def _fault(self, ids: npt.NDArray[Any]) -> str:
        size = self.tokenizer.vocab_size
        if not len(ids):
            return "has no token, and so no score"
        wrong = ids[(ids < 0) | (ids >= size)][0]
        return f"has the token {wrong}, outside the vocabulary of {size} ids"

    def to_config(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:  # noqa: D102
        config, tensors = self.tokenizer.to_artefact()
        return {"kind": self.KIND, "tokenizer": config}, {f"tokenizer.{k}": v for k, v in tensors.items()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> Self:  # noqa: D102
        return cls(tokenizer_from_artefact(_dict(config.get("tokenizer"), "tokenizer"), tensors))


class FeatureInputs(Inputs[npt.NDArray[np.float32]]):
    """A row of float32 features for each event.

    Parameters
    ----------
    names : sequence of str
        Of the features, in order. Of `Events`, they name quantities (see `evtok.event_quantities`); for arrays they
        only say how many columns there are, and which.
    """

    KIND = "features"

    def __init__(self, names: Sequence[str]) -> None:
        untyped: object = names
        if isinstance(untyped, str):
            raise TypeError(f"names: expected a sequence of names, got the one text {names!r}")
        self.names = tuple(names)
        if not self.names or len(set(self.names)) != len(self.names):
            raise ValueError(f"names: expected names of features, each once, got {list(names)}")
        given: Sequence[object] = self.names
        for name in given:
            if not isinstance(name, str) or not name:
                raise TypeError(f"names: expected names, got {name!r}")

    @classmethod
    def of(cls, given: Sequence[str] | FeatureInputs) -> FeatureInputs:
        """Return `given` as inputs."""
        return given if isinstance(given, FeatureInputs) else cls(given)

    @property
    def required_columns(self) -> tuple[str, ...]:  # noqa: D102
        return EventQuantities(self.names).required_columns

    @property
    def required_fields(self) -> tuple[str, ...]:  # noqa: D102
        return EventQuantities(self.names).required_fields

    def read(self, data: Any, *, on_invalid: OnInvalid = "raise") -> Read[npt.NDArray[np.float32]]:
        """Return the rows (n, n_features) of finite numbers.

        `data` is `Events`, an array (n, n_features) of NumPy or torch, or an iterable of either. Integers and float64
        are rounded once to float32.
        """
        rows = self._rows(data)
        valid = np.asarray(np.isfinite(rows).all(axis=1), np.bool_)
        wrong = np.flatnonzero(~valid)
        if not wrong.size:
            return Read(rows, valid)
        if on_invalid == "raise":
            at = int(np.flatnonzero(~np.isfinite(rows[wrong[0]]))[0])
            value = rows[wrong[0], at]
            raise InvalidEventsError(
                f"data: feature {self.names[at]!r} of event {wrong[0]} is {value}, and so there is no score"
            )
        return Read(rows[valid], valid)

    def _rows(self, data: Any) -> npt.NDArray[np.float32]:
        if isinstance(data, Events):
            return EventQuantities(self.names).rows(data)
        if _arrays.kind(data) in ("numpy", "torch"):
            rows = _arrays.to_numpy(data, "data")
            if rows.ndim != 2 or rows.shape[1] != len(self.names):
                raise ValueError(f"data: expected shape (n, {len(self.names)}), got {rows.shape}")
            with np.errstate(over="ignore"):  # becomes an infinity, and is refused as one
                return np.ascontiguousarray(rows, np.float32)
        if isinstance(data, (str, bytes, Tokens, TokenDataset)) or not isinstance(data, Iterable):
            raise TypeError(f"data: expected Events or an array of features, got {type(data).__name__}")
        chunks = [self._rows(chunk) for chunk in data]
        return np.concatenate(chunks) if chunks else np.empty((0, len(self.names)), np.float32)

    def to_config(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:  # noqa: D102
        return {"kind": self.KIND, "names": list(self.names)}, {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> Self:  # noqa: D102
        names = config.get("names")
        if not isinstance(names, list):
            raise ArtefactError(f"names: expected a list, got {names!r:.80}")
        return cls(names)


_KINDS: dict[str, type[Inputs[Any]]] = {kind.KIND: kind for kind in (TokenInputs, FeatureInputs)}


def inputs_from_config(config: Any, tensors: Mapping[str, npt.NDArray[Any]]) -> Inputs[Any]:
    """Make inputs from the part of an artefact that says what is read.

    Raises
    ------
    ArtefactError
        A part that no inputs wrote.
    """
    found = _dict(config, "inputs")
    kind = found.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ArtefactError(f"inputs: expected the kind {' or '.join(_KINDS)}, got {kind!r:.80}")
    prefix = "tokenizer."
    own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return _KINDS[kind].from_config(found, own)


def _dict(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ArtefactError(f"{name}: expected an object, got {type(value).__name__}")
    return value
