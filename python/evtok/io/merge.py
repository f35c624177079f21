"""Collections of one event (jets, electrons, ...) become one ragged list, without interpreting a value.

In: for each collection its offsets, its columns or a value for all of its objects, and its type codes.
Out: merged offsets (n + 1,) int64 and merged columns (m,).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _core

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Collection:
    """One collection of a chunk of events.

    `offsets` (n_events + 1,) int64 or int32, starting at 0 and checked; `columns` maps names to an array
    (m_k,), or to a number that all of its objects share.
    """

    offsets: Array
    columns: dict[str, Array | float | int]

    @property
    def n_objects(self) -> int:
        """Objects in all events together."""
        return int(self.offsets[-1])


def merge(
    collections: Sequence[Collection], dtypes: dict[str, np.dtype[Any]], threads: int = 0
) -> tuple[npt.NDArray[np.int64], dict[str, Array]]:
    """Merge collections of the same events; in each event, the objects of the first collection come first.

    Parameters
    ----------
    collections : sequence of Collection
        All with the same number of events, and with the columns named by `dtypes`.
    dtypes : dict
        Name of each column of the result, and its dtype.
    threads : int
        0 for the default.

    Returns
    -------
    offsets : int64 (n_events + 1,)
    columns : dict of str to array (m,)
        For one collection its own arrays, not copies.
    """
    if len(collections) == 1:
        only = collections[0]
        return only.offsets.astype(np.int64, copy=False), {
            name: _whole(only.columns[name], dtype, only.n_objects) for name, dtype in dtypes.items()
        }
    n_objects = sum(collection.n_objects for collection in collections)
    merged = np.empty(len(collections[0].offsets), np.int64)
    columns = {name: np.empty(n_objects, dtype) for name, dtype in dtypes.items()}
    sources = [
        (column, [_source(collection.columns[name], column.dtype) for collection in collections])
        for name, column in columns.items()
    ]
    _core.ragged_merge([np.ascontiguousarray(c.offsets) for c in collections], merged, sources, threads)
    return merged, columns


def _whole(value: Array | float, dtype: np.dtype[Any], length: int) -> Array:
    if isinstance(value, np.ndarray):
        return value.astype(dtype, copy=False)
    return np.full(length, value, dtype) if value else np.zeros(length, dtype)


def _source(value: Array | float, dtype: np.dtype[Any]) -> Array:
    return (
        np.ascontiguousarray(value.astype(dtype, copy=False))
        if isinstance(value, np.ndarray)
        else np.array(value, dtype)
    )
