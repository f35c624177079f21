"""`CodebookTokenizer`: one token for each object, the code that the vector of its features is nearest to.

In: `Events`. Out: `Tokens`, ragged. Features are defined in ``numeric_features.hpp``, the encoder network in
``feature_network.hpp``, nearest in ``nearest.hpp``; `evtok.reference_codebook_tokenizer` has the readable definitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt

from evtok import _core
from evtok.codebook import Codebook
from evtok.errors import ArtefactError
from evtok.events import TYPE_COLUMN, Events
from evtok.tokenizers import artefact, codebook_config, codebook_encode, codebook_fit
from evtok.tokenizers import event_features as of_event
from evtok.tokenizers.codebook_config import FitSettings, Fitted, Settings
from evtok.tokenizers.codebook_features import NumericFeature
from evtok.tokenizers.feature import Feature
from evtok.tokenizers.feature_network import FeatureNetwork
from evtok.tokenizers.interface import OnInvalid, Tokenizer
from evtok.tokenizers.sequence import OBJECTS
from evtok.tokenizers.vocabulary import Vocabulary
from evtok.tokens import Tokens

if TYPE_CHECKING:
    import awkward as ak

    from evtok.codebook.fit import FitReport
    from evtok.codebook.health import CodebookHealth

__all__ = ["CodebookTokenizer"]


@dataclass(frozen=True)
class _Fit:
    """What was given or found, as one value: others see all of it, or nothing."""

    fitted: Fitted
    fingerprint: str
    report: FitReport | None = None


class CodebookTokenizer(Tokenizer):
    """Tokens from the nearest code of each object's features.

    Parameters
    ----------
    features : mapping of str to NumericFeature
        The numbers of an object by name, in the order of the dimensions.
    codebook : Codebook or float32 array (K, D), optional
        The codes; an array has the metric L2. None: they are found by `fit`.
    n_codes : int, optional
        How many codes `fit` is to find. Give either `codebook` or `n_codes`.
    network : FeatureNetwork, optional
        Encodes the vector of features before it is looked up; see `from_torch`.
    types : sequence of str, optional
        Object types that the tokenizer knows: one number for each follows the features, `type_value` at the place of
        the object's type and 0 elsewhere. None: types are not looked at.
    type_value : float
        0.71 makes two objects that differ in type alone as far apart as one standard deviation of a feature.
    standardise : bool, optional
        Subtract the mean of each feature and divide by its standard deviation, found by `fit`. By default where codes
        are to be found and there is no network.
    seed, batch, max_iterations
        Of `evtok.fit_codebook`.
    specials, specials_high : sequence of str
        Special tokens with ids at the low and at the high end: names of pad, mask, unk, cls, bos, eos, sep.
    event_features : mapping of str to Feature, optional
        Tokens of the event by name, from bins as in `BinnedTokenizer`: `Feature.column` names a field, or a quantity of
        the event's objects such as ``count[j,b]`` or ``sum_pt[j,b]``, see `evtok.event_quantities`.
    sequence : sequence of str
        What the sequence of an event holds: names of special tokens and event features, and ``"objects"`` once.
    sort_by : str, optional
        A column: objects by its falling value, equal ones as found. None: objects as found.
    max_length : int, optional
        The longest sequence, special and event tokens included.
    too_long : {"raise", "truncate"}
        What happens to a longer one. Truncation drops the last objects, and is counted.

    Notes
    -----
    A NaN, an infinity, a value outside the domain of a transform, or an overflow is invalid: `encode` raises, or gives
    -1 for the object, as it is told. An object of an unknown type becomes ``unk`` and is counted; without ``unk`` it is
    invalid. An object that a feature's limits cut gets no token, and is counted; one that is also invalid in another
    feature is invalid.
    """

    KIND = codebook_config.KIND

    def __init__(
        self,
        features: Mapping[str, NumericFeature],
        codebook: Codebook | npt.ArrayLike | None = None,
        *,
        n_codes: int | None = None,
        network: FeatureNetwork | None = None,
        types: Sequence[str] | None = None,
        type_value: float = 1.0,
        standardise: bool | None = None,
        seed: int = 0,
        batch: int | None = None,
        max_iterations: int = 100,
        specials: Sequence[str] = ("pad", "mask", "unk", "cls"),
        specials_high: Sequence[str] = (),
        event_features: Mapping[str, Feature] | None = None,
        sequence: Sequence[str] = (OBJECTS,),
        sort_by: str | None = None,
        max_length: int | None = None,
        too_long: Literal["raise", "truncate"] = "raise",
    ) -> None:
        if (codebook is None) == (n_codes is None):
            raise ValueError(
                "codebook, n_codes: expected one of them: the codes, or how many fit is to find; got "
                f"{'neither' if codebook is None else 'both'}"
            )
        if not (network is None or isinstance(network, FeatureNetwork)):
            raise TypeError(
                f"network: expected a FeatureNetwork, got {type(network).__name__}; for a torch module use from_torch"
            )
        if isinstance(types, str):
            raise ValueError(f"types: expected names of types, got the one text {types!r}")
        if standardise is None:
            standardise = codebook is None and network is None
        if standardise and (codebook is not None or network is not None):
            raise ValueError(
                "standardise: a codebook or a network that is given was made for the features as they are; leave it out"
            )
        self.settings = Settings(
            features=dict(features),
            types=tuple(types or ()),
            type_value=type_value,
            standardise=standardise,
            fit=None if n_codes is None else FitSettings(n_codes, seed, batch, max_iterations),
            specials=tuple(specials),
            specials_high=tuple(specials_high),
            sequence=tuple(sequence),
            sort_by=sort_by,
            max_length=max_length,
            too_long=too_long,
            event_features=dict(event_features or {}),
        )
        self._network = network
        self._given = codebook if isinstance(codebook, Codebook) or codebook is None else Codebook(codebook)
        self._fit: _Fit | None = None
        if self._given is not None:
            # Refuses parts that do not fit together, before a fit has read any data.
            plain = codebook_config.plain_vectors(self.settings)
            Fitted(plain, network, self._given)
            if not codebook_fit.needs_data(self.settings):
                self._learn((), "raise", None)
        elif network is not None and network.n_in != len(self.settings.features) + len(self.settings.types):
            raise ValueError(
                f"network: takes {network.n_in} numbers, and there are {len(self.settings.features)} features and "
                f"{len(self.settings.types)} types"
            )

    @classmethod
    def from_torch(
        cls,
        features: Mapping[str, NumericFeature],
        module: Any,
        codebook: Codebook | npt.ArrayLike | None = None,
        **options: Any,
    ) -> Self:
        """Make a tokenizer with the encoder of a trained model.

        Parameters
        ----------
        features : mapping of str to NumericFeature
        module : torch.nn.Sequential
            Of Linear, ReLU, LeakyReLU, Identity and Dropout: see `FeatureNetwork.from_torch`.
        codebook : Codebook or float32 array (K, D), optional
        **options
            As for the constructor.

        Raises
        ------
        TypeError
            A module that evtok cannot compute with the same bits everywhere, with the reason.
        """
        return cls(features, codebook, network=FeatureNetwork.from_torch(module), **options)

    @classmethod
    def preset(cls, name: str, **options: Any) -> CodebookTokenizer:
        """Make a tokenizer of a published scheme: ``omnijet``; see `evtok.tokenizers.codebook_presets`."""
        from evtok.tokenizers import codebook_presets

        return codebook_presets.make(name, **options)

    # ---- what it is -------------------------------------------------------------------------------------------

    @property
    def is_fitted(self) -> bool:
        """True when the codes, and the edges of every event feature, are known."""
        return self._fit is not None

    @property
    def fitted(self) -> Fitted:
        """Standardisation, network, codebook, and the bins of event features."""
        return self._require_fit().fitted

    @property
    def codebook(self) -> Codebook:
        """The codes."""
        return self.fitted.codebook

    @property
    def fit_report(self) -> FitReport | None:
        """How `fit` went; None for a tokenizer that was made otherwise, or read from a folder."""
        return self._fit.report if self._fit else None

    @property
    def vocabulary(self) -> Vocabulary:
        """Which id means what: code k has the id k after the low special tokens."""
        return Vocabulary(
            self.settings.specials,
            self.settings.specials_high,
            self.codebook.n_codes,
            {name: one.n_digits for name, one in self.fitted.event_features.items()},
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
            raise ValueError("this tokenizer has codes or edges to be found: call fit(events) first")
        return self._fit

    # ---- fitting ----------------------------------------------------------------------------------------------

    def fit(
        self,
        source: Events | Iterable[Events],
        *,
        on_invalid: Literal["raise", "skip"] = "raise",
        threads: int | None = None,
    ) -> Self:
        """Find the codes from data by k-means, and the edges of event features; returns self.

        A codebook that was given stays as it is.

        Parameters
        ----------
        source : Events, sequence of Events, or an open source
            Read once if its vectors fit into a gibibyte, else once for every pass of k-means; the result does not
            depend on the chunks. Mean and standard deviation are those of the float32 features, exact over all of them
            and rounded once to float64; a constant feature has the scale 1.
        on_invalid : {"raise", "skip"}
            What to do with invalid objects, and invalid values of event features. Objects that are cut, and those of
            unknown type, are left out.
        threads : int, optional
            Threads to use; the codes do not depend on it.

        Raises
        ------
        InvalidEventsError
            An invalid object or event feature, or no valid one. An older fit then stays as it was.
        ValueError
            Fewer different objects than codes.
        TypeError
            An iterator, which could be read only once.
        """
        if codebook_fit.needs_data(self.settings):
            self._learn(source, on_invalid, threads)
        return self

    def _learn(
        self,
        source: Events | Iterable[Events],
        on_invalid: Literal["raise", "skip"],
        threads: int | None,
    ) -> None:
        with _core.FloatEnvironment():  # a caller's rounding mode must not get into the codes
            found = codebook_fit.fit(self.settings, self._network, self._given, source, on_invalid, threads)
        self._fit = self._made(*found)

    def _made(self, fitted: Fitted, report: FitReport | None) -> _Fit:
        mark = artefact.fingerprint(*codebook_config.to_artefact(self.settings, fitted))
        return _Fit(fitted, mark, report)

    def _as_fitted(self) -> Self:
        """Return this tokenizer as it is now: another thread may fit it again meanwhile."""
        other = type(self).__new__(type(self))
        other.settings, other._network, other._given = self.settings, self._network, self._given
        other._fit = self._require_fit()
        return other

    # ---- encoding and decoding --------------------------------------------------------------------------------

    def encode(
        self,
        events: Events | ak.Array,
        *,
        on_invalid: OnInvalid = "raise",
        threads: int | None = None,
        dtype: npt.DTypeLike = np.int32,
        out: npt.NDArray[Any] | None = None,
    ) -> Tokens:
        """Turn events into tokens.

        Parameters
        ----------
        events : Events, or ak.Array of type ``n * var * {pt: float32, ...}``
            With the columns and fields of `required_columns` and `required_fields`. An awkward array has no fields;
            types in it are places in `types`.
        on_invalid : {"raise", "sentinel"}
            What to do with an invalid object or event feature: an error that names it, or the id -1. An object that
            truncation would drop is an error too.
        threads : int, optional
            Threads to use; by default `EVTOK_NUM_THREADS` or the CPUs that this process may use.
        dtype : int32 or uint16
            uint16 needs a vocabulary of at most 65 536 ids and ``on_invalid="raise"``.
        out : array of `dtype`, shape (n,), optional
            Memory for the ids, contiguous, aligned and writable, with room for all of them; without it a call
            takes memory of its own: where it is large, that of an earlier result that is gone, or else new memory,
            which the system has to clear first. The tokens are a view of its
            beginning, and change when it is written to again; after an error it may hold anything.

        Returns
        -------
        Tokens
            Its `report` counts what was invalid, unknown, cut and truncated, see `EncodeReport`.

        Raises
        ------
        InvalidEventsError
            A missing column, an invalid object, or a sequence above `max_length`.
        TypeError
            Another kind of `events`, a column of integers above 2**53 in size, or `out` of another type.
        ValueError
            `out` has no room or another layout, or shares memory with the events.
        """
        return codebook_encode.encode(
            self._as_fitted(), events, on_invalid, threads or 0, np.dtype(dtype), out
        )

    def decode(self, tokens: Tokens) -> Events:
        """Turn tokens back into events: each object at its code.

        Parameters
        ----------
        tokens : Tokens
            Of this tokenizer, each sequence laid out as `encode` does; it may be padded at its end.

        Returns
        -------
        Events
            Columns of the features, turned back through standardisation and transform; relative and wrapped ones stay
            so, and have the feature's name. A type is the one whose number is largest. With a network, which cannot be
            turned back, the columns are those of the code itself: ``z0``, ``z1``, ... . Special tokens are left out.
            ``unk``, and -1 of an invalid object, are objects of NaN (and of type ``unk``), or NaN for a token of the
            event, whose field has the name of its column and else the centre of its bin.

        Raises
        ------
        FingerprintError
            Tokens of another tokenizer, such as one with another codebook.
        InvalidEventsError
            An id outside the vocabulary, or out of place.
        ValueError
            Two features whose columns would have one name.
        """
        now = self._as_fitted()
        now.require_own(tokens)
        with _core.FloatEnvironment():  # a caller's rounding mode must not get into the features
            return codebook_encode.decode(now, tokens)

    def vectors(self, events: Events | ak.Array, *, threads: int | None = None) -> npt.NDArray[np.float32]:
        """Return what is looked up in the codebook (n, D), for the objects that are valid, known and not cut.

        These are the vectors to train a codebook on, or to look at its health.
        """
        now = self._as_fitted()
        empty = np.empty((0, now.codebook.n_dims), np.float32)
        made: npt.NDArray[np.float32] = np.concatenate(
            [empty, *codebook_encode.vectors(now, events, threads or 0)]
        )
        return made[np.isfinite(made).all(axis=1)]

    def health(self, source: Events | Iterable[Events], **options: Any) -> CodebookHealth:
        """Report how events use the codes.

        Parameters
        ----------
        source : Events, or an iterable of Events such as an open source
            Read once.
        **options
            `near_duplicate` and `threads` of `evtok.codebook.health.health`.

        Returns
        -------
        CodebookHealth
            `n_invalid` counts invalid objects, `n_masked` those that are cut or of unknown type.
        """
        now = self._as_fitted()
        n_objects = 0

        def vectors() -> Iterator[npt.NDArray[np.float32]]:
            nonlocal n_objects
            yield np.empty((0, now.codebook.n_dims), np.float32)
            for events in [source] if isinstance(source, Events) else source:
                n_objects += events.n_objects
                yield from codebook_encode.vectors(now, events, options.get("threads") or 0)

        found = now.codebook.health(vectors(), **options)
        return replace(found, n_masked=n_objects - found.n_rows - found.n_invalid)

    # ---- files ------------------------------------------------------------------------------------------------

    def to_artefact(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return the config and the tensors of the artefact."""
        return codebook_config.to_artefact(self.settings, self.fitted)

    @classmethod
    def from_artefact(cls, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Make the tokenizer from the content of its artefact."""
        settings, fitted = codebook_config.from_artefact(config, tensors)
        self = cls.__new__(cls)
        self.settings = settings
        self._network = fitted.network
        self._given = fitted.codebook if settings.fit is None else None
        self._fit = self._made(fitted, None)
        expected = artefact.fingerprint(config, tensors)
        if self.fingerprint != expected:
            raise ArtefactError(
                f"tokenizer: its config has another form than evtok gives it: fingerprint {expected[:16]}…, expected "
                f"{self.fingerprint[:16]}…"
            )
        return self

    def __repr__(self) -> str:
        names = ", ".join((*self.settings.features, *(["type"] if self.settings.types else [])))
        if self._fit is None:
            return f"<CodebookTokenizer of {names}, not fitted>"
        network = "" if self._network is None else f", network {self._network!r}"
        return (
            f"<CodebookTokenizer: {names}{network}, {self.codebook.n_codes} codes of {self.codebook.n_dims} "
            f"dimensions, {self.vocab_size} ids, {self.fingerprint[:12]}>"
        )
