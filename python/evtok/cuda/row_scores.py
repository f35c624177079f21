"""Scores of rows (n, D) on a GPU: by a distance, by Gaussian classes, and by histograms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _backend
from evtok.codebook._rows import OnInvalid, check_on_invalid
from evtok.cuda.arrays import Place, View
from evtok.cuda.prepared import prepared
from evtok.scoring._rows import invalid_row

Float32 = npt.NDArray[np.float32]

# What float32 holds exactly.
_EXACT = ("float32", "float16", "bfloat16", "int8", "uint8", "int16", "uint16")

#: Queues a kernel for rows, a fresh status and the scores (n,) that it writes.
Run = Callable[[View, View, View], None]


def rows_of(place: Place, x: Any, name: str, n_dims: int | None = None) -> View:
    """View rows (n, D) as float32, exactly."""
    view = place.view(x, name, _EXACT)
    if len(view.shape) != 2 or view.shape[1] == 0 or n_dims not in (None, view.shape[1]):
        raise ValueError(f"{name}: expected shape (n, {'D' if n_dims is None else n_dims}), got {view.shape}")
    return as_float32(place, view, name)


def as_float32(place: Place, x: View, name: str) -> View:
    """Convert what float32 holds exactly."""
    return (
        x if x.dtype == "float32" else place.view(place.package.cast(x.array, "float32"), name, ("float32",))
    )


def score(
    x: Any,
    name: str,
    which: int,
    on_invalid: OnInvalid,
    overflows: str,
    *,
    other: Any | None = None,
    other_name: str = "",
    own_other: bool = False,
    mean: bool = False,
    masked: bool = False,
) -> Any:
    """Return the `RowScore` `which` (row_scores.hpp) of each row, where `x` lies.

    `other` are rows (n, D) to compare with (`own_other`), or one (D,) for all; checked if it is on the host.
    """
    check_on_invalid(on_invalid)
    place = Place(**{name: x, other_name or "other": other})
    with place:
        rows = rows_of(place, x, name)
        others = None
        if other is not None:
            others = as_float32(place, place.view(other, other_name, _EXACT), other_name)
            if others.shape != (rows.shape if own_other else rows.shape[1:]):
                raise ValueError(
                    f"{other_name}: expected shape {rows.shape if own_other else rows.shape[1:]}, got {others.shape}"
                )

        def run(values: View, status: View, scores: View) -> None:
            place.cuda.score_rows(
                values.address,
                *values.shape,
                which,
                0 if others is None else others.address,
                own_other,
                mean,
                status.address,
                scores.address,
                place.stream,
            )

        return _scored(place, rows, name, on_invalid, overflows, run, masked=masked)


def class_distances(
    owner: object,
    shared: bool,
    arrays: tuple[Float32, Float32, Float32],
    n_classes: int,
    x: Any,
    return_class: bool,
    on_invalid: OnInvalid,
    overflows: str,
) -> Any:
    """Return distances (n,), and classes (n,) if asked, for centres, factors and whitened means of `owner`."""
    check_on_invalid(on_invalid)
    place = Place(x=x)
    with place:
        rows = rows_of(place, x, "x", arrays[0].shape[1])
        on_device = prepared(
            owner, place, lambda here: tuple(here.view(each, "means", ("float32",)) for each in arrays)
        )
        nearest = place.empty(rows.shape[:1], "int32") if return_class else None

        def run(values: View, status: View, scores: View) -> None:
            place.cuda.class_distances(
                values.address,
                *values.shape,
                n_classes,
                shared,
                *(each.address for each in on_device),
                status.address,
                scores.address,
                0 if nearest is None else nearest.address,
                place.stream,
            )

        scores = _scored(place, rows, "x", on_invalid, overflows, run)
        return scores if nearest is None else (scores, nearest.array)


def histogram_score(
    x: Any,
    edges: Float32,
    ends: npt.NDArray[np.int64],
    values: Float32,
    on_invalid: OnInvalid,
    overflows: str,
) -> Any:
    """Return scores (n,) by the histograms of all components, one after the other."""
    check_on_invalid(on_invalid)
    place = Place(x=x)
    with place:
        rows = rows_of(place, x, "x", len(ends))
        tables = [place.view(each, "edges", (str(each.dtype),)) for each in (edges, values, ends)]

        def run(components: View, status: View, scores: View) -> None:
            place.cuda.histogram_score(
                components.address,
                *components.shape,
                *(each.address for each in tables),
                status.address,
                scores.address,
                place.stream,
            )

        return _scored(place, rows, "x", on_invalid, overflows, run)


def _scored(
    place: Place,
    rows: View,
    name: str,
    on_invalid: OnInvalid,
    overflows: str,
    run: Run,
    *,
    masked: bool = False,
) -> Any:
    scores, status = place.empty(rows.shape[:1], "float32"), place.statuses(1)
    run(rows, status, scores)
    if on_invalid == "raise":
        count, first = (int(number) for number in place.get(status)[0])
        if count:
            row = place.package.get(rows.array[first])
            raise invalid_row(name, first, row, overflows, masked=masked)
    _backend.used_cuda()
    return scores.array
