"""The VQ-VAE: what it learns becomes a tokenizer with the ids of its own quantizer, and its scores are readable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evtok

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from evtok import Events  # noqa: E402
from evtok.detectors import VQVAE, load_detector  # noqa: E402
from evtok.detectors.object_inputs import ObjectInputs  # noqa: E402
from evtok.errors import ArtefactError, InvalidEventsError  # noqa: E402
from evtok.tokenizers import Explicit, Feature, NumericFeature, artefact  # noqa: E402
from evtok.torch import VectorQuantizer  # noqa: E402

SETTINGS: dict[str, Any] = {
    "n_codes": 32, "code_dims": 3, "hidden": (16,), "epochs": 12, "batch": 64, "learning_rate": 1e-2, "device": "cpu",
}  # fmt: skip
TYPES = ("j", "b", "e")


def sample(n: int = 300, seed: int = 0, types: tuple[str, ...] = TYPES) -> Events:
    numbers = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(numbers.integers(1, 7, n))])
    m = offsets[-1]
    kind = numbers.integers(0, 3, m).astype(np.uint8)
    columns = {
        "pt": np.exp(numbers.normal(4 + kind, 0.3)).astype(np.float32),
        "eta": numbers.normal(0, 1, m).astype(np.float32),
        "phi": numbers.uniform(-np.pi, np.pi, m).astype(np.float32),
        "type": kind,
    }
    return Events(offsets, columns, {"MET": numbers.exponential(50, n).astype(np.float32)}, types=types)


@pytest.fixture(scope="module")
def detector() -> VQVAE:
    return VQVAE(ObjectInputs.kinematics(TYPES), **SETTINGS).fit(sample(), sample(100, 1))


def test_it_learns(detector: VQVAE) -> None:
    assert detector.history is not None
    losses = [epoch.validation_loss for epoch in detector.history.epochs]
    assert losses[-1] < 0.6 * losses[0]  # type: ignore[operator]
    used = np.unique(detector.tokenizer().encode(sample(seed=2)).ids)
    assert len(used) > 0.7 * detector.n_codes


def test_the_tokenizer_gives_the_ids_of_the_quantizer(detector: VQVAE, tmp_path: Path) -> None:
    tokenizer = detector.tokenizer(specials=())
    events = sample(seed=2)
    ids = tokenizer.encode(events).ids
    quantizer = VectorQuantizer.from_codebook(tokenizer.codebook).eval()
    with torch.no_grad():
        np.testing.assert_array_equal(quantizer(torch.from_numpy(tokenizer.vectors(events))).ids.numpy(), ids)
    tokenizer.save(tmp_path / "tokenizer")
    again = evtok.load_tokenizer(tmp_path / "tokenizer")
    assert again.fingerprint == tokenizer.fingerprint
    np.testing.assert_array_equal(again.encode(events).ids, ids)


def test_the_tokenizer_gives_the_ids_of_the_network_in_torch(detector: VQVAE) -> None:
    """But for objects that lie between two codes to the last bits of float32, as torch adds in another order."""
    _, tensors = detector.to_artefact()
    x, _ = detector.inputs.vectors(sample(seed=2), detector.tokenizer().settings.features)
    with torch.no_grad():
        y = torch.from_numpy(x)
        for k in range(2):
            weight, bias = (torch.from_numpy(tensors[f"encoder.{k}.{part}"]) for part in ("weight", "bias"))
            y = torch.nn.functional.linear(y, weight, bias)
            y = torch.relu(y) if k == 0 else y
        quantizer = VectorQuantizer.from_codebook(detector.tokenizer().codebook).eval()
        expected = quantizer(y).ids.numpy()
    found = detector.tokenizer(specials=()).encode(sample(seed=2)).ids
    assert np.mean(found == expected) > 0.995


def test_the_tokenizer_takes_tokens_of_the_event(detector: VQVAE) -> None:
    made = detector.tokenizer(
        event_features={"met": Feature("MET", Explicit((30.0, 60.0)))}, sequence=("met", "objects")
    )
    events = sample(20, 3)
    assert np.array_equal(made.encode(events).lengths, events.multiplicity + 1)


@pytest.mark.parametrize("reduction", ["mean", "max", "sum"])
def test_a_score_is_the_error_of_what_comes_back(detector: VQVAE, reduction: str) -> None:
    config, tensors = detector.to_artefact()
    made = VQVAE.from_artefact({**config, "reduction": reduction}, tensors)
    events = sample(30, 4)
    x, _ = made.inputs.vectors(events, made.tokenizer().settings.features)
    x = x.astype(np.float64)
    z = made.tokenizer(specials=()).encode(events).ids
    y = tensors["codes"].astype(np.float64)[z]
    y = np.maximum(y @ tensors["decoder.0.weight"].T + tensors["decoder.0.bias"], 0)
    y = y @ tensors["decoder.1.weight"].T + tensors["decoder.1.bias"]
    of_type = np.log(np.exp(y[:, 3:]).sum(axis=1)) - (y[:, 3:] * x[:, 3:]).sum(axis=1)
    errors = ((x - y)[:, :3] ** 2).sum(axis=1) + of_type
    parts = np.split(errors, events.offsets[1:-1])
    expected = [getattr(np, reduction)(part) for part in parts]
    np.testing.assert_allclose(made.score(events), expected, rtol=1e-4, atol=1e-5)


def test_p12_the_bits_of_a_score_do_not_depend_on_the_batch(detector: VQVAE) -> None:
    events = sample(60, 5)
    whole = detector.score(events, threads=1)
    one_by_one = [detector.score(events[k : k + 1], threads=2) for k in range(len(events))]
    np.testing.assert_array_equal(np.concatenate(one_by_one), whole)
    np.testing.assert_array_equal(detector.score([events[:20], events[20:]]), whole)


def test_odd_objects_score_higher(detector: VQVAE) -> None:
    events = sample(100, 6)
    odd = Events(
        events.offsets, {**events.columns, "eta": events.columns["eta"] + np.float32(8)}, types=events.types
    )
    assert np.median(detector.score(odd)) > np.quantile(detector.score(events), 0.95)


def test_files(detector: VQVAE, tmp_path: Path) -> None:
    detector.save(tmp_path / "model")
    again = load_detector(tmp_path / "model")
    assert isinstance(again, VQVAE)
    assert again.fingerprint == detector.fingerprint
    np.testing.assert_array_equal(again.score(sample(20, 7)), detector.score(sample(20, 7)))
    assert again.tokenizer().fingerprint == detector.tokenizer().fingerprint


@pytest.mark.parametrize(
    ("tensor", "change"),
    [
        ("codes", lambda t: t[:-1]),
        ("codes", lambda t: np.full_like(t, 1e30)),
        ("encoder.0.weight", lambda t: np.full_like(t, 1e30)),
        ("decoder.1.bias", lambda t: np.full_like(t, np.inf)),
        ("scale", lambda t: -t),
        ("mean", lambda t: t.astype(np.float32)),
    ],
)
def test_hostile_tensors_are_refused(detector: VQVAE, tmp_path: Path, tensor: str, change: Any) -> None:
    config, tensors = detector.to_artefact()
    artefact.save(tmp_path / "model", config, {**tensors, tensor: change(tensors[tensor])})
    with pytest.raises(ArtefactError):
        load_detector(tmp_path / "model")


@pytest.mark.parametrize(
    "change", [{"types": "j"}, {"kind": "tokens"}, {"features": []}, {"features": [{"name": 5}]}, {"more": 1}]
)
def test_hostile_inputs_are_refused(detector: VQVAE, tmp_path: Path, change: dict[str, Any]) -> None:
    config, tensors = detector.to_artefact()
    artefact.save(tmp_path / "model", {**config, "inputs": {**config["inputs"], **change}}, tensors)
    with pytest.raises(ArtefactError):
        load_detector(tmp_path / "model")


def test_events_that_have_no_score(detector: VQVAE) -> None:
    pt = np.array([50, -1, 30, 40], np.float32)
    zeros = np.zeros(4, np.float32)
    columns = {"pt": pt, "eta": zeros, "phi": zeros, "type": np.array([0, 0, 1, 3], np.uint8)}
    events = Events([0, 1, 2, 2, 4], columns, types=(*TYPES, "unheard"))
    for k, message in ((1, "event 0 has an object that is invalid"), (2, "event 0 has no object")):
        with pytest.raises(InvalidEventsError, match=message):
            detector.score(events[k : k + 1])
    assert np.isnan(detector.score(events, on_invalid="sentinel")).tolist() == [False, True, True, False]


def test_the_largest_numbers_have_a_score(detector: VQVAE) -> None:
    columns = {name: np.full(1, np.finfo(np.float32).max) for name in ("pt", "eta", "phi")}
    events = Events([0, 1], {**columns, "type": np.zeros(1, np.uint8)}, types=TYPES)
    assert np.isfinite(detector.score(events)).all()


def test_without_types_and_with_weights(tmp_path: Path) -> None:
    """A fit that was interrupted goes on, and ends with the same bits."""

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "epoch" and event["epoch"] == 2:
            raise KeyboardInterrupt

    def made() -> VQVAE:
        return VQVAE(
            {"eta": NumericFeature("eta"), "phi": NumericFeature("phi")}, **{**SETTINGS, "epochs": 3}
        )

    weights = np.random.default_rng(0).random(300)
    expected = made().fit(sample(), weights=weights)
    with pytest.raises(KeyboardInterrupt):
        made().fit(sample(), weights=weights, checkpoints=tmp_path, progress=stop)
    resumed = made().fit(sample(), weights=weights, checkpoints=tmp_path)
    assert resumed.fingerprint == expected.fingerprint


@pytest.mark.parametrize(
    "settings",
    [{"n_codes": 0}, {"hidden": 5}, {"commitment": -1.0}, {"code_decay": 2.0}, {"reduction": "top"}],
)
def test_settings_are_checked(settings: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(settings))):
        VQVAE(ObjectInputs.kinematics(), **settings)


def test_what_is_read() -> None:
    inputs = ObjectInputs.kinematics(TYPES)
    assert inputs.required_columns == ("pt", "eta", "phi", "type")
    assert inputs.required_fields == ()
    assert ObjectInputs({"x": NumericFeature("eta", relative_to="jet_eta")}).required_fields == ("jet_eta",)
    for wrong in ("events", np.zeros(3), [1], []):
        with pytest.raises(TypeError, match="expected"):
            inputs.read(wrong)


@pytest.mark.data
def test_events_of_pythia(test_data: Path) -> None:
    file = sorted((test_data / "pythia" / "channel3").glob("*ttbar*"))[0]
    events = next(iter(evtok.open_events(file)))[:400]
    made = VQVAE(ObjectInputs.kinematics(events.types), **{**SETTINGS, "epochs": 2})
    made.fit(events, on_invalid="skip")
    assert np.isfinite(made.score(events[:50], on_invalid="sentinel")).sum() > 40
    assert made.tokenizer().encode(events[:50]).vocab_size == 36
