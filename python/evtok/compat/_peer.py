"""The peer itself, for arguments that evtok has no kernel for."""

from __future__ import annotations

import importlib
from typing import Any

from evtok import _backend
from evtok.errors import MissingBackendError


def peer(module: str, package: str) -> Any:
    """Import the peer, which does the work of this call, as `evtok.last_backend` will say.

    Parameters
    ----------
    module : str
        Dotted name of the module that holds the call, for example ``"scipy.cluster.vq"``.
    package : str
        What pip calls the package.

    Raises
    ------
    MissingBackendError
        The package is not installed.
    """
    root = module.split(".", 1)[0]
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".", 1)[0] != root:
            raise
        raise MissingBackendError(
            f"{root} is not installed, and evtok has no kernel for these arguments, which it would hand to "
            f"{module}: pip install {package}",
            name=root,
        ) from error
    _backend.used_peer(root)
    return found
