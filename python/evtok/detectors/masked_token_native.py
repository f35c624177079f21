"""The surprise of every token, by evtok's own kernels: ragged events, nothing padded, the same bits for any batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _backend, _core
from evtok.detectors.masked_token_settings import TOO_LARGE, MaskingSettings, NetworkSettings
from evtok.detectors.native_encoder import encoder_of
from evtok.detectors.ragged_passes import cut, random_passes
from evtok.detectors.sinusoids import sinusoids
from evtok.errors import ArtefactError
from evtok.tokens import Tokens

#: Of the plan of random masks: so many tokens of passes at a time, which bounds its memory.
MOST = 1 << 18


class NativeScorer:
    """A trained network, ready for many calls, in any number of threads.

    Parameters
    ----------
    state : mapping of str to float32 arrays
        Tensors by their names in a state dict of torch, as `NetworkSettings.shapes` lists them.
    settings : NetworkSettings
    mask_id : int
        Of the mask.
    is_scored : bool (vocab_size,)
        The ids that have a surprise.
    precision : {"float32", "bfloat16"}
        Of the encoder.
    """

    def __init__(
        self,
        state: Mapping[str, npt.NDArray[Any]],
        settings: NetworkSettings,
        mask_id: int,
        is_scored: npt.NDArray[np.bool_],
        precision: str,
    ) -> None:
        self.is_scored = is_scored
        positions = state.get("positions.weight")
        if settings.positions == "sinusoidal":
            positions = sinusoids(settings.max_length, settings.width)
        self._network = _core.MaskedTokenNetwork(
            encoder_of(state, settings, precision),
            np.ascontiguousarray(state["embedding.weight"]),
            None if positions is None else np.ascontiguousarray(positions),
            _core.TokenHead(
                np.ascontiguousarray(state["head.weight"]), np.ascontiguousarray(state["head.bias"]), 0
            ),
            mask_id,
        )

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
            0 for the default.

        Raises
        ------
        ArtefactError
            A network whose numbers overflow.
        """
        ids = np.ascontiguousarray(tokens.ids, np.int32)
        if settings.score_form == "random-masks":
            surprise = self._mean_of_masks(ids, tokens.offsets, settings, threads)
        else:
            hides = settings.score_form == "pseudo-likelihood"
            surprise = self._network.surprise(ids, tokens.offsets, self.is_scored, hides, threads)
        if not np.isfinite(surprise).all():
            raise ArtefactError(TOO_LARGE)
        _backend.used_native()
        return surprise

    def _mean_of_masks(
        self,
        ids: npt.NDArray[np.int32],
        offsets: npt.NDArray[np.int64],
        settings: MaskingSettings,
        threads: int,
    ) -> npt.NDArray[np.float32]:
        """Return the mean over the random masks that hide a token (n_tokens,), a chunk of events at a time."""
        is_scored = self.is_scored[ids]
        surprise = np.zeros(len(ids), np.float32)
        for events in cut(np.diff(offsets) * settings.n_masks, MOST):
            of_chunk = offsets[events.start : events.stop + 1]
            chunk = slice(int(of_chunk[0]), int(of_chunk[-1]))
            of_chunk = of_chunk - of_chunk[0]
            passes = random_passes(ids[chunk], of_chunk, is_scored[chunk], settings)
            found = self._network.pass_nll(
                ids[chunk], of_chunk, passes.events, passes.asked_offsets, passes.places, True, threads
            )
            asked = passes.tokens(of_chunk)
            with _core.FloatEnvironment(), np.errstate(invalid="ignore"):
                total = np.bincount(asked, found, chunk.stop - chunk.start)  # in float64, pass after pass
                count = np.bincount(asked, minlength=len(total))
                surprise[chunk] = np.divide(total, count, out=total, where=count > 0)
        return surprise
