"""P6: the ids of vector-quantize-pytorch, with the ties that its clamp, its root and its rounding make."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import evtok
from evtok.compat.vector_quantize_pytorch import nearest

torch = pytest.importorskip("torch")

Array = npt.NDArray[np.float32]


def problem(kind: str) -> tuple[Array, Array]:
    """Rows (6000, D) and codes (512, D) to which rounding or the clamp gives ties."""
    rng = np.random.default_rng(3)
    n_dims = 4 if kind in ("grid", "within 1e-4") else 8
    x, codes = rng.normal(size=(6000, n_dims)), rng.normal(size=(512, n_dims))
    if kind == "far":
        x, codes = x + 100, codes + 100
    elif kind == "grid":
        x, codes = np.round(x * 16) / 16, np.round(codes * 16) / 16
    elif kind == "within 1e-4":
        x, codes = x * 3e-5, codes * 3e-5
    return x.astype(np.float32), codes.astype(np.float32)


@pytest.mark.peers
@pytest.mark.parametrize("kind", ["gaussian", "far", "grid", "within 1e-4"])
def test_p6_ids_are_those_of_the_package_ties_included(kind: str) -> None:
    package = pytest.importorskip("vector_quantize_pytorch")
    x, codes = problem(kind)
    layer = package.VectorQuantize(dim=x.shape[1], codebook_size=len(codes)).eval()
    layer.codebook = torch.from_numpy(codes)
    with torch.no_grad():
        expected = layer(torch.from_numpy(x).reshape(60, 100, -1))[1]
    ids = nearest(torch.from_numpy(x).reshape(60, 100, -1), layer.codebook)
    assert evtok.last_backend() == "torch"
    assert ids.dtype == expected.dtype
    assert torch.equal(ids, expected)
    if kind in ("far", "within 1e-4"):  # where evtok has other answers, so that the equality says something
        assert (evtok.nearest(x, codes) != ids.numpy().reshape(-1)).any()


def test_p6_codes_within_1e_4_are_equally_near() -> None:
    codes = np.array([[1, 0], [9e-5, 0], [1e-5, 0]], np.float32)
    x = np.zeros((1, 2), np.float32)
    assert (evtok.nearest(x, codes).tolist(), nearest(x, codes).tolist()) == ([2], [1])


def test_ids_are_of_the_kind_and_shape_of_the_vectors() -> None:
    x, codes = problem("gaussian")
    ids = nearest(x[:6].reshape(2, 3, 8), codes)
    assert (type(ids), ids.dtype, ids.shape) == (np.ndarray, np.int64, (2, 3))
    assert nearest(x[0], codes).shape == ()
    assert nearest(x[:0], codes).shape == (0,)
    wide = torch.from_numpy(x[:6].astype(np.float64)).requires_grad_()
    assert nearest(wide, codes).tolist() == ids.reshape(-1).tolist()


@pytest.mark.parametrize(
    ("x", "codebook", "message"),
    [
        (np.ones((2, 3)), np.ones((4, 2)), r"x: expected shape \(\.\.\., 2\), got \(2, 3\)"),
        (np.ones((2, 3)), np.ones(3), r"codebook: expected shape \(K, D\)"),
        (np.ones((2, 3)), np.ones((0, 3)), "with K >= 1"),
    ],
)
def test_p21_shapes_that_do_not_fit_are_refused(x: Any, codebook: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nearest(x, codebook)
