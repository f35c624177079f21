"""Scores of rows by a distance: to a centre, to a reconstruction, to neighbours; and the largest logit."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _core
from evtok.codebook._rows import OnInvalid
from evtok.scoring._rows import FLOAT32, Kernel, parameter, rows_of, score_rows

if TYPE_CHECKING:
    from evtok.codebook import Codebook

# RowScore of row_scores.hpp.
_SQUARED_DISTANCE, _SQUARED_SUM, _NEGATIVE_LARGEST = range(3)

_OVERFLOWS = "is so large that its score overflows"
_NO_LOGIT = "has no finite logit"
_NO_RECONSTRUCTION = "has a reconstruction that is not finite, or overflows"

# Rows whose neighbours are held at a time.
_NEIGHBOUR_ROWS = 1 << 15


def squared_distance(
    x: Any, centre: Any, *, on_invalid: OnInvalid = "raise", threads: int | None = None
) -> Any:
    """Return the squared distance of each row from a centre, as Deep SVDD scores.

    Parameters
    ----------
    x : real numbers (n, D)
        NumPy array, torch tensor or CuPy array; any layout. float16, bfloat16 and integers of at most 16 bits are taken
        as float32, exactly.
    centre : real numbers (D,)
        Finite; float32, or exact in it.
    on_invalid : {"raise", "sentinel"}
        What to do with a row that holds NaN or infinity, or whose score overflows: refuse the call, or score it NaN.
    threads : int, optional
        Threads to use; by default `EVTOK_NUM_THREADS` or the CPUs that this process may use.

    Returns
    -------
    float32 array (n,), of the kind of x

    Raises
    ------
    TypeError
        Numbers that float32 would round.
    ValueError
        Shapes that do not fit. An invalid row (`InvalidEventsError`, naming the first).
    """
    if _arrays.on_gpu(x):
        from evtok.cuda.row_scores import score as on_gpu

        if not _arrays.on_gpu(centre):
            centre = parameter(centre, "centre", tuple(x.shape[1:]))
        return on_gpu(x, "x", _SQUARED_DISTANCE, on_invalid, _OVERFLOWS, other=centre, other_name="centre")
    with _core.FloatEnvironment():  # conversions too follow the contract's mode, not a caller's
        rows = rows_of(x, "x")
        other = parameter(centre, "centre", rows.values.shape[1:])
        return score_rows(rows, "x", on_invalid, _kernel(_SQUARED_DISTANCE, threads, other), _OVERFLOWS)


def squared_sum(mu: Any, *, on_invalid: OnInvalid = "raise", threads: int | None = None) -> Any:
    """Return the sum of squares of each row (n, D): how far a VAE's latent means lie from its prior's.

    The other arguments, the result and the errors are those of `squared_distance`.
    """
    if _arrays.on_gpu(mu):
        from evtok.cuda.row_scores import score as on_gpu

        return on_gpu(mu, "mu", _SQUARED_SUM, on_invalid, _OVERFLOWS)
    with _core.FloatEnvironment():
        return score_rows(rows_of(mu, "mu"), "mu", on_invalid, _kernel(_SQUARED_SUM, threads), _OVERFLOWS)


def negative_max_logit(logits: Any, *, on_invalid: OnInvalid = "raise", threads: int | None = None) -> Any:
    """Return minus the largest logit of each row (n, K): high where no class fits.

    A logit may be minus infinity, for a class that is masked, if another one is finite. The other arguments, the result
    and the errors are those of `squared_distance`.
    """
    if _arrays.on_gpu(logits):
        from evtok.cuda.row_scores import score as on_gpu

        return on_gpu(logits, "logits", _NEGATIVE_LARGEST, on_invalid, _NO_LOGIT, masked=True)
    with _core.FloatEnvironment():
        return score_rows(
            rows_of(logits, "logits"),
            "logits",
            on_invalid,
            _kernel(_NEGATIVE_LARGEST, threads),
            _NO_LOGIT,
            masked=True,
        )


def reconstruction_error(
    x: Any,
    y: Any,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    on_invalid: OnInvalid = "raise",
    threads: int | None = None,
) -> Any:
    """Return the mean (or the sum) of squared differences of each row of `x` (n, D) from its row of `y` (n, D).

    A row is invalid where `y` is not finite, too. The other arguments, the result and the errors are those of
    `squared_distance`.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction: expected "mean" or "sum", got {reduction!r}')
    if _arrays.on_gpu(x):
        from evtok.cuda.row_scores import score as on_gpu

        return on_gpu(
            x,
            "x",
            _SQUARED_DISTANCE,
            on_invalid,
            _NO_RECONSTRUCTION,
            other=y,
            other_name="y",
            own_other=True,
            mean=reduction == "mean",
        )
    with _core.FloatEnvironment():
        rows = rows_of(x, "x")
        others = rows_of(y, "y", rows.values.shape[1]).values
        if len(others) != len(rows.values):
            raise ValueError(f"y: expected shape {rows.values.shape} as x, got {others.shape}")

        def kernel(
            start: int, stop: int, piece: npt.NDArray[np.float32], out: npt.NDArray[np.float32]
        ) -> tuple[int, int]:
            other = np.require(others[start:stop], np.float32, ("C", "A"))
            return _core.score_rows(piece, _SQUARED_DISTANCE, other, reduction == "mean", threads or 0, out)

        return score_rows(rows, "x", on_invalid, kernel, _NO_RECONSTRUCTION)


def neighbour_distance(
    x: Any,
    reference: Codebook | Any,
    k: int = 1,
    *,
    reduction: Literal["kth", "mean"] = "kth",
    on_invalid: OnInvalid = "raise",
    threads: int | None = None,
) -> Any:
    """Return the distance of each row to its k-th nearest row of `reference`, or the mean over the k nearest.

    Parameters
    ----------
    x : real numbers (n, D)
        As in `squared_distance`.
    reference : real numbers (m, D), or Codebook
        A `Codebook` of the metric "l2" is prepared once, and serves many calls.
    k : int
        Neighbours, 1 to m. A row of `reference` that is scored itself is its own first neighbour.
    reduction : {"kth", "mean"}
        Which distance is the score.
    on_invalid, threads
        As in `squared_distance`.

    Returns
    -------
    float32 array (n,), of the kind of x
        Euclidean distances: the square root, rounded once, of the squared distance that `evtok.nearest` returns. The
        mean adds them nearest first.
    """
    from evtok.codebook import Codebook

    k = operator.index(k)
    if reduction not in ("kth", "mean"):
        raise ValueError(f'reduction: expected "kth" or "mean", got {reduction!r}')
    with _core.FloatEnvironment():
        if not isinstance(reference, Codebook):
            reference = Codebook._quiet(_arrays.to_numpy(reference, "reference"))
        if reference.metric != "l2" or reference.vectors.dtype != FLOAT32:
            raise ValueError(
                f'reference: expected float32 with the metric "l2", got {reference.vectors.dtype} with '
                f"{reference.metric!r}"
            )
        rows = rows_of(x, "x", reference.n_dims)

        def kernel(
            start: int, stop: int, piece: npt.NDArray[np.float32], out: npt.NDArray[np.float32]
        ) -> tuple[int, int]:
            for begin in range(0, stop - start, _NEIGHBOUR_ROWS):
                part = piece[begin : begin + _NEIGHBOUR_ROWS]
                _, squared = reference.nearest(
                    part, k=k, return_distance=True, on_invalid="sentinel", threads=threads
                )
                out[begin : begin + len(part)] = _reduced(squared.reshape(len(part), k), reduction)
            wrong = np.flatnonzero(~np.isfinite(out))
            out[wrong] = np.nan
            return len(wrong), int(wrong[0]) if wrong.size else -1

        return score_rows(
            rows, "x", on_invalid, kernel, "is so far from the reference that its distance overflows"
        )


def _reduced(squared: npt.NDArray[np.float32], reduction: str) -> npt.NDArray[np.float32]:
    """Reduce the squared distances (n, k), nearest first, to one score a row."""
    k = squared.shape[1]
    if reduction == "kth":
        return np.sqrt(squared[:, -1])
    total = np.zeros(len(squared), np.float32)
    for j in range(k):
        total += np.sqrt(squared[:, j])
    return total / np.float32(k)


def _kernel(score: int, threads: int | None, other: npt.NDArray[np.float32] | None = None) -> Kernel:
    def run(
        start: int, stop: int, piece: npt.NDArray[np.float32], out: npt.NDArray[np.float32]
    ) -> tuple[int, int]:
        return _core.score_rows(piece, score, other, False, threads or 0, out)

    return run
