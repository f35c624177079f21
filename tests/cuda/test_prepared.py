from __future__ import annotations

import gc

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
