"""Optional packages are imported where they are used, and their absence names the extra to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from evtok.errors import MissingBackendError


def require(module: str, *, extra: str) -> ModuleType:
    """Import `module`, or say which extra of evtok brings it.

    Parameters
    ----------
    module : str
        Dotted name, for example ``"pyarrow.parquet"``.
    extra : str
        The extra of evtok that installs it, for example ``"io"``.

    Raises
    ------
    MissingBackendError
        When the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        root = module.split(".", 1)[0]
        if error.name is None or error.name.split(".", 1)[0] != root:
            raise
        raise MissingBackendError(
            f"{root} is not installed, and this call needs it: pip install 'evtok[{extra}]'", name=root
        ) from error
