"""Residual vector quantization: each stage takes the nearest code to what the stages before have left."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _backend, _core
from evtok.codebook import _rows
from evtok.codebook._ragged import lists_of
from evtok.codebook.codebook import Codebook
from evtok.tokenizers import artefact

_KIND = "residual-codebook"


class ResidualCodebook:
    """Residual vector quantization (RVQ): one id for each stage, the stages in order.

    The specification, for a vector x (D,) in the dtype of the codebooks:

        ``r = x; for every stage: id = nearest(r, codes); r = fl(r - codes[id])``

    with `evtok.nearest` (squared Euclidean distance, the lowest index on ties) and each difference rounded once.
    A vector decodes to the sum of its codes, added in the order of the stages, each sum rounded once. So the ids depend
    on the vector and the codes alone, not on other rows, threads or the machine.

    Parameters
    ----------
    stages : sequence of `Codebook` or of arrays (K, D), or one array (Q, K, D)
        One for each stage; the numbers of codes may differ. float16 and small integers become float32, exactly.

    Attributes
    ----------
    stages : tuple of Codebook
        Q of them. ``ResidualCodebook(quantizer.stages[:2])`` keeps the first two.

    Raises
    ------
    TypeError
        Stages of different dtypes.
    ValueError
        No stages, stages of different dimensions, one with a metric other than "l2", or one that `Codebook` refuses.

    Examples
    --------
    >>> quantizer = ResidualCodebook([[[0.0], [10.0]], [[-1.0], [0.0], [1.0]]])
    >>> quantizer.encode([[9.2], [0.1]])
    array([[1, 0],
           [0, 1]], dtype=int32)
    >>> quantizer.decode([[1, 0], [0, 1]])
    array([[9.],
           [0.]])
    """

    def __init__(self, stages: Iterable[Codebook | Any]) -> None:
        self.stages = tuple(_stage(codes, q) for q, codes in enumerate(stages))
        if not self.stages:
            raise ValueError("stages: expected at least one codebook, got none")
        for q, stage in enumerate(self.stages):
            if stage.n_dims != self.n_dims:
                raise ValueError(
                    f"stages: stage {q} has {stage.n_dims} dimensions, stage 0 has {self.n_dims}"
                )
            if stage.dtype != self.dtype:
                raise TypeError(
                    f"stages: stage {q} is {stage.dtype}, stage 0 is {self.dtype}; convert one of them"
                )

    @property
    def n_stages(self) -> int:
        """Number of stages, Q."""
        return len(self.stages)

    @property
    def n_dims(self) -> int:
        """Dimensions of a vector, D."""
        return self.stages[0].n_dims

    @property
    def n_codes(self) -> tuple[int, ...]:
        """Codes of each stage."""
        return tuple(stage.n_codes for stage in self.stages)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64: of the codes, and of the computation."""
        return self.stages[0].dtype

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 (hex) over the codes of every stage."""
        return artefact.fingerprint(self._config(), self._tensors())

    def encode(
        self,
        x: Any,
        *,
        mask: Any | None = None,
        on_invalid: _rows.OnInvalid = "raise",
        dtype: npt.DTypeLike | None = None,
        threads: int | None = None,
    ) -> Any:
        """Return the ids of each vector, one for each stage.

        Parameters
        ----------
        x : real numbers (..., D)
            NumPy array, torch tensor on the CPU, or awkward array whose innermost lists have length D; any layout.
        mask : booleans (...), optional
            False for vectors that are padding: their ids are -1, and what they hold is not looked at.
        on_invalid : "raise" or "sentinel"
            What becomes of a vector that holds NaN or infinity, or so large a number that a distance overflows in some
            stage: an error, or the id -1 in every stage.
        dtype : "float32" or "float64", optional
            Compute in this dtype, rounding x and the codes to it. By default both must have the same.
        threads : int, optional
            Threads to use; by default `EVTOK_NUM_THREADS` or the CPUs that this process may use.

        Returns
        -------
        int32 array (..., Q), of the kind of x

        Raises
        ------
        TypeError
            `x` holds no real numbers, or floats of another dtype than the codes, without `dtype`.
        ValueError
            Shapes that do not fit, or an invalid vector ("raise"): the message names the first.
        """
        with _core.FloatEnvironment():  # differences follow the contract's mode, not a caller's
            return self._encode(x, mask, on_invalid, dtype, threads or 0)

    def decode(self, ids: Any) -> Any:
        """Return the vectors (..., D) of ids (..., Q), of the kind of the ids.

        Raises
        ------
        TypeError
            The ids are not integers.
        ValueError
            Another number of stages, or an id below 0 or not below the codes of its stage; nothing wraps around.
        """
        lists = lists_of(ids, 1, "ids")
        codes = _arrays.to_numpy(ids if lists is None else lists.content, "ids")
        if codes.ndim < 1 or codes.shape[-1] != self.n_stages:
            raise ValueError(
                f"ids: expected shape (..., {self.n_stages}), one id for each stage, got {codes.shape}"
            )
        for q, stage in enumerate(self.stages):
            _rows.checked_ids(codes[..., q], stage.n_codes, f"ids of stage {q}")
        with _core.FloatEnvironment(), np.errstate(over="ignore"):
            total = self.stages[0].vectors.take(codes[..., 0], axis=0)
            for q, stage in enumerate(self.stages[1:], 1):
                np.add(total, stage.vectors.take(codes[..., q], axis=0), out=total)
        return _arrays.like(total, ids) if lists is None else lists.put_back(total)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the stages as a new folder, whole or not at all: `config.json` and `tensors.safetensors`.

        Raises
        ------
        ArtefactError
            The folder exists and holds something else.
        """
        artefact.save(folder, self._config(), self._tensors())

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read stages that `save` wrote; nothing in the folder is executed.

        Raises
        ------
        ArtefactError
            Not a residual codebook, changed since it was written, or of another version.
        """
        return artefact.load_as(
            folder, _KIND, lambda _, tensors: cls(tensors[_tensor_name(q)] for q in range(len(tensors)))
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.stages,))

    def __eq__(self, other: object) -> bool:
        return self.stages == other.stages if isinstance(other, ResidualCodebook) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        counts = ", ".join(str(n) for n in self.n_codes)
        return f"ResidualCodebook(stages of {counts} codes, {self.n_dims} dimensions, {self.dtype})"

    def _config(self) -> dict[str, Any]:
        return {"kind": _KIND, "metric": "l2", "n_stages": self.n_stages, "dtype": self.dtype.name}

    def _tensors(self) -> dict[str, npt.NDArray[Any]]:
        return {_tensor_name(q): stage.vectors for q, stage in enumerate(self.stages)}

    def _encode(
        self, x: Any, mask: Any | None, on_invalid: str, dtype: npt.DTypeLike | None, threads: int
    ) -> Any:
        _rows.check_on_invalid(on_invalid)
        rows = _rows.Rows(x)
        rows.check_dims(self.n_dims)
        computed = _rows.common_dtype(rows.values, self.stages[0].vectors, dtype)
        stages = [_Stage(codebook, computed) for codebook in self.stages]
        kept = rows.flags(mask)
        ids = _arrays.result((*rows.shape, self.n_stages), np.int32)
        flat = ids.reshape(-1, self.n_stages)
        # Residuals exist for a piece of the vectors at a time, whatever the size of the input.
        step = max(1, _rows.PIECE_BYTES // (self.n_dims * computed.itemsize))
        for start, stop, piece in rows.pieces(computed):
            for begin in range(start, stop, step):
                end = min(stop, begin + step)
                of_part = None if kept is None else kept[begin:end]
                fault = _encode_rows(
                    stages, piece[begin - start : end - start], of_part, threads, flat[begin:end]
                )
                if fault is not None and on_invalid == "raise":
                    rows.refuse(begin + fault[0], fault[1])
        _backend.used_native()
        return rows.wrap(ids)


class _Stage:
    """The codes of one stage in the dtype of the computation, and their search."""

    def __init__(self, codebook: Codebook, dtype: np.dtype[Any]) -> None:
        self.codes = codebook.vectors.astype(dtype, copy=False)
        self.search = codebook.prepared(dtype).kernel.search


def _encode_rows(
    stages: Sequence[_Stage],
    rows: npt.NDArray[Any],
    mask: npt.NDArray[np.uint8] | None,
    threads: int,
    ids: npt.NDArray[np.int32],
) -> tuple[int, str] | None:
    """Write the ids (n, Q) of rows (n, D); returns the first invalid row, if any, and what is wrong with it."""
    fault: tuple[int, str] | None = None
    left = rows
    found = np.empty((len(rows), 1), np.int32)
    for q, stage in enumerate(stages):
        count, first, reason = stage.search(left, mask, threads, found, None, None)
        ids[:, q] = found[:, 0]
        if count:
            if fault is None or first < fault[0]:
                fault = first, reason if q == 0 else f"less its codes of {q} stages {reason}"
            mask = (found[:, 0] >= 0).view(np.uint8)  # what is left of these rows means nothing
        if q + 1 < len(stages):
            nearest_codes = stage.codes.take(found[:, 0], axis=0, mode="clip")  # those of -1 are not used
            with np.errstate(over="ignore", invalid="ignore"):
                left = np.subtract(left, nearest_codes, out=nearest_codes)
    if fault is not None:
        ids[(ids < 0).any(axis=1)] = -1
    return fault


def _stage(codes: Codebook | Any, q: int) -> Codebook:
    if not isinstance(codes, Codebook):
        return Codebook(codes)
    if codes.metric != "l2":
        raise ValueError(f'stages: stage {q} has the metric {codes.metric!r}; residuals are compared by "l2"')
    return codes


def _tensor_name(q: int) -> str:
    return f"stage_{q}"
