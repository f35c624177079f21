"""Each kind of detector with settings so small that a fit takes moments, and events for it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evtok import BinnedTokenizer, Events, Tokens
from evtok.detectors import Detector, detector_class
from evtok.detectors.object_inputs import ObjectInputs
from evtok.tokenizers import Explicit, Feature, NumericFeature, Uniform

N_EVENTS = 384
FEATURES = ("mass", "tau", "count")
#: Needed to fit; where it is missing, tests of the kind skip.
NEEDS = {
    "isolation-forest": "sklearn",
    "masked-token": "lightning",
    "deep-svdd": "lightning",
    "vqvae": "lightning",
}
NETWORK = {"layers": 1, "width": 8, "heads": 2, "feed_forward": 16, "epochs": 1, "batch": 128}
#: By kind, and by what else tells cases apart.
SETTINGS: dict[str, dict[str, Any]] = {
    "deep-svdd": {"hidden": (8,), "outputs": 4, "epochs": 5, "batch": 128},
    "deep-svdd of tokens": {"outputs": 4, **NETWORK},
    "hbos": {"n_bins": 12},
    "isolation-forest": {"n_trees": 12, "subsample": 64},
    "k-nearest": {"k": 3, "reference": 200},
    "masked-token": NETWORK,
    "unigram": {},
    "vqvae": {"n_codes": 16, "code_dims": 2, "hidden": (8,), "epochs": 2, "batch": 128},
}
#: These read tokens, and these the objects of events; the others read rows of features.
OF_TOKENS = ("deep-svdd of tokens", "masked-token", "unigram")
OF_EVENTS = ("vqvae",)
#: Too little trained to know anything.
NOT_LEARNED = ("deep-svdd of tokens", "masked-token")


@dataclass(frozen=True)
class Case:
    """A kind with its data: `train` and `test` are background, `outlier` is one event unlike any."""

    kind: str
    make: Callable[..., Detector]
    train: Any
    test: Any
    outlier: Any

    def fitted(self, **arguments: Any) -> Detector:
        """Fit a new detector."""
        return self.make().fit(self.train, **arguments)


def rows(n: int = N_EVENTS, seed: int = 0) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(seed)
    x = np.stack([random.normal(500, 50, n), random.beta(4, 4, n), random.poisson(5, n)], axis=1)
    return x.astype(np.float32)


def events(n: int = N_EVENTS, seed: int = 0, shift: float = 0.0) -> Events:
    """Return events of 1 to 6 objects."""
    random = np.random.default_rng(seed)
    offsets = np.r_[0, np.cumsum(random.integers(1, 7, n))]
    m = offsets[-1]
    columns = {
        "pt": random.exponential(60, m).astype(np.float32) + 20,
        "eta": random.normal(shift, 0.7, m).astype(np.float32),
        "type": (random.random(m) < 0.2).astype(np.uint8),
    }
    return Events(offsets, columns, types=("j", "b"))


@functools.cache
def tokenizer(n_eta: int = 8) -> BinnedTokenizer:
    features = {
        "pt": Feature("pt", Explicit((0.0, 40.0, 80.0, 200.0))),
        "eta": Feature("eta", Uniform(n_eta, -3.0, 3.0)),
    }
    return BinnedTokenizer(features, types=("j", "b"))


def tokens(n: int = N_EVENTS, seed: int = 0, shift: float = 0.0) -> Tokens:
    return tokenizer().encode(events(n, seed, shift))


@functools.cache
def case(name: str) -> Case:
    """Return a case of `SETTINGS`, or skip the test where a package is missing."""
    kind = name.split()[0]
    if kind in NEEDS:
        pytest.importorskip(NEEDS[kind])
    of: Any = detector_class(kind)
    if name in OF_TOKENS:
        make = functools.partial(of, tokenizer(), **SETTINGS[name])
        return Case(kind, make, tokens(), tokens(100, 1), tokens(1, 2, shift=2.9))
    if name in OF_EVENTS:
        features = {"pt": NumericFeature("pt", "log"), "eta": NumericFeature("eta")}
        make = functools.partial(of, ObjectInputs(features, ("j", "b")), **SETTINGS[name])
        return Case(kind, make, events(), events(100, 1), events(1, 2, shift=9.0))
    make = functools.partial(of, FEATURES, **SETTINGS[name])
    return Case(kind, make, rows(), rows(100, 1), np.float32([[5000, 9, 50]]))


@functools.cache
def fitted(name: str) -> Detector:
    """Return a fitted detector that tests share, and do not change."""
    return case(name).fitted()
