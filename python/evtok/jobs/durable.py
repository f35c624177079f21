"""Files that are complete or absent: temporary name, write, fsync, rename, fsync of the folder.

Everything a job writes goes through an `OutputFolder`, which holds the folder open and works relative to it,
so that no name can lead out of it and no symbolic link is followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from evtok.errors import JobError, ShardError
from evtok.jobs import lock

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_TEMPORARY = re.compile(r"\.[A-Za-z0-9_][A-Za-z0-9._-]{0,199}\.[0-9a-f]{16}\.tmp")


class OutputFolder:
    """A folder that a job writes.

    Parameters
    ----------
    path : path
        May itself be a symbolic link; nothing below it may.
    create : bool
        Make it when it is not there.
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = True) -> None:
        self.path = Path(path)
        self._fd = self._lock = -1
        try:
            if create:
                self.path.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise JobError(f"{self.path}: cannot use it as the folder of a job: {describe(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock and the folder."""
        for fd in (self._lock, self._fd):
            if fd >= 0:
                with contextlib.suppress(
                    OSError
                ):  # nothing was written through it, and it is closed in any case
                    os.close(fd)
        self._fd = self._lock = -1

    def lock(self) -> None:
        """Keep other jobs out until `close`; the kernel releases the lock when this process dies."""
        try:
            self._lock = lock.take(self._fd)
        except BlockingIOError as error:
            raise JobError(
                f"{self.path}: another job is writing this folder; wait for it, or choose another folder"
            ) from error
        except OSError as error:
            raise JobError(f"{self.path}: cannot lock the folder: {describe(error)}") from error

    def is_locked(self) -> bool:
        """Whether a job is writing this folder; takes no lock, and writes nothing."""
        return lock.is_held(self._fd)

    def subfolder(self, name: str, *, create: bool = False) -> OutputFolder:
        """Open a folder directly below; a symbolic link is refused."""
        _check_name(name)
        below = object.__new__(OutputFolder)
        below.path, below._lock = self.path / name, -1
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            if create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=self._fd)
            below._fd = os.open(name, flags, dir_fd=self._fd)
        except OSError as error:
            raise JobError(f"{below.path}: cannot use it as a folder: {describe(error)}") from error
        return below

    def names(self) -> list[str]:
        """Names in the folder, sorted."""
        return sorted(os.listdir(self._fd))  # noqa: PTH208  the folder that is held open

    def create(self, name: str) -> AtomicFile:
        """Begin a file that appears under `name` when it is committed, whole, or never."""
        return AtomicFile(self, name)

    def write(self, name: str, data: bytes) -> None:
        """Write a small file, whole or not at all."""
        with self.create(name) as file:
            file.write(data)
            file.commit()

    def append(self, name: str) -> int:
        """Return a descriptor that appends to a file of this folder, made when it is not there; links are refused."""
        _check_name(name)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            return os.open(name, flags, 0o644, dir_fd=self._fd)
        except OSError as error:
            raise JobError(f"{self.path / name}: cannot open it: {describe(error)}") from error

    def open(self, name: str) -> int:
        """Return a descriptor of a regular file of this folder; links are refused.

        Raises
        ------
        ShardError
            There is no such file, or it is not a regular one, or its name could lead out of the folder.
        """
        if not is_name(name):
            raise ShardError(f"{self.path}: {name!r:.80} is not a name that evtok gives to a file of a job")
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=self._fd)
        except OSError as error:
            raise ShardError(f"{self.path / name}: cannot read it: {describe(error)}") from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise ShardError(f"{self.path / name}: expected a regular file")
        return fd

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a regular file of this folder, or None when there is none."""
        try:
            fd = self.open(name)
        except ShardError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        with open(fd, "rb") as file:  # noqa: PTH123  a descriptor
            return file.read()

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        _check_name(name)
        try:
            os.unlink(name, dir_fd=self._fd)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise JobError(f"{self.path / name}: cannot remove it: {describe(error)}") from error

    def remove_temporaries(self, of: str = "") -> None:
        """Remove what dead jobs left of all files, or of one; only for the holder of the lock."""
        for name in self.temporaries():
            if of and not re.fullmatch(re.escape(f".{of}.") + "[0-9a-f]{16}[.]tmp", name):
                continue
            try:
                os.unlink(name, dir_fd=self._fd)
            except FileNotFoundError:  # a worker that was late has just given it up, or finished it
                continue
            except IsADirectoryError:
                shutil.rmtree(name, dir_fd=self._fd)

    def adopt(self, name: str, make: Callable[[Path], object]) -> None:
        """Make a folder by `make(path)` within one of a temporary name; it gets its own name when it is whole."""
        _check_name(name)
        workplace = self.path / _temporary(name)
        path = workplace / name
        try:
            workplace.mkdir()  # so that whatever `make` leaves when it is killed lies where the next job removes it
            make(path)
            for file in path.iterdir():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
            path.rename(self.path / name)
            os.fsync(self._fd)
        except OSError as error:
            raise JobError(f"{self.path / name}: cannot write the folder: {describe(error)}") from error
        finally:
            shutil.rmtree(workplace, ignore_errors=True)

    def temporaries(self) -> Iterator[str]:
        """Names that only an unfinished `AtomicFile` has."""
        return (name for name in self.names() if _TEMPORARY.fullmatch(name))


class AtomicFile:
    """One file on its way to its final name. Leaving the ``with`` block before `commit` removes every trace.

    Raises
    ------
    JobError
        Disk full, I/O error, quota, a link at the final path: with the errno, the path and the bytes needed.
        The `OSError` is its ``__cause__``.
    """

    def __init__(self, folder: OutputFolder, name: str) -> None:
        _check_name(name)
        self._folder, self._name, self._fd = folder, name, -1
        self.path = folder.path / name
        self.size = 0
        self._temporary = _temporary(name)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(name, dir_fd=folder._fd, follow_symlinks=False).st_mode):
                raise JobError(
                    f"{self.path}: a link or a folder is in the way; remove it, evtok writes regular files"
                )
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._reported("create"):
            self._fd = os.open(self._temporary, flags, 0o644, dir_fd=folder._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, _: TracebackType | None
    ) -> None:
        self.discard()

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`, all of it, however few bytes the system takes at a time."""
        view = memoryview(data).cast("B")
        needed = self.size + len(view)
        with self._reported("write", needed):
            while view:
                taken = os.write(self._fd, view)
                self.size += taken
                view = view[taken:]

    def commit(self) -> None:
        """Make the file durable and give it its final name."""
        with self._reported("fsync"):
            os.fsync(self._fd)
        fd, self._fd = self._fd, -1
        with self._reported("close"):
            os.close(fd)
        with self._reported("rename"):
            directory = self._folder._fd
            os.rename(self._temporary, self._name, src_dir_fd=directory, dst_dir_fd=directory)
        self._temporary = ""
        with self._reported("fsync of the folder", left="The file is there, and a crash may undo that"):
            os.fsync(self._folder._fd)

    @property
    def discarded(self) -> bool:
        """Whether the file was given up."""
        return self._fd < 0

    def discard(self) -> None:
        """Remove the temporary file; after `commit` there is none and this does nothing."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1
        if self._temporary:
            with contextlib.suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._folder._fd)
            self._temporary = ""

    @contextlib.contextmanager
    def _reported(
        self, step: str, needed: int = 0, left: str = "Nothing was left at this path"
    ) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.discard()
            wanted = (
                f"; the file needs at least {needed} bytes, {_free(self._folder._fd)} are free"
                if needed
                else ""
            )
            raise JobError(
                f"{self.path}: {step} failed: {describe(error)}{wanted}. {left}, and what was recorded before "
                "stays valid; remove the cause and run the same command again to go on"
            ) from error


def describe(error: OSError) -> str:
    """Name an error of the system: ``ENOSPC (28): No space left on device``."""
    if error.errno is None:
        return str(error)
    return f"{errno.errorcode.get(error.errno, '?')} ({error.errno}): {error.strerror}"


def _free(fd: int) -> str:
    try:
        state = os.fstatvfs(fd)
    except OSError:
        return "an unknown number"
    return str(state.f_bavail * state.f_frsize)


def _temporary(name: str) -> str:
    return f".{name}.{secrets.token_hex(8)}.tmp"


def is_name(name: str) -> bool:
    """Whether a job may give this name to a file: letters, digits, and within, ``.``, ``_`` and ``-``."""
    return _NAME.fullmatch(name) is not None


def _check_name(name: str) -> None:
    if not is_name(name):
        raise JobError(f"{name!r}: not a name that evtok gives to a file of a job")
