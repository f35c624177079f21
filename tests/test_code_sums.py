"""Counts and sums of the rows of each code: compared with == to adding one row after the other."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evtok import reference_training
from evtok.codebook.sums import add_code_sums, code_sums


def sample(n: int, n_dims: int, n_codes: int, dtype: Any = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Rows of very different sizes, so that another order of adding shows in the bits; some without a code."""
    rng = np.random.default_rng(n + n_dims + n_codes)
    x = (rng.normal(size=(n, n_dims)) * 10.0 ** rng.integers(-12, 12, (n, n_dims))).astype(dtype)
    return x, rng.integers(-1, n_codes, n).astype(np.int32)


def by_numpy(x: np.ndarray, ids: np.ndarray, n_codes: int) -> tuple[np.ndarray, np.ndarray]:
    sums = np.zeros((n_codes, x.shape[1]))
    np.add.at(sums, ids[ids >= 0], x[ids >= 0].astype(np.float64))
    return np.bincount(ids[ids >= 0], minlength=n_codes), sums


def assert_same(result: tuple[np.ndarray, np.ndarray], expected: tuple[Any, Any]) -> None:
    for got, wanted in zip(result, expected, strict=True):
        assert got.tobytes() == np.asarray(wanted, got.dtype).tobytes()


@given(
    hnp.arrays(
        np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.floats(-1e9, 1e9)
    ),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_sums_are_those_of_the_definition(x: np.ndarray, data: st.DataObject) -> None:
    ids = data.draw(hnp.arrays(np.int32, len(x), elements=st.integers(-1, 3)))
    assert_same(code_sums(x, ids, 4), reference_training.code_sums(x.tolist(), ids.tolist(), 4))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int16, np.int64])
def test_each_dtype_is_added_as_stored(dtype: Any) -> None:
    x = np.random.default_rng(0).integers(-500, 500, (3000, 3)).astype(dtype) / dtype(1)
    ids = np.random.default_rng(1).integers(-1, 7, 3000)
    assert_same(code_sums(x.astype(dtype), ids, 7), by_numpy(x, ids, 7))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n", "n_dims", "n_codes"), [(0, 3, 5), (1, 1, 1), (70_000, 3, 1), (70_000, 4, 513), (5000, 65, 6)]
)
def test_p14_sums_do_not_depend_on_threads_nor_instruction_set(
    isa: str, dtype: Any, n: int, n_dims: int, n_codes: int
) -> None:
    x, ids = sample(n, n_dims, n_codes, dtype)
    for threads in (1, 2, 3, 8):
        assert_same(code_sums(x, ids, n_codes, threads=threads), by_numpy(x, ids, n_codes))


def test_p14_parts_in_order_add_up_to_the_bits_of_the_whole() -> None:
    x, ids = sample(40_000, 4, 50)
    expected = by_numpy(x, ids, 50)
    for seed in range(5):
        cuts = np.sort(np.random.default_rng(seed).integers(0, len(x), 7))
        counts, sums = np.zeros(50, np.int64), np.zeros((50, 4))
        for part, codes in zip(np.split(x, cuts), np.split(ids, cuts), strict=True):
            add_code_sums(part, codes, counts, sums, threads=1 + seed)
        assert_same((counts, sums), expected)


def test_p15_layouts_give_the_sums_of_the_contiguous_copy() -> None:
    x, ids = sample(3000, 4, 9)
    expected = by_numpy(x, ids, 9)
    wide = np.zeros((6000, 8), np.float32)
    wide[::2, ::2] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    for same in (np.asfortranarray(x), wide[::2, ::2], x.astype(">f4"), x[::-1].copy()[::-1], read_only):
        assert_same(code_sums(same, ids, 9), expected)
    assert_same(code_sums(x, np.repeat(ids, 2)[::2], 9), expected)
    assert_same(
        code_sums(np.broadcast_to(x[:1], (3000, 4)), ids, 9), by_numpy(np.repeat(x[:1], 3000, axis=0), ids, 9)
    )


def test_torch_tensors_are_read_without_a_copy_of_their_own() -> None:
    torch = pytest.importorskip("torch")
    x, ids = sample(500, 3, 4)
    assert_same(code_sums(torch.from_numpy(x), torch.from_numpy(ids), 4), by_numpy(x, ids, 4))
    narrow = torch.from_numpy(x).clamp(-1e30, 1e30).bfloat16()
    assert_same(code_sums(narrow, torch.from_numpy(ids), 4), by_numpy(narrow.float().numpy(), ids, 4))


@pytest.mark.parametrize("bad", [4, 2**31 - 1, -2, -(2**31)])
def test_ids_that_are_no_codes_are_refused_and_change_nothing(bad: int) -> None:
    x, ids = sample(5000, 3, 4)
    ids[4321] = bad
    counts, sums = np.zeros(4, np.int64), np.zeros((4, 3))
    with pytest.raises(ValueError, match=rf"ids: expected -1 to 3, got {bad} in row 4321"):
        add_code_sums(x, ids, counts, sums)
    assert not counts.any()
    assert not sums.any()


def test_wrong_arguments_are_named() -> None:
    x, ids = sample(10, 3, 4)
    with pytest.raises(TypeError, match="ids: expected integers"):
        code_sums(x, ids.astype(float), 4)
    with pytest.raises(ValueError, match=r"ids: expected one for each row of x, shape \(10,\), got \(9,\)"):
        code_sums(x, ids[:9], 4)
    with pytest.raises(ValueError, match=r"x: expected shape \(n, D\)"):
        code_sums(x[0], ids, 4)
    with pytest.raises(ValueError, match="expected -1 to 3"):
        code_sums(x, np.full(10, 2**40), 4)
    with pytest.raises(ValueError, match="expected -1 to 3, got -4294967296 to"):
        code_sums(x, np.full(10, -(2**32)), 4)
    with pytest.raises(ValueError, match="expected -1 to 3"):
        code_sums(x, np.full(10, 2**32 - 1, np.uint32), 4)
    with pytest.raises(TypeError, match="x: expected real numbers"):
        code_sums(x.astype(complex), ids, 4)
    with pytest.raises(ValueError, match="sums: expected contiguous"):
        add_code_sums(x, ids, np.zeros(4, np.int64), np.zeros((4, 2)))


def test_p24_many_threads_at_once_get_the_same_sums() -> None:
    x, ids = sample(20_000, 4, 100)
    expected = by_numpy(x, ids, 100)
    wrong: list[int] = []

    def work() -> None:
        for i in range(20):
            result = code_sums(x, ids, 100, threads=2)
            if any(
                a.tobytes() != np.asarray(b, a.dtype).tobytes() for a, b in zip(result, expected, strict=True)
            ):
                wrong.append(i)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
