from __future__ import annotations

import gc
from types import SimpleNamespace

import numpy as np

from evtok.cuda import prepared as module
from evtok.cuda.arrays import Place
from evtok.cuda.prepared import prepared


class Owner:
    __hash__ = None  # as objects that hold arrays


def test_a_value_is_made_once_for_an_owner_and_dropped_with_it(gpu):
    made = []

    def make(place):
        made.append(place)
        return place.view(np.arange(5.0), "x", ("float64",))

    owners = [Owner(), Owner()]
    place = Place(x=gpu.put(np.zeros(1)))
    with place:
        first = [prepared(owner, place, make) for owner in owners]
        again = [prepared(owner, place, make) for owner in owners]
    assert [a is b for a, b in zip(first, again, strict=True)] == [True, True]
    assert first[0] is not first[1]
    assert len(made) == 2
    np.testing.assert_array_equal(gpu.get(first[0].array), np.arange(5.0))

    place.stream = 7  # no stream of that address is used: only its number is noted
    with_stream = prepared(owners[0], place, make)
    assert with_stream is first[0]
    assert len(made) == 2
    before = len(module._kept)
    del owners
    gc.collect()
    assert len(module._kept) == before - 2


def test_what_several_streams_used_is_freed_by_the_next_first_call_and_not_by_the_garbage_collector(
    gpu, monkeypatch
):
    """The garbage collector may run while a graph is captured, when nobody may wait for the device."""
    place = Place(x=gpu.put(np.zeros(1)))
    waited = []
    monkeypatch.setattr(place, "cuda", SimpleNamespace(**vars(place.cuda)), raising=True)
    monkeypatch.setattr(place.cuda, "synchronize_device", lambda: waited.append("device"))

    def make(place):
        return place.view(np.arange(3.0), "x", ("float64",))

    alone, shared, other = Owner(), Owner(), Owner()
    with place:
        stream = place.stream
        prepared(alone, place, make)
        prepared(shared, place, make)
        place.stream = 7
        prepared(shared, place, make)
        place.stream = stream
        before = len(module._dropped)
        del alone, shared
        gc.collect()
        assert len(module._dropped) == before + 1
        assert waited == []
        prepared(other, place, make)
    assert waited == ["device"]
    assert len(module._dropped) == before
