"""Which events make each batch of an epoch: a function of the seed and the epoch, and of nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_TRAIN, _VALIDATION = 0, 1


@dataclass(frozen=True)
class Batches:
    """The batches of one epoch.

    Attributes
    ----------
    order : int64 array (n,)
        The events, batch after batch.
    size : int
        Events of a batch; the last may have fewer.
    seeds : int64 array (n_batches,)
        Of what is drawn for each.
    """

    order: npt.NDArray[np.int64]
    size: int
    seeds: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, at: int) -> npt.NDArray[np.int64]:
        return self.order[at * self.size : (at + 1) * self.size]


def n_batches(n_events: int, size: int) -> int:
    """Return how many batches an epoch has."""
    return -(-n_events // size)


def training_batches(
    n_events: int, size: int, seed: int, epoch: int, weights: npt.NDArray[np.float64] | None
) -> Batches:
    """Return a permutation of all events, or as many draws in proportion to weights that differ."""
    numbers = np.random.default_rng([seed, _TRAIN, epoch])
    if weights is None or (weights == weights[0]).all():
        order = numbers.permutation(n_events)
    else:
        reached = np.cumsum(weights)
        drawn = np.searchsorted(reached, numbers.random(n_events) * reached[-1], side="right")
        # A product that rounds up to the total belongs to the last event that weighs anything.
        order = np.minimum(drawn, np.flatnonzero(weights)[-1])
    return Batches(order.astype(np.int64), size, _seeds(numbers, n_batches(n_events, size)))


def validation_batches(n_events: int, size: int, seed: int) -> Batches:
    """Return all events as they come, with the same draws in every epoch, so that losses can be compared."""
    numbers = np.random.default_rng([seed, _VALIDATION])
    return Batches(np.arange(n_events), size, _seeds(numbers, n_batches(n_events, size)))


def _seeds(numbers: np.random.Generator, n: int) -> npt.NDArray[np.int64]:
    return numbers.integers(0, np.iinfo(np.int64).max, n)
