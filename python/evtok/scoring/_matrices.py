"""Covariances, their inverses and factors in float64, in an order of their own.

LAPACK's and BLAS's results depend on the library and the processor. Here every sum is taken element by element, in the
order written, so that a detector fitted twice is the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _core

Float64 = npt.NDArray[np.float64]

# Rows whose products are held at a time.
_ROWS = 4096


def lower_factors(matrices: Float64, name: str) -> Float64:
    """Return the Cholesky factors L of symmetric matrices (..., D, D), with L L^T each.

    Raises
    ------
    ValueError
        A matrix that is not finite, not symmetric, or not positive definite.
    """
    if not np.isfinite(matrices).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    transposed = np.swapaxes(matrices, -1, -2)
    sizes = np.sqrt(np.abs(np.diagonal(matrices, axis1=-2, axis2=-1)))
    if (np.abs(matrices - transposed) > 1e-5 * sizes[..., :, None] * sizes[..., None, :]).any():
        raise ValueError(f"{name}: expected a symmetric matrix")
    left = (matrices + transposed) / 2
    lower = np.zeros_like(left)
    for j in range(left.shape[-1]):
        pivot = left[..., j, j]
        if not (pivot > 0).all():
            raise ValueError(
                f"{name}: expected a positive definite matrix, which fails at component {j}; drop features that are "
                "constant or follow from others, or add a ridge"
            )
        column = left[..., j:, j] / np.sqrt(pivot)[..., None]
        lower[..., j:, j] = column
        left[..., j:, j:] -= column[..., :, None] * column[..., None, :]
    return lower


def upper_factors(matrices: Float64, name: str) -> Float64:
    """Return upper triangular U with U^T U each: those that whiten. Errors as in `lower_factors`."""
    return np.ascontiguousarray(np.swapaxes(lower_factors(matrices, name), -1, -2))


def inverse(matrices: Float64, name: str) -> Float64:
    """Return the inverses of symmetric matrices (..., D, D). Errors as in `lower_factors`."""
    lower = lower_factors(matrices, name)
    n_dims = lower.shape[-1]
    rows = np.broadcast_to(np.eye(n_dims), lower.shape).copy()  # becomes the inverse of L
    for j in range(n_dims):
        rows[..., j, :] /= lower[..., j, j][..., None]
        rows[..., j + 1 :, :] -= lower[..., j + 1 :, j][..., None] * rows[..., j, :][..., None, :]
    result = np.zeros_like(lower)
    for j in range(n_dims):
        result += rows[..., j, :][..., :, None] * rows[..., j, :][..., None, :]
    return result


def product(matrix: npt.NDArray[Any], vectors: Float64) -> Float64:
    """Return matrix @ v for each of vectors (n, D), added in the order of the components."""
    exact = matrix.astype(np.float64)
    result = np.zeros((len(vectors), len(exact)))
    for j in range(exact.shape[1]):
        result += exact[:, j] * vectors[:, j, None]
    return result


def moments(
    rows: npt.NDArray[np.float32], labels: npt.NDArray[Any], shared: bool, threads: int
) -> tuple[Float64, Float64]:
    """Return means (K, D) and covariance (D, D) or (K, D, D) about them, of rows (n, D) with labels 0 to K - 1.

    Raises
    ------
    ValueError
        No rows, or a label below K without a row.
    """
    if not len(labels):
        raise ValueError("labels: expected one row or more, got none")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(labels):
        raise ValueError(f"labels: expected 0 to K - 1, each with a row, got {low} to {high}")
    if not np.isfinite(rows).all():
        at = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise ValueError(f"x: row {at} holds NaN or infinity")
    codes = labels.astype(np.int32)
    n_dims = rows.shape[1]
    means, counts = _sums(rows, codes, high + 1, threads)
    if not counts.all():
        raise ValueError(f"labels: expected each of 0 to {high}, got no row of {int(np.argmin(counts))}")
    means /= counts[:, None]
    groups = np.zeros_like(codes) if shared else codes
    n_groups = 1 if shared else len(counts)
    scatter = np.zeros((n_dims, n_groups, n_dims))
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        apart = rows[part].astype(np.float64) - means[codes[part]]
        for j in range(n_dims):
            products = apart[:, j, None] * apart
            _core.code_sums(products, groups[part], threads, np.zeros(n_groups, np.int64), scatter[j])
    covariance = np.ascontiguousarray(scatter.transpose(1, 0, 2))
    if shared:
        return means, covariance[0] / len(rows)
    return means, covariance / counts[:, None, None]


def _sums(
    rows: npt.NDArray[np.float32], codes: npt.NDArray[np.int32], n_codes: int, threads: int
) -> tuple[Float64, npt.NDArray[np.int64]]:
    sums, counts = np.zeros((n_codes, rows.shape[1])), np.zeros(n_codes, np.int64)
    _core.code_sums(np.ascontiguousarray(rows), codes, threads, counts, sums)
    return sums, counts
