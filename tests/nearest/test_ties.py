"""P3: equal distances go to the lowest index. Integers: every distance is exact, and NumPy's argmin the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import evtok
from nearest.vectors import everything

Ints = npt.NDArray[np.int64]


def integer_values(x: Ints, codes: Ints, metric: str) -> Ints:
    """Squared distances, or products of which the smallest is best too."""
    if metric == "dot":
        return -(x @ codes.T)
    return (x**2).sum(axis=1)[:, None] - 2 * (x @ codes.T) + (codes**2).sum(axis=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", ["l2", "dot"])
@pytest.mark.parametrize(
    ("n_codes", "n_dims", "reach"),
    [
        (60, 2, 4),
        (700, 2, 10),
        (300, 4, 2),
        (100, 8, 1),
        (520, 8, 2),
        (300, 16, 1),
        (128, 33, 1),
        (64, 64, 1),
    ],
)
def test_p3_integer_grids(isa: str, n_codes: int, n_dims: int, reach: int, metric: Any, dtype: type) -> None:
    """Rows whose nearest codes are several, on every route."""
    rng = np.random.default_rng(n_dims)
    codes = rng.integers(-reach, reach + 1, (n_codes, n_dims))
    ties = 0
    codebook = evtok.Codebook(codes.astype(dtype), metric)
    for _ in range(2):
        x = rng.integers(-reach, reach + 1, (2000, n_dims))
        values = integer_values(x, codes, metric)
        best = values.min(axis=1)
        ties += int(((values == best[:, None]).sum(axis=1) > 1).sum())
        ids = codebook.nearest(x.astype(dtype))
        np.testing.assert_array_equal(ids, values.argmin(axis=1))
    assert ties > 200


@pytest.mark.parametrize(("n_codes", "n_dims"), [(250, 2), (300, 4), (128, 16), (512, 9)])
def test_p3_a_hundred_thousand_ties(n_codes: int, n_dims: int) -> None:
    """Four times 30 000 rows, and each code twice."""
    rng = np.random.default_rng(n_dims)
    half = rng.integers(-3, 4, (n_codes // 2, n_dims))
    codes = np.concatenate([half, half])[rng.permutation(n_codes)]
    x = rng.integers(-3, 4, (30_000, n_dims))
    expected = np.concatenate([integer_values(part, codes, "l2").argmin(axis=1) for part in np.split(x, 10)])
    np.testing.assert_array_equal(evtok.nearest(x.astype(np.float32), codes.astype(np.float32)), expected)


@pytest.mark.parametrize("n_dims", [1, 2, 3, 8, 16, 40])
def test_p3_identical_codes(isa: str, n_dims: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, n_dims)).astype(np.float32)
    for n_codes in (1, 2, 33, 64, 65, 300, 600):
        codes = np.broadcast_to(x[0], (n_codes, n_dims))
        ids, _, margin = everything(x, codes)
        assert not ids.any()
        assert (margin == (0 if n_codes > 1 else np.inf)).all()
        assert not evtok.nearest(x, codes).any()


@pytest.mark.parametrize("n_dims", [2, 5, 16, 17])
@pytest.mark.parametrize("n_pairs", [16, 32, 150, 300])
def test_p3_a_row_between_codes_that_are_mirror_images(isa: str, n_pairs: int, n_dims: int) -> None:
    """All codes tie in pairs, bit for bit, since the chain sees only squares."""
    rng = np.random.default_rng(n_pairs)
    half = rng.normal(size=(n_pairs, n_dims)).astype(np.float32)
    order = rng.permutation(2 * n_pairs)
    codes = np.concatenate([half, -half])[order]
    ids, values, margin = everything(np.zeros((2, n_dims), np.float32), codes, k=2)
    partner = np.empty(2 * n_pairs, np.int64)
    partner[np.argsort(order)] = np.argsort(order)[(np.arange(2 * n_pairs) + n_pairs) % (2 * n_pairs)]
    for row, pair in zip(ids, values, strict=True):
        assert row[0] < row[1] == partner[row[0]]
        assert pair[0] == pair[1]
    assert not margin.any()
    np.testing.assert_array_equal(evtok.nearest(np.zeros((40, n_dims), np.float32), codes), ids[0, 0])


@pytest.mark.parametrize("n_dims", [3, 16])
def test_p3_neighbours_come_in_the_order_of_distance_and_index(isa: str, n_dims: int) -> None:
    rng = np.random.default_rng(n_dims)
    codes, x = rng.integers(-1, 2, (130, n_dims)), rng.integers(-1, 2, (60, n_dims))
    for metric in ("l2", "dot"):
        values = integer_values(x, codes, metric)
        ids, found, _ = everything(x.astype(np.float32), codes.astype(np.float32), metric=metric, k=130)
        order = np.argsort(values, axis=1, kind="stable")
        np.testing.assert_array_equal(ids, order)
        sorted_values = np.take_along_axis(values, order, axis=1)
        np.testing.assert_array_equal(found, sorted_values if metric == "l2" else -sorted_values)


@pytest.mark.parametrize("n_dims", [4, 16])
def test_p3_the_winner_is_the_last_code_of_all_and_ties_with_none_before(isa: str, n_dims: int) -> None:
    """Whatever group or box a code is in, it is found; and so is the lower of two, however far apart they are."""
    rng = np.random.default_rng(1)
    for n_codes in (64, 65, 200, 512, 700):
        codes = rng.normal(size=(n_codes, n_dims)).astype(np.float32)
        x = codes[-1] + rng.normal(0, 1e-3, (40, n_dims)).astype(np.float32)
        np.testing.assert_array_equal(evtok.nearest(x, codes), n_codes - 1)
        for twin in (0, 31, n_codes // 2):
            codes[twin] = codes[-1]
            np.testing.assert_array_equal(evtok.nearest(x, codes), twin)
            codes[twin] = 5
