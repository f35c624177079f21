"""The network of `VQVAE` in torch, and how it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evtok.detectors.interface import Progress, Tensors
from evtok.detectors.training import History, TrainingSettings, train
from evtok.torch import VectorQuantizer


class Network(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Encoder, quantizer, decoder; `widths` are those of the encoder."""

    def __init__(self, widths: Sequence[int], quantizer: VectorQuantizer) -> None:
        super().__init__()
        self.encoder = dense(widths)
        self.quantizer = quantizer
        self.decoder = dense(widths[::-1])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what comes back of x (n, D), and the loss of the quantizer."""
        quantized, _, loss = self.quantizer(self.encoder(x))
        return self.decoder(quantized), loss

    def loss(self, x: Tensor, n_features: int) -> Tensor:
        """Return the mean squared error of the features, plus the cross-entropy of types, plus the quantizer's loss."""
        decoded, loss = self(x)
        loss = loss + F.mse_loss(decoded[:, :n_features], x[:, :n_features])
        if x.shape[1] > n_features:
            loss = loss + F.cross_entropy(decoded[:, n_features:], x[:, n_features:].argmax(1))
        return loss


def dense(widths: Sequence[int]) -> nn.Sequential:
    """Return dense layers with ReLUs between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.ReLU()] if layers else []
        layers.append(nn.Linear(n_in, n_out))
    return nn.Sequential(*layers)


def make(
    widths: Sequence[int], n_codes: int, commitment: float, decay: float, dead_below: float, seed: int
) -> Network:
    """Return a network with the first weights of a seed; torch's own generator stays as it was."""
    before = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        quantizer = VectorQuantizer(
            widths[-1], n_codes, commitment_weight=commitment, decay=decay, dead_below=dead_below,
            kmeans_init=True, synchronise=False, seed=seed,
        )  # fmt: skip
        return Network(widths, quantizer)
    finally:
        torch.default_generator.set_state(before)


def fit(
    network: Network,
    data: npt.NDArray[np.float32],
    validation: npt.NDArray[np.float32] | None,
    n_features: int,
    settings: TrainingSettings,
    *,
    weights: npt.NDArray[np.float64],
    checkpoints: Path | None,
    identity: str,
    progress: Progress | None,
) -> tuple[Tensors, History]:
    """Train on vectors of objects (n, D), and return the tensors by their names in a file."""
    rows = {"train": torch.from_numpy(data)}
    if validation is not None:
        rows["validation"] = torch.from_numpy(validation)

    def batch_loss(
        module: nn.Module, indices: Tensor, which: Literal["train", "validation"], _: torch.Generator
    ) -> Tensor:
        assert isinstance(module, Network)
        return module.loss(rows[which][indices].to(module.quantizer.codes.device), n_features)

    history = train(
        network,
        batch_loss,
        len(data),
        0 if validation is None else len(validation),
        settings,
        weights=weights,
        checkpoints=checkpoints,
        identity=identity,
        progress=progress,
    )
    found = {"codes": network.quantizer.codes.numpy().copy()}
    for part, layers in (("encoder", network.encoder), ("decoder", network.decoder)):
        linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
        for k, layer in enumerate(linears):
            found[f"{part}.{k}.weight"] = layer.weight.detach().numpy().copy()
            found[f"{part}.{k}.bias"] = layer.bias.detach().numpy().copy()
    return found, history
