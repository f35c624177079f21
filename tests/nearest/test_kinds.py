"""Torch tensors and awkward arrays: the result is of the kind of the input, and its values are those for NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evtok
from nearest.vectors import problem

# ---- torch ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int16"])
def test_torch_in_torch_out(dtype: str, k: int) -> None:
    torch = pytest.importorskip("torch")
    x, codes = (
        torch.from_numpy(10 * part).to(getattr(torch, dtype)) for part in problem("gaussian", 60, 80, 4)
    )
    got = evtok.nearest(x.reshape(5, 12, 4), codes, k=k, return_distance=True, return_margin=True)
    wide = torch.float64 if dtype == "float64" else torch.float32
    expected = evtok.nearest(
        x.to(wide).numpy(), codes.to(wide).numpy(), k=k, return_distance=True, return_margin=True
    )
    for ours, wanted in zip(got, expected, strict=True):
        assert isinstance(ours, torch.Tensor)
        np.testing.assert_array_equal(ours.numpy().reshape(wanted.shape), wanted)
    assert got[0].dtype == torch.int32
    assert got[0].shape == ((5, 12) if k == 1 else (5, 12, 3))
    assert got[1].dtype == wide


def test_torch_views_and_masks() -> None:
    torch = pytest.importorskip("torch")
    x, codes = problem("gaussian", 60, 80, 4)
    mask = np.arange(60) % 3 > 0
    tensor = torch.from_numpy(x.T.copy()).T  # not contiguous
    ids = evtok.nearest(tensor, torch.from_numpy(codes), mask=torch.from_numpy(mask))
    np.testing.assert_array_equal(ids.numpy(), evtok.nearest(x, codes, mask=mask))
    np.testing.assert_array_equal(torch.from_numpy(x)[::2].numpy(), x[::2])
    one = evtok.nearest(torch.from_numpy(x[0]), codes)
    assert isinstance(one, torch.Tensor)
    assert one.shape == ()
    assert torch.equal(
        evtok.Codebook(torch.from_numpy(codes)).decode(ids[1:3]), torch.from_numpy(codes)[ids[1:3]]
    )


def test_torch_tensors_that_cannot_be_are_refused() -> None:
    torch = pytest.importorskip("torch")
    codes = torch.ones(3, 4)
    with pytest.raises(TypeError, match=r"x: this call has no gradient; use x.detach\(\)"):
        evtok.nearest(torch.ones(2, 4, requires_grad=True), codes)
    with pytest.raises(TypeError, match="x: expected a tensor on the CPU"):
        evtok.nearest(torch.ones(2, 4, device="meta"), codes)
    with pytest.raises(TypeError, match="one dtype"):
        evtok.nearest(torch.ones(2, 4), codes.double())


# ---- awkward --------------------------------------------------------------------------------------------------


def lists(x: Any, counts: list[int]) -> list[Any]:
    return [part.tolist() for part in np.split(x, np.cumsum(counts)[:-1])] if counts else []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.sampled_from([1, 2]))
def test_ragged_awkward_in_ragged_awkward_out(counts: list[int], k: int) -> None:
    ak = pytest.importorskip("awkward")
    x, codes = problem("gaussian", sum(counts), 50, 3, np.float64)
    flat = evtok.nearest(x, codes, k=k, return_distance=True, return_margin=True)
    ragged = ak.unflatten(ak.from_numpy(x, regulararray=True), counts)
    got = evtok.nearest(ragged, codes, k=k, return_distance=True, return_margin=True)
    for ours, wanted in zip(got, flat, strict=True):
        assert isinstance(ours, ak.Array)
        assert ours.to_list() == lists(wanted, counts)
    assert "int32" in str(got[0].type)


def test_awkward_lists_of_lists_slices_and_masks() -> None:
    ak = pytest.importorskip("awkward")
    codes = np.eye(2, dtype=np.float32)
    x = ak.values_astype(
        ak.Array([[[[1, 0], [0, 2]], []], [], [[[3, 0]]], [[[0, 1]], [[0, 4], [5, 0]]]]), "float32"
    )
    assert evtok.nearest(x, codes).to_list() == [[[0, 1], []], [], [[0]], [[1], [1, 0]]]
    assert evtok.nearest(x[[3, 1, 0]], codes).to_list() == [[[1], [1, 0]], [], [[0, 1], []]]
    assert evtok.nearest(x[::2, :1], codes).to_list() == [[[0, 1]], [[0]]]
    mask = ak.Array([[[True, False], []], [], [[True]], [[False], [True, True]]])
    assert evtok.nearest(x, codes, mask=mask).to_list() == [[[0, -1], []], [], [[0]], [[-1], [1, 0]]]
    assert evtok.nearest(ak.Array(np.eye(2, dtype=np.float32)), codes).to_list() == [0, 1]


def test_awkward_arrays_that_are_no_vectors_are_refused() -> None:
    ak = pytest.importorskip("awkward")
    codes = np.eye(2)
    with pytest.raises(ValueError, match="x: expected vectors of one length in the innermost lists"):
        evtok.nearest(ak.Array([[[1.0, 2.0], [3.0]]]), codes)
    with pytest.raises((TypeError, ValueError), match="x: "):
        evtok.nearest(ak.Array([[[1.0, None]]]), codes)
    with pytest.raises((TypeError, ValueError), match="x: "):
        evtok.nearest(ak.Array([[{"pt": 1.0, "eta": 2.0}]]), codes)
    with pytest.raises(ValueError, match="row 1 holds NaN"):
        evtok.nearest(ak.Array([[[1.0, 2.0]], [[np.nan, 3.0]]]), codes)
    with pytest.raises(ValueError, match=r"x: expected shape \(..., 2\)"):
        evtok.nearest(ak.Array([[[1.0, 2.0, 3.0]]]), codes)


def test_awkward_events_without_objects() -> None:
    ak = pytest.importorskip("awkward")
    codes = np.eye(2)
    x = ak.Array([[[1.0, 0.0]], [], []])
    assert evtok.nearest(x[1:], codes).to_list() == [[], []]
    assert evtok.nearest(x[:0], codes).to_list() == []
