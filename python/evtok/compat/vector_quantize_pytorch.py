"""The ids of `vector-quantize-pytorch`, computed by its formula in torch: for tokens that have to equal stored ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from evtok import _arrays
from evtok.compat._peer import peer


def nearest(x: Any, codebook: Any) -> Any:
    """Return the ids that ``VectorQuantize(..., use_cosine_sim=False)`` in its evaluation mode gives the vectors.

    The formula is ``sqrt(max(|x|^2 + |c|^2 - 2 x.c, 1e-8))`` in float32, by the operators of torch that the package
    calls. Its rounding makes ties, and so does 1e-8: codes within 1e-4 of a vector are equally near. The lowest of the
    tied ids wins.

    Parameters
    ----------
    x : tensor or array (..., D) of real numbers
        Converted to float32, as the package does.
    codebook : tensor or array (K, D)
        ``layer.codebook``.

    Returns
    -------
    int64 tensor or array (...)
        Of the kind and on the device of x. A row of NaN gets a code like any other, as in the package.

    Raises
    ------
    ValueError
        Shapes that do not fit, or no codes.
    MissingBackendError
        torch is not installed. The package itself is not needed.

    Notes
    -----
    Not what `evtok.nearest` returns, and not under its contract: the ids of a row can depend on the other rows, on
    torch's version, and on the machine. They are the package's where torch, machine and the shape of x are the same.
    `evtok.last_backend` says ``"torch"``. The distances (n, K) are in memory at once.
    """
    torch = peer("torch", "torch")
    if isinstance(x, torch.Tensor):
        vectors = x.detach()
    else:
        vectors = torch.from_numpy(np.ascontiguousarray(_arrays.to_numpy(x, "x"), np.float32))
    if isinstance(codebook, torch.Tensor):
        codes = codebook.detach()
    else:
        codes = torch.from_numpy(np.array(_arrays.to_numpy(codebook, "codebook"), np.float32, order="C"))
    if codes.ndim != 2 or not codes.shape[0]:
        raise ValueError(f"codebook: expected shape (K, D) with K >= 1, got {tuple(codes.shape)}")
    if not vectors.ndim or vectors.shape[-1] != codes.shape[1]:
        raise ValueError(f"x: expected shape (..., {codes.shape[1]}), got {tuple(vectors.shape)}")
    rows = vectors.float().reshape(
        1, -1, codes.shape[1]
    )  # with the package's dimension of heads: the same kernels
    ids = _distances(torch, rows, codes.float()[None]).neg().argmax(dim=-1).reshape(vectors.shape[:-1])
    return ids if isinstance(x, torch.Tensor) else ids.numpy()


def _distances(torch: Any, x: Any, codes: Any) -> Any:
    """Compute what the package's ``cdist`` does, in its order."""
    x2, c2 = (x**2).sum(-1), (codes**2).sum(-1)
    products = torch.einsum("bid,bjd->bij", x, codes) * -2
    return (x2[:, :, None] + c2[:, None, :] + products).clamp(min=1e-8).sqrt()
