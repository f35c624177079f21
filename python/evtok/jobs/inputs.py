"""What is known of an input file without reading it, so that a change of it is noticed."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from evtok._optional import require


def stamp(path: str) -> str:
    """Return a text that changes whenever the file at `path` may have changed; "" when nothing is known.

    Parameters
    ----------
    path : str
        A local path or an fsspec URL, as `open_events` reports it (``file.root:Tree`` names the file alone).
    """
    if "://" in path:
        return _remote_stamp(path)
    try:
        state = os.stat(path)  # noqa: PTH116  one call for a name that may be anything
    except OSError:
        return ""
    return f"local:{state.st_dev}:{state.st_ino}:{state.st_size}:{state.st_mtime_ns}:{state.st_ctime_ns}"


def _remote_stamp(path: str) -> str:
    fsspec = require("fsspec", extra="io")
    try:
        filesystem, name = fsspec.core.url_to_fs(path)
        info: dict[str, Any] = filesystem.info(name)
    except (OSError, ValueError, ImportError):
        return ""
    known = {
        k: str(v) for k, v in info.items() if k.lower() in ("etag", "mtime", "last_modified", "lastmodified")
    }
    if not known:
        return ""
    return "remote:" + hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()
