"""Mass sculpting: how far a cut on the score changes how another variable is distributed in background."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evtok.errors import InvalidEventsError
from evtok.metrics.curve import RocCurve
from evtok.metrics.sample import Floats, Part, checked_scores, checked_weights, ranked


@dataclass(frozen=True)
class Sculpting:
    """What one cut does.

    Attributes
    ----------
    background_efficiency : float
        Share of the background that was asked for.
    n_selected : int
        Events that pass.
    divergence : float
        Jensen-Shannon divergence in bits, from 0 (no change) to 1 (nothing in common): between the variable in all
        events, and in those that pass. NaN where none passes, or where a bin weighs less than 0 among them.
    by_chance : float
        The mean of the same for equally many events drawn blindly. Few events differ from all by chance: a divergence
        near this one is no sculpting.
    """

    background_efficiency: float
    n_selected: int
    divergence: float
    by_chance: float


def jensen_shannon(
    variable: npt.ArrayLike,
    scores: npt.ArrayLike,
    background_efficiencies: Sequence[float] = (0.5, 0.1, 0.01),
    weights: npt.ArrayLike | None = None,
    *,
    n_bins: int = 20,
    n_blind: int = 20,
    seed: int = 0,
) -> list[Sculpting]:
    """Compare a variable of background events before and after cuts on their score.

    Parameters
    ----------
    variable : array_like (n,), finite
        Such as the mass, of background events alone.
    scores : array_like (n,)
        Of the same events. Cuts are those of `RocCurve.at`.
    background_efficiencies : sequence of float
    weights : array_like (n,), optional
        Finite. What falls into a bin must not weigh less than 0 in total.
    n_bins : int
        Bins that hold equally many of all events, unweighted, as far as equal values allow.
    n_blind : int
        Blind draws for `by_chance`.
    seed : int
        Of these draws.

    Returns
    -------
    list of Sculpting
        One for each background efficiency.

    Raises
    ------
    InvalidEventsError
        A NaN among scores, or a variable that is not finite.
    ValueError, TypeError
        Shapes that differ; settings out of range; a variable with one value alone; a bin of negative weight.
    """
    ordered = checked_scores(scores)
    values = checked_scores(variable, "variable")
    if values.shape != ordered.shape:
        raise ValueError(f"variable: expected shape {ordered.shape} like scores, got {values.shape}")
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        raise InvalidEventsError(f"variable: event {infinite[0]} is {values[infinite[0]]}")
    shares = checked_weights(weights, len(values))
    if not shares.sum() > 0:
        raise ValueError(f"weights: the events weigh {shares.sum()} in total, so there is no share of them")
    if n_bins < 2 or n_blind < 1:
        raise ValueError(f"n_bins, n_blind: expected at least 2 and 1, got {n_bins} and {n_blind}")

    bins, n_found = _equal_frequency_bins(values, n_bins)
    before = _distribution(bins, shares, n_found)
    if np.isnan(before).any():
        raise ValueError("weights: a bin of the variable weighs less than nothing; ask for fewer bins")
    thresholds, rank = ranked(ordered)
    background = Part(rank, shares / np.abs(shares).max())
    curve = RocCurve.of(thresholds, background, background)
    random = np.random.default_rng(seed)

    def divergence(chosen: npt.NDArray[np.int64]) -> float:
        return _divergence(before, _distribution(bins[chosen], shares[chosen], n_found))

    found = []
    for efficiency in background_efficiencies:
        passing = np.flatnonzero(rank < curve.index_at(efficiency))
        blind = [divergence(random.permutation(len(rank))[: len(passing)]) for _ in range(n_blind)]
        found.append(Sculpting(efficiency, len(passing), divergence(passing), float(np.mean(blind))))
    return found


def _equal_frequency_bins(values: Floats, n_bins: int) -> tuple[npt.NDArray[np.int64], int]:
    """Return the bin of each value (n,), and how many bins there are: fewer than asked for where values are equal."""
    inner = np.unique(np.quantile(values, np.arange(1, n_bins) / n_bins, method="higher"))
    inner = inner[inner > values.min()]
    if not inner.size:
        raise ValueError("variable: expected values that fall into two bins or more, got too many equal ones")
    return np.searchsorted(inner, values, side="right"), len(inner) + 1


def _distribution(bins: npt.NDArray[np.int64], shares: Floats, n_bins: int) -> Floats:
    """Return the share of each bin (n_bins,); NaN where signed weights make no distribution, or nothing is there."""
    content = np.bincount(bins, shares, n_bins)
    total = content.sum()
    return content / total if total > 0 and (content >= 0).all() else np.full(n_bins, math.nan)


def _divergence(one: Floats, other: Floats) -> float:
    """Return the Jensen-Shannon divergence of two distributions, in bits."""
    if np.isnan(other).any():
        return math.nan
    middle = (one + other) / 2
    bits = 0.0
    for part in (one, other):
        there = part > 0
        bits += float(np.sum(part[there] * np.log2(part[there] / middle[there]))) / 2
    return min(max(bits, 0.0), 1.0)  # which rounding may leave by an ulp
