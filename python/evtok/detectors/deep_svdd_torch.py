"""The networks of `DeepSVDD` in torch, how they are trained, and what they make of events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from evtok.detectors.deep_svdd_state import SLOPE
from evtok.detectors.interface import Device, Progress, Tensors
from evtok.detectors.masked_token_model import Asked, MaskedTokenModel, Rectangle, place_within
from evtok.detectors.masked_token_scoring import ROWS, torch_threads
from evtok.detectors.masked_token_settings import NetworkSettings
from evtok.detectors.training import History, TrainingSettings, train
from evtok.tokens import Tokens

_LEAST_OF_CENTRE = 0.1


class Network(nn.Module):  # type: ignore[misc]  # torch is not followed
    """What both networks have: a centre, and `forward` from events to rows (n, outputs)."""

    centre: Tensor

    def distance(self, batch: Any) -> Tensor:
        """Return the mean squared distance of a batch from the centre."""
        return ((self(batch) - self.centre) ** 2).sum(1).mean()


class OfFeatures(Network):
    """Rows of standardised features (n, n_features)."""

    def __init__(self, shapes: list[tuple[int, ...]]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_out, n_in in shapes:
            layers += [nn.LeakyReLU(SLOPE)] if layers else []
            layers.append(nn.Linear(n_in, n_out, bias=False))
        self.network = nn.Sequential(*layers)
        self.register_buffer("centre", torch.zeros(shapes[-1][0]))

    def forward(self, batch: Tensor) -> Tensor:
        """Return rows (n, outputs)."""
        return self.network(batch)

    def names(self) -> dict[str, str]:
        """Return the names in a state of torch, by those in a file."""
        weights = [name for name in self.state_dict() if name != "centre"]
        return {"centre": "centre", **{f"network.{k}.weight": name for k, name in enumerate(weights)}}


class OfTokens(Network):
    """Ids, sequence after sequence, with the length of each."""

    def __init__(self, n_ids: int, outputs: int, settings: NetworkSettings, pooling: str) -> None:
        super().__init__()
        self.network = MaskedTokenModel(outputs, n_ids, settings)
        self.pooling = pooling
        self.register_buffer("centre", torch.zeros(outputs))
        with torch.no_grad():
            # Of ids that are as far apart as the units of a network that has learned them.
            nn.init.normal_(self.network.embedding.weight)
            self.network.embedding.weight.requires_grad_(False)
            for name, parameter in self.network.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_().requires_grad_(False)

    def forward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return rows (n, outputs)."""
        ids, lengths = batch
        rectangle = Rectangle.of(lengths)
        every = Asked(torch.arange(len(ids), device=ids.device), rectangle)
        rows = self.network(ids, place_within(lengths), rectangle, every)
        pooled = rectangle.spread(rows).sum(1)
        if self.pooling == "mean":
            pooled = pooled / lengths[:, None]
        return self.network.head(pooled)

    def names(self) -> dict[str, str]:
        """Return the names in a state of torch, by those in a file: all but the biases, which are 0."""
        return {name: name for name in self.state_dict() if not name.endswith("bias")}


def make(
    shapes: Mapping[str, tuple[int, ...]], settings: NetworkSettings, pooling: str, seed: int
) -> OfFeatures | OfTokens:
    """Return a network with the first weights of a seed; torch's own generator stays as it was."""
    before = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        if "network.embedding.weight" not in shapes:
            return OfFeatures([shape for name, shape in shapes.items() if name != "centre"])
        n_ids, outputs = shapes["network.embedding.weight"][0], shapes["centre"][0]
        return OfTokens(n_ids, outputs, settings, pooling)
    finally:
        torch.default_generator.set_state(before)


def fit(
    module: OfFeatures | OfTokens,
    data: Any,
    validation: Any,
    settings: TrainingSettings,
    *,
    weights: npt.NDArray[np.float64],
    checkpoints: Path | None,
    identity: str,
    progress: Progress | None,
) -> tuple[Tensors, History]:
    """Train a network, and return its tensors by their names in a file."""
    with torch.no_grad():
        module.centre.copy_(torch.from_numpy(_centre(module, data, weights)))
    events = {"train": _Events(data), "validation": _Events(validation)}

    def batch_loss(
        network: nn.Module, indices: Tensor, which: Literal["train", "validation"], _: torch.Generator
    ) -> Tensor:
        assert isinstance(network, Network)
        return network.distance(events[which].batch(indices, network.centre.device))

    n_validation = 0 if validation is None else len(validation)
    history = train(
        module,
        batch_loss,
        len(data),
        n_validation,
        settings,
        weights=weights,
        checkpoints=checkpoints,
        identity=identity,
        progress=progress,
    )
    state = module.state_dict()
    return {name: state[found].numpy().copy() for name, found in module.names().items()}, history


def outputs(
    module: OfFeatures | OfTokens,
    tensors: Mapping[str, npt.NDArray[Any]],
    data: Any,
    threads: int,
    device: Device = "cpu",
) -> npt.NDArray[np.float32]:
    """Return what the network of these tensors makes of events (n, outputs), computed on a device."""
    state = {found: torch.from_numpy(np.array(tensors[name])) for name, found in module.names().items()}
    module.load_state_dict(state, strict=False)  # what is not there are biases, which are 0
    module.eval().to(device)
    return _outputs(module, data, threads)


def _outputs(module: OfFeatures | OfTokens, data: Any, threads: int) -> npt.NDArray[np.float32]:
    events = _Events(data)
    device = module.centre.device
    with torch.inference_mode(), torch_threads(threads):
        made = torch.empty(
            (len(data), len(module.centre)), device=device
        )  # nothing waits for it before the end
        for part in events.parts(ROWS[device.type]):
            which = torch.from_numpy(part)
            made[which.to(device)] = module(events.batch(which, device)).to(made.dtype)
        return made.cpu().numpy()  # type: ignore[no-any-return]


def _centre(
    module: OfFeatures | OfTokens, data: Any, weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Return the weighted mean of what an untrained network gives, moved away from 0."""
    centre = np.average(_outputs(module.eval(), data, 0).astype(np.float64), axis=0, weights=weights)
    sign = np.where(centre < 0, -1.0, 1.0)
    return np.where(np.abs(centre) < _LEAST_OF_CENTRE, sign * _LEAST_OF_CENTRE, centre).astype(np.float32)


class _Events:
    """Rows of features, or ragged tokens, of which batches are made."""

    def __init__(self, data: Any) -> None:
        self._rows: Tensor | None = None
        if isinstance(data, Tokens):
            self._ids = torch.from_numpy(data.ids.astype(np.int64))
            self._starts = torch.from_numpy(data.offsets[:-1].copy())
            self._lengths = torch.from_numpy(data.lengths.copy())
        elif data is not None:
            self._rows = torch.from_numpy(data)

    def batch(self, events: Tensor, device: torch.device) -> Any:
        """Return what a network takes for events (n,)."""
        if self._rows is not None:
            return self._rows[events].to(device)
        lengths = self._lengths[events]
        rows = torch.repeat_interleave(self._starts[events], lengths) + place_within(lengths)
        return self._ids[rows].to(device), lengths.to(device)

    def parts(self, n_rows: int) -> list[npt.NDArray[np.int64]]:
        """Return the events in parts of bounded size, those of one length together."""
        if self._rows is not None:
            return _cut(np.arange(len(self._rows)), n_rows)
        lengths = self._lengths.numpy()
        found: list[npt.NDArray[np.int64]] = []
        for length in np.unique(lengths):
            found += _cut(np.flatnonzero(lengths == length), max(1, n_rows // int(length)))
        return found


def _cut(events: npt.NDArray[np.int64], size: int) -> list[npt.NDArray[np.int64]]:
    return [events[begin : begin + size] for begin in range(0, len(events), size)]
