"""Whether this process was forked: the threads of its parent are gone there, those of torch too."""

from __future__ import annotations

import os

_home = os.getpid()


def is_forked() -> bool:
    """Return whether this process is a forked child of the one that imported evtok."""
    return os.getpid() != _home
