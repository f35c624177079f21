"""The codebook update of a training loop: compared with == to a definition in pure Python, and with its peer."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import python_process
from evtok import reference_training
from evtok.codebook import moving_average
from evtok.codebook.codebook import Codebook
from evtok.codebook.sums import code_sums

State = tuple[np.ndarray, np.ndarray, np.ndarray]


def batch(n: int = 500, n_dims: int = 3, n_codes: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n_dims)).astype(np.float32), rng.integers(-1, n_codes, n).astype(np.int32)


def new_state(n_codes: int = 8, n_dims: int = 3, dtype: Any = np.float32, seed: int = 1) -> State:
    codes = np.random.default_rng(seed).normal(size=(n_codes, n_dims)).astype(dtype)
    return codes, np.ones(n_codes, dtype), codes.copy()


def copy(state: State) -> State:
    return state[0].copy(), state[1].copy(), state[2].copy()


# ---- averages ----------------------------------------------------------------------------------------------


@given(
    st.integers(1, 40),
    st.integers(1, 5),
    st.integers(1, 4),
    st.floats(0, 1),
    st.sampled_from([1e-5, 1e-2]),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_averages_are_those_of_the_definition(
    n: int, n_codes: int, n_dims: int, decay: float, epsilon: float, seed: int
) -> None:
    x, ids = batch(n, n_dims, n_codes, seed)
    state = new_state(n_codes, n_dims, np.float64, seed)
    if not (ids >= 0).any() or (decay == 1 and not state[1].any()):
        return  # nothing to average; see the tests below
    codes, sizes, sums = reference_training.moving_average(
        state[1].tolist(), state[2].tolist(), x.tolist(), ids.tolist(), decay, epsilon
    )
    moving_average.update(*state, x, ids, decay=decay, epsilon=epsilon)
    for got, wanted in zip(state, (codes, sizes, sums), strict=True):
        assert got.tobytes() == np.array(wanted).tobytes()


def test_float32_averages_are_rounded_once() -> None:
    x, ids = batch()
    narrow, wide = new_state(), tuple(a.astype(np.float64) for a in new_state())
    moving_average.update(*narrow, x, ids)
    moving_average.update(*wide, x, ids)
    assert np.array_equal(narrow[1], wide[1].astype(np.float32))
    assert np.array_equal(narrow[2], wide[2].astype(np.float32))
    assert np.abs(narrow[0] - wide[0]).max() < 1e-6


def test_the_codes_come_to_the_means_of_their_rows() -> None:
    x, ids = batch()
    state = new_state()
    for _ in range(200):
        moving_average.update(*state, x, ids, epsilon=0)
    for code in range(8):
        assert np.allclose(state[0][code], x[ids == code].mean(axis=0), atol=1e-6)


def test_a_batch_without_counted_rows_changes_nothing() -> None:
    x, ids = batch()
    state = new_state()
    before = copy(state)
    assert moving_average.update(*state, x, np.full_like(ids, -1), dead_below=5.0) == 0
    assert moving_average.update(*state, x[:0], ids[:0], dead_below=5.0) == 0
    assert all(np.array_equal(a, b) for a, b in zip(state, before, strict=True))


def test_without_smoothing_a_code_that_was_never_used_stays() -> None:
    x, _ = batch()
    codes, sizes, sums = new_state()
    sizes[5] = 0
    before = codes[5].copy()
    moving_average.update(codes, sizes, sums, x, np.zeros(500, np.int32), epsilon=0)
    assert np.array_equal(codes[5], before)
    assert np.isfinite(codes).all()


def test_normalised_codes_have_unit_length() -> None:
    x, ids = batch()
    codes, sizes, sums = new_state()
    moving_average.update(codes, sizes, sums, x, ids, normalise=True, dead_below=10.0)
    assert np.abs(np.linalg.norm(codes.astype(float), axis=1) - 1).max() < 1e-6


def test_steps_done_one_by_one_are_the_update() -> None:
    x, ids = batch()
    at_once, by_steps = new_state(), new_state()
    n = moving_average.update(*at_once, x, ids, decay=0.9, dead_below=7.0, seed=4, step=9)
    counts, sums = code_sums(x, ids, 8)
    moving_average.apply(*by_steps, counts, sums, decay=0.9)
    assert moving_average.replace_dead(*by_steps, x, ids, dead_below=7.0, seed=4, step=9) == n > 0
    assert all(np.array_equal(a, b) for a, b in zip(at_once, by_steps, strict=True))


# ---- dead codes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset_to", [None, 3.5])
def test_dead_codes_become_different_rows_of_the_batch(reset_to: float | None) -> None:
    x, ids = batch(seed=5)
    ids[ids == 2] = -1
    codes, sizes, sums = new_state()
    sizes[[1, 4, 6]] = 0.25
    before = codes.copy()
    n = moving_average.replace_dead(
        codes, sizes, sums, x, ids, dead_below=0.5, reset_to=reset_to, seed=3, step=7
    )
    assert n == 3
    counted = {row.tobytes() for row in x[ids >= 0]}
    assert {row.tobytes() for row in codes[[1, 4, 6]]} <= counted
    assert len(np.unique(codes[[1, 4, 6]], axis=0)) == 3
    u = reference_training.uniforms(3, 7, 6)
    counted_rows = np.flatnonzero(ids >= 0)
    drawn = counted_rows[reference_training.draw_rows(len(counted_rows), u[3:])]
    assert np.array_equal(codes[[1, 4, 6]], x[drawn])
    size = 0.5 if reset_to is None else reset_to
    assert (sizes[[1, 4, 6]] == size).all()
    assert np.array_equal(sums[[1, 4, 6]], (codes[[1, 4, 6]].astype(float) * size).astype(np.float32))
    others = [0, 2, 3, 5, 7]
    assert np.array_equal(codes[others], before[others])
    assert (sizes[others] == 1).all()


def test_the_rows_depend_on_seed_and_step_alone() -> None:
    x, ids = batch()

    def replaced(**options: int) -> bytes:
        state = new_state()
        state[1][:] = 0
        assert moving_average.replace_dead(*state, x, ids, dead_below=1.0, **options) == 8
        return state[0].tobytes()

    assert replaced(seed=1, step=2) == replaced(seed=1, step=2)
    assert len({replaced(seed=seed, step=step) for seed in (0, 1, 2**64 - 1) for step in (0, 1, 2)}) == 9


def test_more_dead_codes_than_rows_wait_for_another_step() -> None:
    x, ids = batch()
    ids[:] = -1
    ids[[10, 20]] = 0
    codes, sizes, sums = new_state()
    sizes[:] = 0
    waited = np.zeros(8, bool)
    for step in range(40):
        state = codes.copy(), sizes.copy(), sums.copy()
        assert moving_average.replace_dead(*state, x, ids, dead_below=1.0, step=step) == 2
        assert {row.tobytes() for row in state[0][state[1] == 1]} == {x[10].tobytes(), x[20].tobytes()}
        waited |= state[1] == 1
    assert waited.all()  # each code has its turn


def test_a_row_without_a_direction_does_not_become_a_code_of_unit_length() -> None:
    codes, sizes, sums = new_state()
    sizes[3] = 0
    before = codes[3].copy()
    moving_average.replace_dead(codes, sizes, sums, np.zeros((1, 3)), [0], dead_below=1.0, normalise=True)
    assert np.array_equal(codes[3], before)


# ---- arrays ------------------------------------------------------------------------------------------------


def test_p17_torch_tensors_are_changed_in_place_without_a_copy() -> None:
    torch = pytest.importorskip("torch")
    x, ids = batch()
    expected, tensors = new_state(), [torch.from_numpy(a) for a in new_state()]
    places = [tensor.data_ptr() for tensor in tensors]
    n = moving_average.update(*expected, x, ids, dead_below=14.0)
    assert (
        moving_average.update(*tensors, torch.from_numpy(x), torch.from_numpy(ids), dead_below=14.0) == n > 0
    )
    for tensor, place, array in zip(tensors, places, expected, strict=True):
        assert tensor.data_ptr() == place
        assert np.array_equal(tensor.numpy(), array)
    with pytest.raises(TypeError, match="codes: this call has no gradient"):
        moving_average.update(tensors[0].requires_grad_(), *tensors[1:], x, ids)
    with pytest.raises(TypeError, match="codes: expected float32 or float64"):
        moving_average.update(tensors[0].detach().bfloat16(), *tensors[1:], x, ids)


def test_p15_state_may_be_strided() -> None:
    x, ids = batch()
    expected = new_state()
    wide = [np.zeros((*(2 * n for n in a.shape),), np.float32) for a in expected]
    views = [w[tuple(slice(None, None, 2) for _ in w.shape)] for w in wide]
    for view, array in zip(views, expected, strict=True):
        view[...] = array
    moving_average.update(*expected, x, ids, dead_below=14.0)
    moving_average.update(*views, x, ids, dead_below=14.0)
    assert all(np.array_equal(a, b) for a, b in zip(views, expected, strict=True))


def test_wrong_arguments_are_named_and_change_nothing() -> None:
    x, ids = batch()
    codes, sizes, sums = state = new_state()
    before = copy(state)
    frozen = codes.copy()
    frozen.flags.writeable = False
    cases: list[tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = [
        (ValueError, "codes: is changed in place", (frozen, sizes, sums, x, ids), {}),
        (TypeError, "codes: expected a NumPy array", (codes.tolist(), sizes, sums, x, ids), {}),
        (TypeError, "codes: expected float32 or float64", (codes.astype(int), sizes, sums, x, ids), {}),
        (ValueError, r"cluster_size: expected shape \(8,\)", (codes, sizes[:7], sums, x, ids), {}),
        (ValueError, "embed_sum: expected the shape of codes", (codes, sizes, sums[:7], x, ids), {}),
        (ValueError, r"codes: expected shape \(K, D\)", (sizes, sizes, sums, x, ids), {}),
        (ValueError, "ids: expected one for each row", (codes, sizes, sums, x, ids[1:]), {}),
        (
            ValueError,
            "ids: expected -1 to 7, got 8 in row 0",
            (codes, sizes, sums, x, np.full(500, 8, np.int32)),
            {},
        ),
        (ValueError, r"sums: expected shape \(8, 3\), got \(8, 2\)", (codes, sizes, sums, x[:, :2], ids), {}),
        (ValueError, "decay: expected 0 to 1", (codes, sizes, sums, x, ids), {"decay": 1.5}),
        (ValueError, "epsilon: expected 0 or more", (codes, sizes, sums, x, ids), {"epsilon": -1.0}),
        (ValueError, "dead_below, reset_to: expected 0", (codes, sizes, sums, x, ids), {"dead_below": -1.0}),
        (ValueError, r"step: expected 0 to 2\*\*64 - 1", (codes, sizes, sums, x, ids), {"step": -1}),
    ]
    for error, message, arguments, options in cases:
        with pytest.raises(error, match=message):
            moving_average.update(*arguments, **options)
        assert all(np.array_equal(a, b) for a, b in zip(state, before, strict=True))
    with pytest.raises(ValueError, match="x, ids: expected shapes"):
        moving_average.replace_dead(*state, x, ids[1:], dead_below=14.0)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e40])
def test_p7_sums_that_are_not_finite_are_refused_and_change_nothing(value: float, normalise: bool) -> None:
    x, ids = batch()
    x = x.astype(np.float64)  # 1e40 is finite here, and not in the float32 of the averages
    row = int(np.flatnonzero(ids == 5)[0])
    x[row, 1] = value
    state = new_state()
    before = copy(state)
    with pytest.raises(ValueError, match="sums: the moving average of code 5 would not be finite in float32"):
        moving_average.update(*state, x, ids, dead_below=14.0, normalise=normalise)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(state, before, strict=True))
    ids[row] = -1
    moving_average.update(*state, x, ids, dead_below=0.0, normalise=normalise)
    assert all(np.isfinite(a).all() for a in state)


def test_state_that_shares_memory_is_refused() -> None:
    x, ids = batch()
    codes, sizes, sums = new_state()
    with pytest.raises(ValueError, match="codes, embed_sum: share memory"):
        moving_average.update(codes, sizes, codes, x, ids)
    with pytest.raises(ValueError, match="codes, embed_sum: share memory"):
        moving_average.replace_dead(codes, sizes, codes[:, ::-1], x, ids, dead_below=2.0)
    with pytest.raises(ValueError, match="cluster_size, embed_sum: share memory"):
        moving_average.update(codes, sums[:, 0], sums, x, ids)
    beside = np.concatenate([codes, sums], axis=1)  # interleaved, but no number belongs to both
    moving_average.update(beside[:, :3], sizes, beside[:, 3:], x, ids)


# ---- promises and peers ------------------------------------------------------------------------------------

TRAIN = """
import hashlib, json
from evtok.codebook import Codebook, moving_average

def fingerprint(dtype, normalise):
    codes = np.random.default_rng(0).normal(size=(300, 4)).astype(dtype)
    sizes, sums = np.ones(300, dtype), codes.copy()
    n_replaced = 0
    for step in range(10):
        x = np.random.default_rng(step).normal(size=(8000, 4)).astype(dtype)
        ids = Codebook(codes).nearest(x, mask=np.arange(8000) % 5 > 0)
        n_replaced += moving_average.update(
            codes, sizes, sums, x, ids, dead_below=2.0, seed=1, step=step, normalise=normalise)
    state = codes.tobytes() + sizes.tobytes() + sums.tobytes()
    return n_replaced, hashlib.sha256(state).hexdigest()

print(json.dumps([fingerprint(t, u) for t in (np.float32, np.float64) for u in (False, True)]))
"""


def test_p14_training_gives_the_same_bits_for_any_threads_and_instruction_set() -> None:
    from evtok import _core

    isas = [isa for isa in _core.available_isas() if isa in ("scalar", "avx2", "avx512")]
    runs = [(isa, "2") for isa in isas] + [(isas[-1], threads) for threads in ("1", "3", "8")]
    results = []
    for isa, threads in runs:
        done = python_process.run(TRAIN, EVTOK_ISA=isa, EVTOK_NUM_THREADS=threads)
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout))
    assert all(result == results[0] for result in results)
    assert all(n_replaced > 0 for n_replaced, _ in results[0])


@pytest.mark.peers
@pytest.mark.parametrize("use_cosine_sim", [False, True])
def test_averages_are_those_of_vector_quantize_pytorch(use_cosine_sim: bool) -> None:
    """Both in float32, rounded in another order: equal within some units of the last place."""
    torch = pytest.importorskip("torch")
    peer_package = pytest.importorskip("vector_quantize_pytorch.vector_quantize_pytorch")
    torch.manual_seed(0)
    peer = peer_package.Codebook(
        3, 8, decay=0.9, threshold_ema_dead_code=0, use_cosine_sim=use_cosine_sim
    ).train()
    codes, sizes, sums = (t[0].clone() for t in (peer.embed, peer.cluster_size, peer.embed_avg))
    for step in range(20):
        x, ids = batch(seed=step)
        ids[ids < 0] = 3
        peer.update_indices(torch.from_numpy(x), torch.from_numpy(ids).long())
        moving_average.update(codes, sizes, sums, x, ids, decay=0.9, normalise=use_cosine_sim)
        for ours, theirs in ((codes, peer.embed), (sizes, peer.cluster_size), (sums, peer.embed_avg)):
            assert torch.allclose(ours, theirs[0], rtol=1e-5, atol=1e-5)


@pytest.mark.peers
def test_codes_that_expire_are_those_of_vector_quantize_pytorch() -> None:
    torch = pytest.importorskip("torch")
    peer_package = pytest.importorskip("vector_quantize_pytorch.vector_quantize_pytorch")
    torch.manual_seed(0)
    peer = peer_package.Codebook(3, 8, decay=0.5, threshold_ema_dead_code=2).train()
    codes, sizes, sums = (t[0].clone() for t in (peer.embed, peer.cluster_size, peer.embed_avg))
    x, ids = batch()
    ids = np.where(np.isin(ids, (1, 5)), 0, np.maximum(ids, 0)).astype(np.int32)
    peer.update_indices(torch.from_numpy(x), torch.from_numpy(ids).long())
    assert moving_average.update(codes, sizes, sums, x, ids, decay=0.5, dead_below=2.0) == 2
    assert torch.allclose(sizes, peer.cluster_size[0])  # reset to the threshold there too
    kept = [0, 2, 3, 4, 6, 7]
    assert torch.allclose(codes[kept], peer.embed[0][kept], rtol=1e-5, atol=1e-5)
    for expired in (1, 5):
        assert (codes[expired] == torch.from_numpy(x)).all(dim=1).any()
        assert (peer.embed[0, expired] == torch.from_numpy(x)).all(dim=1).any()
        assert torch.allclose(sums[expired], 2 * codes[expired])


def test_dead_codes_come_alive_in_training() -> None:
    """Codes far from all rows would stay unused for ever; replacing them brings all of them into use."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 2)).astype(np.float32)
    codes = np.concatenate([x[:8], np.full((24, 2), 1e3, np.float32)])
    sizes, sums = np.ones(32, np.float32), codes.copy()
    for step in range(60):
        ids = Codebook(codes).nearest(x)
        moving_average.update(codes, sizes, sums, x, ids, dead_below=1.0, step=step)
    assert np.bincount(Codebook(codes).nearest(x), minlength=32).all()
