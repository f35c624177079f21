"""FSQ: ids are the formula's in real numbers. Tolerance class of this file: integers, compared with ==."""

from __future__ import annotations

import mmap
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import evtok
from evtok import FSQ
from evtok import reference_quantizers as reference
from evtok.codebook.fsq import RECOMMENDED_LEVELS
from evtok.errors import ArtefactError
from evtok.tokenizers import artefact
from test_float_environment import modes, same_in

LEVELS = [(3,), (4,), (1001,), (1000, 999), (8, 5, 5, 5), (8, 8, 8, 5, 5, 5), (7, 3, 4, 16)]
DTYPES = [np.float32, np.float64]


def vectors(levels: tuple[int, ...], n: int, dtype: type, seed: int = 0) -> npt.NDArray[Any]:
    """Random vectors, and in each component the thresholds, their neighbours and numbers of every size."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1.5, (n, len(levels))).astype(dtype)
    special = np.array([0.0, -0.0, 5e-324, -5e-324, 1e-45, -1e-40, 1e38, -1e38, 0.5, -3.8]).astype(dtype)
    for j, edges in enumerate(FSQ(levels).thresholds(dtype)):
        near = np.concatenate([edges, np.nextafter(edges, dtype(-9)), np.nextafter(edges, dtype(9)), special])
        rows = rng.random(n) < 0.5
        x[rows, j] = rng.choice(near, int(rows.sum()))
    return x


def by_definition(x: npt.NDArray[Any], levels: tuple[int, ...]) -> npt.NDArray[np.int32]:
    return np.array([reference.fsq_id([float(z) for z in row], levels) for row in x], np.int32)


# ---- the definition ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_levels", [3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 100, 101, 999, 1000, 1001])
def test_thresholds_are_the_first_numbers_of_each_level(n_levels: int, dtype: type) -> None:
    """The definition evaluated with 60 digits, on both sides of every threshold."""
    (edges,) = FSQ((n_levels,)).thresholds(dtype)
    assert edges.dtype == dtype
    assert len(edges) == n_levels - 1
    step = max(1, n_levels // 40)
    for k in range(0, n_levels - 1, step):
        assert reference.fsq_digit(edges[k], n_levels) == k + 1
        assert reference.fsq_digit(np.nextafter(edges[k], dtype(-np.inf)), n_levels) == k


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("levels", LEVELS)
def test_p2_p11_ids_are_those_of_the_definition_on_every_instruction_set(
    isa: str, levels: tuple[int, ...], dtype: type
) -> None:
    x = vectors(levels, 300, dtype)
    ids = FSQ(levels).encode(x)
    assert evtok.last_backend() == f"evtok:{isa}"
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, by_definition(x, levels))


@given(
    levels=st.lists(st.integers(3, 40), min_size=1, max_size=4),
    data=st.data(),
    dtype=st.sampled_from(DTYPES),
)
def test_p11_ids_are_those_of_the_definition_property(
    levels: list[int], data: st.DataObject, dtype: type
) -> None:
    finite = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.floats(-4, 4, width=32)
    x = data.draw(hnp.arrays(dtype, (data.draw(st.integers(0, 5)), len(levels)), elements=finite))
    np.testing.assert_array_equal(FSQ(levels).encode(x), by_definition(x, tuple(levels)))


@given(x=hnp.arrays(np.float32, (20, 4), elements=st.floats(-4, 4, width=32)))
def test_float32_and_its_float64_copy_have_the_same_ids(x: npt.NDArray[np.float32]) -> None:
    fsq = FSQ((8, 5, 5, 5))
    np.testing.assert_array_equal(fsq.encode(x), fsq.encode(x.astype(np.float64)))


@pytest.mark.parametrize("n_levels", [3, 4, 8, 1000, 1001])
def test_extreme_numbers_reach_the_outer_levels_and_none_beyond(n_levels: int) -> None:
    largest = np.finfo(np.float32).max
    assert FSQ((n_levels,)).encode(np.array([[-largest], [largest]])).tolist() == [0, n_levels - 1]


def test_the_id_is_monotone_in_each_component() -> None:
    fsq = FSQ((8, 5))
    z = np.sort(vectors((8,), 4000, np.float32)[:, 0])
    x = np.stack([z, np.zeros_like(z)], axis=1)
    assert (np.diff(fsq.encode(x)) >= 0).all()
    assert (np.diff(fsq.encode(x[:, ::-1])) >= 0).all()


# ---- promises of every quantizer -----------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_p1_p2_threads_splits_and_order_do_not_matter(threads: int) -> None:
    levels = (8, 5, 5, 5)
    fsq = FSQ(levels)
    x = vectors(levels, 150_000, np.float32)
    whole = fsq.encode(x, threads=threads)
    np.testing.assert_array_equal(whole, fsq.encode(x, threads=1))
    cuts = [0, 1, 33, 1023, 1024, 1026, 149_999, len(x)]
    parts = [fsq.encode(x[a:b], threads=threads) for a, b in pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    order = np.random.default_rng(1).permutation(len(x))
    np.testing.assert_array_equal(fsq.encode(x[order], threads=threads), whole[order])


@modes
def test_p9_a_callers_floating_point_mode_reaches_no_id_and_no_threshold(bits: int) -> None:
    prepare = """
from evtok import FSQ
from evtok.codebook import fsq as module, scalar_quantizer
x = np.random.default_rng(0).normal(0, 1.5, (3000, 2))
edges = FSQ((8, 7)).thresholds(np.float64)
x[:7, 0], x[:6, 1] = edges[0], edges[1]
single = x.astype(np.float32)
def clear():
    module._thresholds.cache_clear()
    scalar_quantizer._kernel_levels.cache_clear()
"""
    compute = """
clear()
fsq = FSQ((8, 7))
ids = [fsq.encode(x), fsq.encode(x.astype(">f8")), fsq.encode(single)]
result = np.concatenate([np.concatenate(ids).view(np.uint8), np.concatenate(fsq.thresholds()).view(np.uint8),
    np.concatenate(fsq.thresholds(np.float64)).view(np.uint8), fsq.decode(np.arange(56)).view(np.uint8).ravel(),
    np.frombuffer(fsq.fingerprint.encode(), np.uint8)])
"""
    assert same_in(bits, prepare, compute) == ["kept", "same"]


def test_p4_appending_a_component_of_zeros_adds_a_constant() -> None:
    x = vectors((8, 5), 1000, np.float32)
    wide = np.concatenate([x, np.zeros((1000, 1), np.float32)], axis=1)
    np.testing.assert_array_equal(FSQ((8, 5, 7)).encode(wide), FSQ((8, 5)).encode(x) + 3 * 40)


def test_p4_permuting_the_components_permutes_the_digits() -> None:
    x = vectors((8, 5), 1000, np.float32)
    ids = FSQ((8, 5)).encode(x)
    np.testing.assert_array_equal(FSQ((5, 8)).encode(x[:, ::-1]), ids // 8 + 5 * (ids % 8))


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_p7_invalid_rows_are_refused_or_marked_wherever_they_are(isa: str, bad: float, dtype: type) -> None:
    fsq = FSQ((8, 5, 5))
    x = vectors((8, 5, 5), 3000, dtype)
    clean = fsq.encode(x)
    for row, component in [(0, 0), (1023, 2), (1024, 1), (2999, 2)]:
        spoiled = x.copy()
        spoiled[row, component] = bad
        with pytest.raises(ValueError, match=f"row {row} has (nan|inf|-inf) in component {component}"):
            fsq.encode(spoiled)
        expected = clean.copy()
        expected[row] = -1
        np.testing.assert_array_equal(fsq.encode(spoiled, on_invalid="sentinel"), expected)


def test_p7_overflow_of_a_conversion_is_not_a_level() -> None:
    assert FSQ((8,)).encode(np.array([[1e300]])).tolist() == [7]
    half = np.array([[np.inf]], np.float16)
    with pytest.raises(ValueError, match="row 0 has inf"):
        FSQ((8,)).encode(half)


def test_p7_the_message_names_the_first_row_and_its_place() -> None:
    x = np.zeros((2, 3, 2), np.float32)
    x[1, 1, 1] = x[1, 2, 0] = np.nan
    with pytest.raises(ValueError, match=r"row 4 \(index \(1, 1\)\) has nan in component 1"):
        FSQ((8, 5)).encode(x)


def test_masked_rows_are_not_looked_at() -> None:
    fsq = FSQ((8, 5))
    x = vectors((8, 5), 5000, np.float32)
    mask = np.random.default_rng(0).random(5000) < 0.6
    expected = np.where(mask, fsq.encode(x), -1)
    x[~mask] = np.nan
    np.testing.assert_array_equal(fsq.encode(x, mask=mask), expected)
    x[np.flatnonzero(mask)[7], 1] = np.inf
    with pytest.raises(ValueError, match=f"row {np.flatnonzero(mask)[7]} has inf in component 1"):
        fsq.encode(x, mask=mask)
    with pytest.raises(ValueError, match="mask"):
        fsq.encode(x, mask=mask[:-1])
    with pytest.raises(ValueError, match="mask"):
        fsq.encode(x, mask=mask.astype(np.int8))


@pytest.mark.parametrize(
    ("levels", "error", "says"),
    [
        ((), ValueError, "at least one"),
        ((8, 2), ValueError, "LFQ"),
        ((1,), ValueError, "got 1"),
        ((0,), ValueError, "got 0"),
        ((-8,), ValueError, "got -8"),
        ((1002,), ValueError, "3 to 1001"),
        ((1001, 1001, 1001, 1001), ValueError, "int32"),
        ((8, 5.5), TypeError, "integers"),
        (("8",), TypeError, "integers"),
        ((float("nan"),), TypeError, "integers"),
        (8, TypeError, "integers"),
    ],
)
def test_p8_levels_that_make_no_quantizer_are_refused(levels: Any, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        FSQ(levels)


def test_ids_of_int32_reach_2_to_the_31() -> None:
    """512**3 * 16 codes: the largest id is 2**31 - 1."""
    fsq = FSQ((512, 512, 512, 16))
    assert fsq.n_codes == 2**31
    assert fsq.encode(np.full((1, 4), 50.0)).tolist() == [2**31 - 1]
    np.testing.assert_array_equal(fsq.encode(fsq.decode([2**31 - 1]) * 50), [2**31 - 1])


@pytest.mark.parametrize("levels", LEVELS)
def test_p10_every_code_has_its_own_vector_and_its_vector_is_found_again(levels: tuple[int, ...]) -> None:
    fsq = FSQ(levels)
    ids = np.unique(np.linspace(0, fsq.n_codes - 1, 5000).astype(np.int64))
    decoded = fsq.decode(ids)
    expected = np.array([reference.fsq_vector(int(code), levels) for code in ids])
    np.testing.assert_array_equal(decoded, expected.astype(np.float32))
    np.testing.assert_array_equal(fsq.decode(ids, dtype=np.float64), expected)
    # A level's value is not itself inside the level: the bound's inverse leads there.
    digits = np.stack([ids // stride % n for stride, n in zip(fsq.strides, levels, strict=True)], axis=1)
    inside = np.zeros(decoded.shape, np.float32)
    for j, edges in enumerate(fsq.thresholds()):
        middles = np.concatenate([edges[:1] - 1, (edges[1:] + edges[:-1]) / 2, edges[-1:] + 1])
        inside[:, j] = middles[digits[:, j]]
    np.testing.assert_array_equal(fsq.encode(inside), ids)


@given(code=st.integers(-(2**63), 2**64 - 1))
def test_p10_ids_outside_the_codes_are_refused(code: int) -> None:
    fsq = FSQ((8, 5))
    ids = np.array([3, code], np.uint64 if code >= 2**63 else np.int64)
    if 0 <= code < 40:
        assert fsq.decode(ids).shape == (2, 2)
    else:
        with pytest.raises(ValueError, match=f"expected 0 to 39, got .*{code}"):
            fsq.decode(ids)


def test_p10_ids_must_be_integers() -> None:
    for ids in (np.array([1.0]), np.array([True]), np.array(["1"]), np.array([1 + 0j])):
        with pytest.raises(TypeError, match="ids"):
            FSQ((8, 5)).decode(ids)


LAYOUTS = {
    "strided": lambda x: np.repeat(x, 3, axis=0)[::3],
    "strided components": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "negative strides": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "fortran": np.asfortranarray,
    "three dimensions": lambda x: x.reshape(-1, 2, x.shape[1]),
    "channels first": lambda x: np.moveaxis(
        np.ascontiguousarray(np.moveaxis(x.reshape(-1, 5, x.shape[1]), -1, 1)), 1, -1
    ),
    "broadcast": lambda x: np.broadcast_to(x[:1], (7, x.shape[1])),
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "one vector": lambda x: x[0],
    "empty": lambda x: x[:0],
    "read-only": lambda x: _read_only(x),
    "misaligned": lambda x: _misaligned(x),
}


def _read_only(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    copy = x.copy()
    copy.flags.writeable = False
    return copy


def _misaligned(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    raw = np.zeros(x.nbytes + 1, np.uint8)
    view = raw[1:].view(x.dtype).reshape(x.shape)
    view[:] = x
    assert not view.flags.aligned
    return view


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_p15_any_layout(layout: str, dtype: type) -> None:
    fsq = FSQ((8, 5, 5))
    x = LAYOUTS[layout](vectors((8, 5, 5), 1000, dtype))
    before = x.copy()
    contiguous = np.ascontiguousarray(x, dtype)
    expected = fsq.encode(contiguous.reshape(-1, 3)).reshape(x.shape[:-1])
    got = fsq.encode(x)
    assert np.shape(got) == x.shape[:-1]
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("n", [1, 7, 33, 300])
def test_p15_never_reads_past_the_end(isa: str, n: int) -> None:
    """The vectors end at the last byte of a page whose successor cannot be read."""
    import ctypes

    page = mmap.PAGESIZE
    region = mmap.mmap(-1, 4 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(region))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(address + 3 * page), ctypes.c_size_t(page), 0) == 0
    x = np.frombuffer(region, np.float32, 3 * n, 3 * page - 12 * n).reshape(n, 3)
    x[:] = vectors((8, 5, 5), n, np.float32)
    np.testing.assert_array_equal(FSQ((8, 5, 5)).encode(x), by_definition(x, (8, 5, 5)))
    assert libc.mprotect(ctypes.c_void_p(address + 3 * page), ctypes.c_size_t(page), 3) == 0


@pytest.mark.parametrize(
    "dtype", [np.float16, np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.bool_]
)
def test_p16_other_numbers_are_converted_exactly(dtype: type) -> None:
    x = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    np.testing.assert_array_equal(FSQ((8, 5)).encode(x), FSQ((8, 5)).encode(x.astype(np.float64)))


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((2, 2), np.complex64),
        np.array([["1", "2"]]),
        np.zeros((2, 2), "datetime64[s]"),
        np.array([[None, 1]]),
        np.ma.masked_array(np.zeros((2, 2)), [[True, False]] * 2),
        np.zeros((2, 2), np.longdouble),
        np.full((2, 2), 2**60),
    ],
    ids=["complex", "text", "dates", "objects", "masked array", "float128", "integers that float64 rounds"],
)
def test_p16_what_is_no_number_is_refused(x: Any) -> None:
    with pytest.raises(TypeError, match="x"):
        FSQ((8, 5)).encode(x)


@pytest.mark.parametrize("shape", [(), (3,), (4, 3), (4, 1), (0,), (4, 0)])
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="x"):
        FSQ((8, 5)).encode(np.zeros(shape))


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="on_invalid"):
        FSQ((8, 5)).encode(np.zeros((1, 2)), on_invalid="ignore")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="float32 or float64"):
        FSQ((8, 5)).decode([1], dtype=np.float16)
    with pytest.raises(ValueError, match="threads"):
        FSQ((8, 5)).encode(np.zeros((1, 2)), threads=-1)


def test_p17_no_copy_of_all_vectors_is_made() -> None:
    import tracemalloc

    n = 1 << 20
    fsq = FSQ((8, 5, 5))
    x = np.zeros((n, 3), np.float32)
    fsq.encode(x[:10])
    for given_x in (x, x.astype(">f4"), np.asfortranarray(x)):
        tracemalloc.start()
        fsq.encode(given_x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # The ids, and where a copy is needed a piece of 8 MiB with the positions that fetch it.
        assert peak < 4 * n + (1 << 20) + (0 if given_x is x else 32 << 20)


# ---- kinds of arrays -----------------------------------------------------------------------------------------


def test_torch_in_torch_out() -> None:
    torch = pytest.importorskip("torch")
    fsq = FSQ((8, 5, 5))
    x = vectors((8, 5, 5), 60, np.float32).reshape(4, 15, 3)
    ids = fsq.encode(torch.from_numpy(x), mask=torch.ones(4, 15, dtype=torch.bool))
    assert isinstance(ids, torch.Tensor)
    assert ids.dtype == torch.int32
    np.testing.assert_array_equal(ids.numpy(), fsq.encode(x))
    decoded = fsq.decode(ids)
    assert isinstance(decoded, torch.Tensor)
    np.testing.assert_array_equal(decoded.numpy(), fsq.decode(fsq.encode(x)))
    half = torch.from_numpy(x).bfloat16()
    np.testing.assert_array_equal(fsq.encode(half).numpy(), fsq.encode(half.float().numpy()))
    with pytest.raises(TypeError, match="detach"):
        fsq.encode(torch.zeros(2, 3, requires_grad=True))


def test_ragged_awkward_in_ragged_awkward_out() -> None:
    ak = pytest.importorskip("awkward")
    fsq = FSQ((8, 5))
    x = ak.Array([[[0.1, 0.2], [1.0, -1.0]], [], [[5.0, 5.0]]])
    ids = fsq.encode(x)
    assert ids.to_list() == [fsq.encode(np.array([[0.1, 0.2], [1.0, -1.0]])).tolist(), [], [39]]


# ---- files ---------------------------------------------------------------------------------------------------


def test_saved_loaded_and_pickled_quantizers_are_the_same(tmp_path: Path) -> None:
    fsq = FSQ((8, 5, 5, 5))
    fsq.save(tmp_path / "fsq")
    for copy in (FSQ.load(tmp_path / "fsq"), pickle.loads(pickle.dumps(fsq)), FSQ([8, 5, 5, 5])):
        assert copy == fsq
        assert hash(copy) == hash(fsq)
        assert copy.fingerprint == fsq.fingerprint
    assert FSQ((5, 8, 5, 5)).fingerprint != fsq.fingerprint


def test_golden_fingerprints() -> None:
    """Of levels and every bit of every threshold: a change here changes ids, and raises kNumericsVersion."""
    assert FSQ((8, 5, 5, 5)).fingerprint == "ddf0d194e45b7edff19a6d6ba3f1a9ca46da436e34eb73e15cfc7acebc753ce1"
    assert FSQ((7, 1001)).fingerprint == "5e02ab5384e21e7c4e816c40defb6994a71cc8f87513b90ef5a954142e6fa80b"


def test_the_artefact_holds_the_thresholds(tmp_path: Path) -> None:
    FSQ((8, 5)).save(tmp_path / "fsq")
    config, tensors = artefact.load(tmp_path / "fsq")
    assert config == {"kind": "fsq", "levels": [8, 5]}
    for dtype in DTYPES:
        np.testing.assert_array_equal(
            tensors[f"thresholds_{dtype.__name__}"], np.concatenate(FSQ((8, 5)).thresholds(dtype))
        )


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "lfq", "levels": [8, 5]},
        {"kind": "fsq"},
        {"kind": "fsq", "levels": [8, 2]},
        {"kind": "fsq", "levels": [8, 4]},
        {"kind": "fsq", "levels": 8},
        {"kind": "fsq", "levels": "85"},
        {"kind": "fsq", "levels": [8, 5], "offset": 0.5},
    ],
)
def test_other_artefacts_are_refused(config: dict[str, Any], tmp_path: Path) -> None:
    _, tensors = _saved(tmp_path / "good")
    artefact.save(tmp_path / "bad", config, tensors)
    with pytest.raises(ArtefactError):
        FSQ.load(tmp_path / "bad")


def test_altered_thresholds_are_refused_even_with_a_fitting_fingerprint(tmp_path: Path) -> None:
    config, tensors = _saved(tmp_path / "good")
    tensors["thresholds_float32"] = np.nextafter(tensors["thresholds_float32"], np.float32(9))
    artefact.save(tmp_path / "bad", config, tensors)
    with pytest.raises(ArtefactError, match="tensors that are not those"):
        FSQ.load(tmp_path / "bad")


def _saved(folder: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    FSQ((8, 5)).save(folder)
    return artefact.load(folder)


def test_recommended_levels() -> None:
    assert {n: FSQ.recommended(n).n_codes for n in RECOMMENDED_LEVELS} == {
        256: 240,
        1024: 1000,
        4096: 4375,
        16384: 15360,
        65536: 64000,
    }
    with pytest.raises(ValueError, match="256, 1024"):
        FSQ.recommended(512)


# ---- the peer ------------------------------------------------------------------------------------------------


@pytest.mark.peers
def test_p6_vector_quantize_pytorch_differs_only_in_the_last_bits_beside_a_threshold(
    record_property: Any,
) -> None:
    """Its float32 shift, tanh and product are each off by units of 2**-24; within 8 of them it may cross over."""
    torch = pytest.importorskip("torch")
    peers = pytest.importorskip("vector_quantize_pytorch")
    n_floats = n_differ = 0
    for n_levels in (3, 4, 5, 6, 7, 8, 16, 100, 101):
        fsq, peer = FSQ([n_levels]), peers.FSQ([n_levels])
        bits = fsq.thresholds()[0].view(np.int32)[:, None] + np.arange(-500, 501, dtype=np.int32)
        around = bits.view(np.float32)
        with torch.no_grad():
            theirs = peer(torch.from_numpy(around.reshape(1, -1, 1)))[1].numpy().reshape(around.shape)
        differ = fsq.encode(around[..., None]) != theirs
        n_floats += differ.size
        n_differ += int(differ.sum())

        half, offset = (n_levels - 1) * 1.001 / 2, 0.5 * (n_levels % 2 == 0)
        exact = fsq.thresholds(np.float64)[0][:, None]
        slope = 1 / np.cosh(exact + np.arctanh(offset / half)) ** 2  # of tanh at the threshold
        assert (np.abs(around - exact) * slope)[differ].max(initial=0) < 8 * 2.0**-24
    assert n_differ > 0  # so this test sees what it is for
    record_property("disagreement among the 1001 floats around each threshold", n_differ / n_floats)


@pytest.mark.peers
@pytest.mark.parametrize("levels", RECOMMENDED_LEVELS.values())
def test_p6_vector_quantize_pytorch_agrees_away_from_thresholds(levels: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    peer = pytest.importorskip("vector_quantize_pytorch").FSQ(list(levels))
    fsq = FSQ(levels)
    x = np.random.default_rng(0).normal(0, 1.5, (100_000, len(levels))).astype(np.float32)
    clear = np.ones(len(x), bool)
    for j, edges in enumerate(fsq.thresholds(np.float64)):
        clear &= (np.abs(x[:, j, None] - edges) > 1e-5).all(axis=1)
    assert clear.mean() > 0.99
    with torch.no_grad():
        theirs = peer(torch.from_numpy(x)[None])[1][0].numpy()
    np.testing.assert_array_equal(fsq.encode(x)[clear], theirs[clear])
    ids = np.unique(np.linspace(0, fsq.n_codes - 1, 10_000).astype(np.int32))
    decoded = peer.indices_to_codes(torch.from_numpy(ids)[None])[0].numpy()
    np.testing.assert_array_equal(fsq.decode(ids), decoded)
