"""`evtok.fit_codebook`: k-means whose codes are the same bits for any number of threads and any instruction set."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _core
from evtok.codebook.chunks import Chunks
from evtok.codebook.codebook import Codebook
from evtok.codebook.kmeans import KMeans
from evtok.codebook.seeding import draw_rows, kmeans_plus_plus, sample_size, uniforms


@dataclass(frozen=True)
class FitReport:
    """How a codebook came about.

    Attributes
    ----------
    inertia : tuple of float
        Sum of the squared distances of all rows to their codes. Without `batch`, entry i is that of the codebook
        after i updates, so that the last belongs to the codebook that was returned. With `batch`, entry i is that of
        pass i, each row taken with the codes as they were when it came.
    converged : bool
        The last inertia was lower than the one before by at most the tolerance, and no code was empty.
    replaced : int
        How often a code without rows was moved to a row far from its code.
    dead : int
        Codes without rows in the last pass.
    n_rows : int
        Rows of one pass.
    n_seeding : int
        Rows that the seeding looked at; 0 when the codes to start from were given.
    """

    inertia: tuple[float, ...]
    converged: bool
    replaced: int
    dead: int
    n_rows: int
    n_seeding: int

    @property
    def iterations(self) -> int:
        """Number of passes over the rows that the entries of `inertia` stand for."""
        return len(self.inertia)


@overload
def fit_codebook(
    x: Any,
    k: int,
    seed: int = ...,
    init: Any = ...,
    batch: int | None = ...,
    *,
    metric: Literal["l2", "cosine"] = ...,
    max_iterations: int = ...,
    tolerance: float = ...,
    threads: int | None = ...,
    return_report: Literal[False] = ...,
) -> Codebook: ...
@overload
def fit_codebook(
    x: Any,
    k: int,
    seed: int = ...,
    init: Any = ...,
    batch: int | None = ...,
    *,
    metric: Literal["l2", "cosine"] = ...,
    max_iterations: int = ...,
    tolerance: float = ...,
    threads: int | None = ...,
    return_report: Literal[True],
) -> tuple[Codebook, FitReport]: ...
def fit_codebook(
    x: Any,
    k: int,
    seed: int = 0,
    init: Any = "kmeans++",
    batch: int | None = None,
    *,
    metric: Literal["l2", "cosine"] = "l2",
    max_iterations: int = 100,
    tolerance: float = 1e-4,
    threads: int | None = None,
    return_report: bool = False,
) -> Codebook | tuple[Codebook, FitReport]:
    """Find k codes that lie near the rows of x, by k-means.

    Parameters
    ----------
    x : real numbers (n, D), or a source of such arrays
        An array (NumPy, or torch on the CPU); or a list of arrays, an object that can be iterated over again and
        again, or a function that returns an iterator over arrays, called once for every pass: then the rows need not
        fit in memory.
    k : int
        Number of codes.
    seed : int
        From 0 to 2**64 - 1.
    init : "kmeans++", "random", or codes (k, D)
        What to start from: rows drawn by their distances to those drawn before, rows drawn evenly, or given codes.
    batch : int, optional
        Rows of a batch after which the codes move (mini-batch k-means); by default they move after all rows.
    metric : "l2" or "cosine"
        "cosine" is spherical k-means: rows and codes are normalised, and the codebook has that metric.
    max_iterations : int
        The most updates of the codes (passes over the rows, with `batch`).
    tolerance : float
        Stop when the inertia falls by this fraction or less. 0: only when no code moves any more, or with `batch`,
        when the inertia does not fall.
    threads : int, optional
        Threads to use; by default `EVTOK_NUM_THREADS` or the CPUs that this process may use.
    return_report : bool
        Return also how it went.

    Returns
    -------
    codebook : Codebook
        float32 for float32 and float16 rows and integers of at most 16 bits, else float64.
    report : FitReport
        If asked for.

    Raises
    ------
    TypeError
        Rows that are not real numbers, that come as an iterator that is read only once, or in different dtypes;
        k, seed, batch or max_iterations that are not integers.
    ValueError
        NaN or infinity in a row (which is named), fewer than k different rows, a zero row with "cosine".

    Notes
    -----
    The codebook depends on the rows and their order, on k, seed, init, batch, metric, max_iterations and tolerance, and
    on nothing else: not on threads, instruction set or machine, nor on how the rows are cut into arrays.

    A code is the mean of its rows: their sum, added in their order in float64, divided, and rounded once. A code
    without rows moves to one of the rows that lie farthest from theirs. "kmeans++" looks at a sample of 65536 rows, or
    of 32 k where that is more, one from each of as many equal parts of the data. With `batch`, a code is the mean of
    the rows that it was nearest to in this pass so far and in those before, each pass counting half as much as the
    next.
    """
    _check(k, seed, batch, metric, max_iterations, tolerance)
    with _core.FloatEnvironment():
        rows = Chunks(x, unit=metric == "cosine")
        n_rows = rows.count()
        if n_rows < k:
            raise ValueError(f"x: expected at least k = {k} rows, got {n_rows}")
        codes, n_seeding = _codes_to_start_from(rows, n_rows, k, seed, init, threads)
        search = KMeans(rows, codes, threads, unit=metric == "cosine")
        if batch is None:
            search.move_after_all_rows(max_iterations, tolerance)
        else:
            search.move_after_batches(batch, max_iterations, tolerance)
        codebook = Codebook._quiet(search.codes, metric)  # the report says how many are dead
    report = FitReport(
        tuple(search.inertia), search.converged, search.replaced, search.dead, n_rows, n_seeding
    )
    return (codebook, report) if return_report else codebook


def _codes_to_start_from(
    rows: Chunks, n_rows: int, k: int, seed: int, init: Any, threads: int | None
) -> tuple[npt.NDArray[Any], int]:
    """Return codes (k, D), and how many rows were looked at to draw them.

    Where fewer different ones were found, the first is repeated: of equal codes only the first gets rows, and k-means
    moves the others.
    """
    if isinstance(init, str):
        if init not in ("kmeans++", "random"):
            raise ValueError(f'init: expected "kmeans++", "random" or codes ({k}, D), got {init!r}')
        n_seeding = k if init == "random" else sample_size(n_rows, k)
        everything = np.arange(n_rows) if n_seeding == n_rows else None
        wanted = (
            draw_rows(n_rows, n_seeding, uniforms(seed, 0, n_seeding)) if everything is None else everything
        )
        codes = rows.take(wanted)
        if init == "kmeans++":
            codes = kmeans_plus_plus(codes, k, seed, threads)
            if len(codes) < k and everything is not None:
                raise ValueError(f"x: expected at least k = {k} different rows, got {len(codes)}")
        return np.concatenate([codes, np.repeat(codes[:1], k - len(codes), axis=0)]), n_seeding
    given = _arrays.to_numpy(init.vectors if isinstance(init, Codebook) else init, "init")
    if given.shape != (k, rows.n_dims):
        raise ValueError(f"init: expected shape ({k}, {rows.n_dims}), got {given.shape}")
    if not np.isfinite(given).all():
        raise ValueError(f"init: code {int(np.isfinite(given).all(axis=1).argmin())} holds NaN or infinity")
    return given.astype(rows.dtype), 0


def _check(k: int, seed: int, batch: int | None, metric: str, max_iterations: int, tolerance: float) -> None:
    for name, value in (("k", k), ("seed", seed), ("batch", batch), ("max_iterations", max_iterations)):
        if value is None and name == "batch":
            continue
        try:
            operator.index(value)  # type: ignore[arg-type]
        except TypeError as error:
            raise TypeError(f"{name}: expected an integer, got {value!r}") from error
    if not 1 <= k < 2**31:
        raise ValueError(f"k: expected 1 to 2**31 - 1 codes, got {k}")
    if batch is not None and batch < 1:
        raise ValueError(f"batch: expected at least one row, got {batch}")
    if metric not in ("l2", "cosine"):
        raise ValueError(f'metric: expected "l2" or "cosine", got {metric!r}')
    if max_iterations < 1:
        raise ValueError(f"max_iterations: expected at least 1, got {max_iterations}")
    if not tolerance >= 0:
        raise ValueError(f"tolerance: expected 0 or more, got {tolerance}")
