"""`evtok.nearest` on a GPU."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evtok import _backend
from evtok.codebook import _rows
from evtok.codebook._rows import OnInvalid
from evtok.codebook.codebook import Codebook
from evtok.cuda.arrays import Place, View
from evtok.cuda.code_order import code_order
from evtok.cuda.prepared import prepared

METRICS = ("l2", "dot", "cosine")  # as the enum of cpp/include/evtok/nearest.hpp counts them
ROUTES = ("automatic", "every", "tile", "boxes")  # as that of cuda/nearest.cuh; and "filter"

_REASONS = (
    "holds NaN or infinity",
    "is a zero vector, which has no direction",
    "is so far from the codes that its distance overflows",
)
_FEWEST_IN_BOXES, _MOST_BOX_DIMS = 512, 8
_FILTERED_DIMS, _FEWEST_FILTERED = (
    range(17, 4097),
    256,
)  # what `tile` does not take, up to the end of the bound
_FEWEST_FILTERED_ROWS, _SCRATCH_ROWS = 1 << 12, 1 << 17
_HOLDS_EXACTLY = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}
_INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32")


class DeviceCodes(NamedTuple):
    """Codes (K, D) on a device, normalised for "cosine", and what was made of them for a search."""

    codes: View
    metric: str
    panels: View
    largest: View
    boxes: tuple[View, ...]  # branches, leaves, codes in order, their ids; or none
    filter: tuple[View, ...]  # centre, codes for tensor cores, bias, longest; or none

    @property
    def addresses_of_boxes(self) -> tuple[int, ...]:
        """What the kernel takes for them."""
        return tuple(each.address for each in self.boxes) or (0, 0, 0, 0)


class Found(NamedTuple):
    """What `search` writes: ids int32 (n, k), values (n, k) and margin (n,) or None, statuses (4, 2)."""

    ids: View
    values: View | None
    margin: View | None
    statuses: View


def prepare(
    place: Place, codes: View, metric: str, order: npt.NDArray[np.int32] | None = None
) -> DeviceCodes:
    """Lay codes (K, D), float32 or float64, out for a search; with boxes if an order is given."""
    n_codes, n_dims = codes.shape
    panels = place.empty((-(-n_codes // 32), n_dims, 32), codes.dtype)
    largest = place.empty((1,), codes.dtype)
    run = getattr(place.cuda, f"prepare_codes_{codes.dtype}")
    run(codes.address, n_codes, n_dims, panels.address, largest.address, place.stream)
    boxes: tuple[View, ...] = ()
    if order is not None:
        sizes = place.cuda.box_sizes(n_codes, n_dims)
        dtypes = (codes.dtype, codes.dtype, codes.dtype, "int32")
        boxes = tuple(place.empty((size,), dtype) for size, dtype in zip(sizes, dtypes, strict=True))
        ordering = place.view(order, "order", ("int32",))
        run = getattr(place.cuda, f"prepare_boxes_{codes.dtype}")
        run(codes.address, n_codes, n_dims, ordering.address, *(each.address for each in boxes), place.stream)
    return DeviceCodes(codes, metric, panels, largest, boxes, _filter(place, codes, metric))


def _filter(place: Place, codes: View, metric: str) -> tuple[View, ...]:
    n_codes, n_dims = codes.shape
    if codes.dtype != "float32" or n_dims not in _FILTERED_DIMS or n_codes < _FEWEST_FILTERED:
        return ()
    dims, n_words, n_places = place.cuda.filter_sizes(n_codes, n_dims)
    shapes = ((dims, "float32"), (n_words, "int32"), (n_places, "float32"), (1, "float32"))
    tables = tuple(place.empty((size,), dtype) for size, dtype in shapes)
    place.cuda.prepare_filter(
        codes.address, n_codes, n_dims, metric != "l2", *(each.address for each in tables), place.stream
    )
    return tables


def _run_filter(
    place: Place,
    codes: DeviceCodes,
    x: View,
    mask: View | None,
    ids: View,
    values: View | None,
    statuses: View,
) -> None:
    """Search through tensor cores; the scratch memory is freed when its work is queued, as torch and CuPy allow."""
    n_codes, n_dims = codes.codes.shape
    n = x.size // n_dims
    dims = codes.filter[0].shape[0]
    n_rows = min(_SCRATCH_ROWS, max(1, -(-n // 128)) * 128)
    shapes = ((n_rows * dims // 2, "int32"), (n_rows, "float32"), (n_rows, "float32"), (n_rows, "int32"))
    scratch = [place.empty((size,), dtype) for size, dtype in (*shapes, (n_rows * 32, "float32"))]
    place.cuda.nearest_filter(
        x.address,
        n,
        0 if mask is None else mask.address,
        codes.codes.address,
        n_codes,
        n_dims,
        METRICS.index(codes.metric),
        codes.panels.address,
        codes.largest.address,
        *(each.address for each in codes.filter),
        *(each.address for each in scratch),
        n_rows,
        ids.address,
        0 if values is None else values.address,
        statuses.address,
        place.stream,
    )


def normalised(place: Place, codes: View) -> tuple[View, View]:
    """Return codes (K, D) of length 1, as `evtok._core.normalise_codes`, and a status of those without a direction."""
    result, statuses = place.empty(codes.shape, codes.dtype), place.statuses(1)
    run = getattr(place.cuda, f"normalise_codes_{codes.dtype}")
    run(codes.address, *codes.shape, result.address, statuses.address, place.stream)
    return result, statuses


def search(
    place: Place,
    codes: DeviceCodes,
    x: View,
    *,
    k: int = 1,
    mask: View | None = None,
    with_values: bool = False,
    with_margin: bool = False,
    route: str = "automatic",
) -> Found:
    """Search for rows x (..., D) of the dtype of the codes, contiguous. Waits for nothing."""
    n_codes, n_dims = codes.codes.shape
    n = x.size // n_dims
    ids, statuses = place.empty((n, k), "int32"), place.statuses(4)
    values = place.empty((n, k), x.dtype) if with_values else None
    margin = place.empty((n,), x.dtype) if with_margin else None
    filtered = bool(codes.filter) and k == 1 and not with_margin
    if route == "filter" or (route == "automatic" and filtered and n >= _FEWEST_FILTERED_ROWS):
        assert filtered
        _run_filter(place, codes, x, mask, ids, values, statuses)
        return Found(ids, values, margin, statuses)
    run = getattr(place.cuda, f"nearest_{x.dtype}")
    run(
        x.address,
        n,
        0 if mask is None else mask.address,
        codes.codes.address,
        n_codes,
        n_dims,
        METRICS.index(codes.metric),
        codes.panels.address,
        codes.largest.address,
        *codes.addresses_of_boxes,
        k,
        ids.address,
        0 if values is None else values.address,
        0 if margin is None else margin.address,
        statuses.address,
        ROUTES.index(route),
        place.stream,
    )
    return Found(ids, values, margin, statuses)


def refuse_faults(place: Place, statuses: View, shape: tuple[int, ...]) -> None:
    """Raise ValueError for what a search counted; this waits for the device."""
    counts = place.get(statuses)
    if counts[3, 0]:
        raise ValueError(
            "codebook: expected finite numbers, got NaN or infinity, or a code without a direction"
        )
    firsts = [(int(first), why) for (count, first), why in zip(counts[:3], _REASONS, strict=True) if count]
    if firsts:
        _rows.refuse_row(shape, *min(firsts))


def of_codebook(codebook: Codebook, dtype: np.dtype[Any], place: Place) -> DeviceCodes:
    """Return the codes of a `Codebook` on the device, copied and prepared once."""
    owner, metric = codebook.prepared(dtype), codebook.metric
    codes = owner.codes

    def make(place: Place) -> DeviceCodes:
        boxed = metric == "l2" and len(codes) >= _FEWEST_IN_BOXES and codes.shape[1] <= _MOST_BOX_DIMS
        view = place.view(codes, "codebook", (codes.dtype.name,), ndim=2)
        return prepare(place, view, metric, code_order(codes) if boxed else None)

    return prepared(owner, place, make)


def nearest(
    x: Any,
    codebook: Codebook,
    *,
    k: int,
    return_distance: bool,
    return_margin: bool,
    mask: Any | None,
    on_invalid: OnInvalid,
    dtype: npt.DTypeLike | None,
) -> Any:
    """Do the work of `evtok.nearest` for x (..., D) on a GPU; waits for the device where `on_invalid` is "raise"."""
    _rows.check_on_invalid(on_invalid)
    k = operator.index(k)
    if not 1 <= k <= codebook.n_codes:
        raise ValueError(f"k: expected 1 to {codebook.n_codes}, the number of codes, got {k}")
    place = Place(x=x, mask=mask)
    with place:
        stored = str(x.dtype).removeprefix("torch.")
        if stored not in _HOLDS_EXACTLY and stored not in _INTEGERS:
            raise TypeError(f"x: expected floats, or integers of at most 32 bits, on a GPU, got {stored}")
        as_numpy = np.empty(0, "float16" if stored == "bfloat16" else stored)
        wanted = _rows.common_dtype(as_numpy, codebook.vectors, dtype)
        if len(x.shape) < 1 or int(x.shape[-1]) != codebook.n_dims:
            raise ValueError(
                f"x: expected shape (..., {codebook.n_dims}) as the codebook has {codebook.n_dims} dimensions, got "
                f"{tuple(x.shape)}"
            )
        codes = of_codebook(codebook, wanted, place)
        rows = place.view(
            x if stored == wanted.name else place.package.cast(place.package.plain(x, "x"), wanted.name),
            "x",
            (wanted.name,),
        )
        shape = rows.shape[:-1]
        flags = None if mask is None else _flags(place, mask, shape)
        found = search(
            place, codes, rows, k=k, mask=flags, with_values=return_distance, with_margin=return_margin
        )
        if on_invalid == "raise":
            refuse_faults(place, found.statuses, shape)
        of_ids = shape if k == 1 else (*shape, k)
        results = [found.ids.array.reshape(of_ids)]
        if found.values is not None:
            results.append(found.values.array.reshape(of_ids))
        if found.margin is not None:
            results.append(found.margin.array.reshape(shape))
    _backend.used_cuda()
    return results[0] if len(results) == 1 else tuple(results)


def to_host(codes: Any) -> npt.NDArray[Any]:
    """Copy codes (K, D) from a GPU; this waits for the device."""
    place = Place(codebook=codes)
    with place:
        return place.get(place.view(codes, "codebook", ("float32", "float64"), ndim=2))


def _flags(place: Place, mask: Any, shape: tuple[int, ...]) -> View:
    if tuple(mask.shape) != shape or str(mask.dtype).removeprefix("torch.") != "bool":
        raise ValueError(f"mask: expected booleans of shape {shape}, got {mask.dtype} {tuple(mask.shape)}")
    return place.view(mask, "mask", ("bool",))
