"""`GpuTokens`: what a tokenizer makes of `GpuEvents`, on the same device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from evtok.cuda.arrays import Place
from evtok.tokens import EncodeReport, Tokens


class GpuTokens:
    """Token sequences of events, one after the other, on a GPU: the ids that `Tokens` would hold.

    A tokenizer makes them; `to_host` gives `Tokens`, which are read, padded, written and decoded.
    """

    __slots__ = ("_fingerprint", "_ids", "_offsets", "_pad_id", "_report", "_vocab_size")

    def __init__(
        self,
        ids: Any,
        offsets: Any,
        *,
        fingerprint: str,
        vocab_size: int,
        pad_id: int,
        report: EncodeReport | Callable[[], EncodeReport],
    ) -> None:
        self._ids = ids
        self._offsets = offsets
        self._fingerprint = fingerprint
        self._vocab_size = vocab_size
        self._pad_id = pad_id
        self._report = report

    @property
    def ids(self) -> Any:
        """uint16 or int32 (n_tokens,), of the package and on the device of the events."""
        return self._ids

    @property
    def offsets(self) -> Any:
        """int64 (n_events + 1,) likewise, starting at 0."""
        return self._offsets

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the tokenizer that made the ids."""
        return self._fingerprint

    @property
    def vocab_size(self) -> int:
        """Number of ids in the vocabulary."""
        return self._vocab_size

    @property
    def pad_id(self) -> int:
        """The id of padding, or -1."""
        return self._pad_id

    @property
    def report(self) -> EncodeReport:
        """What the encode call met. With ``on_invalid="sentinel"`` the first reading of it waits for the device."""
        if not isinstance(self._report, EncodeReport):
            self._report = self._report()
        return self._report

    def __len__(self) -> int:
        return int(self._offsets.shape[0]) - 1

    def to_host(self) -> Tokens:
        """Return the same tokens as NumPy arrays. This waits for the device."""
        report = (
            self.report
        )  # first: it waits for the stream that the ids are made on, which may not be the current one
        place = Place(ids=self._ids, offsets=self._offsets)
        with place:
            ids, offsets = place.package.get(self._ids), place.package.get(self._offsets)
        return Tokens._trusted(ids, offsets, self._fingerprint, self._vocab_size, self._pad_id, report)

    def __repr__(self) -> str:
        return f"<GpuTokens: {len(self)} events, {int(self._ids.shape[0])} tokens of {self._vocab_size}>"
