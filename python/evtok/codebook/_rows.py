"""Vectors (..., D) of any package as rows (n, D) that a kernel can trust, and results in the shape of the input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _core
from evtok.codebook._ragged import lists_of

Array = npt.NDArray[Any]
OnInvalid = Literal["raise", "sentinel"]

# Rows that are not contiguous, or of another dtype, are copied in pieces of this many bytes, so that no call needs a
# second copy of all of x.
PIECE_BYTES = 8 << 20


def check_on_invalid(on_invalid: str) -> None:
    """Refuse another word."""
    if on_invalid not in ("raise", "sentinel"):
        raise ValueError(f'on_invalid: expected "raise" or "sentinel", got {on_invalid!r}')


def checked_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Check that `dtype` is one that kernels compute in."""
    wanted = np.dtype(dtype)
    if wanted not in (np.float32, np.float64):
        raise TypeError(f"dtype: expected float32 or float64, got {wanted}")
    return wanted


def natural_dtype(values: Array, name: str) -> np.dtype[Any]:
    """Return the narrowest of float32 and float64 that holds every value of `values` exactly."""
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind == "f" and size > 8:
        raise TypeError(f"{name}: {values.dtype} is wider than float64; use {name}.astype('float64')")
    if kind != "f" and size == 8 and values.size and max(-int(values.min()), int(values.max())) > 2**53:
        raise TypeError(f"{name}: expected integers up to 2**53 in size, which float64 holds exactly")
    return np.dtype(np.float32 if (size <= 4 if kind == "f" else size <= 2) else np.float64)


def common_dtype(x: Array, codes: Array, dtype: npt.DTypeLike | None) -> np.dtype[Any]:
    """Return the dtype in which x and codes are computed; nothing is rounded unless `dtype` asks for it.

    Raises
    ------
    TypeError
        One of them is float32 and the other needs float64.
    """
    if dtype is not None:
        return checked_dtype(dtype)
    of_x, of_codes = natural_dtype(x, "x"), natural_dtype(codes, "codebook")
    if of_x == of_codes:
        return of_x
    narrow = x if of_x == np.float32 else codes
    if narrow.dtype.newbyteorder("=") != np.float32:  # integers and float16 are exact in either
        return np.dtype(np.float64)
    raise TypeError(
        f"x, codebook: expected one dtype, got {x.dtype} and {codes.dtype}; convert one of them, or say in which dtype "
        'to compute: dtype="float32" or dtype="float64"'
    )


def refuse_row(shape: tuple[int, ...], row: int, reason: str) -> NoReturn:
    """Raise ValueError: row `row` of vectors of this shape (without D) is invalid, for this reason."""
    place = ""
    if len(shape) > 1:
        place = f" (index {tuple(int(i) for i in np.unravel_index(row, shape))})"
    raise ValueError(f'x: row {row}{place} {reason}; drop or mask such rows, or use on_invalid="sentinel"')


class Rows:
    """Vectors (..., D), seen as rows (n, D) without a copy where their memory allows.

    Parameters
    ----------
    x : array (..., D)
        NumPy, torch on the CPU, or awkward with lists of D numbers innermost.

    Attributes
    ----------
    values : array (..., D)
        As stored: any layout, any dtype of real numbers.
    shape : tuple of int
        Of `values` without D.
    """

    def __init__(self, x: Any) -> None:
        self._x = x
        self._lists = lists_of(x, 1, "x")
        self.values = _arrays.to_numpy(x if self._lists is None else self._lists.content, "x")
        if self.values.ndim < 1:
            raise ValueError("x: expected shape (..., D), got a single number")
        self.shape = self.values.shape[:-1]

    def check_dims(self, n_dims: int) -> None:
        """Refuse vectors of another number of dimensions."""
        if self._lists is not None and 0 in self.shape:  # lists without a vector do not know its length
            self.values = np.empty((*self.shape, n_dims), self.values.dtype)
        if self.values.shape[-1] != n_dims:
            raise ValueError(
                f"x: expected shape (..., {n_dims}) as the codebook has {n_dims} dimensions, got {self.values.shape}"
            )

    def flags(self, mask: Any | None) -> npt.NDArray[np.uint8] | None:
        """Return a mask (...) of these rows as bytes (n,); None if there is none."""
        if mask is None:
            return None
        if self._lists is not None:
            lists = lists_of(mask, 0, "mask")
            if lists is None or not lists.same_as(self._lists):
                raise ValueError(
                    "mask: expected an awkward array with one boolean for each vector of x, in the same lists"
                )
            mask = lists.content
        flags = _arrays.to_numpy(mask, "mask")
        if (flags.dtype.kind != "b" and flags.size) or flags.shape != self.shape:
            raise ValueError(
                f"mask: expected booleans of shape {self.shape}, got {flags.dtype} {flags.shape}"
            )
        return np.ascontiguousarray(flags, np.bool_).reshape(-1).view(np.uint8)

    def pieces(self, dtype: np.dtype[Any], n_bytes: int | None = None) -> Iterator[tuple[int, int, Array]]:
        """Yield (start, stop, rows start to stop) as contiguous `dtype`: the whole at once, or copies of `n_bytes`."""
        n_dims = self.values.shape[-1]
        n = self.values.size // n_dims
        flags = self.values.flags
        if self.values.dtype == dtype and flags.c_contiguous and flags.aligned:
            yield 0, n, self.values.reshape(n, n_dims)
            return
        at_once = max(1, (n_bytes or PIECE_BYTES) // max(1, n_dims * dtype.itemsize))
        for start in range(0, n, at_once):
            stop = min(n, start + at_once)
            piece = (
                self.values[np.unravel_index(np.arange(start, stop), self.shape)]
                if self.shape
                else self.values[None]
            )
            # An overflow is an infinity, reported as an invalid row; a caller's rounding mode must not reach them.
            with np.errstate(over="ignore"), _core.FloatEnvironment():
                converted = np.require(piece, dtype, ("C", "A"))
            yield start, stop, converted

    def refuse(self, row: int, reason: str) -> NoReturn:
        """Raise ValueError: row `row` is invalid, for this reason."""
        refuse_row(self.shape, row, reason)

    def wrap(self, result: Array) -> Any:
        """Return a result with one entry (or k entries) a row as an array of the kind of the input."""
        if self._lists is not None:
            return self._lists.put_back(result)
        if result.ndim == 0 and _arrays.kind(self._x) != "torch":
            return result[()]
        return _arrays.like(result, self._x)


def checked_ids(ids: Any, n_codes: int, name: str = "ids") -> Array:
    """View `ids` as a NumPy array of integers from 0 to ``n_codes - 1``.

    Raises
    ------
    TypeError
        Not integers.
    ValueError
        An id outside the range.
    """
    codes = _arrays.to_numpy(ids, name)
    if codes.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got {codes.dtype}")
    if codes.size:
        low, high = int(codes.min()), int(codes.max())
        if low < 0 or high >= n_codes:
            raise ValueError(
                f"{name}: expected 0 to {n_codes - 1}, got {low} to {high}; -1 marks a vector that was masked or "
                "invalid: leave it out"
            )
    return codes


def checked_out(
    out: Any, shape: tuple[int, ...], inputs: Mapping[str, Array | None]
) -> npt.NDArray[np.int32]:
    """Check an array that the caller gives for the ids; `inputs` must not share its memory."""
    if not isinstance(out, np.ndarray) or out.dtype != np.int32 or out.shape != shape:
        got = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"out: expected an int32 NumPy array of shape {shape} (ids are int32), got {got}")
    if not (out.flags.c_contiguous and out.flags.writeable and out.flags.aligned):
        raise ValueError("out: expected a contiguous writable array")
    for name, values in inputs.items():
        if values is not None and np.may_share_memory(out, values):
            raise ValueError(f"out: shares memory with {name}; give it memory of its own")
    return out
