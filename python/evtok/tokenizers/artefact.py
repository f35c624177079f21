"""Artefacts on disk: a folder with `config.json` (closed schema, versioned) and `tensors.safetensors`, nothing else.

Nothing in such a folder is ever executed. Reading it checks sizes before it allocates, refuses unknown keys, and
proves the content by its fingerprint.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from evtok import _core
from evtok.errors import ArtefactError

Tensors = Mapping[str, npt.NDArray[Any]]


class Fingerprinted(Protocol):
    """What knows the fingerprint of its artefact."""

    @property
    def fingerprint(self) -> str: ...  # noqa: D102


Made = TypeVar("Made", bound=Fingerprinted)

FORMAT = "evtok-artefact"
FORMAT_VERSION = 1

CONFIG = "config.json"
TENSORS = "tensors.safetensors"

_MAX_CONFIG_BYTES = 4 << 20
_MAX_TENSOR_BYTES = 8 << 30


def fingerprint(config: Mapping[str, Any], tensors: Tensors) -> str:
    """Return the sha256 (hex) over what decides the tokens: the config as canonical JSON, and every tensor's bytes."""
    digest = hashlib.sha256(canonical_json(config))
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        little = value.astype(value.dtype.newbyteorder("<"), copy=False)
        digest.update(f"\0{name}\0{little.dtype.str}\0{little.shape}\0".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: the same bytes for the same content."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def save(folder: str | os.PathLike[str], config: Mapping[str, Any], tensors: Tensors) -> str:
    """Write an artefact as a new folder, whole or not at all; returns its fingerprint.

    Raises
    ------
    ArtefactError
        The folder exists and is not an artefact, and nothing but one: nothing of somebody else's is replaced. Or the
        content is larger than `load` would read.
    """
    from safetensors.numpy import save as to_bytes

    target = Path(os.path.realpath(folder))  # behind a link, so that the link stays
    mark = fingerprint(config, tensors)
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "numerics_version": _core.numerics_version,
        "evtok_version": _core.version,
        "fingerprint": mark,
        "config": config,
    }
    content = {
        TENSORS: to_bytes({name: np.ascontiguousarray(value) for name, value in tensors.items()}),
        CONFIG: json.dumps(document, indent=2, allow_nan=False).encode() + b"\n",
    }
    for name, limit in ((TENSORS, _MAX_TENSOR_BYTES), (CONFIG, _MAX_CONFIG_BYTES)):
        if len(content[name]) > limit:
            raise ArtefactError(
                f"{target}: {name} would have {len(content[name])} bytes, and at most {limit} are read; use fewer or "
                "shorter features, types and edges"
            )
    _require_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as workplace:
        new = Path(workplace) / "new"
        new.mkdir()
        for name, data in content.items():
            _write(new / name, data)
        new.chmod(0o755)
        _fsync_folder(new)
        _put_in_place(new, target)
    _fsync_folder(target.parent)
    return mark


def _require_replaceable(target: Path) -> None:
    """Refuse a folder that holds anything but an artefact; many tools write a `config.json` too."""
    if not target.exists():
        return
    try:
        mine = (
            sorted(entry.name for entry in target.iterdir()) == sorted((CONFIG, TENSORS))
            and (target / CONFIG).is_file()  # a pipe would be waited for
            and (target / CONFIG).stat().st_size <= _MAX_CONFIG_BYTES
            and json.loads((target / CONFIG).read_bytes()).get("format") == FORMAT
        )
    except (OSError, ValueError, AttributeError, RecursionError):
        mine = False
    if not mine:
        raise ArtefactError(
            f"{target}: exists and is not an evtok artefact alone; name another folder, or move it away"
        )


def _put_in_place(new: Path, target: Path) -> None:
    """Rename `new` to `target` and remove what was there; after an error, `target` is what it was."""
    if not target.exists():
        new.rename(target)
        return
    old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-old-"))
    try:
        target.rename(old)  # onto an empty folder
    except OSError:
        old.rmdir()
        raise
    try:
        new.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _fsync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load(folder: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read an artefact and prove it by its fingerprint.

    Returns
    -------
    config : dict
    tensors : dict of arrays

    Raises
    ------
    ArtefactError
        Missing, too large, not JSON, unknown keys, another format or numerics version, or an altered content.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = Path(folder)
    document = _read_config(path / CONFIG)
    tensor_file = path / TENSORS
    if not tensor_file.is_file():
        raise ArtefactError(f"{tensor_file}: missing")
    if tensor_file.stat().st_size > _MAX_TENSOR_BYTES:
        raise ArtefactError(f"{tensor_file}: larger than {_MAX_TENSOR_BYTES} bytes")
    try:
        tensors = load_file(tensor_file)
    except (SafetensorError, AttributeError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise ArtefactError(f"{tensor_file}: not a valid safetensors file: {error}") from error
    for name, value in tensors.items():
        if value.dtype.kind == "f" and np.isnan(value).any():
            raise ArtefactError(f"{tensor_file}: tensor {name!r} holds NaN")
    config = document["config"]
    try:
        found = fingerprint(config, tensors)
    except (ValueError, RecursionError) as error:  # numbers that are no JSON, such as 1e999
        raise ArtefactError(f"{path / CONFIG}: not valid JSON: {error}") from error
    if found != document["fingerprint"]:
        raise ArtefactError(
            f"{path}: the content was altered: config.json promises fingerprint {str(document['fingerprint'])[:16]}…, "
            f"the content has {found[:16]}…"
        )
    return config, tensors


def load_as(
    folder: str | os.PathLike[str],
    kind: str,
    make: Callable[[dict[str, Any], dict[str, npt.NDArray[Any]]], Made],
) -> Made:
    """Read an artefact of one kind, and prove that `make`, given its config and tensors, made all of it.

    Raises
    ------
    ArtefactError
        See `load`; or another kind, or content that `make` refuses or leaves out.
    """
    config, tensors = load(folder)
    if config.get("kind") != kind:
        raise ArtefactError(f"{folder}: expected an artefact of kind {kind!r}, got {config.get('kind')!r}")
    try:
        made = make(config, tensors)
    except KeyError as error:
        raise ArtefactError(f"{folder}: {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise ArtefactError(f"{folder}: {error}") from error
    if made.fingerprint != fingerprint(config, tensors):
        raise ArtefactError(f"{folder}: holds keys, numbers or tensors that are not those of {made!r}")
    return made


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ArtefactError(f"{path}: missing; expected an artefact folder with {CONFIG} and {TENSORS}")
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise ArtefactError(f"{path}: larger than {_MAX_CONFIG_BYTES} bytes")
    try:
        document = json.loads(path.read_bytes(), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"{path}: not valid JSON: {error}") from error
    wanted = {"format", "format_version", "numerics_version", "evtok_version", "fingerprint", "config"}
    if not isinstance(document, dict):
        raise ArtefactError(f"{path}: expected a JSON object")
    closed(document, wanted, str(path))
    if document["format"] != FORMAT or document["format_version"] != FORMAT_VERSION:
        raise ArtefactError(
            f"{path}: format {document['format']!r} version {document['format_version']!r}; this evtok reads "
            f"{FORMAT!r} version {FORMAT_VERSION}"
        )
    if document["numerics_version"] != _core.numerics_version:
        raise ArtefactError(
            f"{path}: made with numerics version {document['numerics_version']!r}; this evtok has "
            f"{_core.numerics_version}, and its tokens could differ"
        )
    if not isinstance(document["config"], dict):
        raise ArtefactError(f"{path}: config: expected a JSON object")
    return document


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result


def closed(config: Mapping[str, Any], wanted: set[str], where: str) -> None:
    """Refuse keys that are unknown or missing."""
    unknown, missing = sorted(set(config) - wanted), sorted(wanted - set(config))
    if unknown:
        raise ArtefactError(f"{where}: unknown key {unknown[0]!r}; expected {', '.join(sorted(wanted))}")
    if missing:
        raise ArtefactError(f"{where}: missing key {missing[0]!r}")
