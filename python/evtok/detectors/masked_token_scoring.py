"""The surprise of every token, by torch: masked copies of events, one rectangle after another.

Events of equal length go together, so that there is no padding at all; the memory is bounded by a number of rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from evtok.detectors.masked_token_masks import Passes, passes
from evtok.detectors.masked_token_model import Asked, MaskedTokenModel, Rectangle
from evtok.detectors.masked_token_settings import MaskingSettings
from evtok.errors import ArtefactError
from evtok.tokens import Tokens

#: Rows, one for each token of a pass, that go through the network at a time: few enough for the caches.
ROWS = 8192
_LOGITS = 1 << 22  # that are in memory at a time

_home = os.getpid()  # where torch may have threads


def token_surprise(
    model: MaskedTokenModel,
    tokens: Tokens,
    is_scored: npt.NDArray[np.bool_],
    mask_id: int,
    settings: MaskingSettings,
    threads: int,
) -> npt.NDArray[np.float32]:
    """Return -log p of each scored token (n_tokens,), averaged over the passes that ask about it; 0 for the others.

    Parameters
    ----------
    model : MaskedTokenModel
        In eval mode, on the CPU.
    tokens : Tokens
        At least one of each event is scored.
    is_scored : bool (vocab_size,)
    mask_id : int
    settings : MaskingSettings
    threads : int
        0 for what torch is set to.

    Raises
    ------
    ArtefactError
        A network whose numbers overflow.
    """
    total, count = np.zeros(len(tokens.ids)), np.zeros(len(tokens.ids))
    lengths = tokens.lengths
    with torch.inference_mode(), torch_threads(threads):
        for length in np.unique(lengths):
            starts = tokens.offsets[:-1][lengths == length]
            where = starts[:, None] + np.arange(length)
            ids = tokens.ids[where].astype(np.int64)
            for part in passes(ids, is_scored[ids], settings, max(1, ROWS // int(length))):
                at = where[part.events][part.asked]
                np.add.at(total, at, surprise(model, ids[part.events], part, mask_id).numpy())
                np.add.at(count, at, 1)
    if not np.isfinite(total).all():
        raise ArtefactError(
            "model: its numbers are too large, it gives no probability for a token; train it again, more slowly"
        )
    return np.divide(total, count, out=total, where=count > 0).astype(np.float32)


def surprise(model: MaskedTokenModel, ids: npt.NDArray[np.int64], part: Passes, mask_id: int) -> Tensor:
    """Return -log p of the tokens that the passes ask about, pass after pass.

    Parameters
    ----------
    ids : int64 (n_passes, length)
        Of the pass's event.
    """
    n, length = ids.shape
    asked = torch.from_numpy(np.flatnonzero(part.asked))
    targets = torch.from_numpy(ids[part.asked])
    rows = torch.from_numpy(np.where(part.asked & part.hides, mask_id, ids)).flatten()
    places = torch.arange(length).repeat(n)
    wanted = Rectangle.of(torch.from_numpy(part.asked.sum(axis=1)))
    hidden = model(rows, places, Rectangle(n, length), Asked(asked, wanted))
    step = max(1, _LOGITS // model.head.out_features)
    parts = [
        F.cross_entropy(model.head(hidden[k : k + step]), targets[k : k + step], reduction="none")
        for k in range(0, len(targets), step)
    ]
    return torch.cat(parts)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch use so many threads, and put its number back; 0 leaves it.

    In a child that was forked, torch has one: the threads of its parent are gone, and it would wait for them.
    """
    before = torch.get_num_threads()
    wanted = 1 if os.getpid() != _home else threads or before
    if wanted == before:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
