"""LFQ: one bit for each component. Tolerance class of this file: integers and floats, compared with ==."""

from __future__ import annotations

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
from evtok import LFQ
from evtok import reference_quantizers as reference
from evtok.errors import ArtefactError
from evtok.tokenizers import artefact

DTYPES = [np.float32, np.float64]
SPECIAL = [0.0, -0.0, 5e-324, -5e-324, 1e-45, -1e-45, 1e38, -1e38, 1.0, -1.0]


def vectors(n_dims: int, n: int, dtype: type, seed: int = 0) -> npt.NDArray[Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (n, n_dims)).astype(dtype)
    return np.where(rng.random(x.shape) < 0.3, rng.choice(np.array(SPECIAL).astype(dtype), x.shape), x)


def by_definition(x: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    return np.array([reference.lfq_id([float(z) for z in row]) for row in x], np.int32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_dims", [1, 2, 8, 13, 18, 31])
def test_p2_p9_p11_ids_are_those_of_the_definition_on_every_instruction_set(
    isa: str, n_dims: int, dtype: type
) -> None:
    """Subnormal numbers are above zero, and zeros of either sign are not."""
    x = vectors(n_dims, 2000, dtype)
    ids = LFQ(n_dims).encode(x)
    assert evtok.last_backend() == f"evtok:{isa}"
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, by_definition(x))


@given(
    x=st.integers(1, 31).flatmap(
        lambda d: hnp.arrays(
            st.sampled_from([np.float32, np.float64]),
            st.tuples(st.integers(0, 6), st.just(d)),
            elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
        )
    )
)
def test_p11_ids_are_those_of_the_definition_property(x: npt.NDArray[Any]) -> None:
    np.testing.assert_array_equal(LFQ(x.shape[1]).encode(x), by_definition(x))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_p1_p2_threads_splits_and_order_do_not_matter(threads: int) -> None:
    lfq = LFQ(13)
    x = vectors(13, 40_000, np.float32)
    whole = lfq.encode(x, threads=threads)
    np.testing.assert_array_equal(whole, lfq.encode(x, threads=1))
    parts = [lfq.encode(x[a:b], threads=threads) for a, b in pairwise([0, 1, 1023, 1025, 39_999, len(x)])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    order = np.random.default_rng(1).permutation(len(x))
    np.testing.assert_array_equal(lfq.encode(x[order], threads=threads), whole[order])


@given(power=st.integers(-20, 20))
def test_p4_positive_scaling_changes_no_id(power: int) -> None:
    x = np.random.default_rng(0).normal(0, 1, (500, 9))
    np.testing.assert_array_equal(LFQ(9).encode(x * 2.0**power), LFQ(9).encode(x))


def test_p4_permuting_the_components_permutes_the_bits() -> None:
    x = vectors(10, 500, np.float32)
    reversed_bits = [int(f"{code:010b}"[::-1], 2) for code in LFQ(10).encode(x)]
    np.testing.assert_array_equal(LFQ(10).encode(x[:, ::-1]), reversed_bits)


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_p7_invalid_rows_are_refused_or_marked_and_masked_ones_are_not_looked_at(
    isa: str, bad: float
) -> None:
    lfq = LFQ(5)
    x = vectors(5, 3000, np.float32)
    expected = lfq.encode(x)
    x[2047, 4] = bad
    expected[2047] = -1
    with pytest.raises(ValueError, match=r"row 2047 has (nan|inf|-inf) in component 4"):
        lfq.encode(x)
    np.testing.assert_array_equal(lfq.encode(x, on_invalid="sentinel"), expected)
    mask = np.ones(3000, bool)
    mask[[0, 2047]] = False
    expected[0] = -1
    np.testing.assert_array_equal(lfq.encode(x, mask=mask), expected)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((0,), ValueError, "1 to 31"),
        ((-1,), ValueError, "1 to 31"),
        ((32,), ValueError, "int32"),
        ((2.0,), TypeError, "integer"),
        (("4",), TypeError, "integer"),
        ((4, 0.0), ValueError, "positive"),
        ((4, -1.0), ValueError, "positive"),
        ((4, np.inf), ValueError, "finite"),
        ((4, np.nan), ValueError, "finite"),
        ((4, "1"), TypeError, "scale"),
        ((4, True), TypeError, "scale"),
    ],
)
def test_p8_settings_that_make_no_quantizer_are_refused(arguments: Any, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        LFQ(*arguments)


@pytest.mark.parametrize("n_dims", [1, 9, 31])
@pytest.mark.parametrize("scale", [1.0, 0.1, 1e-30])
def test_p10_decoding_and_encoding_are_inverse(n_dims: int, scale: float) -> None:
    lfq = LFQ(n_dims, scale)
    assert lfq.n_codes == 2**n_dims
    ids = np.unique(np.linspace(0, lfq.n_codes - 1, 3000).astype(np.int64))
    for dtype in DTYPES:
        decoded = lfq.decode(ids, dtype=dtype)
        expected = np.array([reference.lfq_vector(int(code), n_dims, scale) for code in ids])
        np.testing.assert_array_equal(decoded, expected.astype(dtype))
        np.testing.assert_array_equal(lfq.encode(decoded), ids)


@given(code=st.integers(-(2**63), 2**64 - 1))
def test_p10_ids_outside_the_codes_are_refused(code: int) -> None:
    ids = np.array([[3, code]], np.uint64 if code >= 2**63 else np.int64)
    if 0 <= code < 2**12:
        np.testing.assert_array_equal(LFQ(12).encode(LFQ(12).decode(ids)), ids)
    else:
        with pytest.raises(ValueError, match=f"expected 0 to 4095, got .*{code}"):
            LFQ(12).decode(ids)


@pytest.mark.parametrize(
    "layout",
    [
        lambda x: np.repeat(x, 3, axis=0)[::3],
        lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
        np.asfortranarray,
        lambda x: x.reshape(-1, 2, x.shape[1]),
        lambda x: np.broadcast_to(x[:1], (7, x.shape[1])),
        lambda x: x.astype(x.dtype.newbyteorder(">")),
        lambda x: x[0],
        lambda x: x[:0],
    ],
)
def test_p15_any_layout(layout: Any) -> None:
    x = layout(vectors(9, 1000, np.float32))
    expected = by_definition(x.reshape(-1, 9)).reshape(x.shape[:-1])
    np.testing.assert_array_equal(LFQ(9).encode(x), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.int32, np.int64, np.bool_])
def test_p16_other_numbers_are_converted_exactly(dtype: type) -> None:
    x = np.array([[0, 1, 1], [1, 0, 0]]).astype(dtype)
    assert LFQ(3).encode(x).tolist() == [3, 4]
    with pytest.raises(TypeError, match="x"):
        LFQ(3).encode(x.astype(np.complex128))


def test_torch_in_torch_out() -> None:
    torch = pytest.importorskip("torch")
    x = vectors(9, 100, np.float32)
    ids = LFQ(9).encode(torch.from_numpy(x))
    assert ids.dtype == torch.int32
    np.testing.assert_array_equal(ids.numpy(), LFQ(9).encode(x))
    assert isinstance(LFQ(9).decode(ids), torch.Tensor)


def test_saved_loaded_and_pickled_quantizers_are_the_same(tmp_path: Path) -> None:
    lfq = LFQ(18, 0.5)
    lfq.save(tmp_path / "lfq")
    for copy in (LFQ.load(tmp_path / "lfq"), pickle.loads(pickle.dumps(lfq)), LFQ(np.int8(18), 0.5)):
        assert copy == lfq
        assert hash(copy) == hash(lfq)
        assert copy.fingerprint == lfq.fingerprint
    assert LFQ(18).fingerprint != lfq.fingerprint
    assert LFQ(18).fingerprint == "5a790e4a90a65b8c77aa2b350ac458d711342a76088c9720df3c7be946a46f9e"


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "fsq", "n_dims": 4, "scale": 1.0},
        {"kind": "lfq", "n_dims": 4},
        {"kind": "lfq", "n_dims": 32, "scale": 1.0},
        {"kind": "lfq", "n_dims": 4, "scale": "1"},
        {"kind": "lfq", "n_dims": 4, "scale": 1.0, "order": "little"},
    ],
)
def test_other_artefacts_are_refused(config: dict[str, Any], tmp_path: Path) -> None:
    artefact.save(tmp_path / "bad", config, {})
    with pytest.raises(ArtefactError):
        LFQ.load(tmp_path / "bad")


@pytest.mark.peers
@pytest.mark.parametrize("n_dims", [1, 9, 16])
def test_p6_vector_quantize_pytorch_has_the_same_ids_and_vectors(n_dims: int) -> None:
    torch = pytest.importorskip("torch")
    peer = pytest.importorskip("vector_quantize_pytorch").LFQ(dim=n_dims, codebook_scale=0.5).eval()
    x = vectors(n_dims, 20_000, np.float32)
    with torch.no_grad():
        quantized, ids, _ = peer(torch.from_numpy(x)[None])
    lfq = LFQ(n_dims, 0.5)
    np.testing.assert_array_equal(lfq.encode(x), ids[0].numpy())
    np.testing.assert_array_equal(lfq.decode(lfq.encode(x)), quantized[0].numpy())
