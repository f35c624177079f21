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
        NumPy array, torch tensor or CuPy array, any layout; float16 and bfloat16 are computed in float32, which holds
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
        float64, which would lose digits, targets that are no integers, tensors that need grad.
    ValueError
        A target out of range, an invalid row ("raise"), weights that hold NaN or infinity, shapes that do not fit.

    Notes
    -----
    The bits of a row are defined by `evtok.reference_scoring.token_nll`; they depend neither on the other rows nor on
    the threads nor on the machine, and agree with float64 to 1e-4 for logits of ordinary size. Memory: one copy of
    the weights, and a few hundred kilobytes for each thread. `TokenHead` keeps that copy for many calls.

    On a GPU, where `d` is up to 1024, the products are those of tensor cores: bfloat16 numbers as they are, float32 in
    two bfloat16 parts, of which the smallest product (2**-16) is left out. The bits of a row still do not depend on the
    other rows, and agree with float64 to the same 1e-4. Each row takes 8 bytes for 2048 tokens. With
    ``on_invalid="sentinel"`` nothing waits for the device, so that a wrong target gives NaN too.
    """
    if _arrays.on_gpu(hidden):
        from evtok.cuda.token_nll import token_nll as on_gpu

        check_on_invalid(on_invalid)
        return on_gpu(hidden, weight, bias, targets, _checked_ignored(ignore_index), on_invalid)
    return TokenHead(weight, bias, threads=threads).nll(
        hidden, targets, ignore_index, on_invalid=on_invalid, threads=threads
    )


class TokenHead:
    """The last layer of a model, prepared for many calls of `nll`: immutable, for any number of threads.

    Parameters
    ----------
    weight : float32 (V, d)
        Copied; finite. If it lies on a GPU, rows there are scored; else rows anywhere.
    bias : float32 (V,), or None
    threads : int, optional
        For the preparation.
    """

    def __init__(self, weight: Any, bias: Any | None = None, *, threads: int | None = None) -> None:
        self._kernel: _core.TokenHead | None = None
        if _arrays.on_gpu(weight):
            from evtok.cuda.token_nll import head_on_gpu

            self.n_tokens, self.n_dims = head_on_gpu(self, weight, bias)
            return
        weights = _float32(weight, "weight", 2)
        biases = None if bias is None else _float32(bias, "bias", 1)
        self._kernel = _core.TokenHead(weights, biases, threads or 0)
        self.n_tokens, self.n_dims = weights.shape

    def __reduce__(self) -> Any:
        raise TypeError("a TokenHead is not pickled or copied; send the weights, and make it anew there")

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
        kernel_of_cpu = self._kernel
        if _arrays.on_gpu(hidden):
            from evtok.cuda.token_nll import token_nll_of as on_gpu

            check_on_invalid(on_invalid)
            weights = None if kernel_of_cpu is None else kernel_of_cpu.parameters
            return on_gpu(self, weights, hidden, targets, _checked_ignored(ignore_index), on_invalid)
        if kernel_of_cpu is None:
            raise TypeError("hidden: is on the host, but the weights lie on a GPU; move one of them")
        rows = _float32(hidden, "hidden", 2)
        if rows.shape[1] != self.n_dims:
            raise ValueError(
                f"hidden: expected shape (n, {self.n_dims}) as the weights have, got {rows.shape}"
            )

        def kernel(*arguments: Any) -> tuple[int, int, bool]:
            return kernel_of_cpu.nll(rows, *arguments)

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
    if _arrays.on_gpu(logits):
        from evtok.cuda.token_nll import nll_from_logits as on_gpu

        check_on_invalid(on_invalid)
        return on_gpu(logits, targets, _checked_ignored(ignore_index), on_invalid)
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
    ignored = _checked_ignored(ignore_index)
    tokens = _checked_targets(targets, len(rows), n_tokens, ignored)
    result = _arrays.result(len(rows), np.float32)
    refused, first, finite = kernel(tokens, ignored, threads or 0, result)
    if refused and on_invalid == "raise":
        raise refusal(name, first, finite, ignored)
    _backend.used_native()
    return _arrays.like(result, given)


def refusal(name: str, row: int, finite: bool, ignored: int) -> ValueError:
    """Say why row `row` of the argument `name` has no score."""
    if not finite:
        reason = "holds NaN or infinity"
    elif name == "hidden":
        reason = "is so large that its logits may overflow"
    else:
        reason = "gives its target, or every token, no probability (-infinity, or too far below the largest)"
    return ValueError(
        f"{name}: row {row} {reason}; drop such rows, ignore them (target {ignored}), or use "
        'on_invalid="sentinel", which gives NaN'
    )


def wrong_target(row: int, n_tokens: int, ignored: int, target: int) -> ValueError:
    """Say that the target of row `row` is no token."""
    return ValueError(
        f"targets: row {row}: expected a token from 0 to {n_tokens - 1}, or {ignored} to ignore the row, got {target}"
    )


def _checked_ignored(ignore_index: int) -> int:
    ignored = operator.index(ignore_index)
    if not _INT64.min <= ignored <= _INT64.max:
        raise ValueError(f"ignore_index: expected a number that int64 holds, got {ignored}")
    return ignored


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
        raise wrong_target(wrong, n_tokens, ignored, int(values[wrong]))
    return tokens
