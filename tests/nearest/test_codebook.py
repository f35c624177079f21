"""`evtok.Codebook`: P8 (equal codes), P10 (decoding), P15 (immutability), files, pickles, the affine of vqtorch."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import evtok
from evtok.errors import ArtefactError, EqualCodesWarning
from nearest.vectors import METRICS, everything, problem, specified

# ---- P10: decoding --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["gaussian", "momenta", "shell", "outlier", "1e18", "1e-14"])
@pytest.mark.parametrize(("n_codes", "n_dims"), [(1, 1), (100, 2), (512, 4), (300, 16)])
def test_p10_the_codes_of_decoded_ids_are_the_ids(
    isa: str, kind: str, n_codes: int, n_dims: int, dtype: type
) -> None:
    codes = np.unique(problem(kind, 1, n_codes, n_dims, dtype)[1], axis=0)
    codebook = evtok.Codebook(codes)
    ids = np.random.default_rng(0).integers(0, len(codes), (7, 30))
    np.testing.assert_array_equal(codebook.nearest(codebook.decode(ids)), ids)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.int64, (2, 3), elements=st.integers(-3, 12) | st.integers(-(2**63), 2**63 - 1)))
def test_p10_ids_outside_the_codes_are_refused(ids: Any) -> None:
    codebook = evtok.Codebook(np.arange(20.0).reshape(10, 2))
    if ((ids >= 0) & (ids < 10)).all():
        np.testing.assert_array_equal(codebook.decode(ids), codebook.vectors[ids])
    else:
        with pytest.raises(ValueError, match="ids: expected 0 to 9, got"):
            codebook.decode(ids)


@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
)
def test_p10_ids_of_any_integer_dtype(dtype: type) -> None:
    codebook = evtok.Codebook(np.arange(200.0).reshape(100, 2))
    ids = np.array([[0, 99], [5, 7]], dtype)
    np.testing.assert_array_equal(codebook.decode(ids), codebook.vectors[ids.astype(int)])
    if dtype == np.uint64:
        with pytest.raises(ValueError, match="ids: expected"):
            codebook.decode(np.array([2**64 - 1], np.uint64))


def test_p10_no_ids_decode_to_no_vectors() -> None:
    codebook = evtok.Codebook(np.ones((3, 4), np.float32))
    for shape in ((0,), (2, 0), (0, 5)):
        decoded = codebook.decode(np.zeros(shape, np.int32))
        assert (decoded.shape, decoded.dtype) == ((*shape, 4), np.float32)
    assert codebook.decode(2).shape == (4,)


# ---- what it is -------------------------------------------------------------------------------------------------


def test_attributes() -> None:
    codebook = evtok.Codebook(np.arange(6, dtype=np.float16).reshape(3, 2), "cosine")
    assert (codebook.n_codes, codebook.n_dims, len(codebook), codebook.metric) == (3, 2, 3, "cosine")
    assert codebook.dtype == codebook.vectors.dtype == np.float32
    assert repr(codebook) == "Codebook(3 codes of 2 dimensions, float32, metric='cosine')"
    assert evtok.Codebook([[1, 2], [3, 4]]).dtype == np.float64


@pytest.mark.parametrize("metric", METRICS)
def test_p15_it_is_immutable_and_has_memory_of_its_own(metric: Any) -> None:
    codes = problem("gaussian", 1, 100, 3)[1]
    x = problem("gaussian", 50, 100, 3)[0]
    codebook = evtok.Codebook(codes, metric)
    ids, mark = everything(x, codebook)[0], codebook.fingerprint
    codes[:] = 0
    np.testing.assert_array_equal(everything(x, codebook)[0], ids)
    assert codebook.fingerprint == mark
    with pytest.raises(ValueError, match="read-only"):
        codebook.vectors[0] = 1
    decoded = codebook.decode([1, 1])
    decoded[:] = 7
    assert (codebook.decode([1]) != 7).any()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 3])
def test_it_gives_what_nearest_gives(metric: Any, dtype: type, k: int) -> None:
    x, codes = problem("gaussian", 60, 90, 5, dtype)
    x[7] = np.nan
    mask = np.arange(60) % 4 > 0
    codebook = evtok.Codebook(codes, metric)
    options: dict[str, Any] = {"k": k, "mask": mask, "on_invalid": "sentinel", "threads": 2}
    for wanted in (
        {},
        {"return_distance": True},
        {"return_margin": True},
        {"return_distance": True, "return_margin": True},
    ):
        got = codebook.nearest(x, **options, **wanted)
        by_function = evtok.nearest(x, codes, metric=metric, **options, **wanted)
        by_both = evtok.nearest(x, codebook, **options, **wanted)
        assert isinstance(got, tuple) == bool(wanted)
        for parts in zip(*((r if wanted else (r,)) for r in (got, by_function, by_both)), strict=True):
            np.testing.assert_array_equal(parts[0], parts[1])
            np.testing.assert_array_equal(parts[0], parts[2])
    if dtype == np.float32:
        for ours, expected in zip(
            everything(x, codebook, k=k, mask=mask), specified(x, codes, metric, k, mask=mask), strict=True
        ):
            np.testing.assert_array_equal(ours, expected)


def test_vectors_alone_and_none_at_all() -> None:
    codebook = evtok.Codebook(np.eye(3, dtype=np.float32))
    one = codebook.nearest(np.array([0, 1, 0], np.float32))
    assert one == 1
    assert isinstance(one, np.int32)
    ids, distance, margin = everything(np.zeros((0, 3), np.float32), codebook)
    assert (ids.shape, ids.dtype, distance.dtype, margin.shape) == ((0,), np.int32, np.float32, (0,))
    assert codebook.nearest(np.zeros((2, 0, 3), np.float32), k=2).shape == (2, 0, 2)


# ---- the affine -------------------------------------------------------------------------------------------------


def test_an_affine_is_applied_once_in_float64() -> None:
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(100, 4)).astype(np.float32)
    scale, bias = rng.normal(1, 0.1, 4).astype(np.float32), rng.normal(size=4).astype(np.float32)
    codebook = evtok.Codebook(codes, affine=(scale, bias))
    expected = (codes.astype(np.float64) * scale.astype(np.float64) + bias.astype(np.float64)).astype(
        np.float32
    )
    np.testing.assert_array_equal(codebook.vectors, expected)
    assert codebook == evtok.Codebook(expected)
    np.testing.assert_array_equal(codebook.decode([3]), expected[3:4])
    np.testing.assert_array_equal(evtok.Codebook(codes, affine=(2, 1)).vectors, codes * 2.0 + 1.0)


@pytest.mark.parametrize(
    ("affine", "says"),
    [
        ((1e300, 0), "code 0"),
        ((1, np.nan), "code 0"),
        (([1.0, 2.0], 0), "scale"),
        ((1, np.zeros((4, 1))), "bias"),
    ],
)
def test_an_affine_that_cannot_be_is_refused(affine: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        evtok.Codebook(np.ones((3, 4), np.float32), affine=affine)


# ---- files and copies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saved_loaded_pickled_and_copied_codebooks_are_the_same(
    tmp_path: Path, metric: Any, dtype: type
) -> None:
    x, codes = problem("momenta", 50, 70, 5, dtype)
    codebook = evtok.Codebook(codes, metric)
    codebook.save(tmp_path / "codebook")
    others = [
        evtok.Codebook.load(tmp_path / "codebook"),
        pickle.loads(pickle.dumps(codebook)),
        copy.deepcopy(codebook),
    ]
    for other in others:
        assert other == codebook
        assert hash(other) == hash(codebook)
        assert other.fingerprint == codebook.fingerprint
        for ours, wanted in zip(everything(x, other), everything(x, codebook), strict=True):
            np.testing.assert_array_equal(ours, wanted)


def test_the_fingerprint_is_of_the_codes_and_the_metric() -> None:
    codes = np.arange(6, dtype=np.float32).reshape(3, 2)
    marks = [
        evtok.Codebook(c, metric).fingerprint
        for c, metric in (
            (codes + 1, "l2"),
            (codes + 1, "dot"),
            (codes + 1, "cosine"),
            (codes[::-1] + 1, "l2"),
            ((codes + 1).astype(float), "l2"),
        )
    ]
    assert len(set(marks)) == 5
    assert evtok.Codebook(np.asfortranarray(codes + 1)).fingerprint == marks[0]
    assert all(len(mark) == 64 for mark in marks)


@pytest.mark.parametrize("change", ["kind", "metric", "dtype", "more", "bytes", "config", "gone"])
def test_p33_a_changed_codebook_is_refused(tmp_path: Path, change: str) -> None:
    folder = tmp_path / "codebook"
    evtok.Codebook(np.arange(6, dtype=np.float32).reshape(3, 2)).save(folder)
    config = folder / "config.json"
    content = json.loads(config.read_text())
    replaced = {"kind": "fsq", "metric": "dot", "dtype": "float64", "more": 1}
    if change in replaced:

        def put(node: Any) -> bool:
            if not isinstance(node, dict):
                return False
            if change in node or (change == "more" and "metric" in node):
                node[change] = replaced[change]
                return True
            return any(put(child) for child in node.values())

        assert put(content)
        config.write_text(json.dumps(content))
    elif change == "config":
        config.write_text("{")
    elif change == "gone":
        (folder / "tensors.safetensors").unlink()
    else:
        tensors = folder / "tensors.safetensors"
        raw = bytearray(tensors.read_bytes())
        raw[-1] ^= 1
        tensors.write_bytes(raw)
    with pytest.raises(ArtefactError):
        evtok.Codebook.load(folder)


def test_p8_equal_codes_are_named_in_a_warning() -> None:
    rng = np.random.default_rng(3)
    codes = rng.normal(size=(70_000, 3)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evtok.Codebook(codes)
        evtok.Codebook(codes[:1])
    codes[69_999], codes[5], codes[66_000] = codes[2], 0.0, -0.0
    for dtype in (np.float32, np.float64):
        with pytest.warns(EqualCodesWarning, match="code 66000 equals code 5, and 2 in all") as told:
            evtok.Codebook(codes.astype(dtype))
        assert told[0].filename == __file__
    with warnings.catch_warnings():  # a one-off lookup, and a reference sample, may have equal rows
        warnings.simplefilter("error")
        evtok.nearest(codes[:9], codes[-9:])
        evtok.fit_codebook(codes[[1, 1, 1, 2, 2]], 2)
