"""Fitting a codebook tokenizer: exact moments of the features, then k-means on the standardised ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from evtok.codebook import Codebook
from evtok.codebook.fit import FitReport, fit_codebook
from evtok.errors import InvalidEventsError
from evtok.events import Events
from evtok.tokenizers import binned_fit
from evtok.tokenizers import event_features as of_event
from evtok.tokenizers.codebook_config import Fitted, Settings, plain_vectors, vectors_of
from evtok.tokenizers.codebook_encode import latents
from evtok.tokenizers.codebook_features import INVALID, KEPT, FeatureVectors
from evtok.tokenizers.exact_moments import ExactMoments
from evtok.tokenizers.feature_network import FeatureNetwork

Vectors = npt.NDArray[np.float32]

# Vectors are kept in memory up to this many bytes; more are computed anew for every pass over the source.
_KEPT_BYTES = 1 << 30

# Objects whose vectors are made at a time.
_BLOCK = 1 << 18


def needs_data(settings: Settings) -> bool:
    """Tell whether anything has to be found from data."""
    return settings.fit is not None or any(map(binned_fit.is_found, settings.event_features.values()))


def fit(
    settings: Settings,
    network: FeatureNetwork | None,
    codebook: Codebook | None,
    source: Events | Iterable[Events],
    on_invalid: Literal["raise", "skip"],
    threads: int | None,
) -> tuple[Fitted, FitReport | None]:
    """Find the bins of event features, mean and scale of the features, if asked for, and the codes that are not given.

    See `CodebookTokenizer.fit`.
    """
    if on_invalid not in ("raise", "skip"):
        raise ValueError(f"on_invalid: expected 'raise' or 'skip', got {on_invalid!r}")
    if isinstance(source, Iterator):
        raise TypeError(
            "source: an iterator can be read only once; give Events, a list of Events, or open_events(...)"
        )

    def chunks() -> Iterable[Events]:
        return [source] if isinstance(source, Events) else source

    event_features = binned_fit.fit_features(
        settings.event_features,
        lambda: (
            of_event.compared(settings.event_features, events, settings.type_codes) for events in chunks()
        ),
        on_invalid,
    )
    plain = plain_vectors(settings)
    if settings.fit is None:
        assert codebook is not None
        return Fitted(plain, network, codebook, event_features), None

    def objects(vectors: FeatureVectors) -> Iterator[Vectors]:
        for events in chunks():
            yield from _vectors(vectors, events, on_invalid, threads or 0)

    vectors = _standardised(settings, objects(plain)) if settings.standardise else plain
    draft = _Encoder(vectors, network, threads or 0)
    found, report = fit_codebook(
        _remembered(lambda: map(draft, objects(vectors)), draft.n_dims),
        settings.fit.n_codes,
        seed=settings.fit.seed,
        batch=settings.fit.batch,
        max_iterations=settings.fit.max_iterations,
        threads=threads,
        return_report=True,
    )
    return Fitted(vectors, network, found, event_features), report


class _Encoder:
    """Vectors of features to what is looked up."""

    def __init__(self, vectors: FeatureVectors, network: FeatureNetwork | None, threads: int) -> None:
        self._network, self._threads = network, threads
        self.n_dims = vectors.n_dims if network is None else network.n_out

    def __call__(self, vectors: Vectors) -> Vectors:
        return latents(self._network, vectors, self._threads)


def _vectors(vectors: FeatureVectors, events: Events, on_invalid: str, threads: int) -> Iterator[Vectors]:
    """Yield the vectors (n, D) of the objects that are not cut, and whose type is known."""
    program = vectors.program(events)
    for begin in range(0, events.n_objects, _BLOCK):
        end = min(begin + _BLOCK, events.n_objects)
        found, states = vectors(program, begin, end, threads)
        invalid = states == INVALID
        if invalid.any() and on_invalid == "raise":
            row = begin + int(invalid.argmax())
            event = int(np.searchsorted(events.offsets, row, side="right")) - 1
            raise InvalidEventsError(
                f"source: object {row - int(events.offsets[event])} of event {event} of a chunk has a value that is "
                "NaN, infinite or outside the domain of its transform; drop it, or fit with on_invalid='skip'"
            )
        yield found[states == KEPT] if states.any() else found


def _standardised(settings: Settings, chunks: Iterator[Vectors]) -> FeatureVectors:
    moments = [ExactMoments() for _ in settings.features]
    for vectors in chunks:
        for k, one in enumerate(moments):
            one.add(vectors[:, k])
    if not moments[0].n:
        raise InvalidEventsError("source: expected at least one object that is valid and not cut, got none")
    mean = np.array([one.mean for one in moments], np.float64)
    deviation = np.array([one.standard_deviation for one in moments], np.float64)
    return vectors_of(settings, mean, np.where(deviation > 0, deviation, 1.0))


def _remembered(chunks: Callable[[], Iterator[Vectors]], n_dims: int) -> Callable[[], Iterable[Vectors]]:
    """Return `chunks`, read from memory after the first pass if they are small enough."""
    kept: list[Vectors] = []
    for vectors in chunks():
        kept.append(vectors)
        if sum(one.nbytes for one in kept) > _KEPT_BYTES:
            kept.clear()
            return chunks
    if not kept:
        kept.append(np.empty((0, n_dims), np.float32))
    return lambda: kept
