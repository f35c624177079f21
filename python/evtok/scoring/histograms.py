"""Scores of rows by the histograms of their components, taken one by one: HBOS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _core
from evtok.binning import float32_thresholds
from evtok.codebook._rows import OnInvalid
from evtok.scoring._rows import rows_of, score_rows

_OVERFLOWS = "has a score that overflows"


def histogram_score(
    x: Any,
    edges: Sequence[Any],
    log_density: Sequence[Any],
    *,
    on_invalid: OnInvalid = "raise",
    threads: int | None = None,
) -> Any:
    """Return minus the sum of the log densities of the bins that each row's components fall into.

    Parameters
    ----------
    x : real numbers (n, D)
        NumPy array, torch tensor or CuPy array; any layout. float16, bfloat16 and integers of at most 16 bits are taken
        as float32, exactly.
    edges : D arrays (n_edges_j,)
        Increasing; each component has as many as it needs. Bins are those of `numpy.digitize`: closed on the left, and
        below the first edge and from the last one on there is a bin, too. float64 edges are met exactly.
    log_density : D arrays (n_edges_j + 1,)
        Of each bin, from the one below the first edge to the one above the last; finite, and rounded to float32 once.
    on_invalid : {"raise", "sentinel"}
        What to do with a row that holds NaN or infinity: refuse the call, or score it NaN.
    threads : int, optional
        Threads to use; by default `EVTOK_NUM_THREADS` or the CPUs that this process may use.

    Returns
    -------
    float32 array (n,), of the kind of x
        Added in the order of the components.

    Raises
    ------
    TypeError
        `x` that float32 would round.
    ValueError
        Shapes that do not fit, edges that decrease or are NaN, a log density that is not finite. An invalid row
        (`InvalidEventsError`, naming the first).
    """
    with _core.FloatEnvironment():  # conversions too follow the contract's mode, not a caller's
        on_gpu = _arrays.on_gpu(x)
        rows = None if on_gpu else rows_of(x, "x")
        n_dims = len(edges) if rows is None else rows.values.shape[1]
        for name, given in (("edges", edges), ("log_density", log_density)):
            if len(given) != n_dims:
                raise ValueError(
                    f"{name}: expected {n_dims} arrays, one for each component, got {len(given)}"
                )
        thresholds = [_thresholds(edges[j], f"edges[{j}]") for j in range(n_dims)]
        values = [_values(log_density[j], f"log_density[{j}]", len(thresholds[j]) + 1) for j in range(n_dims)]
        ends = np.cumsum([len(of_one) for of_one in thresholds], dtype=np.int64)
        all_thresholds, all_values = np.concatenate(thresholds), np.concatenate(values)
        if rows is None:
            from evtok.cuda.row_scores import histogram_score as score_on_gpu

            return score_on_gpu(x, all_thresholds, ends, all_values, on_invalid, _OVERFLOWS)

        def kernel(
            start: int, stop: int, piece: npt.NDArray[np.float32], out: npt.NDArray[np.float32]
        ) -> tuple[int, int]:
            return _core.histogram_score(piece, all_thresholds, ends, all_values, threads or 0, out)

        return score_rows(rows, "x", on_invalid, kernel, _OVERFLOWS)


def _thresholds(edges: Any, name: str) -> npt.NDArray[np.float32]:
    """Return the float32 that every float32 passes exactly when it passes the edge."""
    borders = _arrays.to_numpy(edges, name)
    if borders.ndim != 1:
        raise ValueError(f"{name}: expected one dimension, got shape {borders.shape}")
    exact = _arrays.as_float(borders, name).astype(np.float64)
    if not (exact[1:] >= exact[:-1]).all() or np.isnan(exact).any():
        raise ValueError(f"{name}: expected edges that increase, without NaN")
    return float32_thresholds(exact, right=False)


def _values(log_density: Any, name: str, n_bins: int) -> npt.NDArray[np.float32]:
    """Return minus the log densities in float32."""
    given = _arrays.to_numpy(log_density, name)
    if given.shape != (n_bins,):
        raise ValueError(
            f"{name}: expected shape ({n_bins},), one for each bin with those beyond the edges, got {given.shape}"
        )
    with np.errstate(over="ignore"):
        values = np.negative(given.astype(np.float64)).astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: expected finite numbers; give empty bins a small density")
    return values
