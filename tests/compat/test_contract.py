"""The drop-ins under the promises of evtok itself: batches, instruction sets, floating-point modes, processes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import evtok
from evtok.compat.faiss import IndexFlatIP, IndexFlatL2
from evtok.compat.scipy import vq
from evtok.compat.sklearn import pairwise_distances_argmin_min
from python_process import lines
from test_float_environment import modes, same_in

Array = npt.NDArray[Any]
Call = Callable[[Array, Array], tuple[Array, Array]]


def by_index(kind: type[IndexFlatL2] | type[IndexFlatIP], k: int) -> Call:
    def search(x: Array, codes: Array) -> tuple[Array, Array]:
        index = kind(x.shape[1])
        index.add(codes)
        return index.search(x, k)

    return search


CALLS: dict[str, Call] = {
    "vq": vq,
    "argmin": pairwise_distances_argmin_min,
    "L2": by_index(IndexFlatL2, 1),
    "L2, k=3": by_index(IndexFlatL2, 3),
    "IP": by_index(IndexFlatIP, 1),
}
calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def offset_gaussian(n: int, d: int = 6, offset: float = 2000) -> Array:
    """Rows on which FAISS and torch answer otherwise when the batch is split."""
    return (np.random.default_rng(n).normal(size=(n, d)) + offset).astype(np.float32)


@calls
def test_p1_the_answer_to_a_row_does_not_depend_on_the_others(call: Call) -> None:
    x, codes = offset_gaussian(700), offset_gaussian(20)
    whole = call(x, codes)
    for pieces in ([1, 3, 20, 21, 300], [699], [350]):
        parts = [call(part, codes) for part in np.split(x, pieces)]
        for i in (0, 1):
            np.testing.assert_array_equal(np.concatenate([part[i] for part in parts]), whole[i])
    order = np.random.default_rng(0).permutation(len(x))
    np.testing.assert_array_equal(call(x[order], codes)[0], whole[0][order])


@calls
def test_p2_the_answer_does_not_depend_on_the_instruction_set(call: Call, isa: str) -> None:
    x, codes = offset_gaussian(333), offset_gaussian(77)
    got = call(x, codes)
    assert evtok.last_backend() == f"evtok:{isa}"
    evtok._core.force_isa("scalar")
    for mine, expected in zip(got, call(x, codes), strict=True):
        np.testing.assert_array_equal(mine, expected)
    evtok._core.force_isa(isa)


@calls
def test_p15_inputs_are_not_written(call: Call) -> None:
    x, codes = offset_gaussian(30), offset_gaussian(5)
    before = x.copy(), codes.copy()
    x.flags.writeable = codes.flags.writeable = False
    call(x, codes)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(codes, before[1])


@modes
def test_p9_a_callers_mode_reaches_no_answer(bits: int) -> None:
    """Subnormal distances and edges, and vectors whose rounding to float32 depends on the mode."""
    prepare = """
from evtok.compat.faiss import IndexFlatL2
from evtok.compat.numpy import searchsorted
from evtok.compat.scipy import vq
from evtok.compat.sklearn import pairwise_distances_argmin_min
x, codes = np.array([[1e-20, 0], [0.3, 0.7]], np.float32), np.array([[1, 1], [0, 0]], np.float32)
edges = np.array([1e-310, 2e-310, 3e-310])
wide = np.random.default_rng(0).normal(size=(50, 2))
"""
    compute = """
index = IndexFlatL2(2)
index.add(wide)
result = np.concatenate([np.ravel(a) for a in (
    *vq(x, codes), *pairwise_distances_argmin_min(x, codes), *vq(wide, codes), searchsorted(edges, [2.5e-310]),
    index.reconstruct_n(), *index.search(wide + 1, 2))])
"""
    assert same_in(bits, prepare, compute) == ["kept", "same"]


def test_p27_p50_the_drop_ins_import_no_peer() -> None:
    program = """
import evtok.compat.scipy, evtok.compat.sklearn, evtok.compat.faiss, evtok.compat.numpy, evtok.compat.torch
import evtok.compat.disagreement
from evtok.compat.scipy import vq
vq(np.ones((2, 2)), np.ones((1, 2)))
print(sorted({"scipy", "sklearn", "faiss", "torch", "vector_quantize_pytorch"} & set(sys.modules)))
"""
    assert lines(program) == ["[]"]


@pytest.mark.skipif(sys.platform != "linux", reason="fork")
def test_p26_a_forked_child_answers() -> None:
    program = """
from evtok.compat.faiss import IndexFlatL2
x = np.random.default_rng(0).normal(size=(20_000, 4)).astype(np.float32)
index = IndexFlatL2(4)
index.add(x[:300])
expected = index.search(x, 1)[1]
child = os.fork()
if not child:
    os._exit(0 if np.array_equal(index.search(x, 1)[1], expected) else 1)
deadline = time.monotonic() + 30
while not (done := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < deadline:
    time.sleep(0.01)
print(done[0] == child, os.waitstatus_to_exitcode(done[1]))
"""
    assert lines(program) == ["True", "0"]
