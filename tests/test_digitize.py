"""`evtok.digitize` is `numpy.digitize`, bit for bit. Tolerance class of this file: integers, compared with ==."""

from __future__ import annotations

import itertools
import mmap

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import evtok
from evtok import _core

SPECIAL = [0.0, -0.0, 5e-324, -5e-324, 1e-45, -1e-45, 1e-40, np.inf, -np.inf, np.nan, 1.0, -1.0]


def values_for(
    edges: npt.NDArray[np.generic], dtype: type, n: int, seed: int = 0
) -> npt.NDArray[np.floating]:
    """Random values, every edge, its neighbours, and every special value."""
    rng = np.random.default_rng(seed)
    e = np.asarray(edges).astype(dtype)
    near = np.concatenate([e, np.nextafter(e, dtype(-np.inf)), np.nextafter(e, dtype(np.inf))])
    x = np.concatenate([rng.normal(0, 2, n).astype(dtype), near, np.array(SPECIAL).astype(dtype)])
    rng.shuffle(x)
    return x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("edge_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("n_edges", [0, 1, 2, 7, 8, 15, 16, 17, 41, 63, 64, 300, 3000])
def test_p2_equal_to_numpy_on_every_instruction_set(
    isa: str, dtype: type, edge_dtype: type, right: bool, n_edges: int
) -> None:
    edges = np.sort(np.random.default_rng(n_edges).normal(0, 2, n_edges)).astype(edge_dtype)
    x = values_for(edges, dtype, 1000)
    for e in (edges, edges[::-1].copy()):
        got = evtok.digitize(x, e, right)
        assert evtok.last_backend() == f"evtok:{isa}"
        assert got.dtype == np.int64
        np.testing.assert_array_equal(got, np.digitize(x, e, right))


@example(
    x=np.zeros(0, np.float32), edges=[-3.402823364973241e38], right=True, falling=False
)  # has no neighbour below
@given(
    x=hnp.arrays(st.sampled_from([np.float32, np.float64]), st.integers(0, 70), elements=st.floats(width=32)),
    edges=st.lists(st.floats(allow_nan=False), max_size=40),
    right=st.booleans(),
    falling=st.booleans(),
)
def test_equal_to_numpy_property(
    x: npt.NDArray[np.floating], edges: list[float], right: bool, falling: bool
) -> None:
    e = np.array(sorted(edges, reverse=falling))
    np.testing.assert_array_equal(evtok.digitize(x, e, right), np.digitize(x, e, right))


@pytest.mark.parametrize("threads", range(1, 8))
def test_p1_p2_threads_and_splits_do_not_matter(threads: int) -> None:
    edges = np.linspace(-3, 3, 41)
    x = values_for(edges, np.float32, 300_000)
    whole = evtok.digitize(x, edges, threads=threads)
    np.testing.assert_array_equal(whole, np.digitize(x, edges))
    cuts = [0, 1, 33, 1000, 1001, 299_999, len(x)]
    parts = [evtok.digitize(x[a:b], edges, threads=threads) for a, b in itertools.pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


LAYOUTS = {
    "strided": lambda x: np.repeat(x, 3)[::3],
    "negative stride": lambda x: x[::-1].copy()[::-1],
    "fortran": lambda x: np.asfortranarray(x.reshape(2, -1)),
    "transposed": lambda x: x.reshape(2, -1).T.copy().T,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "broadcast": lambda x: np.broadcast_to(x, (3, len(x))),
    "zero-d": lambda x: x[:1].reshape(()),
    "empty": lambda x: x[:0],
    "read-only": lambda x: _read_only(x),
    "misaligned": lambda x: _misaligned(x),
}


def _read_only(x: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    copy = x.copy()
    copy.flags.writeable = False
    return copy


def _misaligned(x: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    raw = np.zeros(x.nbytes + 1, np.uint8)
    view = raw[1:].view(x.dtype)
    view[:] = x
    assert not view.flags.aligned
    return view


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_p15_any_layout(layout: str, dtype: type) -> None:
    edges = np.linspace(-2, 2, 41)
    x = LAYOUTS[layout](values_for(edges, dtype, 1001)[:1000])
    before = x.copy()
    expected = np.digitize(x, edges)
    got = evtok.digitize(x, edges)
    np.testing.assert_array_equal(got, expected)
    assert np.shape(got) == np.shape(expected)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 7, 31, 32, 33, 63, 65, 1000])
def test_p15_never_reads_past_the_end(isa: str, dtype: type, n: int) -> None:
    """The values end at the last byte of a page whose successor cannot be read."""
    import ctypes

    page = mmap.PAGESIZE
    region = mmap.mmap(-1, 4 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(region))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(address + 3 * page), ctypes.c_size_t(page), 0) == 0
    count = n * np.dtype(dtype).itemsize
    x = np.frombuffer(region, dtype, n, 3 * page - count)
    x[:] = np.arange(n)
    np.testing.assert_array_equal(evtok.digitize(x, np.arange(40.0)), np.digitize(x, np.arange(40.0)))
    assert libc.mprotect(ctypes.c_void_p(address + 3 * page), ctypes.c_size_t(page), 3) == 0


@pytest.mark.parametrize(
    "dtype", [np.float16, np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64, np.bool_]
)
@pytest.mark.parametrize("edge_dtype", [np.float16, np.float32, np.float64, np.int32, np.int64])
def test_p16_dtypes_follow_numpys_promotion(dtype: type, edge_dtype: type) -> None:
    x = np.arange(100).astype(dtype)
    edges = np.array([0, 1, 3, 7, 50], edge_dtype)
    for right in (False, True):
        np.testing.assert_array_equal(evtok.digitize(x, edges, right), np.digitize(x, edges, right))


def test_p16_integers_beyond_float64_go_to_numpy() -> None:
    x = np.array([2**53, 2**53 + 1, 2**62 + 1])
    edges = np.array([2**53 + 1, 2**62 + 1])
    np.testing.assert_array_equal(evtok.digitize(x, edges), np.digitize(x, edges))
    assert evtok.last_backend() == "numpy"


@pytest.mark.parametrize(
    "bad", [np.array([1j]), np.array(["a"]), np.array([None]), np.array(["2020"], "M8[Y]")]
)
def test_p16_other_dtypes_are_refused(bad: npt.NDArray[np.generic]) -> None:
    with pytest.raises(TypeError, match="x: expected real numbers"):
        evtok.digitize(bad, [0.0, 1.0])


def test_p17_out_is_honoured_and_overlap_refused() -> None:
    x = np.random.default_rng(0).normal(size=1000)
    out = np.full(1000, -7, np.int64)
    assert evtok.digitize(x, [0.0, 1.0], out=out) is out
    np.testing.assert_array_equal(out, np.digitize(x, [0.0, 1.0]))
    with pytest.raises(ValueError, match="shares memory"):
        evtok.digitize(out.view(np.float64), [0.0], out=out)
    with pytest.raises(ValueError, match="out: expected an int64"):
        evtok.digitize(x, [0.0], out=np.empty(10, np.int64))


def test_p17_strided_input_is_not_copied_whole() -> None:
    import tracemalloc

    x = np.zeros((4_000_000, 2), np.float32)[:, 0]
    out = np.empty(len(x), np.int64)
    evtok.digitize(x[:10], [0.0], out=out[:10])
    tracemalloc.start()
    evtok.digitize(x, [0.0], out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 << 20  # two pieces of 2 MiB, where a whole copy takes 16 MB


@pytest.mark.parametrize("edges", [[0.0, 2.0, 1.0], [[0.0, 1.0]]])
def test_bad_edges(edges: list[float]) -> None:
    with pytest.raises(ValueError, match="bins: expected"):
        evtok.digitize([1.0], edges)


def test_nan_edges_are_numpys_business() -> None:
    edges = np.array([0.0, 1.0, np.nan])
    x = np.array([0.5, 2.0, np.nan])
    np.testing.assert_array_equal(evtok.digitize(x, edges), np.digitize(x, edges))
    assert evtok.last_backend() == "numpy"


def test_scalars_and_lists() -> None:
    assert evtok.digitize(0.5, [0, 1]) == 1
    assert isinstance(evtok.digitize(0.5, [0, 1]), np.int64)
    np.testing.assert_array_equal(evtok.digitize([0.5, 3.0], [0, 1]), [1, 2])


def test_bins_is_the_name_of_the_second_argument_as_in_numpy() -> None:
    x, bins = np.array([0.5, 1.0, 3.0]), np.array([0.0, 1.0])
    np.testing.assert_array_equal(
        evtok.digitize(x, bins=bins, right=True), np.digitize(x, bins=bins, right=True)
    )
    np.testing.assert_array_equal(evtok.digitize(x=x, bins=bins), np.digitize(x=x, bins=bins))
    with pytest.raises(TypeError, match="bins: expected real numbers"):
        evtok.digitize(x, ["a"])


@pytest.mark.parametrize("threads", [-1, -(2**31), 4097, 2**31 - 1])
@pytest.mark.parametrize("n", [0, 10])
def test_p28_impossible_numbers_of_threads_are_refused(threads: int, n: int) -> None:
    with pytest.raises(ValueError, match="threads: expected 0"):
        evtok.digitize(np.zeros(n), [0.0], threads=threads)


def test_a_torch_tensor_without_dimensions_gives_one() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    got = evtok.digitize(torch.tensor(0.5), [0.0, 1.0])
    assert isinstance(got, torch.Tensor)
    assert (got.dtype, got.shape, int(got)) == (torch.int64, (), 1)


def test_torch_and_awkward_give_their_kind_back() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    ak = pytest.importorskip("awkward", reason="awkward is not installed")
    x = np.linspace(-1, 3, 100, dtype=np.float32)
    expected = np.digitize(x, [0.0, 1.0])
    got = evtok.digitize(torch.from_numpy(x), [0.0, 1.0])
    assert isinstance(got, torch.Tensor)
    assert got.dtype == torch.int64
    np.testing.assert_array_equal(got.numpy(), expected)
    # torch.bucketize means the opposite by `right`.
    edges = torch.tensor([0.0, 1.0])
    assert torch.equal(got, torch.bucketize(torch.from_numpy(x), edges, right=True))
    half = torch.from_numpy(x).to(torch.bfloat16)
    np.testing.assert_array_equal(
        evtok.digitize(half, [0.0, 1.0]).numpy(), np.digitize(half.float().numpy(), [0.0, 1.0])
    )
    ragged = evtok.digitize(ak.Array(x), [0.0, 1.0])
    assert isinstance(ragged, ak.Array)
    assert ak.to_list(ragged) == expected.tolist()
    with pytest.raises(TypeError, match="detach"):
        evtok.digitize(torch.ones(3, requires_grad=True), [0.0])


def test_the_kernel_refuses_what_the_python_layer_converts() -> None:
    out = np.empty(3, np.int64)
    with pytest.raises(TypeError):
        _core.digitize(np.ones(3, np.int32), np.ones(2, np.float32), False, False, 0, out)
    with pytest.raises(ValueError, match="codes: expected shape"):
        _core.digitize(np.ones(4, np.float32), np.ones(2, np.float32), False, False, 0, out)


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize(
    "edges",
    [
        np.linspace(-3.1, 3.1, 31),
        np.geomspace(0.5, 800, 40),
        np.linspace(0, 1, 500),
        np.sort(np.random.default_rng(3).normal(0, 9, 40)),
    ],
    ids=["uniform", "log-uniform", "many", "irregular"],
)
def test_p1_many_values_have_the_codes_of_few(edges: npt.NDArray[np.float64], right: bool) -> None:
    """Regular edges are searched in another way where there are many values."""
    edges = edges.astype(np.float32)
    rng = np.random.default_rng(1)
    near = np.concatenate(
        [edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)], dtype=np.float32
    )
    hard = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e-45, -1e-45, 3e38, -3e38], np.float32)
    bits = rng.integers(0, 1 << 32, 20_000, np.uint32).view(np.float32)
    between = rng.uniform(edges[0], edges[-1], 30_000).astype(np.float32)
    x = rng.permutation(np.concatenate([np.repeat(near, 10), np.repeat(hard, 20), bits, between]))
    with np.errstate(invalid="ignore"):
        expected = np.digitize(x, edges, right)
    np.testing.assert_array_equal(evtok.digitize(x, edges, right), expected)
    parts = [evtok.digitize(part, edges, right) for part in np.array_split(x, 97)]
    np.testing.assert_array_equal(np.concatenate(parts), expected)
