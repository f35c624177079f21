"""A warning about codes that are equal: a mistake in most codebooks, and one that no lookup shows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.errors import EqualCodesWarning

#: Numbers that are looked at together, so that memory stays small beside that of a large codebook.
_AT_ONCE = 1 << 17


def warn_of_equal_codes(vectors: npt.NDArray[Any], stacklevel: int) -> None:
    """Warn when some of `vectors` (K, D) are equal, -0 and 0 included; `stacklevel` is that of the caller."""
    count, first, second = equal_codes(vectors)
    if count:
        warnings.warn(
            f"vectors: code {second} equals code {first}, and {count} in all equal one before them: these are never "
            "the nearest, because the lowest index wins. Remove them, or train with dead codes replaced",
            EqualCodesWarning,
            stacklevel=stacklevel + 1,
        )


def equal_codes(vectors: npt.NDArray[Any]) -> tuple[int, int, int]:
    """Count the codes that equal one before them, and return the first such pair, (0, -1, -1) if there is none."""
    if len(vectors) == 1:
        return 0, -1, -1
    step = max(1, _AT_ONCE // vectors.shape[1])
    keys = np.concatenate([_keys(vectors[k : k + step]) for k in range(0, len(vectors), step)])
    order = np.argsort(keys, kind="stable")
    candidates = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    before, after = order[candidates], order[candidates + 1]
    equal = (vectors[before] == vectors[after]).all(axis=1)
    if not equal.any():
        return 0, -1, -1
    one = int(np.flatnonzero(equal)[after[equal].argmin()])
    return int(equal.sum()), int(before[one]), int(after[one])


def _keys(vectors: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Return a number for each vector: the same for equal ones, and another for others but for a chance of 2^-64."""
    words = np.uint32 if vectors.dtype.itemsize == 4 else np.uint64
    bits = (vectors + vectors.dtype.type(0)).view(words)  # -0 becomes 0
    factors = np.random.default_rng(0).integers(
        0, 2**64, bits.shape[1], np.uint64, endpoint=False
    ) | np.uint64(1)
    mixed = bits * factors  # modulo 2^64, one factor for each dimension
    mixed ^= mixed >> np.uint64(29)
    keys: npt.NDArray[np.uint64] = np.add.reduce(mixed * factors, axis=1, dtype=np.uint64)
    return keys
