"""The torch operators with CUDA tensors: their CUDA kernels on tensors of the host, and all of it on a real GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from evtok.codebook import moving_average  # noqa: E402
from evtok.torch import VectorQuantizer, on_gpu, operators  # noqa: E402

METRICS = ("l2", "cosine", "dot")


def by_the_gpu(operator: Any, *arguments: Any) -> Any:
    """Call the kernel that the operator has for CUDA, whatever the device of the arguments."""
    overload = getattr(operator, "_opoverload", operator)
    return overload.redispatch(torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA), *arguments)


def numbers(*shape: int, seed: int = 0, dtype: Any = torch.float32) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def some_ids(*shape: int, n_codes: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(5).integers(-1, n_codes, shape).astype(np.int32))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_nearest_has_the_bits_of_the_cpu(torch_device, metric, dtype):
    x, codes = numbers(5, 4, 6, dtype=dtype), numbers(11, 6, seed=1, dtype=dtype)
    x[0, 0, 0], x[1, 1] = torch.nan, 0
    mask = torch.from_numpy(np.random.default_rng(2).random((5, 4)) < 0.7)
    expected = torch.ops.evtok.nearest(x, codes, metric, mask, "sentinel")
    arguments = (x.to(torch_device), codes.to(torch_device), metric, mask.to(torch_device), "sentinel")
    for got, wanted in zip(by_the_gpu(torch.ops.evtok.nearest.default, *arguments), expected, strict=True):
        assert got.dtype == wanted.dtype
        assert torch.equal(got.cpu(), wanted)


def test_nearest_refuses_what_the_cpu_refuses(torch_device):
    x, codes = numbers(6, 3).to(torch_device), numbers(4, 3, seed=1).to(torch_device)
    call = torch.ops.evtok.nearest.default
    bad = x.clone()
    bad[2, 1] = torch.inf
    with pytest.raises(ValueError, match="x: row 2 holds NaN or infinity"):
        by_the_gpu(call, bad, codes)
    with pytest.raises(ValueError, match="codebook: expected finite numbers"):
        by_the_gpu(call, x, torch.full_like(codes, torch.nan))
    for metric in METRICS:  # without a wait nothing is raised, and no token is made up
        ids = by_the_gpu(call, x, torch.full_like(codes, torch.nan), metric, None, "sentinel")[1]
        assert bool((ids == -1).all())
    with pytest.raises(TypeError, match="same precision"):
        by_the_gpu(call, x.double(), codes)
    with pytest.raises(ValueError, match="expected shapes"):
        by_the_gpu(call, x[:, :2], codes)
    with pytest.raises(ValueError, match="code 1 has no direction"):
        by_the_gpu(operators.normalise_codes, codes * torch.tensor([[1], [0], [1], [1]], device=torch_device))


def test_sums_of_codes_have_the_bits_of_the_cpu(torch_device):
    for n, dims, n_codes in ((500, 3, 7), (0, 3, 7), (40, 1, 1), (12, 40, 300)):
        values, ids = numbers(n, dims), some_ids(n, n_codes=n_codes)
        sums, counts = by_the_gpu(
            operators.sum_by_code, values.to(torch_device), ids.to(torch_device), n_codes
        )
        wanted_sums, wanted_counts = operators.sum_by_code(values, ids, n_codes)
        assert torch.equal(sums.cpu(), wanted_sums)
        assert torch.equal(counts.cpu(), wanted_counts)
    ids = torch.tensor([0, 1, 7], dtype=torch.int32)
    sums, _ = by_the_gpu(operators.sum_by_code, numbers(3, 2).to(torch_device), ids.to(torch_device), 7)
    assert bool(sums.isnan().all())


def test_codes_of_ids_and_what_is_elementwise_have_the_bits_of_the_cpu(torch_device):
    codes, ids, x = numbers(6, 4), some_ids(3, 7, n_codes=6), numbers(3, 7, 4, seed=2)
    rows = operators.look_up(codes, ids)
    assert torch.equal(
        by_the_gpu(operators.look_up, codes.to(torch_device), ids.to(torch_device)).cpu(), rows
    )
    unknown = torch.tensor([-2, 0, 6], dtype=torch.int32, device=torch_device)
    found = by_the_gpu(operators.look_up, codes.to(torch_device), unknown)
    assert found.isnan().any(1).tolist() == [True, False, True]
    through = by_the_gpu(operators.straight_through, *(t.to(torch_device) for t in (x, rows, ids)))
    assert torch.equal(through.cpu(), rows)


def test_sums_of_torch_agree_with_the_cpu_within_rounding(torch_device):
    x, other, ids = numbers(30, 9, 4), numbers(30, 9, 4, seed=2), some_ids(30, 9, n_codes=6)
    x[0, 0], ids[0, 0] = torch.nan, -1
    error = by_the_gpu(operators.mean_squared_error, *(t.to(torch_device) for t in (x, other, ids)))
    torch.testing.assert_close(error.cpu(), operators.mean_squared_error(x, other, ids), rtol=2**-22, atol=0)
    none = by_the_gpu(
        operators.mean_squared_error, *(t.to(torch_device) for t in (x, other, ids.clamp(max=-1)))
    )
    assert float(none) == 0
    a, b = numbers(50, 5), numbers(50, 5, seed=3)
    products = by_the_gpu(operators.row_products, a.to(torch_device), b.to(torch_device))
    torch.testing.assert_close(products.cpu(), operators.row_products(a, b), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("normalise", [False, True])
def test_a_step_of_the_moving_average_agrees_with_the_cpu(torch_device, normalise):
    def state() -> list[torch.Tensor]:
        return [numbers(8, 3, seed=4), torch.linspace(0, 3, 8), numbers(8, 3, seed=6)]

    x, ids = numbers(60, 3, seed=7), some_ids(60, n_codes=6)  # codes 6 and 7 are not chosen
    sums, counts = operators.sum_by_code(x, ids, 8)
    expected, got = state(), [tensor.to(torch_device) for tensor in state()]
    settings = {"decay": 0.5, "epsilon": 1e-5, "normalise": normalise}
    moving_average.apply(*expected, counts, sums, **settings)
    on_gpu.apply(*got, counts.to(torch_device), sums.to(torch_device), **settings)
    draws = {"dead_below": 2.0, "seed": 3, "step": 5, "normalise": normalise}
    moved = moving_average.replace_dead(*expected, x, ids, **draws)
    assert moved == on_gpu.replace_dead(*got, x.to(torch_device), ids.to(torch_device), **draws) > 0
    for ours, wanted in zip(got, expected, strict=True):
        torch.testing.assert_close(ours.cpu(), wanted, rtol=2**-22, atol=0)
    with pytest.raises(ValueError, match="would not be finite"):
        on_gpu.apply(*got, counts.to(torch_device), sums.to(torch_device) * torch.inf, **settings)


@pytest.mark.gpu
@pytest.mark.parametrize("options", [{}, {"metric": "cosine", "dead_below": 1.0}, {"codebook": "learnable"}])
@pytest.mark.parametrize("torch_device", ["torch"], indirect=True)
def test_a_vector_quantizer_runs_and_compiles_on_a_gpu(torch_device, options):
    modules = [VectorQuantizer(4, 16, seed=1, **options) for _ in range(3)]
    modules[1:] = [module.cuda() for module in modules[1:]]
    calls = [modules[0], modules[1], torch.compile(modules[2], fullgraph=True)]
    for step in range(3):
        x = numbers(64, 4, seed=step)
        results = []
        for module, call in zip(modules, calls, strict=True):
            rows = x.to(module.codes.device).requires_grad_()
            result = call(rows)
            (result.loss + result.quantized.sum()).backward()
            results.append((result.ids.cpu(), result.quantized.detach().cpu(), rows.grad.cpu()))
        for other in results[1:]:
            assert torch.equal(other[0], results[0][0])
            torch.testing.assert_close(other[1:], results[0][1:], rtol=1e-5, atol=1e-6)
