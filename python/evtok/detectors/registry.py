"""Finds a detector by its kind: a module of this package, or one that an installed package brings.

A kind is looked up among names that are known beforehand. A file can ask for one of them, and for nothing else.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from evtok.detectors.interface import Detector
from evtok.errors import ArtefactError
from evtok.tokenizers import artefact

#: The detectors of this package: the kind, and the class in the module of the same name.
BUILT_IN = {
    "deep-svdd": "DeepSVDD",
    "hbos": "HBOS",
    "isolation-forest": "IsolationForest",
    "k-nearest": "KNearestDetector",
    "masked-token": "MaskedTokenDetector",
    "unigram": "UnigramDetector",
    "vqvae": "VQVAE",
}

#: Other packages name theirs in this group of entry points: ``my-kind = "my_package.module:MyDetector"``.
ENTRY_POINTS = "evtok.detectors"


def kinds() -> tuple[str, ...]:
    """Return all kinds that there are."""
    return tuple(sorted({*BUILT_IN, *_brought()}))


def detector_class(kind: str) -> type[Detector]:
    """Return the class of a kind.

    Raises
    ------
    ValueError
        An unknown kind.
    """
    if kind in BUILT_IN:
        module = import_module(f"evtok.detectors.{kind.replace('-', '_')}")
        return getattr(module, BUILT_IN[kind])  # type: ignore[no-any-return]
    brought = _brought()
    if kind not in brought:
        raise ValueError(f"kind: expected a detector ({', '.join(kinds())}), got {kind!r:.80}")
    found: Any = brought[kind].load()
    if not (isinstance(found, type) and issubclass(found, Detector) and kind == found.KIND):
        raise TypeError(f"{brought[kind].value}: expected a Detector of KIND {kind!r}, got {found!r}")
    return found


def load_detector(folder: str | os.PathLike[str]) -> Detector:
    """Read a detector of any kind from its folder; nothing in it is executed.

    Raises
    ------
    ArtefactError
        A missing, altered, hostile or newer artefact, or one that is no detector.
    """
    config, _ = artefact.load(folder)
    kind = config.get("kind")
    if not isinstance(kind, str) or kind not in kinds():
        raise ArtefactError(f"{folder}: expected a detector ({', '.join(kinds())}), got {kind!r:.80}")
    return detector_class(kind).load(folder)


def _brought() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS) if entry.name not in BUILT_IN}
