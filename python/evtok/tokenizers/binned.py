"""`BinnedTokenizer`: one token for each object (or one for each feature of it), from bins of its features.

In: `Events`. Out: `Tokens`, ragged. The ids are defined by the thresholds stored in the artefact, see
``cpp/include/evtok/row_ids.hpp`` for the contract and `evtok.reference.binned_ids` for the readable definition.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
import numpy.typing as npt

from evtok import _core
from evtok.errors import ArtefactError, InvalidEventsError
from evtok.events import TYPE_COLUMN, Events
from evtok.tokenizers import (
    artefact,
    binned_config,
    binned_decode,
    binned_encode,
    binned_fit,
    encoding,
)
from evtok.tokenizers import (
    event_features as of_event,
)
from evtok.tokenizers.feature import Feature, FittedFeature
from evtok.tokenizers.interface import OnInvalid, Tokenizer
from evtok.tokenizers.sequence import OBJECTS
from evtok.tokenizers.vocabulary import Vocabulary, strides
from evtok.tokens import Tokens

if TYPE_CHECKING:
    import awkward as ak

    from evtok.cuda.events import GpuEvents
    from evtok.cuda.tokens import GpuTokens

__all__ = ["OBJECTS", "BinnedTokenizer"]


@dataclass(frozen=True)
class _Fit:
    """What `fit` found, as one value: others see all of it, or nothing."""

    fitted: Mapping[str, FittedFeature]
    seen: npt.NDArray[np.int32] | None
    ranks: npt.NDArray[np.int32] | None = None
    fingerprint: str = ""


class BinnedTokenizer(Tokenizer):
    """Tokens from bins of each object's features.

    Parameters
    ----------
    features : mapping of str to Feature
        The binned features of an object by name, in the order of the mixed radix.
    types : sequence of str or mapping of str to int, optional
        Object types that the tokenizer knows, in the order of their digits, or with their digits. The type is the
        first digit. None: objects have no type.
    specials : sequence of str
        Special tokens with ids at the low end: names of pad, mask, unk, cls, bos, eos, sep, in the order of their ids.
    specials_high : sequence of str
        The same, with ids at the high end.
    order : {"last-fastest", "first-fastest"}
        The mixed radix: ``(type * n_pt + pt) * n_eta + eta``, or ``type + n_types * (pt + n_pt * eta)``.
    factorised : bool
        False: one token for each object. True: one for each of its digits (type, features), each in an id block of
        its own.
    vocabulary : {"dense", "seen"}
        Every combination of digits has an id, or only those seen by `fit`, by their rank in mixed-radix order; the
        others are unknown.
    event_features : mapping of str to Feature, optional
        Tokens of the event by name, such as MET and METphi; `Feature.column` names a field, or a quantity of the
        event's objects such as ``count[j,b]`` or ``sum_pt[j,b]``, see `evtok.event_quantities`.
    sequence : sequence of str
        What the sequence of an event holds: names of special tokens and event features, and ``"objects"`` once.
    sort_by : str, optional
        A column: objects by its falling value, equal ones as found. None: objects as found.
    max_length : int, optional
        The longest sequence, special and event tokens included.
    too_long : {"raise", "truncate"}
        What happens to a longer one. Truncation drops the last objects, and is counted.
    headroom : float
        Ids kept free at the end, as a fraction of the highest one.

    Notes
    -----
    A NaN, an infinity, or a value outside the domain of the transform is invalid: `encode` raises, or gives -1 for
    the object, as it is told. An unknown value (an unknown type, an unseen combination, a value outside the edges
    where the feature says so) becomes the special token ``unk`` and is counted; without ``unk`` it is invalid.
    """

    KIND = binned_config.KIND

    def __init__(
        self,
        features: Mapping[str, Feature],
        *,
        types: Sequence[str] | Mapping[str, int] | None = None,
        specials: Sequence[str] = ("pad", "mask", "unk", "cls"),
        specials_high: Sequence[str] = (),
        order: Literal["last-fastest", "first-fastest"] = "last-fastest",
        factorised: bool = False,
        vocabulary: Literal["dense", "seen"] = "dense",
        event_features: Mapping[str, Feature] | None = None,
        sequence: Sequence[str] = (OBJECTS,),
        sort_by: str | None = None,
        max_length: int | None = None,
        too_long: Literal["raise", "truncate"] = "raise",
        headroom: float = 0.0,
    ) -> None:
        self.settings = binned_config.Settings(
            features=dict(features),
            types=binned_config.type_table(types),
            specials=tuple(specials),
            specials_high=tuple(specials_high),
            order=order,
            factorised=factorised,
            vocabulary=vocabulary,
            event_features=dict(event_features or {}),
            sequence=tuple(sequence),
            sort_by=sort_by,
            max_length=max_length,
            too_long=too_long,
            headroom=headroom,
        )
        self._fit: _Fit | None = None
        if not binned_fit.needs_data(self.settings):
            self.fit(())

    # ---- what it is -------------------------------------------------------------------------------------------

    @property
    def is_fitted(self) -> bool:
        """True when every edge (and the vocabulary of combinations seen) is known."""
        return self._fit is not None

    @property
    def fitted(self) -> Mapping[str, FittedFeature]:
        """Edges and thresholds of each feature, those of the event included."""
        return self._require_fit().fitted

    @property
    def seen(self) -> npt.NDArray[np.int32] | None:
        """Mixed-radix keys of the combinations seen (n_seen,), increasing; None for a dense vocabulary."""
        return self._fit.seen if self._fit else None

    @property
    def ranks(self) -> npt.NDArray[np.int32] | None:
        """Rank of each key among those seen, or -1 (n_keys,); None when `seen` is searched instead."""
        return self._fit.ranks if self._fit else None

    @property
    def digits(self) -> dict[str, int]:
        """Number of digits of each part of an object: its type if there are types, then its features."""
        fitted = self.fitted
        types = {TYPE_COLUMN: max(self.settings.types.values()) + 1} if self.settings.types else {}
        return types | {name: fitted[name].n_digits for name in self.settings.features}

    @property
    def strides(self) -> dict[str, int]:
        """Factor of each digit in the mixed radix."""
        digits = self.digits
        factors = strides(list(digits.values()), self.settings.order == "last-fastest")
        return dict(zip(digits, factors, strict=True))

    @property
    def vocabulary(self) -> Vocabulary:
        """Which id means what."""
        digits = self.digits
        if self.settings.factorised:
            n_objects = sum(digits.values())
        elif self.seen is not None:
            n_objects = len(self.seen)
        else:
            n_objects = int(np.prod(list(digits.values()), dtype=np.int64))
        return Vocabulary(
            self.settings.specials,
            self.settings.specials_high,
            n_objects,
            {name: self.fitted[name].n_digits for name in self.settings.event_features},
            self.settings.headroom,
        )

    @property
    def required_columns(self) -> tuple[str, ...]:
        """Columns of `Events` that `encode` reads."""
        names = [feature.column for feature in self.settings.features.values()]
        if self.settings.types:
            names.append(TYPE_COLUMN)
        if self.settings.sort_by:
            names.append(self.settings.sort_by)
        names += of_event.quantities(self.settings.event_features).required_columns
        return tuple(dict.fromkeys(names))

    @property
    def required_fields(self) -> tuple[str, ...]:
        """Fields of `Events` that `encode` reads."""
        names = list(of_event.quantities(self.settings.event_features).required_fields)
        names += [f.relative_to for f in self.settings.features.values() if f.relative_to is not None]
        return tuple(dict.fromkeys(names))

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of all that decides the tokens."""
        return self._require_fit().fingerprint

    def _require_fit(self) -> _Fit:
        if self._fit is None:
            raise ValueError("this tokenizer has edges to be fitted: call fit(events) first")
        return self._fit

    # ---- fitting ----------------------------------------------------------------------------------------------

    def fit(
        self,
        source: Events | Iterable[Events],
        *,
        on_invalid: Literal["raise", "skip"] = "raise",
        workers: int | None = None,
        client: Any = None,
        task_timeout: float | None = None,
    ) -> Self:
        """Find the edges (and the combinations seen) from data; returns self.

        Parameters
        ----------
        source : Events, sequence of Events, or an open source
            Read several times in chunks; the result does not depend on the chunks or their order.
        on_invalid : {"raise", "skip"}
            What to do with invalid values; skipped ones are left out of the edges.
        workers, client, task_timeout : int, distributed.Client or str, float, optional
            Processes of this machine, or a Dask cluster, that read and count an open source, and the seconds after
            which a part is given to another, as for `evtok.tokenize_files`. The result is the same.

        Raises
        ------
        InvalidEventsError
            An invalid value, or no valid one, for a feature. An older fit then stays as it was.
        TypeError
            An iterator, which could be read only once; something else than an open source for workers.
        JobError
            Workers that cannot be had, or that failed.
        """
        with contextlib.ExitStack() as stack:
            elsewhere = None
            if not (workers is None and client is None and task_timeout is None):
                from evtok.jobs.fit import counting

                elsewhere = stack.enter_context(
                    counting(source, self.settings, workers, client, task_timeout)
                )
            stack.enter_context(
                _core.FloatEnvironment()
            )  # a caller's rounding mode must not get into the edges
            fitted, seen = binned_fit.fit(self, source, on_invalid, elsewhere)
        self._fit = self._made(fitted, seen)
        return self

    def _made(self, fitted: Mapping[str, FittedFeature], seen: npt.NDArray[np.int32] | None) -> _Fit:
        """Return the fit with its table of ranks and its fingerprint; this tokenizer stays as it is."""
        draft = self._with(_Fit(MappingProxyType(dict(fitted)), _read_only(seen)))
        if not self.settings.factorised:
            _ = draft.strides  # raises if there are too many combinations
        ranks = _read_only(binned_encode.rank_table(draft))
        fingerprint = artefact.fingerprint(*draft.to_artefact())
        return replace(draft._require_fit(), ranks=ranks, fingerprint=fingerprint)

    def _with(self, fit: _Fit) -> Self:
        other = type(self).__new__(type(self))
        other.settings = self.settings
        other._fit = fit
        return other

    def _as_fitted(self) -> Self:
        """Return this tokenizer as it is now: another thread may fit it again meanwhile."""
        return self._with(self._require_fit())

    # ---- encoding and decoding --------------------------------------------------------------------------------

    @overload
    def encode(
        self,
        events: GpuEvents,
        *,
        on_invalid: OnInvalid = "raise",
        threads: int | None = None,
        dtype: npt.DTypeLike = np.int32,
    ) -> GpuTokens: ...
    @overload
    def encode(
        self,
        events: Events | ak.Array,
        *,
        on_invalid: OnInvalid = "raise",
        threads: int | None = None,
        dtype: npt.DTypeLike = np.int32,
        out: npt.NDArray[Any] | None = None,
    ) -> Tokens: ...
    def encode(
        self,
        events: Events | GpuEvents | ak.Array,
        *,
        on_invalid: OnInvalid = "raise",
        threads: int | None = None,
        dtype: npt.DTypeLike = np.int32,
        out: npt.NDArray[Any] | None = None,
    ) -> Tokens | GpuTokens:
        """Turn events into tokens.

        Parameters
        ----------
        events : Events, GpuEvents, or ak.Array of type ``n * var * {pt: float32, ...}``
            With the columns and fields of `required_columns` and `required_fields`. An awkward array has no fields; its
            other records' members are not read, and types in it are digits. Of events on a GPU, quantities such as
            ``count[j,b]`` are taken as fields of that name.
        on_invalid : {"raise", "sentinel"}
            What to do with an invalid value: an error that names it, or -1 for its object. An object that truncation
            would drop is an error too: which objects are dropped is known only of valid ones.
        threads : int, optional
            Threads to use; by default `EVTOK_NUM_THREADS` or the CPUs that this process may use.
        dtype : int32 or uint16
            uint16 needs a vocabulary of at most 65 536 ids and ``on_invalid="raise"``.
        out : array of `dtype`, shape (n,), optional
            Memory for the ids, contiguous, aligned and writable, with room for all of them; without it a call
            takes memory of its own: where it is large, that of an earlier result that is gone, or else new memory,
            which the system has to clear first. The tokens are a view of its
            beginning, and change when it is written to again; after an error it may hold anything. Not
            for GpuEvents.

        Returns
        -------
        Tokens, or GpuTokens of GpuEvents
            The same ids. Its `report` counts what was invalid, unknown and truncated, see `EncodeReport`. On a GPU
            nothing waits for the device with ``on_invalid="sentinel"``, unless sequences have to be cut.

        Raises
        ------
        InvalidEventsError
            A missing column, an invalid value, or a sequence above `max_length`.
        TypeError
            Another kind of `events`, a column of integers above 2**53 in size, or `out` of another type.
        ValueError
            `out` has no room or another layout, or shares memory with the events; or the events are on a GPU.
        """
        if encoding.on_gpu(events):
            from evtok.cuda.binned_encode import encode as on_gpu

            if out is not None:
                raise ValueError("out: not taken for events on a GPU; leave it out")
            return on_gpu(self._as_fitted(), events, on_invalid, np.dtype(dtype))
        return binned_encode.encode(self._as_fitted(), events, on_invalid, threads or 0, np.dtype(dtype), out)

    def decode(self, tokens: Tokens, *, seed: int | None = None) -> Events:
        """Turn tokens back into events: each feature at the centre of its bin, or drawn uniformly within it.

        Parameters
        ----------
        tokens : Tokens
            Of this tokenizer, each sequence laid out as `encode` does; it may be padded at its end.
        seed : int, optional
            Draw within the bins with this seed instead of taking their centres; centres and draws are uniform in the
            transformed feature. A value of an open bin is its edge.

        Returns
        -------
        Events
            Columns and fields have the names that `encode` reads. Relative and wrapped features stay so, and have the
            feature's name, as has the second feature of one column. Special tokens are left out. ``unk``, and -1 of an
            invalid object, are objects of NaN (and of type ``unk``), or NaN for a token of the event.

        Raises
        ------
        FingerprintError
            Tokens of another tokenizer.
        InvalidEventsError
            An id outside the vocabulary, or out of place: a sequence without all of its special and event tokens where
            they belong, or anything else than objects between them (such as ``mask``, or an id of the headroom).
        ValueError
            Two features whose columns would have one name.
        """
        now = self._as_fitted()
        now.require_own(tokens)
        return binned_decode.decode(now, tokens, seed)

    # ---- files ------------------------------------------------------------------------------------------------

    def to_artefact(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return the config and the tensors of the artefact."""
        fit = self._require_fit()
        return binned_config.to_artefact(self.settings, fit.fitted, fit.seen)

    @classmethod
    def from_artefact(cls, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Make the tokenizer from the content of its artefact."""
        settings, fitted, seen = binned_config.from_artefact(config, tensors)
        self = cls.__new__(cls)
        self.settings = settings
        self._fit = None
        try:
            self._fit = self._made(fitted, seen)
            expected = artefact.fingerprint(config, tensors)
        except (ValueError, InvalidEventsError) as error:
            raise ArtefactError(f"tokenizer: {error}") from error
        if self.fingerprint != expected:
            raise ArtefactError(
                f"tokenizer: its config has another form than evtok gives it: fingerprint {expected[:16]}…, expected "
                f"{self.fingerprint[:16]}…"
            )
        return self

    @classmethod
    def preset(cls, name: str, **options: Any) -> BinnedTokenizer:
        """Make a tokenizer of a published scheme: ``finke`` or ``lut``; see `evtok.tokenizers.presets`."""
        from evtok.tokenizers import presets

        return presets.make(name, **options)

    def __repr__(self) -> str:
        if not self.is_fitted:
            return f"<BinnedTokenizer of {', '.join(self.settings.features)}, not fitted>"
        digits = " x ".join(f"{name} {n}" for name, n in self.digits.items())
        return f"<BinnedTokenizer: {digits}, {self.vocab_size} ids, {self.fingerprint[:12]}>"


def _read_only(values: npt.NDArray[np.int32] | None) -> npt.NDArray[np.int32] | None:
    if values is None:
        return None
    copy = values.copy()
    copy.setflags(write=False)
    return copy
