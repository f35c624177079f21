"""The settings of a `CodebookTokenizer`, and their form in its artefact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.codebook import Codebook
from evtok.errors import ArtefactError
from evtok.events import TYPE_COLUMN
from evtok.tokenizers import event_features as of_event
from evtok.tokenizers.artefact import closed
from evtok.tokenizers.binned_config import features_from_config, fitted_from_tensors
from evtok.tokenizers.codebook_features import FeatureVectors, NumericFeature
from evtok.tokenizers.edge_definitions import finite_number, whole_number
from evtok.tokenizers.feature import TENSOR_DTYPES, Feature, FittedFeature
from evtok.tokenizers.feature_network import FeatureNetwork
from evtok.tokenizers.sequence import check_sequence
from evtok.tokenizers.vocabulary import Vocabulary

KIND = "codebook_tokenizer"
MAX_TYPES = 256

# Begins the names of tensors of event features, so that they are no others'.
_EVENT = "event."

#: What the numbers mean; part of every artefact, and of its fingerprint.
DEFINITION = {
    "features": "float64, rounded once to float32",
    "network": "float32, fused multiply-adds in the order of the inputs, from the bias on",
    "nearest": "float32, fused multiply-adds in the order of the dimensions; the lowest of equal codes",
}


@dataclass(frozen=True)
class FitSettings:
    """How `fit` is to find the codes: see `evtok.fit_codebook`."""

    n_codes: int
    seed: int = 0
    batch: int | None = None
    max_iterations: int = 100

    def __post_init__(self) -> None:
        for name in ("n_codes", "max_iterations"):
            object.__setattr__(self, name, whole_number(getattr(self, name), name))
        object.__setattr__(self, "seed", whole_number(self.seed, "seed", lowest=0))
        if self.seed >= 1 << 64:
            raise ValueError(f"seed: expected 0 to 2**64 - 1, got {self.seed}")
        if self.n_codes >= 1 << 30:
            raise ValueError(f"n_codes: expected fewer than 2**30, got {self.n_codes}")
        if self.batch is not None:
            object.__setattr__(self, "batch", whole_number(self.batch, "batch"))


@dataclass(frozen=True)
class Settings:
    """The arguments of `CodebookTokenizer` but for what is learnt, checked and immutable."""

    features: Mapping[str, NumericFeature]
    types: tuple[str, ...]
    type_value: float
    standardise: bool
    fit: FitSettings | None  # None where the codebook was given
    specials: tuple[str, ...]
    specials_high: tuple[str, ...]
    sequence: tuple[str, ...]
    sort_by: str | None
    max_length: int | None
    too_long: str
    event_features: Mapping[str, Feature] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("features", "event_features"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        object.__setattr__(self, "type_value", finite_number(self.type_value, "type_value"))
        if self.max_length is not None:
            object.__setattr__(self, "max_length", whole_number(self.max_length, "max_length"))
        untrusted: Mapping[Any, object] = self.features
        if not untrusted:
            raise ValueError("features: expected at least one feature")
        for key, value in untrusted.items():
            if not isinstance(key, str) or not key or not isinstance(value, NumericFeature):
                raise ValueError(f"features: expected NumericFeatures by name, got {key!r}: {value!r}")
        if TYPE_COLUMN in self.features:
            raise ValueError(f"features: {TYPE_COLUMN!r} is the name of the object's type; use `types`")
        names: Sequence[object] = self.types
        if (
            len(names) > MAX_TYPES
            or len(set(names)) != len(names)
            or not all(isinstance(n, str) for n in names)
        ):
            raise ValueError(f"types: expected at most {MAX_TYPES} different names, got {self.types!r:.200}")
        if not abs(self.type_value) <= float(np.finfo(np.float32).max) or np.float32(self.type_value) == 0:
            raise ValueError(f"type_value: expected a float32 other than 0, got {self.type_value}")
        if not isinstance(self.standardise, bool):
            raise ValueError(f"standardise: expected True or False, got {self.standardise!r}")
        sort_by: object = self.sort_by
        if sort_by is not None and not isinstance(sort_by, str):
            raise ValueError(f"sort_by: expected the name of a column or None, got {sort_by!r}")
        if self.too_long not in ("raise", "truncate"):
            raise ValueError(f"too_long: expected 'raise' or 'truncate', got {self.too_long!r}")
        Vocabulary(self.specials, self.specials_high, n_objects=0)  # refuses unknown names
        of_event.check(self.event_features, self.features)
        check_sequence(
            self.sequence, (*self.specials, *self.specials_high), tuple(self.event_features), self.max_length
        )

    @property
    def type_codes(self) -> dict[str, int]:
        """What the codes of types mean, for events that do not name them: places in `types`."""
        return {name: place for place, name in enumerate(self.types)}


@dataclass(frozen=True, eq=False)
class Fitted:
    """What is learnt: standardisation, encoder network, codebook, and the bins of event features.

    Raises
    ------
    ValueError
        Parts that do not fit together.
    """

    vectors: FeatureVectors
    network: FeatureNetwork | None
    codebook: Codebook
    event_features: Mapping[str, FittedFeature] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "event_features", MappingProxyType(dict(self.event_features)))
        vectors, network, codebook = self.vectors, self.network, self.codebook
        for name in ("mean", "scale"):
            value: npt.NDArray[np.float64] = getattr(vectors, name)
            if (
                value.dtype != np.float64
                or value.shape != (len(vectors.features),)
                or not np.isfinite(value).all()
            ):
                raise ValueError(
                    f"{name}: expected {len(vectors.features)} finite float64 numbers, one for each feature, got "
                    f"{value.dtype} {value.shape}"
                )
        if not (vectors.scale > 0).all():
            raise ValueError(f"scale: expected positive numbers, got {vectors.scale.min()}")
        if network is not None and network.n_in != vectors.n_dims:
            raise ValueError(
                f"network: takes {network.n_in} numbers, and the features are {vectors.n_dims}: "
                f"{', '.join(vectors.names)}"
            )
        if codebook.dtype != np.float32:
            raise ValueError(
                f"codebook: expected float32 as the features are, got {codebook.dtype}; use "
                "Codebook(vectors.astype('float32'), metric)"
            )
        given, what = (
            (vectors.n_dims, "features") if network is None else (network.n_out, "outputs of the network")
        )
        if codebook.n_dims != given:
            raise ValueError(f"codebook: has {codebook.n_dims} dimensions, and there are {given} {what}")


def to_artefact(settings: Settings, fitted: Fitted) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the config and the tensors of an artefact."""
    config: dict[str, Any] = {name: getattr(settings, name) for name in Settings.__dataclass_fields__}
    # A list, because the order of features is the order of the dimensions.
    config["features"] = [
        {"name": name, **feature.to_config()} for name, feature in settings.features.items()
    ]
    # Left out where there are none, as in the artefacts of versions that had none.
    config.pop("event_features")
    if settings.event_features:
        config["event_features"] = [
            {"name": name, **feature.to_config()} for name, feature in settings.event_features.items()
        ]
    for part in ("types", "specials", "specials_high", "sequence"):
        config[part] = list(config[part])
    config["fit"] = None if settings.fit is None else dict(vars(settings.fit))
    config["network"] = None if fitted.network is None else fitted.network.to_config()
    config["metric"] = fitted.codebook.metric
    config["definition"] = dict(DEFINITION)
    config["kind"] = KIND
    tensors: dict[str, npt.NDArray[Any]] = {
        "codebook": fitted.codebook.vectors,
        "mean": fitted.vectors.mean,
        "scale": fitted.vectors.scale,
    }
    if fitted.network is not None:
        tensors |= fitted.network.tensors()
    for name, one in fitted.event_features.items():
        tensors |= {f"{_EVENT}{name}.{part}": getattr(one, part) for part in TENSOR_DTYPES}
    return config, tensors


def from_artefact(
    config: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]
) -> tuple[Settings, Fitted]:
    """Read what `to_artefact` made, trusting nothing."""
    extra = {"kind", "definition", "metric", "network"}
    if config.get("kind") != KIND:
        raise ArtefactError(f"tokenizer config: expected kind {KIND!r}, got {config.get('kind')!r:.80}")
    known = {*extra, *Settings.__dataclass_fields__}
    closed(config, known if "event_features" in config else known - {"event_features"}, "tokenizer config")
    if config["definition"] != DEFINITION:
        raise ArtefactError(
            f"tokenizer config: definition: expected {DEFINITION}, got {config['definition']!r:.200}"
        )
    values = {name: value for name, value in config.items() if name not in extra}
    try:
        values["features"] = _features(values["features"])
        of_events = {
            name.removeprefix(_EVENT): value for name, value in tensors.items() if name.startswith(_EVENT)
        }
        values["event_features"] = features_from_config(
            values.get("event_features", []), "event_features", of_events
        )
        for part in ("types", "specials", "specials_high", "sequence"):
            values[part] = _names(values[part], part)
        if values["fit"] is not None:
            if not isinstance(values["fit"], dict):
                raise ArtefactError("tokenizer config: fit: expected an object or null")
            closed(values["fit"], set(FitSettings.__dataclass_fields__), "tokenizer config: fit")
            values["fit"] = FitSettings(**values["fit"])
        settings = Settings(**values)
        network = (
            None if config["network"] is None else FeatureNetwork.from_config(config["network"], tensors)
        )
        expected = {"codebook", "mean", "scale", *(() if network is None else network.tensors())}
        expected |= {f"{_EVENT}{name}.{part}" for name in settings.event_features for part in TENSOR_DTYPES}
        closed(tensors, expected, "tokenizer tensors")
        fitted = Fitted(
            vectors_of(settings, tensors["mean"], tensors["scale"]),
            network,
            Codebook(tensors["codebook"], metric=config["metric"]),
            {name: fitted_from_tensors(name, f, of_events) for name, f in settings.event_features.items()},
        )
    except ArtefactError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise ArtefactError(f"tokenizer config: {error}") from error
    return settings, fitted


def plain_vectors(settings: Settings) -> FeatureVectors:
    """Return the feature vectors that the settings describe, as they are before any standardisation."""
    n_features = len(settings.features)
    return vectors_of(settings, np.zeros(n_features), np.ones(n_features))


def vectors_of(
    settings: Settings, mean: npt.NDArray[np.float64], scale: npt.NDArray[np.float64]
) -> FeatureVectors:
    """Return the feature vectors that the settings describe, with a standardisation (n_features,)."""
    parts = [np.array(part, order="C") for part in (mean, scale)]
    for part in parts:
        part.setflags(write=False)  # the fingerprint of a tokenizer stands for them
    return FeatureVectors(settings.features, settings.types, settings.type_value, parts[0], parts[1])


def _features(entries: Any) -> dict[str, NumericFeature]:
    if not isinstance(entries, list):
        raise ArtefactError("tokenizer config: features: expected a list")
    features: dict[str, NumericFeature] = {}
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name in features:
            raise ArtefactError(
                f"tokenizer config: features: expected features of different names, got {entry!r:.200}"
            )
        config = {key: value for key, value in entry.items() if key != "name"}
        features[name] = NumericFeature.from_config(config, f"features[{name!r}]")
    return features


def _names(entries: Any, part: str) -> tuple[str, ...]:
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ArtefactError(f"tokenizer config: {part}: expected a list of names, got {entries!r:.200}")
    return tuple(entries)
