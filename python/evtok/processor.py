"""Tokens and scores inside of a coffea processor: awkward in, awkward out, only the columns touched that are needed.

`TokenizeArrays` and `ScoreArrays` are callables that a processor holds. They travel to workers as a path and a
fingerprint; the tokenizer or the detector is loaded there when it is first used, once in each process.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evtok._optional import require
from evtok.detectors.interface import Detector
from evtok.detectors.registry import load_detector
from evtok.errors import FingerprintError, InvalidEventsError
from evtok.events import Events
from evtok.io import Schema, load_schema
from evtok.io.array_events import ArrayEvents
from evtok.tokenizers import Tokenizer, load_tokenizer

if TYPE_CHECKING:
    import awkward as ak

    from evtok.tokenizers.interface import OnInvalid

__all__ = ["ScoreArrays", "TokenizeArrays"]

#: What this process has loaded, by fingerprint; what was used last is the last.
_LOADED: dict[str, Any] = {}
_LOADING = threading.Lock()
#: So many are kept: a processor may use several for each chunk of events, a worker may see many processors.
_KEPT = 8


def _keep(loaded: Any) -> Any:
    """Keep what was loaded, for the next use; only with the lock."""
    _LOADED.pop(loaded.fingerprint, None)
    _LOADED[loaded.fingerprint] = loaded
    while len(_LOADED) > _KEPT:
        del _LOADED[next(iter(_LOADED))]
    return loaded


class _OfArrays(ABC):
    """What the two have in common."""

    _load: Callable[[Any], Any]

    def __init__(
        self,
        artefact: Any,
        schema: Schema | Mapping[str, Any] | str | os.PathLike[str],
        on_invalid: OnInvalid,
        threads: int | None,
    ) -> None:
        self._schema = load_schema(schema)
        self._on_invalid, self._threads = on_invalid, threads
        self._artefact: Any = None
        self._path = ""
        if isinstance(artefact, (str, os.PathLike)):
            self._path = str(Path(artefact).resolve())
            loaded = type(self)._load(self._path)
            with _LOADING:
                _keep(loaded)
        else:
            loaded = self._artefact = artefact
        self.fingerprint: str = loaded.fingerprint
        self._columns = tuple(_required(loaded).required_columns)
        self._fields = tuple(_required(loaded).required_fields)

    def __call__(self, events: ak.Array) -> Any:
        """Encode or score events.

        Parameters
        ----------
        events : ak.Array or dask_awkward.Array
            Records as the schema names them, such as NanoEvents: ``events.Jet.pt`` or ``events.Jet_pt``.

        Returns
        -------
        ak.Array
            One item for each event; for a ``dask_awkward.Array`` another one.

        Raises
        ------
        SchemaError
            A column is missing.
        InvalidEventsError
            Missing values, or events that cannot be encoded or scored.
        FingerprintError
            Another tokenizer or detector lies at the path than when this object was made.
        """
        if hasattr(events, "map_partitions"):
            return events.map_partitions(self)
        ak = require("awkward", extra="io")
        if not isinstance(events, ak.Array) or not events.fields:
            raise InvalidEventsError(f"events: expected an ak.Array of records, got {type(events).__name__}")
        read = ArrayEvents(events, self._schema)
        if ak.backend(events) == "typetracer":  # somebody asks which columns are needed, and what comes out
            for array in read.touched(self._columns, self._fields):
                ak.typetracer.touch_data(array)
            return ak.Array(self._nothing().layout.to_typetracer(forget_length=True))
        n = len(events)
        if n == 0:
            return self._nothing()
        # In one piece: offsets, columns and what comes out are about as large as the columns of the events.
        parts = list(read.iter_events(0, n, n, self._columns, self._fields))
        return self._of(self._loaded(), Events.concatenate(parts) if len(parts) > 1 else parts[0])

    @abstractmethod
    def _of(self, loaded: Any, events: Events) -> ak.Array:
        """Encode or score."""

    @abstractmethod
    def _nothing(self) -> ak.Array:
        """Return what comes out of no events."""

    def _loaded(self) -> Any:
        if self._artefact is not None:
            return self._artefact
        with _LOADING:
            found = _LOADED.get(self.fingerprint)
            if found is None:
                found = type(self)._load(self._path)
                if found.fingerprint != self.fingerprint:
                    raise FingerprintError(
                        f"{self._path}: expected what has the fingerprint {self.fingerprint[:16]}…, got "
                        f"{found.fingerprint[:16]}…; it was replaced after this object was made"
                    )
            return _keep(found)


class TokenizeArrays(_OfArrays):
    """Tokenizes awkward arrays of events, as in a coffea processor.

    Parameters
    ----------
    tokenizer : path or Tokenizer
        Fitted. A path must lead to the same folder on all workers; a tokenizer travels with this object.
    schema : str, path or mapping
        How events are named: a preset, a TOML file or a dict, as for `evtok.open_events`.
    on_invalid : {"raise", "sentinel"}
        What to do with values that have no token: raise, or give -1.
    threads : int, optional
        For encoding; 1 by default, as clusters run one task for each CPU. None for all CPUs.

    Notes
    -----
    The ids are those of `evtok.tokenize_files` for the same events, as ``n * var * int32``.
    """

    _load = staticmethod(load_tokenizer)

    def __init__(
        self,
        tokenizer: Tokenizer | str | os.PathLike[str],
        schema: Schema | Mapping[str, Any] | str | os.PathLike[str] = "nanoaod",
        *,
        on_invalid: OnInvalid = "raise",
        threads: int | None = 1,
    ) -> None:
        super().__init__(tokenizer, schema, on_invalid, threads)

    def _of(self, loaded: Tokenizer, events: Events) -> ak.Array:
        return loaded.encode(events, on_invalid=self._on_invalid, threads=self._threads).to_awkward()

    def _nothing(self) -> ak.Array:
        ak = require("awkward", extra="io")
        ids = ak.contents.NumpyArray(np.empty(0, np.int32))
        return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(np.zeros(1, np.int64)), ids))


class ScoreArrays(_OfArrays):
    """Scores awkward arrays of events, as in a coffea processor.

    Parameters
    ----------
    detector : path or Detector
        Fitted. A path must lead to the same folder on all workers; a detector travels with this object.
    schema : str, path or mapping
        How events are named: a preset, a TOML file or a dict, as for `evtok.open_events`.
    on_invalid : {"raise", "sentinel"}
        What to do with events that have no score: raise, or give NaN.
    threads : int, optional
        For scoring; 1 by default, as clusters run one task for each CPU. None for all CPUs.

    Notes
    -----
    The scores are those of `Detector.score`, as ``n * float32``; higher is more anomalous.
    """

    _load = staticmethod(load_detector)

    def __init__(
        self,
        detector: Detector | str | os.PathLike[str],
        schema: Schema | Mapping[str, Any] | str | os.PathLike[str] = "nanoaod",
        *,
        on_invalid: OnInvalid = "raise",
        threads: int | None = 1,
    ) -> None:
        super().__init__(detector, schema, on_invalid, threads)

    def _of(self, loaded: Detector, events: Events) -> ak.Array:
        ak = require("awkward", extra="io")
        return ak.Array(loaded.score(events, on_invalid=self._on_invalid, threads=self._threads))

    def _nothing(self) -> ak.Array:
        return require("awkward", extra="io").Array(np.empty(0, np.float32))


def _required(loaded: Any) -> Any:
    """Return what knows the columns that are read of events: a tokenizer itself, or the inputs of a detector."""
    return loaded.inputs if isinstance(loaded, Detector) else loaded
