"""What changes a codebook during training, as torch operators that write to their arguments.

With several ranks every rank ends with the same codebook: sums and counts are gathered and added in the order of the
ranks, and whatever depends on one rank's rows is broadcast from it. All messages have the shape of the codebook,
however many rows, or none, a rank holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.distributed as dist

from evtok.torch import on_gpu
from evtok.torch.define import array, define
from evtok.torch.operators import nearest, normalise_codes, sum_by_code

if TYPE_CHECKING:
    from torch import Tensor

_KMEANS_ITERATIONS = 20  # a start, no more: the moving average goes on from there


def _n_ranks(synchronise: bool) -> int:
    return dist.get_world_size() if synchronise and dist.is_available() and dist.is_initialized() else 1


def _added_over_ranks(values: Tensor, n_ranks: int) -> Tensor:
    parts = [torch.empty_like(values) for _ in range(n_ranks)]
    dist.all_gather(parts, values)
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


# ---- moving average --------------------------------------------------------------------------------------------------


def _moving_average(
    codes: Tensor,
    cluster_size: Tensor,
    code_sums: Tensor,
    n_updates: Tensor,
    x: Tensor,
    ids: Tensor,
    decay: float,
    epsilon: float,
    dead_below: float,
    seed: int,
    normalise: bool,
    synchronise: bool,
) -> None:
    from evtok.codebook import moving_average

    state = (codes, cluster_size, code_sums)
    average = on_gpu if codes.is_cuda else moving_average
    rows = x.detach().reshape(-1, x.shape[-1])  # inductor hands over a leaf that needs grad as it is
    flat = ids.reshape(-1)
    sums, counts = sum_by_code(rows, flat, codes.shape[0])
    n_ranks = _n_ranks(synchronise)
    if n_ranks > 1:
        sums, counts = _added_over_ranks(sums, n_ranks), _added_over_ranks(counts, n_ranks)
    if not bool(counts.any()):
        return
    average.apply(*state, counts, sums, decay=decay, epsilon=epsilon, normalise=normalise)
    if dead_below > 0:
        step = int(n_updates)
        source = step % n_ranks  # each rank in turn offers its rows
        if n_ranks == 1 or dist.get_rank() == source:
            average.replace_dead(
                *state, rows, flat, dead_below=dead_below, seed=seed, step=step, normalise=normalise
            )
        if n_ranks > 1:
            for tensor in state:
                dist.broadcast(tensor, source)
    n_updates += 1


def _nothing(*_: Any) -> None:
    return None


moving_average = define(
    "moving_average",
    "Tensor(a!) codes, Tensor(b!) cluster_size, Tensor(c!) code_sums, Tensor(d!) n_updates, Tensor x, Tensor ids, "
    "float decay, float epsilon, float dead_below, int seed, bool normalise, bool synchronise",
    "()",
    _moving_average,
    _nothing,
    on_gpu=_moving_average,
    mutates=("codes", "cluster_size", "code_sums", "n_updates"),
)


# ---- first codes -----------------------------------------------------------------------------------------------------


def _start_from_kmeans(
    codes: Tensor,
    cluster_size: Tensor,
    code_sums: Tensor,
    x: Tensor,
    mask: Tensor | None,
    metric: Literal["l2", "cosine"],
    seed: int,
) -> None:
    from evtok.codebook import fit_codebook

    if codes.is_cuda:  # once in a training: on the CPU
        on_host = codes.cpu(), cluster_size.cpu(), code_sums.cpu()
        _start_from_kmeans(*on_host, x.detach().cpu(), None if mask is None else mask.cpu(), metric, seed)
        for tensor, value in zip((codes, cluster_size, code_sums), on_host, strict=True):
            tensor.copy_(value)
        return
    rows = torch.from_numpy(array(x, "x").reshape(-1, x.shape[-1]))
    usable = torch.isfinite(rows).all(dim=1)
    if mask is not None:
        usable &= mask.reshape(-1)
    if metric == "cosine":
        usable &= (rows != 0).any(dim=1)
    rows = rows[usable]
    n_codes = codes.shape[0]
    if rows.shape[0] < n_codes:
        raise ValueError(
            f"x: k-means init needs as many rows as there are codes, {n_codes}, in the first batch, got "
            f"{rows.shape[0]}; give a larger first batch, or use kmeans_init=False"
        )
    fitted = fit_codebook(rows, n_codes, seed, metric=metric, max_iterations=_KMEANS_ITERATIONS)
    codes.copy_(torch.from_numpy(fitted.vectors.copy()))
    if metric == "cosine":
        rows = normalise_codes(rows)
    sums, counts = sum_by_code(rows, nearest(rows, codes, metric).ids, n_codes)
    cluster_size.copy_(counts)
    code_sums.copy_(sums)


def _initialise(
    codes: Tensor,
    cluster_size: Tensor,
    code_sums: Tensor,
    initialised: Tensor,
    x: Tensor,
    mask: Tensor | None,
    metric: Literal["l2", "cosine"],
    seed: int,
    synchronise: bool,
) -> None:
    if bool(initialised):
        return
    n_ranks = _n_ranks(synchronise)
    failed = torch.zeros((), dtype=torch.bool, device=codes.device)
    state = (codes, cluster_size, code_sums)
    if n_ranks == 1:
        _start_from_kmeans(*state, x, mask, metric, seed)
    elif dist.get_rank() == 0:
        try:
            _start_from_kmeans(*state, x, mask, metric, seed)
        except BaseException:
            dist.broadcast(failed.fill_(True), 0)  # or the other ranks would wait for codes
            raise
    if n_ranks > 1:
        dist.broadcast(failed, 0)
        if failed:
            raise RuntimeError(
                "x: k-means init failed on rank 0, whose rows it uses; see the error of that rank"
            )
        for tensor in state:
            dist.broadcast(tensor, 0)
    initialised.fill_(True)


initialise = define(
    "initialise_codes",
    "Tensor(a!) codes, Tensor(b!) cluster_size, Tensor(c!) code_sums, Tensor(d!) initialised, Tensor x, Tensor? mask, "
    "str metric, int seed, bool synchronise",
    "()",
    _initialise,
    _nothing,
    on_gpu=_initialise,
    mutates=("codes", "cluster_size", "code_sums", "initialised"),
)
