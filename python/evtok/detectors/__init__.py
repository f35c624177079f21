"""Stage 4 and 5: events or tokens to one score an event.

What every detector is lies in interface.py, what it reads of events in inputs.py, and how it is found by its kind in
registry.py. Each kind is one module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evtok.detectors.inputs import FeatureInputs, TokenInputs
from evtok.detectors.interface import Detector
from evtok.detectors.registry import BUILT_IN, detector_class, kinds, load_detector

if TYPE_CHECKING:
    from evtok.detectors.deep_svdd import DeepSVDD
    from evtok.detectors.hbos import HBOS
    from evtok.detectors.isolation_forest import IsolationForest
    from evtok.detectors.k_nearest import KNearestDetector
    from evtok.detectors.masked_token import MaskedTokenDetector
    from evtok.detectors.unigram import UnigramDetector
    from evtok.detectors.vqvae import VQVAE

__all__ = [
    "HBOS",
    "VQVAE",
    "DeepSVDD",
    "Detector",
    "FeatureInputs",
    "IsolationForest",
    "KNearestDetector",
    "MaskedTokenDetector",
    "TokenInputs",
    "UnigramDetector",
    "detector_class",
    "kinds",
    "load_detector",
]

_KIND_OF = {name: kind for kind, name in BUILT_IN.items()}


def __getattr__(name: str) -> Any:
    """Import a detector when it is first used: some need torch, some scikit-learn."""
    if name not in _KIND_OF:
        raise AttributeError(f"module 'evtok.detectors' has no attribute {name!r}")
    return detector_class(_KIND_OF[name])
