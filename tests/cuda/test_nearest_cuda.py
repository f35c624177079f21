"""Nearest codes on a GPU beside the CPU's: equal bits, equal faults, on every route."""

from __future__ import annotations

import numpy as np
import pytest

import evtok
from evtok import _core
from evtok.cuda import nearest as on_gpu
from evtok.cuda.arrays import Place
from evtok.cuda.code_order import code_order

CASES = {"ties": 0.0, "offset": 2000.0}


def rows_and_codes(n, n_codes, n_dims, dtype, *, offset=0.0, grid=False):
    random = np.random.default_rng(n + 7 * n_codes + 31 * n_dims)
    x, codes = random.normal(size=(n, n_dims)), random.normal(size=(n_codes, n_dims))
    if grid:
        x, codes = np.rint(x), np.rint(codes)
    x, codes = (x + offset).astype(dtype), (codes + offset).astype(dtype)
    x[1::5] = codes[random.integers(0, n_codes, len(x[1::5]))]
    x[3::11] = -0.0
    return x, codes


def same_bits(gpu, got, expected):
    for ours, wanted in zip(got, expected, strict=True):
        ours = gpu.get(ours)
        assert (ours.dtype, ours.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_array_equal(ours.view(np.uint8), wanted.view(np.uint8))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", ["l2", "dot", "cosine"])
@pytest.mark.parametrize("shape", [(0, 3, 2), (33, 1, 1), (17, 70, 4), (9, 40, 17)])
def test_ids_distances_and_margins_have_the_bits_of_the_cpu(gpu, metric, dtype, shape):
    x, codes = rows_and_codes(*shape, dtype, grid=metric != "cosine")
    codes[0] = 1  # "cosine" refuses a code without a direction
    codes[(codes == 0).all(axis=1)] = 1
    if shape[0]:
        x[:4, 0] = [np.nan, np.inf, np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal]
    mask = np.arange(len(x)) % 6 != 5
    codebook = evtok.Codebook(codes, metric=metric)
    for k in {1, min(3, len(codes))}:
        options = {"k": k, "return_distance": True, "return_margin": True, "on_invalid": "sentinel"}
        expected = codebook.nearest(x, mask=mask, **options)
        got = codebook.nearest(gpu.put(x), mask=gpu.put(mask), **options)
        assert type(got[0]) is type(gpu.put(x))
        assert evtok.last_backend() == "evtok:cuda"
        same_bits(gpu, [got[0], got[2]], [expected[0], expected[2]])
        np.testing.assert_array_equal(gpu.get(got[1]), expected[1])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("route", on_gpu.ROUTES)
def test_every_route_finds_the_same(gpu, route, case):
    x, codes = rows_and_codes(21, 600, 4, np.float32, offset=CASES[case], grid=case == "ties")
    expected = evtok.nearest(x, codes, return_distance=True)
    place = Place(x=gpu.put(x))
    with place:
        view = place.view(codes, "codes", ("float32",))
        prepared = on_gpu.prepare(place, view, "l2", code_order(codes))
        rows = place.view(gpu.put(x), "x", ("float32",))
        found = on_gpu.search(place, prepared, rows, with_values=True, route=route)
        ids, values = place.get(found.ids), place.get(found.values)
    np.testing.assert_array_equal(ids[:, 0], expected[0])
    np.testing.assert_array_equal(values[:, 0].view(np.uint32), expected[1].view(np.uint32))


@pytest.mark.parametrize("metric", ["l2", "dot"])
def test_the_filter_of_tensor_cores_leaves_the_decision_to_the_specification(gpu, metric):
    x, codes = rows_and_codes(12, 260, 18, np.float32, offset=30.0)
    expected = evtok.nearest(x, codes, metric=metric, return_distance=True)
    place = Place(x=gpu.put(x))
    with place:
        prepared = on_gpu.prepare(place, place.view(codes, "codes", ("float32",)), metric)
        rows = place.view(gpu.put(x), "x", ("float32",))
        found = on_gpu.search(place, prepared, rows, with_values=True, route="filter")
        ids, values = place.get(found.ids), place.get(found.values)
    np.testing.assert_array_equal(ids[:, 0], expected[0])
    np.testing.assert_array_equal(values[:, 0].view(np.uint32), expected[1].view(np.uint32))


def test_the_order_of_boxes_is_one_of_all_codes():
    for n in (1, 32, 33, 1024, 1025, 5000):
        order = code_order(np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32))
        np.testing.assert_array_equal(np.sort(order), np.arange(n))
    line = code_order(np.arange(4096.0)[::-1, None])
    assert all(np.ptp(leaf) == 31 for leaf in line.reshape(-1, 32))


@pytest.mark.parametrize(
    ("bad", "metric", "message"),
    [
        (np.nan, "l2", "row 4 .*holds NaN or infinity"),
        (3e38, "l2", "row 4 .*overflows"),
        (3e38, "dot", "row 4 .*overflows"),
        (0.0, "cosine", "row 4 .*is a zero vector"),
    ],
)
def test_the_first_bad_row_is_named_as_on_the_cpu(gpu, bad, metric, message):
    x, codes = rows_and_codes(8, 5, 3, np.float32)
    x[3], codes[0] = 1, 2
    x[4] = x[6] = bad
    with pytest.raises(ValueError, match=message) as on_cpu:
        evtok.nearest(x.reshape(4, 2, 3), codes, metric=metric)
    with pytest.raises(ValueError, match=message) as raised:
        evtok.nearest(gpu.put(x.reshape(4, 2, 3)), codes, metric=metric)
    assert str(raised.value) == str(on_cpu.value)


def test_codes_on_the_gpu_and_dtypes_that_float32_holds(gpu):
    x, codes = rows_and_codes(12, 40, 3, np.float16)
    expected = evtok.nearest(x, codes)
    np.testing.assert_array_equal(gpu.get(evtok.nearest(gpu.put(x), codes)), expected)
    wide = codes.astype(np.float32)
    np.testing.assert_array_equal(gpu.get(evtok.nearest(gpu.put(x), gpu.put(wide))), expected)
    with pytest.raises(TypeError, match="float64"):
        evtok.nearest(gpu.put(x.astype(np.float64)), wide)
    rounded = evtok.nearest(x.astype(np.float64), wide, dtype="float32")
    np.testing.assert_array_equal(
        gpu.get(evtok.nearest(gpu.put(x.astype(np.float64)), wide, dtype="float32")), rounded
    )


def test_what_a_gpu_does_not_take_is_said(gpu):
    x, codes = rows_and_codes(4, 5, 3, np.float32)
    with pytest.raises(TypeError, match="at most 32 bits"):
        evtok.nearest(gpu.put(np.zeros((2, 3), np.int64)), codes)
    with pytest.raises(ValueError, match="expected shape"):
        evtok.nearest(gpu.put(x[:, :2]), codes)
    with pytest.raises(ValueError, match="out: not taken"):
        evtok.nearest(gpu.put(x), codes, out=np.empty(4, np.int32))
    with pytest.raises(ValueError, match="mask: expected booleans"):
        evtok.nearest(gpu.put(x), codes, mask=gpu.put(np.ones(3, bool)))


def test_codes_of_length_one_have_the_bits_of_the_cpu(gpu):
    codes = rows_and_codes(1, 40, 5, np.float32)[1]
    place = Place(codes=gpu.put(codes))
    with place:
        unit, status = on_gpu.normalised(place, place.view(gpu.put(codes), "codes", ("float32",)))
        got, count = place.get(unit), place.get(status)[0]
    np.testing.assert_array_equal(got.view(np.uint32), _core.normalise_codes(codes).view(np.uint32))
    assert tuple(count) == (0, -1)
