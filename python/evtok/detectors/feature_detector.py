"""What detectors of feature rows have in common: their inputs, their settings in a file, and weighted draws."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from evtok.detectors.inputs import FeatureInputs, inputs_from_config
from evtok.detectors.interface import Detector, Tensors
from evtok.errors import ArtefactError
from evtok.tokenizers.artefact import closed


class FeatureDetector(Detector):
    """A detector that reads `FeatureInputs`, and whose fit is a few arrays.

    Parameters
    ----------
    inputs : sequence of str, or FeatureInputs
        Names of the features.
    """

    #: Keyword arguments of the class, which are attributes too, and entries of its config.
    SETTINGS: ClassVar[tuple[str, ...]]

    inputs: FeatureInputs

    def __init__(self, inputs: Sequence[str] | FeatureInputs) -> None:
        self.inputs = FeatureInputs.of(inputs)
        self._tensors: Tensors = {}

    @property
    def is_fitted(self) -> bool:
        """True once there is something to score with."""
        return bool(self._tensors)

    @abstractmethod
    def _checked(self, tensors: Mapping[str, npt.NDArray[Any]]) -> Tensors:
        """Return the arrays of a fit, as a file has them; raise for what no fit has made."""

    def to_artefact(self) -> tuple[dict[str, Any], Tensors]:  # noqa: D102
        self._require_fitted()
        inputs, tensors = self.inputs.to_config()
        settings = {name: getattr(self, name) for name in self.SETTINGS}
        return {"kind": self.KIND, "inputs": inputs, **settings}, tensors | self._tensors

    @classmethod
    def from_artefact(cls, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> Self:  # noqa: D102
        closed(config, {"kind", "inputs", *cls.SETTINGS}, "detector")
        inputs = inputs_from_config(config["inputs"], tensors)
        if not isinstance(inputs, FeatureInputs):
            raise ArtefactError(f"inputs: a {cls.KIND} detector reads features, got {inputs.KIND}")
        self = cls(inputs, **{name: config[name] for name in cls.SETTINGS})
        self._tensors = self._checked(tensors)
        return self

    def __repr__(self) -> str:
        state = "" if self.is_fitted else ", not fitted"
        settings = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.SETTINGS)
        return f"<{type(self).__name__} of {len(self.inputs.names)} features, {settings}{state}>"


def drawn_events(
    weights: npt.NDArray[np.float64], size: int, numbers: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draw `size` of the events (n,), at most all, in their order; an event of twice the weight, twice as often.

    Where all weights are equal, no event is drawn twice.
    """
    n_events = len(weights)
    size = min(size, n_events)
    if (weights == weights[0]).all():
        return np.sort(numbers.permutation(n_events)[:size])
    return np.sort(numbers.choice(n_events, size, p=weights / weights.sum()))


def checked_tensor(
    tensors: Mapping[str, npt.NDArray[Any]], name: str, dtype: type[np.generic], shape: tuple[int | None, ...]
) -> npt.NDArray[Any]:
    """Return a tensor of a file, which must have this dtype and shape (None: any length), and finite numbers.

    Raises
    ------
    ArtefactError
        Another tensor; KeyError where it is missing.
    """
    found = tensors[name]
    fits = found.ndim == len(shape) and all(
        wanted in (None, n) for wanted, n in zip(shape, found.shape, strict=True)
    )
    if found.dtype != dtype or not fits:
        lengths = ", ".join("any" if n is None else str(n) for n in shape)
        raise ArtefactError(
            f"{name}: expected {np.dtype(dtype)} of shape ({lengths}), got {found.dtype} of shape {found.shape}"
        )
    if not np.isfinite(found).all():
        raise ArtefactError(f"{name}: expected finite numbers")
    return np.ascontiguousarray(found)
