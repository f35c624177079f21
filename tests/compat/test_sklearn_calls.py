"""`evtok.compat.sklearn` is scikit-learn's. Tolerance class of this file: indices with ==, distances to 1e-6."""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import evtok
from evtok.compat import sklearn as ours

NAMES = ["pairwise_distances_argmin", "pairwise_distances_argmin_min"]
X = np.arange(8.0).reshape(4, 2)
Y = np.array([[0.0, 0], [3, 3], [3, 3]])


def peer() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sklearn.metrics")


def check(x: Any, y: Any, **options: Any) -> None:
    """The same indices, types and dtypes as scikit-learn, and distances that differ by rounding alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # A copy of the options, for scikit-learn takes arguments out of the caller's dictionary.
        expected = peer().pairwise_distances_argmin_min(x, y, **copy.deepcopy(options))
        got = ours.pairwise_distances_argmin_min(x, y, **copy.deepcopy(options))
        alone = ours.pairwise_distances_argmin(x, y, **copy.deepcopy(options))
        np.testing.assert_array_equal(alone, expected[0])
        assert alone.dtype == expected[0].dtype
    assert type(got) is tuple
    for mine, theirs in zip(got, expected, strict=True):
        assert type(mine) is type(theirs)
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-6, atol=1e-7)


@pytest.mark.peers
@pytest.mark.parametrize("name", NAMES)
def test_signature(name: str) -> None:
    expected, got = (inspect.signature(getattr(m, name)).parameters.values() for m in (peer(), ours))
    assert [(p.name, p.kind, p.default) for p in got] == [(p.name, p.kind, p.default) for p in expected]


@pytest.mark.peers
@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_, ">f4", ">f8"]
)
@pytest.mark.parametrize("code_dtype", [np.float32, np.float64, np.int64])
def test_p16_every_pair_of_real_dtypes(dtype: Any, code_dtype: Any) -> None:
    check(X.astype(dtype), Y.astype(code_dtype))
    assert evtok.last_backend().startswith("evtok:")


@pytest.mark.peers
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"axis": 0},
        {"metric": "l2"},
        {"metric": "sqeuclidean"},
        {"metric_kwargs": {}},
        {"metric_kwargs": {"squared": True}},
        {"metric_kwargs": {"squared": True}, "axis": 0},
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_euclidean_options_run_the_kernel(options: dict[str, Any], dtype: type) -> None:
    rng = np.random.default_rng(0)
    for n, k, d in ((1, 1, 1), (40, 7, 3), (300, 50, 20)):
        check(rng.normal(size=(n, d)).astype(dtype), rng.normal(size=(k, d)).astype(dtype), **options)
        assert evtok.last_backend().startswith("evtok:")


@pytest.mark.peers
@pytest.mark.parametrize(
    "options",
    [
        {"metric": "cosine"},
        {"metric": "manhattan"},
        {"metric": "minkowski", "metric_kwargs": {"p": 3}},
        {"metric": "nan_euclidean"},
        {"metric": lambda a, b: float(abs(a - b).max())},
        {"metric_kwargs": {"Y_norm_squared": (Y**2).sum(1)}},
    ],
)
def test_other_metrics_and_callables_go_to_sklearn_and_say_so(options: dict[str, Any]) -> None:
    check(X, Y, **options)
    assert evtok.last_backend() == "sklearn"


@pytest.mark.peers
def test_sparse_arrays_strings_and_frames() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    check(sparse.csr_array(X), sparse.csr_array(Y))
    assert evtok.last_backend() == "sklearn"
    check(sparse.csr_array(X), Y)
    assert evtok.last_backend() == "sklearn"
    check(X.astype(str), Y)
    assert evtok.last_backend() == "sklearn"
    check(X.astype(object), Y)
    check(X.tolist(), Y.tolist())
    check(np.ma.array(X), Y)
    pandas = pytest.importorskip("pandas")
    check(pandas.DataFrame(X), Y)
    assert evtok.last_backend().startswith("evtok:")


@pytest.mark.peers
def test_p15_layouts() -> None:
    wide = np.random.default_rng(0).normal(size=(9, 60, 4)).astype(np.float32)
    y = np.asfortranarray(wide[0, :7])
    for view in (wide[3], wide[4, ::-2], np.asfortranarray(wide[5]), np.broadcast_to(wide[6, :1], (5, 4))):
        check(view, y)
        check(
            np.ascontiguousarray(view), y
        )  # scikit-learn's distances are float32 where any array is strided
        check(np.ascontiguousarray(view), np.ascontiguousarray(y))
        check(view.astype(np.float64), y)


@pytest.mark.peers
@pytest.mark.parametrize(
    ("x", "y", "options"),
    [
        (X[:0], Y, {}),
        (X, Y[:0], {}),
        (X[:, :0], Y[:, :0], {}),
        (X, Y[:, :1], {}),
        (X[:, 0], Y[:, 0], {}),
        (X[None], Y[None], {}),
        (np.float32(1), np.float32(2), {}),
        (X.astype(complex), Y, {}),
        (X, Y, {"axis": 2}),
        (X, Y, {"axis": 1.0}),
        (X, Y, {"metric": "unknown"}),
        (X, Y, {"metric_kwargs": []}),
        (X, np.where(Y == 0, np.nan, Y), {}),
        (np.where(X == 1, np.nan, X), Y, {}),
        (np.where(X == 1, np.inf, X), Y, {}),
        (np.where(X == 1, -np.inf, X), Y, {"axis": 0}),
        (np.where(X == 1, np.nan, X), Y, {"metric": "sqeuclidean"}),
    ],
)
def test_p7_p21_what_sklearn_refuses_is_refused(x: Any, y: Any, options: dict[str, Any]) -> None:
    for name in NAMES:
        with pytest.raises(ValueError) as expected:
            getattr(peer(), name)(x, y, **options)
        assert isinstance(expected.value, ValueError)
        with pytest.raises(ValueError):
            getattr(ours, name)(x, y, **options)


def test_p7_the_first_bad_row_is_named() -> None:
    x = X.copy()
    x[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"X: Input contains NaN or infinity; the first is in row 2"):
        ours.pairwise_distances_argmin(x, Y)
    with pytest.raises(ValueError, match=r"Y: Input contains NaN or infinity; the first is in row 2"):
        ours.pairwise_distances_argmin(Y, x, axis=0)
    with pytest.raises(ValueError, match="X: every squared distance of row 1 overflows"):
        ours.pairwise_distances_argmin([[0.0], [1e200]], [[1.0]])


def test_float32_is_computed_in_float64() -> None:
    tiny = np.array([[1e-40, 2e-40]], np.float32)  # its squares underflow in float32
    argmin, distances = ours.pairwise_distances_argmin_min(
        tiny, np.array([[0, 0], [1e-40, 2e-40]], np.float32)
    )
    assert argmin.tolist() == [1]
    assert distances.tolist() == [0.0]


def test_p3_ties_go_to_the_lowest_index() -> None:
    assert ours.pairwise_distances_argmin([[0.0]], [[2.0], [1.0], [-1.0], [1.0]]).tolist() == [1]


def test_p50_a_missing_peer_is_named() -> None:
    program = """
import sys; sys.modules["sklearn"] = None
from evtok.compat.sklearn import pairwise_distances_argmin
print(pairwise_distances_argmin([[1.0]], [[0.0], [1.0]]))
try:
    pairwise_distances_argmin([[1.0]], [[0.0], [1.0]], metric="cosine")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[1]")
    assert "sklearn is not installed" in done.stdout
    assert "pip install scikit-learn" in done.stdout
