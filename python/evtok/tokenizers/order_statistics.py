"""Exact order statistics of a stream of values: minimum, maximum, quantiles, equal-frequency edges.

The values are read in passes (two for float32, four for float64) and counted by 16-bit digits of sortable
keys, see ``order_statistics.hpp``. So the answer is that of sorting everything, in bounded memory, and it
cannot depend on chunks, on the order of files, or on threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _core
from evtok.errors import InvalidEventsError

Ranks = Callable[[int], Iterable[int]]

_DIGITS = 1 << 16

#: Tables of 512 KiB that one feature holds during a pass: 64 MiB.
MAX_TABLES = 128


class OrderStatistics:
    """The values at wanted ranks among all values of one feature, found in passes over the data.

    A pass is `begin_pass`, any number of `count` calls that together give every value once, and `end_pass`;
    passes are made until `done`. `fit` does that for many features at once.

    Parameters
    ----------
    dtype : float32 or float64
        The dtype of the column. float64 also takes integers, which must be exact in it (up to 2**53 in size).
    valid_range : (lowest, highest)
        Closed range of values that count, as from `Transform.valid_range`. Others, and NaN, are only
        reported.
    ranks : function of int to ints
        Given n, the number of values counted, the wanted ranks, 0 for the smallest to n - 1; not called if n
        is 0.
    skip_zeros : bool
        Leave exact zeros out of the counts.
    threads : int, optional
        Threads of one `count` call.

    Notes
    -----
    Memory is at most 64 MiB during a pass and 96 MiB at its end. Where more than 128 groups of values must be
    told apart, more passes are made. An instance serves one thread at a time. -0 counts as +0.
    """

    def __init__(
        self,
        dtype: npt.DTypeLike,
        valid_range: tuple[float, float],
        ranks: Ranks,
        *,
        skip_zeros: bool = False,
        threads: int | None = None,
    ) -> None:
        self._dtype = np.dtype(dtype)
        if self._dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise TypeError(f"dtype: expected float32 or float64, got {self._dtype}")
        self._n_digits = self._dtype.itemsize // 2
        self._lowest, self._highest = valid_range
        self._wanted = ranks
        self._skip_zeros = skip_zeros
        self._threads = threads or 0
        self._n = -1  # until the first pass has ended
        self._n_invalid = self._n_zeros = 0
        # For each wanted rank: how many digits of its key are known, these digits, how many values share
        # them, and its rank among those.
        self._ranks = self._rest = self._population = np.zeros(0, np.int64)
        self._known = np.zeros(0, np.int64)
        self._prefix = np.zeros(0, np.uint64)
        self._tables: npt.NDArray[np.uint64] | None = None

    # ---- passes
    # -----------------------------------------------------------------------------------------------

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return self._dtype

    @property
    def done(self) -> bool:
        """True when no further pass is needed."""
        return self._n >= 0 and bool(np.all(self._known == self._n_digits))

    def begin_pass(self) -> None:
        """Start a pass over all data."""
        if self._n < 0:
            self._depth, self._batch = 0, np.zeros(1, np.uint64)
        else:
            self._depth = int(self._known.min(initial=self._n_digits))
            self._batch = np.unique(self._prefix[self._known == self._depth])[:MAX_TABLES]
        self._make_tables()

    def _make_tables(self) -> None:
        per_thread = len(self._batch)
        n_tables = max(1, min(self._threads or _core.default_threads(), MAX_TABLES // max(1, per_thread)))
        self._tables = np.zeros((n_tables, per_thread, _DIGITS), np.uint64)
        self._skipped = np.zeros((n_tables, 2), np.uint64)

    # ---- parts of a pass that are counted elsewhere
    # -----------------------------------------------------------------------------------------------

    @property
    def sought(self) -> tuple[int, list[int]]:
        """Of the pass that was begun: how many digits are known, and the prefixes whose next digit is counted."""
        return self._depth, [int(prefix) for prefix in self._batch]

    @classmethod
    def of_part(
        cls,
        dtype: npt.DTypeLike,
        valid_range: tuple[float, float],
        depth: int,
        prefixes: Sequence[int],
        *,
        skip_zeros: bool = False,
        threads: int | None = None,
    ) -> Self:
        """Begin a part of a pass of another one, whose `sought` are `depth` and `prefixes`: `count`, then `part`."""
        one = cls(dtype, valid_range, lambda n: (), skip_zeros=skip_zeros, threads=threads)
        one._depth, one._batch = depth, np.array(prefixes, np.uint64)
        one._make_tables()
        return one

    def part(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint64], int, int]:
        """Return what was counted since `begin_pass` or `of_part`.

        Returns
        -------
        places : uint32 array (k,)
            Increasing: prefix and digit, as ``prefix index << 16 | digit``, of the counts that are not 0.
        numbers : uint64 array (k,)
            These counts.
        invalid, zeros : int
            Values that were left out.
        """
        assert self._tables is not None
        counts = self._tables.sum(axis=0, dtype=np.uint64).reshape(-1)
        places = np.flatnonzero(counts)
        invalid, zeros = (int(total) for total in self._skipped.sum(axis=0))
        return places.astype(np.uint32), counts[places], invalid, zeros

    def require_part(self, places: npt.NDArray[np.uint32], numbers: npt.NDArray[np.uint64]) -> None:
        """Refuse what cannot be of this pass; raises ValueError."""
        size = len(self._batch) * _DIGITS
        if places.shape != numbers.shape or (places[1:] <= places[:-1]).any() or (places >= size).any():
            raise ValueError(f"places: expected increasing places below {size}, and a number for each")

    def add_part(
        self, places: npt.NDArray[np.uint32], numbers: npt.NDArray[np.uint64], invalid: int, zeros: int
    ) -> None:
        """Add what another one's `part` returned; raises ValueError for what cannot be of this pass."""
        if self._tables is None:
            raise ValueError("add_part: call begin_pass first")
        self.require_part(places, numbers)
        self._tables[0].reshape(-1)[places] += numbers
        self._skipped[0] += np.array([invalid, zeros], np.uint64)

    def count(self, values: Any) -> None:
        """Count one part of the data.

        Parameters
        ----------
        values : array (m,)
            Of the dtype given at construction (any layout), or integers if that is float64.

        Raises
        ------
        TypeError
            Another dtype, or integers that float64 does not hold exactly.
        """
        if self._tables is None:
            raise ValueError("count: call begin_pass first")
        column = _arrays.column(values, "values")
        if column.dtype != self._dtype:
            column = self._from_integers(column)
        if not self.done:
            _core.count_digits(
                column,
                self._lowest,
                self._highest,
                self._skip_zeros,
                self._depth,
                self._batch,
                self._threads,
                self._tables,
                self._skipped,
            )

    def end_pass(self) -> bool:
        """End the pass; returns `done`.

        Raises
        ------
        InvalidEventsError
            This pass saw other values than the earlier ones.
        """
        if self._tables is None:
            raise ValueError("end_pass: call begin_pass first")
        tables = self._tables.view(np.int64)
        counts = tables[0] if len(tables) == 1 else tables.sum(axis=0)
        self._tables = None
        if self.done:
            return True
        if self._n < 0:
            self._start(int(counts.sum()))
        for prefix, digits in zip(self._batch, counts, strict=True):
            self._resolve((self._known == self._depth) & (self._prefix == prefix), digits)
        return self.done

    def _start(self, n: int) -> None:
        self._n = n
        self._n_invalid, self._n_zeros = (int(total) for total in self._skipped.sum(axis=0))
        self._ranks = np.unique(np.fromiter(self._wanted(n), np.int64)) if n else np.zeros(0, np.int64)
        if n and self._ranks.size and not 0 <= self._ranks[0] <= self._ranks[-1] < n:
            raise ValueError(f"ranks: expected 0 to {n - 1}, got {self._ranks[0]} to {self._ranks[-1]}")
        self._rest = self._ranks.copy()
        self._population = np.full(len(self._ranks), n)
        self._known = np.zeros(len(self._ranks), np.int64)
        self._prefix = np.zeros(len(self._ranks), np.uint64)

    def _resolve(self, group: npt.NDArray[np.bool_], digits: npt.NDArray[np.int64]) -> None:
        """Find the next digit of the wanted ranks in `group`, which share a prefix with counts `digits`."""
        if not group.any():
            return
        cumulative = np.cumsum(digits)
        if cumulative[-1] != self._population[group][0]:
            raise InvalidEventsError(
                f"a later pass over the data saw {cumulative[-1]} values where the first had seen "
                f"{self._population[group][0]}: the source must give the same events every time"
            )
        digit = np.searchsorted(cumulative, self._rest[group], side="right")
        self._rest[group] -= cumulative[digit] - digits[digit]
        self._population[group] = digits[digit]
        self._prefix[group] = (self._prefix[group] << np.uint64(16)) | digit.astype(np.uint64)
        self._known[group] += 1

    def _from_integers(self, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self._dtype != np.float64 or column.dtype.kind not in "iu":
            raise TypeError(f"values: expected {self._dtype}, got {column.dtype}")
        return _arrays.as_float(column, "values")

    # ---- results
    # ----------------------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        """Values counted: valid, and not zeros left out. Known after the first pass."""
        return self._after_first_pass(self._n)

    @property
    def n_invalid(self) -> int:
        """Values that were NaN or outside the valid range. Known after the first pass."""
        return self._after_first_pass(self._n_invalid)

    @property
    def n_zeros(self) -> int:
        """Zeros left out because of `skip_zeros`. Known after the first pass."""
        return self._after_first_pass(self._n_zeros)

    def values(self, ranks: Iterable[int]) -> npt.NDArray[Any]:
        """Return the values at `ranks` (k,), in their order, as an array (k,) of the column's dtype.

        Raises
        ------
        ValueError
            A rank that was not asked for at construction, or passes are missing.
        """
        if not self.done:
            raise ValueError("values: more passes over the data are needed")
        asked = np.fromiter(ranks, np.int64)
        place = np.searchsorted(self._ranks, asked)
        found = place < len(self._ranks)
        found[found] = self._ranks[place[found]] == asked[found]
        if not found.all():
            raise ValueError(f"ranks: {asked[~found][0]} was not asked for when the values were counted")
        return _from_keys(self._prefix[place], self._dtype)

    def _after_first_pass(self, value: int) -> int:
        if self._n < 0:
            raise ValueError("known after the first pass over the data")
        return value


def fit(
    features: Mapping[str, OrderStatistics],
    read: Callable[[], Iterable[Mapping[str, npt.NDArray[Any]]]],
    elsewhere: Callable[[Mapping[str, OrderStatistics]], None] | None = None,
) -> None:
    """Make the passes for several features together, until all are done.

    Parameters
    ----------
    features : mapping of str to OrderStatistics
        The statistics by the name of their column.
    read : function
        Called once for each pass; gives the chunks of the data, each a mapping of names to arrays (m,).
    elsewhere : function, optional
        Called instead: gives the statistics all parts of a pass that others counted (`OrderStatistics.add_part`).
    """
    while not all(feature.done for feature in features.values()):
        waiting = {name: feature for name, feature in features.items() if not feature.done}
        for feature in waiting.values():
            feature.begin_pass()
        if elsewhere is not None:
            elsewhere(waiting)
        for chunk in read() if elsewhere is None else ():
            for name, feature in waiting.items():
                feature.count(chunk[name])
        for feature in waiting.values():
            feature.end_pass()


def _from_keys(keys: npt.NDArray[np.uint64], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Inverse of the sortable key of order_statistics.hpp."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    bits = keys.astype(unsigned)
    sign = unsigned.type(1 << (8 * dtype.itemsize - 1))
    return np.where(bits & sign, bits ^ sign, ~bits).view(dtype)
