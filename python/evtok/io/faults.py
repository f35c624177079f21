"""Errors of the reading libraries become `InputFileError`, with the file, the place in it, and a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from evtok.errors import EvtokError, InputFileError, MissingBackendError


@contextmanager
def reading(
    path: str,
    what: str,
    remedy: str = "the file is truncated or corrupt: compare its size, or fetch it again",
) -> Iterator[None]:
    """Turn whatever a library raises inside into one `InputFileError` that names `path` and `what`.

    The libraries raise nearly anything on a broken file (KeyError, AssertionError, zlib.error, struct.error,
    ...), and a corrupt length ends in a MemoryError; so every exception is caught, except those of evtok and
    Ctrl-C.
    """
    try:
        yield
    except EvtokError:
        raise
    except ImportError as error:  # a codec that the library needs for this file
        raise MissingBackendError(f"{path}: {what} needs a package that is not installed: {error}") from error
    except FileNotFoundError as error:
        raise InputFileError(f"{path}: no such file") from error
    except PermissionError as error:
        raise InputFileError(f"{path}: permission denied") from error
    except Exception as error:
        text = " ".join(str(error).split())
        short = text if len(text) <= 200 else text[:200] + "..."
        raise InputFileError(
            f"{path}: cannot read {what} ({type(error).__name__}: {short}); {remedy}"
        ) from error
