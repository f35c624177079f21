"""Residual stages: each decided by the contract of `nearest`. Tolerance class of this file: bits, compared with ==."""

from __future__ import annotations

import pickle
from fractions import Fraction
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
from evtok import Codebook, ResidualCodebook
from evtok import reference_quantizers as reference
from evtok.errors import ArtefactError
from evtok.tokenizers import artefact
from test_float_environment import modes, same_in

DTYPES = [np.float32, np.float64]


def codes(
    counts: tuple[int, ...], n_dims: int, dtype: type = np.float32, seed: int = 0
) -> list[npt.NDArray[Any]]:
    """Gaussian codes, each stage half as wide as the one before."""
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 2.0**-q, (k, n_dims)).astype(dtype) for q, k in enumerate(counts)]


def vectors(n: int, n_dims: int, dtype: type = np.float32, seed: int = 1) -> npt.NDArray[Any]:
    return np.random.default_rng(seed).normal(0, 1, (n, n_dims)).astype(dtype)


def rounded(value: Fraction, dtype: type) -> Any:
    """The number of `dtype` nearest to a rational one, the even one of two (np.float32 of a float rounds twice)."""
    near = dtype(float(value))
    around = [np.nextafter(near, dtype(-np.inf)), near, np.nextafter(near, dtype(np.inf))]
    bits = f"u{near.itemsize}"
    return min(around, key=lambda c: (abs(Fraction(float(c)) - value), int(c.view(bits)) & 1))


def nearest(x: npt.NDArray[Any], candidates: npt.NDArray[Any]) -> int:
    """The specification in rational numbers: s = fma(t, t, s) with t = fl(x - c), the smallest (s, index)."""
    dtype = x.dtype.type

    def distance(code: npt.NDArray[Any]) -> Any:
        s = dtype(0)
        for t in x - code:
            s = rounded(Fraction(float(t)) ** 2 + Fraction(float(s)), dtype)
        return s

    return min(range(len(candidates)), key=lambda k: (distance(candidates[k]), k))


def by_definition(x: npt.NDArray[Any], stages: list[npt.NDArray[Any]]) -> npt.NDArray[np.int32]:
    return np.array([reference.residual_ids(row, stages, nearest) for row in x], np.int32).reshape(
        len(x), len(stages)
    )


# ---- the definition ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("counts", "n_dims"), [((7,), 1), ((16, 9, 4), 3), ((5, 5, 5, 5, 5, 5), 2), ((1, 3), 8)]
)
def test_p2_p11_ids_are_those_of_the_definition_on_every_instruction_set(
    isa: str, counts: tuple[int, ...], n_dims: int, dtype: type
) -> None:
    stages = codes(counts, n_dims, dtype)
    x = vectors(40, n_dims, dtype)
    quantizer = ResidualCodebook(stages)
    ids = quantizer.encode(x)
    assert evtok.last_backend() == f"evtok:{isa}"
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, by_definition(x, stages))
    decoded = quantizer.decode(ids)
    expected = np.array([reference.residual_vector(row, stages) for row in ids])
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, expected)


small = st.floats(-100, 100, width=16)


@given(
    stages=st.integers(1, 3).flatmap(
        lambda d: st.lists(
            st.integers(1, 5).flatmap(lambda k: hnp.arrays(np.float32, (k, d), elements=small)),
            min_size=1,
            max_size=4,
        )
    ),
    data=st.data(),
)
def test_p3_p11_ids_are_those_of_the_definition_property(
    stages: list[npt.NDArray[np.float32]], data: st.DataObject
) -> None:
    """Drawn from few numbers, so that ties are common: they go to the lowest index at every stage."""
    x = data.draw(hnp.arrays(np.float32, (3, stages[0].shape[1]), elements=small))
    np.testing.assert_array_equal(ResidualCodebook(stages).encode(x), by_definition(x, stages))


def test_p3_ties_go_to_the_lowest_index_at_every_stage() -> None:
    doubled = [np.repeat(stage, 2, axis=0) for stage in codes((8, 8, 8), 3)]
    ids = ResidualCodebook(doubled).encode(vectors(2000, 3))
    assert (ids % 2 == 0).all()


def test_the_first_stages_are_those_of_a_shorter_quantizer() -> None:
    quantizer = ResidualCodebook(codes((32, 32, 32, 32), 4))
    x = vectors(1000, 4)
    ids = quantizer.encode(x)
    for q in (1, 2, 3):
        np.testing.assert_array_equal(ResidualCodebook(quantizer.stages[:q]).encode(x), ids[:, :q])
    np.testing.assert_array_equal(evtok.nearest(x, quantizer.stages[0]), ids[:, 0])


def test_residuals_are_rounded_to_the_dtype_at_every_stage() -> None:
    """1 + 2**-24 - 1 is 0 in float32: the second stage sees the rounded difference of the stored numbers."""
    stages = [np.array([[1.0]], np.float32), np.array([[0.0], [2.0**-24]], np.float32)]
    x = np.array([[1 + 2.0**-23], [1.0], [1 - 2.0**-24]], np.float32)
    np.testing.assert_array_equal(ResidualCodebook(stages).encode(x), [[0, 1], [0, 0], [0, 0]])


# ---- promises of every quantizer -----------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_p1_p2_threads_splits_and_order_do_not_matter(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    quantizer = ResidualCodebook(codes((64, 17, 5), 4))
    x = vectors(20_000, 4)
    whole = quantizer.encode(x, threads=threads)
    np.testing.assert_array_equal(whole, quantizer.encode(x, threads=1))
    parts = [quantizer.encode(x[a:b], threads=threads) for a, b in pairwise([0, 1, 33, 1025, 19_999, len(x)])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    order = np.random.default_rng(1).permutation(len(x))
    np.testing.assert_array_equal(quantizer.encode(x[order], threads=threads), whole[order])
    monkeypatch.setattr("evtok.codebook._rows.PIECE_BYTES", 4096)  # 256 rows
    np.testing.assert_array_equal(quantizer.encode(x, threads=threads), whole)
    np.testing.assert_array_equal(quantizer.encode(np.asfortranarray(x), threads=threads), whole)


@modes
def test_p9_a_callers_floating_point_mode_reaches_no_id(bits: int) -> None:
    """Differences whose rounding depends on the mode, and sums with codes that are subnormal numbers."""
    prepare = """
from evtok import ResidualCodebook
rng = np.random.default_rng(0)
quantizer = ResidualCodebook([rng.normal(0, 0.5**q, (16, 2)).astype(np.float32) for q in range(3)])
tiny = ResidualCodebook([np.array([[1e-38]], np.float32), np.array([[0], [1e-41], [5e-41]], np.float32)])
x = rng.normal(0, 1, (3000, 2)).astype(np.float32)
"""
    compute = """
ids = quantizer.encode(x)
parts = [ids, quantizer.encode(x.astype(">f4")), quantizer.decode(ids), tiny.decode([[0, 0], [0, 1], [0, 2]])]
result = np.concatenate([part.view(np.uint8).ravel() for part in parts])
"""
    assert same_in(bits, prepare, compute) == ["kept", "same"]


@given(power=st.integers(-30, 30))
def test_p4_scaling_by_a_power_of_two_changes_no_id(power: int) -> None:
    stages, x = codes((16, 16, 16), 3), vectors(100, 3)
    factor = np.float32(2.0**power)
    ids = ResidualCodebook([stage * factor for stage in stages]).encode(x * factor)
    np.testing.assert_array_equal(ids, ResidualCodebook(stages).encode(x))


def test_p4_appending_dimensions_of_zeros_changes_no_id() -> None:
    stages, x = codes((16, 16, 16), 3), vectors(500, 3)
    wider = [np.pad(stage, ((0, 0), (0, 5))) for stage in stages]
    ids = ResidualCodebook(wider).encode(np.pad(x, ((0, 0), (0, 5))))
    np.testing.assert_array_equal(ids, ResidualCodebook(stages).encode(x))


def test_p4_permuting_the_codes_relabels_the_ids() -> None:
    stages, x = codes((16, 12, 8), 3), vectors(500, 3)
    rng = np.random.default_rng(3)
    orders = [rng.permutation(len(stage)) for stage in stages]
    permuted = ResidualCodebook([stage[order] for stage, order in zip(stages, orders, strict=True)]).encode(x)
    relabelled = np.stack([order[permuted[:, q]] for q, order in enumerate(orders)], axis=1)
    np.testing.assert_array_equal(relabelled, ResidualCodebook(stages).encode(x))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_p7_invalid_rows_are_refused_or_marked_in_all_stages(bad: float) -> None:
    quantizer = ResidualCodebook(codes((16, 16), 3))
    x = vectors(300, 3)
    expected = quantizer.encode(x)
    x[[7, 200], 1] = bad
    expected[[7, 200]] = -1
    with pytest.raises(ValueError, match="x: row 7 "):
        quantizer.encode(x)
    np.testing.assert_array_equal(quantizer.encode(x, on_invalid="sentinel"), expected)
    with pytest.raises(ValueError, match=r"row 7 \(index \(0, 7\)\)"):
        quantizer.encode(x.reshape(2, 150, 3))


def test_p7_an_overflow_in_a_later_stage_marks_all_stages() -> None:
    """0.9e19 is near enough to 0, but the square of 0.9e19 + 1e19 is beyond float32."""
    quantizer = ResidualCodebook(np.array([[[0.0]], [[-1e19]], [[0.0]]], np.float32))
    x = np.array([[0.0], [0.9e19], [0.0], [np.inf]], np.float32)
    ids = quantizer.encode(x, on_invalid="sentinel")
    np.testing.assert_array_equal(ids, [[0, 0, 0], [-1, -1, -1], [0, 0, 0], [-1, -1, -1]])
    with pytest.raises(ValueError, match="x: row 1 less its codes of 1 stages is so far"):
        quantizer.encode(x)


def test_masked_rows_are_not_looked_at() -> None:
    quantizer = ResidualCodebook(codes((16, 16), 3))
    x = vectors(1000, 3)
    mask = np.random.default_rng(0).random(1000) < 0.5
    expected = np.where(mask[:, None], quantizer.encode(x), -1)
    x[~mask] = np.nan
    np.testing.assert_array_equal(quantizer.encode(x, mask=mask), expected)
    np.testing.assert_array_equal(
        quantizer.encode(x.reshape(10, 100, 3), mask=mask.reshape(10, 100)), expected.reshape(10, 100, 2)
    )
    with pytest.raises(ValueError, match="mask"):
        quantizer.encode(x, mask=mask[1:])


@pytest.mark.parametrize(
    ("stages", "error", "says"),
    [
        ([], ValueError, "at least one"),
        ([np.zeros((0, 3), np.float32)], ValueError, "code"),
        ([np.zeros((3, 0), np.float32)], ValueError, "dim"),
        (
            [np.zeros((3, 2), np.float32), np.zeros((3, 3), np.float32)],
            ValueError,
            "stage 1 has 3 dimensions",
        ),
        ([np.zeros((3, 2), np.float32), np.zeros((3, 2))], TypeError, "stage 1 is float64"),
        ([np.zeros((3, 2)), np.full((3, 2), np.nan)], ValueError, "NaN"),
        ([np.zeros((3, 2)), np.full((3, 2), np.inf)], ValueError, "infinity"),
        ([Codebook(np.ones((3, 2)), "cosine")], ValueError, "stage 0 has the metric 'cosine'"),
        ([np.zeros(3)], ValueError, "shape"),
        ([np.array([["a"]])], TypeError, "vectors"),
    ],
)
def test_p8_stages_that_make_no_quantizer_are_refused(stages: Any, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        ResidualCodebook(stages)


@given(st.data())
def test_p10_ids_outside_the_codes_are_refused(data: st.DataObject) -> None:
    counts = (6, 4, 9)
    quantizer = ResidualCodebook(codes(counts, 2))
    ids = data.draw(
        hnp.arrays(np.int64, (2, 3), elements=st.integers(-3, 10) | st.integers(-(2**63), 2**63 - 1))
    )
    if ((ids >= 0) & (ids < counts)).all():
        assert quantizer.decode(ids).shape == (2, 2)
    else:
        with pytest.raises(ValueError, match="ids of stage"):
            quantizer.decode(ids)


def test_p10_sums_of_codes_of_falling_spacing_are_encoded_as_their_ids() -> None:
    """Each stage divides a cell of the one before in four, so every sum has one set of ids; all sums are exact."""
    quantizer = ResidualCodebook([(np.arange(4, dtype=np.float32)[:, None] - 1.5) / 4.0**q for q in range(4)])
    ids = np.stack(np.meshgrid(*[np.arange(4)] * 4, indexing="ij"), axis=-1)
    np.testing.assert_array_equal(quantizer.encode(quantizer.decode(ids)), ids)


def test_ids_of_another_number_of_stages_are_refused() -> None:
    quantizer = ResidualCodebook(codes((6, 4, 9), 2))
    for ids in (np.zeros((5, 2), int), np.zeros((5, 4), int), np.array(0), np.zeros((3, 0), int)):
        with pytest.raises(ValueError, match=r"\(\.\.\., 3\)"):
            quantizer.decode(ids)
    with pytest.raises(TypeError, match="ids"):
        quantizer.decode(np.zeros((5, 3)))


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
        lambda x: x[:0].reshape(0, 4, 3),
    ],
)
def test_p15_any_layout(layout: Any) -> None:
    stages = codes((6, 4, 9), 3)
    x = layout(vectors(60, 3))
    before = x.copy()
    expected = by_definition(np.ascontiguousarray(x.reshape(-1, 3), np.float32), stages).reshape(
        *x.shape[:-1], 3
    )
    quantizer = ResidualCodebook(stages)
    np.testing.assert_array_equal(quantizer.encode(x), expected)
    np.testing.assert_array_equal(x, before)
    assert quantizer.decode(expected).shape == x.shape


def test_p15_the_stages_are_copies_that_cannot_be_written() -> None:
    stages = codes((6, 4), 3)
    quantizer = ResidualCodebook(stages)
    mark = quantizer.fingerprint
    stages[0][:] = 0
    assert ResidualCodebook(quantizer.stages).fingerprint == mark
    with pytest.raises(ValueError, match="read-only"):
        quantizer.stages[0].vectors[0] = 0
    decoded = quantizer.decode([0, 0])
    decoded[:] = 7  # the caller's own
    assert (quantizer.decode([0, 0]) != 7).all()


def test_p16_dtypes_are_exact_or_asked_for() -> None:
    quantizer = ResidualCodebook(codes((16, 16), 3))
    x = vectors(200, 3, np.float64)
    with pytest.raises(TypeError, match="float64"):
        quantizer.encode(x)
    single = quantizer.encode(x.astype(np.float32))
    np.testing.assert_array_equal(quantizer.encode(x, dtype="float32"), single)
    wide = ResidualCodebook([stage.vectors.astype(np.float64) for stage in quantizer.stages])
    np.testing.assert_array_equal(quantizer.encode(x, dtype="float64"), wide.encode(x))
    half = x.astype(np.float16)
    np.testing.assert_array_equal(quantizer.encode(half), quantizer.encode(half.astype(np.float32)))
    with pytest.raises(TypeError, match="x"):
        quantizer.encode(x.astype(np.complex64))


@pytest.mark.parametrize("shape", [(), (3,), (4, 2), (0,)])
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="x"):
        ResidualCodebook(codes((6,), 4)).encode(np.zeros(shape, np.float32))


def test_p17_residuals_exist_for_a_piece_of_the_rows_at_a_time() -> None:
    import tracemalloc

    n = 1 << 21
    quantizer = ResidualCodebook(codes((2, 2), 4))
    x = np.zeros((n, 4), np.float32)  # 32 MiB
    tracemalloc.start()
    quantizer.encode(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 4 * n + (24 << 20)  # the ids, and pieces of 8 MiB


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="on_invalid"):
        ResidualCodebook(codes((6,), 4)).encode(np.zeros((1, 4), np.float32), on_invalid="x")  # type: ignore[arg-type]


# ---- kinds of arrays and files -------------------------------------------------------------------------------


def test_torch_in_torch_out() -> None:
    torch = pytest.importorskip("torch")
    quantizer = ResidualCodebook([torch.from_numpy(stage) for stage in codes((6, 4), 3)])
    x = vectors(50, 3)
    ids = quantizer.encode(torch.from_numpy(x))
    assert ids.dtype == torch.int32
    np.testing.assert_array_equal(ids.numpy(), quantizer.encode(x))
    np.testing.assert_array_equal(quantizer.decode(ids).numpy(), quantizer.decode(ids.numpy()))


def test_ragged_awkward_in_ragged_awkward_out() -> None:
    ak = pytest.importorskip("awkward")
    quantizer = ResidualCodebook(codes((6, 4), 2, np.float64))
    x = ak.Array([[[0.1, 0.2], [1.0, -1.0]], [], [[5.0, 5.0]]])
    flat = quantizer.encode(np.array([[0.1, 0.2], [1.0, -1.0], [5.0, 5.0]])).tolist()
    assert quantizer.encode(x).to_list() == [flat[:2], [], flat[2:]]


def test_saved_loaded_and_pickled_quantizers_are_the_same(tmp_path: Path) -> None:
    quantizer = ResidualCodebook(codes((6, 4, 12, 2, 2, 2, 2, 2, 2, 2, 2), 3))
    quantizer.save(tmp_path / "rvq")
    for copy in (ResidualCodebook.load(tmp_path / "rvq"), pickle.loads(pickle.dumps(quantizer))):
        assert copy == quantizer
        assert hash(copy) == hash(quantizer)
        assert copy.fingerprint == quantizer.fingerprint
    assert ResidualCodebook(quantizer.stages[::-1]).fingerprint != quantizer.fingerprint
    counting = ResidualCodebook([np.arange(6, dtype=np.float32).reshape(3, 2)] * 2)
    assert counting.fingerprint == "1b64de2e73e067cc2d13bbb0d1d49a8b92a81b651849f97d192fc5aae6b10190"


def test_other_artefacts_are_refused(tmp_path: Path) -> None:
    ResidualCodebook(codes((6, 4), 3)).save(tmp_path / "good")
    config, tensors = artefact.load(tmp_path / "good")
    assert config == {"kind": "residual-codebook", "metric": "l2", "n_stages": 2, "dtype": "float32"}
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (config | {"kind": "codebook"}, tensors),
        (config | {"metric": "cosine"}, tensors),
        (config | {"n_stages": 3}, tensors),
        (config | {"dtype": "float64"}, tensors),
        (config | {"more": 1}, tensors),
        ({"kind": "residual-codebook"}, tensors),
        (config, {"stage_0": tensors["stage_0"]}),
        (config, {"stage_0": tensors["stage_0"], "stage_2": tensors["stage_1"]}),
        (config, tensors | {"stage_1": tensors["stage_1"][:, :2]}),
        (config, tensors | {"stage_1": tensors["stage_1"] * np.float32(np.inf)}),
        (config, {}),
    ]
    for k, (bad_config, bad_tensors) in enumerate(cases):
        artefact.save(tmp_path / str(k), bad_config, bad_tensors)
        with pytest.raises(ArtefactError):
            ResidualCodebook.load(tmp_path / str(k))
    Codebook(tensors["stage_0"]).save(tmp_path / "codebook")
    with pytest.raises(ArtefactError, match="residual-codebook"):
        ResidualCodebook.load(tmp_path / "codebook")


# ---- the peer ------------------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_p6_vector_quantize_pytorch_agrees_where_no_stage_is_close(
    offset: float, record_property: Any
) -> None:
    """It takes |x|^2 + |c|^2 - 2 x.c in float32, which errs by a few units of 2**-24 (|x| + |c|)^2."""
    torch = pytest.importorskip("torch")
    peers = pytest.importorskip("vector_quantize_pytorch")
    stages = codes((128, 64, 64, 64), 4)
    stages[0] += np.float32(offset)
    peer = peers.ResidualVQ(dim=4, num_quantizers=4, codebook_size=(128, 64, 64, 64)).eval()
    for layer, stage in zip(peer.layers, stages, strict=True):
        layer._codebook.embed.data.copy_(torch.from_numpy(stage)[None])
    x = vectors(50_000, 4) + np.float32(offset)
    with torch.no_grad():
        quantized, theirs, _ = peer(torch.from_numpy(x)[None])
    theirs = theirs[0].numpy()
    quantizer = ResidualCodebook(stages)
    ids = quantizer.encode(x)
    record_property("disagreement", float((ids != theirs).any(axis=1).mean()))
    # The same ids decode to the same bits: both add the codes in the order of the stages.
    np.testing.assert_array_equal(quantizer.decode(theirs), quantized[0].numpy())

    left, agree = x, np.ones(len(x), bool)
    for q, codebook in enumerate(quantizer.stages):
        _, margin = codebook.nearest(left, return_margin=True)
        size = (np.linalg.norm(left, axis=1) + np.linalg.norm(codebook.vectors, axis=1).max()) ** 2
        agree &= margin > 16 * 2.0**-24 * size
        assert (ids[agree, q] == theirs[agree, q]).all()
        left = left - codebook.vectors[ids[:, q]]
    assert agree.mean() > 0.99
