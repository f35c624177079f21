"""Fitting a binned tokenizer: edges from exact order statistics, then the combinations seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from evtok.errors import InvalidEventsError
from evtok.events import Events
from evtok.tokenizers import binned_encode, binned_rows, event_features, order_statistics
from evtok.tokenizers.binned_config import Settings
from evtok.tokenizers.edge_definitions import EqualFrequency, LookupTableBins, QuantileRange
from evtok.tokenizers.feature import Binning, Explicit, Feature, FittedFeature, Uniform
from evtok.tokenizers.order_statistics import OrderStatistics

if TYPE_CHECKING:
    from evtok.tokenizers.binned import BinnedTokenizer

Values = Mapping[str, npt.NDArray[Any]]


class Elsewhere(Protocol):
    """Who counts for a fit when this process does not: workers (`evtok.jobs.fit`)."""

    def count(self, statistics: Mapping[str, OrderStatistics]) -> None:
        """Add the counts of one pass over all data."""

    def keys(self, fitted: Mapping[str, FittedFeature], on_invalid: str) -> npt.NDArray[np.int32]:
        """Return the distinct keys of all objects, increasing."""


def needs_data(settings: Settings) -> bool:
    """Tell whether anything has to be found from data."""
    features = (*settings.features.values(), *settings.event_features.values())
    return settings.vocabulary == "seen" or any(map(is_found, features))


def fit(
    tokenizer: BinnedTokenizer,
    source: Events | Iterable[Events],
    on_invalid: Literal["raise", "skip"],
    elsewhere: Elsewhere | None = None,
) -> tuple[dict[str, FittedFeature], npt.NDArray[np.int32] | None]:
    """Return the fitted features, and the keys seen (or None)."""
    if on_invalid not in ("raise", "skip"):
        raise ValueError(f"on_invalid: expected 'raise' or 'skip', got {on_invalid!r}")
    if isinstance(source, Iterator):
        raise TypeError(
            "source: an iterator can be read only once; give Events, a list of Events, or open_events(...)"
        )

    def chunks() -> Iterable[Events]:
        return [source] if isinstance(source, Events) else source

    settings = tokenizer.settings

    def values() -> Iterator[Values]:
        for events in chunks():
            of_objects = {
                name: binned_rows.compared_values(f, events) for name, f in settings.features.items()
            }
            yield of_objects | event_features.compared(settings.event_features, events, settings.types)

    fitted = fit_features({**settings.features, **settings.event_features}, values, on_invalid, elsewhere)
    if settings.vocabulary == "dense":
        return fitted, None
    seen: npt.NDArray[np.int32] = np.zeros(0, np.int32)
    if elsewhere is not None:
        seen = elsewhere.keys(fitted, on_invalid)
    for events in chunks() if elsewhere is None else ():
        seen = np.union1d(seen, binned_encode.keys(settings, fitted, events, on_invalid)).astype(np.int32)
    if not seen.size:
        raise InvalidEventsError("source: no object was seen, and the vocabulary is of the combinations seen")
    return fitted, seen


def fit_features(
    features: Mapping[str, Feature],
    values: Callable[[], Iterator[Values]],
    on_invalid: Literal["raise", "skip"],
    elsewhere: Elsewhere | None = None,
) -> dict[str, FittedFeature]:
    """Find the edges of features.

    Parameters
    ----------
    features : mapping of str to Feature
    values : callable
        Returns an iterator over chunks: of each feature, the values that are compared with the edges.
    on_invalid : {"raise", "skip"}
        What to do with invalid values.
    elsewhere : Elsewhere, optional
        Counts the passes over the data; `values` then serves for the dtypes of the first chunk alone.

    Raises
    ------
    InvalidEventsError
        An invalid value, or no valid one.
    TypeError
        A feature that has another dtype in a later chunk.
    """
    statistics = _statistics(features, values)
    if statistics:
        count = None if elsewhere is None else elsewhere.count
        order_statistics.fit(statistics, lambda: _of_one_dtype(values()), count)
    return {
        name: _fit_feature(name, feature, statistics.get(name), on_invalid)
        for name, feature in features.items()
    }


def is_found(feature: Feature) -> bool:
    """Tell whether the edges have to be found from data."""
    return _definition(feature.binning) is not None


def _definition(binning: Binning) -> EqualFrequency | LookupTableBins | QuantileRange | None:
    """Return what has to be known of the data; None when nothing has."""
    if isinstance(binning, (EqualFrequency, LookupTableBins)):
        return binning
    if isinstance(binning, Uniform) and (binning.low is None or binning.high is None):
        return QuantileRange(binning.lower, binning.upper)
    return None


def _statistics(
    features: Mapping[str, Feature], values: Callable[[], Iterator[Values]]
) -> dict[str, OrderStatistics]:
    wanted = {name: d for name, f in features.items() if (d := _definition(f.binning)) is not None}
    if not wanted:
        return {}
    first = next(values(), None)
    if first is None:
        raise InvalidEventsError("source: expected at least one chunk of events, got none")
    return {
        name: OrderStatistics(
            first[name].dtype,
            features[name].transform.valid_range(first[name].dtype),
            definition.ranks,
            skip_zeros=features[name].zero_is_code_zero,
        )
        for name, definition in wanted.items()
    }


def _of_one_dtype(chunks: Iterable[Values]) -> Iterator[Values]:
    """Give the chunks on; raises where a feature has another dtype than in the first one."""
    first: dict[str, np.dtype[Any]] = {}
    for chunk in chunks:
        for name, values in chunk.items():
            if values.dtype != first.setdefault(name, values.dtype):
                raise TypeError(
                    f"source: feature {name!r} is {first[name]} in the first chunk and {values.dtype} in a later one; "
                    "make it one dtype in all (float64 holds both exactly)"
                )
        yield chunk


def _fit_feature(
    name: str, feature: Feature, statistics: OrderStatistics | None, on_invalid: str
) -> FittedFeature:
    binning, transform = feature.binning, feature.transform
    if isinstance(binning, Explicit):
        return FittedFeature.from_edges(feature, np.asarray(binning.edges, np.float64))
    definition = _definition(binning)
    if definition is None or statistics is None:
        assert isinstance(binning, Uniform)
        assert binning.low is not None
        assert binning.high is not None
        return FittedFeature.from_edges(feature, np.linspace(binning.low, binning.high, binning.n_edges))
    if statistics.n_invalid and on_invalid == "raise":
        raise InvalidEventsError(
            f"feature {name!r}: {statistics.n_invalid} values are NaN, infinite or outside the domain of "
            f"{transform.kind}; drop them, or fit with on_invalid='skip'"
        )
    if not statistics.n:
        raise InvalidEventsError(f"feature {name!r}: the source has no valid value to fit edges to")
    values = statistics.values(definition.ranks(statistics.n)).astype(np.float64)
    if not isinstance(definition, QuantileRange):
        return FittedFeature.from_values(feature, definition.edges(values))
    assert isinstance(binning, Uniform)
    low, high = definition.range(values)
    low = transform.forward(low) if binning.low is None else binning.low
    high = transform.forward(high) if binning.high is None else binning.high
    if not low < high:
        raise InvalidEventsError(f"feature {name!r}: the data range from {low} to {high}: no room for bins")
    return FittedFeature.from_edges(feature, np.linspace(low, high, binning.n_edges))
