"""Where detectors compute: what is refused without a GPU, and on one the scores of the CPU within rounding."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from evtok.detectors import UnigramDetector  # noqa: E402
from evtok.errors import MissingBackendError  # noqa: E402
from evtok.jobs.score_encoder import ScoreEncoder  # noqa: E402
from token_events import make_events, trained  # noqa: E402

EVENTS = make_events()


@pytest.fixture(scope="module")
def masked_token():
    return trained(EVENTS)


def test_words_and_kinds_that_have_no_gpu_are_refused(masked_token):
    with pytest.raises(ValueError, match="device: expected 'cpu' or 'cuda', got 'tpu'"):
        masked_token.score(EVENTS, device="tpu")
    with pytest.raises(MissingBackendError, match="device: the native backend computes on the CPU"):
        masked_token.score(EVENTS, backend="native", device="cuda")
    unigram = UnigramDetector(masked_token.inputs).fit(EVENTS)
    with pytest.raises(MissingBackendError, match="device: a unigram detector scores on the CPU alone"):
        unigram.score(EVENTS, device="cuda")


def test_without_a_gpu_it_is_said(masked_token, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MissingBackendError, match="device: no GPU is visible to torch; use 'cpu'"):
        masked_token.score(EVENTS, device="cuda")
    with pytest.raises(MissingBackendError, match="device: no GPU is visible to torch"):
        ScoreEncoder(masked_token, "cuda")


def test_a_job_knows_its_device(masked_token, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    on_gpu = ScoreEncoder(masked_token, "cuda").product
    assert (on_gpu.backend, on_gpu.device) == ("torch-cuda", "cuda")
    assert on_gpu.torch == torch.__version__
    assert ScoreEncoder(masked_token).product.device == "cpu"


@pytest.mark.gpu
@pytest.mark.parametrize("form", ["pseudo-likelihood", "random-masks", "single-pass"])
def test_scores_of_a_gpu_are_those_of_torch(masked_token, form):
    if not torch.cuda.is_available():
        pytest.skip("no GPU is visible to torch")
    detector = masked_token.with_score(score_form=form)
    expected = detector.score(EVENTS, backend="torch")
    np.testing.assert_allclose(detector.score(EVENTS, device="cuda"), expected, rtol=0, atol=1e-3)
