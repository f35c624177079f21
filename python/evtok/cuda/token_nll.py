"""`evtok.scoring.token_nll`, `TokenHead` and `nll_from_logits` on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from evtok import _arrays, _backend
from evtok.codebook._rows import OnInvalid
from evtok.cuda.arrays import Place, View
from evtok.cuda.prepared import prepared
from evtok.scoring.token_nll import refusal, wrong_target

_NUMBERS = ("float32", "bfloat16", "float16")
_INTEGERS = ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32")

# Why a row has no result, as NllFault of cuda/token_nll.cuh counts.
_NOT_FINITE, _TOO_LARGE, _WRONG_TARGET = range(3)
_INFINITE = 0x7F800000  # bits of infinity; those of NaN are above


class PackedHead(NamedTuple):
    """A last layer as the kernel reads it, on a device."""

    weight: View
    bias: View
    largest: View
    n_tokens: int
    n_dims: int
    bfloat16: bool


def pack(place: Place, weight: Any, bias: Any | None) -> PackedHead:
    """Lay weight (V, d) and bias (V,) out for scoring."""
    weights = _numbers(place, weight, "weight", 2)
    n_tokens, n_dims = weights.shape
    if min(n_tokens, n_dims) < 1 or n_dims > place.cuda.most_nll_dims:
        raise ValueError(
            f"weight: expected shape (V, d) with d up to {place.cuda.most_nll_dims} on a GPU, got {weights.shape}"
        )
    biases = None
    if bias is not None:
        biases = _as_float32(place, _numbers(place, bias, "bias", 1), "bias")
        if biases.shape != (n_tokens,):
            raise ValueError(f"bias: expected shape ({n_tokens},), got {biases.shape}")
    bfloat16 = weights.dtype == "bfloat16"
    n_weights, n_columns, _ = place.cuda.nll_sizes(n_tokens, n_dims, bfloat16)
    packed = PackedHead(
        place.empty((n_weights,), "int16"),
        place.empty((n_columns,), "float32"),
        place.empty((2,), "int32"),
        n_tokens,
        n_dims,
        bfloat16,
    )
    place.cuda.pack_head(
        weights.address,
        bfloat16,
        0 if biases is None else biases.address,
        n_tokens,
        n_dims,
        packed.weight.address,
        packed.bias.address,
        packed.largest.address,
        place.stream,
    )
    return packed


def head_on_gpu(owner: object, weight: Any, bias: Any | None) -> tuple[int, int]:
    """Prepare a `TokenHead` of weights on a GPU; returns (V, d)."""
    place = Place(weight=weight, bias=bias)
    with place:
        head = prepared(owner, place, lambda here: pack(here, weight, bias))
    return head.n_tokens, head.n_dims


def token_nll(
    hidden: Any, weight: Any, bias: Any | None, targets: Any, ignored: int, on_invalid: OnInvalid
) -> Any:
    """Score hidden rows (n, d) that lie on a GPU; the weights are used once."""
    place = Place(hidden=hidden, weight=weight, bias=bias, targets=targets)
    with place:
        return _token_nll(place, pack(place, weight, bias), hidden, targets, ignored, on_invalid)


def token_nll_of(
    owner: object,
    weights: Callable[[], Any] | None,
    hidden: Any,
    targets: Any,
    ignored: int,
    on_invalid: OnInvalid,
) -> Any:
    """Score hidden rows by a `TokenHead`; `weights` brings its weight and bias, None where they are on the GPU."""
    place = Place(hidden=hidden, targets=targets)

    def make(here: Place) -> PackedHead:
        if weights is None:
            raise ValueError("hidden: lies on another device, or is of another package, than the weights")
        return pack(here, *weights())

    with place:
        return _token_nll(place, prepared(owner, place, make), hidden, targets, ignored, on_invalid)


def _token_nll(
    place: Place, head: PackedHead, hidden: Any, targets: Any, ignored: int, on_invalid: OnInvalid
) -> Any:
    rows = _numbers(place, hidden, "hidden", 2)
    if rows.shape[1] != head.n_dims:
        raise ValueError(f"hidden: expected shape (n, {head.n_dims}) as the weights have, got {rows.shape}")
    tokens = _targets(place, targets, rows.shape[0])
    nll, statuses = place.empty((rows.shape[0],), "float32"), place.statuses(place.cuda.nll_faults)
    _, _, n_parts = place.cuda.nll_sizes(head.n_tokens, head.n_dims, head.bfloat16)
    parts = place.empty((rows.shape[0], n_parts, 2), "float32")
    target_logits = place.empty((rows.shape[0],), "float32")
    place.cuda.token_nll(
        head.weight.address,
        head.bias.address,
        head.largest.address,
        head.n_tokens,
        head.n_dims,
        head.bfloat16,
        rows.address,
        rows.dtype == "bfloat16",
        tokens.address,
        rows.shape[0],
        ignored,
        parts.address,
        target_logits.address,
        statuses.address,
        nll.address,
        place.stream,
    )
    if on_invalid == "raise":
        _raise(place, statuses, "hidden", tokens, head.n_tokens, ignored, head)
    _backend.used_cuda()
    return nll.array


def nll_from_logits(logits: Any, targets: Any, ignored: int, on_invalid: OnInvalid) -> Any:
    """Score rows by logits (n, V) that lie on a GPU."""
    place = Place(logits=logits, targets=targets)
    with place:
        rows = _numbers(place, logits, "logits", 2)
        n, n_tokens = rows.shape
        if n_tokens < 1:
            raise ValueError(f"logits: expected shape (n, V), got {rows.shape}")
        tokens = _targets(place, targets, n)
        nll, statuses = place.empty((n,), "float32"), place.statuses(place.cuda.nll_faults)
        place.cuda.nll_from_logits(
            rows.address,
            rows.dtype == "bfloat16",
            tokens.address,
            n,
            n_tokens,
            ignored,
            statuses.address,
            nll.address,
            place.stream,
        )
        if on_invalid == "raise":
            _raise(place, statuses, "logits", tokens, n_tokens, ignored)
    _backend.used_cuda()
    return nll.array


def _numbers(place: Place, x: Any, name: str, ndim: int) -> View:
    """View numbers in float32 or bfloat16; float16 becomes float32, exactly."""
    if not _arrays.on_gpu(x) and x is not None and str(getattr(x, "dtype", "")) == "torch.bfloat16":
        x = x.float()  # NumPy, which carries it to the device, has no bfloat16
    view = place.view(x, name, _NUMBERS, ndim=ndim)
    return _as_float32(place, view, name) if view.dtype == "float16" else view


def _as_float32(place: Place, x: View, name: str) -> View:
    return (
        x if x.dtype == "float32" else place.view(place.package.cast(x.array, "float32"), name, ("float32",))
    )


def _targets(place: Place, targets: Any, n: int) -> View:
    tokens = place.view(targets, "targets", _INTEGERS)
    if tokens.shape != (n,):
        raise ValueError(f"targets: expected shape ({n},), one for each row, got {tokens.shape}")
    if tokens.dtype == "int64":
        return tokens
    return place.view(place.package.cast(tokens.array, "int64"), "targets", ("int64",))


def _raise(
    place: Place,
    statuses: View,
    name: str,
    targets: View,
    n_tokens: int,
    ignored: int,
    head: PackedHead | None = None,
) -> None:
    found = place.get(statuses)
    if not found[:, 0].any():
        return
    if found[_WRONG_TARGET, 0]:
        row = int(found[_WRONG_TARGET, 1])
        target = int(place.package.get(targets.array[row : row + 1])[0])
        raise wrong_target(row, n_tokens, ignored, target)
    if head is not None:
        for which, bits in zip(("weight", "bias"), place.get(head.largest), strict=True):
            if bits >= _INFINITE:
                raise ValueError(f"{which}: holds NaN or infinity")
    first = min((int(found[fault, 1]), fault) for fault in (_NOT_FINITE, _TOO_LARGE) if found[fault, 0])
    raise refusal(name, first[0], first[1] == _TOO_LARGE, ignored)
