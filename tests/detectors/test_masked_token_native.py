"""Scores by evtok's own kernels: the plan of passes, the same bits everywhere, no torch, child processes, Ctrl-C.

Tolerance class: bits, but where torch's float64 is the other side: 1e-4, relative to the larger of 1 and the score.
What both backends share is in test_masked_token.py.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evtok import Tokens, last_backend
from evtok.detectors import DeepSVDD, MaskedTokenDetector, load_detector
from evtok.detectors.masked_token_masks import passes
from evtok.detectors.masked_token_native import NativeScorer
from evtok.detectors.masked_token_settings import MaskingSettings
from evtok.detectors.ragged_passes import cut, random_passes
from evtok.detectors.sinusoids import sinusoids
from evtok.errors import ArtefactError, MissingBackendError
from evtok.tokenizers import artefact
from token_events import TINY, binned, make_events, untrained

EVENTS = make_events()
TOKENIZER = binned(EVENTS)
FORMS = ("pseudo-likelihood", "random-masks", "single-pass")


@pytest.fixture(scope="module")
def detector() -> MaskedTokenDetector:
    return untrained(TOKENIZER, layers=2, width=16)


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    made: Tokens = TOKENIZER.encode(EVENTS)
    return made


# ---- the plan of passes -------------------------------------------------------------------------------------------


def rectangles(
    tokens: Tokens, scored: npt.NDArray[np.bool_], settings: MaskingSettings
) -> list[list[list[int]]]:
    """Return for each event its passes, each as the places that it asks about, by the masks of rectangles."""
    rows = [tokens[event].astype(np.int64)[None] for event in range(len(tokens))]
    return [
        [
            np.flatnonzero(one).tolist()
            for part in passes(row, scored[row], settings, 99)
            for one in part.asked
        ]
        for row in rows
    ]


def some_scored(tokens: Tokens) -> npt.NDArray[np.bool_]:
    """Return ids of which some are not scored, but one of each event is."""
    scored = np.random.default_rng(0).random(TOKENIZER.vocab_size) < 0.7
    scored[tokens.ids[tokens.offsets[:-1]]] = True
    return scored


def test_random_passes_are_those_of_rectangles(tokens: Tokens) -> None:
    settings = MaskingSettings(score_form="random-masks", mask_fraction=0.3, n_masks=5, mask_seed=2)
    ids, scored = tokens.ids.astype(np.int32), some_scored(tokens)
    plan = random_passes(ids, tokens.offsets, scored[ids], settings)
    assert [one.dtype.name for one in (plan.events, plan.asked_offsets, plan.places)] == [
        "int64",
        "int64",
        "int32",
    ]
    assert plan.asked_offsets[0] == 0
    assert plan.asked_offsets[-1] == len(plan.places)
    assert (np.diff(plan.asked_offsets) > 0).all()
    found: list[list[list[int]]] = [[] for _ in range(len(tokens))]
    for k, event in enumerate(plan.events.tolist()):
        asked = plan.places[plan.asked_offsets[k] : plan.asked_offsets[k + 1]].tolist()
        assert asked == sorted(set(asked))
        found[event].append(asked)
    assert (np.diff(plan.events) >= 0).all()
    assert found == rectangles(tokens, scored, settings)
    np.testing.assert_array_equal(
        plan.tokens(tokens.offsets),
        [tokens.offsets[e] + p for k, e in enumerate(plan.events)
         for p in plan.places[plan.asked_offsets[k] : plan.asked_offsets[k + 1]]],
    )  # fmt: skip


@pytest.mark.parametrize("form", ["pseudo-likelihood", "single-pass"])
def test_the_kernel_makes_the_passes_of_rectangles(
    form: str, detector: MaskedTokenDetector, tokens: Tokens
) -> None:
    settings = MaskingSettings(score_form=form)  # type: ignore[arg-type]
    ids, scored = tokens.ids.astype(np.int32), some_scored(tokens)
    hides = form == "pseudo-likelihood"
    scorer = detector._prepared("native")
    assert isinstance(scorer, NativeScorer)
    expected = np.zeros(len(ids), np.float32)
    for event, of_event in enumerate(rectangles(tokens, scored, settings)):
        begin, end = tokens.offsets[event : event + 2]
        offsets = np.array([0, end - begin])
        for asked in of_event:
            places = np.array(asked, np.int32)
            one = np.array([0, len(places)]), places, hides, 1
            nll = scorer._network.pass_nll(ids[begin:end], offsets, np.zeros(1, np.int64), *one)
            expected[begin + places] = nll
    for threads in (1, 2):
        found = scorer._network.surprise(ids, tokens.offsets, scored, hides, threads)
        np.testing.assert_array_equal(found, expected)
    assert (expected[~scored[ids]] == 0).all()


def test_the_kernel_refuses_what_does_not_fit(detector: MaskedTokenDetector) -> None:
    scorer = detector._prepared("native")
    assert isinstance(scorer, NativeScorer)
    scored, offsets = np.ones(TOKENIZER.vocab_size, np.bool_), np.array([0, 3])
    ids = np.full(3, 5, np.int32)
    call = scorer._network.surprise
    assert call(ids, offsets, scored, True, 1).shape == (3,)
    with pytest.raises(ValueError, match=r"^is_scored: expected shape"):
        call(ids, offsets, scored[:-1], True, 1)
    with pytest.raises(ValueError, match=r"^offsets: expected to go from 0 to the 3 rows"):
        call(ids, np.array([0, 4]), scored, True, 1)
    with pytest.raises(ValueError, match=r"^ids: place 1: expected 0 to"):
        call(np.array([5, -1, 5], np.int32), offsets, scored, True, 1)
    with pytest.raises(TypeError):
        call(ids, offsets, scored.view(np.uint8), True, 1)


def test_chunks_are_whole_events_of_bounded_size() -> None:
    sizes = np.array([3, 3, 9, 1, 1, 1, 4, 2])
    assert [(one.start, one.stop) for one in cut(sizes, 6)] == [(0, 2), (2, 3), (3, 6), (6, 8)]
    assert list(cut(np.zeros(0, np.int64), 6)) == []


def test_waves_are_sines_and_cosines_in_turn() -> None:
    waves = sinusoids(300, 12)
    place, column = np.arange(300)[:, None], np.arange(12)[None, :]
    angle = place / 10_000.0 ** (column // 2 * 2 / 12)
    np.testing.assert_allclose(waves, np.where(column % 2, np.cos(angle), np.sin(angle)), rtol=0, atol=1e-7)
    assert waves.dtype == np.float32


# ---- scores -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "options",
    [
        {"heads": 4, "width": 24, "layers": 3, "feed_forward": 40},
        {"norm_first": False, "activation": "relu", "positions": "sinusoidal", "width": 16, "layers": 2},
        {"positions": "none", "heads": 1, "width": 5},
    ],
    ids=["deep", "post-norm", "no positions"],
)
def test_the_backends_agree(options: dict[str, Any], form: str, tokens: Tokens) -> None:
    pytest.importorskip("torch")
    detector = untrained(TOKENIZER, 1, **options).with_score(score_form=form)
    native = detector.token_surprise(tokens)
    assert last_backend().startswith("evtok:")
    assert len(np.unique(native.round(3))) > 100
    np.testing.assert_allclose(native, detector.token_surprise(tokens, backend="torch"), rtol=1e-4, atol=1e-4)
    scorer = detector._torch()
    scorer.model.double()
    scorer._head = _ExactHead(scorer.model)
    exact = scorer.token_surprise(tokens, detector.masking, 1)
    np.testing.assert_allclose(native, exact, rtol=1e-4, atol=1e-4)


class _ExactHead:
    """What `TokenHead` does, in float64 by torch."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def nll(self, hidden: Any, targets: Any, **_: Any) -> Any:
        logits = self.model.head(hidden)
        return -logits.log_softmax(1).gather(1, targets[:, None])[:, 0]


@pytest.mark.parametrize("form", FORMS)
def test_p12_one_event_alone_has_the_same_bits(
    detector: MaskedTokenDetector, tokens: Tokens, form: str
) -> None:
    other = detector.with_score(score_form=form)
    whole = other.score(tokens)
    np.testing.assert_array_equal([other.score(tokens[k : k + 1])[0] for k in range(40)], whole[:40])
    backwards = Tokens.concatenate([tokens[k : k + 1] for k in reversed(range(len(tokens)))])
    np.testing.assert_array_equal(other.score(backwards, threads=3)[::-1], whole)


@pytest.fixture(scope="module")
def surprises(detector: MaskedTokenDetector, tokens: Tokens) -> list[Any]:
    """Those of each form, on the instruction set that this machine takes by itself."""
    return [detector.with_score(score_form=form).token_surprise(tokens) for form in FORMS]


def test_p12_no_instruction_set_changes_a_bit(
    detector: MaskedTokenDetector, tokens: Tokens, surprises: list[Any], isa: str
) -> None:
    anew = pickle.loads(pickle.dumps(detector))  # weights are prepared for an instruction set
    for form, expected in zip(FORMS, surprises, strict=True):
        np.testing.assert_array_equal(anew.with_score(score_form=form).token_surprise(tokens), expected)
    assert last_backend() == f"evtok:{isa}"


def test_small_ids_are_the_same_tokens(detector: MaskedTokenDetector, tokens: Tokens) -> None:
    small = TOKENIZER.encode(EVENTS, dtype=np.uint16)
    assert small.ids.dtype == np.uint16
    np.testing.assert_array_equal(detector.token_surprise(small), detector.token_surprise(tokens))
    assert detector.token_surprise(tokens[:0]).shape == (0,)


def test_the_longest_event_is_scored(tokens: Tokens) -> None:
    longest = int(tokens.lengths.max())
    detector = untrained(TOKENIZER, max_length=longest)
    more = untrained(TOKENIZER, max_length=longest, positions="none")
    assert np.isfinite(detector.score(tokens)).all()
    assert np.isfinite(more.score(tokens)).all()
    assert np.isnan(untrained(TOKENIZER, max_length=longest - 1).score(tokens, on_invalid="sentinel")).any()


# ---- which backend ------------------------------------------------------------------------------------------------


def test_auto_takes_the_kernels_and_says_so(detector: MaskedTokenDetector, tokens: Tokens) -> None:
    assert detector.backend == "native"
    np.testing.assert_array_equal(detector.score(tokens), detector.score(tokens, backend="native"))
    assert MaskedTokenDetector(TOKENIZER).backend == "native"


def enlarged(detector: MaskedTokenDetector, factor: float) -> MaskedTokenDetector:
    """Return a detector whose first layer gives numbers that are so much larger."""
    config, tensors = detector.to_artefact()
    name = "model.encoder.layers.0.linear1.weight"
    return MaskedTokenDetector.from_artefact(config, tensors | {name: tensors[name] * np.float32(factor)})


def test_auto_takes_torch_where_sums_could_overflow(detector: MaskedTokenDetector, tokens: Tokens) -> None:
    """The kernels prove beforehand that nothing overflows; torch tries."""
    pytest.importorskip("torch")
    large = enlarged(detector, 3e17)
    assert large.backend == "torch"
    with pytest.raises(MissingBackendError, match=r"cannot score with native: .*so large that"):
        large.score(tokens, backend="native")
    assert np.isfinite(large.score(tokens)).all()
    with pytest.raises(MissingBackendError, match="cannot score with native"):  # and torch has no bfloat16
        large.with_score(precision="bfloat16").score(tokens)


@pytest.mark.parametrize("name", ["model.head.weight", "model.head.bias"])
def test_a_head_whose_logits_could_overflow_is_refused_beforehand(
    detector: MaskedTokenDetector, tokens: Tokens, name: str
) -> None:
    config, tensors = detector.to_artefact()
    large = tensors | {name: np.full_like(tensors[name], 3e38)}
    other = MaskedTokenDetector.from_artefact(config, large)
    with pytest.raises(MissingBackendError, match=r"cannot score with native: head: .*so large that"):
        other.score(tokens, backend="native")


def test_the_precision_is_part_of_the_score(
    detector: MaskedTokenDetector, tokens: Tokens, tmp_path: Path
) -> None:
    coarse = detector.with_score(precision="bfloat16")
    assert coarse.fingerprint != detector.fingerprint
    assert "bfloat16" in repr(coarse)
    assert coarse.with_score(precision="float32").fingerprint == detector.fingerprint
    coarse.save(tmp_path / "model")
    loaded = load_detector(tmp_path / "model")
    assert isinstance(loaded, MaskedTokenDetector)
    assert (loaded.precision, loaded.backend) == ("bfloat16", "native")
    found, exact = loaded.token_surprise(tokens), detector.token_surprise(tokens)
    np.testing.assert_array_equal(found, coarse.token_surprise(tokens))
    assert not np.array_equal(found, exact)
    np.testing.assert_allclose(found, exact, rtol=0.05, atol=0.05)
    with pytest.raises(
        MissingBackendError, match=r"its precision is bfloat16; with_score\(precision='float32'\)"
    ):
        coarse.score(tokens, backend="torch")
    with pytest.raises(ValueError, match="precision: expected one of float32, bfloat16"):
        detector.with_score(precision="float16")


def test_p37_nan_among_the_weights_is_refused(detector: MaskedTokenDetector, tmp_path: Path) -> None:
    config, tensors = detector.to_artefact()
    for name in ("model.encoder.layers.1.linear1.weight", "model.positions.weight", "model.embedding.weight"):
        for bad in (np.nan, np.inf):
            changed = tensors[name].copy()
            changed.flat[3] = bad
            artefact.save(tmp_path / "model", config, tensors | {name: changed})
            with pytest.raises(ArtefactError, match=name.removeprefix("model.")):
                load_detector(tmp_path / "model")


# ---- processes ----------------------------------------------------------------------------------------------------


def deep_svdd() -> DeepSVDD:
    """Return one of tokens, of random numbers."""
    network = {name: value for name, value in TINY.items() if name not in ("epochs", "batch", "warm_up")}
    empty = DeepSVDD(TOKENIZER, outputs=3, **network)
    numbers = np.random.default_rng(3)
    tensors = {name: numbers.normal(size=shape).astype(np.float32) for name, shape in empty._shapes.items()}
    return DeepSVDD.from_artefact(empty._config(), empty.inputs.to_config()[1] | tensors)


def run(code: str, folder: Path, **environment: str) -> list[str]:
    """Return the words that a program prints."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("EVTOK_")} | environment
    (folder / "program.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_scoring_needs_no_torch(detector: MaskedTokenDetector, tokens: Tokens, tmp_path: Path) -> None:
    """In a process in which torch cannot be imported: from the folder, after a fork, and in a spawned child."""
    made = {"masked-token": detector, "deep-svdd": deep_svdd()}
    expected: dict[str, Any] = {kind: one.score(tokens, backend="native") for kind, one in made.items()}
    np.savez(tmp_path / "data.npz", ids=tokens.ids, offsets=tokens.offsets, **expected)
    for kind, one in made.items():
        one.save(tmp_path / kind)
    code = """
import multiprocessing, os, signal, sys
for name in ("torch", "lightning", "sklearn"):
    sys.modules[name] = None                    # so that its import fails
import numpy as np
from evtok import Tokens, load_detector

def right(detector):
    data = np.load("data.npz")
    tokenizer = detector.inputs.tokenizer
    tokens = Tokens(
        data["ids"], data["offsets"], fingerprint=tokenizer.fingerprint, vocab_size=tokenizer.vocab_size
    )
    return detector.backend == "native" and np.array_equal(detector.score(tokens), data[detector.KIND])

if __name__ == "__main__":
    signal.alarm(60)
    detectors = [load_detector(kind) for kind in ("masked-token", "deep-svdd")]
    print(*map(right, detectors))
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        os._exit(0 if all(map(right, detectors)) else 1)
    print(os.waitpid(pid, 0)[1])
    with multiprocessing.get_context("spawn").Pool(1) as pool:      # sends them as pickles
        print(*pool.map(right, detectors))
    print([name for name in sys.modules if name.split(".")[0] == "torch" and sys.modules[name]])
"""
    assert run(code, tmp_path) == ["True", "True", "0", "True", "True", "[]"]


def test_a_forked_child_scores_beside_torch(
    detector: MaskedTokenDetector, tokens: Tokens, tmp_path: Path
) -> None:
    """Its parent has used torch and the kernels; nothing waits for threads that are gone."""
    torch = pytest.importorskip("torch")
    torch.rand(300, 300) @ torch.rand(300, 300)
    expected = detector.score(tokens, threads=3)
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        os._exit(0 if np.array_equal(detector.score(tokens, threads=3), expected) else 1)
    assert os.waitpid(pid, 0)[1] == 0


LONG = """
import numpy as np
from evtok import Tokens, load_detector
detector = load_detector("model")
tokenizer = detector.inputs.tokenizer
def tokens(n, length):
    ids = (np.arange(n * length) % 3 + tokenizer.vocab_size - 3).astype(np.int32)
    offsets = np.arange(n + 1) * length
    return Tokens(ids, offsets, fingerprint=tokenizer.fingerprint, vocab_size=tokenizer.vocab_size)
"""


@pytest.mark.parametrize(
    ("form", "n", "length"), [("pseudo-likelihood", 4, 60), ("single-pass", 20, 400)], ids=str
)
def test_a_signals_handler_may_score_in_the_middle_of_a_call(
    form: str, n: int, length: int, tmp_path: Path
) -> None:
    """It runs on the thread that is in the middle of a layer; both scores have their own bits."""
    detector = untrained(TOKENIZER, layers=3, width=64, heads=4, feed_forward=256, max_length=1000)
    detector.with_score(score_form=form).save(tmp_path / "model")
    code = f"""
import signal
whole, other = tokens({n}, {length}), tokens(3, 9)
expected, of_other = detector.score(whole), detector.score(other)
for threads in (1, 2):
    found = []
    signal.signal(signal.SIGALRM, lambda *_: found.append(detector.score(other)))
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    score = detector.score(whole, threads=threads)
    print(len(found), np.array_equal(score, expected), all(np.array_equal(one, of_other) for one in found))
"""
    assert run(LONG + code, tmp_path) == ["1", "True", "True"] * 2


def test_memory_of_a_long_event_is_given_back(tmp_path: Path) -> None:
    """Its wide rows alone take 30 MB."""
    detector = untrained(TOKENIZER, layers=1, width=128, heads=2, feed_forward=128, max_length=20_000)
    detector.with_score(score_form="single-pass").save(tmp_path / "model")
    code = """
def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * 4096 / 2**20
few, long = tokens(3, 10), tokens(1, 12_000)
expected = detector.score(few, threads=1)
before = resident()
detector.score(long, threads=1)
print(resident() - before, np.array_equal(detector.score(few, threads=1), expected))
"""
    freed_at_once = {"MALLOC_MMAP_THRESHOLD_": "1000000"}  # so that it is not the allocator that keeps it
    difference, same = run(LONG + code, tmp_path, **freed_at_once)
    assert (float(difference) < 30, same) == (True, "True")


@pytest.mark.alone
@pytest.mark.parametrize("form", ["pseudo-likelihood", "single-pass"])
def test_p29_ctrl_c_stops_scoring(form: str, tmp_path: Path) -> None:
    """KeyboardInterrupt within 0.2 s, with events of many tokens, and the next call works."""
    detector = untrained(TOKENIZER, layers=8, width=128, heads=8, feed_forward=512, max_length=600)
    detector.with_score(score_form=form).save(tmp_path / "model")
    code = """
import time
import numpy as np
from evtok import Tokens, load_detector
detector = load_detector("model")
tokenizer = detector.inputs.tokenizer
def tokens(n, length):
    ids = np.full(n * length, tokenizer.vocab_size - 1, np.int32)
    offsets = np.arange(n + 1) * length
    return Tokens(ids, offsets, fingerprint=tokenizer.fingerprint, vocab_size=tokenizer.vocab_size)
before = detector.score(tokens(2, 5), threads=2)
print("ready", flush=True)
try:
    while True:
        detector.score(tokens(2000, 600), threads=2)
except KeyboardInterrupt:
    print(time.clock_gettime(time.CLOCK_MONOTONIC), flush=True)
print(np.array_equal(detector.score(tokens(2, 5), threads=2), before), flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        pressed = time.clock_gettime(time.CLOCK_MONOTONIC)
        process.send_signal(signal.SIGINT)
        assert float(process.stdout.readline()) - pressed < 0.2
        assert process.stdout.readline() == "True\n"
        assert process.wait(20) == 0
