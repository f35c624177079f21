"""Numeric features: what a codebook or a network sees of an object, as a vector of float32."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from evtok import _core
from evtok.errors import ArtefactError
from evtok.events import Events
from evtok.tokenizers import encoding
from evtok.tokenizers.artefact import closed
from evtok.tokenizers.thresholds import Transform

#: Functions of a transform, by the number that the kernel knows them by (``numeric_features.hpp``).
FUNCTIONS = {"identity": 0, "log": 1, "sqrt": 2, "asinh": 3}

#: States of an object, as the kernel numbers them (``numeric_features.hpp``).
KEPT, UNKNOWN, CUT, INVALID = range(4)


@dataclass(frozen=True)
class NumericFeature:
    """One number of an object: evaluated in float64, rounded once to float32.

    Parameters
    ----------
    column : str
        Column of `Events`.
    transform : Transform or str
        ``(f(x) - subtract) * multiply`` with f of identity, log, sqrt, asinh; a name such as ``"log"`` is enough.
    relative_to : str, optional
        A field of the event (the jet axis) that is subtracted first.
    wrap : bool
        Wrap the value to one turn around zero, after that.
    above, below : float, optional
        Keep the objects whose value lies strictly between; others are cut: they get no token, and are counted. The
        value is that before the transform.

    Notes
    -----
    Every step is one operation of float64 in this order: the column as it is, minus the field, wrapped as NumPy's
    ``(x + pi) % (2 * pi) - pi``, the function as `evtok.kinematics` has it, minus `subtract`, times `multiply`; after
    that a standardising tokenizer takes the mean away and divides by the scale. The last result is rounded once to
    float32. So the bits are the same on every machine, for any batch and any number of threads.
    """

    column: str
    transform: Transform | str = "identity"
    relative_to: str | None = None
    wrap: bool = False
    above: float | None = None
    below: float | None = None

    def __post_init__(self) -> None:
        given: Mapping[str, object] = vars(self)
        if isinstance(self.transform, str):
            object.__setattr__(self, "transform", Transform(self.transform))
        if not isinstance(given["column"], str) or not self.column:
            raise ValueError(f"column: expected a name, got {given['column']!r}")
        if not (given["relative_to"] is None or isinstance(given["relative_to"], str)):
            raise ValueError(f"relative_to: expected a name or None, got {given['relative_to']!r}")
        if not isinstance(given["wrap"], bool):
            raise ValueError(f"wrap: expected True or False, got {given['wrap']!r}")
        if not isinstance(self.transform, Transform):
            raise ValueError(f"transform: expected a Transform or its name, got {given['transform']!r}")
        if self.transform.kind not in FUNCTIONS:
            raise ValueError(
                f"transform: expected a function of {', '.join(FUNCTIONS)}, got {self.transform.kind!r}"
            )
        for name in ("above", "below"):
            value = given[name]
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"{name}: expected a finite number or None, got {value!r}")
            object.__setattr__(self, name, float(value) + 0.0)
        if not self.limits[0] < self.limits[1]:
            raise ValueError(f"above, below: expected a range, got {self.above} to {self.below}")

    @property
    def function(self) -> Transform:
        """The transform."""
        assert isinstance(self.transform, Transform)
        return self.transform

    @property
    def limits(self) -> tuple[float, float]:
        """The open range of values that are kept."""
        return (
            -math.inf if self.above is None else self.above,
            math.inf if self.below is None else self.below,
        )

    @property
    def is_derived(self) -> bool:
        """True when the value is another one than the column's, so that the column cannot be had back."""
        return self.relative_to is not None or self.wrap

    def to_config(self) -> dict[str, Any]:
        """Return the JSON form; `from_config` reads it back."""
        return {**vars(self), "transform": self.function.to_config()}

    @classmethod
    def from_config(cls, config: Any, where: str) -> Self:
        """Read the JSON form; `where` begins the messages."""
        if not isinstance(config, dict):
            raise ArtefactError(f"{where}: expected an object, got {config!r}")
        closed(config, set(cls.__dataclass_fields__), where)
        try:
            return cls(**{**config, "transform": Transform.from_config(config["transform"])})
        except (TypeError, ValueError, OverflowError) as error:
            raise ArtefactError(f"{where}: {error}") from error


@dataclass(frozen=True)
class FeatureVectors:
    """What the kernel needs to turn objects into vectors (D,) of float32: the features, then one-hot types.

    Parameters
    ----------
    features : mapping of str to NumericFeature
    types : sequence of str
        Types that are known, in the order of their places; () for none.
    type_value : float
        What stands at the place of an object's type; 0 at the others.
    mean, scale : float64 (n_features,)
        Taken away from, and then divided into, each feature.
    """

    features: Mapping[str, NumericFeature]
    types: tuple[str, ...]
    type_value: float
    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    @property
    def n_dims(self) -> int:
        """Length of a vector."""
        return len(self.features) + len(self.types)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each number of a vector."""
        return (*self.features, *(f"type={name}" for name in self.types))

    def program(self, events: Events) -> _core.NumericProgram:
        """Lay the columns of `events` before the kernel.

        Raises
        ------
        InvalidEventsError
            A column or a field that is not there.
        TypeError
            Integers that float64 does not hold.
        """
        program = _core.NumericProgram(events.n_objects)
        program.set_offsets(events.offsets)
        for feature, mean, scale in zip(self.features.values(), self.mean, self.scale, strict=True):
            above, below = feature.limits
            reference = feature.relative_to
            program.add(
                encoding.column(events, feature.column),
                {
                    "reference": None if reference is None else encoding.reference(events, reference),
                    "wrap": feature.wrap,
                    "above": above,
                    "below": below,
                    "function": FUNCTIONS[feature.function.kind],
                    "subtract": feature.function.subtract,
                    "multiply": feature.function.multiply,
                    "mean": float(mean),
                    "scale": float(scale),
                },
            )
        if self.types:
            places = _type_places(self.types, events)
            program.set_types(encoding.type_codes(events), places, len(self.types), self.type_value)
        return program

    def __call__(
        self, program: _core.NumericProgram, begin: int, end: int, threads: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Return the vectors (end - begin, D) of objects `begin` to `end`, and their states (end - begin,)."""
        vectors = np.empty((end - begin, self.n_dims), np.float32)
        states = np.empty(end - begin, np.uint8)
        program.run(begin, end, threads, vectors, states)
        return vectors, states


def _type_places(types: tuple[str, ...], events: Events) -> npt.NDArray[np.int32]:
    """Return the place of each type code (256,), -1 for an unknown one."""
    places = np.full(256, -1, np.int32)
    if events.types:
        for code, name in enumerate(events.types):
            if name in types:
                places[code] = types.index(name)
    else:  # codes without names are the places themselves
        places[: len(types)] = np.arange(len(types))
    return places
