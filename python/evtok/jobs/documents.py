"""JSON documents of a job: written in one canonical way, each carrying the checksum of its own content.

A flipped bit in a record would let a flipped bit in a shard pass, so a document is trusted only when its
bytes are exactly those that its content is written as, and its checksum is that of its content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from evtok.errors import ShardError

CHECKSUM = "checksum"


def canonical(content: Mapping[str, Any]) -> bytes:
    """Write `content` as canonical JSON: keys sorted, ASCII, no NaN, one newline at the end."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, allow_nan=False, indent=1)
    return text.encode("ascii") + b"\n"


def digest(content: Mapping[str, Any]) -> str:
    """Return the sha256 of the canonical form of `content`, in hex."""
    return hashlib.sha256(canonical(content)).hexdigest()


def seal(content: Mapping[str, Any]) -> bytes:
    """Write `content` with its checksum."""
    return canonical({**content, CHECKSUM: digest(content)})


def unseal(data: bytes, name: str) -> dict[str, Any]:
    """Read what `seal` wrote.

    Raises
    ------
    ShardError
        Anything else than the very bytes that `seal` writes.
    """
    try:
        content = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise ShardError(
            f"{name}: expected a JSON document of evtok, got bytes that are not ({error})"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get(CHECKSUM), str):
        raise ShardError(
            f"{name}: expected a JSON document with a {CHECKSUM}; this is not a document of evtok"
        )
    stated = content.pop(CHECKSUM)
    try:
        intact = stated == digest(content) and seal(content) == data
    except (ValueError, RecursionError):  # NaN, which JSON does not have and `seal` never writes
        intact = False
    if not intact:
        raise ShardError(
            f"{name}: its checksum does not match its content; the file was altered after evtok wrote it"
        )
    return content


def only_keys(content: Any, keys: Collection[str], name: str) -> dict[str, Any]:
    """Return `content` if it is an object with exactly these keys; unknown and missing keys are refused."""
    if not isinstance(content, dict):
        raise ShardError(f"{name}: expected an object, got {type(content).__name__}")
    missing, unknown = sorted(set(keys) - set(content)), sorted(set(content) - set(keys))
    if missing or unknown:
        raise ShardError(
            f"{name}: missing keys {missing}, unknown keys {unknown}; was it written by another evtok?"
        )
    return content
