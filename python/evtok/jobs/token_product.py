"""Tokens as the product of a job: ``tokens`` list<uint16 or int32>, by a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from evtok._optional import require
from evtok.errors import JobError, ShardError
from evtok.events import Events
from evtok.jobs import quarantine
from evtok.jobs.batch import Array, TokenBatch
from evtok.jobs.fields import Fields
from evtok.jobs.product import Encoded, Encoder, Product, without
from evtok.tokenizers import Tokenizer, load_tokenizer

COLUMN = "tokens"


@dataclass(frozen=True)
class TokenProduct(Product):
    """Ids below `vocab_size`; `pad_id` is the one that pads, -1 when there is none."""

    NAME: ClassVar[str] = "tokens"
    ARTEFACT: ClassVar[str] = "tokenizer"
    KEYS: ClassVar[tuple[str, ...]] = ("vocab_size", "pad_id")

    vocab_size: int
    pad_id: int

    def to_json(self) -> dict[str, Any]:  # noqa: D102
        return asdict(self)

    @classmethod
    def from_json(cls, found: Fields) -> Self:  # noqa: D102
        vocab_size = found.integer("vocab_size", 1, 2**31 - 1)
        return cls(vocab_size, found.integer("pad_id", -1, vocab_size - 1))

    @property
    def ids_dtype(self) -> np.dtype[Any]:
        """uint16 where the vocabulary fits, else int32."""
        return np.dtype(np.uint16 if self.vocab_size <= 65_536 else np.int32)

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:  # noqa: D102
        return ((COLUMN, self.ids_dtype.name),)

    def metadata(self) -> dict[str, str]:  # noqa: D102
        return {"vocab_size": str(self.vocab_size), "pad_id": str(self.pad_id)}

    def arrow_fields(self) -> list[Any]:  # noqa: D102
        pa = require("pyarrow", extra="io")
        return [pa.field(COLUMN, self._arrow_type(), nullable=False)]

    def _arrow_type(self) -> Any:
        pa = require("pyarrow", extra="io")
        return pa.list_(pa.field("item", pa.from_numpy_dtype(self.ids_dtype), nullable=False))

    def to_arrow(self, batch: TokenBatch) -> list[Any]:  # noqa: D102
        pa = require("pyarrow", extra="io")
        offsets, ids = pa.array(batch.offsets), pa.array(batch.ids)
        return [pa.ListArray.from_arrays(offsets, ids, type=self._arrow_type())]

    def from_arrow(self, found: Any, columns: dict[str, Array]) -> TokenBatch:  # noqa: D102
        tokens = found.column(0)
        offsets = tokens.offsets.to_numpy(zero_copy_only=True)
        ids = tokens.values.to_numpy(zero_copy_only=True)
        if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(ids):
            raise ShardError("tokens: the offsets of a batch do not span its ids")
        return TokenBatch(columns, offsets, ids)

    def check(self, batch: TokenBatch, name: str) -> None:  # noqa: D102
        if np.any(np.diff(batch.offsets) < 0):
            raise ShardError(f"{name}: an event ends before it begins")
        ids = batch.ids
        if len(ids) and (int(ids.min()) < 0 or int(ids.max()) >= self.vocab_size):
            raise ShardError(f"{name}: holds an id outside the vocabulary of {self.vocab_size}")

    def fingerprint_of(self, folder: Path) -> str:  # noqa: D102
        return load_tokenizer(folder).fingerprint


class TokenEncoder(Encoder):
    """Encodes events with a fitted tokenizer, on the CPU or on `device`, such as "cuda": the ids are the same."""

    product: TokenProduct

    def __init__(self, tokenizer: Tokenizer, device: str | None = None) -> None:
        if not tokenizer.is_fitted:
            raise JobError("tokenizer: it is not fitted yet; call fit first")
        self._tokenizer = tokenizer
        self._encoding: Any = tokenizer
        if device is not None:
            from evtok.cuda.host_events import OnDevice

            self._encoding = OnDevice(tokenizer, device)
        self.product = TokenProduct(int(tokenizer.vocab_size), int(tokenizer.pad_id))
        self.fingerprint = tokenizer.fingerprint
        self.required_columns = tokenizer.required_columns
        self.required_fields = tokenizer.required_fields

    def encode(  # noqa: D102
        self, events: Events, columns: Mapping[str, Array], *, name: str, threads: int | None
    ) -> Encoded:
        dtype = self.product.ids_dtype
        tokens, refused, reasons = quarantine.split(self._encoding, events, dtype, threads)
        if tokens.fingerprint != self.fingerprint:
            raise JobError(f"{name}: the tokenizer changed while the job was running")
        if tokens.report is None:
            raise JobError(
                f"{name}: the tokenizer does not report what it met, so the job cannot account for it"
            )
        ids = tokens.ids.astype(dtype, copy=False)
        return Encoded(
            TokenBatch(without(columns, refused), tokens.offsets, ids), refused, reasons, tokens.report
        )

    def require_unchanged(self, name: str) -> None:
        """Every chunk was checked already: tokens carry the fingerprint of what made them."""

    def save(self, folder: Path) -> None:  # noqa: D102
        self._tokenizer.save(folder)
