"""The masked-token detector: its network is torch's, and its scores are those of a loop over positions.

Tolerance class: float32 against float64 of the same network, 1e-5 here, where networks are tiny, for both backends.
Scores of the same event in other batches are the same bits with the backend "native", and agree to 1e-5 with "torch",
which promises no bits. What else holds for "native" alone is in test_masked_token_native.py.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")

from evtok import Tokens  # noqa: E402
from evtok.detectors import MaskedTokenDetector, load_detector  # noqa: E402
from evtok.detectors.interface import Backend  # noqa: E402
from evtok.detectors.masked_token_model import Asked, Rectangle, place_within  # noqa: E402
from evtok.errors import ArtefactError, FingerprintError, InvalidEventsError, MissingBackendError  # noqa: E402
from evtok.tokenizers import artefact  # noqa: E402
from token_events import binned, codes, make_events, tokens_of, trained  # noqa: E402

EVENTS = make_events()
each_backend = pytest.mark.parametrize("backend", ["native", "torch"])


@pytest.fixture(scope="module")
def detector() -> MaskedTokenDetector:
    return trained(EVENTS)


@pytest.fixture(scope="module")
def tokens(detector: MaskedTokenDetector) -> Tokens:
    return detector.inputs.tokenizer.encode(EVENTS)


# ---- the definition -----------------------------------------------------------------------------------------------


def reference_encoder(detector: MaskedTokenDetector) -> Any:
    """Return torch's own encoder with the numbers of the detector, in float64."""
    network = detector.network
    layer = torch.nn.TransformerEncoderLayer(
        network.width, network.heads, network.feed_forward, network.dropout, network.activation,
        batch_first=True, norm_first=network.norm_first,
    )  # fmt: skip
    norm = torch.nn.LayerNorm(network.width) if network.norm_first else None
    encoder = torch.nn.TransformerEncoder(layer, network.layers, norm, enable_nested_tensor=False)
    encoder.load_state_dict(detector._torch().model.encoder.state_dict())
    return encoder.double().eval()


def reference_surprise(detector: MaskedTokenDetector, encoder: Any, ids: list[int]) -> npt.NDArray[Any]:
    """Return -log of all probabilities (n, n_ids) of one sequence."""
    model, network = detector._torch().model, detector.network
    with torch.no_grad():
        x = model.embedding.weight.double()[torch.tensor(ids)]
        if network.positions == "learned":
            x = x + model.positions.weight.double()[: len(ids)]
        elif network.positions == "sinusoidal":
            place, column = np.arange(len(ids))[:, None], np.arange(network.width)[None, :]
            angle = place / 10_000.0 ** (column // 2 * 2 / network.width)
            x = x + torch.from_numpy(np.where(column % 2, np.cos(angle), np.sin(angle)))
        logits = encoder(x[None])[0] @ model.head.weight.double().T + model.head.bias.double()
        return np.array((-logits.log_softmax(1)).tolist())


def loop_over_positions(detector: MaskedTokenDetector, tokens: Tokens) -> npt.NDArray[np.float64]:
    """Return the surprise of each token, each scored position masked in turn."""
    encoder = reference_encoder(detector)
    surprise = np.zeros(len(tokens.ids))
    for event in range(len(tokens)):
        ids = tokens[event].tolist()
        for place, token in enumerate(ids):
            if detector.groups.is_scored[token]:
                masked = [*ids[:place], detector.mask_id, *ids[place + 1 :]]
                found = reference_surprise(detector, encoder, masked)[place, token]
                surprise[tokens.offsets[event] + place] = found
    return surprise


def per_event(
    tokens: Tokens, surprise: npt.NDArray[Any], reduce: Callable[[Any], Any], first: int = 1
) -> list[float]:
    """Return what each event's surprises are reduced to, without its `first` tokens."""
    return [
        float(reduce(surprise[begin + first : end]))
        for begin, end in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)
    ]


@each_backend
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"positions": "sinusoidal", "norm_first": False, "activation": "relu", "layers": 2},
        {"positions": "none", "masking": "one", "layers": 2},
    ],
    ids=["defaults", "sinusoidal", "none"],
)
def test_the_pseudo_likelihood_is_that_of_a_loop_with_the_full_softmax(
    options: dict[str, Any], backend: Backend
) -> None:
    detector = trained(EVENTS, **options)
    tokens = detector.inputs.tokenizer.encode(EVENTS)[:10]
    expected = loop_over_positions(detector, tokens)
    found = detector.token_surprise(tokens, backend=backend)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert (found[tokens.offsets[:-1]] == 0).all()  # cls
    assert found.dtype == np.float32
    assert len(np.unique(found.round(3))) > 20
    np.testing.assert_allclose(
        detector.score(tokens, backend=backend), per_event(tokens, expected, np.mean), rtol=0, atol=1e-5
    )


@each_backend
def test_codes_of_a_codebook_are_scored_like_bins(backend: Backend) -> None:
    tokenizer = codes(EVENTS, specials=(), specials_high=("pad",))
    detector = trained(EVENTS, tokenizer=tokenizer)
    assert detector.mask_id == tokenizer.vocab_size  # one of its own
    tokens = tokenizer.encode(EVENTS)[:10]
    expected = loop_over_positions(detector, tokens)
    np.testing.assert_allclose(detector.token_surprise(tokens, backend=backend), expected, rtol=0, atol=1e-5)
    small = tokenizer.encode(EVENTS, dtype=np.uint16)[:10]
    np.testing.assert_array_equal(
        detector.score(small, backend=backend), detector.score(tokens, backend=backend)
    )


@each_backend
def test_a_single_pass_masks_nothing(detector: MaskedTokenDetector, tokens: Tokens, backend: Backend) -> None:
    some = tokens[:10]
    encoder = reference_encoder(detector)
    expected = np.concatenate(
        [
            reference_surprise(detector, encoder, ids.tolist())[np.arange(len(ids)), ids]
            * ([0] + [1] * (len(ids) - 1))
            for ids in some
        ]
    )
    found = detector.with_score(score_form="single-pass").token_surprise(some, backend=backend)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@each_backend
def test_random_masks_are_the_mean_over_masks_that_hide_a_token(
    detector: MaskedTokenDetector, tokens: Tokens, backend: Backend
) -> None:
    from evtok.detectors.masked_token_masks import random_masks

    drawn = detector.with_score(score_form="random-masks", n_masks=7, mask_seed=3)
    event = tokens[:5]
    encoder = reference_encoder(detector)
    for k in range(len(event)):
        ids = event[k].astype(np.int64)
        masks = random_masks(ids[None], detector.groups.is_scored[ids][None], drawn.masking)[0]
        found = np.zeros((7, len(ids)))
        for mask, row in zip(masks, found, strict=True):
            masked = np.where(mask, detector.mask_id, ids).tolist()
            row[mask] = reference_surprise(detector, encoder, masked)[mask, ids[mask]]
        expected = found.sum(0) / np.maximum(masks.sum(0), 1)
        surprise = drawn.token_surprise(event[k : k + 1], backend=backend)
        np.testing.assert_allclose(surprise, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("norm_first", [True, False])
def test_ragged_rows_are_the_rectangle_of_torch(norm_first: bool) -> None:
    detector = trained(EVENTS, norm_first=norm_first, layers=2)
    model = detector._torch().model.double()
    lengths = torch.tensor([3, 1, 6, 4])
    ids = torch.randint(
        0, detector.inputs.tokenizer.vocab_size, (14,), generator=torch.Generator().manual_seed(0)
    )
    rows = torch.tensor([0, 2, 3, 5, 6, 9, 13])  # 2, 1, 3 and 1 of the sequences
    asked = Asked(rows, Rectangle.of(torch.tensor([2, 1, 3, 1])))
    places = place_within(lengths)
    assert places.tolist() == [0, 1, 2, 0, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3]
    with torch.no_grad():
        found = model(ids, places, Rectangle.of(lengths), asked)
        padding = torch.arange(6) >= lengths[:, None]
        x = torch.zeros(4, 6, detector.network.width, dtype=torch.float64)
        x[~padding] = model.embedding(ids) + model.positions(places)
        whole = reference_encoder(detector)(x, src_key_padding_mask=padding)[~padding][rows]
        everything = Asked(torch.arange(14), Rectangle.of(lengths))
        head = model.head(model(ids, places, Rectangle.of(lengths), everything))[rows]
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.head(found), head, rtol=0, atol=1e-12)  # one row of the head, or all


# ---- reductions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "reduce"),
    [
        ({"reduction": "sum"}, np.sum),
        ({"reduction": "mean"}, np.mean),
        ({"reduction": "max"}, np.max),
        ({"reduction": "top-mean", "top": 2}, lambda values: np.sort(values)[-2:].mean()),
    ],
    ids=lambda value: value.get("reduction") if isinstance(value, dict) else "",
)
def test_reductions(
    detector: MaskedTokenDetector, tokens: Tokens, settings: dict[str, Any], reduce: Callable[[Any], Any]
) -> None:
    surprise = detector.token_surprise(tokens).astype(np.float64)
    other = detector.with_score(**settings)
    np.testing.assert_allclose(other.score(tokens), per_event(tokens, surprise, reduce), rtol=1e-6)
    assert other.fingerprint != detector.fingerprint or settings["reduction"] == "mean"


def test_types_and_tokens_of_the_event_have_weights(detector: MaskedTokenDetector, tokens: Tokens) -> None:
    surprise = detector.token_surprise(tokens).astype(np.float64)
    names = [*detector.groups.names]
    of_token = detector.groups.of_id[tokens.ids]
    decoded = detector.inputs.tokenizer.decode(tokens)
    types = [decoded.types[code] for code in decoded.columns["type"]]
    objects = np.isin(of_token, [names.index(name) for name in ("j", "b", "e")])
    assert [names[k] for k in of_token[objects]] == types
    assert (of_token[tokens.offsets[:-1]] == -1).all()
    assert (of_token[tokens.offsets[:-1] + 1] == names.index("MET")).all()
    given = {"MET": 3.0, "b": 0.5, "e": 0.0}
    weight = np.array([given.get(name, 1.0) for name in names])[of_token]
    weight[of_token == -1] = 0
    totals = np.add.reduceat(weight, tokens.offsets[:-1])
    sums = np.add.reduceat(weight * surprise, tokens.offsets[:-1])
    weighted = detector.with_score(type_weights=given)
    np.testing.assert_allclose(weighted.score(tokens), sums / totals, rtol=1e-6)
    summed = detector.with_score(type_weights=list(given.items()), reduction="sum")
    np.testing.assert_allclose(summed.score(tokens), sums, rtol=1e-6)
    largest = np.maximum.reduceat(weight * surprise, tokens.offsets[:-1])
    found = detector.with_score(type_weights=given, reduction="max").score(tokens)
    np.testing.assert_allclose(found, largest, rtol=1e-6)
    with pytest.raises(ValueError, match=r"expected names of j, b, e, MET, unk, .* got 'tau'"):
        detector.with_score(type_weights={"tau": 1.0})


def test_an_event_of_which_nothing_counts_has_no_score(detector: MaskedTokenDetector, tokens: Tokens) -> None:
    only_electrons = detector.with_score(type_weights={"MET": 0.0, "j": 0.0, "b": 0.0, "unk": 0.0})
    electrons = detector.groups.of_id[tokens.ids] == detector.groups.names.index("e")
    without = np.add.reduceat(electrons, tokens.offsets[:-1]) == 0
    assert 0 < without.sum() < len(tokens)
    np.testing.assert_array_equal(np.isnan(only_electrons.score(tokens, on_invalid="sentinel")), without)
    with pytest.raises(InvalidEventsError, match=rf"event {without.argmax()} has no token that is scored"):
        only_electrons.score(tokens)


# ---- batches ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["pseudo-likelihood", "random-masks", "single-pass"])
def test_p12_scores_do_not_depend_on_the_other_events(
    detector: MaskedTokenDetector, tokens: Tokens, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evtok.detectors import masked_token_native

    other = detector.with_score(score_form=form)
    whole = other.score(tokens, backend="native")
    parts = [other.score(tokens[k : k + 17], backend="native") for k in range(0, len(tokens), 17)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    order = np.random.default_rng(1).permutation(len(tokens))
    shuffled = Tokens.concatenate([tokens[int(k) : int(k) + 1] for k in order])
    np.testing.assert_array_equal(other.score(shuffled, backend="native"), whole[order])
    for threads in (1, 3):
        np.testing.assert_array_equal(other.score(tokens, backend="native", threads=threads), whole)
    monkeypatch.setattr(masked_token_native, "MOST", 1)  # an event at a time
    np.testing.assert_array_equal(other.score(tokens, backend="native"), whole)


@pytest.mark.parametrize("form", ["pseudo-likelihood", "random-masks", "single-pass"])
def test_scores_by_torch_agree_in_any_batch(
    detector: MaskedTokenDetector, tokens: Tokens, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evtok.detectors import masked_token_scoring

    other = detector.with_score(score_form=form)

    def score(some: Tokens, **options: Any) -> npt.NDArray[np.float32]:
        return other.score(some, backend="torch", **options)

    whole = score(tokens)
    parts = np.concatenate([score(tokens[k : k + 17]) for k in range(0, len(tokens), 17)])
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-5)
    order = np.random.default_rng(1).permutation(len(tokens))
    shuffled = Tokens.concatenate([tokens[int(k) : int(k) + 1] for k in order])
    np.testing.assert_allclose(score(shuffled), whole[order], rtol=0, atol=1e-5)
    np.testing.assert_allclose(score(tokens, threads=1), whole, rtol=0, atol=1e-5)
    monkeypatch.setitem(masked_token_scoring.ROWS, "cpu", 1)  # a pass at a time
    np.testing.assert_allclose(score(tokens[:10]), whole[:10], rtol=0, atol=1e-5)


def test_padding_after_an_event_changes_no_score(detector: MaskedTokenDetector, tokens: Tokens) -> None:
    """A pad that a file holds is no token: it is not scored; but the network does see it, as any other id."""
    tokenizer = detector.inputs.tokenizer
    sequence = tokens[0].tolist()
    both = tokens_of(tokenizer, sequence, [*sequence, tokenizer.pad_id])
    surprise = detector.token_surprise(both)
    assert surprise[-1] == 0
    assert detector.score(both)[0] == pytest.approx(surprise[1 : len(sequence)].mean(), abs=1e-6)


def test_threads_of_torch_are_put_back(detector: MaskedTokenDetector, tokens: Tokens) -> None:
    before = torch.get_num_threads()
    detector.score(tokens, backend="torch", threads=before + 1)
    assert torch.get_num_threads() == before


# ---- files --------------------------------------------------------------------------------------------------------


def test_a_saved_detector_gives_the_same_bits(
    detector: MaskedTokenDetector, tokens: Tokens, tmp_path: Path
) -> None:
    expected = detector.score(tokens)
    detector.save(tmp_path / "model")
    loaded = load_detector(tmp_path / "model")
    assert isinstance(loaded, MaskedTokenDetector)
    assert loaded.fingerprint == detector.fingerprint
    np.testing.assert_array_equal(loaded.score(tokens), expected)
    sent = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(sent.score(EVENTS), expected)
    tensors = artefact.load(tmp_path / "model")[1]
    state = {
        name.removeprefix("model.encoder."): torch.from_numpy(value)
        for name, value in tensors.items()
        if name.startswith("model.encoder.")
    }
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
    torch.nn.TransformerEncoder(layer, 1, torch.nn.LayerNorm(8), enable_nested_tensor=False).load_state_dict(
        state
    )


def hostile(
    config: dict[str, Any], tensors: dict[str, npt.NDArray[Any]]
) -> Iterator[tuple[str, dict[str, Any], dict[str, npt.NDArray[Any]]]]:
    """Yield what the message says, and a config and tensors that no detector wrote."""

    def changed(part: str, **values: Any) -> dict[str, Any]:
        other: dict[str, Any] = json.loads(json.dumps(config))
        other[part] |= values
        return other

    yield "layers", changed("network", layers=10**9), tensors
    yield "positions.weight", changed("network", max_length=1 << 17), tensors
    yield "embedding.weight", changed("network", width=1 << 14), tensors
    yield "linear1", changed("network", feed_forward=32), tensors
    yield "multiple values", changed("network", reduction="max"), tensors
    yield "unexpected keyword", changed("network", evil=1), tensors
    yield "not those of", changed("training", device="cuda"), tensors
    yield "precision", config | {"precision": "float8"}, tensors
    without = {name: value for name, value in config.items() if name != "precision"}
    yield "missing key 'precision'", without, tensors
    yield "unknown key", config | {"evil": 1}, tensors
    yield "network", config | {"network": [1]}, tensors
    yield "dropout", changed("network", dropout="much"), tensors
    yield "score_form", changed("masking", score_form="none"), tensors
    yield "type_weights", changed("score", type_weights={"tau": 1.0}), tensors
    yield "reads tokens", config | {"inputs": {"kind": "features", "names": ["a"]}}, tensors
    head = tensors["model.head.bias"]
    yield "head.bias", config, tensors | {"model.head.bias": head[:-1]}
    yield "head.bias", config, tensors | {"model.head.bias": head.astype(np.float64)}
    yield "head.bias", config, tensors | {"model.head.bias": np.full_like(head, np.inf)}
    yield "missing", config, {name: value for name, value in tensors.items() if name != "model.head.bias"}
    yield "not those of", config, tensors | {"model.head.extra": head}


def test_a_hostile_folder_is_refused(detector: MaskedTokenDetector, tmp_path: Path) -> None:
    config, tensors = detector.to_artefact()
    for k, (message, bad_config, bad_tensors) in enumerate(hostile(config, tensors)):
        artefact.save(tmp_path / str(k), bad_config, bad_tensors)
        with pytest.raises(ArtefactError, match=message):
            load_detector(tmp_path / str(k))


def test_numbers_that_overflow_give_no_score(detector: MaskedTokenDetector, tokens: Tokens) -> None:
    config, tensors = detector.to_artefact()
    norm = tensors["model.encoder.norm.weight"]
    broken = MaskedTokenDetector.from_artefact(
        config, tensors | {"model.encoder.norm.weight": np.full_like(norm, 3e38)}
    )
    with pytest.raises(ArtefactError, match="its numbers are too large"):
        broken.score(tokens, backend="torch")
    with pytest.raises((ArtefactError, MissingBackendError), match=r"too large|so large"):
        broken.score(tokens, backend="native")


# ---- bad input ----------------------------------------------------------------------------------------------------


def test_events_longer_than_the_network_have_no_score() -> None:
    long = make_events(60, seed=5, mean_objects=6)
    tokenizer = binned(EVENTS)
    detector = trained(EVENTS[EVENTS.multiplicity <= 6], tokenizer=tokenizer, max_length=8)
    too_long = long.multiplicity > 6
    assert 0 < too_long.sum() < len(long)
    found = detector.score(long, on_invalid="sentinel")
    np.testing.assert_array_equal(np.isnan(found), too_long)
    np.testing.assert_array_equal(found[~too_long], detector.score(long[~too_long]))
    first = too_long.argmax()
    with pytest.raises(InvalidEventsError, match=rf"event {first} has more tokens than the 8 of max_length"):
        detector.score(long)
    with pytest.raises(InvalidEventsError, match="has more tokens than the 8 of max_length"):
        detector.fit(long)


def test_tokens_that_cannot_be_scored(detector: MaskedTokenDetector) -> None:
    tokenizer = detector.inputs.tokenizer
    size, cls = tokenizer.vocab_size, tokenizer.special_ids["cls"]
    sequence = tokenizer.encode(EVENTS[:1]).ids.tolist()
    for bad in ([], [cls], [*sequence, size], [*sequence, -1]):
        both = tokens_of(tokenizer, sequence, bad, sequence)
        found = detector.score(both, on_invalid="sentinel")
        np.testing.assert_array_equal(np.isnan(found), [False, True, False])
        with pytest.raises(InvalidEventsError, match="event 1"):
            detector.score(both)
        with pytest.raises(InvalidEventsError, match="event 1"):
            detector.token_surprise(both)
    with pytest.raises(FingerprintError):
        detector.score(binned(EVENTS, order="first-fastest").encode(EVENTS))
    with pytest.raises(MissingBackendError, match="cannot score with torch: its precision is bfloat16"):
        detector.with_score(precision="bfloat16").score(EVENTS, backend="torch")
    with pytest.raises(ValueError, match="call fit first"):
        MaskedTokenDetector(tokenizer).score(EVENTS)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"width": 10, "heads": 4}, "multiple of the 4 heads"),
        ({"width": 9, "heads": 3, "positions": "sinusoidal"}, "even"),
        ({"layers": 0}, "layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"positions": "some"}, "positions"),
        ({"activation": "tanh"}, "activation"),
        ({"norm_first": 1}, "norm_first"),
        ({"masking": "two"}, "masking"),
        ({"mask_fraction": 0.0}, "mask_fraction"),
        ({"precision": "float16"}, "precision"),
        ({"score_form": "random-masks", "n_masks": 3}, "do not hide every token once"),
        ({"mask_seed": 1 << 64}, "mask_seed"),
        ({"reduction": "median"}, "reduction"),
        ({"top": 0}, "top"),
        ({"top": 1 << 31}, "top"),
        ({"n_masks": 1 << 13}, "n_masks"),
        ({"positions": "sinusoidal", "max_length": 1 << 17, "width": 1 << 10}, "max_length"),
        ({"type_weights": {"b": -1.0}}, "type_weights"),
        ({"type_weights": "b"}, "type_weights"),
        ({"epochs": 0}, "epochs"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_are_checked(setting: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        MaskedTokenDetector(binned(EVENTS), **setting)
