"""What every tokenizer is: the part that jobs, data sets, the command line and files know of one."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt

from evtok.errors import FingerprintError
from evtok.events import Events
from evtok.tokenizers import artefact
from evtok.tokenizers.vocabulary import Vocabulary
from evtok.tokens import Tokens

if TYPE_CHECKING:
    import awkward as ak

OnInvalid = Literal["raise", "sentinel"]


class Tokenizer(ABC):
    """Events to `Tokens` and back, with a fingerprint of all that decides the ids, and a folder of files.

    A kind of tokenizer has a `KIND`, which is the ``kind`` of its ``config.json`` and by which `load_tokenizer` finds
    it.
    """

    KIND: str

    # ---- what it is -------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def is_fitted(self) -> bool:
        """True when nothing has to be found from data any more."""

    @property
    @abstractmethod
    def vocabulary(self) -> Vocabulary:
        """Which id means what."""

    @property
    @abstractmethod
    def required_columns(self) -> tuple[str, ...]:
        """Columns of `Events` that `encode` reads."""

    @property
    @abstractmethod
    def required_fields(self) -> tuple[str, ...]:
        """Fields of `Events` that `encode` reads."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """sha256 (hex) of all that decides the tokens."""

    @property
    def vocab_size(self) -> int:
        """Number of ids; every id is below it."""
        return self.vocabulary.size

    @property
    def special_ids(self) -> dict[str, int]:
        """Id of each special token by name."""
        return self.vocabulary.special_ids

    @property
    def pad_id(self) -> int:
        """Id of padding, or -1 when there is none."""
        return self.special_ids.get("pad", -1)

    # ---- what it does -----------------------------------------------------------------------------------------

    @abstractmethod
    def fit(
        self, source: Events | Iterable[Events], *, on_invalid: Literal["raise", "skip"] = "raise"
    ) -> Self:
        """Find from data what is not given; returns self."""

    @abstractmethod
    def encode(
        self,
        events: Events | ak.Array,
        *,
        on_invalid: OnInvalid = "raise",
        threads: int | None = None,
        dtype: npt.DTypeLike = np.int32,
        out: npt.NDArray[Any] | None = None,
    ) -> Tokens:
        """Turn events into tokens, whose `report` counts what was met; `out` is memory for their ids."""

    @abstractmethod
    def decode(self, tokens: Tokens) -> Events:
        """Turn tokens of this tokenizer back into events."""

    def require_own(self, tokens: Tokens) -> None:
        """Refuse tokens of another tokenizer.

        Raises
        ------
        FingerprintError
            The tokens say that another one made them.
        """
        if tokens.fingerprint and tokens.fingerprint != self.fingerprint:
            raise FingerprintError(
                f"tokens: made by tokenizer {tokens.fingerprint[:16]}…, this one is {self.fingerprint[:16]}…"
            )

    # ---- files ------------------------------------------------------------------------------------------------

    @abstractmethod
    def to_artefact(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return the config and the tensors that `from_artefact` makes the same tokenizer of."""

    @classmethod
    @abstractmethod
    def from_artefact(cls, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Make the tokenizer from the content of its artefact, trusting nothing."""

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the tokenizer as a folder of JSON and safetensors, whole or not at all."""
        artefact.save(folder, *self.to_artefact())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read a tokenizer that `save` wrote; nothing in the folder is executed.

        Raises
        ------
        ArtefactError
            A missing, altered, hostile or newer artefact.
        """
        return cls.from_artefact(*artefact.load(folder))

    def __reduce__(self) -> Any:
        if not self.is_fitted:
            raise TypeError(
                "a tokenizer that is not fitted cannot be sent to another process: call fit first"
            )
        return _from_artefact, (type(self), *self.to_artefact())


def _from_artefact(
    kind: type[Tokenizer], config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]
) -> Tokenizer:
    return kind.from_artefact(config, tensors)
