"""P1, P2, P4: the code of a row does not depend on what is beside it, nor on threads, units or spare dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evtok
from nearest.vectors import KINDS, METRICS, assert_same_bits, everything, instruction_set, problem

# Around the tiles of every kernel: vectors, tiles of rows, boxes, blocks.
SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 257, 511, 513]


# ---- P1: batches ----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(KINDS)),
    st.sampled_from([(5, 3), (65, 8), (300, 2), (300, 16), (513, 5)]),
    st.sampled_from(METRICS),
    st.data(),
)
def test_p1_rows_in_any_company(kind: str, shape: tuple[int, int], metric: Any, data: st.DataObject) -> None:
    """Chosen rows, some of them twice, in any order and in parts of any size, beside rows that are refused."""
    x, codes = problem(kind, 120, *shape)
    codes[(codes == 0).all(axis=1)] = 1
    x[50] = np.nan
    codebook = evtok.Codebook(codes, metric)
    k = data.draw(st.sampled_from([1, 2]))
    whole = everything(x, codebook, k=k)
    chosen = np.array(data.draw(st.lists(st.integers(0, len(x) - 1), min_size=1, max_size=150)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(chosen)), max_size=4)))
    parts = [everything(part, codebook, k=k) for part in np.split(x[chosen], cuts)]
    assert_same_bits(
        tuple(np.concatenate(part) for part in zip(*parts, strict=True)),
        tuple(part[chosen] for part in whole),
    )
    alone = [codebook.nearest(part, on_invalid="sentinel") for part in np.split(x[chosen], cuts)]
    np.testing.assert_array_equal(np.concatenate(alone), whole[0].reshape(len(x), -1)[chosen, 0])


@pytest.mark.parametrize(("n_codes", "n_dims"), [(20, 4), (512, 8), (300, 3)])
def test_p1_where_peers_fail(isa: str, n_codes: int, n_dims: int) -> None:
    """An offset of 2000: FAISS and torch.cdist change half of such tokens when the batch is split."""
    x, codes = problem("gaussian", 5000, n_codes, n_dims)
    x, codes = x + np.float32(2000), codes + np.float32(2000)
    whole = evtok.nearest(x, codes)
    codebook = evtok.Codebook(codes)
    alone = [codebook.nearest(row) for row in x[:500]]
    np.testing.assert_array_equal(alone, whole[:500])
    np.testing.assert_array_equal(
        np.concatenate([codebook.nearest(x[a : a + 19]) for a in range(0, 5000, 19)]), whole
    )


# ---- P2: threads and sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(("n_codes", "n_dims"), [(65, 3), (257, 16), (64, 33)])
def test_p2_any_number_of_rows(isa: str, n: int, n_codes: int, n_dims: int) -> None:
    x, codes = problem("gaussian", n, n_codes, n_dims)
    with instruction_set("scalar"):
        expected = everything(x, codes)
    with instruction_set(isa):
        assert_same_bits(everything(x, codes), expected)
        np.testing.assert_array_equal(evtok.nearest(x, codes), expected[0])


@pytest.mark.parametrize("threads", range(1, 9))
@pytest.mark.parametrize(("n_codes", "n_dims"), [(4096, 4), (2048, 32), (33, 7)])
def test_p2_any_number_of_threads(isa: str, threads: int, n_codes: int, n_dims: int) -> None:
    if isa == "scalar" and threads > 3:
        pytest.skip("slow, and the kernels above it share its threads")
    x, codes = problem("clustered", 515, n_codes, n_dims)
    x[77] = np.inf
    codebook = evtok.Codebook(codes)
    once = everything(x, codebook, threads=1)
    assert_same_bits(everything(x, codebook, threads=threads), once)
    ids = codebook.nearest(x, threads=threads, on_invalid="sentinel")
    np.testing.assert_array_equal(ids, once[0])
    with pytest.raises(ValueError, match="row 77 "):  # the first one, whichever thread met it
        codebook.nearest(np.concatenate([x, x]), threads=threads)


@pytest.mark.parametrize("threads", [-1, 4097, 2**31 - 1])
def test_p28_impossible_numbers_of_threads_are_refused(threads: int) -> None:
    with pytest.raises(ValueError, match="threads: expected 0"):
        evtok.nearest(np.zeros((3, 2), np.float32), np.ones((1, 2), np.float32), threads=threads)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n_codes", "n_dims"), [(1, 1), (100, 2), (700, 5), (256, 16), (65, 64)])
def test_p2_a_row_that_is_a_code(isa: str, n_codes: int, n_dims: int, dtype: type) -> None:
    codes = problem("gaussian", 1, n_codes, n_dims, dtype)[1]
    ids, distance, margin = everything(codes, codes)
    np.testing.assert_array_equal(ids, np.arange(n_codes))
    assert not distance.any()
    assert (margin > 0).all()
    np.testing.assert_array_equal(evtok.nearest(codes, codes), ids)


@pytest.mark.parametrize("n_dims", [2, 16])
@pytest.mark.parametrize("metric", METRICS)
def test_p2_zeros_of_either_sign_are_one_number(isa: str, n_dims: int, metric: Any) -> None:
    x, codes = problem("grid", 100, 200, n_dims)
    codes[(codes == 0).all(axis=1)] = 1
    ids = evtok.nearest(x, codes, metric=metric, on_invalid="sentinel")
    for x_zero in (0.0, -0.0):
        for c_zero in (0.0, -0.0):
            a, b = np.where(x == 0, np.float32(x_zero), x), np.where(codes == 0, np.float32(c_zero), codes)
            np.testing.assert_array_equal(evtok.nearest(a, b, metric=metric, on_invalid="sentinel"), ids)


# ---- P4: metamorphic relations ----------------------------------------------------------------------------------

SHAPES = st.sampled_from([(7, 3), (65, 8), (300, 2), (300, 16)])


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.sampled_from(["gaussian", "clustered", "momenta", "shell", "grid"]), st.integers(-30, 30))
def test_p4_a_change_of_units_by_a_power_of_two(shape: tuple[int, int], kind: str, power: int) -> None:
    x, codes = problem(kind, 60, *shape)
    unit = np.float32(2.0**power)
    ids, distance, margin = everything(x, codes)
    if (distance[distance > 0] < 1e-15).any():
        return  # squares would underflow
    assert_same_bits(everything(x * unit, codes * unit), (ids, distance * unit**2, margin * unit**2))
    np.testing.assert_array_equal(evtok.nearest(x * unit, codes * unit), ids)


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.sampled_from(list(KINDS)), st.integers(1, 20), st.sampled_from(METRICS))
def test_p4_more_dimensions_that_are_zero(shape: tuple[int, int], kind: str, more: int, metric: Any) -> None:
    x, codes = problem(kind, 60, *shape)
    codes[(codes == 0).all(axis=1)] = 1
    padded = [np.concatenate([part, np.zeros((len(part), more), np.float32)], axis=1) for part in (x, codes)]
    for ours, wanted in zip(
        everything(*padded, metric=metric), everything(x, codes, metric=metric), strict=True
    ):
        np.testing.assert_array_equal(ours, wanted)  # -0 as a product may become 0
    np.testing.assert_array_equal(
        evtok.nearest(*padded, metric=metric, on_invalid="sentinel"),
        evtok.nearest(x, codes, metric=metric, on_invalid="sentinel"),
    )


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.sampled_from(list(KINDS)), st.integers(0, 2**32), st.sampled_from(METRICS))
def test_p4_p3_codes_in_another_order(shape: tuple[int, int], kind: str, seed: int, metric: Any) -> None:
    """The same distances; and the code of a row moves along, or a tie is won by one that is now lower."""
    x, codes = problem(kind, 60, *shape)
    codes[(codes == 0).all(axis=1)] = 1
    order = np.random.default_rng(seed).permutation(len(codes))
    ids, values, margin = everything(x, codes, metric=metric)
    other, other_values, other_margin = everything(x, codes[order], metric=metric)
    np.testing.assert_array_equal(other_values, values)
    np.testing.assert_array_equal(other_margin, margin)
    alone = margin > 0
    np.testing.assert_array_equal(order[other[alone]], ids[alone])
    np.testing.assert_array_equal(evtok.nearest(x, codes[order], metric=metric, on_invalid="sentinel"), other)


@pytest.mark.parametrize("offset", [0.0, 1.0, 1000.0, 20_000.0])
@pytest.mark.parametrize(("n_codes", "n_dims"), [(512, 8), (64, 4), (300, 16)])
def test_p4_translation_where_the_margin_says_so(isa: str, offset: float, n_codes: int, n_dims: int) -> None:
    """The code is that of exact arithmetic whenever the margin is above the bound of P5: nearly always."""
    x, codes = problem("gaussian", 300, n_codes, n_dims)
    x, codes = x + np.float32(offset), codes + np.float32(offset)
    # float64 holds each difference exactly, and its sums err by 2**-49, far below the bound.
    exact = ((x[:, None].astype(np.float64) - codes.astype(np.float64)) ** 2).sum(axis=2)
    nearest, second = np.sort(exact, axis=1)[:, :2].T
    clear = second > nearest * (1 + 2.0**-23) ** (n_dims + 2) * (1 + 1e-12)
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(evtok.nearest(x, codes)[clear], exact.argmin(axis=1)[clear])
