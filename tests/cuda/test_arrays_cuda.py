"""What counts as an array on a GPU, and what a call keeps alive."""

from __future__ import annotations

import gc
import pickle
import weakref

import emulated_cupy
import numpy as np
import pytest

import evtok
import evtok.scoring
from evtok import _arrays
from evtok.cuda.arrays import Place


class OfHostAndDevice:
    """As arrays of JAX: the property is of the type, and fails where the array lies on the host."""

    def __init__(self, interface):
        self._interface = interface

    @property
    def __cuda_array_interface__(self):
        if self._interface is None:
            raise ValueError("only defined for arrays on a GPU")
        return self._interface

    def __array__(self, *_, **__):
        return np.array([0.5, 3.0])


def test_arrays_that_could_lie_on_a_gpu_but_do_not():
    assert not _arrays.on_gpu(OfHostAndDevice(None))
    assert _arrays.on_gpu(OfHostAndDevice({"version": 3}))
    np.testing.assert_array_equal(evtok.digitize(OfHostAndDevice(None), [1.0, 2.0]), [0, 2])


def test_a_stream_lives_as_long_as_what_waits_for_it(gpu, monkeypatch):
    """CuPy destroys a stream with its object, and a report that is read later waits for the stream."""
    if gpu.name != "emulated":
        pytest.skip("counts on the stand-in for CuPy")
    import cupy

    streams = []

    class Stream:
        ptr = 0

        def __init__(self):
            streams.append(weakref.ref(self))

    monkeypatch.setattr(cupy.cuda, "get_current_stream", Stream)
    place = Place(x=gpu.put(np.zeros(1)))
    with place:
        pass
    gc.collect()
    assert streams[-1]() is not None
    del place
    gc.collect()
    assert streams[-1]() is None


def test_no_memory_of_the_host_is_captured_into_a_graph(gpu, monkeypatch):
    if gpu.name != "emulated":
        pytest.skip("counts on the stand-in for CuPy")
    x = gpu.put(np.zeros(4, np.float32))
    monkeypatch.setattr(emulated_cupy.Stream, "capturing", True)
    with pytest.raises(
        RuntimeError, match="array of the host cannot be copied while a CUDA graph is captured"
    ):
        evtok.digitize(x, [1.0])


def test_a_prepared_head_is_not_pickled():
    """On a GPU it would be an empty shell in another process."""
    with pytest.raises(TypeError, match="send the weights"):
        pickle.dumps(evtok.scoring.TokenHead(np.zeros((3, 2), np.float32)))
