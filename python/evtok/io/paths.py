"""Which files a user means: paths, wildcards, URLs, ``file.root:Tree``, lists of these, ``{path: tree}``.

Out: `Location`s in a deterministic order, the user's for lists and sorted for wildcards.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from evtok._optional import require
from evtok.errors import InputFileError
from evtok.io.faults import reading

#: URL schemes that may be opened. A name found in a file never becomes a path.
SCHEMES = (
    "file",
    "http",
    "https",
    "root",
    "roots",
    "s3",
    "gs",
    "gcs",
    "abfs",
    "hdfs",
    "memory",
    "simplecache",
    "filecache",
)

#: Links that may stand before ``::`` without an address of their own.
_CACHES = ("simplecache", "filecache")

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://|^([A-Za-z][A-Za-z0-9+.-]*)::")
#: Of presigned URLs of S3, Google, Azure and others, tokens such as private_token, and keys.
_SIGNATURE = re.compile(
    r"&((?:[a-z0-9]+[-_])*(?:signature|credential|token)|sig|(?:access|auth|id)token|jwt|authz?"
    r"|authorization|bearer|(?:api_?|access_?|account_?|secret_?)?key|(?:client_?)?secret|pass(?:word|wd)?|pwd)=",
    re.IGNORECASE,
)
_TREE = re.compile(r"^(?P<path>.+\.root):(?P<tree>[^:]+)$")


@dataclass(frozen=True)
class Location:
    """One file: a local path or URL, and the tree that was asked for, if any."""

    path: str
    tree: str | None = None

    def __str__(self) -> str:
        return f"{self.path}:{self.tree}" if self.tree else self.path

    @property
    def is_url(self) -> bool:
        """Whether fsspec opens it."""
        return _SCHEME.match(self.path) is not None

    def size(self) -> int:
        """Bytes of the file."""
        with reading(self.path, "its size", "check the path"):
            if self.is_url:
                filesystem, path = require("fsspec", extra="io").core.url_to_fs(self.path)
                return int(filesystem.size(path))
            return Path(self.path).stat().st_size

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open for reading bytes; a URL through fsspec."""
        with self.handle() as file:
            yield file

    def handle(self) -> Any:
        """Return an open binary file that the caller closes."""
        with reading(self.path, "it", "check the path"):
            if self.is_url:
                return require("fsspec", extra="io").open(self.path, "rb").open()
            return Path(self.path).open("rb")


def expand(paths: Any) -> list[Location]:
    """List the files that `paths` means.

    Parameters
    ----------
    paths : str, path, list of these, or mapping of path to tree
        A path may be a URL, hold wildcards, and end in ``:Tree`` after ``.root``. A `Location` is taken as it is.

    Raises
    ------
    InputFileError
        Nothing given, a wildcard without a match, a folder, a URL scheme that is not allowed, a URL with a password, a
        missing file, or one file twice: its events would count twice.
    """
    found = _expand(paths)
    if not found:
        raise InputFileError("paths: no file given")
    seen: dict[tuple[str, str | None], Location] = {}
    for one in found:
        same = one.path if one.is_url else os.path.realpath(one.path)
        first = seen.setdefault((same, one.tree), one)
        if first is not one:
            raise InputFileError(f"paths: {first} and {one} are the same file; give it once")
    return found


def _expand(paths: Any) -> list[Location]:
    if isinstance(paths, Location):
        return [_as_it_is(paths)]
    if isinstance(paths, Mapping):
        return [one for path, tree in paths.items() for one in _expand_one(path, tree)]
    if isinstance(paths, (str, os.PathLike)):
        return _expand_one(paths, None)
    if isinstance(paths, Iterable):
        return [one for path in paths for one in _expand(path)]
    raise InputFileError(f"paths: expected a path, a list of paths or a dict, got {type(paths).__name__}")


def _expand_one(path: str | os.PathLike[str], tree: Any) -> list[Location]:
    text = os.fspath(path)
    if not text or "\0" in text:
        raise InputFileError(f"paths: expected a path, got {text!r}")
    if tree is not None and not isinstance(tree, str):
        raise InputFileError(f"{text}: expected the name of a tree, got {tree!r}")
    match = _TREE.match(text)
    if tree is None and match and not Path(text).exists():
        text, tree = match["path"], match["tree"]
    if text.lower().startswith("file://") and "::" not in text:  # by the rules of local paths
        text = text[len("file://") :]
    elif _SCHEME.match(text):
        return [Location(one, tree) for one in _expand_url(text)]
    return [Location(one, tree) for one in _expand_local(text)]


def _as_it_is(one: Location) -> Location:
    """Check a file that a document names: its name has no wildcards and no ``~``, whatever it looks like."""
    if one.is_url:
        _check_links(one.path)
    elif not Path(one.path).is_file():
        raise InputFileError(f"{one.path}: no such file; the current folder is {Path.cwd()}")
    return one


def _expand_local(text: str) -> list[str]:
    text = os.path.expanduser(text)  # noqa: PTH111  (paths stay as the user wrote them)
    path = Path(text)
    if path.is_dir():
        raise InputFileError(f"{text}: is a folder; give its files, for example '{path / '*.root'}'")
    if not path.exists():
        found = sorted(one for one in glob.glob(text, recursive=True) if Path(one).is_file())  # noqa: PTH207
        if found:
            return found
        kind = "no file matches this pattern" if glob.has_magic(text) else "no such file"
        raise InputFileError(f"{text}: {kind}; the current folder is {Path.cwd()}")
    if not path.is_file():
        raise InputFileError(f"{text}: not a regular file (a device, pipe or socket)")
    return [text]


def _check_links(text: str) -> str:
    """Refuse a URL of which any link of its ``::`` chain is not allowed; returns the scheme of the last one."""
    *caches, last = text.split("::")
    for link in caches:
        if link.lower() not in _CACHES:
            raise InputFileError(
                f"{text}: {link!r} before '::' is not allowed; allowed: {', '.join(_CACHES)}"
            )
    scheme, separator, _ = last.partition("://")
    scheme = scheme.lower()
    if scheme not in SCHEMES:
        what = f"URL scheme {scheme!r}" if separator else f"{last!r} after '::'"
        raise InputFileError(f"{text}: {what} is not allowed; allowed: {', '.join(SCHEMES)}")
    if scheme in (*_CACHES, "file"):
        raise InputFileError(f"{text}: {last!r} is not remote; give the path of a local file alone")
    _check_secrets(last, scheme)
    return scheme


def _check_secrets(url: str, scheme: str) -> None:
    """Refuse a password in a URL, and warn of a signature: manifests, logs and reports name the inputs of a job."""
    address = url.partition("://")[2].partition("?")[0]
    user, at, host = address.partition("/")[0].rpartition("@")
    if at and (":" in user or scheme.startswith("http")):
        raise InputFileError(
            f"{scheme}://***@{host}: a user and a password in a URL would be written into manifests, logs and reports; "
            "give them to the library that opens the URL, by its settings or ~/.netrc"
        )
    signed = secret_in(url)
    if signed:
        warnings.warn(
            f"{scheme}://{host}: the URL has {signed}=, which may give access to whoever reads it, and manifests, "
            "logs and reports name the inputs of a job: keep them to yourself",
            stacklevel=2,
        )


def secret_in(url: str) -> str:
    """Return the name of a part of a URL's query that gives access to whoever knows it, such as a signature; or ""."""
    found = _SIGNATURE.search("&" + unquote(url.partition("?")[2]).replace(";", "&"))
    return found[1] if found else ""


def _expand_url(text: str) -> list[str]:
    scheme = _check_links(text)
    if not glob.has_magic(text.split("?", 1)[0] if scheme.startswith("http") else text):
        return [text]
    with reading(text, "the files that match", "check the URL"):
        filesystem, pattern = require("fsspec", extra="io").core.url_to_fs(text)
        found = sorted(filesystem.unstrip_protocol(one) for one in filesystem.glob(pattern))
    if not found:
        raise InputFileError(f"{text}: no file matches this pattern")
    return found
