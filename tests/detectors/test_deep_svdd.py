"""Deep SVDD on features and on tokens: it learns, its backends agree, its centre is that of the method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from evtok import Tokens  # noqa: E402
from evtok.detectors import DeepSVDD, load_detector  # noqa: E402
from evtok.detectors.deep_svdd_state import FARTHEST, Moments  # noqa: E402
from evtok.errors import ArtefactError, InvalidEventsError  # noqa: E402
from evtok.tokenizers import BinnedTokenizer, EqualFrequency, Feature, artefact  # noqa: E402

SETTINGS: dict[str, Any] = {"hidden": (16, 8), "outputs": 4, "epochs": 10, "batch": 64, "device": "cpu"}
ENCODER: dict[str, Any] = {
    "layers": 1,
    "width": 16,
    "heads": 2,
    "feed_forward": 16,
    "outputs": 4,
    "device": "cpu",
}


def background(n: int = 600, seed: int = 0) -> np.ndarray:
    """Rows on a curved sheet in a scale of their own."""
    t = np.random.default_rng(seed).normal(size=(n, 2))
    rows = np.stack([t[:, 0], t[:, 1], t[:, 0] * t[:, 1], t.sum(1)], axis=1)
    return (rows * [1, 10, 100, 1000] + [0, 50, 0, 1e4]).astype(np.float32)


@pytest.fixture(scope="module")
def detector() -> DeepSVDD:
    return DeepSVDD(("a", "b", "c", "d"), **SETTINGS).fit(background(), background(200, 1))


def test_it_learns_what_background_looks_like(detector: DeepSVDD) -> None:
    assert detector.history is not None
    losses = [epoch.train_loss for epoch in detector.history.epochs]
    assert losses[-1] < 0.5 * losses[0]
    expected = detector.score(background(200, 2))
    far = detector.score(background(200, 2) + np.float32([8, 80, 800, -8000]))
    assert np.median(far) > np.quantile(expected, 0.95)


def test_the_score_is_the_squared_distance_of_a_readable_network(detector: DeepSVDD) -> None:
    _, tensors = detector.to_artefact()
    x = (background(50, 3).astype(np.float64) - tensors["mean"]) / tensors["scale"]
    for k in range(3):
        x = x @ tensors[f"network.{k}.weight"].astype(np.float64).T
        x = np.where((x > 0) | (k == 2), x, 0.01 * x)
    expected = ((x - tensors["centre"]) ** 2).sum(axis=1)
    for backend in ("native", "torch"):
        np.testing.assert_allclose(detector.score(background(50, 3), backend=backend), expected, rtol=1e-4)  # type: ignore[arg-type]


def test_p12_the_native_bits_do_not_depend_on_the_batch(detector: DeepSVDD) -> None:
    rows = background(100, 4)
    whole = detector.score(rows, threads=1)
    np.testing.assert_array_equal(np.concatenate([detector.score(row[None]) for row in rows]), whole)
    np.testing.assert_array_equal(detector.score(rows, threads=3), whole)


def test_the_centre_is_the_mean_of_the_first_pass_away_from_zero(detector: DeepSVDD) -> None:
    from evtok.detectors import deep_svdd_torch

    module = deep_svdd_torch.make(detector._shapes, detector.network, "mean", detector.training.seed)
    rows = background()
    with torch.no_grad():
        mean = (
            module(torch.from_numpy(Moments.of(rows, np.ones(len(rows))).standardised(rows))).mean(0).numpy()
        )
    centre = detector.to_artefact()[1]["centre"]
    assert (np.abs(centre) >= np.float32(0.1)).all()
    np.testing.assert_allclose(centre, np.where(np.abs(mean) < 0.1, np.copysign(0.1, mean), mean), rtol=1e-5)


def test_moments_are_weighted_and_far_features_are_cut() -> None:
    rows = np.array([[0.0, 5.0], [1.0, 5.0]], np.float32)
    moments = Moments.of(rows, np.array([0.5, 1.5]))
    np.testing.assert_allclose(moments.mean, [0.75, 5.0])
    np.testing.assert_allclose(moments.scale, [np.sqrt(0.1875), 1.0])
    far = moments.standardised(np.array([[3e38, -3e38]], np.float32))
    np.testing.assert_array_equal(far, [[FARTHEST, -FARTHEST]])


def test_a_constant_feature_has_the_scale_1_whatever_its_weights() -> None:
    """Its weighted mean may be rounded, and then it is not quite the feature."""
    for seed in range(20):
        rows = np.full((1000, 1), 7.7, np.float32)
        weights = np.random.default_rng(seed).random(1000)
        assert Moments.of(rows, weights).scale.tolist() == [1.0]


def test_the_largest_numbers_have_a_score(detector: DeepSVDD) -> None:
    rows = np.full((1, 4), np.finfo(np.float32).max, np.float32)
    for backend in ("native", "torch"):
        assert np.isfinite(detector.score(rows, backend=backend)).all()  # type: ignore[arg-type]


def test_weights_that_could_overflow_are_refused(detector: DeepSVDD, tmp_path: Path) -> None:
    config, tensors = detector.to_artefact()
    tensors["network.1.weight"] = np.full_like(tensors["network.1.weight"], 1e33)
    artefact.save(tmp_path / "model", config, tensors)
    with pytest.raises(ArtefactError, match=r"network\.1\.weight: its numbers are too large"):
        load_detector(tmp_path / "model")


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden": "64"},
        {"hidden": (0,)},
        {"hidden": 5},
        {"outputs": 1 << 20},
        {"pooling": "max"},
        {"width": 9},
    ],
)
def test_settings_are_checked(settings: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(settings))):
        DeepSVDD(("a",), **settings)


def test_an_interrupted_fit_goes_on(detector: DeepSVDD, tmp_path: Path) -> None:
    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "epoch" and event["epoch"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        DeepSVDD(("a", "b", "c", "d"), **SETTINGS).fit(
            background(), background(200, 1), checkpoints=tmp_path, progress=stop
        )
    resumed = DeepSVDD(("a", "b", "c", "d"), **SETTINGS)
    resumed.fit(background(), background(200, 1), checkpoints=tmp_path)
    assert resumed.fingerprint == detector.fingerprint


# ---- tokens ----------------------------------------------------------------------------------------------------------


def tokenizer() -> BinnedTokenizer:
    from evtok import Events

    pt = np.random.default_rng(0).exponential(50, 400).astype(np.float32)
    events = Events(np.arange(0, 401, 4), {"pt": pt})
    return BinnedTokenizer({"pt": Feature("pt", EqualFrequency(12))}, specials=("pad",)).fit(events)


def tokens_of(made: BinnedTokenizer, low: int, high: int, n: int = 120, seed: int = 0) -> Tokens:
    numbers = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(numbers.integers(2, 6, n))])
    ids = numbers.integers(low, high, offsets[-1]).astype(np.int32)
    return Tokens(ids, offsets, fingerprint=made.fingerprint, vocab_size=made.vocab_size)


@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_tokens_go_through_an_encoder(pooling: str, tmp_path: Path) -> None:
    own = tokenizer()
    made = DeepSVDD(own, **ENCODER, pooling=pooling, epochs=12, batch=16, learning_rate=3e-3)  # type: ignore[arg-type]
    made.fit(tokens_of(own, 1, 6))
    expected = made.score(tokens_of(own, 1, 6, seed=1))
    assert np.median(made.score(tokens_of(own, 8, 13, seed=1))) > np.quantile(expected, 0.9)
    some = tokens_of(own, 1, 6, seed=1)
    np.testing.assert_array_equal(
        np.concatenate([made.score(some[k : k + 1]) for k in range(20)]), expected[:20]
    )
    np.testing.assert_array_equal(made.score(some, threads=3), expected)
    np.testing.assert_allclose(made.score(some, backend="torch"), expected, rtol=1e-4, atol=1e-6)
    made.save(tmp_path / "model")
    again = load_detector(tmp_path / "model")
    np.testing.assert_array_equal(again.score(tokens_of(own, 1, 6, seed=1)), expected)
    assert not any("bias" in name for name in made.to_artefact()[1])
    assert made.backend == "native"
    from evtok.detectors import deep_svdd_torch

    module = deep_svdd_torch.make(made._shapes, made.network, pooling, 0)  # type: ignore[arg-type]
    exact = deep_svdd_torch.outputs(module.double(), made._tensors, some, 1)
    distance = ((exact.astype(np.float64) - made._tensors["centre"]) ** 2).sum(axis=1)
    np.testing.assert_allclose(expected, distance, rtol=1e-4, atol=1e-6)


def test_an_event_that_is_too_long_has_no_score() -> None:
    own = tokenizer()
    made = DeepSVDD(own, **ENCODER, epochs=1, max_length=5).fit(tokens_of(own, 1, 6))
    long = Tokens(
        np.ones(9, np.int32), np.array([0, 3, 9]), fingerprint=own.fingerprint, vocab_size=own.vocab_size
    )
    with pytest.raises(InvalidEventsError, match="event 1 has more tokens than max_length, 5"):
        made.score(long)
    assert np.isnan(made.score(long, on_invalid="sentinel")).tolist() == [False, True]
