"""`evtok.compat.torch.bucketize` is torch's. Tolerance class of this file: integers, compared with ==."""

from __future__ import annotations

import inspect
import re
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evtok
from evtok.compat.torch import bucketize

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

NAN, INF = float("nan"), float("inf")
DTYPES = ["float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64"]
numbers = st.one_of(st.floats(width=16), st.sampled_from([0.0, -0.0, 1e-40, INF, -INF, NAN]))


def check(x: Any, boundaries: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that strided tensors are slower
        expected = torch.bucketize(x, boundaries, **options)
    got = bucketize(x, boundaries, **options)
    assert type(got) is type(expected)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert got.stride() == expected.stride()
    assert torch.equal(got, expected)
    return got


def test_signature_is_that_of_the_documentation() -> None:
    documented = re.search(r"bucketize\((.*?)\) -> Tensor", torch.bucketize.__doc__)
    got = [str(p).split(":")[0] + (f"={p.default}" if p.default is not p.empty else "") for p in parameters()]
    got.insert(2, "*")
    assert documented is not None
    assert ", ".join(got) == documented[1]


def parameters() -> list[inspect.Parameter]:
    found = list(inspect.signature(bucketize).parameters.values())
    assert [p.kind is p.KEYWORD_ONLY for p in found] == [False, False, True, True, True]
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("edge_dtype", DTYPES)
def test_p16_every_pair_of_dtypes(dtype: str, edge_dtype: str) -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.integers(0, 99, (3, 50))).to(getattr(torch, dtype))
    edges = torch.from_numpy(np.sort(rng.integers(0, 99, 20))).to(getattr(torch, edge_dtype))
    for right in (False, True):
        for out_int32 in (False, True):
            check(x, edges, right=right, out_int32=out_int32)
            assert evtok.last_backend().startswith("evtok:")


def test_values_are_compared_in_the_dtype_that_torch_promotes_to() -> None:
    tenth32, tenth64 = torch.tensor([0.1]), torch.tensor([0.1], dtype=torch.float64)
    assert check(tenth32, tenth64).item() == 1
    assert check(tenth64, tenth32).item() == 0
    check(torch.tensor([2**24 + 1]), torch.tensor([2.0**24, 2.0**24 + 2]))  # rounds to float32, as torch does
    check(torch.tensor(3.5), torch.tensor([3, 4]))


@given(
    x=st.lists(numbers, max_size=30),
    edges=st.lists(numbers.filter(lambda value: value == value), max_size=20),
    dtype=st.sampled_from(["float16", "bfloat16", "float32", "float64"]),
    right=st.booleans(),
    out_int32=st.booleans(),
)
def test_equal_to_torch_property(
    x: list[float], edges: list[float], dtype: str, right: bool, out_int32: bool
) -> None:
    kind = getattr(torch, dtype)
    boundaries = torch.tensor(edges, dtype=kind).sort().values
    check(torch.tensor(x, dtype=kind), boundaries, right=right, out_int32=out_int32)
    assert evtok.last_backend().startswith("evtok:")


def test_nan_and_empty_inputs() -> None:
    edges = torch.tensor([1.0, 3.0, INF])
    assert check(torch.tensor([NAN, INF, -INF]), edges).tolist() == [3, 2, 0]
    assert check(torch.tensor([NAN, INF, -INF]), edges, right=True).tolist() == [3, 3, 0]
    check(torch.zeros(0, 3), edges)
    check(torch.zeros(2, 3), edges[:0])
    check(torch.tensor(3.0), edges)


def test_p15_layouts() -> None:
    x = torch.arange(24.0).reshape(4, 6)
    edges = torch.arange(20.0)[::2]
    for view in (x.T, x[:, ::2], x[:1].expand(5, 6), x.flip(0), torch.nn.Parameter(x), x.requires_grad_()):
        check(view, edges)
        assert evtok.last_backend().startswith("evtok:")


@pytest.mark.parametrize("out_int32", [False, True])
def test_p17_out_is_written_and_returned(out_int32: bool) -> None:
    x, edges = torch.tensor([[3.0, 6.0, 9.0]]), torch.tensor([1.0, 3.0, 5.0, 7.0, 9.0])
    dtype = torch.int32 if out_int32 else torch.int64
    for out in (torch.full((1, 3), -7, dtype=dtype), torch.full((3, 1), -7, dtype=dtype).T):
        assert bucketize(x, edges, out_int32=out_int32, out=out) is out
        assert evtok.last_backend().startswith("evtok:")
        assert out.tolist() == [[1, 3, 4]]
    integers = torch.tensor([3, 6, 9])
    assert bucketize(integers, edges, out=integers) is integers  # values and result in one memory
    assert integers.tolist() == [1, 3, 4]


def test_what_evtok_has_no_kernel_for_goes_to_torch_and_says_so() -> None:
    x, edges = torch.tensor([3.0, 6.0, NAN]), torch.tensor([1.0, 3.0, 5.0])
    check(3, edges)
    assert evtok.last_backend() == "torch"
    check(x, torch.tensor([5.0, 1.0, 3.0]))  # not sorted
    assert evtok.last_backend() == "torch"
    check(x, torch.tensor([1.0, NAN]))
    assert evtok.last_backend() == "torch"
    check(torch.tensor([2**60 + 1]), torch.tensor([2**60, 2**60 + 2]))
    assert evtok.last_backend() == "torch"
    assert bucketize(x.to("meta"), edges.to("meta")).device.type == "meta"
    assert evtok.last_backend() == "torch"
    assert torch.equal(
        torch.func.vmap(lambda row: bucketize(row, edges))(x[None]), torch.bucketize(x, edges)[None]
    )
    assert evtok.last_backend() == "torch"

    class Subclass(torch.Tensor):
        pass

    assert type(bucketize(x.as_subclass(Subclass), edges)) is Subclass


def test_a_compiled_function_has_no_graph_break() -> None:
    x, edges = torch.tensor([3.0, 6.0, NAN]), torch.tensor([1.0, 3.0, 5.0])
    compiled = torch.compile(lambda values: bucketize(values, edges), backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), torch.bucketize(x, edges))


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (([3.0], torch.ones(1)), {}),
        (([3.0], torch.ones(1)), {"out": torch.ones(1, dtype=torch.int64)}),
        ((1.5, torch.ones(1)), {"out": torch.tensor(0)}),
        ((torch.ones(1), [1.0]), {}),
        ((torch.ones(1), torch.ones(1, 1)), {}),
        ((torch.ones(1), torch.tensor(1.0)), {}),
        ((torch.ones(1), torch.ones(1)), {"right": None}),
        ((torch.ones(1), torch.ones(1)), {"out": torch.ones(1)}),
        ((torch.ones(1), torch.ones(1)), {"out": torch.ones(1, dtype=torch.int32)}),
        ((torch.ones(1, dtype=torch.complex64), torch.ones(1)), {}),
        ((torch.ones(1, dtype=torch.bool), torch.ones(1, dtype=torch.bool)), {}),
    ],
)
def test_p21_errors_are_torchs(arguments: tuple[Any, Any], options: dict[str, Any]) -> None:
    with pytest.raises(Exception) as expected:
        torch.bucketize(*arguments, **options)
    with pytest.raises(expected.type):
        bucketize(*arguments, **options)


@pytest.mark.slow
def test_torchs_own_sample_inputs() -> None:
    """torch ships no test of bucketize, but the inputs that its tests run over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from torch.testing._internal.common_methods_invocations import op_db
        except ImportError as error:
            pytest.skip(f"torch's sample inputs need more packages: {error}")
    operator = next(op for op in op_db if op.name == "bucketize")
    samples = 0
    for dtype in operator.dtypes:
        for sample in operator.reference_inputs("cpu", dtype):
            check(sample.input, *sample.args, **sample.kwargs)
            samples += 1
    assert samples >= 50
