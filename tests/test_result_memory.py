"""Memory of large results: used again once a result is gone, and never before."""

from __future__ import annotations

import gc
import os
import threading

import numpy as np
import pytest

from evtok import _arrays, digitize
from python_process import lines

LARGE = 3 << 20  # int32: 12 MiB


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_memory_of_a_result_that_is_gone_is_used_again() -> None:
    both = [_arrays.result(LARGE, np.int32) for _ in range(2)]
    places = {address(result) for result in both}
    both.clear()
    again = _arrays.result(LARGE - 5, np.float32)
    assert address(again) in places
    assert again.flags.c_contiguous
    assert again.flags.writeable
    assert again.shape == (LARGE - 5,)


def test_a_view_keeps_it() -> None:
    result = _arrays.result((LARGE // 4, 4), np.int32)
    result[...] = 7
    view = result[5:, 1]
    del result
    gc.collect()
    others = [_arrays.result(LARGE, np.int32) for _ in range(4)]
    for other in others:
        other[...] = 0
    assert (view == 7).all()


def test_a_much_smaller_or_larger_result_does_not_take_it() -> None:
    both = [_arrays.result(16 << 20, np.uint8) for _ in range(2)]  # as many as are kept
    places = {address(result) for result in both}
    both.clear()
    smaller, larger = _arrays.result(12 << 20, np.uint8), _arrays.result(17 << 20, np.uint8)
    assert not places & {address(smaller), address(larger)}
    assert address(_arrays.result(15 << 20, np.uint8)) in places


@pytest.mark.parametrize("shape", [0, (0, 3), 5, (), (2, 3)])
def test_small_results_are_plain_arrays(shape: int | tuple[int, ...]) -> None:
    result = _arrays.result(shape, np.float32)
    assert result.shape == (shape if isinstance(shape, tuple) else (shape,))
    assert result.flags.owndata


def test_a_size_that_no_memory_has_is_refused() -> None:
    for shape in ((2**62, 4), (2**45,), (2**61 - 1,), (-1,)):
        with pytest.raises((MemoryError, ValueError)):
            _arrays.result(shape, np.int64)


def test_results_of_threads_do_not_meet() -> None:
    wrong: list[int] = []

    def work(mark: int) -> None:
        random = np.random.default_rng(mark)
        for turn in range(30):
            results = [
                _arrays.result(int(random.integers(1 << 20, 3 << 20)), np.int32)
                for _ in range(random.integers(1, 4))
            ]
            for k, result in enumerate(results):
                result[...] = mark * 1000 + turn * 10 + k
            for k, result in enumerate(results):
                if not (result == mark * 1000 + turn * 10 + k).all():
                    wrong.append(mark)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(("megabytes", "count", "kept"), [(40, 6, 2), (200, 2, 0)])
def test_what_is_kept_is_bounded(megabytes: int, count: int, kept: int) -> None:
    """In a process of its own, whose allocator holds no large memory of other tests."""
    code = f"""
    from evtok import _arrays, _core

    def resident():
        return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20

    before = resident()
    results = [_arrays.result({megabytes} << 20, np.uint8) for _ in range({count})]
    for result in results:
        result[::4096] = 1
    alive = resident()
    del result
    results.clear()
    gone = resident()
    _core.release_result_memory()
    print(alive - before, gone - before, resident() - before)
    """
    alive, gone, released = map(int, lines(code))
    assert alive == pytest.approx(count * megabytes, abs=16)
    assert gone == pytest.approx(kept * megabytes, abs=16)
    assert released == pytest.approx(0, abs=16)


def test_it_works_in_a_forked_child_with_blocks_of_its_own() -> None:
    first = _arrays.result(LARGE, np.int32)
    del first
    pid = os.fork()
    if pid == 0:
        both = [_arrays.result(LARGE, np.int32) for _ in range(2)]
        for mark, mine in enumerate(both):
            mine[...] = mark
        os._exit(0 if all((mine == mark).all() for mark, mine in enumerate(both)) else 1)
    mine = _arrays.result(LARGE, np.int32)
    mine[...] = 2
    assert os.waitpid(pid, 0)[1] == 0
    assert (mine == 2).all()


def test_codes_of_many_values_are_right_in_memory_that_was_used() -> None:
    random = np.random.default_rng(5)
    edges = np.linspace(0, 1, 11)
    for _ in range(3):
        x = random.random(1 << 20)
        np.testing.assert_array_equal(digitize(x, edges), np.digitize(x, edges))
