"""Rows to learn from, given as one array or as many, read as often as a method needs and always in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays
from evtok.codebook import _rows
from evtok.codebook.unit import normalised

Array = npt.NDArray[Any]

# What one piece holds at most: enough to keep every thread busy, and what is computed of it stays small.
_ROWS_AT_ONCE = 1 << 18
_BYTES_AT_ONCE = 32 << 20


class Chunks:
    """Rows (n, D) as pieces of bounded size; iterating yields (number of the first row, contiguous rows).

    Parameters
    ----------
    x : real numbers (n, D), or a source of such arrays
        An array; a list or tuple of 2-dimensional arrays; an object that can be iterated over again and again; or a
        function without arguments that returns an iterator, called once for every pass. A source may give one array
        again and again, refilled.
    unit : bool
        Normalise the rows to unit length.

    Raises
    ------
    TypeError
        A generator or another iterator, which can be read only once; arrays of different dtypes.
    ValueError
        An array that is not (n, D), or of another D than the first. The messages come while iterating.
    """

    def __init__(self, x: Any, unit: bool = False) -> None:
        self._open = arrays_of(x)
        self._unit = unit
        self.dtype: np.dtype[Any] | None = None  # of the first array
        self.n_dims = 0

    def __iter__(self) -> Iterator[tuple[int, Array]]:
        for start, rows in self._as_given():
            yield start, normalised(rows) if self._unit else rows

    def _as_given(self) -> Iterator[tuple[int, Array]]:
        first = 0
        for number, part in enumerate(self._open()):
            rows = _rows.Rows(part)
            self._check(rows.values, number)
            assert self.dtype is not None
            for start, piece in bounded_pieces(rows, self.dtype):
                yield first + start, piece
            first += len(rows.values)

    def _check(self, values: Array, number: int) -> None:
        if values.ndim != 2 or values.shape[1] == 0:
            raise ValueError(f"x: expected arrays of shape (n, D), got {values.shape} (array {number})")
        dtype = _rows.natural_dtype(values, "x")
        if self.dtype is None:
            self.dtype, self.n_dims = dtype, values.shape[1]
        if values.shape[1] != self.n_dims:
            raise ValueError(
                f"x: expected {self.n_dims} columns as in the first array, got {values.shape[1]} (array {number})"
            )
        if dtype != self.dtype:
            raise TypeError(
                f"x: expected one dtype, got {values.dtype} in array {number} where {self.dtype} came before"
            )

    def count(self) -> int:
        """Read everything once and return the number of rows.

        Raises
        ------
        ValueError
            A row holds NaN or infinity, or has no direction where one is needed; the message names the first.
        """
        n = 0
        for start, rows in self._as_given():
            finite = np.isfinite(rows).all(axis=1)
            if not finite.all():
                row = int(finite.argmin())
                raise ValueError(
                    f"x: row {start + row} holds NaN or infinity: {rows[row].tolist()}; drop such rows first"
                )
            if self._unit and np.isnan(directions := normalised(rows)[:, 0]).any():
                row = int(np.isnan(directions).argmax())
                raise ValueError(
                    f"x: row {start + row} has no direction (its norm is zero or overflows): {rows[row].tolist()}; "
                    "drop such rows first"
                )
            n = start + len(rows)
        return n

    def take(self, wanted: npt.NDArray[np.int64]) -> Array:
        """Return the rows of these numbers (m,), which must increase."""
        found = [
            rows[wanted[slice(*np.searchsorted(wanted, (start, start + len(rows))))] - start]
            for start, rows in self
        ]
        return np.concatenate(found)

    def batches(self, size: int) -> Iterator[tuple[int, Array]]:
        """Yield (number of the first row, rows), `size` rows each but the last, wherever the arrays end."""
        waiting: list[Array] = []
        n_waiting = 0
        first = 0
        for _, piece in self:
            rest = piece
            while n_waiting + len(rest) >= size:
                need = size - n_waiting
                yield first, np.concatenate([*waiting, rest[:need]]) if waiting else rest[:need]
                first += size
                waiting, n_waiting, rest = [], 0, rest[need:]
            if len(rest):
                waiting.append(rest.copy())  # a source may refill the array that it gave
                n_waiting += len(rest)
        if waiting:
            yield first, np.concatenate(waiting)


def bounded_pieces(rows: _rows.Rows, dtype: np.dtype[Any]) -> Iterator[tuple[int, Array]]:
    """Yield (number of the first row, rows (m, D) as contiguous `dtype`) of bounded size."""
    row_bytes = max(1, rows.values.shape[-1] * dtype.itemsize)
    at_once = max(1, min(_ROWS_AT_ONCE, _BYTES_AT_ONCE // row_bytes))
    for begin, end, values in rows.pieces(dtype, at_once * row_bytes):
        for start in range(begin, end, at_once):
            yield start, values[start - begin : min(end, start + at_once) - begin]


def arrays_of(x: Any) -> Callable[[], Iterable[Any]]:
    """Return a function that gives the arrays of `x` anew each time it is called.

    Raises
    ------
    TypeError
        `x` is an iterator, which can be read only once, or nothing that holds arrays.
    """
    if callable(x) and not hasattr(x, "shape"):
        return lambda: _once(x())
    if hasattr(x, "shape") or _arrays.kind(x) == "awkward":
        return lambda: (x,)
    if isinstance(x, (list, tuple)):
        if x and all(getattr(part, "ndim", 0) == 2 for part in x):
            return lambda: x
        values = _arrays.to_numpy(x, "x")
        return lambda: (values,)
    if isinstance(x, Iterator):
        raise TypeError(
            "x: an iterator can be read only once, and fitting reads the rows again and again; give an array, a list "
            "of arrays, or a function that returns a new iterator"
        )
    if isinstance(x, Iterable):
        return lambda: x
    raise TypeError(f"x: expected an array (n, D) or a source of such arrays, got {type(x).__name__}")


def _once(parts: Any) -> Iterable[Any]:
    """Check what a function of the caller returned."""
    if hasattr(parts, "shape"):
        return (parts,)
    if isinstance(parts, Iterable):
        return parts
    raise TypeError(f"x: expected a function that returns arrays, got {type(parts).__name__} from it")
