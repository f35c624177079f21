"""`evtok.Codebook`: the codes of a vector quantizer, prepared once for lookup."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _core
from evtok.codebook import _rows
from evtok.codebook._equal_codes import warn_of_equal_codes
from evtok.codebook._ragged import lists_of
from evtok.codebook._rows import OnInvalid
from evtok.codebook.lookup import Metric, search, search_plain

if TYPE_CHECKING:
    from evtok.codebook.health import CodebookHealth

_KIND = "codebook"


@dataclass(frozen=True)
class _Prepared:
    """A codebook in the dtype of a computation; the codes (K, D) are normalised for "cosine"."""

    dtype: np.dtype[Any]
    codes: npt.NDArray[Any]
    kernel: _core.CodeSearchFloat32 | _core.CodeSearchFloat64


class Codebook:
    """The codes of a vector quantizer, prepared once, immutable, safe to use from many threads.

    Parameters
    ----------
    vectors : real numbers (K, D)
        The codes; float16 and integers become float32 or float64 exactly.
    metric : "l2", "cosine" or "dot"
        As in `evtok.nearest`. "cosine" normalises the codes once: norm and quotient in float64, rounded once.
    affine : (scale, bias), optional
        Each a number or an array (D,): the codes become ``vectors * scale + bias``, in float64, rounded once. For a
        vqtorch codebook the scale is ``1 + affine_lr * affine_transform.scale``.

    Raises
    ------
    ValueError
        No codes, no dimensions, NaN or infinity, or a zero code for "cosine".

    Warns
    -----
    EqualCodesWarning
        Some codes are equal; only the first of them is ever the nearest.
    """

    def __init__(
        self, vectors: Any, metric: Metric = "l2", affine: tuple[npt.ArrayLike, npt.ArrayLike] | None = None
    ) -> None:
        self._build(vectors, metric, affine)
        warn_of_equal_codes(self._vectors, stacklevel=2)

    @classmethod
    def _quiet(cls, vectors: Any, metric: Metric = "l2") -> Codebook:
        """Make one that does not warn: of rows that may be equal, such as those of a reference sample."""
        codebook = cls.__new__(cls)
        codebook._build(vectors, metric, None)
        return codebook

    def _build(
        self, vectors: Any, metric: Metric, affine: tuple[npt.ArrayLike, npt.ArrayLike] | None
    ) -> None:
        codes = _arrays.to_numpy(vectors, "vectors")
        if codes.ndim != 2 or 0 in codes.shape:
            raise ValueError(
                f"vectors: expected shape (K, D) with at least one code of one dimension, got {codes.shape}"
            )
        if codes.shape[0] >= 2**31:
            raise ValueError(f"vectors: ids are int32, so fewer than 2^31 codes fit, got {codes.shape[0]}")
        if metric not in ("l2", "cosine", "dot"):
            raise ValueError(f'metric: expected "l2", "cosine" or "dot", got {metric!r}')
        dtype = _rows.natural_dtype(codes, "vectors")
        # An overflow is an infinity, which is refused below; a caller's rounding mode must not reach the codes.
        with np.errstate(over="ignore"), _core.FloatEnvironment():
            if affine is not None:
                codes = _apply_affine(codes, affine)
            codes = np.array(codes, dtype, order="C")  # a copy: the caller may change his
        if not np.isfinite(codes).all():
            finite = np.isfinite(codes).all(axis=1)
            raise ValueError(
                f"vectors: expected finite numbers, got NaN or infinity in code {int(finite.argmin())}"
            )
        self._metric: Metric = metric
        self._vectors = _arrays.frozen(codes)
        self._lock = threading.Lock()
        self._others: dict[np.dtype[Any], _Prepared] = {}
        self._prepared = self._prepare(dtype)

    def _prepare(self, dtype: np.dtype[Any]) -> _Prepared:
        with np.errstate(over="ignore"), _core.FloatEnvironment():
            codes = np.require(self.vectors, dtype, ("C", "A"))
        if not np.isfinite(codes).all():
            raise ValueError(f"dtype: a code overflows in {dtype}; compute in float64")
        if self.metric == "cosine":
            codes = _core.normalise_codes(codes)
        search_class = _core.CodeSearchFloat32 if dtype == np.float32 else _core.CodeSearchFloat64
        return _Prepared(dtype, codes, search_class(codes, self.metric))

    def prepared(self, dtype: np.dtype[Any]) -> _Prepared:
        """Return the codes prepared for a computation in `dtype`; made once."""
        if dtype == self.dtype:
            return self._prepared
        with self._lock:
            if dtype not in self._others:
                self._others[dtype] = self._prepare(dtype)
            return self._others[dtype]

    @property
    def vectors(self) -> npt.NDArray[Any]:
        """The codes (K, D), read-only; float32 or float64, after the affine, before any normalisation."""
        return self._vectors

    @property
    def metric(self) -> Metric:
        """What "nearest" means: "l2", "cosine" or "dot"."""
        return self._metric

    @property
    def n_codes(self) -> int:
        """Number of codes, K."""
        return int(self.vectors.shape[0])

    @property
    def n_dims(self) -> int:
        """Number of dimensions, D."""
        return int(self.vectors.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self.vectors.dtype

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) over the codes, the metric and the definition of nearest."""
        from evtok.tokenizers import artefact

        return artefact.fingerprint(self._config(), {"vectors": self.vectors})

    def _config(self) -> dict[str, Any]:
        return {"kind": _KIND, "metric": self.metric, "dtype": self.dtype.name}

    def nearest(
        self,
        x: Any,
        *,
        k: int = 1,
        return_distance: bool = False,
        return_margin: bool = False,
        mask: Any | None = None,
        on_invalid: OnInvalid = "raise",
        dtype: npt.DTypeLike | None = None,
        threads: int | None = None,
        out: npt.NDArray[np.int32] | None = None,
    ) -> Any:
        """Return the index of the code that each vector of `x` (..., D) is nearest to; see `evtok.nearest`.

        For `x` on a GPU the codes are copied there once.
        """
        if (
            type(x) is np.ndarray
            and x.ndim == 2
            and x.dtype == self._vectors.dtype
            and x.shape[1] == self._vectors.shape[1]
            and x.flags.carray
            and k == 1
            and on_invalid == "raise"
            and not (return_distance or return_margin)
            and mask is None
            and dtype is None
            and out is None
        ):
            ids = search_plain(self, x, threads)
            if ids is not None:
                return ids
        if _arrays.on_gpu(x):
            from evtok.cuda.nearest import nearest as on_gpu

            if out is not None:
                raise ValueError("out: not taken for an array on a GPU; leave it out")
            return on_gpu(
                x,
                self,
                k=k,
                return_distance=return_distance,
                return_margin=return_margin,
                mask=mask,
                on_invalid=on_invalid,
                dtype=dtype,
            )
        return search(
            self,
            x,
            k=k,
            return_distance=return_distance,
            return_margin=return_margin,
            mask=mask,
            on_invalid=on_invalid,
            dtype=dtype,
            threads=threads,
            out=out,
        )

    def decode(self, ids: Any) -> Any:
        """Return the codes (..., D) of ids (...), of the kind of the ids.

        Raises
        ------
        TypeError
            The ids are not integers.
        ValueError
            An id is below 0 or not below K; nothing wraps around.
        """
        lists = lists_of(ids, 0, "ids")
        vectors = self.vectors[_rows.checked_ids(ids if lists is None else lists.content, self.n_codes)]
        return _arrays.like(vectors, ids) if lists is None else lists.put_back(vectors)

    def health(self, x: Any, **options: Any) -> CodebookHealth:
        """Report how vectors `x` (..., D) use this codebook; see `evtok.codebook.health`."""
        from evtok.codebook.health import health

        return health(self, x, **options)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the codebook as a new folder, whole or not at all: `config.json` and `tensors.safetensors`."""
        from evtok.tokenizers import artefact

        artefact.save(folder, self._config(), {"vectors": self.vectors})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Codebook:
        """Read a codebook that `save` wrote; nothing in the folder is executed.

        Raises
        ------
        ArtefactError
            Not a codebook, changed since it was written, or of another version.
        """
        from evtok.tokenizers import artefact

        return artefact.load_as(
            folder, _KIND, lambda config, tensors: cls(tensors["vectors"], metric=config["metric"])
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self)._quiet, (np.asarray(self.vectors), self.metric))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Codebook):
            return NotImplemented
        return (
            self.metric == other.metric
            and self.dtype == other.dtype
            and np.array_equal(self.vectors.view(np.uint8), other.vectors.view(np.uint8))
        )

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __len__(self) -> int:
        return self.n_codes

    def __repr__(self) -> str:
        return f"Codebook({self.n_codes} codes of {self.n_dims} dimensions, {self.dtype}, metric={self.metric!r})"


def _apply_affine(
    codes: npt.NDArray[Any], affine: tuple[npt.ArrayLike, npt.ArrayLike]
) -> npt.NDArray[np.float64]:
    scale, bias = (_arrays.to_numpy(part, f"affine[{i}]").astype(np.float64) for i, part in enumerate(affine))
    for name, part in (("scale", scale), ("bias", bias)):
        if part.shape not in ((), (codes.shape[1],)):
            raise ValueError(
                f"affine: expected a {name} of shape ({codes.shape[1]},) or a number, got {part.shape}"
            )
    return codes.astype(np.float64) * scale + bias
