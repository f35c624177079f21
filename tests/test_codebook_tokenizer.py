"""`CodebookTokenizer`: features, network, codes and ids are those of the definition, whatever the batch or machine.

Tolerance class: equality of bits and of integers. Only the comparison with torch has a tolerance, which it states.
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evtok
from evtok import Codebook, Events, _core, kinematics
from evtok import reference_codebook_tokenizer as reference
from evtok.errors import ArtefactError, FingerprintError, InvalidEventsError
from evtok.tokenizers import (
    BinnedTokenizer,
    CodebookTokenizer,
    Feature,
    FeatureNetwork,
    NumericFeature,
    Tokenizer,
    Transform,
    Uniform,
    artefact,
    codebook_presets,
)
from evtok.tokenizers.codebook_features import CUT, INVALID, KEPT
from evtok.tokenizers.exact_moments import ExactMoments
from evtok.tokenizers.feature_network import Dense

GOLDEN = Path(__file__).parent / "golden"
sys.path.insert(0, str(GOLDEN))
from codebook_tokenizers import golden_codebook_tokenizers  # noqa: E402
from events import golden_events  # noqa: E402

TYPES = ("j", "b", "e")
PLAIN = {"pt": NumericFeature("pt", "log"), "eta": NumericFeature("eta")}


def make_events(n: int = 200, seed: int = 0, dtype: type = np.float32, **extra: Any) -> Events:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(4, n)
    m = int(counts.sum())
    columns = {
        "pt": (20 + rng.exponential(60, m)).astype(dtype),
        "eta": rng.normal(0, 1, m).astype(dtype),
        "phi": rng.uniform(-np.pi, np.pi, m).astype(dtype),
        "type": rng.integers(0, len(TYPES), m).astype(np.uint8),
    }
    fields = {"jet_eta": rng.normal(0, 0.3, n), "jet_phi": rng.uniform(-np.pi, np.pi, n)}
    return Events(np.r_[0, np.cumsum(counts)], columns | extra, fields, types=TYPES)


def codes(k: int, d: int, seed: int = 1) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 1.5, (k, d)) + ([4] + [0] * (d - 1))).astype(np.float32)


def one_event(**columns: list[float]) -> Events:
    n = len(next(iter(columns.values())))
    return Events([0, n], {name: np.array(values, np.float64) for name, values in columns.items()})


# ---- features -----------------------------------------------------------------------------------------------------

numbers = st.one_of(
    st.floats(width=64),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.floats(-10, 10),
    st.sampled_from(
        [0.0, -0.0, 5e-324, 1e-45, 3.4e38, 1e308, math.pi, -math.pi, 0.8, -0.8, math.nan, math.inf]
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    values=st.lists(numbers, min_size=1, max_size=40),
    dtype=st.sampled_from([np.float32, np.float64]),
    function=st.sampled_from(["identity", "log", "sqrt", "asinh"]),
    subtract=st.sampled_from([0.0, 1.8, -2.5]),
    multiply=st.sampled_from([1.0, 3.0, 0.1, 1e300]),
    relative=st.sampled_from([None, 0.3, -3.1, math.nan]),
    wrap=st.booleans(),
    limits=st.sampled_from([(None, None), (-0.8, 0.8), (0.0, None)]),
    mean=st.sampled_from([0.0, 0.7]),
    scale=st.sampled_from([1.0, 0.3]),
)
def test_p13_features_have_the_bits_of_the_reference(
    values: list[float],
    dtype: type,
    function: str,
    subtract: float,
    multiply: float,
    relative: float | None,
    wrap: bool,
    limits: tuple[float | None, float | None],
    mean: float,
    scale: float,
) -> None:
    with np.errstate(over="ignore"):
        x = np.array(values, dtype)
    fields = {} if relative is None else {"axis": np.array([relative])}
    events = Events([0, len(x)], {"x": x}, fields)
    feature = NumericFeature(
        "x", Transform(function, subtract, multiply), None if relative is None else "axis", wrap, *limits
    )
    tokenizer = CodebookTokenizer({"x": feature}, np.zeros((1, 1), np.float32))
    vectors = tokenizer.fitted.vectors
    made = type(vectors)(vectors.features, (), 1.0, np.array([mean]), np.array([scale]))
    found, states = made(made.program(events), 0, len(x), 1)
    for k, value in enumerate(x):
        expected = reference.numeric_feature(
            float(value),
            function,
            subtract=subtract,
            multiply=multiply,
            reference_value=relative,
            wrap=wrap,
            above=feature.limits[0],
            below=feature.limits[1],
            mean=mean,
            scale=scale,
        )
        if isinstance(expected, str):
            assert states[k] == {"invalid": INVALID, "cut": CUT}[expected]
        else:
            assert states[k] == KEPT
            assert found[k, 0].tobytes() == expected.tobytes()


def test_types_are_one_number_each_after_the_features() -> None:
    events = make_events(50)
    tokenizer = CodebookTokenizer(PLAIN, codes(4, 5), types=("b", "j", "e"), type_value=0.71)
    vectors = tokenizer.vectors(events)
    one_hot = np.zeros((events.n_objects, 3), np.float32)
    one_hot[np.arange(events.n_objects), np.array([1, 0, 2])[events.columns["type"]]] = np.float32(0.71)
    assert np.array_equal(vectors[:, 2:], one_hot)
    assert np.array_equal(vectors[:, 1], events.columns["eta"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"column": ""}, "column: expected a name"),
        (
            {"column": "pt", "transform": "log10"},
            "transform: expected a function of identity, log, sqrt, asinh",
        ),
        ({"column": "pt", "above": 1, "below": 1}, "above, below: expected a range"),
        ({"column": "pt", "above": math.nan}, "above: expected a finite number"),
        ({"column": "pt", "wrap": 1}, "wrap: expected True or False"),
        ({"column": "pt", "relative_to": 3}, "relative_to: expected a name"),
    ],
)
def test_features_that_mean_nothing_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NumericFeature(**arguments)


# ---- network ------------------------------------------------------------------------------------------------------


def make_network(widths: list[int], activations: list[Any], seed: int = 3) -> FeatureNetwork:
    rng = np.random.default_rng(seed)
    return FeatureNetwork(
        [
            Dense(
                rng.normal(0, 0.7, (n_out, n_in)).astype(np.float32),
                rng.normal(0, 0.3, n_out).astype(np.float32),
                activation,
                0.1 if activation == "leaky_relu" else 0.0,
            )
            for n_in, n_out, activation in zip(widths, widths[1:], activations, strict=False)
        ]
    )


def expected_outputs(network: FeatureNetwork, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    out = np.full((len(x), network.n_out), np.nan, np.float32)
    for k, row in enumerate(x):
        values: list[np.float32] | None = list(row)
        for layer in network.layers:
            if values is None:
                break
            values = reference.dense_layer(
                values, list(layer.weight), list(layer.bias), layer.activation, np.float32(layer.slope)
            )
        if values is not None:
            out[k] = values
    return out


@pytest.mark.parametrize("widths", [[1, 1], [3, 5, 2], [2, 7, 6, 1], [4, 9, 3]])
def test_p2_networks_have_the_bits_of_the_reference_on_every_instruction_set(
    isa: str, widths: list[int]
) -> None:
    network = make_network(widths, ["relu", "leaky_relu", "identity"])
    x = np.random.default_rng(4).normal(0, 2, (70, widths[0])).astype(np.float32)
    x[5] = 0
    x[6] *= np.float32(1e-42)
    x[7] = 3e38
    x[8, 0] = -3e38
    expected = expected_outputs(network, x)
    for n in (0, 1, 2, 63, 64, 65, 70):
        found = network(x[:n])
        assert found.tobytes() == expected[:n].tobytes(), (isa, n)
    assert network(x, threads=3).tobytes() == expected.tobytes()


def test_overflow_inside_a_network_is_invalid_even_where_relu_would_hide_it() -> None:
    network = FeatureNetwork(
        [
            Dense(np.full((2, 1), -3e38, np.float32), np.zeros(2, np.float32), "relu"),
            Dense(np.ones((1, 2), np.float32), np.zeros(1, np.float32)),
        ]
    )
    assert network(np.array([[1.0]], np.float32)).tolist() == [[0.0]]
    assert np.isnan(network(np.array([[2.0]], np.float32))).all()
    tokenizer = CodebookTokenizer({"x": NumericFeature("x")}, np.zeros((1, 1), np.float32), network=network)
    events = one_event(x=[1, 2])
    assert tokenizer.encode(events, on_invalid="sentinel").ids.tolist() == [4, -1]
    with pytest.raises(
        InvalidEventsError, match=r"event 0, object 1: the network overflows float32 at .*'x'"
    ):
        tokenizer.encode(events)


def test_networks_that_do_not_fit_together_are_refused() -> None:
    dense = Dense(np.ones((2, 3), np.float32), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="layer 0 gives 2 numbers, and layer 1 takes 3"):
        FeatureNetwork([dense, dense])
    with pytest.raises(ValueError, match="layers: expected 1 to"):
        FeatureNetwork([])
    with pytest.raises(ValueError, match="network: takes 3 numbers, and the features are 2: pt, eta"):
        CodebookTokenizer(PLAIN, codes(3, 2), network=FeatureNetwork([dense]))
    with pytest.raises(ValueError, match="network: takes 3 numbers, and there are 2 features and 0 types"):
        CodebookTokenizer(PLAIN, n_codes=3, network=FeatureNetwork([dense]))
    with pytest.raises(ValueError, match="bias: expected shape"):
        Dense(np.ones((2, 3), np.float32), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="weight: expected float32"):
        Dense(np.ones((2, 3)), np.zeros(2, np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weight: expected finite"):
        Dense(np.full((2, 3), np.nan, np.float32), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="slope: expected a float32 for leaky_relu, and 0 for others"):
        Dense(np.ones((2, 3), np.float32), np.zeros(2, np.float32), "relu", 0.5)


def test_from_torch_takes_the_weights() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    nn = torch.nn
    module = nn.Sequential(
        nn.Linear(2, 33),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Sequential(nn.Linear(33, 16, bias=False), nn.LeakyReLU(0.2)),
        nn.Identity(),
        nn.Linear(16, 3),
    ).eval()
    tokenizer = CodebookTokenizer.from_torch(PLAIN, module, codes(64, 3))
    events = make_events()
    features = CodebookTokenizer(PLAIN, codes(64, 2)).vectors(events)
    with torch.no_grad():
        expected = module(torch.from_numpy(features)).numpy()
    found = tokenizer.vectors(events)
    # Sums of at most 33 products, each of numbers below 10, in another order: some 1e-7 of 10 each.
    assert np.abs(found - expected).max() < 1e-5
    with torch.no_grad():
        module[0].weight.zero_()
    assert tokenizer.vectors(events).tobytes() == found.tobytes()
    decoded = tokenizer.decode(tokenizer.encode(events))
    assert list(decoded.columns) == ["z0", "z1", "z2"]
    rows = np.stack([*decoded.columns.values()], axis=1)
    assert np.array_equal(rows, tokenizer.codebook.vectors[tokenizer.codebook.nearest(found)])


def test_modules_that_cannot_be_kept_are_refused_with_the_reason() -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Mine(nn.Linear):  # type: ignore[name-defined, misc]
        def forward(self, x: Any) -> Any:
            return super().forward(x) + 1

    for module, message in (
        (nn.Sequential(nn.Linear(2, 2), nn.Tanh()), r"module\[1\]: a Tanh cannot be kept in a tokenizer"),
        (
            nn.Sequential(nn.Linear(2, 4), nn.Sequential(nn.BatchNorm1d(4))),
            r"module\[1\]\[0\]: a BatchNorm1d",
        ),
        (nn.Sequential(nn.ReLU()), r"module\[0\]: ReLU has to follow a Linear"),
        (nn.Sequential(), "expected at least one Linear"),
        (nn.Sequential(Mine(2, 2)), "whose forward pass is not known"),
        (nn.Linear(2, 2).double(), r"module.weight: expected float32, got float64; use module.float\(\)"),
        (torch.relu, "expected a module of torch.nn"),
    ):
        with pytest.raises(TypeError, match=message):
            CodebookTokenizer.from_torch(PLAIN, module, codes(4, 2))


def test_modules_that_compute_something_else_are_refused_with_the_reason() -> None:
    """Each gives another vector than its weights alone do."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("torch.nn.utils.prune")
    nn = torch.nn
    two = torch.ones(1, 2)

    def network() -> Any:
        layers = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Dropout(), nn.Identity()).eval()
        with torch.no_grad():
            layers[0].weight.copy_(torch.eye(2))
            layers[0].bias.fill_(1)
        return layers

    class Doubled(nn.Module):  # type: ignore[name-defined, misc]
        def forward(self, weight: Any) -> Any:
            return 2 * weight

    class Twice(nn.Sequential):  # type: ignore[name-defined, misc]
        def forward(self, x: Any) -> Any:
            return super().forward(super().forward(x))

    def hook(place: int | None) -> Any:
        module = network()
        part = module if place is None else module[place]
        part.register_forward_hook(lambda _module, _inputs, output: 2 * output)
        return module

    def pre_hook(place: int | None) -> Any:
        module = network()
        part = module if place is None else module[place]
        part.register_forward_pre_hook(lambda _module, inputs: (2 * inputs[0],))
        return module

    def own_forward(place: int | None) -> Any:
        module = network()
        part = module if place is None else module[place]
        before = part.forward
        part.forward = lambda x: 2 * before(x)
        return module

    def parametrized() -> Any:
        module = network()
        nn.utils.parametrize.register_parametrization(module[0], "weight", Doubled())
        return module

    def pruned() -> Any:
        module = network()
        nn.utils.prune.custom_from_mask(module[0], "weight", torch.zeros(2, 2))
        return module

    places = (None, 0, 1, 2, 3)
    for make, message in (
        *((partial(hook, place), "forward hooks cannot be kept") for place in places),
        *((partial(pre_hook, place), "forward hooks cannot be kept") for place in places),
        *((partial(own_forward, place), "has a forward of its own") for place in places),
        (parametrized, r"module\[0\]: parametrizations cannot be kept"),
        (pruned, r"module\[0\]: forward hooks cannot be kept"),
        (lambda: Twice(*network()), "whose forward pass is not known"),
    ):
        module = make()
        assert not torch.equal(module(two), network()(two))
        with pytest.raises(TypeError, match=message):
            CodebookTokenizer.from_torch(PLAIN, module, codes(4, 2))
    removed = parametrized()
    nn.utils.parametrize.remove_parametrizations(removed[0], "weight")
    assert FeatureNetwork.from_torch(removed).layers[0].weight.tolist() == [[2, 0], [0, 2]]


def test_weight_norm_is_refused_with_the_reason() -> None:
    torch = pytest.importorskip("torch")
    new = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 2))
    with pytest.raises(TypeError, match="module: parametrizations cannot be kept"):
        CodebookTokenizer.from_torch(PLAIN, new, codes(4, 2))
    with pytest.warns(FutureWarning, match="weight_norm"):
        old = torch.nn.utils.weight_norm(torch.nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"module: forward hooks cannot be kept .* weight_norm"):
        CodebookTokenizer.from_torch(PLAIN, old, codes(4, 2))


# ---- tokens -------------------------------------------------------------------------------------------------------


def test_ids_are_codes_after_the_special_tokens() -> None:
    events = make_events()
    tokenizer = CodebookTokenizer(PLAIN, codes(50, 2))
    tokens = tokenizer.encode(events)
    assert np.array_equal(tokens.ids, 4 + tokenizer.codebook.nearest(tokenizer.vectors(events)))
    assert np.array_equal(tokens.offsets, events.offsets)
    assert (tokenizer.vocab_size, tokenizer.pad_id, tokens.fingerprint) == (54, 0, tokenizer.fingerprint)
    assert tokenizer.encode(events, dtype=np.uint16).ids.dtype == np.uint16
    assert tokenizer.encode(events.to_awkward()).ids.tolist() == tokens.ids.tolist()
    assert isinstance(tokenizer, Tokenizer)


def test_omnijet_tokens_start_with_0_have_code_plus_1_and_stop_with_k_plus_1() -> None:
    events = make_events()
    k = 40
    tokenizer = CodebookTokenizer.preset(
        "omnijet", codebook=codes(k, 3), columns=("pt", "eta", "phi"), relative_to=("jet_eta", "jet_phi")
    )
    tokens = tokenizer.encode(events)
    event_of = np.repeat(np.arange(len(events)), events.multiplicity)
    eta = events.columns["eta"].astype(np.float64) - events.fields["jet_eta"][event_of]
    phi = events.columns["phi"].astype(np.float64) - events.fields["jet_phi"][event_of]
    phi = (phi + np.pi) % (2 * np.pi) - np.pi
    kept = (np.abs(eta) < 0.8) & (np.abs(phi) < 0.8)
    assert 0 < kept.sum() < len(kept)
    log_pt = kinematics.log(events.columns["pt"].astype(np.float64))
    vectors = np.stack([log_pt - 1.8, eta * 3, phi * 3], axis=1).astype(np.float32)[kept]
    found = tokenizer.codebook.nearest(vectors)
    for i in range(len(events)):
        expected = [0, *(found[event_of[kept] == i] + 1), k + 1]
        assert tokens[i].tolist() == expected
    assert tokens.report is not None
    assert tokens.report.cut_objects == (~kept).sum()
    assert tokens.report.n_objects == events.n_objects
    assert (tokenizer.vocab_size, tokenizer.pad_id) == (k + 2, -1)
    assert CodebookTokenizer.preset("omnijet").settings.fit.n_codes == 8192  # type: ignore[union-attr]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_p1_tokens_of_an_event_do_not_depend_on_the_others(data: st.DataObject) -> None:
    tokenizer = SHARED
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    events = make_events(60, seed=data.draw(st.integers(0, 5)), dtype=dtype)
    order = np.array(data.draw(st.permutations(range(60)))[: data.draw(st.integers(0, 60))], np.int64)
    whole = tokenizer.encode(events, threads=data.draw(st.integers(1, 3)))
    part = tokenizer.encode(events[order])
    for k, i in enumerate(order):
        assert part[k].tolist() == whole[int(i)].tolist()


SHARED = CodebookTokenizer(
    {
        "pt": NumericFeature("pt", Transform("log", 3.0)),
        "eta": NumericFeature("eta", above=-2),
        "phi": NumericFeature("phi", relative_to="jet_phi", wrap=True),
    },
    codes(200, 4),
    network=make_network([6, 17, 4], ["relu", "identity"]),
    types=TYPES,
    sort_by="pt",
    max_length=9,
    too_long="truncate",
    specials=("pad", "bos"),
    sequence=("bos", "objects"),
)


def test_p2_instruction_sets_and_threads_give_the_same_tokens(isa: str) -> None:
    events = golden_events(3000, np.float32)
    tokenizer = golden_codebook_tokenizers()["network"]
    with_isa = tokenizer.encode(events, threads=3)
    _core.force_isa("scalar")
    assert with_isa.ids.tobytes() == tokenizer.encode(events, threads=1).ids.tobytes()


def test_p24_many_threads_at_once() -> None:
    events = make_events(200)
    expected = SHARED.encode(events).ids.tobytes()
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda _: SHARED.encode(events, threads=2).ids.tobytes(), range(64))
        assert all(ids == expected for ids in found)


def test_p17_features_never_need_more_than_a_block_of_vectors() -> None:
    """A million objects with 64 numbers each would be 256 MB of vectors; a block of them is 67 MB."""
    m = 1_000_000
    column = np.ones(m, np.float32)
    events = Events([0, m], {"x": column}, max_per_event=m)
    features = {f"x{k}": NumericFeature("x") for k in range(64)}
    tokenizer = CodebookTokenizer(features, np.ones((1, 64), np.float32))
    tokenizer.encode(events)
    tracemalloc.start()
    try:
        tokenizer.encode(events)
        assert tracemalloc.get_traced_memory()[1] < 160 << 20
    finally:
        tracemalloc.stop()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from evtok.tokenizers import codebook_encode

    events = make_events(300)
    expected = SHARED.encode(events)
    for block in (1, 7, 64):
        monkeypatch.setattr(codebook_encode, "_BLOCK", block)
        found = SHARED.encode(events)
        assert (found.ids.tolist(), found.report) == (expected.ids.tolist(), expected.report)


def test_cut_objects_have_no_token_and_are_counted_before_sorting_and_truncation() -> None:
    events = Events(
        [0, 4, 4, 6],
        {
            "pt": np.array([10, 40, 30, 20, 5, 6], np.float32),
            "eta": np.array([0, 9, 0, 0, 9, -9], np.float32),
        },
    )
    tokenizer = CodebookTokenizer(
        {"pt": NumericFeature("pt"), "eta": NumericFeature("eta", above=-5, below=5)},
        np.array([[10, 0], [20, 0], [30, 0], [40, 0]], np.float32),
        specials=("bos",),
        sequence=("bos", "objects"),
        sort_by="pt",
        max_length=3,
        too_long="truncate",
    )
    tokens = tokenizer.encode(events)
    assert [row.tolist() for row in tokens] == [[0, 3, 2], [0], [0]]
    report = tokens.report
    assert report is not None
    assert (report.n_objects, report.cut_objects, report.truncated_objects, report.truncated_events) == (
        6,
        3,
        1,
        1,
    )
    longer = CodebookTokenizer(tokenizer.settings.features, tokenizer.codebook, max_length=3)
    assert longer.encode(events).lengths.tolist() == [3, 0, 0]  # four objects, of which one is cut
    with pytest.raises(InvalidEventsError, match="event 0 has 3 objects, and max_length=2 holds 2"):
        CodebookTokenizer(tokenizer.settings.features, tokenizer.codebook, max_length=2).encode(events)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_p7_invalid_objects_never_get_a_plausible_token(bad: float) -> None:
    events = one_event(pt=[30, bad, 50, 60], eta=[0, 0, bad, 9])
    features = {"pt": NumericFeature("pt", "log"), "eta": NumericFeature("eta", below=5)}
    tokenizer = CodebookTokenizer(features, codes(8, 2))
    tokens = tokenizer.encode(events, on_invalid="sentinel")
    assert (tokens.ids >= 0).tolist() == [True, False, False]  # the fourth is cut
    assert tokens.report is not None
    assert (tokens.report.invalid, tokens.report.cut_objects) == (2, 1)
    with pytest.raises(
        InvalidEventsError, match=r"event 0, object 1: pt: column 'pt' = .* is not finite \(and 1 more"
    ):
        tokenizer.encode(events)
    with pytest.raises(ValueError, match="uint16 has no place for the sentinel"):
        tokenizer.encode(events, on_invalid="sentinel", dtype=np.uint16)


def test_values_outside_a_transform_or_float32_are_invalid() -> None:
    tokenizer = CodebookTokenizer({"x": NumericFeature("x", "log")}, codes(8, 1))
    with pytest.raises(InvalidEventsError, match=r"object 1: x: column 'x' = -1.0 is not valid for log"):
        tokenizer.encode(one_event(x=[1, -1]))
    wide = CodebookTokenizer({"x": NumericFeature("x")}, codes(8, 1))
    with pytest.raises(InvalidEventsError, match="object 0: a feature overflows float32"):
        wide.encode(one_event(x=[1e39]))
    with pytest.raises(InvalidEventsError, match=r"object 0: no code is nearest to \[.*\] \(l2\)"):
        wide.encode(one_event(x=[3e38]))
    relative = CodebookTokenizer({"x": NumericFeature("x", relative_to="axis")}, codes(8, 1))
    with pytest.raises(InvalidEventsError, match="relative to 'axis' = nan is not finite"):
        relative.encode(Events([0, 1], {"x": np.ones(1)}, {"axis": np.array([np.nan])}))
    cosine = CodebookTokenizer({"x": NumericFeature("x")}, Codebook(codes(8, 1), metric="cosine"))
    assert cosine.encode(one_event(x=[0, 2]), on_invalid="sentinel").ids.tolist()[0] == -1


def test_unknown_types_become_unk_or_are_invalid() -> None:
    events = make_events(30)
    known = events.columns["type"] != 1
    tokenizer = CodebookTokenizer(PLAIN, codes(9, 4), types=("j", "e"))
    tokens = tokenizer.encode(events)
    assert np.array_equal(tokens.ids != 2, known)
    assert tokens.report is not None
    assert tokens.report.unknown == (~known).sum()
    decoded = tokenizer.decode(tokens)
    assert decoded.types == ("j", "e", "unk")
    assert np.array_equal(np.isnan(decoded.columns["pt"]), ~known)
    strict = CodebookTokenizer(PLAIN, codes(9, 4), types=("j", "e"), specials=("pad",))
    with pytest.raises(InvalidEventsError, match="unknown object type 'b'; the tokenizer knows j, e"):
        strict.encode(events)
    assert np.array_equal(strict.encode(events, on_invalid="sentinel").ids != -1, known)


def test_missing_columns_and_wrong_arguments_are_named() -> None:
    events = make_events(5)
    tokenizer = CodebookTokenizer({"m": NumericFeature("mass", relative_to="axis")}, codes(3, 1))
    assert (tokenizer.required_columns, tokenizer.required_fields) == (("mass",), ("axis",))
    with pytest.raises(InvalidEventsError, match="no column 'mass'"):
        tokenizer.encode(events)
    with pytest.raises(InvalidEventsError, match="no field 'axis'"):
        tokenizer.encode(events.with_columns(mass=events.columns["pt"]))
    with pytest.raises(TypeError, match="events: expected Events"):
        tokenizer.encode([1, 2])  # type: ignore[arg-type]
    for arguments, message in (
        ({}, "expected one of them.*got neither"),
        ({"codebook": codes(3, 2), "n_codes": 3}, "got both"),
        ({"codebook": codes(3, 3)}, "codebook: has 3 dimensions, and there are 2 features"),
        ({"codebook": codes(3, 2).astype(np.float64)}, "codebook: expected float32 as the features are"),
        (
            {"codebook": codes(3, 2), "standardise": True},
            "standardise: a codebook or a network that is given",
        ),
        ({"n_codes": 0}, "n_codes: expected a whole number from 1"),
        ({"n_codes": 3, "seed": 2**64}, "seed: expected 0 to"),
        ({"n_codes": 3, "types": "jet"}, "types: expected names of types"),
        ({"n_codes": 3, "types": ("j", "j")}, "types: expected at most 256 different names"),
        ({"n_codes": 3, "type_value": 0}, "type_value: expected a float32 other than 0"),
        ({"n_codes": 3, "specials": ("begin",)}, "specials: expected names of"),
        ({"n_codes": 3, "sequence": ("bos", "objects")}, "sequence: expected entries"),
        ({"n_codes": 3, "too_long": "cut"}, "too_long: expected 'raise' or 'truncate'"),
    ):
        with pytest.raises(ValueError, match=message):
            CodebookTokenizer(PLAIN, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="features: expected NumericFeatures"):
        CodebookTokenizer({"pt": Feature("pt", Uniform(3, 0, 1))}, n_codes=3)  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="call fit"):
        CodebookTokenizer(PLAIN, n_codes=3).encode(events)


# ---- decoding -----------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_p10_encode_of_decode_is_the_identity_for_distinct_codes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = {
        "pt": NumericFeature("pt", Transform("log", subtract=1.8, multiply=0.5)),
        "eta": NumericFeature("eta", Transform(multiply=3)),
        "r": NumericFeature("r", "sqrt"),
        "a": NumericFeature("a", "asinh"),
    }
    vectors = rng.normal(0, 1, (60, 4)).astype(np.float32)
    vectors[:, 2] = np.abs(vectors[:, 2])
    tokenizer = CodebookTokenizer(features, vectors)
    ids = rng.permutation(60).astype(np.int32) + 4
    tokens = evtok.Tokens(
        ids, [0, 10, 10, 60], fingerprint=tokenizer.fingerprint, vocab_size=tokenizer.vocab_size
    )
    again = tokenizer.encode(tokenizer.decode(tokens))
    assert again.ids.tolist() == ids.tolist()
    assert again.offsets.tolist() == [0, 10, 10, 60]


def test_p10_ids_that_are_no_codes_are_refused() -> None:
    tokenizer = CodebookTokenizer.preset("omnijet", codebook=codes(10, 3))
    size = tokenizer.vocab_size
    for ids, message in (
        ([0, 1, 12], "id 12 .* is outside the 12 ids"),
        ([1, 11], "expected a token 'bos', got id 1"),
        ([0, 11, 11], "expected a token of an object, got id 11"),
        ([0], "fewer than the 2 around the objects"),
        ([0, -2, 11], "id -2 .* is outside"),
    ):
        tokens = evtok.Tokens(np.array(ids, np.int32), [0, len(ids)], vocab_size=size)
        with pytest.raises(InvalidEventsError, match=message):
            tokenizer.decode(tokens)


def test_p10_tokens_of_another_codebook_are_refused() -> None:
    events = make_events(5)
    first = CodebookTokenizer(PLAIN, codes(10, 2))
    changed = codes(10, 2)
    changed[3, 1] = np.nextafter(changed[3, 1], np.float32(9))
    second = CodebookTokenizer(PLAIN, changed)
    assert first.fingerprint != second.fingerprint
    with pytest.raises(FingerprintError, match="made by tokenizer"):
        second.decode(first.encode(events))
    cosine = CodebookTokenizer(PLAIN, Codebook(codes(10, 2), metric="cosine"))
    assert cosine.fingerprint != first.fingerprint


def test_decoding_undoes_standardisation_and_types() -> None:
    events = make_events(500)
    tokenizer = CodebookTokenizer(PLAIN, n_codes=300, types=TYPES).fit(events)
    decoded = tokenizer.decode(tokenizer.encode(events))
    assert decoded.types == TYPES
    assert (decoded.columns["type"] == events.columns["type"]).mean() > 0.95
    assert np.median(np.abs(np.log(decoded.columns["pt"] / events.columns["pt"]))) < 0.1
    assert np.median(np.abs(decoded.columns["eta"] - events.columns["eta"])) < 0.15


# ---- fitting ------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=60),
    cut=st.integers(0, 60),
)
def test_p14_moments_are_exact_for_any_chunks(values: list[float], cut: int) -> None:
    x = np.array(values, np.float32)
    moments = ExactMoments()
    for part in (x[:cut], x[cut:]):
        moments.add(part)
    exact = [Fraction(float(value)) for value in x]
    mean = sum(exact, Fraction()) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    assert moments.mean == float(mean)
    root = Fraction(moments.standard_deviation)
    if variance == 0:
        assert root == 0
    else:  # rounded to nearest: no neighbour's square brackets the variance
        below, above = (Fraction(math.nextafter(float(root), end)) for end in (0.0, math.inf))
        assert ((root + below) / 2) ** 2 <= variance <= ((root + above) / 2) ** 2


def test_p14_codes_do_not_depend_on_chunks_threads_or_rounding_mode(isa: str) -> None:
    events = make_events(800)
    made = [
        CodebookTokenizer(PLAIN, n_codes=20, types=TYPES, seed=7).fit(source, threads=threads)
        for source, threads in (
            (events, 1),
            ([events[:1], events[1:400], events[400:400], events[400:]], 3),
        )
    ]
    assert made[0].fingerprint == made[1].fingerprint
    _core.force_isa("scalar")
    assert (
        CodebookTokenizer(PLAIN, n_codes=20, types=TYPES, seed=7).fit(events).fingerprint
        == made[0].fingerprint
    )
    assert (
        CodebookTokenizer(PLAIN, n_codes=20, types=TYPES, seed=8).fit(events).fingerprint
        != made[0].fingerprint
    )


def test_streaming_and_remembered_fits_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    from evtok.tokenizers import codebook_fit

    chunks = [make_events(200, seed=k) for k in range(3)]
    expected = CodebookTokenizer(PLAIN, n_codes=16).fit(chunks)
    monkeypatch.setattr(codebook_fit, "_KEPT_BYTES", 100)
    monkeypatch.setattr(codebook_fit, "_BLOCK", 123)
    assert CodebookTokenizer(PLAIN, n_codes=16).fit(chunks).fingerprint == expected.fingerprint
    batched = [CodebookTokenizer(PLAIN, n_codes=16, batch=500).fit(c).fingerprint for c in (chunks, chunks)]
    assert batched[0] == batched[1] != expected.fingerprint


def test_fit_leaves_out_what_is_cut_unknown_or_invalid() -> None:
    good = make_events(100)
    features = {"pt": NumericFeature("pt", "log"), "eta": NumericFeature("eta", above=-1, below=1)}
    columns = {name: np.array(values) for name, values in good.columns.items()}
    inside = (np.abs(columns["eta"]) < 1) & (columns["type"] != 2)
    columns["pt"][inside.argmax()] = -1  # invalid
    bad = Events(good.offsets, columns, types=TYPES)
    tokenizer = CodebookTokenizer(features, n_codes=8, types=TYPES[:2])
    with pytest.raises(
        InvalidEventsError, match=r"object \d+ of event \d+ of a chunk has a value that is NaN"
    ):
        tokenizer.fit(bad)
    assert not tokenizer.is_fitted
    tokenizer.fit(bad, on_invalid="skip")
    report = tokenizer.fit_report
    assert report is not None
    assert report.n_rows == inside.sum() - 1
    health = tokenizer.health([bad])
    assert (health.n_rows, health.n_invalid) == (inside.sum() - 1, 1)
    assert health.n_masked == bad.n_objects - inside.sum()
    # The inertia is a sum of distances in float32, each within (D + 2) 2**-24.
    assert health.error == pytest.approx(report.inertia[-1] / report.n_rows, rel=1e-6)


def test_constant_features_and_empty_sources() -> None:
    flat = Events([0, 3, 6], {"pt": np.full(6, 30, np.float32), "eta": np.arange(6, dtype=np.float32)})
    tokenizer = CodebookTokenizer(PLAIN, n_codes=6).fit(flat)
    assert tokenizer.fitted.vectors.scale[0] == 1.0
    assert sorted(tokenizer.encode(flat).ids.tolist()) == [4, 5, 6, 7, 8, 9]
    with pytest.raises(InvalidEventsError, match="expected at least one object"):
        CodebookTokenizer(PLAIN, n_codes=6).fit(flat[:0])
    with pytest.raises(ValueError, match="at least k = 7"):
        CodebookTokenizer(PLAIN, n_codes=7).fit(flat)
    with pytest.raises(TypeError, match="an iterator can be read only once"):
        CodebookTokenizer(PLAIN, n_codes=6).fit(iter([flat]))
    with pytest.raises(ValueError, match="on_invalid"):
        CodebookTokenizer(PLAIN, n_codes=6).fit(flat, on_invalid="drop")  # type: ignore[arg-type]


def test_a_network_is_kept_and_codes_are_found_behind_it() -> None:
    events = make_events(300)
    network = make_network([2, 8, 3], ["relu", "identity"])
    tokenizer = CodebookTokenizer(PLAIN, n_codes=12, network=network).fit(events)
    assert tokenizer.codebook.n_dims == 3
    assert tokenizer.settings.standardise is False
    expected = evtok.fit_codebook(tokenizer.vectors(events), 12)
    assert np.array_equal(tokenizer.codebook.vectors, expected.vectors)


# ---- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["features", "types", "network", "learnt"])
def test_p55_golden_tokens(isa: str, name: str) -> None:
    folder = GOLDEN / "codebook-0.1.0"
    golden = json.loads((folder / "expected.json").read_text())
    if golden["numerics_version"] != _core.numerics_version:
        pytest.skip(f"numerics version {golden['numerics_version']}: its tokens are another's")
    tokenizer = evtok.load_tokenizer(folder / name)
    assert tokenizer.fingerprint == golden_codebook_tokenizers()[name].fingerprint
    for dtype in (np.float32, np.float64):
        tokens = tokenizer.encode(golden_events(20_000, dtype))
        content = tokens.ids.astype("<i4").tobytes() + tokens.offsets.astype("<i8").tobytes()
        assert (
            hashlib.sha256(content).hexdigest() == golden["tokens_sha256"][f"{name} {np.dtype(dtype).name}"]
        )


def test_saved_loaded_and_pickled_tokenizers_are_the_same(tmp_path: Path) -> None:
    events = make_events()
    for name, tokenizer in {**golden_codebook_tokenizers(), "shared": SHARED}.items():
        tokenizer.save(tmp_path / name)
        for again in (evtok.load_tokenizer(tmp_path / name), pickle.loads(pickle.dumps(tokenizer))):
            assert isinstance(again, CodebookTokenizer)
            assert again.fingerprint == tokenizer.fingerprint
            assert again.settings == tokenizer.settings
    assert np.array_equal(again.encode(events).ids, SHARED.encode(events).ids)
    with pytest.raises(TypeError, match="not fitted"):
        pickle.dumps(CodebookTokenizer(PLAIN, n_codes=3))
    with pytest.raises(ArtefactError, match="expected kind 'binned', got 'codebook_tokenizer'"):
        BinnedTokenizer.load(tmp_path / "shared")
    SHARED.codebook.save(tmp_path / "codes")
    with pytest.raises(
        ArtefactError, match="a tokenizer of kind binned or codebook_tokenizer, got 'codebook'"
    ):
        evtok.load_tokenizer(tmp_path / "codes")


def _hostile() -> dict[str, tuple[Any, str]]:
    def change(name: str, value: Any) -> Any:
        return lambda config, tensors: config.update({name: value})

    def tensor(name: str, value: Any) -> Any:
        return lambda config, tensors: tensors.update({name: value})

    return {
        "unknown key": (change("code", "print()"), "unknown key 'code'"),
        "definition": (change("definition", {"features": "float32"}), "definition: expected"),
        "features": (change("features", {}), "features: expected a list"),
        "feature": (change("features", [{"name": "pt", "column": "pt"}]), "missing key 'above'"),
        "twice": (lambda c, t: c.update(features=c["features"] * 2), "expected features of different names"),
        "types": (change("types", "j"), "types: expected a list of names"),
        "metric": (change("metric", "l1"), "metric: expected"),
        "fit": (change("fit", {"n_codes": 3}), "fit: missing key 'batch'"),
        "fit number": (
            change("fit", {"n_codes": True, "seed": 0, "batch": None, "max_iterations": 1}),
            "n_codes: expected a whole number",
        ),
        "network": (change("network", [{"activation": "relu"}]), "missing key 'slope'"),
        "network kind": (change("network", "relu"), "network: expected a list"),
        "activation": (
            lambda c, t: c["network"][0].update(activation="tanh"),
            "activation: expected one of identity, relu, leaky_relu",
        ),
        "fewer layers": (lambda c, t: c["network"].pop(), "unknown key 'network.1.bias'"),
        "more layers": (lambda c, t: c["network"].append(c["network"][0]), "missing 'network.2.weight'"),
        "mean": (tensor("mean", np.zeros(2)), "mean: expected 3 finite float64 numbers"),
        "scale": (tensor("scale", np.zeros(3)), "scale: expected positive numbers"),
        "infinite": (tensor("scale", np.full(3, np.inf)), "scale: expected 3 finite"),
        "codes": (tensor("codebook", np.zeros((3, 9), np.float32)), "codebook: has 9 dimensions"),
        "no codes": (tensor("codebook", np.zeros((0, 4), np.float32)), "expected shape"),
        "float64": (tensor("codebook", np.zeros((3, 4))), "expected float32"),
        "another tensor": (tensor("more", np.zeros(3)), "unknown key 'more'"),
        "another form": (change("type_value", 1), "another form than evtok gives it"),
        "no list": (change("sequence", None), "sequence: expected a list of names"),
    }


@pytest.mark.parametrize("case", list(_hostile()))
def test_hostile_artefacts_are_refused(tmp_path: Path, case: str) -> None:
    attack, message = _hostile()[case]
    config, tensors = SHARED.to_artefact()
    config = json.loads(json.dumps(config))
    tensors = dict(tensors)
    attack(config, tensors)
    artefact.save(tmp_path / "bad", config, tensors)
    with pytest.raises(ArtefactError, match=message):
        evtok.load_tokenizer(tmp_path / "bad")


def test_the_default_tokenizer_follows_from_the_columns() -> None:
    events = make_events(300)
    tokenizer = codebook_presets.for_events(events, 32, seed=3).fit(events)
    assert list(tokenizer.settings.features) == ["pt", "eta", "phi"]
    assert tokenizer.settings.types == TYPES
    assert "32 codes of 6 dimensions" in repr(tokenizer)
    with pytest.raises(ValueError, match="preset: expected one of omnijet, got 'finke'"):
        CodebookTokenizer.preset("finke")


# ---- the kernel's border ------------------------------------------------------------------------------------------


def test_digits_from_elsewhere_are_checked_by_the_kernel() -> None:
    digits = np.array([0, 2, 3, -1, -(2**31), 2**31 - 1, 1], np.int32)
    program = _core.RowProgram(len(digits))
    program.add_digits(digits, 3, 0)
    program.set_vocabulary(False, 10, 1)
    ids = np.empty(len(digits), np.int32)
    counts = program.ids(ids, 1)
    assert ids.tolist() == [10, 12, 1, -1, -1, 1, 11]
    assert (counts["invalid"], counts["unknown"], counts["first_invalid"]) == (2, 2, 3)
    program.set_ranks(np.arange(2, dtype=np.int32))
    with pytest.raises(ValueError, match="ranks"):
        program.ids(ids, 1)
    with pytest.raises(ValueError, match="n_digits"):
        program.add_digits(digits, 0, 0)
    with pytest.raises(ValueError, match="digits: expected shape"):
        program.add_digits(digits[:3], 3, 0)


def test_wrong_arrays_are_refused_at_the_border() -> None:
    program = _core.NumericProgram(3)
    x = np.ones(3, np.float32)
    options = {
        "wrap": False, "above": -1.0, "below": 1.0, "function": 0, "subtract": 0.0, "multiply": 1.0,
        "mean": 0.0, "scale": 1.0, "reference": None,
    }  # fmt: skip
    with pytest.raises(ValueError, match="x: expected shape"):
        program.add(x[:2], options)
    with pytest.raises(ValueError, match="function: expected 0 to 3"):
        program.add(x, {**options, "function": 9})
    with pytest.raises(ValueError, match="set_offsets comes first"):
        program.add(x, {**options, "reference": np.zeros(1)})
    with pytest.raises(ValueError, match="offsets"):
        program.set_offsets(np.array([0, 4], np.int64))
    with pytest.raises(ValueError, match="no feature was added"):
        program.run(0, 3, 1, np.empty((3, 0), np.float32), np.empty(3, np.uint8))
    program.add(x, options)
    with pytest.raises(ValueError, match="begin, end"):
        program.run(1, 4, 1, np.empty((3, 1), np.float32), np.empty(3, np.uint8))
    with pytest.raises(ValueError, match="out: expected"):
        program.run(0, 3, 1, np.empty((3, 2), np.float32), np.empty(3, np.uint8))
    out = np.empty((2, 1), np.float32)
    weight, bias = np.ones((1, 2), np.float32), np.ones(1, np.float32)
    with pytest.raises(ValueError, match="weight: expected shape"):
        _core.feature_network(np.ones((2, 3), np.float32), [(weight, bias, 0, 0.0)], 1, out)
    with pytest.raises(ValueError, match="activation"):
        _core.feature_network(np.ones((2, 2), np.float32), [(weight, bias, 3, 0.0)], 1, out)
    with pytest.raises(ValueError, match="layers: expected one"):
        _core.feature_network(np.ones((2, 2), np.float32), [], 1, out)
