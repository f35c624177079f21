"""What a binned tokenizer is made of, and its form in an artefact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.errors import ArtefactError
from evtok.events import TYPE_COLUMN
from evtok.tokenizers import event_features as of_event
from evtok.tokenizers.artefact import closed
from evtok.tokenizers.edge_definitions import finite_number, whole_number
from evtok.tokenizers.feature import TENSOR_DTYPES, Feature, FittedFeature
from evtok.tokenizers.sequence import check_sequence
from evtok.tokenizers.vocabulary import Vocabulary

KIND = "binned"
MAX_TYPES = 256


@dataclass(frozen=True)
class Settings:
    """The arguments of `BinnedTokenizer`, checked and immutable: the fingerprint stands for them."""

    features: Mapping[str, Feature]
    types: Mapping[str, int]
    specials: tuple[str, ...]
    specials_high: tuple[str, ...]
    order: str
    factorised: bool
    vocabulary: str
    event_features: Mapping[str, Feature]
    sequence: tuple[str, ...]
    sort_by: str | None
    max_length: int | None
    too_long: str
    headroom: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "headroom", finite_number(self.headroom, "headroom"))
        if self.max_length is not None:
            object.__setattr__(self, "max_length", whole_number(self.max_length, "max_length"))
        for name in ("features", "event_features", "types"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        if not self.features and not self.types:
            raise ValueError("features: expected at least one feature, or types")
        if not isinstance(self.factorised, bool):
            raise ValueError(f"factorised: expected True or False, got {self.factorised!r}")
        untrusted: object = self.sort_by
        if untrusted is not None and not isinstance(untrusted, str):
            raise ValueError(f"sort_by: expected the name of a column or None, got {untrusted!r}")
        for name, choices in (
            ("order", ("last-fastest", "first-fastest")),
            ("vocabulary", ("dense", "seen")),
            ("too_long", ("raise", "truncate")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name}: expected {' or '.join(map(repr, choices))}, got {getattr(self, name)!r}"
                )
        if self.factorised and self.vocabulary == "seen":
            raise ValueError("vocabulary: 'seen' ranks combinations, and factorised tokens have none")
        # Refuses names and numbers that no vocabulary can have, before a fit has read any data.
        Vocabulary(self.specials, self.specials_high, n_objects=0, headroom=self.headroom)
        self._check_names()
        check_sequence(
            self.sequence, (*self.specials, *self.specials_high), tuple(self.event_features), self.max_length
        )

    def _check_names(self) -> None:
        untrusted: Mapping[Any, object] = self.features
        for key, value in untrusted.items():
            if not isinstance(key, str) or not key or not isinstance(value, Feature):
                raise ValueError(f"features: expected features by name, got {key!r}: {value!r}")
        if TYPE_COLUMN in self.features:
            raise ValueError(
                f"features: {TYPE_COLUMN!r} is the name of the object's type; use `types`, or another name for the "
                "feature"
            )
        of_event.check(self.event_features, self.features)


def type_table(types: Sequence[str] | Mapping[str, int] | None) -> dict[str, int]:
    """Return the digit of each object type."""
    if types is None:
        return {}
    if isinstance(types, str):
        raise ValueError(f"types: expected names of types, got the one text {types!r}")
    table = dict(types) if isinstance(types, Mapping) else {name: k for k, name in enumerate(types)}
    if not isinstance(types, Mapping) and len(table) != len(types):
        raise ValueError(f"types: a name occurs twice in {types}")
    untrusted: Mapping[Any, object] = table
    for name, digit in untrusted.items():
        if not isinstance(name, str):
            raise ValueError(f"types: expected names, got {name!r}")
        if whole_number(digit, f"types[{name!r}]", lowest=0) >= MAX_TYPES:
            raise ValueError(f"types[{name!r}]: expected a digit from 0 to {MAX_TYPES - 1}, got {digit!r}")
    return {name: int(digit) for name, digit in table.items()}


def to_artefact(
    settings: Settings, fitted: Mapping[str, FittedFeature], seen: npt.NDArray[np.int32] | None
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the config and the tensors of an artefact."""
    config: dict[str, Any] = {name: getattr(settings, name) for name in Settings.__dataclass_fields__}
    for part in ("features", "event_features"):
        # A list, because the order of features is the order of the mixed radix.
        config[part] = [{"name": name, **feature.to_config()} for name, feature in config[part].items()]
    for part in ("specials", "specials_high", "sequence"):
        config[part] = list(config[part])
    config["types"] = dict(settings.types)
    config["kind"] = KIND
    tensors: dict[str, npt.NDArray[Any]] = {}
    for name, feature in fitted.items():
        for part in TENSOR_DTYPES:
            tensors[f"{name}.{part}"] = getattr(feature, part)
    if seen is not None:
        tensors["seen"] = seen
    return config, tensors


def from_artefact(
    config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]
) -> tuple[Settings, dict[str, FittedFeature], npt.NDArray[np.int32] | None]:
    """Read what `to_artefact` made, trusting nothing."""
    if config.get("kind") != KIND:
        raise ArtefactError(f"tokenizer config: expected kind {KIND!r}, got {config.get('kind')!r:.80}")
    closed(config, {"kind", *Settings.__dataclass_fields__}, "tokenizer config")
    values = {name: value for name, value in config.items() if name != "kind"}
    try:
        for part in ("features", "event_features"):
            values[part] = features_from_config(values[part], part, tensors)
        for part in ("specials", "specials_high", "sequence"):
            values[part] = _names(values[part], part)
        if not isinstance(values["types"], dict):
            raise ArtefactError("tokenizer config: types: expected an object")
        values["types"] = type_table(values["types"])
        settings = Settings(**values)
    except ArtefactError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise ArtefactError(f"tokenizer config: {error}") from error

    features = {**settings.features, **settings.event_features}
    expected = {f"{name}.{part}" for name in features for part in TENSOR_DTYPES}
    if settings.vocabulary == "seen":
        expected.add("seen")
    closed(tensors, expected, "tokenizer tensors")
    fitted = {name: fitted_from_tensors(name, feature, tensors) for name, feature in features.items()}
    seen = tensors.get("seen")
    if seen is not None:
        _check_seen(seen, settings, fitted)
    return settings, fitted, seen


def features_from_config(
    entries: Any, part: str, tensors: Mapping[str, npt.NDArray[Any]]
) -> dict[str, Feature]:
    """Read features by name from the list in a config; `tensors` hold the edges that were given one by one."""
    if not isinstance(entries, list):
        raise ArtefactError(f"tokenizer config: {part}: expected a list")
    features: dict[str, Feature] = {}
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name in features:
            raise ArtefactError(
                f"tokenizer config: {part}: expected features of different names, got {entry!r}"
            )
        config = {key: value for key, value in entry.items() if key != "name"}
        features[name] = Feature.from_config(config, f"{part}[{name!r}]", tensors.get(f"{name}.edges"))
    return features


def _names(entries: Any, part: str) -> tuple[str, ...]:
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ArtefactError(f"tokenizer config: {part}: expected a list of names, got {entries!r}")
    return tuple(entries)


def fitted_from_tensors(
    name: str, feature: Feature, tensors: Mapping[str, npt.NDArray[Any]]
) -> FittedFeature:
    """Put the tensors of a feature together, trusting nothing."""
    try:
        fitted = FittedFeature(feature, **{part: tensors[f"{name}.{part}"] for part in TENSOR_DTYPES})
    except ValueError as error:
        raise ArtefactError(f"tokenizer tensors: {name}: {error}") from error
    if not fitted.is_consistent:
        raise ArtefactError(f"tokenizer tensors: {name}: the thresholds are not those of the edges")
    return fitted


def _check_seen(seen: npt.NDArray[Any], settings: Settings, fitted: Mapping[str, FittedFeature]) -> None:
    """Refuse what the kernel would read out of bounds with."""
    n_keys = prod(fitted[name].n_digits for name in settings.features)
    if settings.types:
        n_keys *= max(settings.types.values()) + 1
    if seen.dtype != np.int32 or seen.ndim != 1 or not seen.size or (seen[1:] <= seen[:-1]).any():
        raise ArtefactError("tokenizer tensors: seen: expected one increasing int32 key or more")
    if seen[0] < 0 or int(seen[-1]) >= n_keys:
        raise ArtefactError(
            f"tokenizer tensors: seen: expected keys from 0 to {n_keys - 1}, got {seen[0]} to {seen[-1]}"
        )
