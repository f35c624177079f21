"""What is known of an input file without reading it, so that a change of it is noticed."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from evtok._optional import require

#: What file systems of fsspec call the tag of a content: HTTP and S3, Google, Azure.
_TAGS = ("etag", "versionid", "version_id", "generation", "content_md5", "md5hash")


def stamp(path: str) -> str:
    """Return a text that changes whenever the file at `path` may have changed; "" when nothing is known.

    Parameters
    ----------
    path : str
        A local path or an fsspec URL, as `open_events` reports it (``file.root:Tree`` names the file alone).

    Notes
    -----
    Of a server, only a tag that it gives to one content counts: an mtime, often in whole seconds, may be kept or
    set by whoever uploads.
    """
    scheme, separator, rest = path.partition("://")
    if separator and scheme not in ("file", "local"):
        return _remote_stamp(path)
    if separator:
        path = rest
    try:
        state = os.stat(path)  # noqa: PTH116  one call for a name that may be anything
    except OSError:
        return ""
    return f"local:{state.st_dev}:{state.st_ino}:{state.st_size}:{state.st_mtime_ns}:{state.st_ctime_ns}"


def on_any_machine(stamp: str) -> str:
    """Return what of a stamp is the same on all machines that see a file.

    They number the devices and, on some file systems, the inodes of shared folders each in its own way. Size and times
    of change come from the server.
    """
    if not stamp.startswith("local:"):
        return stamp
    return ":".join(["local", *stamp.split(":")[3:]])


def agree(planned: str, here: str) -> bool:
    """Whether a stamp is that of the plan, on this machine or another."""
    return on_any_machine(planned) == on_any_machine(here)


def _remote_stamp(path: str) -> str:
    fsspec = require("fsspec", extra="io")
    try:
        filesystem, name = fsspec.core.url_to_fs(path)
        info: dict[str, Any] = filesystem.info(name)
    except (OSError, ValueError, ImportError):
        return ""
    known = {k.lower(): str(v) for k, v in info.items() if k.lower() in _TAGS and v not in (None, "")}
    if not known:
        return ""
    return "remote:" + hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()
