"""Runs a function in a forked child, so that a trial costs no import, and may die, hang or be killed."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """How a child ended: "returned" with a `value`, "raised" with (type, text), "died" of a signal, or "hung"."""

    how: str
    value: Any = None

    @property
    def returned(self) -> bool:
        return self.how == "returned"


class Child:
    """A forked child that runs `function`, whose result JSON can hold.

    The parent must have no threads of its own: it imports, and leaves all work to children.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(write)
            return
        try:
            os.close(self._read)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            answer = _answer(function, arguments)
            with open(write, "wb") as pipe:
                pipe.write(json.dumps(answer).encode())
        finally:
            os._exit(0)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, unless the child has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, timeout: float = 120) -> Outcome:
        """Return how it ended; after `timeout` seconds it is killed."""
        data, hung = b"", False
        end = time.monotonic() + timeout
        while True:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                hung = True
                self.kill()
                break
            part = os.read(self._read, 1 << 16)
            if not part:
                break
            data += part
        os.close(self._read)
        _, status = os.waitpid(self.pid, 0)
        if hung:
            return Outcome("hung")
        if not data:
            return Outcome("died", os.waitstatus_to_exitcode(status))
        return Outcome(*json.loads(data))


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        return "returned", function(*arguments)
    except BaseException as error:
        causes = [type(cause).__name__ for cause in _causes(error)]
        return "raised", [causes, str(error), traceback.format_exc(limit=-4)]


def _causes(error: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__


def run(function: Callable[..., Any], *arguments: Any, timeout: float = 120) -> Outcome:
    """Run `function` in a child to its end."""
    return Child(function, *arguments).wait(timeout)


def require(function: Callable[..., Any], *arguments: Any, timeout: float = 120) -> Any:
    """Run `function` in a child; it must return."""
    outcome = run(function, *arguments, timeout=timeout)
    if not outcome.returned:
        raise RuntimeError(f"{function.__name__}: {outcome}")
    return outcome.value
