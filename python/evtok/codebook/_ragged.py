"""The ragged levels of an awkward array: taken off before a kernel, put back around its result."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays
from evtok._optional import require

Array = npt.NDArray[Any]


def lists_of(array: Any, item_depth: int, name: str) -> Lists | None:
    """Return the lists of an awkward array of items; None for an array of another package."""
    return Lists(array, item_depth, name) if _arrays.kind(array) == "awkward" else None


class Lists:
    """Lists of items, where an item is a number, or a vector of `item_depth` 1.

    Parameters
    ----------
    array : awkward array
    item_depth : int
        Dimensions of an item: 1 for vectors (their length must be one and the same), 0 for numbers.
    name : str
        Of the argument, for messages.

    Attributes
    ----------
    content : awkward array
        The items, one after the other.
    """

    def __init__(self, array: Any, item_depth: int, name: str) -> None:
        ak = require("awkward", extra="io")
        if item_depth and array.ndim > 1:
            try:
                array = ak.to_regular(array, axis=-1)
            except ValueError as error:
                raise ValueError(
                    f"{name}: expected vectors of one length in the innermost lists, got {array.type}"
                ) from error
        layout = ak.to_packed(array).layout
        self._levels: list[
            Array | int
        ] = []  # offsets of a ragged level, or the length of a regular one; outermost first
        while layout.purelist_depth > item_depth + 1:
            if isinstance(layout, ak.contents.RegularArray):
                self._levels.append(int(layout.size))
            elif isinstance(layout, (ak.contents.ListOffsetArray, ak.contents.ListArray)):
                layout = layout.to_ListOffsetArray64(True)
                self._levels.append(np.asarray(layout.offsets.data))
            elif isinstance(layout, ak.contents.NumpyArray):
                layout = layout.to_RegularArray()
                continue
            else:
                raise TypeError(f"{name}: expected lists of numbers without missing values, got {array.type}")
            layout = layout.content
        self.content = ak.Array(layout)

    def put_back(self, result: Array) -> Any:
        """Return a result with one entry an item in these lists."""
        ak = require("awkward", extra="io")
        if result.ndim == 0:
            return result[()]
        layout = ak.from_numpy(result, regulararray=True).layout
        for level in reversed(self._levels):
            if isinstance(level, int):
                layout = ak.contents.RegularArray(layout, level)
            else:
                layout = ak.contents.ListOffsetArray(ak.index.Index64(level), layout)
        return ak.Array(layout)

    def same_as(self, other: Lists) -> bool:
        """Tell whether the lists hold the same numbers of items, level by level."""
        return len(self._levels) == len(other._levels) and all(
            np.array_equal(mine, theirs) for mine, theirs in zip(self._levels, other._levels, strict=True)
        )
