"""Mahalanobis distances: equal to their definition in bits, close to float64, and fitted the same every time."""

from __future__ import annotations

import signal
from typing import Any

import numpy as np
import pytest

from evtok import _core
from evtok import reference_scoring_rows as reference
from evtok.errors import InvalidEventsError
from evtok.scoring import GaussianClasses, mahalanobis


def problem(n: int, n_classes: int, n_dims: int, shared: bool, seed: int = 1) -> tuple[Any, Any, Any]:
    """Rows, means and precision of classes that overlap, away from the origin."""
    random = np.random.default_rng(seed)
    means = random.normal(5, 2, (n_classes, n_dims))
    factors = random.normal(0, 0.3, (n_classes, n_dims, n_dims)) + np.eye(n_dims)
    precision = np.einsum("kij,kil->kjl", factors, factors)
    precision = (precision + precision.transpose(0, 2, 1)) / 2
    x = means[random.integers(0, n_classes, n)] + random.normal(0, 1, (n, n_dims))
    return x.astype(np.float32), means, precision[0] if shared else precision


def exact(x: Any, means: Any, precision: Any) -> Any:
    """In float64, by the textbook."""
    apart = x.astype(np.float64)[:, None] - means
    matrices = np.broadcast_to(precision, (len(means), *precision.shape[-2:]))
    return np.einsum("nki,kij,nkj->nk", apart, matrices, apart)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("n_classes", "n_dims"), [(1, 1), (3, 2), (2, 5), (4, 13)])
def test_p12_equals_the_definition(isa: str, shared: bool, n_classes: int, n_dims: int) -> None:
    x, means, precision = problem(20, n_classes, n_dims, shared)
    classes = GaussianClasses(means, precision)
    got, nearest = classes.distance(x, return_class=True)
    parameters = classes.kernel_parameters()
    defined = [reference.mahalanobis(row, *parameters) for row in x]
    assert got.tobytes() == np.array([score for score, _ in defined], np.float32).tobytes()
    assert nearest.tolist() == [k for _, k in defined]


@pytest.mark.parametrize("shared", [True, False])
def test_agrees_with_float64(isa: str, shared: bool) -> None:
    x, means, precision = problem(500, 10, 64, shared)
    got, nearest = mahalanobis(x, means, precision, return_class=True)
    expected = exact(x, means, precision)
    np.testing.assert_allclose(got, expected.min(axis=1), rtol=1e-4)
    np.testing.assert_array_equal(nearest, expected.argmin(axis=1))


@pytest.mark.parametrize("shared", [True, False])
def test_p12_the_batch_and_the_threads_do_not_change_a_bit(isa: str, shared: bool) -> None:
    x, means, precision = problem(5000, 3, 9, shared)
    classes = GaussianClasses(means, precision)
    whole, of_whole = classes.distance(x, return_class=True, threads=1)
    again, of_again = classes.distance(x, return_class=True, threads=4)
    assert whole.tobytes() == again.tobytes()
    np.testing.assert_array_equal(of_whole, of_again)
    for part in (slice(0, 1), slice(1, 66), slice(66, 5000)):
        assert classes.distance(x[part]).tobytes() == whole[part].tobytes()


@pytest.mark.parametrize("shared", [True, False])
def test_invalid_rows(isa: str, shared: bool) -> None:
    x, means, precision = problem(70, 3, 4, shared)
    for row, value in ((5, np.nan), (9, np.inf), (66, 3e38)):
        x[row, 2] = value
    with pytest.raises(InvalidEventsError, match="row 5 has nan in component 2"):
        mahalanobis(x, means, precision)
    got, nearest = mahalanobis(x, means, precision, on_invalid="sentinel", return_class=True)
    assert np.flatnonzero(np.isnan(got)).tolist() == [5, 9, 66]
    assert np.flatnonzero(nearest == -1).tolist() == [5, 9, 66]
    with pytest.raises(InvalidEventsError, match="row 0 is so far from every class"):
        mahalanobis(x[66:67], means, precision)
    assert mahalanobis(x[:0], means, precision).shape == (0,)


def test_kinds() -> None:
    torch = pytest.importorskip("torch")
    x, means, precision = problem(30, 2, 3, True)
    got, nearest = mahalanobis(torch.from_numpy(x), means, precision, return_class=True)
    assert isinstance(got, torch.Tensor)
    assert nearest.dtype == torch.int32
    np.testing.assert_array_equal(got.numpy(), mahalanobis(np.asfortranarray(x), means, precision))
    with pytest.raises(TypeError, match="x: scores are computed in float32"):
        mahalanobis(x.astype(np.float64), means, precision)


@pytest.mark.parametrize(
    ("means", "precision", "match"),
    [
        (np.zeros(2), np.eye(2), "means: expected shape"),
        (np.zeros((0, 2)), np.eye(2), "means: expected shape"),
        (np.zeros((3, 2)), np.eye(3), "precision: expected shape"),
        (np.zeros((3, 2)), np.array([np.eye(2)] * 2), "precision: expected shape"),
        (np.full((1, 2), np.nan), np.eye(2), "means: expected finite"),
        (np.zeros((1, 2)), np.full((2, 2), np.inf), "precision: expected finite"),
        (np.zeros((1, 2)), np.array([[1.0, 0.5], [0.0, 1.0]]), "precision: expected a symmetric"),
        (np.zeros((1, 2)), np.array([[1.0, 2.0], [2.0, 1.0]]), "positive definite matrix, .* component 1"),
        (np.zeros((1, 2)), np.zeros((2, 2)), "positive definite matrix, .* component 0"),
        (np.full((1, 2), 1e300), np.eye(2), "means: holds numbers that float32 cannot"),
    ],
)
def test_classes_that_are_none(means: Any, precision: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        GaussianClasses(means, precision)


# ---- fitted to rows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [True, False])
def test_from_rows_inverts_the_covariance(shared: bool) -> None:
    x, _, _ = problem(6000, 3, 5, shared)
    labels = np.random.default_rng(2).integers(0, 3, len(x))
    classes = GaussianClasses.from_rows(x, labels, shared=shared)
    exact_x = x.astype(np.float64)
    means = np.array([exact_x[labels == k].mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(classes.means, means, rtol=1e-12)
    apart = exact_x - means[labels]
    if shared:
        expected = np.linalg.inv(apart.T @ apart / len(x))
    else:
        of_class = [apart[labels == k] for k in range(3)]
        expected = np.array([np.linalg.inv(part.T @ part / len(part)) for part in of_class])
    np.testing.assert_allclose(classes.precision, expected, rtol=1e-9)


def test_from_rows_does_not_depend_on_threads() -> None:
    x, _, _ = problem(9000, 2, 6, True)
    labels = np.arange(len(x)) % 2
    one, four = (GaussianClasses.from_rows(x, labels, threads=threads) for threads in (1, 4))
    assert one.precision.tobytes() == four.precision.tobytes()
    assert one.means.tobytes() == four.means.tobytes()


def test_from_rows_refuses_what_has_no_inverse() -> None:
    x, _, _ = problem(100, 1, 3, True)
    labels = np.zeros(100, np.int64)
    constant = x.copy()
    constant[:, 1] = 2
    with pytest.raises(ValueError, match=r"component 1.*constant"):
        GaussianClasses.from_rows(constant, labels)
    twice = np.concatenate([x, x[:, :1]], axis=1)
    assert GaussianClasses.from_rows(twice, labels, ridge=1e-3).n_dims == 4
    with pytest.raises(ValueError, match="no row of 1"):
        GaussianClasses.from_rows(x, labels + 2 * (np.arange(100) > 50))
    with pytest.raises(ValueError, match="labels"):
        GaussianClasses.from_rows(x, labels - 1)
    with pytest.raises(ValueError, match="labels: expected integers"):
        GaussianClasses.from_rows(x, labels.astype(float))
    with pytest.raises(ValueError, match="ridge"):
        GaussianClasses.from_rows(x, labels, ridge=-1)
    x[7, 0] = np.nan
    with pytest.raises(ValueError, match="row 7"):
        GaussianClasses.from_rows(x, labels)


def test_classes_cannot_be_changed() -> None:
    _, means, precision = problem(1, 2, 3, True)
    classes = GaussianClasses(means, precision)
    for array in (classes.means, classes.precision):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_precision_that_float32_rounds_to_nothing_is_refused() -> None:
    """Else every row would have the distance 0."""
    for precision in (np.eye(2) * 1e-100, np.tile(np.diag([1.0, 1e-100]), (2, 1, 1))):
        with pytest.raises(ValueError, match="precision: is too small for float32"):
            GaussianClasses(np.zeros((2, 2)), precision)


def test_p29_ctrl_c_is_heard_between_few_rows_where_they_are_much_work() -> None:
    """1024 rows, which are one part of the work where classes are few and small, are not worked through first."""
    n_dims, n_classes = 160, 40
    centres = np.zeros((n_classes, n_dims), np.float32)
    factors = np.zeros((n_classes * -(-n_dims // _core.factor_rows) * _core.factor_rows, n_dims), np.float32)
    out = np.full(1024, -1, np.float32)
    x = np.zeros((1024, n_dims), np.float32)
    _core.force_isa("scalar")
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(KeyboardInterrupt):
            _core.class_distances(x, False, centres, factors, centres[:1], 1, out, None)
    finally:
        signal.signal(signal.SIGALRM, before)
        _core.unforce_isa()
    assert out[-1] == -1
