"""The native encoder: the bits of its definition in any company, calls that do not fit, arrays of any kind."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from encoder_cases import OFFSETS, assert_same_bits, layers_of, rows, torch_encoder
from evtok import _core, reference_encoder
from evtok.scoring import Encoder
from test_float_environment import FLUSH, UP, same_in

torch = pytest.importorskip("torch")


# ---- the definition ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu-tanh"])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize(("width", "heads", "feed_forward"), [(6, 2, 5), (16, 1, 16), (35, 5, 33)])
def test_the_bits_of_the_definition(
    isa: str, activation: str, norm_first: bool, width: int, heads: int, feed_forward: int
) -> None:
    layers, x = layers_of(width, feed_forward, 2, bias=activation != "relu"), rows(41, width)
    norm = (layers[0]["norm1.weight"], None) if norm_first else None
    settings: dict[str, Any] = {
        "heads": heads,
        "activation": activation,
        "norm_first": norm_first,
        "eps": 1e-5,
        "norm": norm,
        "precision": "bfloat16" if width == 16 else "float32",
    }
    expected = reference_encoder.encoder(x, OFFSETS, layers, **settings)
    assert_same_bits(Encoder(layers, **settings)(x, offsets=OFFSETS), expected)


@pytest.mark.parametrize(("width", "feed_forward"), [(4, 270), (260, 3)])
@pytest.mark.parametrize(
    ("size", "settings"),
    [
        (1e-42, {"norm_first": True}),
        (1.0, {"norm_first": True, "precision": "bfloat16"}),
        (1.0, {"norm_first": False}),
        (1e8, {"norm_first": True}),
    ],
    ids=str,
)
def test_the_bits_of_the_definition_at_any_size(
    isa: str, width: int, feed_forward: int, size: float, settings: dict[str, Any]
) -> None:
    """Subnormal and large numbers, and sums of more than one block of terms."""
    layers, x, offsets = layers_of(width, feed_forward, 1), rows(7, width, size), np.array([0, 5, 7])
    settings = {"heads": 2, "activation": "gelu", "eps": 1e-5} | settings
    expected = reference_encoder.encoder(x, offsets, layers, **settings)
    assert_same_bits(Encoder(layers, **settings)(x, offsets=offsets), expected)


@pytest.mark.parametrize("bias_size", [0.0, 1e-30, 1e-31, 1e-40])
def test_numbers_below_bfloat16s_least_are_zeros(isa: str, bias_size: float) -> None:
    """Weights about 2**-55 and biases about 2**-100, of which some are left and their products nearly cancel."""
    layers, x, offsets = layers_of(6, 7, 2), rows(9, 6), np.array([0, 4, 9])
    for layer in layers:
        for name, values in layer.items():
            if "norm" not in name:
                values *= np.float32(bias_size if name.endswith("bias") else 2.0**-55)
    settings: dict[str, Any] = {"heads": 2, "activation": "relu", "norm_first": False, "eps": 1e-5}
    settings["precision"] = "bfloat16"
    expected = reference_encoder.encoder(x, offsets, layers, **settings)
    assert_same_bits(Encoder(layers, **settings)(x, offsets=offsets), expected)
    assert (reference_encoder.bfloat16(np.float32([2**-55, -(2.0**-56), 1e-40])) == [2**-55, 0, 0]).all()


@pytest.mark.parametrize(("n_rows", "width"), [(270, 2), (3, 520)], ids=["many keys", "a wide head"])
def test_the_bits_of_the_definition_for_attention_of_many_terms(isa: str, n_rows: int, width: int) -> None:
    layers, x, offsets = layers_of(width, 2, 1), rows(n_rows, width), np.array([0, n_rows])
    settings: dict[str, Any] = {"heads": 1, "activation": "relu", "norm_first": False, "eps": 1e-5}
    expected = reference_encoder.encoder(x, offsets, layers, **settings)
    assert_same_bits(Encoder(layers, **settings)(x, offsets=offsets), expected)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_company_threads_and_instruction_set(isa: str, threads: int) -> None:
    encoder = Encoder(layers_of(12, 20, 2), heads=3, activation="gelu")
    lengths = np.random.default_rng(1).integers(0, 30, 60)
    lengths[7] = 300  # longer than a tile
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    x = rows(int(offsets[-1]), 12)
    whole = encoder(x, offsets=offsets, threads=threads)
    _core.force_isa("scalar")
    order = np.random.default_rng(2).permutation(60)[:20]
    for s in order:
        part = slice(offsets[s], offsets[s + 1])
        assert_same_bits(encoder(x[part], offsets=[0, lengths[s]], threads=1), whole[part])


@pytest.mark.parametrize("bits", [FLUSH, UP], ids=["flush", "upward"])
def test_a_callers_mode_reaches_no_row(bits: int) -> None:
    prepare = """
import numpy as np
from evtok.scoring import Encoder
rng = np.random.default_rng(0)
draw = lambda *shape: rng.normal(size=shape).astype(np.float32)
layer = {"self_attn.in_proj_weight": draw(24, 8), "self_attn.out_proj.weight": draw(8, 8), "linear1.weight": draw(9, 8),
         "linear2.weight": draw(8, 9), "norm1.weight": draw(8), "norm2.weight": draw(8)}
x = draw(60, 8) * np.float32(1e-20)
tiny = draw(60, 8) * np.float32(1e-39)
"""
    compute = """
encoders = [Encoder([layer], heads=2, activation="gelu", norm_first=True, positions=at) for at in (None, tiny, x[::-1])]
result = [encoder(x, offsets=[0, 20, 60], threads=2) for encoder in encoders]
result += [encoder(tiny, offsets=[0, 20, 60], threads=2) for encoder in encoders]
result += [encoder(values.reshape(3, 20, 8)) for encoder in encoders for values in (x, tiny)]
result = np.concatenate([rows.reshape(-1, 8) for rows in result]).view(np.uint32)
"""
    assert same_in(bits, prepare, compute) == ["kept", "same"]


# ---- bad calls ---------------------------------------------------------------------------------------------------


def test_invalid_rows_are_refused_or_nan() -> None:
    encoder, x = Encoder.from_torch(torch_encoder()), rows(41, 24)
    whole = encoder(x, offsets=OFFSETS)
    x[5, 3], x[2, 0] = np.inf, 1e30
    with pytest.raises(ValueError, match=r"x: row 2 is so large that a sum may overflow; .*sentinel"):
        encoder(x, offsets=OFFSETS)
    x[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"x: row 2 holds NaN or infinity"):
        encoder(x, offsets=OFFSETS)
    found = encoder(x, offsets=OFFSETS, on_invalid="sentinel", threads=2)
    assert np.isnan(found[1:24]).all()
    assert_same_bits(found[[0, *range(24, 41)]], whole[[0, *range(24, 41)]])
    with pytest.raises(ValueError, match=r"x: row 3 of sequence 1 holds NaN or infinity"):
        encoder(np.where(np.arange(48).reshape(4, 12, 1) == 15, np.float32(np.nan), x[:1]).astype(np.float32))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": np.ones((2, 3, 24))}, TypeError, "x: expected float32"),
        ({"x": np.ones((2, 24), np.float32)}, ValueError, "x: expected 3 dimensions"),
        ({"x": np.ones((2, 3, 23), np.float32)}, ValueError, r"x: expected shape \(B, S, 24\)"),
        ({"key_padding_mask": np.zeros((2, 3))}, TypeError, "key_padding_mask: expected bool.*-inf"),
        (
            {"key_padding_mask": np.zeros((3, 2), bool)},
            ValueError,
            r"key_padding_mask: expected shape \(2, 3\)",
        ),
        ({"x": rows(6, 24), "offsets": [0, 7]}, ValueError, "offsets"),
        ({"x": rows(6, 24), "offsets": [0, 5]}, ValueError, "offsets: expected to go from 0 to the 6 rows"),
        ({"x": rows(6, 24), "offsets": [0, 4, 2, 6]}, ValueError, "offsets: event 1 ends before it begins"),
        ({"x": rows(6, 24), "offsets": [0.0, 6.0]}, TypeError, "offsets: expected integers"),
        ({"x": rows(6, 24), "offsets": [0, 2**62]}, ValueError, "offsets"),
        ({"offsets": [0, 2], "key_padding_mask": np.zeros((2, 3), bool)}, ValueError, "give one of them"),
        ({"on_invalid": "skip"}, ValueError, "on_invalid"),
        ({"threads": -1}, ValueError, "threads"),
    ],
)
def test_arguments_that_do_not_fit(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Encoder.from_torch(torch_encoder())(**{"x": np.ones((2, 3, 24), np.float32)} | arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"heads": 5}, ValueError, "heads: expected a divisor of the width 12"),
        ({"activation": "silu"}, ValueError, "activation: expected relu, gelu or gelu-tanh"),
        ({"eps": 0.0}, ValueError, "eps"),
        ({"precision": "float16"}, ValueError, "precision: expected float32 or bfloat16"),
        ({"layers": []}, ValueError, "layers"),
        ({"layers": [{}]}, ValueError, r"layers\.0\.self_attn\.out_proj\.weight: is missing"),
        (
            {"layers": [layers_of(12, 9, 1)[0] | {"linear1_bias": np.ones(9, np.float32)}]},
            ValueError,
            r"layers\.0\.linear1_bias: is not a weight of a layer; expected .*linear1\.bias",
        ),
        (
            {"layers": [layers_of(12, 9, 1)[0] | {"linear1_bias": None}]},
            ValueError,
            "is not a weight of a layer",
        ),
        ({"norm": (np.ones(11, np.float32), None)}, ValueError, r"norm\.weight"),
        ({"positions": "learned"}, ValueError, "positions: expected an array"),
        ({"positions": rows(5, 11)}, ValueError, r"positions: expected shape \(max_length, 12\)"),
        ({"positions": np.full((5, 12), np.inf, np.float32)}, ValueError, "positions: hold NaN"),
    ],
)
def test_weights_that_do_not_fit(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Encoder(**{"layers": layers_of(12, 9, 1), "heads": 2} | arguments)


# ---- arrays ------------------------------------------------------------------------------------------------------


def test_any_layout_and_a_pickle() -> None:
    encoder, x = Encoder.from_torch(torch_encoder(), positions=rows(30, 24)), rows(41, 24)
    expected = encoder(x, offsets=OFFSETS)
    for values in (np.asfortranarray(x), x.astype(">f4"), np.repeat(x, 2, axis=1)[:, ::2]):
        assert_same_bits(encoder(values, offsets=OFFSETS.astype(np.int32)), expected)
    again = pickle.loads(pickle.dumps(encoder))
    assert_same_bits(again(x, offsets=OFFSETS), expected)
    assert encoder(x[:0], offsets=[0]).shape == (0, 24)
    assert encoder(np.empty((0, 5, 24), np.float32)).shape == (0, 5, 24)
    assert encoder(np.empty((3, 0, 24), np.float32)).shape == (3, 0, 24)


def test_waves_are_computed_once_and_not_sent() -> None:
    encoder = Encoder(layers_of(12, 9, 1), heads=2, positions="sinusoidal")
    x, n_bytes = rows(40, 12), len(pickle.dumps(encoder))
    short, whole = encoder(x[:7], offsets=[0, 7]), encoder(x, offsets=[0, 40])
    waves = encoder._waves
    assert_same_bits(encoder(x[:7], offsets=[0, 7]), short)
    assert encoder._waves is waves
    assert len(pickle.dumps(encoder)) == n_bytes
    assert_same_bits(pickle.loads(pickle.dumps(encoder))(x, offsets=[0, 40]), whole)


def test_numbers_that_overflow_with_their_positions_are_refused() -> None:
    """Without a warning of NumPy, which pytest would raise."""
    large = np.full((4, 12), 3e38, np.float32)
    encoder = Encoder(layers_of(12, 9, 1), heads=2, positions=large)
    assert np.isnan(encoder(large, offsets=[0, 4], on_invalid="sentinel")).all()
    assert np.isnan(encoder(large[None], on_invalid="sentinel")).all()


def test_weights_are_copies() -> None:
    module, x = torch_encoder(), rows(10, 24)[None]
    encoder = Encoder.from_torch(module)
    before = encoder(x)
    with torch.no_grad():
        module.layers[0].linear1.weight.zero_()
    assert_same_bits(encoder(x), before)
    assert_same_bits(pickle.loads(pickle.dumps(encoder))(x), before)
