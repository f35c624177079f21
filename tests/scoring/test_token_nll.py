"""P12: likelihoods of tokens have the bits of their definition anywhere, and agree with float64."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evtok
from evtok import _core, reference_scoring
from evtok.scoring import TokenHead, nll_from_logits, token_nll
from python_process import COMMON, lines
from test_float_environment import FLUSH, UP, same_in

Array = npt.NDArray[Any]
IGNORED = -100


def problem(n: int, n_tokens: int, n_dims: int, size: float = 1.0, seed: int = 0) -> tuple[Array, ...]:
    """Hidden rows, weights, biases and targets, some of them ignored."""
    rng = np.random.default_rng([seed, n, n_tokens, n_dims])
    hidden = rng.normal(0, size, (n, n_dims)).astype(np.float32)
    weight = rng.normal(0, 2 / math.sqrt(n_dims), (n_tokens, n_dims)).astype(np.float32)
    bias = rng.normal(size=n_tokens).astype(np.float32)
    targets = rng.integers(0, n_tokens, n)
    targets[3::7] = IGNORED
    return hidden, weight, bias, targets


def in_float64(logits: Array, targets: Array) -> Array:
    logits = np.asarray(logits, np.float64)
    most = logits.max(axis=1)
    total = np.log(np.exp(logits - most[:, None]).sum(axis=1)) + most
    kept = targets != IGNORED
    return np.where(kept, total - logits[np.arange(len(logits)), np.where(kept, targets, 0)], 0)


def assert_same_bits(a: Array, b: Array) -> None:
    assert a.dtype == b.dtype == np.float32
    np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


# ---- the definition ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_tokens", [1, 2, 15, 16, 17, 33, 256, 257, 600])
@pytest.mark.parametrize("n_dims", [1, 2, 9])
def test_p12_the_bits_of_the_definition(isa: str, n_tokens: int, n_dims: int) -> None:
    hidden, weight, bias, targets = problem(9, n_tokens, n_dims)
    for biases in (bias, None):
        expected = reference_scoring.token_nll(hidden, weight, biases, targets)
        assert_same_bits(token_nll(hidden, weight, biases, targets), expected)


@pytest.mark.parametrize("size", [1e-42, 1e-20, 1e3, 1e30])
def test_p12_the_bits_of_the_definition_at_any_size(isa: str, size: float) -> None:
    """Subnormal numbers, and logits of which one alone counts."""
    hidden, weight, bias, targets = problem(9, 40, 5, size)
    expected = reference_scoring.token_nll(hidden, weight, bias, targets)
    assert_same_bits(token_nll(hidden, weight, bias, targets), expected)


def test_p12_exp_and_log_are_those_of_the_definition(isa: str) -> None:
    """Two tokens with logits 0 and x give log(1 + exp(-|x|)), and the target's distance."""
    x = np.concatenate([np.linspace(-110, 110, 400), [0.0, -0.0, 1e-30, 1e-42, 88.7, -87.4, 103.9]])
    logits = np.stack([np.zeros(len(x)), x], axis=1).astype(np.float32)
    targets = np.arange(len(x)) % 2
    assert_same_bits(nll_from_logits(logits, targets), reference_scoring.nll_from_logits(logits, targets))


@pytest.mark.parametrize("shape", [(200, 1024, 128), (100, 8194, 32), (60, 39402, 16), (500, 7, 64)])
def test_p12_agrees_with_float64(shape: tuple[int, int, int]) -> None:
    hidden, weight, bias, targets = problem(*shape)
    logits = hidden.astype(np.float64) @ weight.T.astype(np.float64) + bias
    nll = token_nll(hidden, weight, bias, targets)
    np.testing.assert_allclose(nll, in_float64(logits, targets), rtol=0, atol=1e-4)
    from_logits = nll_from_logits(logits.astype(np.float32), targets)
    np.testing.assert_allclose(from_logits, in_float64(logits, targets), rtol=0, atol=1e-4)
    assert (nll >= 0).all()


def test_one_token_is_no_surprise(isa: str) -> None:
    hidden, weight, _, _ = problem(20, 1, 3)
    assert_same_bits(token_nll(hidden, weight, None, np.zeros(20, int)), np.zeros(20, np.float32))


# ---- P12: nothing beside a row counts ----------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([(5, 3), (33, 8), (300, 16), (700, 5)]), st.data())
def test_p12_rows_in_any_company(shape: tuple[int, int], data: st.DataObject) -> None:
    hidden, weight, bias, targets = problem(120, *shape)
    hidden[50] = np.nan
    head = TokenHead(weight, bias)
    whole = head.nll(hidden, targets, on_invalid="sentinel")
    chosen = np.array(data.draw(st.lists(st.integers(0, 119), min_size=1, max_size=150)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(chosen)), max_size=4)))
    threads = data.draw(st.integers(1, 4))
    parts = [
        head.nll(hidden[part], targets[part], on_invalid="sentinel", threads=threads)
        for part in np.split(chosen, cuts)
    ]
    assert_same_bits(np.concatenate(parts), whole[chosen])


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_p12_any_threads_and_instruction_set(isa: str, threads: int) -> None:
    hidden, weight, bias, targets = problem(230, 530, 24)
    logits = reference_scoring.multiply_add(np.float32(0), np.float32(0), hidden @ weight.T)
    found = token_nll(hidden, weight, bias, targets, threads=threads)
    given_logits = nll_from_logits(logits, targets, threads=threads)
    _core.force_isa("scalar")
    assert_same_bits(found, token_nll(hidden, weight, bias, targets, threads=1))
    assert_same_bits(given_logits, nll_from_logits(logits, targets, threads=1))


@pytest.mark.parametrize("bits", [FLUSH, UP, FLUSH | UP], ids=["flush", "upward", "both"])
def test_p9_a_callers_mode_reaches_no_likelihood(bits: int) -> None:
    prepare = """
from evtok.scoring import nll_from_logits, token_nll
rng = np.random.default_rng(0)
hidden = (rng.normal(size=(300, 9)) * 10.0 ** rng.uniform(-42, 1, (300, 1))).astype(np.float32)
weight = rng.normal(size=(300, 9)).astype(np.float32)
targets = rng.integers(0, 300, 300)
"""
    compute = """
parts = [token_nll(hidden, weight, None, targets, threads=2), nll_from_logits(weight, targets % 9)]
result = np.concatenate(parts).view(np.uint32)
"""
    assert same_in(bits, prepare, compute) == ["kept", "same"]


# ---- what cannot be scored ---------------------------------------------------------------------------------------


def test_invalid_rows_are_refused_or_nan(isa: str) -> None:
    hidden, weight, bias, targets = problem(30, 50, 4)
    targets[:] = 7
    targets[2] = IGNORED
    whole = token_nll(hidden, weight, bias, targets)
    hidden[2], hidden[5, 3], hidden[9, 0], hidden[11, 1] = np.nan, np.inf, np.nan, 3e38
    with pytest.raises(ValueError, match=r"hidden: row 5 holds NaN or infinity; .*sentinel"):
        token_nll(hidden, weight, bias, targets)
    nll = token_nll(hidden, weight, bias, targets, on_invalid="sentinel")
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(nll)), [5, 9, 11])
    assert_same_bits(nll[~np.isnan(nll)], whole[~np.isnan(nll)])
    with pytest.raises(ValueError, match="hidden: row 0 is so large that its logits may overflow"):
        token_nll(hidden[11:12], weight, bias, targets[:1])


def test_logits_that_say_nothing_are_refused(isa: str) -> None:
    inf = np.inf
    logits = np.array(
        [
            *([-inf, 0, 0], [-inf, -inf, -inf], [0, -inf, 0], [0, 1, inf], [0, 1, np.nan], [3e38, -3e38, 0]),
            [-3.4e38] * 3,
        ],
        np.float32,
    )
    targets = np.ones(7, np.int64)
    nll = nll_from_logits(logits, targets, on_invalid="sentinel")
    assert_same_bits(nll, reference_scoring.nll_from_logits(logits, targets))
    np.testing.assert_allclose(nll, [math.log(2), *[np.nan] * 5, math.log(3)], rtol=1e-6)
    with pytest.raises(ValueError, match=r"logits: row 1 gives its target, or every token, no probability"):
        nll_from_logits(logits, targets)
    with pytest.raises(ValueError, match=r"logits: row 0 holds NaN or infinity"):
        nll_from_logits(logits[3:], targets[3:])


@pytest.mark.parametrize("bad", [50, -1, 2**40, IGNORED - 1])
def test_a_target_out_of_range_is_named(bad: int) -> None:
    hidden, weight, bias, targets = problem(30, 50, 4)
    targets[17] = bad
    message = rf"targets: row 17: expected a token from 0 to 49, or -100 to ignore the row, got {bad}$"
    with pytest.raises(ValueError, match=message):
        token_nll(hidden, weight, bias, targets, on_invalid="sentinel")
    with pytest.raises(ValueError, match=message):
        nll_from_logits(hidden @ weight.T, targets)


def test_targets_that_wrap_around_are_named() -> None:
    targets = np.array([1, 2**64 - 100], np.uint64)
    with pytest.raises(ValueError, match=r"targets: row 1: .*got 18446744073709551516"):
        token_nll(np.ones((2, 3), np.float32), np.ones((4, 3), np.float32), None, targets)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    hidden, weight, bias, targets = problem(3, 50, 20)
    bias[49] = value
    with pytest.raises(ValueError, match="bias: holds NaN or infinity"):
        token_nll(hidden, weight, bias, targets)
    weight[33, 19] = value
    with pytest.raises(ValueError, match="weight: token 33 holds NaN or infinity"):
        token_nll(hidden, weight, bias, targets)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"hidden": np.ones((2, 3))}, TypeError, "hidden: expected float32 .*float64"),
        ({"weight": np.ones((4, 3))}, TypeError, "weight: expected float32"),
        ({"bias": np.ones(4, int)}, TypeError, "bias: expected float32"),
        ({"targets": np.ones(2)}, TypeError, "targets: expected integers"),
        ({"hidden": np.ones((2, 4), np.float32)}, ValueError, r"hidden: expected shape \(n, 3\)"),
        ({"hidden": np.ones(3, np.float32)}, ValueError, "hidden: expected 2 dimensions"),
        ({"bias": np.ones(5, np.float32)}, ValueError, r"bias: expected shape \(4,\)"),
        ({"targets": np.ones(3, int)}, ValueError, r"targets: expected shape \(2,\)"),
        ({"weight": np.ones((0, 3), np.float32)}, ValueError, "weight: expected at least one"),
        ({"on_invalid": "ignore"}, ValueError, "on_invalid"),
        ({"ignore_index": 2**70}, ValueError, "ignore_index"),
        ({"threads": -1}, ValueError, "threads"),
    ],
)
def test_arguments_that_do_not_fit(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {
        "hidden": np.ones((2, 3), np.float32),
        "weight": np.ones((4, 3), np.float32),
        "bias": None,
        "targets": np.ones(2, int),
    }
    with pytest.raises(error, match=message):
        token_nll(**arguments | change)


# ---- kinds of arrays ---------------------------------------------------------------------------------------------


def test_any_layout_and_exact_dtype() -> None:
    hidden, weight, bias, targets = problem(40, 60, 6)
    expected = token_nll(hidden, weight, bias, targets)
    wide = np.repeat(np.repeat(hidden, 2, axis=0), 3, axis=1)[::2, ::3]
    for values in (wide, np.asfortranarray(hidden), hidden.astype(">f4"), hidden[::-1][::-1]):
        assert_same_bits(
            token_nll(values, np.asfortranarray(weight), bias, targets.astype(np.int32)), expected
        )
    frozen = hidden.copy()
    frozen.flags.writeable = False
    assert_same_bits(token_nll(frozen, weight, bias[::-1][::-1], targets.tolist()), expected)
    half = hidden.astype(np.float16)
    assert_same_bits(
        token_nll(half, weight, bias, targets), token_nll(half.astype(np.float32), weight, bias, targets)
    )
    assert token_nll(hidden[:0], weight, bias, targets[:0]).shape == (0,)


def test_torch_in_torch_out_as_cross_entropy() -> None:
    torch = pytest.importorskip("torch")
    hidden, weight, bias, targets = problem(40, 60, 6)
    h, t = torch.from_numpy(hidden), torch.from_numpy(targets)
    layer = torch.nn.Linear(6, 60).requires_grad_(False)
    layer.weight.copy_(torch.from_numpy(weight))
    layer.bias.copy_(torch.from_numpy(bias))
    nll = token_nll(h, layer.weight, layer.bias, t)
    assert isinstance(nll, torch.Tensor)
    assert_same_bits(nll.numpy(), token_nll(hidden, weight, bias, targets))
    expected = torch.nn.functional.cross_entropy(layer(h), t, reduction="none")
    torch.testing.assert_close(nll, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(nll_from_logits(layer(h), t), expected, rtol=0, atol=1e-5)
    with pytest.raises(TypeError, match=r"weight: this call has no gradient; use weight\.detach\(\)"):
        token_nll(h, layer.requires_grad_(True).weight, None, t)


def test_a_prepared_head_serves_many_calls() -> None:
    hidden, weight, bias, targets = problem(40, 60, 6)
    expected = token_nll(hidden, weight, bias, targets)
    head = TokenHead(weight, bias)
    weight[:] = bias[:] = 0  # it has its own copy
    assert (head.n_tokens, head.n_dims) == (60, 6)
    for _ in range(2):
        assert_same_bits(head.nll(hidden, targets), expected)
    assert evtok.last_backend() == f"evtok:{_core.active_isa()}"


# ---- the process -------------------------------------------------------------------------------------------------


def test_memory_is_that_of_the_weights() -> None:
    """The logits would be 164 MB."""
    hidden, weight, bias, targets = problem(5000, 8192, 8)
    token_nll(hidden[:100], weight, bias, targets[:100])
    tracemalloc.start()
    token_nll(hidden, weight, bias, targets)
    assert tracemalloc.get_traced_memory()[1] < 200_000
    tracemalloc.stop()
    code = """
import resource
import numpy as np
from evtok.scoring import token_nll
hidden, weight = np.ones((5000, 8), np.float32), np.ones((8192, 8), np.float32)
targets = np.zeros(5000, int)
token_nll(hidden[:100], weight, None, targets[:100], threads=2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
token_nll(hidden, weight, None, targets, threads=2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4096  # kilobytes


def test_p26_a_forked_child_scores() -> None:
    code = """
    import signal
    from evtok.scoring import TokenHead
    rng = np.random.default_rng(0)
    hidden, weight = (rng.normal(size=(n, 32)).astype(np.float32) for n in (3000, 500))
    targets = rng.integers(0, 500, 3000)
    head = TokenHead(weight)
    nll = head.nll(hidden, targets, threads=4)
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        os._exit(0 if np.array_equal(head.nll(hidden, targets, threads=4), nll) else 1)
    print(os.waitpid(pid, 0)[1], np.array_equal(head.nll(hidden, targets, threads=3), nll))
    """
    assert lines(code) == ["0", "True"]


@pytest.mark.alone
@pytest.mark.parametrize("call", ["head.nll(hidden, targets, threads=2)", "nll_from_logits(hidden, targets)"])
def test_p29_ctrl_c_stops_a_call(call: str) -> None:
    """KeyboardInterrupt within 0.2 s, and the next call works."""
    code = f"""
from evtok.scoring import TokenHead, nll_from_logits
hidden, weight = np.ones((300_000, 64), np.float32), np.ones((8192, 64), np.float32)
targets = np.zeros(300_000, int)
head = TokenHead(weight)
print("ready", flush=True)
try:
    while True:
        {call}
except KeyboardInterrupt:
    print(time.clock_gettime(time.CLOCK_MONOTONIC), flush=True)
print(abs(head.nll(hidden[:9], targets[:9])[8] - np.log(8192)) < 1e-4, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", COMMON + code], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.23)
        pressed = time.clock_gettime(time.CLOCK_MONOTONIC)
        process.send_signal(signal.SIGINT)
        assert float(process.stdout.readline()) - pressed < 0.2
        assert process.stdout.readline() == "True\n"
        assert process.wait(20) == 0
