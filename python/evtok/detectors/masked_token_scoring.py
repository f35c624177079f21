"""The surprise of every token, by torch: masked copies of events, one rectangle after another.

Events of equal length go together, so that there is no padding at all; the memory is bounded by a number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

from evtok._forks import is_forked
from evtok.detectors.interface import Device
from evtok.detectors.masked_token_masks import Passes, passes
from evtok.detectors.masked_token_model import Asked, MaskedTokenModel, Rectangle
from evtok.detectors.masked_token_settings import TOO_LARGE, MaskingSettings
from evtok.errors import ArtefactError
from evtok.scoring import TokenHead
from evtok.tokens import Tokens

#: Rows, one for each token of a pass, that go through the network at a time: few enough for the caches of a CPU, enough
#: to fill a GPU.
ROWS = {"cpu": 8192, "cuda": 1 << 18}


class Scorer:
    """A trained network, ready for many calls.

    Parameters
    ----------
    model : MaskedTokenModel
        In eval mode. It is moved to the device, and its head is copied.
    mask_id : int
        Of the mask.
    is_scored : bool (vocab_size,)
        The ids that have a surprise.
    device : {"cpu", "cuda"}
        Where the network is computed, and the likelihoods of the tokens that are asked for.
    """

    def __init__(
        self,
        model: MaskedTokenModel,
        mask_id: int,
        is_scored: npt.NDArray[np.bool_],
        device: Device = "cpu",
    ) -> None:
        self.device = device
        self.model = model.to(device)
        self.mask_id = mask_id
        self.is_scored = is_scored
        self._head = TokenHead(self.model.head.weight.detach(), self.model.head.bias.detach())

    def token_surprise(
        self, tokens: Tokens, settings: MaskingSettings, threads: int
    ) -> npt.NDArray[np.float32]:
        """Return -log p of each scored token (n_tokens,), averaged over the passes that ask for it; 0 for the others.

        Parameters
        ----------
        tokens : Tokens
            At least one of each event is scored.
        settings : MaskingSettings
        threads : int
            0 for what torch is set to.

        Raises
        ------
        ArtefactError
            A network whose numbers overflow.
        """
        found: list[torch.Tensor] = []  # they stay on the device, so that nothing waits for it before the end
        asked: list[npt.NDArray[np.int64]] = []
        lengths = tokens.lengths
        with torch.inference_mode(), torch_threads(threads):
            for length in np.unique(lengths):
                starts = tokens.offsets[:-1][lengths == length]
                where = starts[:, None] + np.arange(length)
                ids = tokens.ids[where].astype(np.int64)
                for part in passes(
                    ids, self.is_scored[ids], settings, max(1, ROWS[self.device] // int(length))
                ):
                    asked.append(where[part.events][part.asked])
                    found.append(self.surprise(ids[part.events], part, threads))
            surprise = torch.cat(found).cpu().numpy()
        total, count, at = np.zeros(len(tokens.ids)), np.zeros(len(tokens.ids)), np.concatenate(asked)
        np.add.at(total, at, surprise)
        np.add.at(count, at, 1)
        if not np.isfinite(total).all():
            raise ArtefactError(TOO_LARGE)
        return np.divide(total, count, out=total, where=count > 0).astype(np.float32)

    def surprise(self, ids: npt.NDArray[np.int64], part: Passes, threads: int) -> torch.Tensor:
        """Return -log p of the tokens that passes ask for (n_asked,), pass after pass; NaN where numbers overflow.

        On a GPU nothing waits for it.

        Parameters
        ----------
        ids : int64 (n_passes, length)
            Of each pass's event.
        part : Passes
        threads : int
        """
        n, length = ids.shape
        rows = torch.from_numpy(np.where(part.asked & part.hides, self.mask_id, ids)).flatten()
        rectangle = Rectangle.of(torch.from_numpy(part.asked.sum(axis=1)))
        asked = Asked(torch.from_numpy(np.flatnonzero(part.asked)).to(self.device), rectangle.to(self.device))
        places = torch.arange(length, device=self.device).repeat(n)
        hidden = self.model(rows.to(self.device), places, Rectangle(n, length), asked)
        targets = torch.from_numpy(ids[part.asked]).to(self.device)
        found: torch.Tensor = self._head.nll(hidden, targets, on_invalid="sentinel", threads=threads or None)
        return found


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch use so many threads, and put its number back; 0 leaves it.

    In a child that was forked, torch has one: the threads of its parent are gone, and it would wait for them.
    """
    before = torch.get_num_threads()
    wanted = 1 if is_forked() else threads or before
    if wanted == before:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
