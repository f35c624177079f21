"""What a detector of single objects reads: numeric features and types, object by object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from evtok.detectors.inputs import Inputs, OnInvalid, Read
from evtok.errors import ArtefactError, InvalidEventsError
from evtok.events import TYPE_COLUMN, Events
from evtok.tokenizers.artefact import closed
from evtok.tokenizers.codebook_features import CUT, INVALID, KEPT, UNKNOWN, FeatureVectors, NumericFeature
from evtok.tokens import EncodeReport

Features = Mapping[str, NumericFeature]


class ObjectInputs(Inputs[Events]):
    """The features of objects, as a `CodebookTokenizer` has them.

    An event can be used when no object of it is invalid, and at least one is neither cut nor of an unknown type.

    Parameters
    ----------
    features : mapping of str to NumericFeature
        The numbers of an object by name.
    types : sequence of str
        The types that are known; () where types are not looked at.
    """

    KIND = "objects"

    def __init__(self, features: Features, types: Iterable[str] = ()) -> None:
        from evtok.tokenizers import CodebookTokenizer

        given: object = types
        if isinstance(given, str):
            raise TypeError(f"types: expected names of types, got the one text {types!r}")
        settings = CodebookTokenizer(features, n_codes=1, types=tuple(types)).settings  # checks them
        self.features, self.types = settings.features, settings.types

    @classmethod
    def of(cls, given: Features | ObjectInputs) -> ObjectInputs:
        """Return `given` as inputs."""
        return given if isinstance(given, ObjectInputs) else cls(given)

    @classmethod
    def kinematics(cls, types: Iterable[str] = ()) -> Self:
        """Read log pT, η and φ of every object, and its type."""
        features = {
            "pt": NumericFeature("pt", "log"),
            "eta": NumericFeature("eta"),
            "phi": NumericFeature("phi"),
        }
        return cls(features, types)

    @property
    def required_columns(self) -> tuple[str, ...]:  # noqa: D102
        names = [feature.column for feature in self.features.values()]
        return tuple(dict.fromkeys([*names, TYPE_COLUMN] if self.types else names))

    @property
    def required_fields(self) -> tuple[str, ...]:  # noqa: D102
        names = [f.relative_to for f in self.features.values() if f.relative_to is not None]
        return tuple(dict.fromkeys(names))

    def read(self, data: Any, *, on_invalid: OnInvalid = "raise") -> Read[Events]:
        """Return the events that can be used; `data` is `Events`, or an iterable of them such as an open source."""
        if not isinstance(data, Events):
            if isinstance(data, (str, bytes, np.ndarray)) or not isinstance(data, Iterable):
                raise TypeError(f"data: expected Events or an iterable of them, got {type(data).__name__}")
            chunks = list(data)
            for chunk in chunks:
                if not isinstance(chunk, Events):
                    raise TypeError(f"data: expected chunks of Events, got {type(chunk).__name__}")
            if not chunks:
                raise TypeError("data: expected Events, got an iterable without any")
            data = Events.concatenate(chunks)
        _, states = self.vectors(data, self.features)
        of_object = np.repeat(np.arange(len(data)), data.multiplicity)
        broken = np.bincount(of_object[states == INVALID], minlength=len(data)) > 0
        valid = (np.bincount(of_object[states == KEPT], minlength=len(data)) > 0) & ~broken
        wrong = np.flatnonzero(~valid)
        if not wrong.size:
            return Read(data, valid)
        if on_invalid == "raise":
            fault = "an object that is invalid" if broken[wrong[0]] else "no object that can be used"
            raise InvalidEventsError(f"data: event {wrong[0]} has {fault}, and so there is no score")
        return Read(data[valid], valid)

    def met(self, events: Events, *, threads: int | None = None) -> tuple[Events, EncodeReport]:  # noqa: D102
        _, states = self.vectors(events, self.features, threads or 0)
        found = np.bincount(states, minlength=4)
        return events, EncodeReport(
            len(events),
            events.n_objects,
            invalid=int(found[INVALID]),
            unknown=int(found[UNKNOWN]),
            cut_objects=int(found[CUT]),
        )

    def vectors(
        self, events: Events, features: Features, threads: int = 0
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Return the vectors (n_objects, D) of `features` and one-hot types, and the states (n_objects,) of objects."""
        n = len(features)
        make = FeatureVectors(features, self.types, 1.0, np.zeros(n), np.ones(n))
        return make(make.program(events), 0, events.n_objects, threads)

    def to_config(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:  # noqa: D102
        features = [{"name": name, **feature.to_config()} for name, feature in self.features.items()]
        return {"kind": self.KIND, "features": features, "types": list(self.types)}, {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]) -> Self:  # noqa: D102
        closed(config, {"kind", "features", "types"}, "inputs")
        if config["kind"] != cls.KIND or not all(isinstance(config[k], list) for k in ("features", "types")):
            raise ArtefactError(f"inputs: expected features and types of objects, got {dict(config)!r:.80}")
        features = {}
        for entry in config["features"]:
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                raise ArtefactError(f"inputs: features: expected objects with a name, got {entry!r:.80}")
            rest = {key: value for key, value in entry.items() if key != "name"}
            features[entry["name"]] = NumericFeature.from_config(
                rest, f"inputs: feature {entry['name']!r:.80}"
            )
        return cls(features, config["types"])
