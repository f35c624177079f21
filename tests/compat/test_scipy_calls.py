"""`evtok.compat.scipy.vq` is SciPy's vq. Tolerance class of this file: codes with ==, distances to 1e-6 (float32)."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evtok
from evtok.compat.scipy import vq

X = np.arange(8.0).reshape(4, 2)
CODES = np.array([[0.0, 0], [3, 3], [3, 3]])


def check(obs: Any, codes: Any, **options: Any) -> None:
    """The same codes, types and dtypes as SciPy, and distances that differ by rounding alone."""
    peer = pytest.importorskip("scipy.cluster.vq")
    expected, got = peer.vq(obs, codes, **options), vq(obs, codes, **options)
    assert type(got) is tuple
    for ours, theirs in zip(got, expected, strict=True):
        assert type(ours) is type(theirs)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_allclose(
        got[1], expected[1], rtol=1e-6 if got[1].dtype == np.float32 else 1e-14, atol=1e-6
    )


@pytest.mark.peers
def test_signature() -> None:
    peer = pytest.importorskip("scipy.cluster.vq")
    expected, got = (inspect.signature(f).parameters.values() for f in (peer.vq, vq))
    assert [(p.name, p.kind, p.default) for p in got] == [(p.name, p.kind, p.default) for p in expected]


@pytest.mark.peers
@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.int32, np.int64, np.bool_, ">f4", ">f8"]
)
@pytest.mark.parametrize("code_dtype", [np.float32, np.float64])
def test_p16_dtypes_are_promoted_as_scipy_does(dtype: Any, code_dtype: Any) -> None:
    check(X.astype(dtype), CODES.astype(code_dtype))
    assert evtok.last_backend().startswith("evtok:")
    check(X.astype(code_dtype), CODES.astype(dtype))


@pytest.mark.peers
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "k", "d"), [(1, 1, 1), (17, 3, 2), (500, 64, 4), (300, 100, 8), (200, 20, 40)])
def test_gaussian(n: int, k: int, d: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    check(rng.normal(size=(n, d)).astype(dtype), rng.normal(size=(k, d)).astype(dtype))


@pytest.mark.peers
def test_p15_layouts_lists_and_subclasses() -> None:
    wide = np.random.default_rng(0).normal(size=(9, 60, 4)).astype(np.float32)
    codes = np.asfortranarray(wide[0, :7])
    for view in (wide[3], wide[4, ::-2], np.asfortranarray(wide[5]), np.broadcast_to(wide[6, :1], (5, 4))):
        check(view, codes)
    check(X.tolist(), CODES.tolist())
    check(np.ma.array(X), CODES)  # SciPy ignores the mask
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix(X)
    check(matrix, CODES)


@pytest.mark.peers
def test_one_feature_and_empty_inputs() -> None:
    check(X[:, 0], CODES[:, 0])
    check(X[:0], CODES)
    check(X[:0, 0].astype(np.float32), CODES[:, 0].astype(np.float32))
    check(X[:, :0], CODES[:, :0])
    check(X[:0, :0], CODES[:, :0])


@pytest.mark.peers
def test_integers_go_to_scipy_and_say_so() -> None:
    check(X.astype(int), CODES.astype(int))
    assert evtok.last_backend() == "scipy"
    for dtype in (np.float16, np.longdouble):
        with pytest.raises(TypeError):
            vq(X.astype(dtype), CODES.astype(dtype))
    with pytest.raises(ValueError, match="Unsupported dtype"):
        vq(X.astype(complex), CODES)
    with pytest.raises(TypeError):
        vq(X.astype(object), CODES)


@pytest.mark.parametrize(
    ("obs", "codes"),
    [(X, CODES[:, 0]), (X[:, 0], CODES), (X, CODES[:, :1]), (X[None], CODES[None]), (X, CODES[:0])],
)
def test_p21_shapes_that_do_not_fit(obs: Any, codes: Any) -> None:
    with pytest.raises(ValueError, match=r"dimensions|ndim|features|at least one code"):
        vq(obs, codes)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_p7_nan_and_infinities_are_refused(bad: float, dtype: type) -> None:
    x, codes = X.astype(dtype), CODES.astype(dtype)
    x[2, 1] = bad
    with pytest.raises(ValueError, match=r"obs: array must not contain infs or NaNs.*row 2"):
        vq(x, codes)
    with pytest.raises(ValueError, match="code_book: array must not contain infs or NaNs"):
        vq(codes, x)


def test_p7_unchecked_rows_get_no_plausible_code_and_unchecked_codes_no_row() -> None:
    x = X.copy()
    x[1, 1], x[2, 0] = np.nan, np.inf
    code, dist = vq(x, CODES, check_finite=False)
    np.testing.assert_array_equal(code, [0, -1, -1, 1])
    np.testing.assert_array_equal(dist, [1, np.inf, np.inf, 5])
    codes = np.array([[np.nan, 0], [0, 0], [-np.inf, 0], [3, 3]])
    np.testing.assert_array_equal(vq(X, codes, check_finite=False)[0], [1, 3, 3, 3])
    code, dist = vq(X, codes[:1], check_finite=False)
    assert (code == -1).all()
    assert np.isinf(dist).all()


def test_p7_overflow_gets_no_plausible_code() -> None:
    x = np.array([[3e38, 0], [1, 1]], np.float32)
    code, dist = vq(x, -x[:, ::-1])
    assert code[0] == -1
    assert dist[0] == np.inf
    assert code[1] == 1


@given(st.data())
def test_p3_the_code_is_that_of_nearest(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    d = data.draw(st.integers(1, 4))
    row = st.lists(st.integers(-3, 3), min_size=d, max_size=d)
    x = np.array(data.draw(st.lists(row, min_size=1, max_size=8)), dtype) / 7
    codes = np.array(data.draw(st.lists(row, min_size=1, max_size=8)), dtype) / 7
    code, dist = vq(x, codes)
    ids, squared = evtok.nearest(x, codes, return_distance=True)
    np.testing.assert_array_equal(code, ids)
    np.testing.assert_array_equal(dist, np.sqrt(squared))


def test_p50_a_missing_peer_is_named() -> None:
    program = """
import sys; sys.modules["scipy"] = None
import numpy as np
from evtok.compat.scipy import vq
print(vq(np.ones((1, 2)), np.ones((1, 2))))
try:
    vq(np.ones((1, 2), int), np.ones((1, 2), int))
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "(array([0], dtype=int32), array([0.]))" in done.stdout
    assert "scipy is not installed" in done.stdout
    assert "pip install scipy" in done.stdout
