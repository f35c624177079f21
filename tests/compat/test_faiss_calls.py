"""`evtok.compat.faiss` is FAISS's flat indices. Tolerance class of this file: labels with ==, distances to 1e-5."""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
import threading
import warnings
from typing import Any

import numpy as np
import pytest

import evtok
from evtok.compat import faiss as ours

NAMES = ["IndexFlatL2", "IndexFlatIP"]
X = np.arange(8, dtype=np.float32).reshape(4, 2)
CODES = np.array([[0.0, 0], [3, 3], [2, 5]], np.float32)
LARGEST = np.finfo(np.float32).max


def peer() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("faiss")


def index(module: Any, name: str, codes: Any = CODES, d: int | None = None) -> Any:
    made = getattr(module, name)(codes.shape[1] if d is None else d)
    made.add(codes)
    return made


def same(got: Any, expected: Any, *, rtol: float = 1e-5) -> None:
    """The same types, dtypes and numbers; arrays of floats to `rtol`."""
    if isinstance(expected, tuple):
        for mine, theirs in zip(got, expected, strict=True):
            same(mine, theirs, rtol=rtol)
        return
    assert type(got) is type(expected)
    if isinstance(expected, np.ndarray):
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(got, expected, rtol=rtol, atol=1e-5)
        else:
            np.testing.assert_array_equal(got, expected)
    else:
        assert got == expected


# ---- FAISS's own tests of flat indices (tests/test_index.py: TestIndexFlat), which its wheel does not hold -------


def flat_test(name: str, n_queries: int, k: int) -> None:
    rng = np.random.RandomState(123)
    codes, queries = (
        rng.random_sample((1000, 32)).astype("f4"),
        rng.random_sample((n_queries, 32)).astype("f4"),
    )
    distances, labels = index(ours, name, codes).search(queries, k)
    if name == "IndexFlatL2":
        exact = ((queries[:, None].astype("f8") - codes) ** 2).sum(2)
        expected = exact.argsort(axis=1, kind="stable")[:, :k]
    else:
        exact = queries.astype("f8") @ codes.T.astype("f8")
        expected = (-exact).argsort(axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(exact, expected, 1)
    # Two vectors may change places only where float32 cannot tell their distances.
    np.testing.assert_allclose(
        np.take_along_axis(exact, labels, 1), best, rtol=0, atol=exact.max() * 34 * 2**-23
    )
    assert all(len(set(row)) == k for row in labels.tolist())
    np.testing.assert_almost_equal(best, distances, decimal=5)
    assert evtok.last_backend().startswith("evtok:")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_queries", [10, 200])
@pytest.mark.parametrize("k", [1, 10, 150])
def test_index_flat(name: str, n_queries: int, k: int) -> None:
    flat_test(name, n_queries, k)


# ---- beside FAISS ------------------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "method", ["add", "search", "reconstruct", "reconstruct_n", "assign", "train", "reset"]
)
def test_signature(name: str, method: str) -> None:
    expected, got = (
        inspect.signature(getattr(getattr(m, name), method)).parameters.values() for m in (peer(), ours)
    )
    assert [(p.name, p.kind, p.default) for p in got] == [(p.name, p.kind, p.default) for p in expected]


@pytest.mark.peers
@pytest.mark.parametrize("name", NAMES)
def test_attributes(name: str) -> None:
    for codes in (CODES, CODES[:0]):
        theirs, mine = index(peer(), name, codes), index(ours, name, codes)
        for attribute in ("d", "ntotal", "is_trained", "metric_type"):
            same(getattr(mine, attribute), getattr(theirs, attribute))
    assert (ours.METRIC_INNER_PRODUCT, ours.METRIC_L2) == (peer().METRIC_INNER_PRODUCT, peer().METRIC_L2)
    assert getattr(ours, name)().d == getattr(peer(), name)().d == 0
    with pytest.raises(AttributeError):
        index(ours, name).nprobe = 3


@pytest.mark.peers
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("n", "k_codes", "d"), [(1, 1, 1), (17, 30, 3), (300, 64, 8), (30, 200, 40)])
def test_search(name: str, n: int, k_codes: int, d: int) -> None:
    rng = np.random.default_rng(0)
    x, codes = (rng.normal(size=(rows, d)).astype(np.float32) for rows in (n, k_codes))
    for k in (1, 2, k_codes, k_codes + 3):
        theirs, mine = (index(m, name, codes).search(x, k) for m in (peer(), ours))
        same(mine, theirs)
    same(index(ours, name, codes).assign(x, 2), index(peer(), name, codes).assign(x, 2))


@pytest.mark.peers
@pytest.mark.parametrize("name", NAMES)
def test_empty_inputs(name: str) -> None:
    for module_call in (
        lambda m: index(m, name).search(X[:0], 2),
        lambda m: index(m, name, CODES[:0]).search(X, 2),
        lambda m: index(m, name, CODES[:0]).search(X[:0], 1),
        lambda m: index(m, name, CODES[:0]).reconstruct_n(),
    ):
        same(module_call(ours), module_call(peer()))


@pytest.mark.peers
def test_no_features() -> None:
    same(*(index(m, "IndexFlatL2", CODES[:, :0]).search(X[:, :0], 2) for m in (ours, peer())))


@pytest.mark.peers
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.int32, np.int64, np.bool_, ">f4", np.longdouble]
)
def test_p16_dtypes_become_float32_as_in_faiss(name: str, dtype: Any) -> None:
    same(
        index(ours, name, CODES.astype(dtype)).search(X, 1),
        index(peer(), name, CODES.astype(dtype)).search(X, 1),
    )
    same(index(ours, name).search(X.astype(dtype), 1), index(peer(), name).search(X.astype(dtype), 1))


@pytest.mark.peers
@pytest.mark.parametrize("name", NAMES)
def test_p15_layouts(name: str) -> None:
    wide = np.random.default_rng(0).normal(size=(9, 60, 4)).astype(np.float32)
    codes = np.asfortranarray(wide[0, :7])
    for view in (wide[3], wide[4, ::-2], np.asfortranarray(wide[5]), np.broadcast_to(wide[6, :1], (5, 4))):
        same(index(ours, name, codes).search(view, 3), index(peer(), name, codes).search(view, 3))


@pytest.mark.peers
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, -3e38])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_p7_l2_rows_and_codes_that_are_not_finite(bad: float, k: int) -> None:
    x, codes = X.copy(), CODES.copy()
    x[1, 1] = codes[0, 1] = bad
    for queries, vectors in ((x, CODES), (X, codes), (X, np.full_like(codes, bad))):
        theirs, mine = (index(m, "IndexFlatL2", vectors).search(queries, k) for m in (peer(), ours))
        same(mine, theirs)
    distances, labels = index(ours, "IndexFlatL2").search(x, k)
    assert (labels[1] == -1).all()
    assert (distances[1] == LARGEST).all()


@pytest.mark.peers
def test_p7_inner_products_of_nan() -> None:
    x, codes = X.copy(), CODES.copy()
    x[1, 1] = codes[0, 1] = np.nan
    for queries, vectors in ((x, CODES), (X, codes), (x, codes)):
        theirs, mine = (index(m, "IndexFlatIP", vectors).search(queries, 3) for m in (peer(), ours))
        same(mine, theirs)


def test_p7_inner_products_of_infinity_are_nobodys_nearest() -> None:
    x, codes = X.copy(), CODES.copy()
    x[1, 1] = codes[0, 1] = np.inf
    distances, labels = index(ours, "IndexFlatIP", codes).search(x, 3)
    assert (labels[1] == -1).all()
    assert (distances[1] == -LARGEST).all()
    assert labels[0].tolist() == [2, 1, -1]
    assert distances[0, 2] == -LARGEST


@pytest.mark.peers
@pytest.mark.parametrize("name", NAMES)
def test_reconstruct_and_reset(name: str) -> None:
    for call in (
        lambda i: i.reconstruct(2),
        lambda i: i.reconstruct(1, np.zeros(2, np.float32)),
        lambda i: i.reconstruct_n(),
        lambda i: i.reconstruct_n(1),
        lambda i: i.reconstruct_n(1, 1),
        lambda i: i.reconstruct_n(3, 0),
        lambda i: i.reconstruct_n(0, 2, np.zeros((2, 2), np.float32)),
        lambda i: i.reset(),
        lambda i: i.train(CODES),
        lambda i: (i.reset(), i.ntotal, i.search(X, 2))[1:],
        lambda i: (i.add(X + 100), i.ntotal, i.search(X, 2))[1:],
        lambda i: (i.reset(), i.add(X[:1]), i.search(X, 2))[2],
    ):
        same(call(index(ours, name)), call(index(peer(), name)))


@pytest.mark.peers
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "call",
    [
        lambda i: i.search(X[:, :1], 1),
        lambda i: i.add(X[:, :1]),
        lambda i: i.search(X[0], 1),
        lambda i: i.search(X[None], 1),
        lambda i: i.search(X, 0),
        lambda i: i.search(X, -1),
        lambda i: i.search(X, 1.0),
        lambda i: i.search(X, np.int64(1)),
        lambda i: i.search(X, 1, D=np.zeros((4, 2), np.float32)),
        lambda i: i.search(X, 1, D=np.zeros((4, 1))),
        lambda i: i.search(X, 1, I=np.zeros((4, 1), np.int32)),
        lambda i: i.search(X, 2, I=np.zeros((4, 4), np.int64)[:, ::2]),
        lambda i: i.search(X, 1, None),
        lambda i: i.search(X.astype(np.float16), 1, numeric_type=1),
        lambda i: i.reconstruct(3),
        lambda i: i.reconstruct(1.0),
        lambda i: i.reconstruct(1, np.zeros(2)),
        lambda i: i.reconstruct(1, np.zeros(3, np.float32)),
        lambda i: i.reconstruct_n(1, 3),
        lambda i: i.reconstruct_n(-1, 1),
        lambda i: i.reconstruct_n(5),
        lambda i: type(i)("2"),
        lambda i: type(i)(2, 3),
        lambda i: type(i)(d=2),
    ],
)
def test_p21_errors_are_of_faisss_types_and_have_a_message(name: str, call: Any) -> None:
    with pytest.raises(Exception) as expected:
        call(index(peer(), name))
    with pytest.raises(expected.type) as got:
        call(index(ours, name))
    assert len(str(got.value)) > 10


@pytest.mark.peers
@pytest.mark.parametrize("name", NAMES)
def test_search_parameters_go_to_faiss_and_say_so(name: str) -> None:
    selector = peer().IDSelectorBatch([1, 2])
    options = {"params": peer().SearchParameters(sel=selector)}
    same(index(ours, name).search(X, 2, **options), index(peer(), name).search(X, 2, **options))
    assert evtok.last_backend() == "faiss"


# ---- without FAISS -----------------------------------------------------------------------------------------------


def test_p3_ties_come_in_the_order_of_the_index() -> None:
    codes = np.array([[1, 1], [-1, -1], [1, 1], [0, 0]], np.float32)
    for name, expected in (("IndexFlatL2", [3, 0, 1, 2]), ("IndexFlatIP", [0, 1, 2, 3])):
        assert index(ours, name, codes).search(np.zeros((2, 2), np.float32), 4)[1].tolist() == [expected] * 2


def test_p10_no_id_wraps_around() -> None:
    for key in (-1, 3, 2**40):
        with pytest.raises(RuntimeError, match=r"key: expected from 0 to 2"):
            index(ours, "IndexFlatL2").reconstruct(key)


def test_p17_outputs_are_written_and_returned() -> None:
    distances, labels = np.empty((4, 5), np.float32), np.empty((4, 5), np.int64)
    got = index(ours, "IndexFlatL2").search(X, 5, D=distances, I=labels)
    assert got[0] is distances
    assert got[1] is labels
    same(got, index(ours, "IndexFlatL2").search(X, 5))


def test_added_vectors_are_copied() -> None:
    codes = CODES.copy()
    made = index(ours, "IndexFlatL2", codes)
    codes[:] = 99
    np.testing.assert_array_equal(made.reconstruct_n(), CODES)
    made.reconstruct_n()[:] = 99
    np.testing.assert_array_equal(made.reconstruct_n(), CODES)


def test_complex_numbers_strings_and_objects_are_refused() -> None:
    for dtype in (complex, str, object):
        with pytest.raises(TypeError, match="real numbers"):
            index(ours, "IndexFlatL2").search(X.astype(dtype), 1)


@pytest.mark.parametrize("name", NAMES)
def test_copies_are_independent(name: str) -> None:
    made = index(ours, name)
    for other in (copy.deepcopy(made), copy.copy(made)):
        other.add(CODES)
        assert (other.ntotal, made.ntotal) == (6, 3)
        assert type(other) is type(made)


def test_p24_searching_while_others_add() -> None:
    made = index(ours, "IndexFlatL2")
    expected = made.search(X, 1)
    failures: list[str] = []

    def search() -> None:
        for _ in range(200):
            distances, labels = made.search(X, 1)
            if not (np.array_equal(labels, expected[1]) and np.array_equal(distances, expected[0])):
                failures.append(str(labels))

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        made.add(np.full((1, 2), 1e6, np.float32))  # too far to be anybody's nearest
    for thread in threads:
        thread.join()
    assert not failures
    assert made.ntotal == 53


def test_p50_faiss_need_not_be_installed() -> None:
    program = """
import sys; sys.modules["faiss"] = None
import numpy as np
from evtok.compat.faiss import IndexFlatL2
index = IndexFlatL2(2)
index.add(np.eye(2, dtype=np.float32))
print(index.search(np.eye(2, dtype=np.float32), 1)[1].ravel())
try:
    index.search(np.eye(2, dtype=np.float32), 1, params=object())
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[0 1]")
    assert "faiss is not installed" in done.stdout
    assert "pip install faiss-cpu" in done.stdout
