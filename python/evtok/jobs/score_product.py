"""Scores as the product of a job: ``score`` float32, by a detector (score_encoder.py)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from evtok._optional import require
from evtok.errors import ShardError
from evtok.jobs.batch import Array, Batch
from evtok.jobs.fields import PLAIN, Fields, one_of, text
from evtok.jobs.product import Product
from evtok.tokenizers import artefact

COLUMN = "score"
#: A detector is given so many events at a time. Its memory is bounded by this, and scores that torch computes can
#: depend on it in their last bits.
EVENTS_PER_CALL = 8192
DTYPE = "float32"
_BACKENDS = ("native", "torch", "torch-cuda")


@dataclass(frozen=True)
class ScoreProduct(Product):
    """One finite float32 an event.

    Attributes
    ----------
    kind : str
        Of the detector.
    backend : str
        "native", "torch" (on the CPU) or "torch-cuda".
    torch : str
        Version of torch, where it computes, else "".
    events_per_call : int
        Events that the detector is given at a time.
    """

    NAME: ClassVar[str] = "scores"
    ARTEFACT: ClassVar[str] = "model"
    KEYS: ClassVar[tuple[str, ...]] = ("product", "kind", "backend", "torch", "events_per_call")

    kind: str
    backend: str
    torch: str
    events_per_call: int

    def to_json(self) -> dict[str, Any]:  # noqa: D102
        return {"product": self.NAME, **asdict(self)}

    @classmethod
    def from_json(cls, found: Fields) -> Self:  # noqa: D102
        one_of(found["product"], [cls.NAME], found.where("product"))
        torch = found["torch"]
        return cls(
            kind=found.text("kind", PLAIN),
            backend=one_of(found["backend"], _BACKENDS, found.where("backend")),
            torch="" if torch == "" else text(torch, found.where("torch"), PLAIN),
            events_per_call=found.integer("events_per_call", 1, 2**31 - 1),
        )

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where scores are computed."""
        return "cuda" if self.backend == "torch-cuda" else "cpu"

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:  # noqa: D102
        return ((COLUMN, DTYPE),)

    def metadata(self) -> dict[str, str]:  # noqa: D102
        return {"product": self.NAME, "kind": self.kind}

    def arrow_fields(self) -> list[Any]:  # noqa: D102
        pa = require("pyarrow", extra="io")
        return [pa.field(COLUMN, pa.float32(), nullable=False)]

    def to_arrow(self, batch: Batch) -> list[Any]:  # noqa: D102
        pa = require("pyarrow", extra="io")
        return [pa.array(batch.columns[COLUMN])]

    def from_arrow(self, found: Any, columns: dict[str, Array]) -> Batch:  # noqa: D102
        return Batch({COLUMN: found.column(0).to_numpy(zero_copy_only=True), **columns})

    def check(self, batch: Batch, name: str) -> None:  # noqa: D102
        if not np.isfinite(batch.columns[COLUMN]).all():
            raise ShardError(f"{name}: holds a score that is not finite")

    def fingerprint_of(self, folder: Path) -> str:  # noqa: D102
        return artefact.fingerprint(*artefact.load(folder))
