"""What is made of an object once for a device, such as the tables of a tokenizer or the codes of a codebook."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from evtok.cuda.arrays import Package, Place

T = TypeVar("T")


class _Kept:
    """One prepared value, and the streams that it was used on."""

    def __init__(self, value: Any, place: Place) -> None:
        self.value = value
        self.package: Package = place.package
        self.cuda = place.cuda
        self.streams = {place.stream}


_Key = tuple[str, int, bool]

# By the owner's id, which no other object has while the owner lives: most owners hold arrays, and have no hash.
_kept: dict[int, dict[_Key, _Kept]] = {}
# Used on several streams, and without an owner.
_dropped: list[_Kept] = []


def prepared(owner: object, place: Place, make: Callable[[Place], T]) -> T:
    """Return what ``make(place)`` returned the first time, for this owner, package and device.

    Parameters
    ----------
    owner : object
        Takes weak references and does not change; what was made is dropped with it. An owner has one `make`.
    place : Place
        Entered: its device is current.
    make : callable
        Copies to the device, and returns the arrays (as `View`). It must not return or hold the owner, which would then
        never be dropped.

    Notes
    -----
    The first call waits for the device, so that other streams may use the memory too. A CUDA graph is captured after
    that: call once before. What was used on several streams and is dropped stays until the next first call.
    """
    here = _kept.get(id(owner))
    if here is None:
        here = _kept.setdefault(id(owner), {})
        weakref.finalize(owner, _drop, id(owner)).atexit = False
    key = (place.package.name, place.package.index, bool(place.cuda.emulated))
    kept = here.get(key)
    if kept is None:
        _free_dropped(place)
        value = make(place)
        place.cuda.synchronize(place.stream)
        kept = here.setdefault(key, _Kept(value, place))  # another thread may have been first
    kept.streams.add(place.stream)
    value_of_key: T = kept.value
    return value_of_key


def _drop(owner: int) -> None:
    # This may run at any moment, while some thread captures a graph too: it must not wait for the device. But a package
    # frees memory for the stream that it was allocated on, and work on others may still read it.
    _dropped.extend(kept for kept in _kept.pop(owner, {}).values() if len(kept.streams) > 1)


def _free_dropped(place: Place) -> None:
    """Let go of what was dropped on this device, when nothing can read it any more."""
    here = (place.package.name, place.package.index, place.cuda)
    mine = [kept for kept in _dropped if (kept.package.name, kept.package.index, kept.cuda) == here]
    if not mine:
        return
    place.cuda.synchronize_device()
    for kept in mine:
        with contextlib.suppress(ValueError):  # another thread was first
            _dropped.remove(kept)
