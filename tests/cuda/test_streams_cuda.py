"""What only a device can show: work stays on the producer's stream, is captured in graphs, and spoils no context."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import evtok
from evtok.errors import EvtokError
from evtok.scoring import segment_sum, token_nll
from evtok.tokenizers import BinnedTokenizer, EqualFrequency, Feature, Uniform

pytestmark = pytest.mark.gpu

#: Cycles of a delay: about a tenth of a second.
DELAY = 150_000_000
N = 2_000

random = np.random.default_rng(11)
COLUMNS = {
    "pt": np.exp(random.normal(4, 1, N)).astype(np.float32),
    "eta": random.normal(0, 2, N).astype(np.float32),
    "type": random.integers(0, 3, N).astype(np.uint8),
}
OFFSETS = np.concatenate([np.arange(0, N, 8), [N]])
EVENTS = evtok.Events(OFFSETS, COLUMNS, types=["j", "b", "e"])
TOKENIZER = BinnedTokenizer(
    {"pt": Feature("pt", EqualFrequency(20)), "eta": Feature("eta", Uniform(30, -4, 4))}, types=EVENTS.types
).fit(EVENTS)
CODES = random.normal(size=(300, 4)).astype(np.float32)
WIDE_CODES = random.normal(size=(500, 64)).astype(np.float32)
CODEBOOK, WIDE_CODEBOOK = evtok.Codebook(CODES), evtok.Codebook(WIDE_CODES)
WEIGHT = random.normal(size=(700, 32)).astype(np.float32)
TARGETS = random.integers(0, 700, N // 10)


class Call:
    """A call of evtok: inputs on the host, what is done with them on either side, and how much it may differ.

    `bad` are inputs with a row that is invalid.
    """

    def __init__(
        self,
        inputs: list[np.ndarray],
        run: Callable[..., Any],
        *,
        bad: list[np.ndarray] | None = None,
        tolerance: float | None = None,
        on_host: Callable[..., Any] | None = None,
    ) -> None:
        self.inputs, self.run, self.bad, self.tolerance = inputs, run, bad, tolerance
        self.on_host = on_host or run

    def check(self, got: np.ndarray, inputs: list[np.ndarray]) -> None:
        expected = self.on_host(*inputs, on_invalid="sentinel")
        if self.tolerance is None:
            np.testing.assert_array_equal(got, expected)
        else:
            np.testing.assert_allclose(got, expected, rtol=0, atol=self.tolerance)


def with_nan(x: np.ndarray, row: int = 7) -> np.ndarray:
    x = x.copy()
    x[row] = np.nan
    return x


def encoded(offsets: Any, pt: Any, eta: Any, types: Any, *, on_invalid: str) -> Any:
    kind = evtok.Events if isinstance(pt, np.ndarray) else evtok.GpuEvents
    events = kind(offsets, {"pt": pt, "eta": eta, "type": types}, types=EVENTS.types)
    return TOKENIZER.encode(events, on_invalid=on_invalid).ids


ROWS = random.normal(size=(N, 4)).astype(np.float32)
WIDE_ROWS = random.normal(size=(N // 10, 64)).astype(np.float32)
HIDDEN = random.normal(size=(N // 10, 32)).astype(np.float32)
CALLS = {
    "digitize": Call([COLUMNS["pt"]], lambda x, on_invalid: evtok.digitize(x, [20.0, 50.0, 100.0])),
    "nearest": Call(
        [ROWS], lambda x, on_invalid: CODEBOOK.nearest(x, on_invalid=on_invalid), bad=[with_nan(ROWS)]
    ),
    "nearest of many dimensions": Call(
        [WIDE_ROWS],
        lambda x, on_invalid: WIDE_CODEBOOK.nearest(x, on_invalid=on_invalid),
        bad=[with_nan(WIDE_ROWS)],
    ),
    "token_nll": Call(
        [HIDDEN, WEIGHT, TARGETS],
        lambda h, w, t, on_invalid: token_nll(h, w, None, t, on_invalid=on_invalid),
        bad=[with_nan(HIDDEN), WEIGHT, TARGETS],
        tolerance=1e-4,
    ),
    "segment_sum": Call(
        [COLUMNS["pt"], OFFSETS],
        lambda v, o, on_invalid: segment_sum(v, o, on_invalid=on_invalid),
        bad=[with_nan(COLUMNS["pt"]), OFFSETS],
    ),
    "encode": Call(
        [OFFSETS, COLUMNS["pt"], COLUMNS["eta"], COLUMNS["type"]],
        encoded,
        bad=[OFFSETS, with_nan(COLUMNS["pt"]), COLUMNS["eta"], COLUMNS["type"]],
    ),
}
calls = pytest.mark.parametrize("call", [pytest.param(call, id=name) for name, call in CALLS.items()])


def torch_of(gpu: Any) -> Any:
    if gpu.name != "torch":
        pytest.skip("by torch's streams and graphs")
    import torch

    return torch


@calls
def test_p22_a_side_stream_with_a_delayed_producer(gpu, call):
    """The inputs are written on a side stream, late: a kernel on any other stream would read what was there before."""
    torch = torch_of(gpu)
    sources = [gpu.put(x) for x in call.inputs]
    call.run(*sources, on_invalid="sentinel")  # prepares what is kept
    late = [torch.zeros_like(x) for x in sources]
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.cuda._sleep(DELAY)
        for x, source in zip(late, sources, strict=True):
            x.copy_(source)
        result = call.run(*late, on_invalid="sentinel")
        found = result.clone()  # on the same stream
    side.synchronize()
    call.check(gpu.get(found), call.inputs)


@calls
def test_p22_a_call_that_raises_no_error_does_not_wait(gpu, call):
    torch = torch_of(gpu)
    if call is CALLS["encode"]:
        pytest.skip("GpuEvents are checked when they are made, which waits: see the graph")
    given = [gpu.put(x) for x in call.inputs]
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        call.run(
            *given, on_invalid="sentinel"
        )  # there: torch takes memory from the driver, for each stream anew
        torch.cuda.synchronize()
        torch.cuda._sleep(DELAY)
        call.run(*given, on_invalid="sentinel")
        waited = side.query()
    torch.cuda.synchronize()
    assert not waited, "the delay before the call was over when it returned"


@calls
def test_p23_a_call_is_captured_in_a_graph_and_replayed_on_new_data(gpu, call):
    torch = torch_of(gpu)
    if call is CALLS["digitize"]:
        pytest.skip("its edges come from the host in each call")
    given = [gpu.put(x) for x in call.inputs]
    if call is CALLS["encode"]:
        columns = dict(zip(("pt", "eta", "type"), given[1:], strict=True))
        events = evtok.GpuEvents(given[0], columns, types=EVENTS.types)

        def run() -> Any:
            return TOKENIZER.encode(events, on_invalid="sentinel").ids
    else:

        def run() -> Any:
            return call.run(*given, on_invalid="sentinel")

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = run()
    for inputs in (call.bad, call.inputs):
        for x, new in zip(given, inputs, strict=True):
            x.copy_(torch.from_numpy(new))
        graph.replay()
        torch.cuda.synchronize()
        call.check(gpu.get(result), inputs)


@calls
def test_p22_a_bad_row_is_an_error_and_spoils_nothing(gpu, call):
    """No device assert: after the error the context is as good as before."""
    if call.bad is None or gpu.name == "emulated":
        pytest.skip("takes every value" if call.bad is None else "the tests of each kernel do that")
    bad, good = [gpu.put(x) for x in call.bad], [gpu.put(x) for x in call.inputs]
    for _ in range(2):
        with pytest.raises((ValueError, EvtokError)):
            call.run(*bad, on_invalid="raise")
        call.check(gpu.get(call.run(*good, on_invalid="raise")), call.inputs)
        call.check(gpu.get(call.run(*bad, on_invalid="sentinel")), call.bad)


def test_p12_a_device_that_is_not_the_current_one(gpu):
    torch = torch_of(gpu)
    if torch.cuda.device_count() < 2:
        pytest.skip("one device")
    x = torch.from_numpy(ROWS).to("cuda:1")
    found = CODEBOOK.nearest(x)
    assert found.device == x.device
    assert torch.cuda.current_device() == 0
    np.testing.assert_array_equal(found.cpu().numpy(), CODEBOOK.nearest(ROWS))


# ---- many rows --------------------------------------------------------------------------------------------------

_LONG = int(os.environ.get("EVTOK_TEST_GPU_ROWS", "0"))
_CHUNK = 10_000_000
long = pytest.mark.skipif(not _LONG, reason="EVTOK_TEST_GPU_ROWS, such as 100000000, is not set")


def chunks(torch: Any) -> Any:
    """Seeds, and how many rows belong to each."""
    done = 0
    while done < _LONG:
        yield done, min(_CHUNK, _LONG - done)
        torch.cuda.empty_cache()
        done += _CHUNK


@long
def test_long_p2_tokens_of_many_objects_are_those_of_the_cpu(gpu):
    torch = torch_of(gpu)
    thresholds = np.concatenate([TOKENIZER.fitted[name].thresholds32 for name in ("pt", "eta")])
    for seed, n in chunks(torch):
        draw = np.random.default_rng(seed)
        pt = np.exp(draw.standard_normal(n, np.float32) + np.float32(4))
        eta = draw.standard_normal(n, np.float32) * np.float32(2)
        # A fourth of the values are edges, or next to one.
        edges = draw.choice(thresholds, n // 4)
        pt[: n // 4] = np.nextafter(
            edges, np.float32(np.inf) * draw.choice([-1, 1], n // 4).astype(np.float32)
        )
        pt[: n // 8] = edges[: n // 8]
        types = draw.integers(0, 3, n, np.uint8)
        offsets = np.concatenate([np.arange(0, n, 8), [n]])
        inputs = [offsets, pt, eta, types]
        got = encoded(*(gpu.put(x) for x in inputs), on_invalid="raise")
        expected = encoded(*inputs, on_invalid="raise")
        assert int((got != gpu.put(expected)).sum()) == 0, f"rows from {seed} on"


@long
@pytest.mark.parametrize(
    ("codebook", "share"), [(CODEBOOK, 1), (WIDE_CODEBOOK, 20)], ids=["4 dimensions", "64 dimensions"]
)
def test_long_p2_codes_of_many_rows_are_those_of_the_cpu(gpu, codebook, share):
    """Beside random rows there are codes themselves, midpoints of two codes (ties), and -0."""
    torch = torch_of(gpu)
    codes = np.asarray(codebook.codes)
    for seed, rows in chunks(torch):
        n = max(4, rows // share)
        draw = np.random.default_rng(seed)
        x = draw.standard_normal((n, codes.shape[1]), np.float32)
        part = n // 8
        x[:part] = codes[draw.integers(0, len(codes), part)]
        pairs = codes[draw.integers(0, len(codes), (part, 2))]
        x[part : 2 * part] = (pairs[:, 0] + pairs[:, 1]) * np.float32(0.5)
        x[2 * part : 3 * part, ::2] = -0.0
        got = codebook.nearest(gpu.put(x))
        assert int((got != gpu.put(codebook.nearest(x))).sum()) == 0, f"rows from {seed} on"
