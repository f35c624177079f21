"""In which order codes become boxes on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

LEAF, BRANCH = 32, 32 * 32  # codes, as cuda/nearest.cuh has them


def code_order(codes: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Return an order (K,) of codes (K, D) in which each run of 32, and each of 1024, lies near together.

    It is that of a k-d tree: a range is halved where it spreads most, at a multiple of what it is made of. It decides
    how fast a search is, never what it finds.
    """
    order = np.arange(len(codes))
    ranges = [(0, len(codes))]
    while ranges:
        begin, end = ranges.pop()
        n = end - begin
        if n <= LEAF:
            continue
        unit = BRANCH if n > BRANCH else LEAF
        middle = -(-n // unit) // 2 * unit
        part = order[begin:end]
        values = codes[part].astype(np.float64)
        widest = values[:, int(values.var(axis=0).argmax())]
        order[begin:end] = part[np.argpartition(widest, middle)]
        ranges += [(begin, begin + middle), (begin + middle, end)]
    return order.astype(np.int32)
