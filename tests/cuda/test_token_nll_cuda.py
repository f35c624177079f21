"""The fused head on a GPU agrees with that of the CPU within the documented 1e-4; the bits of a row are its own."""

from __future__ import annotations

import numpy as np
import pytest

import evtok
from evtok.scoring import TokenHead, nll_from_logits, token_nll

TOLERANCE = 1e-4


def rows(n, n_tokens, n_dims, seed=0):
    random = np.random.default_rng(seed)
    hidden = random.normal(size=(n, n_dims)).astype(np.float32)
    weight = (random.normal(size=(n_tokens, n_dims)) / np.sqrt(n_dims)).astype(np.float32)
    return hidden, weight, random.normal(size=n_tokens).astype(np.float32), random.integers(0, n_tokens, n)


def test_scores_are_those_of_the_cpu(gpu):
    hidden, weight, bias, targets = rows(9, 300, 20)
    targets[4] = -100
    for b in (bias, None):
        found = token_nll(gpu.put(hidden), weight, b, gpu.put(targets))
        assert type(found) is type(gpu.put(hidden))
        assert evtok.last_backend() == "evtok:cuda"
        expected = token_nll(hidden, weight, b, targets)
        np.testing.assert_allclose(gpu.get(found), expected, rtol=0, atol=TOLERANCE)
        assert gpu.get(found)[4] == 0


def test_a_head_keeps_its_weights_on_host_or_device(gpu):
    hidden, weight, bias, targets = rows(5, 40, 7)
    expected = token_nll(hidden, weight, bias, targets)
    x, t = gpu.put(hidden), gpu.put(targets.astype(np.int32))
    on_host, on_gpu = TokenHead(weight, bias), TokenHead(gpu.put(weight), gpu.put(bias))
    weight[:] = 0  # both have copies
    assert (on_gpu.n_tokens, on_gpu.n_dims) == (40, 7)
    first = gpu.get(on_host.nll(x, t))
    np.testing.assert_allclose(first, expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(gpu.get(on_gpu.nll(x, t)), first)
    np.testing.assert_array_equal(gpu.get(on_host.nll(x[2:4], t[2:4])), first[2:4])
    np.testing.assert_array_equal(gpu.get(on_gpu.nll(x[:0], t[:0])), first[:0])
    with pytest.raises(TypeError, match="hidden: is on the host, but the weights lie on a GPU"):
        on_gpu.nll(hidden, targets)


def test_bad_rows_are_named_or_nan(gpu):
    hidden, weight, bias, targets = rows(6, 30, 5)
    hidden[3, 2] = np.nan
    hidden[4] = 3e38
    with pytest.raises(ValueError, match="hidden: row 3 holds NaN or infinity"):
        token_nll(gpu.put(hidden), weight, bias, gpu.put(targets))
    with pytest.raises(ValueError, match="hidden: row 1 is so large that its logits may overflow"):
        token_nll(gpu.put(hidden[[0, 4]]), weight, bias, gpu.put(targets[:2]))
    targets[5] = 30
    found = gpu.get(token_nll(gpu.put(hidden), weight, bias, gpu.put(targets), on_invalid="sentinel"))
    np.testing.assert_array_equal(np.isnan(found), [False, False, False, True, True, True])
    with pytest.raises(
        ValueError, match=r"targets: row 5: expected a token from 0 to 29, or -100 .*, got 30"
    ):
        token_nll(gpu.put(hidden), weight, bias, gpu.put(targets))
    with pytest.raises(ValueError, match="weight: holds NaN or infinity"):
        token_nll(gpu.put(hidden[:2]), np.full_like(weight, np.inf), bias, gpu.put(targets[:2]))


def test_what_does_not_fit_is_named(gpu):
    hidden, weight, bias, targets = rows(4, 30, 5)
    x, t = gpu.put(hidden), gpu.put(targets)
    with pytest.raises(ValueError, match=r"hidden: expected shape \(n, 5\)"):
        token_nll(x[:, :3], weight, bias, t)
    with pytest.raises(ValueError, match=r"targets: expected shape \(4,\)"):
        token_nll(x, weight, bias, t[:3])
    with pytest.raises(ValueError, match=r"bias: expected shape \(30,\)"):
        token_nll(x, weight, bias[:3], t)
    with pytest.raises(ValueError, match=r"weight: expected shape .* d up to 1024"):
        token_nll(x, np.zeros((3, 1025), np.float32), None, t)
    with pytest.raises(
        TypeError, match="hidden: expected float32 or bfloat16 or float16 on a GPU, got float64"
    ):
        token_nll(gpu.put(hidden.astype(np.float64)), weight, bias, t)
    with pytest.raises(TypeError, match=r"targets: expected int64 .*, got float32"):
        token_nll(x, weight, bias, gpu.put(targets.astype(np.float32)))


@pytest.mark.parametrize("n_tokens", [1, 50, 3000])
def test_logits(gpu, n_tokens):
    random = np.random.default_rng(2)
    logits = random.normal(0, 4, (7, n_tokens)).astype(np.float32)
    targets = random.integers(0, n_tokens, 7)
    targets[2] = -1
    found = nll_from_logits(gpu.put(logits), gpu.put(targets), -1)
    expected = nll_from_logits(logits, targets, -1)
    np.testing.assert_allclose(gpu.get(found), expected, rtol=0, atol=TOLERANCE)
    logits[5, 0] = np.inf
    with pytest.raises(ValueError, match="logits: row 5 holds NaN or infinity"):
        nll_from_logits(gpu.put(logits), gpu.put(targets), -1)
    logits[5] = -np.inf
    with pytest.raises(ValueError, match="logits: row 5 gives its target, or every token, no probability"):
        nll_from_logits(gpu.put(logits), gpu.put(targets), -1)


@pytest.mark.parametrize("weights_too", [False, True])
def test_bfloat16(gpu, weights_too):
    if gpu.name != "torch":
        pytest.skip("NumPy and CuPy have no bfloat16")
    import torch

    hidden, weight, bias, targets = (torch.from_numpy(each) for each in rows(300, 2500, 70))
    hidden = hidden.bfloat16()
    weight = weight.bfloat16() if weights_too else weight
    found = token_nll(hidden.cuda(), weight.cuda(), bias.cuda(), targets.cuda())
    expected = token_nll(hidden, weight.float(), bias, targets)
    np.testing.assert_allclose(found.cpu().numpy(), expected.numpy(), rtol=0, atol=TOLERANCE)
