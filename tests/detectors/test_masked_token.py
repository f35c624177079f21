"""The masked-token detector: its network is torch's, and its scores are those of a loop over positions.

Tolerance class: float32 against float64 of the same network, 1e-5 here, where networks are tiny.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")

from token_events import TINY, binned, codes, make_events, tokens_of, trained  # noqa: E402

from evtok import Tokens  # noqa: E402
from evtok.detectors import MaskedTokenDetector, load_detector  # noqa: E402
from evtok.detectors.masked_token_model import Asked, Rectangle, place_within  # noqa: E402
from evtok.errors import InvalidEventsError  # noqa: E402


def reference_network(detector: MaskedTokenDetector, ids: list[int]) -> Any:
    """Return log probabilities (n, n_ids) of one sequence, float64, by torch's modules alone."""
    model, network = detector._as_module(), detector.network
    layer = torch.nn.TransformerEncoderLayer(
        network.width, network.heads, network.feed_forward, network.dropout, network.activation,
        batch_first=True, norm_first=network.norm_first,
    )  # fmt: skip
    norm = torch.nn.LayerNorm(network.width) if network.norm_first else None
    encoder = torch.nn.TransformerEncoder(layer, network.layers, norm, enable_nested_tensor=False)
    encoder.load_state_dict(model.encoder.state_dict())
    encoder.double().eval()
    with torch.no_grad():
        x = model.embedding.weight.double()[torch.tensor(ids)]
        if network.positions == "learned":
            x = x + model.positions.weight.double()[: len(ids)]
        elif network.positions == "sinusoidal":
            place, column = np.arange(len(ids))[:, None], np.arange(network.width)[None, :]
            angle = place / 10_000.0 ** (column // 2 * 2 / network.width)
            x = x + torch.from_numpy(np.where(column % 2, np.cos(angle), np.sin(angle)))
        logits = encoder(x[None])[0] @ model.head.weight.double().T + model.head.bias.double()
    return logits.log_softmax(1)


def naive_surprise(detector: MaskedTokenDetector, tokens: Tokens) -> npt.NDArray[np.float64]:
    """Return the pseudo-likelihood's surprise of each token: a loop over positions, with the full softmax."""
    surprise = np.zeros(len(tokens.ids))
    for event in range(len(tokens)):
        ids = tokens[event].tolist()
        for place, token in enumerate(ids):
            if detector.groups.is_scored[token]:
                masked = [*ids[:place], detector.mask_id, *ids[place + 1 :]]
                surprise[tokens.offsets[event] + place] = -float(
                    reference_network(detector, masked)[place, token]
                )
    return surprise


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"positions": "sinusoidal", "norm_first": False, "activation": "relu", "layers": 2},
        {"positions": "none", "masking": "one", "layers": 2},
    ],
    ids=lambda options: "-".join(options) or "defaults",
)
def test_the_pseudo_likelihood_is_that_of_a_loop_with_the_full_softmax(options: dict[str, Any]) -> None:
    events = make_events()
    detector = trained(events, **options)
    tokens = detector.inputs.tokenizer.encode(events)[:25]
    expected = naive_surprise(detector, tokens)
    np.testing.assert_allclose(detector.token_surprise(tokens), expected, rtol=0, atol=1e-5)
    means = [e[s].mean() for e, s in _events(tokens, expected, detector)]
    np.testing.assert_allclose(detector.score(tokens), means, rtol=0, atol=1e-5)


def _events(tokens: Tokens, values: npt.NDArray[Any], detector: MaskedTokenDetector) -> Any:
    for begin, end in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True):
        yield values[begin:end], detector.groups.is_scored[tokens.ids[begin:end]]
