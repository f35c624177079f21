"""Drop-ins for `faiss.IndexFlatL2` and `faiss.IndexFlatIP`: exact search, by evtok's kernel."""

from __future__ import annotations

import threading
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evtok import _core
from evtok.compat._finite_codes import FiniteCodes
from evtok.compat._peer import peer

METRIC_INNER_PRODUCT = 0
METRIC_L2 = 1
Float32 = 0  # FAISS's numeric_type; flat indices take no other

_LARGEST = np.float32(np.finfo(np.float32).max)

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]


class _IndexFlat:
    """What both indices share. Searching from many threads is safe, also while another thread adds."""

    __slots__ = ("_blocks", "_codes", "_d", "_lock")

    _metric: Literal["l2", "dot"]
    metric_type: int

    def __init__(self, d: int = 0, /) -> None:
        if not isinstance(d, int):
            raise TypeError(f"d: expected an int, got {type(d).__name__}")
        if d < 0:
            raise ValueError(f"d: expected at least 0, got {d}")
        self._d = d
        self._blocks: tuple[Float32Array, ...] = ()
        self._codes: FiniteCodes | None = None  # prepared by the first search after a change
        self._lock = threading.Lock()

    @property
    def d(self) -> int:
        """Number of features."""
        return self._d

    @property
    def ntotal(self) -> int:
        """Number of vectors in the index."""
        return sum(map(len, self._blocks))

    @property
    def is_trained(self) -> bool:
        """True: a flat index needs no training."""
        return True

    def train(self, x: Any, *, numeric_type: int = Float32, xq_train: Any = None) -> None:
        """Do nothing: a flat index needs no training."""

    def add(self, x: Any, numeric_type: int = Float32) -> None:
        """Append vectors, numbered from `ntotal` on.

        Parameters
        ----------
        x : real array (n, d)
            Converted to float32 and copied.
        numeric_type : int
            Float32, that is 0.

        Raises
        ------
        AssertionError
            Another number of features.
        """
        block = self._rows(x, numeric_type)
        with self._lock:
            self._blocks = (*self._blocks, np.array(block))
            self._codes = None

    def reset(self) -> None:
        """Remove all vectors."""
        with self._lock:
            self._blocks, self._codes = (), None

    def search(
        self,
        x: Any,
        k: int,
        *,
        params: Any = None,
        D: Float32Array | None = None,
        I: Int64Array | None = None,
        numeric_type: int = Float32,
    ) -> tuple[Float32Array, Int64Array]:
        """Find the k nearest vectors of each row, nearest first.

        Parameters
        ----------
        x : real array (n, d)
            Converted to float32.
        k : int
        params : faiss.SearchParameters, optional
            Goes to FAISS, over a copy of this index.
        D, I : float32 and int64 arrays (n, k), optional
            Written and returned.
        numeric_type : int
            Float32, that is 0.

        Returns
        -------
        D : float32 array (n, k)
            Squared distances, or inner products.
        I : int64 array (n, k)
            Ties in the order of the index. -1, with the largest float32 as distance (for inner products the lowest),
            where there are no more vectors, for rows that hold NaN or infinities, and for distances that overflow.

        Raises
        ------
        AssertionError
            Another number of features, `k` below 1, or outputs of another shape.
        """
        rows = self._rows(x, numeric_type)
        if not isinstance(k, int):
            raise TypeError(f"k: expected an int, got {type(k).__name__}")
        if k < 1:
            raise AssertionError(f"k: expected at least 1, got {k}")
        distances = _output(D, "D", (len(rows), k), np.dtype(np.float32))
        labels = _output(I, "I", (len(rows), k), np.dtype(np.int64))
        if params is not None:
            index = getattr(peer("faiss", "faiss-cpu"), type(self).__name__)(self._d)
            index.add(self.reconstruct_n())
            index.search(rows, k, params=params, D=distances, I=labels)
            return distances, labels
        codes = self._prepared()
        wanted = max(1, min(k, codes.n_codes))
        ids, scores = codes.nearest(rows, wanted)
        padding = _LARGEST if self._metric == "l2" else -_LARGEST
        found = (ids >= 0) & ((scores < padding) if self._metric == "l2" else (scores > padding))
        distances[:, :wanted] = np.where(found, scores, padding)
        distances[:, wanted:] = padding
        labels[:, :wanted] = np.where(found, ids, -1)
        labels[:, wanted:] = -1
        return distances, labels

    def assign(self, x: Any, k: int, labels: Int64Array | None = None) -> Int64Array:
        """Return the labels of `search` alone."""
        return self.search(x, k, I=labels)[1]

    def reconstruct(self, key: int, x: Float32Array | None = None) -> Float32Array:
        """Return vector `key`, float32 (d,), in `x` if it is given.

        Raises
        ------
        RuntimeError
            `key` is not in the index.
        """
        if not isinstance(key, int):
            raise TypeError(f"key: expected an int, got {type(key).__name__}")
        if not 0 <= key < self.ntotal:
            raise RuntimeError(f"key: expected from 0 to {self.ntotal - 1} (ntotal - 1), got {key}")
        out = _output(x, "x", (self._d,), np.dtype(np.float32))
        out[:] = self._vectors()[key]
        return out

    def reconstruct_n(self, n0: int = 0, ni: int = -1, x: Float32Array | None = None) -> Float32Array:
        """Return the `ni` vectors from `n0` on (-1: all that follow), float32 (ni, d), in `x` if it is given.

        Raises
        ------
        RuntimeError
            They are not all in the index.
        ValueError
            `ni` is below -1, or -1 with `n0` above `ntotal`.
        """
        count = self.ntotal - n0 if ni == -1 else ni
        if count < 0:
            raise ValueError(f"ni: expected at least 0, or -1 with n0 up to ntotal, got n0 {n0}, ni {ni}")
        if count and not (n0 >= 0 and n0 + count <= self.ntotal):
            raise RuntimeError(
                f"n0, ni: expected vectors within 0 to {self.ntotal - 1} (ntotal - 1), got {n0} to {n0 + count - 1}"
            )
        out = _output(x, "x", (count, self._d), np.dtype(np.float32))
        out[:] = self._vectors()[n0 : n0 + count]
        return out

    def __getstate__(self) -> tuple[int, Float32Array]:
        return self._d, self.reconstruct_n()

    def __setstate__(self, state: tuple[int, Float32Array]) -> None:
        _IndexFlat.__init__(self, state[0])
        self.add(state[1])

    def _rows(self, x: Any, numeric_type: int) -> Float32Array:
        if numeric_type != Float32:
            raise RuntimeError(
                f"numeric_type: a flat index takes Float32 ({Float32}) alone, got {numeric_type}"
            )
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"x: expected real numbers, got dtype {array.dtype}")
        if array.ndim != 2:
            raise ValueError(f"x: expected shape (n, {self._d}), got {array.shape}")
        if array.shape[1] != self._d:
            raise AssertionError(f"x: expected {self._d} features (d of the index), got {array.shape[1]}")
        # What overflows is found as -1; a caller's rounding mode reaches no vector.
        with np.errstate(over="ignore"), _core.FloatEnvironment():
            return np.ascontiguousarray(array, np.float32)

    def _vectors(self) -> Float32Array:
        with self._lock:
            return self._joined()

    def _joined(self) -> Float32Array:
        """Return all vectors (ntotal, d) in one block; the lock is held."""
        if len(self._blocks) != 1:
            self._blocks = (np.concatenate([np.empty((0, self._d), np.float32), *self._blocks]),)
        return self._blocks[0]

    def _prepared(self) -> FiniteCodes:
        with self._lock:
            if self._codes is None:
                self._codes = FiniteCodes(self._joined(), np.float32, self._metric)
            return self._codes


class IndexFlatL2(_IndexFlat):
    """Exact search by squared Euclidean distance, as `faiss.IndexFlatL2`.

    Parameters
    ----------
    d : int
        Number of features.
    """

    __slots__ = ()
    _metric = "l2"
    metric_type = METRIC_L2


class IndexFlatIP(_IndexFlat):
    """Exact search by inner product, as `faiss.IndexFlatIP`.

    Parameters
    ----------
    d : int
        Number of features.
    """

    __slots__ = ()
    _metric = "dot"
    metric_type = METRIC_INNER_PRODUCT


def _output(
    out: npt.NDArray[Any] | None, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Return `out` after checking it, or a new array."""
    if out is None:
        return np.empty(shape, dtype)
    if out.shape != shape:
        raise AssertionError(f"{name}: expected shape {shape}, got {out.shape}")
    if out.dtype != dtype:
        raise TypeError(f"{name}: expected dtype {dtype}, got {out.dtype}")
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise ValueError(f"{name}: expected a C-contiguous writable array")
    return out
