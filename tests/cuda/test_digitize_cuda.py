from __future__ import annotations

import numpy as np
import pytest

import evtok


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("right", [False, True])
def test_codes_are_those_of_numpy(gpu, dtype, right):
    random = np.random.default_rng(5)
    edges = np.sort(random.normal(size=41))
    x = random.normal(size=(700, 3)).astype(dtype)
    x.flat[:9] = [np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -1e-45, edges[3], edges[40]]
    for bins in (edges, edges[::-1], edges[:0], np.repeat(edges, 2)):
        codes = evtok.digitize(gpu.put(x), bins, right=right)
        assert type(codes) is type(gpu.put(x))
        assert evtok.last_backend() == "evtok:cuda"
        codes = gpu.get(codes)
        assert codes.dtype == np.int64
        np.testing.assert_array_equal(codes, np.digitize(x, bins, right=right))


def test_strided_input_gives_the_codes_of_its_copy(gpu):
    x = np.random.default_rng(1).normal(size=(40, 50)).astype(np.float32)
    codes = evtok.digitize(gpu.put(x)[::3, ::-1] if gpu.name != "torch" else gpu.put(x)[::3], [0.0, 0.5])
    expected = np.digitize(x[::3, ::-1] if gpu.name != "torch" else x[::3], [0.0, 0.5])
    np.testing.assert_array_equal(gpu.get(codes), expected)


def test_a_dtype_that_the_gpu_kernel_does_not_take_is_named(gpu):
    with pytest.raises(TypeError, match="x: expected float32 or float64 on a GPU, got int64"):
        evtok.digitize(gpu.put(np.arange(5)), [1.0])


def test_host_memory_is_not_taken_for_the_result(gpu):
    with pytest.raises(ValueError, match="out: not taken for an array on a GPU"):
        evtok.digitize(gpu.put(np.zeros(3)), [1.0], out=np.empty(3, np.int64))
