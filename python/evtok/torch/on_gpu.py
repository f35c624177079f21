"""What evtok's torch operators do with CUDA tensors.

Ids, distances, normalised codes and the sums of codes have the bits of the CPU. Other sums are torch's, in float64: the
same from run to run, within rounding of the CPU's. What the CPU refuses is refused here too where that is worth waiting
for the device; an id that is no code is not: its row, or the sums that it would go into, become NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from evtok.torch.define import computed_in

if TYPE_CHECKING:
    from torch import Tensor


def _computed(x: Tensor, name: str) -> Tensor:
    if not x.dtype.is_floating_point:
        raise TypeError(f"{name}: expected a floating-point tensor, got {x.dtype}; use {name}.float()")
    return x.detach().to(computed_in(x))


def nearest(
    x: Tensor, codes: Tensor, metric: str = "l2", mask: Tensor | None = None, on_invalid: str = "raise"
) -> tuple[Tensor, Tensor]:
    """Return distances (...), 0 where there is no code, and ids int32 (...); "sentinel" waits for nothing."""
    from evtok import _backend
    from evtok.codebook._rows import check_on_invalid
    from evtok.cuda import nearest as kernels
    from evtok.cuda.arrays import Place

    check_on_invalid(on_invalid)
    wide, wide_codes = _computed(x, "x"), _computed(codes, "codes")
    if wide.dtype != wide_codes.dtype:
        raise TypeError(
            f"x, codes: expected the same precision, got {x.dtype} and {codes.dtype}; convert one of the two"
        )
    if metric not in kernels.METRICS:
        raise ValueError(f'metric: expected "l2", "cosine" or "dot", got {metric!r}')
    if codes.ndim != 2 or 0 in codes.shape or x.ndim < 1 or x.shape[-1] != codes.shape[-1]:
        raise ValueError(
            f"x, codes: expected shapes (..., D) and (K, D), got {tuple(x.shape)} and {tuple(codes.shape)}"
        )
    if mask is not None and (mask.dtype != torch.bool or mask.shape != x.shape[:-1]):
        raise ValueError(f"mask: expected booleans of shape {tuple(x.shape[:-1])}, got {tuple(mask.shape)}")
    place = Place(x=wide, codes=wide_codes, mask=mask)
    with place:
        dtypes = ("float32", "float64")
        rows, view = place.view(wide, "x", dtypes), place.view(wide_codes, "codes", dtypes)
        if metric == "cosine":
            view, _ = kernels.normalised(
                place, view
            )  # a code without a direction becomes NaN, which is refused
        flags = None if mask is None else place.view(mask, "mask", ("bool",))
        found = kernels.search(
            place, kernels.prepare(place, view, metric), rows, mask=flags, with_values=True
        )
        if on_invalid == "raise":
            kernels.refuse_faults(place, found.statuses, rows.shape[:-1])
        assert found.values is not None
        ids = found.ids.array.reshape(x.shape[:-1])
        distance = found.values.array.reshape(x.shape[:-1])
    _backend.used_cuda()
    return distance.masked_fill_(ids < 0, 0), ids


def normalise_codes(codes: Tensor) -> Tensor:
    """Return codes (K, D) of length 1; waits for the device, for a code without a direction is refused."""
    from evtok.cuda import nearest as kernels
    from evtok.cuda.arrays import Place

    wide = _computed(codes, "codes")
    place = Place(codes=wide)
    with place:
        unit, status = kernels.normalised(place, place.view(wide, "codes", ("float32", "float64"), ndim=2))
        count, first = place.get(status)[0]
    if count:
        raise ValueError(
            f'codebook: code {first} has no direction (its norm is zero or overflows), which metric "cosine" needs'
        )
    result: Tensor = unit.array
    return result


def look_up(codes: Tensor, ids: Tensor) -> Tensor:
    """Return the codes (..., D) of ids (...): zeros for -1, NaN for what is no id."""
    if not codes.shape[0]:  # no id is right, and taking a row would be an assert of the device
        raise ValueError(f"codes: expected shape (K, D) with at least one code, got {tuple(codes.shape)}")
    flat = ids.reshape(-1)
    rows = codes.detach().index_select(0, flat.clamp(0, codes.shape[0] - 1))
    rows.masked_fill_((flat == -1).unsqueeze(-1), 0)
    rows.masked_fill_(((flat < -1) | (flat >= codes.shape[0])).unsqueeze(-1), torch.nan)
    return rows.view(*ids.shape, codes.shape[1])


def sum_by_code(values: Tensor, ids: Tensor, n_codes: int) -> tuple[Tensor, Tensor]:
    """Return sums float64 (K, D) of values (..., D), added in their order, and counts int64 (K,).

    Ids that are no code, -1 apart, make all sums NaN.
    """
    from evtok.cuda.arrays import Place

    rows = _computed(values, "values").reshape(-1, values.shape[-1])
    flat = ids.reshape(-1).long()
    unknown = (flat < -1) | (flat >= n_codes)
    keys = torch.where(unknown | (flat < 0), n_codes, flat)  # behind all codes
    keys, order = keys.sort(stable=True)
    starts = torch.searchsorted(keys, torch.arange(n_codes + 1, device=keys.device))
    place = Place(values=rows, ids=flat)
    with place:
        view = place.view(rows, "values", ("float32", "float64"))
        in_order, begins = place.view(order, "order", ("int64",)), place.view(starts, "starts", ("int64",))
        sums = place.empty((n_codes, rows.shape[1]), "float64")
        run = getattr(place.cuda, f"code_sums_{view.dtype}")
        run(
            view.address,
            rows.shape[1],
            in_order.address,
            begins.address,
            n_codes,
            sums.address,
            place.stream,
        )
    return sums.array.masked_fill_(unknown.any(), torch.nan), starts.diff()


def mean_squared_error(x: Tensor, quantized: Tensor, ids: Tensor) -> Tensor:
    """Return the mean of (x - quantized)^2 over rows that have a code, 0 where none has."""
    has_code = (ids >= 0).unsqueeze(-1)
    squares = torch.where(has_code, (_computed(x, "x") - _computed(quantized, "quantized")).square(), 0)
    n_values = (has_code.sum() * x.shape[-1]).clamp(min=1)
    return (squares.sum(dtype=torch.float64) / n_values).to(computed_in(x))


def row_products(a: Tensor, b: Tensor) -> Tensor:
    """Return the products float64 (...) of rows (..., D) with their partners."""
    return (a.detach().double() * b.detach().double()).sum(-1)


# ---- what changes a codebook, as evtok.codebook.moving_average -------------------------------------------------------


def _unit_or_before(vectors: Tensor, before: Tensor) -> Tensor:
    length = vectors.square().sum(-1, keepdim=True).sqrt()
    return torch.where((length > 0) & torch.isfinite(length), vectors / length, before.double())


def apply(
    codes: Tensor,
    cluster_size: Tensor,
    code_sums: Tensor,
    counts: Tensor,
    sums: Tensor,
    *,
    decay: float,
    epsilon: float,
    normalise: bool,
) -> None:
    """Do what `evtok.codebook.moving_average.apply` does; waits for the device."""
    sizes = (cluster_size.double() * decay + counts.double() * (1 - decay)).to(cluster_size.dtype)
    moved_sums = (code_sums.double() * decay + sums * (1 - decay)).to(code_sums.dtype)
    wide = sizes.double()
    total = wide.sum()
    smoothed = torch.where(total > 0, (wide + epsilon) / (total + len(wide) * epsilon) * total, wide)
    alive = (smoothed > 0).unsqueeze(-1)
    means = moved_sums.double() / torch.where(alive, smoothed.unsqueeze(-1), 1)
    means = _unit_or_before(means, codes) if normalise else means
    moved = torch.where(alive, means.to(codes.dtype), codes)
    finite = moved.isfinite().all(1) & sizes.isfinite() & moved_sums.isfinite().all(1)
    if not bool(finite.all()):
        raise ValueError(
            f"sums: the moving average of code {int((~finite).int().argmax())} would not be finite in {sums.dtype}; "
            "leave out rows with NaN or infinity by the id -1, or scale the features down"
        )
    for tensor, value in ((codes, moved), (cluster_size, sizes), (code_sums, moved_sums)):
        tensor.copy_(value)


def replace_dead(
    codes: Tensor,
    cluster_size: Tensor,
    code_sums: Tensor,
    x: Tensor,
    ids: Tensor,
    *,
    dead_below: float,
    seed: int,
    step: int,
    normalise: bool,
) -> int:
    """Do what `evtok.codebook.moving_average.replace_dead` does, with the same draws; waits for the device."""
    from evtok.codebook.seeding import draw_rows, uniforms

    dead = torch.nonzero(cluster_size < dead_below).squeeze(1)
    counted = torch.nonzero(ids >= 0).squeeze(1)
    n = min(len(dead), len(counted))
    if not n:
        return 0
    u = uniforms(seed, step, 2 * n)

    def drawn(among: Tensor, numbers: Any) -> Tensor:
        return among[torch.as_tensor(draw_rows(len(among), n, numbers), device=among.device)]

    chosen = drawn(dead, u[:n])
    vectors = x[drawn(counted, u[n:])].double()
    if normalise:
        vectors = _unit_or_before(vectors, codes[chosen])
    codes[chosen] = vectors.to(codes.dtype)
    cluster_size[chosen] = dead_below
    code_sums[chosen] = (vectors * dead_below).to(code_sums.dtype)
    return n
