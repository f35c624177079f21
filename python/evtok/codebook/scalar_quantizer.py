"""What FSQ and LFQ share: every component has levels of its own, and ids are computed in integers.

The levels of a component are thresholds on it, so an id needs comparisons alone. The contract is in
``cpp/include/evtok/scalar_quantizer.hpp``; the readable definitions are in `evtok.reference_quantizers`.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _backend, _core
from evtok.codebook import _rows
from evtok.codebook._ragged import lists_of
from evtok.tokenizers import artefact

# Ids decoded at a time: their digits stay in cache.
_PIECE = 1 << 16

MAX_CODES = 1 << 31


class ScalarQuantizer:
    """Base of `FSQ` and `LFQ`, which say what their levels are."""

    KIND: ClassVar[str]

    #: A value passes a threshold when it is above it (True), or at it too (False).
    RIGHT: ClassVar[bool]

    @property
    def n_codes(self) -> int:
        """Number of ids; every id is below it."""
        count = 1
        for n_levels in self.level_counts:
            count *= n_levels
        return count

    @property
    def level_counts(self) -> tuple[int, ...]:
        """Levels of each component."""
        raise NotImplementedError

    @property
    def strides(self) -> tuple[int, ...]:
        """Factor of each component's digit in the id."""
        raise NotImplementedError

    @property
    def fingerprint(self) -> str:
        """The sha256 (hex) of everything that decides the ids."""
        return artefact.fingerprint(self._config(), self._tensors())

    def thresholds(self, dtype: npt.DTypeLike = np.float32) -> tuple[npt.NDArray[Any], ...]:
        """Thresholds of each component in float32 or float64; its digit is the number of them that it passes."""
        raise NotImplementedError

    def level_values(self) -> tuple[npt.NDArray[np.float64], ...]:
        """Return the value that each level of each component decodes to."""
        raise NotImplementedError

    def encode(
        self,
        x: Any,
        *,
        mask: Any | None = None,
        on_invalid: _rows.OnInvalid = "raise",
        threads: int | None = None,
    ) -> Any:
        """Return the id of each vector.

        Parameters
        ----------
        x : array of real numbers (..., D), any layout
            NumPy array, torch tensor on the CPU, or awkward array with lists of D numbers innermost. float16 and
            bfloat16 are taken as float32, integers as float32 or float64, all exactly.
        mask : bool array (...), optional
            False for vectors that are padding: their id is -1, and what they hold is not looked at.
        on_invalid : {"raise", "sentinel"}
            What to do with a vector that has a NaN or infinite component: refuse the call, or give it the id -1.
        threads : int, optional
            Threads to use; by default `EVTOK_NUM_THREADS` or the CPUs that this process may use.

        Returns
        -------
        int32 array (...), of the kind of x
            From 0 to ``n_codes - 1``, or -1.

        Raises
        ------
        TypeError
            `x` holds no real numbers, or float128, or integers above 2**53 in size.
        ValueError
            Shapes that do not fit, a mask of another dtype, or, with "raise", a vector that is not finite: the message
            names the first.
        """
        with _core.FloatEnvironment():  # conversions too follow the contract's mode, not a caller's
            return self._encode(x, mask, on_invalid, threads or 0)

    def decode(self, ids: Any, *, dtype: npt.DTypeLike = np.float32) -> Any:
        """Return the vector of each id.

        Parameters
        ----------
        ids : integer array (...)
            NumPy array or torch tensor on the CPU.
        dtype : float32 or float64
            Of the result; each value is rounded to it once.

        Returns
        -------
        array (..., D) of `dtype`, of the kind of ids

        Raises
        ------
        TypeError
            `ids` are not integers, or another `dtype`.
        ValueError
            An id below 0 or not below `n_codes`. -1 stands for a vector that was masked or invalid,
            so there is nothing to return for it.
        """
        wanted = _rows.checked_dtype(dtype)
        lists = lists_of(ids, 0, "ids")
        codes = _rows.checked_ids(ids if lists is None else lists.content, self.n_codes)
        with _core.FloatEnvironment():
            values = [levels.astype(wanted) for levels in self.level_values()]
        vectors = _arrays.result((*codes.shape, len(values)), wanted)
        flat_ids, flat = codes.reshape(-1), vectors.reshape(codes.size, len(values))
        for start in range(0, codes.size, _PIECE):
            piece = flat_ids[start : start + _PIECE].astype(np.int64)
            for j, (stride, levels) in enumerate(zip(self.strides, values, strict=True)):
                flat[start : start + _PIECE, j] = levels[piece // stride % len(levels)]
        return _arrays.like(vectors, ids) if lists is None else lists.put_back(vectors)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the quantizer as a new folder, whole or not at all: `config.json` and `tensors.safetensors`.

        Raises
        ------
        ArtefactError
            The folder exists and holds something else.
        """
        artefact.save(folder, self._config(), self._tensors())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read a quantizer that `save` wrote.

        Raises
        ------
        ArtefactError
            Missing, altered, hostile, of another kind, or with thresholds that are not those of its levels.
        """
        return artefact.load_as(folder, cls.KIND, lambda config, _: cls._from_config(config))

    def _config(self) -> dict[str, Any]:
        raise NotImplementedError

    def _tensors(self) -> dict[str, npt.NDArray[Any]]:
        raise NotImplementedError

    @classmethod
    def _from_config(cls, config: dict[str, Any]) -> Self:
        raise NotImplementedError

    def _encode(self, x: Any, mask: Any | None, on_invalid: str, threads: int) -> Any:
        _rows.check_on_invalid(on_invalid)
        rows = _rows.Rows(x)
        rows.check_dims(len(self.level_counts))
        dtype = _rows.natural_dtype(rows.values, "x")
        kept = rows.flags(mask)
        levels = _kernel_levels(self, dtype)
        ids = _arrays.result(rows.shape, np.int32)
        flat = ids.reshape(-1)
        for start, stop, piece in rows.pieces(dtype):
            of_piece = None if kept is None else kept[start:stop]
            invalid, first = _core.scalar_ids(piece, *levels, of_piece, threads, flat[start:stop])
            if invalid and on_invalid == "raise":
                component = int(np.argmin(np.isfinite(piece[first])))
                rows.refuse(start + first, f"has {piece[first, component]} in component {component}")
        _backend.used_native()
        return rows.wrap(ids)


@lru_cache(maxsize=64)
def _kernel_levels(
    quantizer: ScalarQuantizer, dtype: np.dtype[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], npt.NDArray[np.int32], bool]:
    """Return thresholds of all components, where those of each end, the strides, and which side a threshold is on."""
    thresholds = quantizer.thresholds(dtype)
    ends = np.cumsum([len(of_one) for of_one in thresholds], dtype=np.int64)
    return np.concatenate(thresholds), ends, np.array(quantizer.strides, np.int32), quantizer.RIGHT
