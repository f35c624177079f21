"""What a binned tokenizer is made of, and its form in an artefact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.errors import ArtefactError
from evtok.tokenizers.artefact import closed
from evtok.tokenizers.feature import Feature, FittedFeature
from evtok.tokenizers.vocabulary import SPECIAL_NAMES

KIND = "binned"
MAX_TYPES = 256


@dataclass(frozen=True)
class Settings:
    """The arguments of `BinnedTokenizer`, checked."""

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
        if not self.features and not self.types:
            raise ValueError("features: expected at least one feature, or types")
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
        both = set(self.features) & set(self.event_features)
        if both:
            raise ValueError(f"event_features: {sorted(both)} are names of features of objects too")
        for name, feature in self.event_features.items():
            if feature.relative_to is not None:
                raise ValueError(
                    f"event_features[{name!r}]: a feature of the event cannot be relative to the event"
                )
        self._check_sequence()

    def _check_sequence(self) -> None:
        specials = (*self.specials, *self.specials_high)
        known = {*specials, *self.event_features, "objects"}
        for entry in self.sequence:
            if entry not in known:
                hint = " (add it to specials)" if entry in SPECIAL_NAMES else ""
                raise ValueError(f"sequence: expected entries of {sorted(known)}, got {entry!r}{hint}")
        if self.sequence.count("objects") != 1:
            raise ValueError(f"sequence: expected 'objects' once, got {self.sequence}")
        unused = [name for name in self.event_features if name not in self.sequence]
        if unused:
            raise ValueError(f"sequence: event feature {unused[0]!r} has no place in it; add its name")
        if self.max_length is not None and self.max_length < len(self.sequence) - 1:
            raise ValueError(
                f"max_length: {self.max_length} leaves no room for the tokens around the objects"
            )

    @property
    def before(self) -> tuple[str, ...]:
        """Entries of the sequence before the objects."""
        return self.sequence[: self.sequence.index("objects")]

    @property
    def after(self) -> tuple[str, ...]:
        """Entries of the sequence after the objects."""
        return self.sequence[self.sequence.index("objects") + 1 :]


def type_table(types: Sequence[str] | Mapping[str, int] | None) -> dict[str, int]:
    """Return the digit of each object type."""
    if types is None:
        return {}
    table = dict(types) if isinstance(types, Mapping) else {name: k for k, name in enumerate(types)}
    if not isinstance(types, Mapping) and len(table) != len(types):
        raise ValueError(f"types: a name occurs twice in {types}")
    untrusted: dict[str, object] = dict(table)
    for name, digit in untrusted.items():
        if isinstance(digit, bool) or not isinstance(digit, int) or not 0 <= digit < MAX_TYPES:
            raise ValueError(f"types[{name!r}]: expected a digit from 0 to {MAX_TYPES - 1}, got {digit!r}")
    return table


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
        tensors[f"{name}.edges"] = feature.edges
        tensors[f"{name}.thresholds32"] = feature.thresholds32
        tensors[f"{name}.thresholds64"] = feature.thresholds64
    if seen is not None:
        tensors["seen"] = seen
    return config, tensors


def from_artefact(
    config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]
) -> tuple[Settings, dict[str, FittedFeature], npt.NDArray[np.int32] | None]:
    """Read what `to_artefact` made, trusting nothing."""
    closed(config, {"kind", *Settings.__dataclass_fields__}, "tokenizer config")
    if config["kind"] != KIND:
        raise ArtefactError(f"tokenizer config: expected kind {KIND!r}, got {config['kind']!r}")
    values = {name: value for name, value in config.items() if name != "kind"}
    try:
        for part in ("features", "event_features"):
            values[part] = {
                str(entry["name"]): Feature.from_config(
                    {key: value for key, value in entry.items() if key != "name"},
                    f"{part}[{entry['name']!r}]",
                )
                for entry in values[part]
            }
        for part in ("specials", "specials_high", "sequence"):
            values[part] = tuple(str(entry) for entry in values[part])
        values["types"] = type_table(values["types"])
        for name in ("max_length",):
            if values[name] is not None and (
                isinstance(values[name], bool) or not isinstance(values[name], int)
            ):
                raise ArtefactError(f"tokenizer config: {name}: expected a whole number or null")
        if not isinstance(values["factorised"], bool):
            raise ArtefactError("tokenizer config: factorised: expected true or false")
        settings = Settings(**values)
    except ArtefactError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ArtefactError(f"tokenizer config: {error}") from error

    expected = {
        f"{name}.{part}" for name in (*settings.features, *settings.event_features) for part in _PARTS
    }
    if settings.vocabulary == "seen":
        expected.add("seen")
    closed(tensors, expected, "tokenizer tensors")
    fitted = {
        name: _fitted(name, feature, tensors)
        for name, feature in (*settings.features.items(), *settings.event_features.items())
    }
    seen = tensors.get("seen")
    if seen is not None and (
        seen.dtype != np.int32 or seen.ndim != 1 or (np.diff(seen) <= 0).any() or (seen < 0).any()
    ):
        raise ArtefactError("tokenizer tensors: seen: expected increasing int32 keys from 0")
    return settings, fitted, seen


_PARTS = {"edges": np.float64, "thresholds32": np.float32, "thresholds64": np.float64}


def _fitted(name: str, feature: Feature, tensors: Mapping[str, npt.NDArray[Any]]) -> FittedFeature:
    parts = {part: tensors[f"{name}.{part}"] for part in _PARTS}
    for part, dtype in _PARTS.items():
        value = parts[part]
        if value.dtype != dtype or value.shape != (len(parts["edges"]),) or (np.diff(value) < 0).any():
            raise ArtefactError(
                f"tokenizer tensors: {name}.{part}: expected increasing {np.dtype(dtype).name} values, one an edge"
            )
    return FittedFeature(feature, **parts)
