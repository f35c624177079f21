"""Random masks of ragged events: the same as those of masked_token_masks.py, without rectangles.

In: ids and offsets of a chunk of events. Out: for each pass its event, and the places that it hides. Passes that hide
each token in turn, or none, need no plan: the kernel makes them (`cpp/include/evtok/masked_token_network.hpp`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evtok.detectors.masked_token_masks import random_masks
from evtok.detectors.masked_token_settings import MaskingSettings


@dataclass(frozen=True, eq=False)
class RaggedPasses:
    """Passes over events of any lengths, event after event.

    Attributes
    ----------
    events : int64 (n_passes,)
        The event of each pass, ascending.
    asked_offsets : int64 (n_passes + 1,)
        Pass p hides ``places[asked_offsets[p]:asked_offsets[p + 1]]``, at least one.
    places : int32 (n_asked,)
        Places in the event, ascending in each pass.
    """

    events: npt.NDArray[np.int64]
    asked_offsets: npt.NDArray[np.int64]
    places: npt.NDArray[np.int32]

    def tokens(self, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the place among all ids of what is hidden (n_asked,); `offsets` are those of the events."""
        first = np.repeat(offsets[self.events], np.diff(self.asked_offsets))
        return np.asarray(first + self.places, np.int64)


def random_passes(
    ids: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    is_scored: npt.NDArray[np.bool_],
    settings: MaskingSettings,
) -> RaggedPasses:
    """Return the passes of the score "random-masks".

    Masks of events of one length are drawn together; the passes are put in the order of the events.

    Parameters
    ----------
    ids : int32 (n_tokens,)
    offsets : int64 (n_events + 1,)
        From 0 to n_tokens.
    is_scored : bool (n_tokens,)
        At least one of each event.
    settings : MaskingSettings
    """
    lengths = np.diff(offsets)
    events, counts, places = [], [], []
    for length in np.unique(lengths):
        alike = np.flatnonzero(lengths == length)
        where = offsets[alike][:, None] + np.arange(length)
        masks = random_masks(ids[where].astype(np.int64), is_scored[where], settings).reshape(-1, int(length))
        events.append(np.repeat(alike, settings.n_masks))
        counts.append(masks.sum(axis=1))
        places.append(np.nonzero(masks)[1].astype(np.int32))
    event, count = np.concatenate(events), np.concatenate(counts)
    order = np.argsort(event, kind="stable")
    sorted_offsets = _offsets(count[order])
    moved = np.repeat(_offsets(count)[order] - sorted_offsets[:-1], count[order])
    sorted_places = np.concatenate(places)[np.arange(len(moved)) + moved]
    return RaggedPasses(event[order], sorted_offsets, sorted_places)


def _offsets(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def cut(sizes: npt.NDArray[np.int64], most: int) -> Iterator[slice]:
    """Yield consecutive events whose sizes (n_events,) sum to at most `most`, or one event that is larger."""
    reached = _offsets(sizes)
    begin = 0
    while begin < len(sizes):
        fits = int(np.searchsorted(reached, reached[begin] + most, side="right")) - 1
        end = max(fits, begin + 1)
        yield slice(begin, end)
        begin = end
