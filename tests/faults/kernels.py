"""Every public function that ends in a kernel, with arguments for as long a call as is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import evtok
from evtok import kinematics, scoring
from evtok.codebook import moving_average
from evtok.detectors import HBOS, KNearestDetector, UnigramDetector
from evtok.event_quantities import EventQuantities
from evtok.tokenizers import (
    BinnedTokenizer,
    CodebookTokenizer,
    EqualFrequency,
    Feature,
    NumericFeature,
    Uniform,
)

Call = Callable[[], Any]


def _rng() -> np.random.Generator:
    return np.random.default_rng(7)


def _rows(n: int, d: int) -> Any:
    return _rng().normal(size=(n, d)).astype(np.float32)


def _events(n: int) -> evtok.Events:
    """About 8 objects an event."""
    rng = _rng()
    offsets = np.r_[0, np.cumsum(rng.poisson(8, n))].astype(np.int64)
    m = int(offsets[-1])
    columns = {"pt": rng.exponential(60, m).astype(np.float32), "eta": rng.normal(0, 1, m).astype(np.float32)}
    return evtok.Events(offsets, columns)


def _binned(binning: Any) -> BinnedTokenizer:
    return BinnedTokenizer(
        {
            "pt": Feature("pt", binning, outside="clip"),
            "eta": Feature("eta", Uniform(30, -4, 4), outside="clip"),
        }
    )


def _segments(n: int) -> tuple[Any, Any]:
    return _rng().random(8 * n).astype(np.float32), np.arange(0, 8 * n + 1, 8)


# Each is given a number of rows (or events, or codes), prepares, and returns the call.


def digitize(n: int) -> Call:
    x, edges = _rows(n, 1)[:, 0], np.sort(_rows(4000, 1)[:, 0])
    return lambda: evtok.digitize(x, edges)


def nearest(metric: str, d: int, k: int = 1, dtype: str = "float32") -> Callable[[int], Call]:
    def prepare(n: int) -> Call:
        codebook = evtok.Codebook(_rows(4096, d).astype(dtype), metric=metric)
        x = np.resize(_rows(1000, d).astype(dtype), (n, d))
        return lambda: codebook.nearest(x, k=k)

    return prepare


def codebook(n: int) -> Call:
    codes = _rows(n, 64)
    return lambda: evtok.Codebook(codes)


def residual(n: int) -> Call:
    quantizer, x = evtok.ResidualCodebook([_rows(1024, 16)] * 4), np.resize(_rows(1000, 16), (n, 16))
    return lambda: quantizer.encode(x)


def fsq(n: int) -> Call:
    quantizer, x = evtok.FSQ((8, 5, 5, 5)), _rows(n, 4)
    return lambda: quantizer.encode(x)


def fit_codebook(n: int) -> Call:
    x = _rows(n, 8)
    return lambda: evtok.fit_codebook(x, 32, max_iterations=10_000, tolerance=0)


def code_sums(n: int) -> Call:
    x, ids = _rows(n, 8), _rng().integers(0, 64, n)
    codes, size, sums = _rows(64, 8), np.ones(64, np.float32), _rows(64, 8)

    def call() -> Any:
        state = codes.copy(), size.copy(), sums.copy()
        moving_average.update(*state, x, ids)
        return state

    return call


def encode(n: int) -> Call:
    tokenizer, events = _binned(Uniform(100, 0, 500)), _events(n)
    return lambda: tokenizer.encode(events)


def decode(n: int) -> Call:
    tokenizer = _binned(Uniform(100, 0, 500))
    tokens = tokenizer.encode(_events(n))
    return lambda: tokenizer.decode(tokens)


def fit(n: int) -> Call:
    events = _events(n)
    return lambda: _binned(EqualFrequency(20, outer=True)).fit(events)


def encode_codes(n: int) -> Call:
    features = {"pt": NumericFeature("pt", "log"), "eta": NumericFeature("eta")}
    tokenizer, events = CodebookTokenizer(features, evtok.Codebook(_rows(4096, 2))), _events(n)
    return lambda: tokenizer.encode(events)


def pt_eta_phi(n: int) -> Call:
    px, py, pz = _rows(n, 3).T.copy()
    return lambda: kinematics.pt_eta_phi(px, py, pz)


def jet_axis(n: int) -> Call:
    (px, py, pz), offsets = _rows(8 * n, 3).T.copy(), np.arange(0, 8 * n + 1, 8)
    return lambda: kinematics.jet_axis(offsets, px, py, pz)


def delta_phi(n: int) -> Call:
    a, b = _rows(n, 2).T.copy()
    return lambda: kinematics.delta_phi(a, b)


def token_nll(n: int) -> Call:
    head, hidden, targets = scoring.TokenHead(_rows(8192, 64)), _rows(n, 64), _rng().integers(0, 8192, n)
    return lambda: head.nll(hidden, targets)


def nll_from_logits(n: int) -> Call:
    logits, targets = _rows(n, 512), _rng().integers(0, 512, n)
    return lambda: scoring.nll_from_logits(logits, targets)


def segment_sum(n: int) -> Call:
    values, offsets = _segments(n)
    return lambda: scoring.segment_sum(values, offsets)


def segment_top_mean(n: int) -> Call:
    values, offsets = _segments(n)
    return lambda: scoring.segment_top_mean(values, offsets, 3)


def mahalanobis(n: int) -> Call:
    classes, x = scoring.GaussianClasses(_rows(16, 32), np.eye(32)), _rows(n, 32)
    return lambda: scoring.mahalanobis(x, classes.means, classes.precision)


def histogram_score(n: int) -> Call:
    x, edges = _rows(n, 8), np.linspace(-2, 2, 41)
    density = np.zeros(42)
    return lambda: scoring.histogram_score(x, [edges] * 8, [density] * 8)


def squared_distance(n: int) -> Call:
    x, centre = _rows(n, 32), np.ones(32, np.float32)
    return lambda: scoring.squared_distance(x, centre)


def neighbour_distance(n: int) -> Call:
    x, reference = np.resize(_rows(1000, 8), (n, 8)), _rows(8192, 8)
    return lambda: scoring.neighbour_distance(x, reference, k=5)


def hbos(n: int) -> Call:
    detector, x = HBOS(("a", "b", "c")).fit(_rows(1000, 3)), _rows(n, 3)
    return lambda: detector.score(x)


def k_nearest(n: int) -> Call:
    detector = KNearestDetector(("a", "b", "c"), reference=5000).fit(_rows(5000, 3))
    x = np.resize(_rows(1000, 3), (n, 3))
    return lambda: detector.score(x)


def unigram(n: int) -> Call:
    tokenizer = _binned(Uniform(100, 0, 500))
    events = _events(n)
    events = events[events.multiplicity > 0]
    detector = UnigramDetector(tokenizer).fit(events[:1000])
    return lambda: detector.score(events)


def quantities(n: int) -> Call:
    compute, events = EventQuantities(("HT", "n", "pt1")), _events(n)
    return lambda: compute(events)


#: What is called, how to prepare it, and the number of rows that take about a second of one core.
KERNELS: dict[str, tuple[Callable[[int], Call], int]] = {
    "digitize": (digitize, 30_000_000),
    "nearest, l2, D = 4 (boxes)": (nearest("l2", 4), 3_000_000),
    "nearest, l2, D = 64 (filter)": (nearest("l2", 64), 300_000),
    "nearest, cosine, D = 16": (nearest("cosine", 16), 1_000_000),
    "nearest, dot, k = 5": (nearest("dot", 16, 5), 200_000),
    "nearest, float64": (nearest("l2", 16, dtype="float64"), 300_000),
    "Codebook": (codebook, 1_000_000),
    "ResidualCodebook.encode": (residual, 500_000),
    "FSQ.encode": (fsq, 20_000_000),
    "fit_codebook": (fit_codebook, 200_000),
    "moving_average.update": (code_sums, 20_000_000),
    "BinnedTokenizer.encode": (encode, 6_000_000),
    "BinnedTokenizer.decode": (decode, 3_000_000),
    "BinnedTokenizer.fit": (fit, 1_000_000),
    "CodebookTokenizer.encode": (encode_codes, 1_000_000),
    "pt_eta_phi": (pt_eta_phi, 20_000_000),
    "jet_axis": (jet_axis, 4_000_000),
    "delta_phi": (delta_phi, 50_000_000),
    "TokenHead.nll": (token_nll, 50_000),
    "nll_from_logits": (nll_from_logits, 500_000),
    "segment_sum": (segment_sum, 20_000_000),
    "segment_top_mean": (segment_top_mean, 5_000_000),
    "mahalanobis": (mahalanobis, 1_000_000),
    "histogram_score": (histogram_score, 8_000_000),
    "squared_distance": (squared_distance, 8_000_000),
    "neighbour_distance": (neighbour_distance, 500_000),
    "HBOS.score": (hbos, 8_000_000),
    "KNearestDetector.score": (k_nearest, 500_000),
    "UnigramDetector.score": (unigram, 3_000_000),
}
