"""What every detector is: the part that jobs, the command line, reports and files know of one."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from evtok._optional import require
from evtok.codebook._rows import check_on_invalid
from evtok.detectors.inputs import Inputs, OnInvalid, Read
from evtok.errors import InvalidEventsError, MissingBackendError
from evtok.tokenizers import artefact

#: Who computes a score: evtok's kernels alone, or torch; "auto" takes the kernels where the detector has them.
Backend = Literal["auto", "native", "torch"]

#: Where a score is computed; "cuda" is torch's current GPU.
Device = Literal["cpu", "cuda"]

#: Is called with what training has done so far: a dict that JSON can hold.
Progress = Callable[[dict[str, Any]], None]

Tensors = dict[str, npt.NDArray[Any]]


class Detector(ABC):
    """Gives every event one number: the higher, the less it looks like the events that it was fitted to.

    A kind of detector has a `KIND`, which is the ``kind`` of its ``config.json`` and the name of its module (with
    underscores); `evtok.load_detector` finds it by that. It takes `inputs` as its first argument and its settings as
    keywords, all of them numbers, strings or booleans, or sequences of these.
    """

    KIND: ClassVar[str]
    #: Backends that `score` can be asked for, the one that "auto" takes first.
    BACKENDS: ClassVar[tuple[Literal["native", "torch"], ...]] = ("native",)
    #: Where `score` can compute; a kind with "cuda" has `_score_on_gpu`.
    DEVICES: ClassVar[tuple[Device, ...]] = ("cpu",)

    inputs: Inputs[Any]

    # ---- to be written for each kind --------------------------------------------------------------------------

    @property
    @abstractmethod
    def is_fitted(self) -> bool:
        """True once there is something to score with."""

    @abstractmethod
    def _fit(
        self,
        train: Any,
        validation: Any,
        *,
        weights: npt.NDArray[np.float64],
        checkpoints: Path | None,
        progress: Progress | None,
    ) -> None:
        """Learn from valid events, as `inputs` gives them; `weights` (n,) are positive or 0 and average to 1."""

    @abstractmethod
    def _score(self, data: Any, backend: Literal["native", "torch"], threads: int) -> npt.NDArray[np.float32]:
        """Return one float32 for each of the valid events (n,); `threads` is 0 for the default."""

    @abstractmethod
    def to_artefact(self) -> tuple[dict[str, Any], Tensors]:
        """Return the config, with its "kind", and the tensors that `from_artefact` makes the same detector of."""

    @classmethod
    @abstractmethod
    def from_artefact(cls, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Make the detector from the content of its artefact, trusting nothing."""

    def _score_on_gpu(self, data: Any, threads: int) -> npt.NDArray[np.float32]:
        """Return what `_score` returns, by torch on its current GPU; for kinds that have "cuda" among `DEVICES`."""
        raise NotImplementedError(
            f"{type(self).__name__}: names 'cuda' in DEVICES, and has no _score_on_gpu; define it, or leave out 'cuda'"
        )

    def _lacks(self, backend: Literal["native", "torch"]) -> str:
        """Say why this detector, with its settings, cannot score with one of the `BACKENDS`; "" where it can."""
        return ""

    def _unusable(self, data: Any) -> tuple[npt.NDArray[np.bool_], str]:
        """Return which of the events that `inputs` gave this detector cannot use (n,), and why, as "is too long"."""
        return np.zeros(len(data), np.bool_), ""

    # ---- what it does -----------------------------------------------------------------------------------------

    def fit(
        self,
        train: Any,
        validation: Any = None,
        *,
        weights: npt.ArrayLike | None = None,
        classes: npt.ArrayLike | None = None,
        on_invalid: Literal["raise", "skip"] = "raise",
        checkpoints: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Learn what background looks like.

        Parameters
        ----------
        train, validation : as for `score`
            Background. `validation` chooses when to stop, where a detector trains step by step.
        weights : array_like (n,), optional
            Of the events of `train`: finite, not negative, not all 0; only their ratios matter.
        classes : array_like (n,), optional
            The process of each event of `train`, as integers or strings: every process then counts the same in total,
            shared out within it by `weights`.
        on_invalid : {"raise", "skip"}
            What to do with events that cannot be used.
        checkpoints : path, optional
            A folder from which an interrupted training goes on.
        progress : callable, optional
            Is told what was done.

        Returns
        -------
        Detector
            Itself.

        Raises
        ------
        InvalidEventsError
            Events that cannot be used.
        FingerprintError
            Tokens of another tokenizer.
        ValueError
            Weights or classes that do not fit `train`; no event to learn from.
        """
        if on_invalid not in ("raise", "skip"):
            raise ValueError(f"on_invalid: expected 'raise' or 'skip', got {on_invalid!r:.80}")
        policy: OnInvalid = "raise" if on_invalid == "raise" else "sentinel"
        read = self._read(train, policy)
        if not read.valid.any():
            raise ValueError("train: expected events to learn from, got none that can be used")
        shares = event_weights(read.valid, weights, classes)
        seen = None if validation is None else self._read(validation, policy).data
        self._fit(
            read.data,
            seen,
            weights=shares * (len(shares) / shares.sum()),
            checkpoints=None if checkpoints is None else Path(checkpoints),
            progress=progress,
        )
        return self

    def score(
        self,
        data: Any,
        *,
        backend: Backend = "auto",
        device: Device = "cpu",
        on_invalid: OnInvalid = "raise",
        threads: int | None = None,
    ) -> npt.NDArray[np.float32]:
        """Give every event its score.

        Parameters
        ----------
        data : Events, Tokens, array (n, n_features), dataset or iterable of chunks
            What `inputs` reads: detectors of tokens take `Tokens` of their own tokenizer, and `Events`, which they
            encode; detectors of features take arrays, and `Events`, whose quantities they compute.
        backend : {"auto", "native", "torch"}
            Who computes: evtok's own kernels, or torch. "auto" takes what `backend` names, and torch on a GPU.
        device : {"cpu", "cuda"}
            Where. Scores of a GPU agree with those of torch on the CPU within rounding, and their last bits can depend
            on the batch.
        on_invalid : {"raise", "sentinel"}
            What to do with events that have no score, such as those with a NaN or without any token: raise, or give
            them NaN.
        threads : int, optional
            By default all CPUs that this process may use.

        Returns
        -------
        float32 array (n,)
            Higher is more anomalous. NaN only where `on_invalid` asks for it.

        Raises
        ------
        InvalidEventsError
            Events that have no score.
        FingerprintError
            Tokens of another tokenizer.
        MissingBackendError
            A backend or a device that this detector does not have; the message says why.
        """
        if not self.is_fitted:
            raise ValueError(f"this {self.KIND} detector has nothing to score with: call fit first")
        chosen = self._backend(backend) if device == "cpu" else self.backend_on(device, backend)
        check_on_invalid(on_invalid)
        read = self._read(data, on_invalid)
        scores = np.full(len(read.valid), np.nan, np.float32)
        if np.count_nonzero(read.valid):
            scores[read.valid] = (
                self._score(read.data, chosen, threads or 0)
                if device == "cpu"
                else self._score_on_gpu(read.data, threads or 0)
            )
        return scores

    def _read(self, data: Any, on_invalid: OnInvalid) -> Read[Any]:
        """Return what `inputs` reads, without the events that this detector cannot use."""
        read = self.inputs.read(data, on_invalid=on_invalid)
        unusable, why = self._unusable(read.data)
        if not np.count_nonzero(unusable):
            return read
        if on_invalid == "raise":
            event = np.flatnonzero(read.valid)[unusable.argmax()]
            raise InvalidEventsError(f"data: event {event} {why}, and so there is no score")
        valid = read.valid.copy()
        valid[read.valid] = ~unusable
        return Read(read.data[~unusable], valid)

    @property
    def backend(self) -> Literal["native", "torch"]:
        """Who computes a score with ``backend="auto"``: the first of `BACKENDS` that can serve this detector."""
        return next((one for one in self.BACKENDS if not self._lacks(one)), self.BACKENDS[0])

    def _backend(self, asked: Backend) -> Literal["native", "torch"]:
        if asked == "auto":
            asked = self.backend
        if asked not in ("native", "torch"):
            raise ValueError(f"backend: expected 'auto', 'native' or 'torch', got {asked!r}")
        if asked not in self.BACKENDS:
            raise MissingBackendError(
                f"backend: a {self.KIND} detector scores with {' or '.join(self.BACKENDS)}, not with {asked}"
            )
        if why := self._lacks(asked):
            raise MissingBackendError(f"backend: this {self.KIND} detector cannot score with {asked}: {why}")
        return asked

    def backend_on(self, device: Device, backend: Backend = "auto") -> Literal["torch"]:
        """Return who computes a score on a GPU.

        Raises
        ------
        MissingBackendError
            This detector does not, or there is no GPU.
        """
        if device != "cuda":
            raise ValueError(f"device: expected 'cpu' or 'cuda', got {device!r:.80}")
        if device not in self.DEVICES:
            raise MissingBackendError(f"device: a {self.KIND} detector scores on the CPU alone")
        if self._backend("torch" if backend == "auto" else backend) != "torch":
            raise MissingBackendError("device: the native backend computes on the CPU; leave `backend` out")
        if not require("torch", extra="torch").cuda.is_available():
            raise MissingBackendError("device: no GPU is visible to torch; use 'cpu'")
        return "torch"

    # ---- files ------------------------------------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of all that decides the scores."""
        return artefact.fingerprint(*self.to_artefact())

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the detector as a folder of JSON and safetensors, whole or not at all."""
        self._require_fitted()
        artefact.save(folder, *self.to_artefact())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read a detector that `save` wrote; nothing in the folder is executed.

        Raises
        ------
        ArtefactError
            A missing, altered, hostile or newer artefact.
        """
        return artefact.load_as(folder, cls.KIND, cls.from_artefact)

    def __reduce__(self) -> Any:
        self._require_fitted()
        return _from_artefact, (type(self), *self.to_artefact())

    def _require_fitted(self) -> None:
        if not self.is_fitted:
            raise ValueError(f"this {self.KIND} detector is not fitted: call fit first")


def event_weights(
    valid: npt.NDArray[np.bool_], weights: npt.ArrayLike | None, classes: npt.ArrayLike | None
) -> npt.NDArray[np.float64]:
    """Return what each valid event counts, float64, for `weights` and `classes` of all events (n_events,).

    Raises
    ------
    ValueError
        Another number of them; weights that are NaN, infinite or negative; no weight at all, or a class that weighs
        nothing.
    """
    n_events = len(valid)
    shares = np.ones(n_events) if weights is None else np.array(weights, np.float64)
    if shares.shape != (n_events,):
        raise ValueError(f"weights: expected shape ({n_events},), got {shares.shape}")
    wrong = np.flatnonzero(~(np.isfinite(shares) & (shares >= 0)))
    if wrong.size:
        raise ValueError(
            f"weights: expected finite numbers that are not negative, got {shares[wrong[0]]} for event {wrong[0]}; "
            "events of negative weight cannot be drawn: leave them out, or train on the others"
        )
    shares = np.where(valid, shares, 0.0)
    if not shares.any():
        raise ValueError("weights: the events that can be used weigh nothing")
    shares /= shares.max()  # so that no sum of them overflows
    if classes is None:
        return np.asarray(shares[valid])
    names, of = np.unique(np.asarray(classes), return_inverse=True)
    if of.shape != (n_events,):
        raise ValueError(f"classes: expected shape ({n_events},), got {of.shape}")
    totals = np.bincount(of, shares, len(names))
    if not (totals > 0).all():
        raise ValueError(
            f"classes: the events of {str(names[totals.argmin()])!r} that can be used weigh nothing"
        )
    return np.asarray((shares / totals[of])[valid])


def _from_artefact(
    kind: type[Detector], config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]
) -> Detector:
    return kind.from_artefact(config, tensors)
