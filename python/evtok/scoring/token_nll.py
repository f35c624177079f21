"""How surprising each token is: the negative log-likelihood of a target under a model's last layer, or its logits."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _backend, _core
from evtok.codebook._rows import OnInvalid, check_on_invalid

Array = npt.NDArray[Any]

_INT64 = np.iinfo(np.int64)


def token_nll(
    hidden: Any,
    weight: Any,
    bias: Any | None,
    targets: Any,
    ignore_index: int = -100,
    *,
    on_invalid: OnInvalid = "raise",
    threads: int | None = None,
) -> Any:
    """Return the negative log-likelihood of each row's target: linear, log-softmax and gather, without the logits.

    Parameters
    ----------
    hidden : float32 (n, d)
        NumPy array or torch tensor on the CPU, any layout; float16 and bfloat16 are computed in float32, which holds
        them exactly.
    weight : float32 (V, d)
        As `torch.nn.Linear` has it.
    bias : float32 (V,), or None
    targets : integers (n,)
        Tokens from 0 to V - 1.
    ignore_index : int
        Rows of this target are not looked at and give 0, as those of `torch.nn.functional.cross_entropy`.
    on_invalid : "raise" or "sentinel"
        What becomes of a row that holds NaN or infinity, or is so large that a logit might overflow: an error, or NaN.
    threads : int, optional
        By default `EVTOK_NUM_THREADS` or the CPUs that this process may use.

    Returns
    -------
    float32 (n,), of the kind of `hidden`
        In nats, 0 or above.

    Raises
    ------
    TypeError
        float64, which would lose digits, targets that are no integers, tensors on a GPU or that need grad.
    ValueError
        A target out of range, an invalid row ("raise"), weights that hold NaN or infinity, shapes that do not fit.

    Notes
    -----
    The bits of a row are defined by `evtok.reference_scoring.token_nll`; they depend neither on the other rows nor on
    the threads nor on the machine, and agree with float64 to 1e-4 for logits of ordinary size. Memory: one copy of
    the weights, and a few hundred kilobytes for each thread. `TokenHead` keeps that copy for many calls.
    """
    return TokenHead(weight, bias, threads=threads).nll(
        hidden, targets, ignore_index, on_invalid=on_invalid, threads=threads
    )


class TokenHead:
    """The last layer of a model, prepared for many calls of `nll`: immutable, for any number of threads.

    Parameters
    ----------
    weight : float32 (V, d)
        Copied; finite.
    bias : float32 (V,), or None
    threads : int, optional
        For the preparation.
    """

    def __init__(self, weight: Any, bias: Any | None = None, *, threads: int | None = None) -> None:
        weights = _float32(weight, "weight", 2)
        biases = None if bias is None else _float32(bias, "bias", 1)
        self._kernel = _core.TokenHead(weights, biases, threads or 0)
        self.n_tokens, self.n_dims = weights.shape

    def nll(
        self,
        hidden: Any,
        targets: Any,
        ignore_index: int = -100,
        *,
        on_invalid: OnInvalid = "raise",
        threads: int | None = None,
    ) -> Any:
        """Do the work of `token_nll` with these weights."""
        rows = _float32(hidden, "hidden", 2)
        if rows.shape[1] != self.n_dims:
            raise ValueError(
                f"hidden: expected shape (n, {self.n_dims}) as the weights have, got {rows.shape}"
            )

        def kernel(*arguments: Any) -> tuple[int, int, bool]:
            return self._kernel.nll(rows, *arguments)

        return _scored(
            hidden, "hidden", rows, kernel, self.n_tokens, targets, ignore_index, on_invalid, threads
        )


def nll_from_logits(
    logits: Any,
    targets: Any,
    ignore_index: int = -100,
    *,
    on_invalid: OnInvalid = "raise",
    threads: int | None = None,
) -> Any:
    """Return the negative log-likelihood of each row's target from its logits: log-softmax and gather, in one pass.

    Parameters
    ----------
    logits : float32 (n, V)
        -infinity is the logit of a token that cannot come; it may be neither that of the target nor that of all.
    targets, ignore_index, on_invalid, threads
        As for `token_nll`, which gives the same bits where the logits are those of its definition.

    Returns
    -------
    float32 (n,), of the kind of `logits`

    Raises
    ------
    TypeError, ValueError
        As for `token_nll`; a row is invalid that holds NaN or +infinity, or whose target or every token is impossible:
        -infinity, or so far below the largest that the difference overflows.
    """
    rows = _float32(logits, "logits", 2)

    def kernel(*arguments: Any) -> tuple[int, int, bool]:
        return _core.nll_from_logits(rows, *arguments)

    return _scored(logits, "logits", rows, kernel, rows.shape[1], targets, ignore_index, on_invalid, threads)


def _scored(
    given: Any,
    name: str,
    rows: Array,
    kernel: Callable[..., tuple[int, int, bool]],
    n_tokens: int,
    targets: Any,
    ignore_index: int,
    on_invalid: OnInvalid,
    threads: int | None,
) -> Any:
    """Check the targets, run the kernel, and do with refused rows what `on_invalid` says."""
    check_on_invalid(on_invalid)
    ignored = operator.index(ignore_index)
    if not _INT64.min <= ignored <= _INT64.max:
        raise ValueError(f"ignore_index: expected a number that int64 holds, got {ignored}")
    tokens = _checked_targets(targets, len(rows), n_tokens, ignored)
    result = np.empty(len(rows), np.float32)
    refused, first, finite = kernel(tokens, ignored, threads or 0, result)
    if refused and on_invalid == "raise":
        if not finite:
            reason = "holds NaN or infinity"
        elif name == "hidden":
            reason = "is so large that its logits may overflow"
        else:
            reason = (
                "gives its target, or every token, no probability (-infinity, or too far below the largest)"
            )
        raise ValueError(
            f"{name}: row {first} {reason}; drop such rows, ignore them (target {ignored}), or use "
            'on_invalid="sentinel", which gives NaN'
        )
    _backend.used_native()
    return _arrays.like(result, given)


def _float32(x: Any, name: str, ndim: int) -> Array:
    """View `x` as a contiguous float32 array of so many dimensions."""
    values = _arrays.to_numpy(x, name)
    if values.dtype.kind != "f" or values.dtype.itemsize > 4:
        raise TypeError(
            f"{name}: expected float32 (or float16, bfloat16), got {values.dtype}; this call computes in float32, so "
            "convert it yourself"
        )
    if values.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} dimension{'s' * (ndim > 1)}, got shape {values.shape}")
    return np.require(values, np.float32, ("C", "A"))


def _checked_targets(targets: Any, n: int, n_tokens: int, ignored: int) -> npt.NDArray[np.int64]:
    values = _arrays.to_numpy(targets, "targets")
    if values.dtype.kind not in "iu" and values.size:
        raise TypeError(f"targets: expected integers, got {values.dtype}")
    if values.shape != (n,):
        raise ValueError(f"targets: expected shape ({n},), one for each row, got {values.shape}")
    tokens: npt.NDArray[np.int64] = np.require(values, np.int64, ("C", "A"))
    wrong = _core.first_wrong_target(tokens, n_tokens, ignored)
    if wrong < 0 and values.dtype == np.uint64 and values.size and int(values.max()) > _INT64.max:
        wrong = int(values.argmax())  # it would have become the negative number that is ignored
    if wrong >= 0:
        raise ValueError(
            f"targets: row {wrong}: expected a token from 0 to {n_tokens - 1}, or {ignored} to ignore the row, got "
            f"{values[wrong]}"
        )
    return tokens
