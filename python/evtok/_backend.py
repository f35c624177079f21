"""Which backend did the work of the latest call: for those who must know that no slower path was taken."""

from __future__ import annotations

import threading

from evtok import _core


class _State(threading.local):
    name = ""


_state = _State()


def used_native() -> None:
    """Record that evtok's own kernel did the work, and on which instruction set."""
    _state.name = f"evtok:{_core.active_isa()}"


def used_cuda() -> None:
    """Record that evtok's own kernel did the work, on a GPU."""
    _state.name = "evtok:cuda"


def used_peer(name: str) -> None:
    """Record that another package did the work."""
    _state.name = name


def last_backend() -> str:
    """Name what did the work of this thread's latest call.

    Returns
    -------
    str
        ``"evtok:avx2"`` and the like for evtok's kernels, ``"evtok:cuda"`` on a GPU, the package's name (``"numpy"``)
        where a call went to a peer because evtok has no kernel for its arguments, or ``""`` before the first call.
    """
    return _state.name
