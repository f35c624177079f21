"""The codebook update of a training loop: moving averages of counts and sums, and a new start for dead codes.

The averages are those of `vector-quantize-pytorch`, within rounding. All arithmetic is in float64 in a fixed order and
rounded once to the dtype of each array, so that the codes do not depend on threads or instruction sets.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _core
from evtok.codebook.seeding import check_key, draw_rows, uniforms
from evtok.codebook.sums import code_sums
from evtok.codebook.unit import normalised

Array = npt.NDArray[Any]


def update(
    codes: Any,
    cluster_size: Any,
    embed_sum: Any,
    x: Any,
    ids: Any,
    *,
    decay: float = 0.8,
    epsilon: float = 1e-5,
    dead_below: float = 0.0,
    reset_to: float | None = None,
    seed: int = 0,
    step: int = 0,
    normalise: bool = False,
    threads: int | None = None,
) -> int:
    """Move the codes by one batch, and move codes that are hardly used to rows of it.

    Parameters
    ----------
    codes : float32 or float64 (K, D)
        Changed in place, as are the two below: NumPy arrays, or torch tensors on the CPU that need no grad.
    cluster_size : float32 or float64 (K,)
        Moving average of the number of rows of each code.
    embed_sum : float32 or float64 (K, D)
        Moving average of the sum of the rows of each code.
    x : real numbers (n, D)
        The batch.
    ids : integers (n,)
        The code of each row; -1 for one that does not count (padding, invalid). Such rows never become codes either.
    decay, epsilon : float
        See `apply`.
    dead_below, reset_to, seed, step
        See `replace_dead`.
    normalise : bool
        Keep codes at unit length, as the metric "cosine" wants it.
    threads : int, optional
        Threads to use; by default `EVTOK_NUM_THREADS` or the CPUs that this process may use.

    Returns
    -------
    int
        Number of codes that were moved to rows. A batch in which no row counts changes nothing.

    Raises
    ------
    TypeError
        An array of another dtype, on another device, or that needs grad.
    ValueError
        Shapes that do not fit, arrays that cannot be written or share memory, ids out of range, settings out of
        range, or rows that would bring NaN or infinity into the averages.
    """
    _check_averages(decay, epsilon)
    _check_replacement(dead_below, reset_to, seed, step)
    n_codes = _State(codes, cluster_size, embed_sum).codes.shape[0]
    counts, sums = code_sums(x, ids, n_codes, threads=threads)
    if not counts.any():
        return 0
    apply(codes, cluster_size, embed_sum, counts, sums, decay=decay, epsilon=epsilon, normalise=normalise)
    return replace_dead(
        codes,
        cluster_size,
        embed_sum,
        x,
        ids,
        dead_below=dead_below,
        reset_to=reset_to,
        seed=seed,
        step=step,
        normalise=normalise,
    )


def apply(
    codes: Any,
    cluster_size: Any,
    embed_sum: Any,
    counts: Any,
    sums: Any,
    *,
    decay: float = 0.8,
    epsilon: float = 1e-5,
    normalise: bool = False,
) -> None:
    """Move averages by the counts (K,) and sums (K, D) of a batch, as `code_sums` gives them, and the codes with them.

    ``cluster_size = decay * cluster_size + (1 - decay) * counts`` and the same for `embed_sum`; then
    ``codes = embed_sum / smoothed`` with Laplace smoothing,
    ``smoothed = (cluster_size + epsilon) / (total + K * epsilon) * total``.

    Parameters
    ----------
    decay : float
        0 to 1: what remains of the averages.
    epsilon : float
        0 or more. With 0, a code whose cluster_size is 0 stays where it is.

    Raises
    ------
    ValueError
        Counts, sums, averages or codes that are not finite, in the dtype of the arrays that hold them; nothing has
        changed then.
    """
    _check_averages(decay, epsilon)
    state = _State(codes, cluster_size, embed_sum)
    new_sizes, new_sums = _arrays.to_numpy(counts, "counts"), _arrays.to_numpy(sums, "sums")
    for name, new, old in (("counts", new_sizes, state.sizes), ("sums", new_sums, state.sums)):
        if new.shape != old.shape:
            raise ValueError(f"{name}: expected shape {old.shape}, got {new.shape}")
    with _core.FloatEnvironment():
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is refused below
            moved_sizes = _moved(state.sizes, new_sizes, decay)
            moved_sums = _moved(state.sums, new_sums, decay)
            sizes = moved_sizes.astype(np.float64)
            total = np.cumsum(sizes)[-1]  # one after another: the same bits everywhere
            smoothed = (sizes + epsilon) / (total + len(sizes) * epsilon) * total if total > 0 else sizes
            alive = smoothed > 0
            means = moved_sums[alive].astype(np.float64) / smoothed[alive, None]
            moved_codes = state.codes.copy()
            moved_codes[alive] = _unit_or_before(means, state.codes[alive]) if normalise else means
        _check_finite(moved_codes, moved_sizes, moved_sums)
        state.codes[...], state.sizes[...], state.sums[...] = moved_codes, moved_sizes, moved_sums


def replace_dead(
    codes: Any,
    cluster_size: Any,
    embed_sum: Any,
    x: Any,
    ids: Any,
    *,
    dead_below: float,
    reset_to: float | None = None,
    seed: int = 0,
    step: int = 0,
    normalise: bool = False,
) -> int:
    """Move each code whose `cluster_size` is below a limit to a row of the batch; returns how many.

    Such a code becomes the row, its `cluster_size` becomes `reset_to`, and its `embed_sum` the row times that. No row
    is used twice: where fewer rows count than codes are dead, the other codes wait for a later step.

    Parameters
    ----------
    dead_below : float
        The limit; 0 moves none.
    reset_to : float, optional
        By default `dead_below`.
    seed, step : int
        Each 0 to 2**64 - 1. The rows depend on these and on the batch alone: count the steps, or every step draws the
        same places of its batch.
    """
    size = _check_replacement(dead_below, reset_to, seed, step)
    state = _State(codes, cluster_size, embed_sum)
    dead = np.flatnonzero(state.sizes < dead_below)
    if not len(dead):
        return 0
    rows, assigned = _arrays.to_numpy(x, "x"), _arrays.to_numpy(ids, "ids")
    if rows.ndim != 2 or rows.shape[1] != state.codes.shape[1] or assigned.shape != rows.shape[:1]:
        raise ValueError(
            f"x, ids: expected shapes (n, {state.codes.shape[1]}) and (n,), got {rows.shape} and {assigned.shape}"
        )
    counted = np.flatnonzero(assigned >= 0)
    n = min(len(dead), len(counted))
    if not n:
        return 0
    with _core.FloatEnvironment():
        u = uniforms(seed, step, 2 * n)
        chosen = dead[draw_rows(len(dead), n, u[:n])]
        vectors = rows[counted[draw_rows(len(counted), n, u[n:])]].astype(np.float64)
        if normalise:
            vectors = _unit_or_before(vectors, state.codes[chosen])
        state.codes[chosen] = vectors
        state.sizes[chosen] = size
        state.sums[chosen] = vectors * size
    return n


def _check_averages(decay: float, epsilon: float) -> None:
    if not 0 <= decay <= 1:
        raise ValueError(f"decay: expected 0 to 1, got {decay}")
    if not 0 <= epsilon < np.inf:
        raise ValueError(f"epsilon: expected 0 or more, got {epsilon}")


def _check_replacement(dead_below: float, reset_to: float | None, seed: int, step: int) -> float:
    """Check these, and return the size of a code that was moved."""
    size = dead_below if reset_to is None else reset_to
    if not (0 <= dead_below < np.inf and 0 <= size < np.inf):
        raise ValueError(f"dead_below, reset_to: expected 0 or more, got {dead_below}, {reset_to}")
    check_key(seed, step)
    return size


class _State:
    """The three arrays of a codebook in training, seen as NumPy arrays of the same memory."""

    def __init__(self, codes: Any, cluster_size: Any, embed_sum: Any) -> None:
        self.codes = _writable(codes, "codes")
        self.sizes = _writable(cluster_size, "cluster_size")
        self.sums = _writable(embed_sum, "embed_sum")
        if self.codes.ndim != 2 or 0 in self.codes.shape:
            raise ValueError(f"codes: expected shape (K, D), got {self.codes.shape}")
        if self.sizes.shape != self.codes.shape[:1]:
            raise ValueError(f"cluster_size: expected shape {self.codes.shape[:1]}, got {self.sizes.shape}")
        if self.sums.shape != self.codes.shape:
            raise ValueError(
                f"embed_sum: expected the shape of codes, {self.codes.shape}, got {self.sums.shape}"
            )
        arrays = {"codes": self.codes, "cluster_size": self.sizes, "embed_sum": self.sums}
        for one, other in combinations(arrays, 2):
            if np.shares_memory(arrays[one], arrays[other]):
                raise ValueError(
                    f"{one}, {other}: share memory, and both are changed in place; copy one of them"
                )


def _writable(x: Any, name: str) -> Array:
    if _arrays.kind(x) not in ("numpy", "torch"):
        raise TypeError(
            f"{name}: expected a NumPy array or a torch tensor, which is changed in place, got {type(x)}"
        )
    array = _arrays.to_numpy(x, name)
    if array.dtype not in (np.float32, np.float64) or str(x.dtype).removeprefix("torch.") != array.dtype.name:
        raise TypeError(f"{name}: expected float32 or float64, got {x.dtype}")
    if not array.flags.writeable:
        raise ValueError(f"{name}: is changed in place, and this array is read-only")
    return array


def _moved(old: Array, new: Array, decay: float) -> Array:
    return np.asarray(old.astype(np.float64) * decay + new.astype(np.float64) * (1 - decay)).astype(old.dtype)


def _check_finite(codes: Array, sizes: Array, sums: Array) -> None:
    finite = np.isfinite(codes).all(axis=1) & np.isfinite(sizes) & np.isfinite(sums).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"sums: the moving average of code {int(finite.argmin())} would not be finite in {sums.dtype}; leave out "
            "rows with NaN or infinity by the id -1, or scale the features down"
        )


def _unit_or_before(vectors: npt.NDArray[np.float64], before: Array) -> npt.NDArray[np.float64]:
    """Normalise vectors (m, D); one without a direction leaves its code as it was."""
    units = normalised(vectors)
    return np.where(np.isnan(units), before, units)
