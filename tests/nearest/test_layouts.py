"""P15 to P18: arrays of any layout and dtype, memory, outputs, and more than 2^31 elements."""

from __future__ import annotations

import ctypes
import mmap
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evtok
from evtok import _core
from nearest.vectors import everything, problem
from python_process import lines

# ---- P15: layouts ---------------------------------------------------------------------------------------------


def misaligned(x: Any) -> Any:
    raw = np.zeros(x.nbytes + 1, np.uint8)
    view = raw[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    assert not view.flags.aligned
    return view


def read_only(x: Any) -> Any:
    copy = x.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS = {
    "strided rows": lambda x: np.repeat(x, 3, axis=0)[::3],
    "strided columns": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "negative strides": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "fortran": np.asfortranarray,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "big-endian fortran": lambda x: np.asfortranarray(x.astype(x.dtype.newbyteorder(">"))),
    "one row for all": lambda x: np.broadcast_to(x[:1], x.shape),
    "one column for all": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "three dimensions": lambda x: np.asfortranarray(x.reshape(5, -1, x.shape[1])),
    "an axis of length one": lambda x: x[:, None, :][:, ::-1],
    "one row": lambda x: x[3],
    "no rows": lambda x: x[:0],
    "no rows of three dimensions": lambda x: x[:0].reshape(0, 4, x.shape[1]),
    "read-only": read_only,
    "misaligned": misaligned,
    "a list": lambda x: x.astype(float).tolist(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n_codes", "n_dims"), [(40, 3), (300, 16)])
def test_p15_any_layout(layout: str, dtype: type, n_codes: int, n_dims: int) -> None:
    rows, codes = problem("gaussian", 100, n_codes, n_dims, dtype)
    x = LAYOUTS[layout](rows)
    if layout == "a list":
        codes = codes.astype(float)
    before = np.array(x)
    plain = np.ascontiguousarray(x, codes.dtype)
    expected = everything(plain.reshape(-1, n_dims), codes, k=2)
    got = everything(x, codes, k=2)
    for ours, wanted in zip(got, expected, strict=True):
        np.testing.assert_array_equal(ours.reshape(wanted.shape), wanted)
    assert got[0].shape == (*before.shape[:-1], 2)
    ids = evtok.nearest(x, codes)
    np.testing.assert_array_equal(ids, got[0][..., 0])
    assert np.shape(ids) == before.shape[:-1]
    np.testing.assert_array_equal(np.array(x), before)
    # Codes of that layout, too.
    if np.ndim(x) == 2 and len(before):
        np.testing.assert_array_equal(
            evtok.nearest(rows.astype(codes.dtype), x), evtok.nearest(rows, np.array(plain, dtype))
        )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_p15_any_strides(data: st.DataObject) -> None:
    """Views of a block of memory with strides of either sign or zero, in any number of dimensions."""
    n_dims = data.draw(st.sampled_from([1, 3, 16]))
    codes = problem("gaussian", 1, 70, n_dims)[1]
    shape = (*data.draw(st.lists(st.integers(0, 5), max_size=3)), n_dims)
    memory = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    strides = [data.draw(st.integers(-7, 7)) for _ in shape]
    first = sum(-step * (n - 1) for step, n in zip(strides, shape, strict=True) if step < 0 and n)
    x = np.lib.stride_tricks.as_strided(memory[first:], shape, [4 * step for step in strides])
    k = data.draw(st.sampled_from([1, 2]))
    mask = np.random.default_rng(1).random((*shape[:-1], 2))[..., 0] < 0.8
    got = everything(x, codes, k=k, mask=mask)
    for ours, wanted in zip(got, everything(x.copy(), codes, k=k, mask=mask.copy()), strict=True):
        np.testing.assert_array_equal(ours, wanted)
    assert got[0].shape == (shape[:-1] if k == 1 else (*shape[:-1], 2))


def test_p15_a_tensor_of_another_packages_own_kind_is_a_tensor() -> None:
    torch = pytest.importorskip("torch")

    class Boxes(torch.Tensor):
        pass

    x, codes = problem("gaussian", 20, 9, 3)
    found = evtok.nearest(torch.from_numpy(x).as_subclass(Boxes), codes)
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found.numpy(), evtok.nearest(x, codes))


def test_p15_another_byte_order_does_not_make_another_dtype() -> None:
    x, codes = problem("gaussian", 5, 4, 3)
    for a, b in ((x.astype(">f4"), codes.astype("f8")), (x.astype("f8"), codes.astype(">f4"))):
        with pytest.raises(TypeError, match="one dtype"):
            evtok.nearest(a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n_codes", "n_dims"), [(1, 1), (33, 3), (300, 2), (64, 7), (130, 16), (65, 17)])
def test_p15_nothing_is_read_past_the_end(isa: str, n_codes: int, n_dims: int, dtype: type) -> None:
    """Rows, mask and codes each end at the last byte before a page that cannot be read."""
    page, libc = mmap.PAGESIZE, ctypes.CDLL(None, use_errno=True)
    regions = []

    def guarded(values: Any) -> Any:
        pages = -(-values.nbytes // page) or 1
        region = mmap.mmap(-1, (pages + 1) * page)
        address = ctypes.addressof(ctypes.c_char.from_buffer(region))
        assert libc.mprotect(ctypes.c_void_p(address + pages * page), ctypes.c_size_t(page), 0) == 0
        regions.append((address + pages * page, region))
        place = np.frombuffer(region, values.dtype, values.size, pages * page - values.nbytes)
        place[:] = values.reshape(-1)
        return place.reshape(values.shape)

    for n in (1, 7, 8, 9, 33, 70):
        x, codes = problem("gaussian", n, n_codes, n_dims, dtype)
        mask = np.arange(n) % 5 != 3
        codebook = evtok.Codebook(codes)
        expected, masked = codebook.nearest(x), codebook.nearest(x, mask=mask)
        x, codes, mask = guarded(x), guarded(codes), guarded(mask)
        np.testing.assert_array_equal(codebook.nearest(x), expected)
        np.testing.assert_array_equal(evtok.nearest(x, codes), expected)
        np.testing.assert_array_equal(codebook.nearest(x, mask=mask), masked)
    for address, _ in regions:
        assert libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(page), 3) == 0


# ---- P16: dtypes ------------------------------------------------------------------------------------------------

EXACT_IN = {
    np.float16: np.float32,
    np.int8: np.float32,
    np.uint8: np.float32,
    np.int16: np.float32,
    np.uint16: np.float32,
    np.bool_: np.float32,
    np.int32: np.float64,
    np.uint32: np.float64,
    np.int64: np.float64,
    np.uint64: np.float64,
}


@pytest.mark.parametrize("x_dtype", EXACT_IN)
@pytest.mark.parametrize("code_dtype", [*EXACT_IN, np.float32, np.float64])
def test_p16_narrow_numbers_are_exact(x_dtype: type, code_dtype: type) -> None:
    """They are computed in the narrowest dtype that holds both exactly, or refused: nothing is rounded unasked."""
    rng = np.random.default_rng(0)
    x, codes = rng.integers(0, 100, (50, 3)).astype(x_dtype), rng.integers(0, 100, (20, 3)).astype(code_dtype)
    of_x, of_codes = EXACT_IN[x_dtype], EXACT_IN.get(code_dtype, code_dtype)
    if code_dtype == np.float32 and of_x == np.float64:
        with pytest.raises(TypeError, match="one dtype"):
            evtok.nearest(x, codes)
        return
    wanted = np.float64 if np.float64 in (of_x, of_codes) else np.float32
    ids, distance = evtok.nearest(x, codes, return_distance=True)
    assert distance.dtype == wanted
    expected = evtok.nearest(x.astype(wanted), codes.astype(wanted), return_distance=True)
    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_array_equal(distance, expected[1])


def test_p16_rounding_happens_only_when_asked_for() -> None:
    x, codes = problem("gaussian", 100, 50, 4, np.float64)
    single_x, single_codes = x.astype(np.float32), codes.astype(np.float32)
    for a, b in ((x, single_codes), (single_x, codes)):
        with pytest.raises(TypeError, match='dtype="float32" or dtype="float64"'):
            evtok.nearest(a, b)
    single, double = evtok.nearest(single_x, single_codes), evtok.nearest(x, codes)
    for b in (codes, single_codes, evtok.Codebook(codes)):
        np.testing.assert_array_equal(evtok.nearest(x, b, dtype="float32"), single)
    np.testing.assert_array_equal(evtok.nearest(x, codes, dtype=np.float64), double)
    got = evtok.nearest(single_x, single_codes, dtype="float64", return_distance=True)
    expected = evtok.nearest(single_x.astype(float), single_codes.astype(float), return_distance=True)
    np.testing.assert_array_equal(got[1], expected[1])


def test_p16_a_rounding_that_overflows_is_an_invalid_row_or_codebook() -> None:
    x = np.array([[1.0], [1e300]])
    assert evtok.nearest(x, [[1.0]], dtype="float32", on_invalid="sentinel").tolist() == [0, -1]
    with pytest.raises(ValueError, match="code 1"):
        evtok.nearest(x[:1], x, dtype="float32")


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 3), c) for c in ("c8", "U1", "M8[s]", "O", "V4")], ids=lambda a: a.dtype.kind
)
def test_p16_other_dtypes_are_refused(bad: Any) -> None:
    good = np.zeros((2, 3), np.float32)
    with pytest.raises(TypeError, match="x: expected real numbers"):
        evtok.nearest(bad, good)
    with pytest.raises(TypeError, match="codebook: expected real numbers"):
        evtok.nearest(good, bad)


def test_p16_numbers_that_float64_does_not_hold_are_refused() -> None:
    with pytest.raises(TypeError, match=r"2\*\*53"):
        evtok.nearest(np.array([[2**53 + 1]]), np.array([[0]]))
    with pytest.raises(TypeError, match=r"2\*\*53"):
        evtok.nearest(np.array([[1]]), np.array([[-(2**53) - 1]]))
    if np.dtype(np.longdouble).itemsize > 8:
        with pytest.raises(TypeError, match="wider than float64"):
            evtok.nearest(np.zeros((1, 1), np.longdouble), np.array([[0.0]]))


# ---- P17: memory and outputs ------------------------------------------------------------------------------------


def test_p17_out_is_honoured_and_overlap_refused() -> None:
    x, codes = problem("gaussian", 100, 50, 4)
    ids = evtok.nearest(x, codes)
    out = np.empty(100, np.int32)
    assert evtok.nearest(x, codes, out=out) is out
    np.testing.assert_array_equal(out, ids)
    out = np.empty((4, 25, 3), np.int32)
    got = evtok.nearest(x.reshape(4, 25, 4), codes, k=3, out=out, return_distance=True)
    assert got[0] is out
    np.testing.assert_array_equal(out[..., 0].reshape(-1), ids)
    with pytest.raises(ValueError, match="out: shares memory with x"):
        evtok.nearest(x, codes, out=x.view(np.int32).reshape(-1)[:100])
    locked = np.empty(100, np.int32)
    locked.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a contiguous writable array"):
        evtok.nearest(x, codes, out=locked)


def test_p17_an_output_over_the_mask_is_refused() -> None:
    x, codes = problem("gaussian", 100, 50, 4)
    out = np.ones(100, np.int32)
    with pytest.raises(ValueError, match="out: shares memory with"):
        evtok.nearest(x, codes, mask=out.view(bool)[:100], out=out)


def test_p17_strided_rows_are_not_copied_whole() -> None:
    x = np.zeros((1 << 20, 16), np.float32)[:, ::2]  # 32 MiB, as a copy
    out = np.empty(len(x), np.int32)
    codebook = evtok.Codebook(np.ones((2, 8), np.float32))
    tracemalloc.start()
    codebook.nearest(x, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


@pytest.mark.parametrize(
    ("n", "n_codes", "n_dims"), [(4000, 16384, 16), (100_000, 16384, 2), (50_000, 4096, 4)]
)
def test_p17_memory_grows_with_rows_and_codes_not_with_their_product(
    n: int, n_codes: int, n_dims: int
) -> None:
    """N K float32 would be 260 MB to 6.5 GB."""
    code = f"""
    import resource, evtok
    rng = np.random.default_rng(0)
    codes = rng.normal(size=({n_codes}, {n_dims})).astype(np.float32)
    x = codes[rng.integers(0, {n_codes}, {n})] + rng.normal(0, 0.001, ({n}, {n_dims})).astype(np.float32)
    evtok.nearest(x[:100], codes[:100])
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    before = peak()
    evtok.nearest(x, codes)
    print((peak() - before) >> 20)
    """
    # The codebook four times over (copies, boxes, integers), the ids, and what each thread keeps.
    budget = (n_codes * (4 * n_dims * 6 + 16) + 4 * n >> 20) + 24
    assert int(lines(code)[0]) < budget


# ---- P18: more than 2^31 ------------------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.slow
def test_p18_more_than_two_to_the_31_elements() -> None:
    """Rows of zeros on pages that were never written, which all are one page of memory; the last rows are not zero."""
    n_dims = 2048
    n = 2**31 // n_dims + 5
    no_reserve = 0x4000  # Linux's MAP_NORESERVE, which this module does not name
    try:
        memory = mmap.mmap(-1, 4 * n * n_dims, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve)
        memory.madvise(mmap.MADV_HUGEPAGE)
    except OSError:
        pytest.skip("this machine has too little address space")
    x = np.frombuffer(memory, np.float32).reshape(n, n_dims)
    x[-3:, -1] = [2.0, 0.9, 3.0]
    codes = np.zeros((2, n_dims), np.float32)
    codes[1, -1] = 2
    ids = evtok.nearest(x, codes)
    assert ids[-3:].tolist() == [1, 0, 1]
    assert not ids[:-3].any()


def test_p18_indices_of_codes_do_not_overflow() -> None:
    """Codes of more than 2^31 bytes of coordinates would; here, the last of many is found."""
    codes = np.zeros((300_000, 3), np.float32)
    codes[:, 0] = np.arange(300_000)
    x = codes[[0, 299_999, 262_144, 131_073]]
    assert evtok.nearest(x, codes).tolist() == [0, 299_999, 262_144, 131_073]


def test_the_kernel_refuses_what_the_python_layer_converts() -> None:
    kernel = _core.CodeSearchFloat32(np.ones((4, 3), np.float32), "l2")
    x, ids = np.ones((5, 3), np.float32), np.empty((5, 1), np.int32)
    for bad in (x.astype(float), x[:, :2], x[0]):
        with pytest.raises((TypeError, ValueError)):
            kernel.search(bad, None, 0, ids, None, None)
    for bad_ids in (
        ids[:4],
        ids[:, 0],
        ids.astype(np.int64),
        np.empty((5, 5), np.int32),
        np.empty((5, 0), np.int32),
    ):
        with pytest.raises((TypeError, ValueError)):
            kernel.search(x, None, 0, bad_ids, None, None)
    with pytest.raises(ValueError, match="values"):
        kernel.search(x, None, 0, ids, np.empty((5, 2), np.float32), None)
    with pytest.raises(ValueError, match="margin"):
        kernel.search(x, None, 0, ids, None, np.empty(4, np.float32))
    with pytest.raises(ValueError, match="mask"):
        kernel.search(x, np.ones(4, np.uint8), 0, ids, None, None)
