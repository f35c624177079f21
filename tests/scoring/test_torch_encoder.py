"""The native encoder beside torch: the same numbers, and refusals that say why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from encoder_cases import OFFSETS, assert_same_bits, rows, torch_encoder
from evtok.scoring import Encoder

torch = pytest.importorskip("torch")
nn = torch.nn


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm_first": True, "norm": nn.LayerNorm(24), "activation": "gelu"},
        {"bias": False, "activation": nn.GELU("tanh")},
        {"activation": nn.ReLU(), "norm_first": True, "layers": 1},
        {"activation": nn.GELU(), "layer_norm_eps": 1e-3, "d_model": 30},
    ],
    ids=str,
)
def test_agrees_with_torch_in_float64(changes: dict[str, Any]) -> None:
    module = torch_encoder(**changes)
    width = module.layers[0].norm1.weight.numel()
    x = torch.from_numpy(rows(8 * 11, width).reshape(8, 11, width))
    mask = torch.from_numpy(np.arange(11) >= np.random.default_rng(5).integers(1, 12, 8)[:, None])
    encoder = Encoder.from_torch(module)
    module.double()
    with torch.no_grad():
        torch.testing.assert_close(encoder(x).double(), module(x.double()), rtol=0, atol=1e-4)
        expected = module(x.double(), src_key_padding_mask=mask).masked_fill(mask[..., None], 0)
    found = encoder(x, mask)
    assert isinstance(found, torch.Tensor)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)


def test_layers_of_different_feed_forward_and_a_single_layer() -> None:
    module = torch_encoder()
    module.layers[1] = nn.TransformerEncoderLayer(24, 3, 11, batch_first=True).eval()
    x = torch.from_numpy(rows(10, 24)[None])
    with torch.no_grad():
        torch.testing.assert_close(Encoder.from_torch(module)(x), module(x), rtol=0, atol=1e-5)
        torch.testing.assert_close(
            Encoder.from_torch(module.layers[1])(x), module.layers[1](x), rtol=0, atol=1e-5
        )


def test_positions_are_added_by_place() -> None:
    module, x = torch_encoder(), rows(41, 24)
    plain = Encoder.from_torch(module)
    table = rows(20, 24, 0.5)
    embedding = nn.Embedding.from_pretrained(torch.from_numpy(table))
    places = np.concatenate([np.arange(n) for n in np.diff(OFFSETS)])
    expected = plain(x + table[places], offsets=OFFSETS)
    for positions in (table, embedding):
        encoder = Encoder.from_torch(module, positions=positions)
        assert_same_bits(encoder(x, offsets=OFFSETS), expected)
    with pytest.raises(ValueError, match="a sequence has 21 rows, more than the 20 positions"):
        encoder(x, offsets=[0, 20, 41])
    mask = np.zeros((2, 20), bool)
    mask[0, :3] = True  # a row keeps the place of its slot
    slots = encoder(x[:40].reshape(2, 20, 24), mask)
    assert_same_bits(slots[0, 3:], plain(x[3:20] + table[3:20], offsets=[0, 17]))
    waves = Encoder.from_torch(module, positions="sinusoidal")(np.zeros((1, 9, 24), np.float32))
    sines = np.sin(np.arange(9)[:, None] * 10_000 ** (-np.arange(0, 24, 2) / 24))
    cosines = np.cos(np.arange(9)[:, None] * 10_000 ** (-np.arange(0, 24, 2) / 24))
    np.testing.assert_allclose(
        waves[0],
        plain(np.stack([sines, cosines], 2).reshape(9, 24).astype(np.float32), offsets=[0, 9]),
        rtol=0,
        atol=1e-5,
    )


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "none"])
def test_the_model_of_a_masked_token_detector(positions: Any) -> None:
    """Rows of its embedding go in, and what its head reads comes out."""
    from evtok.detectors.masked_token_model import Asked, MaskedTokenModel, Rectangle, place_within
    from evtok.detectors.masked_token_settings import NetworkSettings

    torch.manual_seed(1)
    settings = NetworkSettings(
        layers=2, width=16, heads=2, feed_forward=20, positions=positions, max_length=9
    )
    model = MaskedTokenModel(12, 13, settings).eval()
    lengths = torch.tensor([3, 9, 1])
    ids, rectangle = torch.arange(13), Rectangle.of(lengths)
    with torch.no_grad():
        expected = model(ids, place_within(lengths), rectangle, Asked(ids, rectangle))
        embedded = model.embedding(ids)
    encoder = Encoder.from_torch(model)
    found = encoder(embedded, offsets=[0, 3, 12, 13])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="this model has its own"):
        Encoder.from_torch(model, positions=np.ones((9, 16), np.float32))


def test_masked_rows_are_zero_even_where_all_are() -> None:
    encoder, x = Encoder.from_torch(torch_encoder()), rows(12, 24).reshape(3, 4, 24)
    mask = np.array([[0, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    hidden = x.copy()
    hidden[mask] = np.nan  # nobody looks there
    found = encoder(hidden, mask)
    assert_same_bits(found[mask], np.zeros((5, 24), np.float32))
    assert_same_bits(found[0][~mask[0]], encoder(x[0][~mask[0]], offsets=[0, 3]))
    assert_same_bits(found[2], encoder(x)[2])


def subclass() -> Any:
    class Own(nn.TransformerEncoderLayer):  # type: ignore[misc]
        pass

    module = torch_encoder()
    module.layers[0] = Own(24, 3, 37, batch_first=True)
    return module.eval()


def with_hook() -> Any:
    module = torch_encoder()
    module.layers[1].linear1.register_forward_hook(lambda *_: None)
    return module


def changed(change: Any) -> Any:
    module = torch_encoder()
    change(module)
    return module


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: torch_encoder().train(),
            ValueError,
            r"layers\[0\].*training mode with dropout 0\.1; call module\.eval",
        ),
        (lambda: torch_encoder(batch_first=False), ValueError, "batch_first is False.*transpose x"),
        (
            lambda: torch_encoder(activation=nn.functional.silu),
            TypeError,
            "relu or gelu.*call the module itself",
        ),
        (lambda: torch_encoder().double(), TypeError, r"expected float32, got torch\.float64.*module\.float"),
        (lambda: torch_encoder().bfloat16(), TypeError, r"expected float32, got torch\.bfloat16"),
        (lambda: nn.Linear(3, 3), TypeError, "got Linear"),
        (subclass, TypeError, r"layers\[0\]: expected a torch.nn.TransformerEncoderLayer, got Own"),
        (with_hook, TypeError, r"layers\.1\.linear1: has hooks"),
        (
            lambda: changed(lambda m: m.layers.__setitem__(1, torch_encoder(nhead=4).layers[0])),
            ValueError,
            "heads is 4",
        ),
        (lambda: torch_encoder(norm=nn.LayerNorm(24, eps=1e-3)), ValueError, r"module\.norm: eps is 0\.001"),
        (
            lambda: torch_encoder(norm=nn.RMSNorm(24)),
            TypeError,
            r"module\.norm: expected a torch\.nn\.LayerNorm",
        ),
        (
            lambda: changed(lambda m: m.layers[0].linear2.weight.data.fill_(np.nan)),
            ValueError,
            r"linear2\.weight.*NaN",
        ),
        (lambda: changed(lambda m: m.layers[0].linear2.weight.data.fill_(1e37)), ValueError, "overflow"),
        (
            lambda: torch.ao.quantization.quantize_dynamic(torch_encoder(), {nn.Linear}, dtype=torch.qint8),
            TypeError,
            "linear1: expected a torch.nn.Linear",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_what_is_not_computed_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Encoder.from_torch(make())
