"""Training of the masked-token detector: what it learns, and that the same seed gives the same bits."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from evtok.detectors import MaskedTokenDetector  # noqa: E402
from evtok.detectors.masked_token_batches import Corpus  # noqa: E402
from evtok.detectors.masked_token_masks import random_masks  # noqa: E402
from evtok.detectors.masked_token_settings import MaskingSettings  # noqa: E402
from token_events import TINY, binned, make_events, tokens_of, trained  # noqa: E402

EVENTS = make_events()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return binned(EVENTS)


# ---- masks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masking", ["fraction", "one"])
def test_a_batch_hides_tokens_that_say_something(tokenizer: Any, masking: Any) -> None:
    tokens = tokenizer.encode(EVENTS)
    detector = MaskedTokenDetector(tokenizer)
    corpus = Corpus.of(tokens, detector.groups.is_scored, detector.mask_id)
    events = torch.tensor([5, 0, 77, 5])
    hidden_in_all = []
    for seed in range(40):
        batch = corpus.batch(events, masking, 0.3, torch.Generator().manual_seed(seed), torch.device("cpu"))
        ids = np.concatenate([tokens[k] for k in events.tolist()])
        hidden = np.isin(np.arange(len(ids)), batch.hidden.rows.numpy())
        np.testing.assert_array_equal(batch.ids.numpy(), np.where(hidden, detector.mask_id, ids))
        np.testing.assert_array_equal(batch.targets.numpy(), ids[hidden])
        assert detector.groups.is_scored[ids[hidden]].all()
        event = np.repeat(np.arange(4), [len(tokens[k]) for k in events.tolist()])
        n_hidden = np.bincount(event[hidden], minlength=4)
        assert (n_hidden == 1).all() if masking == "one" else (n_hidden >= 1).all()
        assert batch.hidden.rectangle.n_sequences == 4
        assert batch.hidden.rectangle.longest == n_hidden.max()
        hidden_in_all.append(hidden)
    share = np.mean(hidden_in_all, axis=0)[detector.groups.is_scored[ids]]
    assert (share > 0).all()  # each is hidden some time
    if masking == "fraction":
        assert 0.25 < share.mean() < 0.5


def test_random_masks_hide_every_token_alike() -> None:
    rng = np.random.default_rng(0)
    for length, fraction in itertools.product((2, 5, 9, 14), (0.15, 0.5, 1.0)):
        ids = rng.integers(0, 50, (60, length))
        scored = rng.random((60, length)) < 0.8
        scored[:, 0] = True
        settings = MaskingSettings(mask_fraction=fraction, n_masks=8, score_form="random-masks")
        masks = random_masks(ids, scored, settings)
        assert masks.shape == (60, 8, length)
        assert not (masks & ~scored[:, None]).any()
        size = np.maximum(1, np.ceil(scored.sum(1) * fraction - 1e-9))
        np.testing.assert_array_equal(masks.sum(2), np.repeat(size[:, None], 8, axis=1))
        times = masks.sum(1)[scored]
        assert times.min() >= 1
        per_event = np.where(scored, masks.sum(1), -1)
        spread = per_event.max(1) - np.where(scored, masks.sum(1), 99).min(1)
        assert spread.max() <= 1
        alone = np.concatenate([random_masks(ids[k : k + 1], scored[k : k + 1], settings) for k in range(60)])
        np.testing.assert_array_equal(alone, masks)
        other = random_masks(ids, scored, MaskingSettings(mask_fraction=fraction, n_masks=8, mask_seed=1))
        assert fraction == 1.0 or length == 2 or not np.array_equal(other, masks)


def test_random_masks_are_drawn_uniformly() -> None:
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 50, (4000, 6))
    settings = MaskingSettings(mask_fraction=0.3, n_masks=4)  # pairs of 6
    masks = random_masks(ids, np.ones(ids.shape, np.bool_), settings)
    for mask in masks.transpose(1, 0, 2):
        pairs = mask @ (1 << np.arange(6))
        found = np.unique(pairs, return_counts=True)[1]
        assert len(found) == 15
        assert abs(found / 4000 - 1 / 15).max() < 5 * np.sqrt(1 / 15 / 4000)


# ---- training -----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits(tokenizer: Any) -> None:
    state = torch.random.get_rng_state()
    threads, grad = torch.get_num_threads(), torch.is_grad_enabled()
    first = trained(EVENTS, tokenizer=tokenizer)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(99)
    again = trained(EVENTS, tokenizer=tokenizer)
    assert first.fingerprint == again.fingerprint
    assert trained(EVENTS, tokenizer=tokenizer, seed=1).fingerprint != first.fingerprint
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == (threads, grad)
    assert first.history is not None
    assert len(first.history.epochs) == TINY["epochs"]


def test_a_training_that_was_interrupted_ends_with_the_same_bits(tokenizer: Any, tmp_path: Path) -> None:
    settings = TINY | {"epochs": 3}
    whole = MaskedTokenDetector(tokenizer, **settings).fit(EVENTS[:60], EVENTS[60:])

    def interrupt(said: dict[str, Any]) -> None:
        if said["event"] == "epoch" and said["epoch"] == 2:
            raise KeyboardInterrupt

    detector = MaskedTokenDetector(tokenizer, **settings)
    with pytest.raises(KeyboardInterrupt):
        detector.fit(EVENTS[:60], EVENTS[60:], checkpoints=tmp_path / "state", progress=interrupt)
    assert not detector.is_fitted
    said: list[dict[str, Any]] = []
    detector.fit(EVENTS[:60], EVENTS[60:], checkpoints=tmp_path / "state", progress=said.append)
    assert said[0]["event"] == "resume"
    assert detector.fingerprint == whole.fingerprint


def test_checkpoints_of_other_events_are_refused(tokenizer: Any, tmp_path: Path) -> None:
    from evtok.errors import EvtokError

    MaskedTokenDetector(tokenizer, **TINY).fit(EVENTS[:60], checkpoints=tmp_path / "state")
    with pytest.raises(EvtokError):
        MaskedTokenDetector(tokenizer, **TINY).fit(EVENTS[60:], checkpoints=tmp_path / "state")


def test_it_learns_what_a_token_follows_from(tokenizer: Any) -> None:
    """In background every object is the same as the first; an event of two kinds is an anomaly."""
    base, size = tokenizer.vocabulary.object_base, tokenizer.vocabulary.n_objects
    rng = np.random.default_rng(0)
    pure = tokens_of(
        tokenizer,
        *(
            [int(k)] * int(n)
            for k, n in zip(rng.integers(base, base + size, 400), rng.integers(3, 6, 400), strict=True)
        ),
    )
    mixed = tokens_of(tokenizer, *(rng.integers(base, base + size, 4).tolist() for _ in range(50)))
    settings = TINY | {"width": 16, "epochs": 25, "learning_rate": 1e-2, "dropout": 0.0}
    detector = MaskedTokenDetector(tokenizer, **settings, masking="one").fit(pure)
    usual, strange = detector.score(pure[:50]), detector.score(mixed)
    assert np.median(strange) > usual.max()
    assert usual.mean() < 0.5 * np.log(size)


def test_a_balanced_class_is_surprising_no_more(tokenizer: Any) -> None:
    """A rare process counts as much as a common one when classes are given, and nothing when its weight is 0."""
    base = tokenizer.vocabulary.object_base
    sequences = [[base, base]] * 190 + [[base + 5, base + 5]] * 10
    events = tokens_of(tokenizer, *sequences)
    rare = events[-1:]
    settings = TINY | {"epochs": 12, "learning_rate": 1e-2}
    scores = {
        name: MaskedTokenDetector(tokenizer, **settings).fit(events, **options).score(rare)[0]
        for name, options in {
            "as it is": {},
            "balanced": {"classes": [0] * 190 + [1] * 10},
            "without": {"weights": [1.0] * 190 + [0.0] * 10},
        }.items()
    }
    assert scores["balanced"] < scores["as it is"] < scores["without"]


def test_nan_weights_are_refused(tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="weights"):
        MaskedTokenDetector(tokenizer, **TINY).fit(EVENTS, weights=np.full(len(EVENTS), np.nan))


# ---- processes ----------------------------------------------------------------------------------------------------


def test_a_child_that_is_forked_before_any_score_knows_it() -> None:
    """Its parent may have used torch for something else, and what scores is imported in the child."""
    program = """
import os, torch, evtok
torch.set_num_threads(2)
child = os.fork()
if child:
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
from evtok.detectors.masked_token_scoring import torch_threads
with torch_threads(0):
    os._exit(torch.get_num_threads() - 1)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_scores(tokenizer: Any) -> None:
    """torch's threads do not survive a fork, and it would wait for them."""
    detector = trained(EVENTS, tokenizer=tokenizer)
    expected = detector.score(EVENTS, threads=2)  # torch has threads now
    child = os.fork()
    if not child:
        signal.alarm(60)
        close = np.allclose(detector.score(EVENTS), expected, rtol=0, atol=1e-5)
        close &= np.allclose(detector.score(EVENTS, threads=2), expected, rtol=0, atol=1e-5)
        os._exit(0 if close else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
