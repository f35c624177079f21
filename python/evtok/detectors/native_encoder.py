"""The encoder of detectors of tokens, by evtok's own kernels: from the tensors of an artefact, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _core
from evtok.detectors.masked_token_settings import NetworkSettings

#: What torch's layer normalisation adds to the variance.
EPSILON = 1e-5


def encoder_of(
    state: Mapping[str, npt.NDArray[Any]],
    settings: NetworkSettings,
    precision: str = "float32",
    threads: int = 0,
) -> _core.Encoder:
    """Return the encoder of a network.

    Parameters
    ----------
    state : mapping of str to float32 arrays
        Tensors by their names in a state dict of torch, as `NetworkSettings.shapes` lists them. Biases that are missing
        are 0.
    settings : NetworkSettings
    precision : {"float32", "bfloat16"}
    threads : int
        For the preparation; 0 for the default.
    """
    shapes = settings.shapes(1, 1)

    def tensor(name: str) -> npt.NDArray[np.float32]:
        if name not in state and name.endswith("bias"):
            return np.zeros(shapes[name], np.float32)
        return np.ascontiguousarray(state[name], np.float32)

    layers = []
    for k in range(settings.layers):
        prefix = f"encoder.layers.{k}."
        own = [name for name in shapes if name.startswith(prefix)]
        layers.append({name.removeprefix(prefix): tensor(name) for name in own})
    norm = (tensor("encoder.norm.weight"), tensor("encoder.norm.bias")) if settings.norm_first else None
    return _core.Encoder(
        layers, settings.heads, settings.activation, settings.norm_first, EPSILON, norm, precision, threads
    )
