"""What a file is, from its first bytes; whatever cannot be read is named, with what to do about it."""

from __future__ import annotations

import re
from typing import NoReturn

from evtok.errors import InputFileError
from evtok.io.faults import reading
from evtok.io.paths import Location

#: What `open_events` reads, for messages.
SUPPORTED = (
    "ROOT (TTree, RNTuple: NanoAOD, PHYSLITE, Delphes), Parquet, HDF5 (LHCO, JetNet, padded arrays), npy "
    "(padded "
    "arrays) and Dark Machines CSV"
)

_READABLE = ((b"root", "root"), (b"\x89HDF\r\n\x1a\n", "hdf5"), (b"PAR1", "parquet"), (b"\x93NUMPY", "npy"))

_REFUSED = (
    (b"PARE", "an encrypted Parquet file", "decrypt it first"),
    (
        b"PK\x03\x04",
        "a zip archive (npz, a saved torch model, ...)",
        "for npz save each array with numpy.save",
    ),
    (b"\x1f\x8b", "gzip-compressed", "decompress it first"),
    (b"BZh", "bzip2-compressed", "decompress it first"),
    (b"\xfd7zXZ\0", "xz-compressed", "decompress it first"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "decompress it first"),
    (b"ARROW1", "an Arrow IPC file", "shards of tokens are opened with evtok.TokenDataset"),
    (b"SQLite format 3\0", "an SQLite database", "export its tables to Parquet"),
    (b"<LesHouchesEvents", "an LHE file of generated events", "shower it, then convert to ROOT or Parquet"),
    (
        b"HepMC::",
        "a HepMC file of generated events",
        "convert it to ROOT or Parquet, for example with Delphes",
    ),
)

_PICKLE = re.compile(rb"^\x80[\x02-\x05]")
_HEAD = 4096


def sniff(location: Location) -> str:
    """Name the format of a file: ``root``, ``hdf5``, ``parquet``, ``npy`` or ``darkmachines``.

    Raises
    ------
    InputFileError
        An empty or unsupported file, saying what it is.
    """
    with reading(location.path, "its first bytes", "check the path"), location.open() as file:
        head = file.read(_HEAD)
    if not head:
        raise InputFileError(f"{location.path}: the file is empty (0 bytes); fetch it again, or leave it out")
    for magic, kind in _READABLE:
        if head.startswith(magic):
            return kind
    from evtok.io.darkmachines import looks_like  # here, because it needs the schemas, which need the formats

    if looks_like(head):
        return "darkmachines"
    return _refuse(location.path, head)


def _refuse(path: str, head: bytes) -> NoReturn:
    stripped = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, what, remedy in _REFUSED:
        if head.startswith(magic) or stripped.startswith(magic):
            raise InputFileError(f"{path}: {what}; {remedy}. Supported: {SUPPORTED}")
    if _PICKLE.match(head):
        raise InputFileError(
            f"{path}: a Python pickle, which is never loaded because it can run code; save the arrays as "
            "npy or "
            f"Parquet. Supported: {SUPPORTED}"
        )
    for magic, kind in _READABLE:
        if magic.startswith(head):
            raise InputFileError(
                f"{path}: only {len(head)} bytes of what may be a {kind} file; it is truncated"
            )
    if b"\0" not in head and all(byte >= 32 or byte in b"\t\r\n\f" for byte in head):
        first = stripped.splitlines()[0][:60].decode("utf-8", "replace") if stripped else ""
        raise InputFileError(
            f"{path}: text that begins with {first!r}, not Dark Machines CSV. Supported: {SUPPORTED}"
        )
    raise InputFileError(
        f"{path}: not a format that evtok knows (first bytes {head[:8]!r}). Supported: {SUPPORTED}"
    )
