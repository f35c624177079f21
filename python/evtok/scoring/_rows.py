"""What the scores of rows share: rows (n, D) of any package in, float32 (n,) of that package out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _backend, _core
from evtok.codebook._rows import OnInvalid, Rows, check_on_invalid, natural_dtype
from evtok.errors import InvalidEventsError

FLOAT32 = np.dtype(np.float32)

#: Scores rows start to stop, contiguous float32 (stop - start, D), into out (stop - start,); returns how many of them
#: are invalid and the first of these, counted from start.
Kernel = Callable[[int, int, npt.NDArray[np.float32], npt.NDArray[np.float32]], tuple[int, int]]


def rows_of(x: Any, name: str, n_dims: int | None = None) -> Rows:
    """Check that `x` holds rows (n, D) that float32 holds exactly.

    Raises
    ------
    TypeError
        float64, or integers that float32 would round.
    ValueError
        Another shape.
    """
    rows = Rows(x)
    values = rows.values
    wanted = "D" if n_dims is None else n_dims
    if values.ndim != 2 or values.shape[1] == 0 or n_dims not in (None, values.shape[1]):
        raise ValueError(f"{name}: expected shape (n, {wanted}), got {values.shape}")
    check_exact(values, name)
    return rows


def check_exact(values: npt.NDArray[Any], name: str) -> None:
    """Refuse numbers that float32 would round."""
    if natural_dtype(values, name) != FLOAT32:
        raise TypeError(
            f"{name}: scores are computed in float32, which would round {values.dtype}; if that is meant, use "
            f"{name}.astype('float32')"
        )


def score_rows(
    rows: Rows, name: str, on_invalid: OnInvalid, kernel: Kernel, overflows: str, *, masked: bool = False
) -> Any:
    """Return the scores (n,) of the rows of the argument `name`, of its kind.

    `overflows` says what is wrong with an invalid row that holds neither NaN nor infinity; where `masked`, minus
    infinity is a value like others.

    Raises
    ------
    InvalidEventsError
        An invalid row, unless `on_invalid` is "sentinel".
    """
    check_on_invalid(on_invalid)
    scores = _arrays.result(len(rows.values), np.float32)
    for start, stop, piece in rows.pieces(FLOAT32):
        count, first = kernel(start, stop, piece, scores[start:stop])
        if count and on_invalid == "raise":
            raise invalid_row(name, start + first, piece[first], overflows, masked=masked)
    _backend.used_native()
    return rows.wrap(scores)


def invalid_row(
    name: str, row: int, values: npt.NDArray[Any], overflows: str, *, masked: bool = False
) -> InvalidEventsError:
    """Say what is wrong with row `row` of the argument `name`, which holds `values` (D,); see `score_rows`."""
    wrong = np.flatnonzero(~np.isfinite(values) & ~(masked & np.isneginf(values)))
    fault = f"has {values[wrong[0]]} in component {wrong[0]}" if wrong.size else overflows
    return InvalidEventsError(f'{name}: row {row} {fault}; drop such rows, or use on_invalid="sentinel"')


def parameter(values: Any, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return a finite float32 array of `shape`, contiguous; nothing is rounded.

    Raises
    ------
    TypeError
        Numbers that float32 would round.
    ValueError
        Another shape, NaN or infinity.
    """
    array = _arrays.to_numpy(values, name)
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    check_exact(array, name)
    with _core.FloatEnvironment():
        exact = np.require(array, np.float32, ("C", "A"))
    if not np.isfinite(exact).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return exact
