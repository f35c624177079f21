"""Histograms of single features: where bins end, and how dense background is in them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Binning = Literal["equal-frequency", "uniform"]


def histogram_edges(
    values: npt.NDArray[np.float32], weights: npt.NDArray[np.float64], n_bins: int, binning: Binning
) -> npt.NDArray[np.float32]:
    """Return the edges, strictly increasing, of at most `n_bins` bins that hold all values: float32 (n_bins + 1,).

    Bins include their left edge. Uniform ones are equally wide. Those of equal frequency hold about the same weight
    each; they end halfway between neighbouring values, and half a step beyond the outermost, so that values which occur
    many times, such as counts of jets, get bins as wide as their steps, and not infinitely dense ones.

    Raises
    ------
    ValueError
        Values that are all equal, or as large as float32 numbers are.
    """
    if np.abs(values).max() > np.finfo(np.float32).max / 4:
        raise ValueError(
            f"expected numbers far below {np.finfo(np.float32).max:.0e}, got {np.abs(values).max():.3g}"
        )
    there = weights > 0
    distinct, place = np.unique(values[there], return_inverse=True)
    if len(distinct) < 2:
        raise ValueError(f"all are {distinct[0]}, so they have no density; leave the feature out")
    if binning == "uniform":
        edges = np.linspace(float(distinct[0]), float(distinct[-1]), n_bins + 1).astype(np.float32)
        edges[-1] = np.nextafter(distinct[-1], np.float32(np.inf))  # which holds the largest
        return np.unique(edges)
    below = np.cumsum(np.bincount(place, weights[there]))  # up to each distinct value
    wanted = np.arange(1, n_bins) / n_bins * below[-1]
    last = np.unique(np.searchsorted(below[:-1], wanted))  # of each bin but the uppermost
    last = last[last < len(distinct) - 1]
    wide = distinct.astype(np.float64)
    inner = ((wide[last] + wide[last + 1]) / 2).astype(np.float32)
    inner = np.where(
        inner > distinct[last], inner, distinct[last + 1]
    )  # between neighbours among float32 numbers
    outer = np.array([wide[0] - (wide[1] - wide[0]) / 2, wide[-1] + (wide[-1] - wide[-2]) / 2]).astype(
        np.float32
    )
    upper = max(outer[1], np.nextafter(distinct[-1], np.float32(np.inf)))
    return np.concatenate([[min(outer[0], distinct[0])], inner, [upper]]).astype(np.float32)


def log_densities(
    values: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float64],
    edges: npt.NDArray[np.float32],
    smoothing: float,
) -> npt.NDArray[np.float32]:
    """Return the log density below, in and above all bins: float32 (n_bins + 2,).

    `smoothing` events are added to each bin. What lies outside is as dense as an empty bin of the width of the widest:
    never denser than any bin.
    """
    n_bins = len(edges) - 1
    content = np.bincount(np.searchsorted(edges, values, side="right"), weights, n_bins + 2)[1:-1] + smoothing
    width = np.diff(edges.astype(np.float64))
    inside = np.log(content / content.sum()) - np.log(width)
    outside = np.log(smoothing / content.sum()) - np.log(width.max())
    return np.concatenate([[outside], inside, [outside]]).astype(np.float32)
