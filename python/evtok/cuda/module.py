"""`evtok._cuda`, the compiled kernels for GPUs: whether they are there, and what to say where they are not."""

from __future__ import annotations

import importlib
import os
from typing import Any

from evtok._core import version
from evtok.errors import MissingBackendError

# The process that used CUDA first: its forked children cannot, for the driver's state does not survive a fork.
_user: int | None = None


def load() -> Any:
    """Return the module `evtok._cuda`, ready for use in this process.

    Raises
    ------
    MissingBackendError
        This evtok was built without CUDA, or by another version.
    RuntimeError
        This process was forked from one that has used CUDA.
    """
    global _user
    module = imported()
    if _user is None:
        _user = os.getpid()
    elif _user != os.getpid():
        raise RuntimeError(
            "CUDA was used before this process was forked, and cannot be used in the child; start processes by "
            "'spawn' or 'forkserver', or use CUDA in the children alone"
        )
    return module


def why_off() -> str | None:
    """Say why no GPU can be used, or None where one can. Touches the driver, not a device."""
    try:
        devices = load().device_count()  # a driver that was asked does not survive a fork either
    except (MissingBackendError, RuntimeError) as error:
        return str(error)
    return None if devices else "no CUDA device is visible"


def imported() -> Any:
    """Return the module `evtok._cuda`; neither driver nor device is touched.

    Raises
    ------
    MissingBackendError
        As `load` does.
    """
    try:
        module = importlib.import_module("evtok._cuda")
    except ImportError as error:
        raise MissingBackendError(
            "this evtok was built without CUDA; build it with nvcc there: "
            f"pip install evtok --no-binary evtok -Ccmake.define.EVTOK_CUDA=on ({error})",
            name="evtok._cuda",
        ) from error
    if module.version != version:
        raise MissingBackendError(
            f"evtok._cuda is of version {module.version}, evtok of {version}: install evtok anew",
            name="evtok._cuda",
        )
    return module
