"""Lookup-free quantization (arXiv:2310.05737): one bit for each component."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from evtok.codebook import _rows
from evtok.codebook.scalar_quantizer import ScalarQuantizer

_MAX_DIMS = 31


@dataclass(frozen=True)
class LFQ(ScalarQuantizer):
    """Lookup-free quantization: a bit says whether a component is above zero, and the bits are the id.

        ``id = sum(bit[j] * 2**(D - 1 - j))``, the first component being the highest bit

    Zero, of either sign, is not above zero. A code decodes to ``scale`` where its bit is set and ``-scale`` elsewhere.

    Parameters
    ----------
    n_dims : int
        Components of a vector, D, 1 to 31: there are 2**D codes.
    scale : float
        Size of the components that `decode` returns; finite and positive.

    Raises
    ------
    TypeError
        `n_dims` is no integer, or `scale` no number.
    ValueError
        Values outside these ranges.

    Examples
    --------
    >>> lfq = LFQ(3)
    >>> lfq.encode([[0.5, -2.0, 1e-30], [0.0, -0.0, -1.0]])
    array([5, 0], dtype=int32)
    >>> lfq.decode([5])
    array([[ 1., -1.,  1.]], dtype=float32)
    """

    n_dims: int
    scale: float = 1.0

    KIND: ClassVar[str] = "lfq"
    RIGHT: ClassVar[bool] = True

    def __post_init__(self) -> None:
        try:
            n_dims = operator.index(self.n_dims)
        except TypeError as error:
            raise TypeError(f"n_dims: expected an integer, got {self.n_dims!r}") from error
        if not 1 <= n_dims <= _MAX_DIMS:
            raise ValueError(f"n_dims: expected 1 to {_MAX_DIMS}, since ids are int32, got {n_dims}")
        if isinstance(self.scale, bool) or not isinstance(self.scale, (int, float)):
            raise TypeError(f"scale: expected a number, got {self.scale!r}")
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale: expected a finite positive number, got {self.scale}")
        object.__setattr__(self, "n_dims", n_dims)
        object.__setattr__(self, "scale", float(self.scale))

    @property
    def level_counts(self) -> tuple[int, ...]:
        """Two levels for each component."""
        return (2,) * self.n_dims

    @property
    def strides(self) -> tuple[int, ...]:
        """Factor of each component's bit in the id: the first component counts slowest."""
        return tuple(1 << (self.n_dims - 1 - j) for j in range(self.n_dims))

    def thresholds(self, dtype: npt.DTypeLike = np.float32) -> tuple[npt.NDArray[Any], ...]:
        """Zero for each component, as an array (1,); a value passes it by being above it."""
        return (np.zeros(1, _rows.checked_dtype(dtype)),) * self.n_dims

    def level_values(self) -> tuple[npt.NDArray[np.float64], ...]:
        """``-scale`` and ``scale`` for each component."""
        return (np.array([-self.scale, self.scale]),) * self.n_dims

    def _config(self) -> dict[str, Any]:
        return {"kind": self.KIND, "n_dims": self.n_dims, "scale": self.scale}

    def _tensors(self) -> dict[str, npt.NDArray[Any]]:
        return {}

    @classmethod
    def _from_config(cls, config: dict[str, Any]) -> Self:
        return cls(config["n_dims"], config["scale"])
