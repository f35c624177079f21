"""The torch operators: what they return, their gradients, and that torch may compile, export and trace them (P23)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import evtok  # noqa: E402
from evtok.torch import define, operators, updates  # noqa: E402

METRICS = ("l2", "cosine", "dot")


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def ids_with_gaps(*shape: int, n_codes: int) -> torch.Tensor:
    values = np.random.default_rng(5).integers(-1, n_codes, shape)
    return torch.from_numpy(values.astype(np.int32))


# ---- P23: what torch asks of an operator -------------------------------------------------------------------


def samples() -> dict[str, tuple[Any, tuple[Any, ...]]]:
    x, codes = numbers(3, 7, 4).requires_grad_(), numbers(6, 4, seed=1).requires_grad_()
    mask = torch.tensor(np.random.default_rng(2).random((3, 7)) < 0.7)
    ids = ids_with_gaps(3, 7, n_codes=6)
    rows = numbers(3, 7, 4, seed=3).requires_grad_()
    state = (numbers(6, 4), torch.ones(6), numbers(6, 4), torch.tensor(3))
    average = (*state, x.detach(), ids, 0.8, 1e-5, 0.5, 0, False, True)
    first = (*state[:3], torch.tensor(False), x.detach(), mask, "l2", 0, True)
    return {
        **{f"nearest-{m}": (torch.ops.evtok.nearest.default, (x, codes, m, mask, "raise")) for m in METRICS},
        "nearest-float16": (torch.ops.evtok.nearest.default, (numbers(5, 4, dtype=torch.float16), codes)),
        "nearest-float64": (
            torch.ops.evtok.nearest.default,
            (numbers(5, 4).double(), codes.detach().double()),
        ),
        "nearest-one": (torch.ops.evtok.nearest.default, (numbers(4), codes)),
        "nearest-none": (torch.ops.evtok.nearest.default, (numbers(0, 4), codes)),
        "normalise_codes": (operators.normalise_codes, (codes.detach(),)),
        "look_up": (operators.look_up, (codes, ids)),
        "sum_by_code": (operators.sum_by_code, (rows.detach(), ids, 6)),
        "straight_through": (operators.straight_through, (x, rows.detach(), ids)),
        "mean_squared_error": (operators.mean_squared_error, (x, rows, ids)),
        "row_products": (operators.row_products, (x, rows)),
        "moving_average": (updates.moving_average, average),
        "initialise_codes": (updates.initialise, first),
    }


@pytest.mark.parametrize("name", samples())
def test_p23_opcheck(name: str) -> None:
    operator, arguments = samples()[name]
    result = torch.library.opcheck(operator, arguments)
    assert set(result.values()) == {"SUCCESS"}


@pytest.mark.parametrize("metric", METRICS)
def test_p23_nearest_compiles_as_one_graph_of_any_batch_and_keeps_its_bits(metric: str) -> None:
    def call(x: torch.Tensor, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(operators.nearest(x, codes, metric))

    compiled = torch.compile(call, fullgraph=True, dynamic=True, backend="aot_eager")
    codes = numbers(9, 4, seed=1)
    for n in (5, 8, 1):
        x = numbers(n, 4, seed=n)
        for eager, other in zip(call(x, codes), compiled(x, codes), strict=True):
            assert torch.equal(eager, other)


# ---- nearest -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("metric", METRICS)
def test_p16_nearest_is_that_of_evtok_in_every_dtype(metric: str, dtype: torch.dtype) -> None:
    x, codes = numbers(40, 5, dtype=dtype), numbers(12, 5, seed=1, dtype=dtype)
    ids, distance = operators.nearest(x, codes, metric)
    wide = torch.float64 if dtype == torch.float64 else torch.float32  # holds every float16 and bfloat16
    expected = evtok.nearest(x.to(wide).numpy(), codes.to(wide).numpy(), metric=metric, return_distance=True)
    assert ids.dtype == torch.int32
    assert distance.dtype == wide
    assert np.array_equal(ids.numpy(), expected[0])
    assert np.array_equal(distance.numpy(), expected[1])


def test_p2_nearest_is_the_same_for_any_number_of_torch_threads() -> None:
    x, codes = numbers(5000, 6), numbers(300, 6, seed=1)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(operators.nearest(x, codes))
    finally:
        torch.set_num_threads(before)
    for ids, distance in results[1:]:
        assert torch.equal(ids, results[0][0])
        assert torch.equal(distance, results[0][1])


def test_codes_that_change_without_a_trace_are_seen() -> None:
    """A prepared codebook is kept from call to call, and has to be that of the codes as they are now."""
    x, codes = numbers(50, 4), numbers(2000, 4, seed=1)
    for change in (lambda: None, lambda: codes.data[1999].fill_(0.5), lambda: codes.numpy()[7].fill(0.1)):
        change()
        for metric in METRICS:
            expected = evtok.nearest(x.numpy(), codes.numpy(), metric=metric)
            assert np.array_equal(operators.nearest(x, codes, metric).ids.numpy(), expected)


def test_p24_many_threads_at_once() -> None:
    books = [numbers(60, 4, seed=k) for k in range(8)]
    x = numbers(200, 4)
    expected = [operators.nearest(x, codes) for codes in books]

    def work(k: int) -> bool:
        return all(
            torch.equal(operators.nearest(x, books[j % 8]).ids, expected[j % 8].ids) for j in range(k, k + 50)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_p26_a_child_forked_while_a_thread_looks_up_computes() -> None:
    code = """
import os, signal, sys
import torch
from evtok.torch import nearest, prepared

x, codes = torch.randn(9, 4), torch.randn(3, 4)
expected = nearest(x, codes).ids
with prepared._lock:  # as a thread of the parent may hold it
    child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(0 if torch.equal(nearest(x, codes).ids, expected) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stderr)


def test_p9_subnormals_are_computed_whatever_torch_is_told() -> None:
    x, codes, ids = 1e-40 * numbers(30, 3), 1e-40 * numbers(9, 3, seed=1), ids_with_gaps(30, n_codes=9)
    small, ones = 1e-310 * numbers(30, 3).double(), torch.ones(30, 3, dtype=torch.float64)

    def results() -> list[torch.Tensor]:
        sums, _ = operators.sum_by_code(x, ids, 9)
        products = operators.row_products(small, ones)
        return [operators.nearest(x, codes).ids, operators.look_up(codes, ids), sums, products]

    expected = results()
    assert expected[3].abs().max() > 0
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush subnormals")
    try:
        found = [result.numpy().tobytes() for result in results()]
    finally:
        torch.set_flush_denormal(False)
    assert found == [result.numpy().tobytes() for result in expected]


def test_p15_layouts_do_not_matter() -> None:
    x, codes = numbers(4, 6, 8), numbers(10, 6, seed=1)
    expected = operators.nearest(x.transpose(1, 2).contiguous(), codes)
    for strided in (x.transpose(1, 2), torch._neg_view(-x).transpose(1, 2)):
        assert all(map(torch.equal, operators.nearest(strided, codes), expected))
    one_row = x[0, :, 0].expand(3, 6)
    assert operators.nearest(one_row, codes)[0].unique().numel() == 1


def test_p17_a_tensor_reaches_the_kernel_without_a_copy() -> None:
    for dtype in (torch.float32, torch.float64):
        x = numbers(10, 4, dtype=dtype)
        assert define.array(x, "x").ctypes.data == x.data_ptr()


def test_p7_an_invalid_row_is_named_or_marked() -> None:
    x, codes = numbers(6, 4), numbers(3, 4, seed=1)
    x[4, 2] = float("nan")
    with pytest.raises(ValueError, match="row 4"):
        operators.nearest(x, codes)
    ids, distance = operators.nearest(x, codes, on_invalid="sentinel")
    assert ids[4] == -1
    assert distance[4].isnan()
    mask = torch.arange(6) != 4
    masked = operators.nearest(x, codes, mask=mask)
    assert torch.equal(masked[0], ids)
    with pytest.raises(ValueError, match="row 4"):  # compiled code raises as well
        torch.compile(lambda x: operators.nearest(x, codes), fullgraph=True, backend="aot_eager")(x)


def test_p16_other_dtypes_are_refused() -> None:
    with pytest.raises(TypeError, match=r"x: expected a floating-point tensor, got torch.int64"):
        operators.nearest(torch.ones(3, 4, dtype=torch.int64), numbers(3, 4))
    with pytest.raises(TypeError, match="got float64 and float32"):
        operators.nearest(numbers(3, 4).double(), numbers(3, 4))
    with pytest.raises(ValueError, match="metric"):
        operators.nearest(numbers(3, 4), numbers(3, 4), "manhattan")


# ---- gradients ---------------------------------------------------------------------------------------------


def checked(function: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> bool:
    return torch.autograd.gradcheck(function, [t.double().requires_grad_() for t in inputs])


@pytest.mark.parametrize("metric", METRICS)
def test_the_gradient_of_the_distance_is_right(metric: str) -> None:
    mask = torch.tensor([True, False, True, True, True])
    assert checked(
        lambda x, codes: torch.nan_to_num(operators.nearest(x, codes, metric, mask)[1]),
        numbers(5, 3),
        numbers(4, 3, seed=1),
    )


def test_the_gradients_of_the_other_operators_are_right() -> None:
    ids = torch.tensor([0, 2, -1, 2, 1], dtype=torch.int32)
    rows = numbers(5, 3)
    assert checked(lambda codes: operators.look_up(codes, ids), numbers(4, 3, seed=1))
    assert checked(lambda a, b: operators.mean_squared_error(a, b, ids), rows, numbers(5, 3, seed=1))
    assert checked(operators.row_products, rows, numbers(5, 3, seed=1))


def test_rows_without_a_code_have_no_gradient_whatever_they_hold() -> None:
    x = numbers(4, 3)
    x[1] = float("nan")
    x[2] = float("inf")
    x.requires_grad_()
    codes = numbers(5, 3, seed=1).requires_grad_()
    ids, distance = operators.nearest(x, codes, "cosine", None, "sentinel")
    assert ids.tolist()[1:3] == [-1, -1]
    chosen = operators.look_up(codes, ids)
    loss = operators.mean_squared_error(x, chosen, ids) + operators.straight_through(x, chosen, ids).sum()
    (loss + distance[[0, 3]].sum()).backward()
    assert torch.equal(x.grad[1:3], torch.zeros(2, 3))
    assert x.grad.isfinite().all()
    assert codes.grad.isfinite().all()


# ---- the others --------------------------------------------------------------------------------------------


def test_p10_ids_outside_the_codebook_are_refused() -> None:
    codes = numbers(4, 3)
    assert torch.equal(
        operators.look_up(codes, torch.tensor([-1, 3])), torch.stack([torch.zeros(3), codes[3]])
    )
    for ids in ([0, 4], [-2, 0], [2**62, 0], [-(2**63), 0]):
        with pytest.raises(ValueError, match="ids: expected -1 to 3"):
            operators.look_up(codes, torch.tensor(ids))


def test_p10_sums_over_ids_outside_the_codebook_are_refused() -> None:
    for dtype, ids in ((torch.int64, [0, 2**32 + 1]), (torch.int64, [-2, 0]), (torch.int32, [0, 4])):
        with pytest.raises(ValueError, match="ids: "):
            operators.sum_by_code(numbers(2, 3), torch.tensor(ids, dtype=dtype), 4)


def test_sums_are_those_of_rows_in_their_order() -> None:
    values, ids = numbers(200, 3), ids_with_gaps(200, n_codes=7)
    sums, counts = operators.sum_by_code(values, ids, 7)
    expected = np.zeros((7, 3))
    kept = ids.numpy() >= 0
    np.add.at(expected, ids.numpy()[kept], values.numpy()[kept].astype(np.float64))
    assert np.array_equal(sums.numpy(), expected)
    assert np.array_equal(counts.numpy(), np.bincount(ids.numpy()[kept], minlength=7))


def test_the_error_is_the_mean_over_rows_that_have_a_code() -> None:
    x, quantized, ids = numbers(9, 3), numbers(9, 3, seed=1), ids_with_gaps(9, n_codes=4)
    kept = ids >= 0
    assert kept.any()
    assert not kept.all()
    expected = torch.nn.functional.mse_loss(x[kept].double(), quantized[kept].double()).item()
    assert operators.mean_squared_error(x, quantized, ids).item() == pytest.approx(expected, rel=1e-6)
    nothing = torch.full((9,), -1, dtype=torch.int32)
    assert operators.mean_squared_error(x, quantized, nothing).item() == 0


# ---- the package -------------------------------------------------------------------------------------------


def output_of(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_p50_torch_is_imported_by_evtok_torch_alone() -> None:
    code = """
import sys
import evtok
evtok.nearest
print("torch" in sys.modules)
import evtok.torch
print("torch" in sys.modules)
"""
    assert output_of(code).split() == ["False", "True"]


def test_p50_without_torch_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["torch"] = None
try:
    import evtok.torch
except ImportError as error:
    print(error)
"""
    assert output_of(code) == "torch is not installed, and this call needs it: pip install 'evtok[torch]'"
