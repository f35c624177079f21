"""Mahalanobis distances to classes of rows, with a precision matrix that they share or one for each."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _core
from evtok.codebook._rows import OnInvalid
from evtok.scoring import _matrices
from evtok.scoring._rows import FLOAT32, rows_of, score_rows

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_OVERFLOWS = "is so far from every class that it overflows"


class GaussianClasses:
    """Classes as means and precision matrices, prepared once for many calls; immutable.

    Parameters
    ----------
    means : real numbers (K, D)
    precision : real numbers (D, D) or (K, D, D)
        Inverse covariance, shared by the classes or one for each: symmetric and positive definite.

    Raises
    ------
    ValueError
        Shapes that do not fit, numbers that are not finite, a matrix that is not symmetric or not positive definite.

    Notes
    -----
    A precision is factored once, as U^T U in float64 in an order of its own, and U is rounded to float32; a row of
    float32 is whitened by U before any distance is taken, which for classes of one precision is done once a row. The
    contract is in ``cpp/include/evtok/class_distances.hpp``. A distance agrees with that of float64 as far as float32
    can tell rows from means: a feature whose spread is a millionth of its size leaves nothing to measure.
    """

    def __init__(self, means: Any, precision: Any) -> None:
        centres = _arrays.to_numpy(means, "means")
        matrices = _arrays.to_numpy(precision, "precision")
        if centres.ndim != 2 or 0 in centres.shape:
            raise ValueError(f"means: expected shape (K, D) with one class or more, got {centres.shape}")
        n_classes, n_dims = centres.shape
        if matrices.shape not in ((n_dims, n_dims), (n_classes, n_dims, n_dims)):
            raise ValueError(
                f"precision: expected shape {(n_dims, n_dims)} or {(n_classes, n_dims, n_dims)}, got {matrices.shape}"
            )
        with _core.FloatEnvironment():
            self.means = _arrays.frozen(centres.astype(np.float64))
            self.precision = _arrays.frozen(matrices.astype(np.float64))
            if not np.isfinite(self.means).all():
                raise ValueError("means: expected finite numbers, got NaN or infinity")
            upper = _rounded(_matrices.upper_factors(self.precision, "precision"), "precision")
            if (np.diagonal(upper, axis1=-2, axis2=-1) < np.finfo(FLOAT32).tiny).any():
                raise ValueError(
                    "precision: is too small for float32, so that nothing is far; scale the features"
                )
            if self.shares_precision:
                # Distances of whitened rows are taken from whitened means, so both are taken from one centre.
                self._centres = _rounded(_mean(self.means)[None], "means")
                self._whitened = _rounded(
                    _matrices.product(upper, self.means - self._centres), "means, precision"
                )
                factors = upper[None]
            else:
                self._centres = _rounded(self.means, "means")
                self._whitened = np.zeros((1, n_dims), np.float32)
                factors = upper
        rows = np.zeros((len(factors), _padded(n_dims), n_dims), np.float32)
        rows[:, :n_dims] = factors
        self._factors = rows.reshape(-1, n_dims)

    @classmethod
    def from_rows(
        cls, x: Any, labels: Any, *, shared: bool = True, ridge: float = 0.0, threads: int | None = None
    ) -> Self:
        """Make classes of labelled rows: their means, and the inverse of their covariance about these.

        Parameters
        ----------
        x : real numbers (n, D)
            Exact in float32.
        labels : integers (n,)
            From 0 to K - 1, each with one row or more.
        shared : bool
            One covariance of all rows, or one for each class.
        ridge : float
            Every variance is multiplied by 1 + ridge, so that features that determine each other can be inverted.
        threads : int, optional
            As in `distance`.

        Notes
        -----
        Sums are taken in float64 in the order of the rows, and everything after them in a fixed order, so the same rows
        give the same classes on every machine.
        """
        with _core.FloatEnvironment():
            rows = rows_of(x, "x").values.astype(np.float32)
            codes = _arrays.to_numpy(labels, "labels")
            if codes.dtype.kind not in "iu" or codes.shape != (len(rows),):
                raise ValueError(
                    f"labels: expected integers of shape ({len(rows)},), got {codes.dtype} {codes.shape}"
                )
            if not ridge >= 0:
                raise ValueError(f"ridge: expected 0 or more, got {ridge}")
            means, covariance = _matrices.moments(rows, codes, shared, threads or 0)
            diagonal = np.arange(rows.shape[1])
            covariance[..., diagonal, diagonal] *= 1 + float(ridge)
            return cls(means, _matrices.inverse(covariance, "x"))

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.means)

    @property
    def n_dims(self) -> int:
        """Number of components of a row."""
        return int(self.means.shape[1])

    @property
    def shares_precision(self) -> bool:
        """Tell whether one precision serves all classes."""
        return self.precision.ndim == 2

    def kernel_parameters(self) -> tuple[list[Float32], list[Float32], list[Float32]]:
        """Return centre (D,), factor (D, D) and whitened mean (D,) of each class, which define its distances."""
        factors = self._factors.reshape(-1, _padded(self.n_dims), self.n_dims)
        shared, every = self.shares_precision, range(self.n_classes)
        return (
            [self._centres[0 if shared else k] for k in every],
            [factors[0 if shared else k, : self.n_dims] for k in every],
            [self._whitened[k if shared else 0] for k in every],
        )

    def distance(
        self,
        x: Any,
        *,
        return_class: bool = False,
        on_invalid: OnInvalid = "raise",
        threads: int | None = None,
    ) -> Any:
        """Return the squared Mahalanobis distance of each row from the class that it is nearest to.

        Parameters
        ----------
        x : real numbers (n, D)
            NumPy array, torch tensor or CuPy array; any layout. float16, bfloat16 and integers of at most 16 bits
            are taken as float32, exactly.
        return_class : bool
            Return (distance, class).
        on_invalid : {"raise", "sentinel"}
            What to do with a row that holds NaN or infinity, or whose distances all overflow: refuse the call, or score
            it NaN.
        threads : int, optional
            Threads to use; by default `EVTOK_NUM_THREADS` or the CPUs that this process may use.

        Returns
        -------
        distance : float32 array (n,), of the kind of x
        class : int32 array (n,), of the kind of x
            The lowest of equals; -1 where the distance is NaN.

        Raises
        ------
        TypeError
            Numbers that float32 would round.
        ValueError
            Shapes that do not fit. An invalid row (`InvalidEventsError`, naming the first).
        """
        if _arrays.on_gpu(x):
            from evtok.cuda.row_scores import class_distances as on_gpu

            arrays = (self._centres, self._factors, self._whitened)
            return on_gpu(
                self, self.shares_precision, arrays, self.n_classes, x, return_class, on_invalid, _OVERFLOWS
            )
        with _core.FloatEnvironment():
            rows = rows_of(x, "x", self.n_dims)
            nearest = np.empty(len(rows.values), np.int32) if return_class else None

            def kernel(start: int, stop: int, piece: Float32, out: Float32) -> tuple[int, int]:
                found = None if nearest is None else nearest[start:stop]
                return _core.class_distances(
                    piece,
                    self.shares_precision,
                    self._centres,
                    self._factors,
                    self._whitened,
                    threads or 0,
                    out,
                    found,
                )

            scores = score_rows(rows, "x", on_invalid, kernel, _OVERFLOWS)
            return scores if nearest is None else (scores, rows.wrap(nearest))


def mahalanobis(
    x: Any,
    means: Any,
    precision: Any,
    *,
    return_class: bool = False,
    on_invalid: OnInvalid = "raise",
    threads: int | None = None,
) -> Any:
    """Return the squared Mahalanobis distance of each row from the class that it is nearest to.

    The arguments are those of `GaussianClasses` and of its method `distance`; make the classes once where there are
    many calls.
    """
    classes = GaussianClasses(means, precision)
    return classes.distance(x, return_class=return_class, on_invalid=on_invalid, threads=threads)


def _rounded(values: Float64, name: str) -> Float32:
    with np.errstate(over="ignore"):
        rounded = values.astype(FLOAT32)
    if not np.isfinite(rounded).all():
        raise ValueError(f"{name}: holds numbers that float32 cannot; scale the features")
    return rounded


def _padded(n_dims: int) -> int:
    """Rows that the kernel wants of a factor."""
    return -(-n_dims // _core.factor_rows) * _core.factor_rows


def _mean(means: Float64) -> Float64:
    total = np.zeros(means.shape[1])
    for mean in means:
        total += mean
    return total / len(means)
