"""Say for which GPUs a module of CUDA was compiled: one line each, such as ``elf sm_90`` or ``ptx compute_90``.

Usage: python tools/cuda_architectures.py MODULE.so [EXPECTED...]
With EXPECTED, such as sm_80 sm_90 compute_90, it exits with 1 where one is missing. It reads what cuobjdump
reads, which nvcc's own package does not bring: the headers of the fat binaries in the file.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

_MAGIC = struct.pack("<I", 0xBA55ED50)
_KINDS = {1: ("ptx", "compute"), 2: ("elf", "sm")}


def architectures(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield kind ("ptx" or "elf") and name of each entry of each fat binary.

    A fat binary is a header (magic, version, its own size, size of the entries) and its entries, each with a header of
    its own: kind and version of two bytes, size of the header, size of what follows, then at byte 28 the architecture.
    """
    start = content.find(_MAGIC)
    while start >= 0:
        header, size = struct.unpack_from("<HQ", content, start + 6)
        at, end = start + header, start + header + size
        while at + 32 <= end <= len(content):
            kind, _, own, following = struct.unpack_from("<HHIQ", content, at)
            (number,) = struct.unpack_from("<I", content, at + 28)
            if kind not in _KINDS or own < 32:
                break
            name, prefix = _KINDS[kind]
            yield name, f"{prefix}_{number}"
            at += own + following
        start = content.find(_MAGIC, start + 4)


def main() -> int:
    """Print what the module has, and what it lacks."""
    module, *expected = sys.argv[1:]
    found = set(architectures(Path(module).read_bytes()))
    for kind, name in sorted(found):
        print(kind, name)
    missing = set(expected) - {name for _, name in found}
    if missing:
        print(f"{module}: not compiled for {', '.join(sorted(missing))}", file=sys.stderr)
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())
