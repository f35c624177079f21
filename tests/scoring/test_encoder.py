"""The native encoder: the bits of its definition anywhere, torch's numbers, and refusals that say why."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evtok import _core, reference_encoder
from evtok.scoring import Encoder
from python_process import lines
from test_float_environment import FLUSH, UP, same_in

torch = pytest.importorskip("torch")
nn = torch.nn
Array = npt.NDArray[Any]
OFFSETS = np.array([0, 1, 1, 4, 24, 41])


def layers_of(
    width: int, feed_forward: int, n_layers: int, seed: int = 0, bias: bool = True
) -> list[dict[str, Array]]:
    rng = np.random.default_rng([seed, width, feed_forward])
    shapes = {
        "self_attn.in_proj_": (3 * width, width),
        "self_attn.out_proj.": (width, width),
        "linear1.": (feed_forward, width),
        "linear2.": (width, feed_forward),
        "norm1.": (width,),
        "norm2.": (width,),
    }
    layers = []
    for _ in range(n_layers):
        layer = {}
        for name, shape in shapes.items():
            layer[name + "weight"] = rng.normal(len(shape) == 1, shape[-1] ** -0.5, shape).astype(np.float32)
            if bias:
                layer[name + "bias"] = rng.normal(0, 0.2, shape[0]).astype(np.float32)
        layers.append(layer)
    return layers


def rows(n: int, width: int, size: float = 1.0) -> Array:
    return np.random.default_rng([n, width]).normal(0, size, (n, width)).astype(np.float32)


def torch_encoder(**changes: Any) -> Any:
    torch.manual_seed(3)
    settings = {
        "d_model": 24,
        "nhead": 3,
        "dim_feedforward": 37,
        "dropout": 0.1,
        "batch_first": True,
    } | changes
    n_layers, norm = settings.pop("layers", 2), settings.pop("norm", None)
    layer = nn.TransformerEncoderLayer(**settings)
    module = nn.TransformerEncoder(layer, n_layers, norm, enable_nested_tensor=False).eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)
    return module


def assert_same_bits(a: Array, b: Array) -> None:
    assert a.dtype == b.dtype == np.float32
    np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


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


# ---- torch -------------------------------------------------------------------------------------------------------


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


# ---- arrays and processes ----------------------------------------------------------------------------------------


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


LONG = """
import numpy as np
from evtok.scoring import Encoder
rng = np.random.default_rng(0)
draw = lambda *shape: (rng.normal(size=shape) / 16).astype(np.float32)
layer = {"self_attn.in_proj_weight": draw(768, 256), "self_attn.out_proj.weight": draw(256, 256),
         "linear1.weight": draw(1024, 256), "linear2.weight": draw(256, 1024), "norm1.weight": draw(256),
         "norm2.weight": draw(256)}
encoder = Encoder([layer] * 8, heads=8)
"""


@pytest.mark.alone
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_stops_one_very_long_sequence(threads: int) -> None:
    """KeyboardInterrupt within 0.2 s, though one thread is in the middle of it; and the next call works."""
    code = (
        LONG
        + f"""
import time
x = draw(60_000, 256)
print("ready", flush=True)
try:
    encoder(x, offsets=[0, 100, 60_000], threads={threads})
except KeyboardInterrupt:
    print(time.clock_gettime(time.CLOCK_MONOTONIC), flush=True)
print(encoder(x[:9], offsets=[0, 9]).shape, flush=True)
"""
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.23)
        pressed = time.clock_gettime(time.CLOCK_MONOTONIC)
        process.send_signal(signal.SIGINT)
        assert float(process.stdout.readline()) - pressed < 0.2
        assert process.stdout.readline() == "(9, 256)\n"
        assert process.wait(20) == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_a_signals_handler_may_score_in_the_middle_of_a_call(threads: int) -> None:
    """It runs on the thread that is in the middle of a layer; both results have their own bits."""
    code = (
        LONG
        + f"""
import signal
small = Encoder([layer], heads=4)
x, y = draw(700, 256), draw(40, 256)
call = lambda: encoder(x, offsets=[0, 700], threads={threads})
expected, of_other = call(), small(y, offsets=[0, 40])
found = []
signal.signal(signal.SIGALRM, lambda *_: found.append(small(y, offsets=[0, 40])))
signal.setitimer(signal.ITIMER_REAL, 0.07)
result = call()
print(len(found) > 0, np.array_equal(result, expected), all(np.array_equal(one, of_other) for one in found))
"""
    )
    assert lines(code) == ["True"] * 3


def test_a_forked_child_computes_and_others_run_meanwhile() -> None:
    code = (
        LONG
        + """
import os, threading
x, offsets = draw(2000, 256), np.arange(0, 2001, 20)
expected = encoder(x, offsets=offsets, threads=2)
if os.fork() == 0:
    os._exit(0 if np.array_equal(encoder(x, offsets=offsets, threads=2), expected) else 1)
print(os.waitstatus_to_exitcode(os.wait()[1]))
ticks, done = 0, threading.Event()
def call():
    encoder(x, offsets=offsets, threads=1)
    done.set()
thread = threading.Thread(target=call)
thread.start()
while not done.wait(0.001):
    ticks += 1
print(ticks > 5)
"""
    )
    assert lines(code) == ["0", "True"]


def test_memory_is_that_of_tiles() -> None:
    """Beyond x and the result: query, key and value rows of all events alone would take 38 MB."""
    code = """
import resource
import numpy as np
from evtok.scoring import Encoder
draw = lambda *shape: np.ones(shape, np.float32)
layer = {"self_attn.in_proj_weight": draw(48, 16), "self_attn.out_proj.weight": draw(16, 16),
         "linear1.weight": draw(64, 16), "linear2.weight": draw(16, 64), "norm1.weight": draw(16),
         "norm2.weight": draw(16)}
encoder = Encoder([layer], heads=2)
x, offsets = draw(200_000, 16), np.arange(0, 200_001, 20)
encoder(x[:2000], offsets=offsets[:101], threads=2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = encoder(x, offsets=offsets, threads=2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < (result.nbytes + 8_000_000) // 1024)
"""
    assert lines(code) == ["True"]
