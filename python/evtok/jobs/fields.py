"""Read the values of a document one by one: each of its type and within its range, or a `ShardError`.

A checksum shows that nobody altered a document by accident; it does not show that evtok wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from evtok.errors import ShardError
from evtok.jobs.documents import only_keys

LARGEST = 2**63 - 1
HASH = re.compile(r"[0-9a-f]{64}")
#: A text that UTF-8 can hold; a JSON document can also hold halves of surrogate pairs.
PLAIN = re.compile(r"[^\0\ud800-\udfff]+")
SHORT_HASH = re.compile(r"[0-9a-f]{32}")


def refuse(name: str, expected: str, value: Any) -> ShardError:
    """Return the error for a value that evtok never writes there."""
    return ShardError(f"{name}: expected {expected}, got {value!r:.80}; evtok did not write this document")


def integer(value: Any, name: str, low: int = 0, high: int = LARGEST) -> int:
    """Return an integer from `low` to `high`; True and False are none."""
    if type(value) is not int or not low <= value <= high:
        raise refuse(name, f"an integer from {low} to {high}", value)
    return value


def text(value: Any, name: str, pattern: re.Pattern[str] | None = None) -> str:
    """Return a text, all of which is of the `pattern`."""
    if not isinstance(value, str) or (pattern is not None and not pattern.fullmatch(value)):
        raise refuse(name, "a text" if pattern is None else f"a text like {pattern.pattern}", value)
    return value


def optional_text(value: Any, name: str, pattern: re.Pattern[str] | None = None) -> str | None:
    """Return a text or None."""
    return None if value is None else text(value, name, pattern)


def boolean(value: Any, name: str) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise refuse(name, "true or false", value)
    return value


def one_of(value: Any, allowed: Collection[str], name: str) -> str:
    """Return one of the `allowed` texts."""
    if not isinstance(value, str) or value not in allowed:
        raise refuse(name, f"one of {', '.join(sorted(allowed))}", value)
    return value


def rows(value: Any, name: str, width: int | None = None) -> list[Any]:
    """Return a list; with `width`, one of lists that have so many items each."""
    if not isinstance(value, list):
        raise refuse(name, "a list", value)
    for row in value if width is not None else ():
        if not isinstance(row, list) or len(row) != width:
            raise refuse(name, f"lists of {width} items", row)
    return value


class Fields:
    """An object of a document with exactly these keys; its methods read one of them each."""

    def __init__(self, content: Any, keys: Collection[str], name: str) -> None:
        self._content, self._name = only_keys(content, keys, name), name

    def __getitem__(self, key: str) -> Any:
        return self._content[key]

    def where(self, key: str) -> str:
        """Name a value for a message."""
        return f"{self._name}: {key}"

    def integer(self, key: str, low: int = 0, high: int = LARGEST) -> int:
        """Read an integer from `low` to `high`."""
        return integer(self[key], self.where(key), low, high)

    def text(self, key: str, pattern: re.Pattern[str] | None = None) -> str:
        """Read a text."""
        return text(self[key], self.where(key), pattern)

    def optional_text(self, key: str, pattern: re.Pattern[str] | None = None) -> str | None:
        """Read a text or null."""
        return optional_text(self[key], self.where(key), pattern)

    def boolean(self, key: str) -> bool:
        """Read true or false."""
        return boolean(self[key], self.where(key))

    def rows(self, key: str, width: int | None = None) -> list[Any]:
        """Read a list."""
        return rows(self[key], self.where(key), width)
