"""Which tokens each pass through the network hides, and which it is asked about.

A pass is one copy of an event. Masks that are drawn are a function of the event's tokens and a seed, and of nothing
else: not of the events beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evtok.detectors.masked_token_settings import MaskingSettings

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class Passes:
    """Passes over events that have the same number of tokens.

    Attributes
    ----------
    events : int64 (n_passes,)
        The row of each pass in the events' ids.
    asked : bool (n_passes, length)
        The tokens whose surprise is wanted; at least one.
    hides : bool
        Whether these are hidden.
    """

    events: npt.NDArray[np.int64]
    asked: npt.NDArray[np.bool_]
    hides: bool


def passes(
    ids: npt.NDArray[np.int64], is_scored: npt.NDArray[np.bool_], settings: MaskingSettings, most: int
) -> Iterator[Passes]:
    """Yield the passes of events (n, length), at most `most` at a time.

    Parameters
    ----------
    ids : int64 (n, length)
    is_scored : bool (n, length)
        At least one of each event.
    settings : MaskingSettings
    most : int
    """
    if settings.score_form == "pseudo-likelihood":
        events, places = np.nonzero(is_scored)
        for start in range(0, len(events), most):
            chosen = slice(start, start + most)
            asked = np.zeros((len(events[chosen]), ids.shape[1]), np.bool_)
            asked[np.arange(len(asked)), places[chosen]] = True
            yield Passes(events[chosen], asked, True)
        return
    if settings.score_form == "single-pass":
        for start in range(0, len(ids), most):
            asked = is_scored[start : start + most]
            yield Passes(np.arange(start, start + len(asked)), asked, False)
        return
    events_at_a_time = max(1, most // settings.n_masks)
    for start in range(0, len(ids), events_at_a_time):
        chosen = slice(start, start + events_at_a_time)
        masks = random_masks(ids[chosen], is_scored[chosen], settings)
        events = np.repeat(np.arange(start, start + len(masks)), settings.n_masks)
        flat = masks.reshape(-1, ids.shape[1])
        for first in range(0, len(flat), most):
            part = slice(first, first + most)
            yield Passes(events[part], flat[part], True)


def random_masks(
    ids: npt.NDArray[np.int64], is_scored: npt.NDArray[np.bool_], settings: MaskingSettings
) -> npt.NDArray[np.bool_]:
    """Return masks (n, n_masks, length) that each hide `mask_fraction` of the scored tokens, rounded up.

    The masks of an event go through its scored tokens in an order drawn at random, again and again, so that none is
    hidden twice before all were hidden once. Each mask by itself is a set drawn uniformly.
    """
    n, length = ids.shape
    place = np.arange(length, dtype=np.uint64)
    with np.errstate(over="ignore"):  # modulo 2**64
        of_token = _mixed(ids.astype(np.uint64) + _mixed(place + np.uint64(settings.mask_seed) * _GOLDEN))
        of_event = _mixed(of_token.sum(axis=1, dtype=np.uint64))
        draws = _mixed(of_event[:, None] + (place + np.uint64(1)) * _GOLDEN)
    # The tokens that are not scored come last in the order.
    order = np.lexsort((draws, ~is_scored), axis=1)
    rank = np.empty((n, length), np.int64)
    np.put_along_axis(rank, order, np.arange(length)[None, :], axis=1)
    n_scored = is_scored.sum(axis=1)
    size = np.ceil(n_scored * settings.mask_fraction - 1e-9).astype(np.int64).clip(1)
    first = np.arange(settings.n_masks)[None, :] * size[:, None] % n_scored[:, None]
    distance = (rank[:, None, :] - first[:, :, None]) % n_scored[:, None, None]
    return np.asarray((distance < size[:, None, None]) & is_scored[:, None, :], np.bool_)


def _mixed(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the finaliser of SplitMix64 of each word."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
