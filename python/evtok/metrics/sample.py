"""Labels, scores and weights, checked and ranked once: all that a curve, and a resampled curve, is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays
from evtok.errors import InvalidEventsError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Part:
    """The events of one class: the `rank` (n,) int64 of their scores among all distinct ones, and their `weight`."""

    rank: npt.NDArray[np.int64]
    weight: Floats

    def __len__(self) -> int:
        return len(self.rank)

    def take(self, index: npt.NDArray[np.int64]) -> Part:
        """Return the events of these indices."""
        return Part(self.rank[index], self.weight[index])


@dataclass(frozen=True, eq=False)
class Sample:
    """Distinct scores, the highest first, and the events of both classes by their place among them."""

    thresholds: Floats
    signal: Part
    background: Part

    @classmethod
    def of(cls, labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None) -> Sample:
        """Check what a caller gave (see `evtok.metrics.roc`)."""
        values = checked_scores(scores)
        is_signal = _checked_labels(labels, len(values))
        shares = checked_weights(weights, len(values))
        thresholds, rank = ranked(values)
        parts = []
        for name, chosen in (("signal", is_signal), ("background", ~is_signal)):
            if not chosen.any():
                raise ValueError(f"labels: expected both classes, got no {name} event")
            weight = shares[chosen]
            if not weight.sum() > 0:
                raise ValueError(
                    f"weights: the {name} events weigh {weight.sum()} in total, so there is no share of them"
                )
            # Divided by the largest, equal weights become 1 exactly, and their sums have no rounding.
            parts.append(Part(rank[chosen], weight / np.abs(weight).max()))
        return cls(thresholds, *parts)


def ranked(scores: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return the distinct scores, the highest first (t,), and the place of each event's score among them (n,)."""
    distinct, place = np.unique(scores, return_inverse=True)
    return distinct[::-1], len(distinct) - 1 - place


def checked_scores(scores: npt.ArrayLike, name: str = "scores") -> Floats:
    """Return them as float64 (n,), which keeps their order and their ties.

    Raises
    ------
    InvalidEventsError
        A NaN.
    ValueError, TypeError
        Another shape; none at all; no numbers; integers above 2**53 in size, which float64 would round.
    """
    values = np.asarray(scores)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"{name}: expected shape (n,) with n > 0, got {values.shape}")
    if values.dtype.kind not in "buif" or values.dtype.itemsize > 8:
        raise TypeError(f"{name}: expected real numbers of at most 64 bits, got {values.dtype}")
    found = _arrays.as_float(values, name).astype(np.float64)
    wrong = np.flatnonzero(np.isnan(found))
    if wrong.size:
        raise InvalidEventsError(
            f"{name}: event {wrong[0]} is NaN, as are {wrong.size} of {len(found)}; decide what becomes of events "
            "without one: leave them out on purpose, or count them as not selected with -inf"
        )
    return found


def checked_weights(weights: npt.ArrayLike | None, n_events: int) -> Floats:
    """Return them as float64 (n,); 1 where none are given.

    Raises
    ------
    ValueError
        Another number of them; NaN or infinite ones.
    """
    if weights is None:
        return np.ones(n_events)
    shares = np.asarray(weights, np.float64)
    if shares.shape != (n_events,):
        raise ValueError(f"weights: expected shape ({n_events},), got {shares.shape}")
    wrong = np.flatnonzero(~np.isfinite(shares))
    if wrong.size:
        raise ValueError(f"weights: expected finite numbers, got {shares[wrong[0]]} for event {wrong[0]}")
    return shares


def _checked_labels(labels: npt.ArrayLike, n_events: int) -> npt.NDArray[np.bool_]:
    given: npt.NDArray[Any] = np.asarray(labels)
    if given.shape != (n_events,):
        raise ValueError(f"labels: expected shape ({n_events},) like scores, got {given.shape}")
    if given.dtype.kind not in "buif":
        raise TypeError(
            f"labels: expected 1 or True for signal, 0 or False for background, got {given.dtype}"
        )
    wrong = np.flatnonzero((given != 0) & (given != 1))
    if wrong.size:
        raise ValueError(
            f"labels: expected 1 for signal and 0 for background, got {given[wrong[0]]} for event {wrong[0]}"
        )
    return np.asarray(given, np.bool_)
