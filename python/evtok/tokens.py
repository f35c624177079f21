"""`Tokens`: what a tokenizer makes of events, ragged sequences of integer ids."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
import numpy.typing as npt

from evtok import _arrays
from evtok._optional import require
from evtok.errors import FingerprintError, InvalidEventsError

if TYPE_CHECKING:
    import awkward as ak


@dataclass(frozen=True)
class EncodeReport:
    """What an encode call met.

    Objects are counted before truncation: one that was dropped may be among those that were invalid or unknown.

    Attributes
    ----------
    n_events, n_objects : int
        What was given.
    invalid : int
        Objects with an invalid value; every id of such an object is -1, its other parts included.
    unknown : int
        Ids, not objects, that the vocabulary does not hold, and that became ``unk``: one for an unknown object, or one
        for each of its unknown parts when factorised (an object that is also invalid is -1, and its parts count).
    invalid_event_tokens, unknown_event_tokens : int
        Tokens of the event (such as MET) that became -1, and that became ``unk``.
    truncated_events, truncated_objects : int
        Events above `max_length`, and the objects that were dropped from them.
    cut_objects : int
        Objects outside the limits of a feature, which have no token. They are not among the others that are counted.
    """

    n_events: int
    n_objects: int
    invalid: int = 0
    unknown: int = 0
    invalid_event_tokens: int = 0
    unknown_event_tokens: int = 0
    truncated_events: int = 0
    truncated_objects: int = 0
    cut_objects: int = 0


class Tokens:
    """Token sequences of events, one after the other.

    Parameters
    ----------
    ids : uint16 or int32 array (n_tokens,)
        -1 (only in int32) marks an invalid value that a tokenizer was told to keep.
    offsets : int64 array (n_events + 1,)
        Event `i` is ``ids[offsets[i]:offsets[i + 1]]``.
    fingerprint : str
        Of the tokenizer that made the ids; another tokenizer refuses to decode them.
    vocab_size : int
        Ids are below this.
    pad_id : int
        The id that `to_padded` fills with; -1 when the vocabulary has none.
    report : EncodeReport, optional
        What the encode call met; None for tokens that were read from a file or selected.
    """

    __slots__ = ("_fingerprint", "_ids", "_offsets", "_pad_id", "_report", "_vocab_size")

    def __init__(
        self,
        ids: npt.ArrayLike,
        offsets: npt.ArrayLike,
        *,
        fingerprint: str = "",
        vocab_size: int,
        pad_id: int = -1,
        report: EncodeReport | None = None,
    ) -> None:
        flat = _arrays.column(ids, "ids")
        if flat.dtype not in (np.uint16, np.int32):
            raise TypeError(f"ids: expected uint16 or int32, got {flat.dtype}")
        starts, begin, end = _arrays.check_offsets(_arrays.offsets(offsets, "offsets"), len(flat), len(flat))
        self._set(flat[begin:end], starts, fingerprint, vocab_size, pad_id, report)

    @classmethod
    def _trusted(
        cls,
        ids: npt.NDArray[Any],
        offsets: npt.NDArray[np.int64],
        fingerprint: str,
        vocab_size: int,
        pad_id: int,
        report: EncodeReport,
    ) -> Self:
        """Wrap what the kernel made."""
        self = object.__new__(cls)
        self._set(ids, offsets, fingerprint, vocab_size, pad_id, report)
        return self

    def _set(
        self,
        ids: npt.NDArray[Any],
        offsets: npt.NDArray[np.int64],
        fingerprint: str,
        vocab_size: int,
        pad_id: int,
        report: EncodeReport | None,
    ) -> None:
        self._ids = _arrays.read_only(ids)
        self._offsets = _arrays.read_only(offsets)
        self._fingerprint = fingerprint
        self._vocab_size = vocab_size
        self._pad_id = pad_id
        self._report = report

    @property
    def ids(self) -> npt.NDArray[Any]:
        """uint16 or int32 (n_tokens,), read-only."""
        return self._ids

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """int64 (n_events + 1,), starting at 0, read-only."""
        return self._offsets

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64 (n_events,): tokens in each event."""
        return np.asarray(self._offsets[1:] - self._offsets[:-1])

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
    def report(self) -> EncodeReport | None:
        """What the encode call met, for tokens as it returned them."""
        return self._report

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        """Iterate over events, each an array of ids."""
        for begin, end in zip(self._offsets[:-1], self._offsets[1:], strict=True):
            yield self._ids[begin:end]

    @overload
    def __getitem__(self, which: int) -> npt.NDArray[Any]: ...
    @overload
    def __getitem__(self, which: slice | npt.NDArray[np.bool_]) -> Self: ...
    def __getitem__(self, which: int | slice | npt.NDArray[np.bool_]) -> Any:
        """Return the ids of one event as a view (k,), or `Tokens` of a slice or a boolean mask (n_events,)."""
        if isinstance(which, slice):
            start, stop, step = which.indices(len(self))
            if step != 1:
                raise IndexError("a slice of Tokens has step 1")
            stop = max(start, stop)
            return self._like(
                self._ids[self._offsets[start] : self._offsets[stop]],
                self._offsets[start : stop + 1] - self._offsets[start],
            )
        if np.ndim(which):
            return self.select(np.asarray(which))
        try:
            i = operator.index(which)
        except TypeError as error:
            raise IndexError(f"tokens: expected an int, a slice or a boolean mask, got {which!r}") from error
        if not -len(self) <= i < len(self):
            raise IndexError(f"event {i}: there are {len(self)} events")
        i %= len(self)
        return self._ids[self._offsets[i] : self._offsets[i + 1]]

    @classmethod
    def concatenate(cls, parts: Sequence[Tokens]) -> Self:
        """Return the events of all parts, one part after the other.

        Raises
        ------
        ValueError
            No parts.
        FingerprintError
            Parts of different tokenizers.
        """
        if not parts:
            raise ValueError("parts: expected at least one, got none")
        first = parts[0]
        for part in parts:
            if (part.fingerprint, part.vocab_size) != (first.fingerprint, first.vocab_size):
                raise FingerprintError(
                    f"parts: made by different tokenizers, {first.fingerprint[:16]}… and {part.fingerprint[:16]}…"
                )
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
            fingerprint=first.fingerprint,
            vocab_size=first.vocab_size,
            pad_id=first.pad_id,
        )

    def select(self, keep: npt.NDArray[np.bool_]) -> Self:
        """Return the events where `keep` (n_events,) is True."""
        if keep.dtype != np.bool_:
            raise IndexError(f"keep: expected a boolean mask, got {keep.dtype}")
        if keep.shape != (len(self),):
            raise IndexError(f"keep: expected shape ({len(self)},), got {keep.shape}")
        lengths = self.lengths
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[keep])])
        return self._like(self._ids[np.repeat(keep, lengths)], offsets)

    def _like(self, ids: npt.NDArray[Any], offsets: npt.NDArray[np.int64]) -> Self:
        return type(self)(
            ids, offsets, fingerprint=self._fingerprint, vocab_size=self._vocab_size, pad_id=self._pad_id
        )

    def to_padded(
        self, length: int | None = None, pad: int | None = None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Return a rectangle of ids, and where it holds tokens.

        Parameters
        ----------
        length : int, optional
            Slots for each event; the longest event's by default.
        pad : int, optional
            Fills empty slots; `pad_id` by default. From -2**31 to 2**31 - 1.

        Returns
        -------
        ids : array (n_events, length)
            int32, or uint16 when the tokens are and `pad` fits.
        mask : bool array (n_events, length)
            True where a slot holds a token.

        Raises
        ------
        InvalidEventsError
            An event is longer than `length`: nothing is cut silently. Give the tokenizer a `max_length` to cut.
        """
        lengths = self.lengths
        longest = int(lengths.max(initial=0))
        slots = longest if length is None else length
        if longest > slots:
            raise InvalidEventsError(
                f"length: event {int(lengths.argmax())} has {longest} tokens, more than {slots}; give a larger length, "
                "or a tokenizer with max_length and too_long='truncate'"
            )
        fill = self._pad_id if pad is None else pad
        limits = np.iinfo(self._ids.dtype)
        dtype = self._ids.dtype if limits.min <= fill <= limits.max else np.dtype(np.int32)
        if not -(2**31) <= fill < 2**31:
            raise ValueError(f"pad: expected an id that fits in int32, got {fill}")
        mask = np.arange(slots) < lengths[:, None]
        padded = np.full((len(self), slots), fill, dtype)
        padded[mask] = self._ids
        return padded, mask

    def to_awkward(self) -> ak.Array:
        """Return ``n * var * int`` as an awkward array that shares the memory of the ids."""
        ak = require("awkward", extra="io")
        return ak.Array(
            ak.contents.ListOffsetArray(ak.index.Index64(self._offsets), ak.contents.NumpyArray(self._ids))
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arrays and names; what is unpickled is checked again, and read-only again."""
        parts = (self._ids, self._offsets, self._fingerprint, self._vocab_size, self._pad_id, self._report)
        return _unpickled, (type(self), *parts)

    def __repr__(self) -> str:
        return f"<Tokens: {len(self)} events, {len(self._ids)} tokens of {self._vocab_size}>"


def _unpickled(
    kind: type[Tokens],
    ids: npt.NDArray[Any],
    offsets: npt.NDArray[np.int64],
    fingerprint: str,
    vocab_size: int,
    pad_id: int,
    report: EncodeReport | None,
) -> Tokens:
    return kind(ids, offsets, fingerprint=fingerprint, vocab_size=vocab_size, pad_id=pad_id, report=report)
