"""P9: a caller's rounding mode, or flushing of subnormals, reaches no result and no artefact, and is left alone."""

from __future__ import annotations

import pytest

from python_process import lines

# Modes that a process can be in: by torch, by MXCSR itself (the word lies in fenv_t), by C's fesetround.
MODES = """
import contextlib, ctypes
from evtok import _core
libm = ctypes.CDLL("libm.so.6")

def mxcsr():
    environment = (ctypes.c_uint32 * 8)()
    libm.fegetenv(environment)
    return environment

@contextlib.contextmanager
def mode(bits):
    before = mxcsr()
    if bits & 0x4000:
        assert libm.fesetround(0x800) == 0  # FE_UPWARD
    changed = mxcsr()
    changed[7] |= bits
    assert libm.fesetenv(changed) == 0
    yield
    held = mxcsr()[7] & 0xFFC0 == changed[7] & 0xFFC0
    libm.fesetenv(before)
    print("kept" if held else "mode was changed")

def bits(x):
    return np.asarray(x).tobytes()
"""

FLUSH = 0x8040  # FTZ and DAZ
UP = 0x4000  # FE_UPWARD

modes = pytest.mark.parametrize("bits", [FLUSH, UP, FLUSH | UP], ids=["flush", "upward", "both"])


def same_in(bits: int, prepare: str, compute: str) -> list[str]:
    """Run `compute`, which gives `result`, in the default mode and in the other one, and compare all bits."""
    code = f"{MODES}\n{prepare}\n{compute}\nexpected = result\nwith mode({bits}):\n"
    code += "".join(f"    {line}\n" for line in compute.strip().splitlines())
    return lines(code + "print('same' if bits(result) == bits(expected) else 'other')\n")


@modes
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("edge_dtype", ["float32", "float64"])
def test_p9_digitize(bits: int, dtype: str, edge_dtype: str) -> None:
    """Edges that are subnormal numbers, and edges whose rounding to float32 depends on the mode."""
    prepare = f"""
import evtok
rng = np.random.default_rng(0)
x = np.concatenate([np.array([5e-41, 0, -5e-41, 1e-40, 2e-40, 5e-324, 1e-45]), rng.uniform(0.999, 1.001, 4000)])
x = np.resize(x.astype("{dtype}"), 20_000)
edges = np.concatenate([[-1e-40, 1e-40, 3e-40], np.sort(rng.uniform(0.999, 1.001, 100))]).astype("{edge_dtype}")
x[1000:1100] = edges[3:].astype("{dtype}")
"""
    compute = (
        "result = [evtok.digitize(x, edges), evtok.digitize(x, edges, True), evtok.digitize(x, edges[::-1])]"
    )
    assert same_in(bits, prepare, compute) == ["kept", "same"]


def test_p9_digitize_of_a_subnormal_below_a_subnormal_edge() -> None:
    """The value that a flushing caller got wrong: 5e-41 lies below 1e-40."""
    code = f"""{MODES}
import evtok
with mode({FLUSH}):
    codes = [evtok.digitize(np.array([5e-41] * 100, t), np.array([1e-40])) for t in (np.float32, np.float64)]
    print(*(int(c.sum()) for c in codes))
"""
    assert lines(code) == ["0", "0", "kept"]


@modes
def test_p9_fold_edges_and_valid_ranges(bits: int) -> None:
    prepare = """
from evtok.tokenizers.thresholds import KINDS, Transform, fold_edges
def ranges():
    return [Transform(k).valid_range(t) for k in KINDS for t in (np.float32, np.float64)]
def forward():
    return [Transform("log").forward(v) for v in (5e-324, 1e-310, 0.3, 7.0)]
"""
    compute = """
result = np.concatenate([fold_edges([-744.0, -95.5, -2.5, 0.1, 3.3], Transform(k, s, m), t, r).astype(np.float64)
    for k in KINDS for t in (np.float32, np.float64) for r in (False, True) for s, m in ((0.0, 1.0), (0.1, 0.3))]
    + [fold_edges(np.array([1e-40, 5e-324]), Transform(), t).astype(np.float64) for t in (np.float32, np.float64)]
    + [np.ravel(ranges()), forward()])
"""
    # float64 arrays are compared bit for bit; float32 subnormals become float64 in the mode of the caller.
    compute = compute.replace(".astype(np.float64)", ".view(np.uint8)").replace(
        "np.ravel(ranges())", "b(ranges())"
    )
    compute = compute.replace("forward()", "b(forward())")
    prepare += "def b(x):\n    return np.array(x).view(np.uint8).ravel()\n"
    assert same_in(bits, prepare, compute) == ["kept", "same"]


def test_p9_valid_ranges_are_those_of_numpy() -> None:
    import numpy as np

    from evtok.tokenizers.thresholds import Transform

    for dtype in (np.float32, np.float64):
        limits = np.finfo(dtype)
        assert Transform("log").valid_range(dtype) == (float(limits.smallest_subnormal), float(limits.max))
        assert Transform("identity").valid_range(dtype) == (float(limits.min), float(limits.max))
        assert Transform("log1p").valid_range(dtype)[0] == float(np.nextafter(dtype(-1), dtype(0)))


@modes
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_p9_encode(bits: int, dtype: str) -> None:
    """Subnormal values under log, and edges that are rounded to float32 for the search."""
    prepare = f"""
import evtok
from evtok.tokenizers.thresholds import Transform
from evtok.tokenizers.feature import Feature, Uniform, EqualFrequency
rng = np.random.default_rng(0)
pt = np.exp(rng.normal(0, 2, 5000)).astype("{dtype}")
pt[:50] = np.array(1e-40, "{dtype}") * np.arange(1, 51).astype("{dtype}")
eta = rng.normal(0, 1, 5000).astype("{dtype}")
events = evtok.Events(np.arange(0, 5001, 10), {{"pt": pt, "eta": eta}})
features = {{
    "pt": Feature("pt", Uniform(30, -92.3, 5.1), transform=Transform("log")),
    "eta": Feature("eta", EqualFrequency(20)),
}}
tokenizer = evtok.BinnedTokenizer(features=features).fit(events)
"""
    compute = "result = tokenizer.encode(events).ids"
    assert same_in(bits, prepare, compute) == ["kept", "same"]


@modes
def test_p9_a_zero_under_log_stays_invalid(bits: int) -> None:
    code = f"""{MODES}
x = np.array([0.0, 1e-45, 1.0] * 100, np.float32)
with mode({bits}):
    program = _core.RowProgram(300)
    program.add_bins(x, np.array([0.5], np.float32), {{
        "right": False, "lowest": 2.0**-149, "highest": 1e30, "first": 0, "last": 1, "origin": 0, "stride": 1,
        "outside_unknown": False, "base": 0, "relative": False, "wrap": False, "reference": None,
        "zero_is_digit_zero": False}})
    program.set_vocabulary(False, 0, -1)
    ids = np.empty(300, np.int32)
    print(program.ids(ids, 1)["invalid"], *ids[:3])
"""
    assert lines(code) == ["100", "-1", "0", "1", "kept"]


@modes
def test_p9_order_statistics(bits: int) -> None:
    prepare = """
from evtok.tokenizers.order_statistics import OrderStatistics
x = np.resize(np.array([1e-45, 2e-45, 1e-40, 0, -1e-42, 1, 2], np.float32), 700)
"""
    compute = """
s = OrderStatistics(np.float32, (1.401298464324817e-45, 1e30), lambda n: [0, n // 2, n - 1])
while not s.done:
    s.begin_pass(); s.count(x); s.end_pass()
result = s.values([0, s.n // 2, s.n - 1]).tobytes() + bytes([s.n % 251, s.n_invalid % 251])
"""
    assert same_in(bits, prepare, compute) == ["kept", "same"]


@modes
def test_p9_kinematics(bits: int) -> None:
    prepare = """
from evtok import kinematics
x = np.array([1e-45, 1e-40, -1e-41, 0.1, 3.0, 1e38], np.float32)
y = np.array([5e-324, 1e-310, 0.3, 2.0, -7.0, 11.0])
"""
    compute = """
result = b"".join(bits(v) for v in (*kinematics.pt_eta_phi(x, y, x), kinematics.delta_eta(x, y), kinematics.log(abs(y)),
    kinematics.delta_phi(x, y), *kinematics.jet_axis([0, 2, 6], x, y, x)))
"""
    assert same_in(bits, prepare, compute) == ["kept", "same"]


def test_p9_torchs_flushing_changes_no_token() -> None:
    pytest.importorskip("torch")
    code = """
import torch, evtok
print(torch.set_flush_denormal(True))
x = np.full(100, 5e-41, np.float64)
print(evtok.digitize(x, np.array([1e-40])).sum(), float(torch.tensor(1e-40) * 1.0) == 0)
"""
    assert lines(code) == ["True", "0", "True"]


@modes
def test_p9_the_callers_mode_is_back_after_an_error(bits: int) -> None:
    code = f"""{MODES}
import evtok
from evtok.tokenizers.thresholds import Transform, fold_edges
with mode({bits}):
    for call in (lambda: evtok.digitize([1.0], [2.0, 1.0, 3.0]), lambda: fold_edges([np.nan], Transform(), np.float32),
                 lambda: Transform("log").forward(-1.0)):
        try:
            call()
        except ValueError:
            print("refused")
"""
    assert lines(code) == ["refused"] * 3 + ["kept"]


def test_the_context_manager_is_entered_once_at_a_time() -> None:
    from evtok import _core

    block = _core.FloatEnvironment()
    with block, pytest.raises(RuntimeError, match="entered already"):
        block.__enter__()
    with block:
        pass


@modes
def test_p9_codebook_tokenizers(bits: int) -> None:
    """Codes that are learnt, tokens, decoded features, and numbers given in float64 that become float32."""
    prepare = """
import evtok
from evtok.tokenizers import CodebookTokenizer, FeatureNetwork, NumericFeature, Transform
from evtok.tokenizers.feature_network import Dense
rng = np.random.default_rng(0)
m = 4000
pt = np.concatenate([rng.exponential(30, m - 40), np.geomspace(1e-310, 1e-300, 40)])
events = evtok.Events(
    np.arange(0, m + 1, 4), {"pt": pt, "eta": rng.normal(0, 1, m), "type": rng.integers(0, 2, m).astype(np.uint8)},
    {"axis": rng.normal(0, 1, m // 4)}, types=("a", "b"),
)
features = {
    "pt": NumericFeature("pt", Transform("log", 1.8, 0.3)),
    "tiny": NumericFeature("pt", Transform(multiply=1e-40)),
    "eta": NumericFeature("eta", relative_to="axis", wrap=True),
}
codes = rng.normal(0, 1, (50, 5)).astype(np.float32)
weight = rng.normal(0, 1, (5, 5)).astype(np.float32)
"""
    compute = """
learnt = CodebookTokenizer(features, n_codes=20, types=("a", "b"), type_value=0.1, seed=2).fit(events)
network = FeatureNetwork([Dense(weight, codes[0], "leaky_relu", 0.1)])
given = CodebookTokenizer(features, codes, network=network, types=("a", "b"), type_value=0.1)
plain = CodebookTokenizer(features, codes, types=("a", "b"), type_value=0.1)
result = np.concatenate([
    np.frombuffer(b"".join(t.fingerprint.encode() + t.encode(events).ids.tobytes() + t.vectors(events).tobytes()
        + b"".join(c.tobytes() for c in t.decode(t.encode(events)).columns.values())
        for t in (learnt, given, plain)), np.uint8)])
"""
    assert same_in(bits, prepare, compute) == ["kept", "same"]
