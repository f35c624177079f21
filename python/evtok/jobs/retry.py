"""Which failures may pass by themselves, and how often a task is tried again."""

from __future__ import annotations

import errno

#: A task is tried again so often; after that its failure stands.
RETRIES = 3

_FIRST_WAIT = 0.5  # seconds; each further one is twice as long

#: Connections that were lost, servers that are busy. A full disk or a quota does not empty itself, and after an I/O
#: error of a disk nobody knows what it holds, so these end the job, which can be run again.
_PASSING = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETRESET,
    errno.ENETUNREACH,
    errno.ENOLINK,
    errno.ENOTCONN,
    errno.EPIPE,
    errno.EREMOTEIO,
    errno.ESHUTDOWN,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
#: Errors of HTTP clients, which are no `OSError`; aiohttp is not imported for them.
_PASSING_NAMES = {"ClientConnectionError", "ClientPayloadError"}


def may_pass(error: BaseException | None) -> bool:
    """Whether a failure, or what caused it, may be gone when the task is tried again."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, (TimeoutError, ConnectionError)):
            return True
        if _PASSING_NAMES & {kind.__name__ for kind in type(error).__mro__}:
            return True
        if isinstance(error, OSError) and error.errno in _PASSING:
            return True
        error = error.__cause__ or error.__context__
    return False


def wait_before(attempt: int) -> float:
    """Return the seconds to wait before attempt number `attempt`, counted from 1."""
    return _FIRST_WAIT * 2.0 ** (attempt - 2) if attempt > 1 else 0.0
