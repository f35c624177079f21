"""Training of a masked-token detector's network, and the network out of its tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evtok.detectors.interface import Progress
from evtok.detectors.masked_token_batches import Corpus
from evtok.detectors.masked_token_model import MaskedTokenModel
from evtok.detectors.masked_token_settings import MaskingSettings, NetworkSettings
from evtok.detectors.training import History, TrainingSettings, train
from evtok.tokens import Tokens


def new_model(n_ids: int, n_embeddings: int, settings: NetworkSettings, seed: int) -> MaskedTokenModel:
    """Return a network with the first weights of a seed; torch's own generator stays as it was."""
    before = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        return MaskedTokenModel(n_ids, n_embeddings, settings)
    finally:
        torch.default_generator.set_state(before)


def model_of(
    state: Mapping[str, npt.NDArray[Any]], n_ids: int, n_embeddings: int, settings: NetworkSettings
) -> MaskedTokenModel:
    """Return the network of tensors that have the names and shapes of `settings`, in eval mode."""
    model = new_model(n_ids, n_embeddings, settings, 0)
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
    model.eval().requires_grad_(False)
    return model


def fit(
    model: MaskedTokenModel,
    tokens: Tokens,
    validation: Tokens | None,
    *,
    is_scored: npt.NDArray[np.bool_],
    mask_id: int,
    masking: MaskingSettings,
    training: TrainingSettings,
    weights: npt.NDArray[np.float64],
    checkpoints: Path | None,
    identity: str,
    progress: Progress | None,
) -> History:
    """Train `model` in place, to name hidden tokens of events.

    Parameters
    ----------
    model : MaskedTokenModel
    tokens, validation : Tokens
        Events that can be used.
    is_scored : bool (vocab_size,)
        The ids that may be hidden.
    mask_id : int
    masking : MaskingSettings
    training : TrainingSettings
    weights : float64 (n_events,)
    checkpoints, progress
        See `evtok.detectors.training.train`.
    identity : str
        Of the detector; that of the data is added.
    """
    corpora = {"train": Corpus.of(tokens, is_scored, mask_id)}
    if validation is not None and len(validation):
        corpora["validation"] = Corpus.of(validation, is_scored, mask_id)

    def batch_loss(
        module: nn.Module, events: Tensor, which: Literal["train", "validation"], generator: torch.Generator
    ) -> Tensor:
        assert isinstance(module, MaskedTokenModel)
        batch = corpora[which].batch(
            events, masking.masking, masking.mask_fraction, generator, module.head.weight.device
        )
        hidden = module(batch.ids, batch.places, batch.rectangle, batch.hidden)
        return F.cross_entropy(module.head(hidden), batch.targets)

    return train(
        model,
        batch_loss,
        len(tokens),
        len(validation) if validation is not None else 0,
        training,
        weights=weights,
        checkpoints=checkpoints,
        identity=_identity(identity, tokens, validation),
        progress=progress,
    )


def _identity(detector: str, *data: Tokens | None) -> str:
    """Return the sha256 (hex) of a detector and of the tokens that it is trained with."""
    digest = hashlib.sha256(detector.encode())
    for tokens in data:
        for values in () if tokens is None else (tokens.offsets, tokens.ids):
            digest.update(np.ascontiguousarray(values, "<i8").tobytes())
    return digest.hexdigest()
