"""The lock of a job folder: one coordinator writes; whether there is one can be asked without disturbing it.

The lock is ``flock``, which the kernel releases when its process dies. Asking for it would mean taking it for a moment,
and a job that starts in this moment would be refused. So the holder has a record lock on the same file as well: the
kernel tells about these without one being taken, to readers too, and over NFS.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct

NAME = ".evtok-lock"
_FLOCK = "hh4xqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, pid
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def take(directory: int) -> int:
    """Lock the folder that is open as `directory`; returns a descriptor, and closing it releases the lock.

    Raises
    ------
    BlockingIOError
        Somebody else has the lock.
    OSError
        The system cannot lock there.
    """
    fd = os.open(NAME, os.O_RDWR | os.O_CREAT | _FLAGS, 0o644, dir_fd=directory)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):  # the latter is what some servers say
            raise BlockingIOError(error.errno, error.strerror) from error
        raise
    with contextlib.suppress(OSError):  # a file system without such locks: nobody can ask then
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_WRLCK))
    return fd


def is_held(directory: int) -> bool:
    """Whether somebody holds the lock of a folder; False too where the system does not say."""
    try:
        fd = os.open(NAME, os.O_RDONLY | _FLAGS, dir_fd=directory)
    except OSError:
        return False
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _whole_file(fcntl.F_WRLCK))
    except OSError:
        return False
    finally:
        os.close(fd)
    return int(struct.unpack(_FLOCK, answer)[0]) != fcntl.F_UNLCK


def _whole_file(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)
