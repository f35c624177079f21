"""Trains a network step by step: Lightning drives, batches are drawn here, and an interrupted training goes on.

`train` is all that a detector needs:

    history = train(
        module, batch_loss, n_train, n_validation, settings,
        weights=weights, checkpoints=checkpoints, identity=identity, progress=progress,
    )

Whatever is random is a function of the seed, the epoch and the batch, so that a training that was interrupted ends
with the bits of one that was not (on the same machine, with the same number of threads).
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from evtok._optional import require
from evtok.errors import JobError
from evtok.tokenizers.artefact import canonical_json

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

#: Given the module, the indices (int64, on the CPU) of a batch, what it is for, and the batch's own generator (of the
#: CPU): the mean loss of these events, on the device of the module.
BatchLoss = Callable[["nn.Module", "Tensor", Literal["train", "validation"], "Generator"], "Tensor"]


_LARGEST = sys.float_info.max


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; AdamW takes the steps.

    Parameters
    ----------
    epochs : int
        At most so many; an epoch takes as many events as there are to train on.
    batch : int
        Events of one step.
    learning_rate : float
    weight_decay : float
    patience : int, optional
        Stop when the validation loss has not fallen for so many epochs; None: never.
    seed : int
        Of the batches, and of what a module draws (dropout).
    warm_up : int
        Steps during which the learning rate rises linearly from 0.
    decay : "constant" or "cosine"
        Of the learning rate after that; "cosine" ends at 0 with the last step of the last epoch.
    gradient_norm : float, optional
        Gradients that are longer are shortened to this.
    device : "auto", "cpu" or "cuda"
        "auto" takes the GPU where there is one.
    """

    epochs: int = 50
    batch: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    patience: int | None = 10
    seed: int = 0
    warm_up: int = 0
    decay: Literal["constant", "cosine"] = "constant"
    gradient_norm: float | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 1), ("seed", 0), ("warm_up", 0), ("patience", 1)):
            value = getattr(self, name)
            if value is None and name == "patience":
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name}: expected an integer, got {value!r}")
            if not least <= value < 1 << 63:
                raise ValueError(f"{name}: expected {least} to 2**63 - 1, got {value}")
        for name in ("learning_rate", "weight_decay", "gradient_norm"):
            value = getattr(self, name)
            if value is None and name == "gradient_norm":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name}: expected a number, got {value!r}")
            if not (
                -_LARGEST <= value <= _LARGEST and (value > 0 or (value == 0 and name == "weight_decay"))
            ):
                raise ValueError(f"{name}: expected a finite positive number, got {value}")
        for name, known in (("decay", ("constant", "cosine")), ("device", ("auto", "cpu", "cuda"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}")


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; `validation_loss` is None where there is nothing to validate on."""

    epoch: int
    train_loss: float
    validation_loss: float | None
    seconds: float


@dataclass(frozen=True)
class History:
    """What a training came to, epoch by epoch, counted from 1."""

    epochs: tuple[Epoch, ...] = ()

    @property
    def best(self) -> int:
        """The epoch whose weights are kept: that of the lowest validation loss, or the last without validation."""
        lowest, best = math.inf, len(self.epochs)
        for epoch in self.epochs:
            if epoch.validation_loss is not None and epoch.validation_loss < lowest:
                lowest, best = epoch.validation_loss, epoch.epoch
        return best

    def over(self, settings: TrainingSettings) -> bool:
        """Whether no epoch is left to do."""
        waited = len(self.epochs) - self.best
        return len(self.epochs) >= settings.epochs or (
            settings.patience is not None and waited >= settings.patience
        )


def train(
    module: nn.Module,
    batch_loss: BatchLoss,
    n_train: int,
    n_validation: int,
    settings: TrainingSettings,
    *,
    weights: npt.NDArray[np.float64] | None = None,
    checkpoints: Path | None = None,
    identity: str = "",
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> History:
    """Train `module` in place; it ends with the weights of the best epoch, on the CPU, in eval mode.

    Parameters
    ----------
    module : torch.nn.Module
        On the CPU. Parameters that need no gradient stay as they are.
    batch_loss : callable
        See `BatchLoss`. It must draw from its generator alone, which has the same state for the same batch in every
        run, and for validation in every epoch. A module may draw from torch's global generators.
    n_train, n_validation : int
        Numbers of events; without validation every epoch is the best so far.
    settings : TrainingSettings
    weights : float64 array (n_train,), optional
        Where they differ, events are drawn in proportion to them, with replacement. Otherwise an epoch takes each
        event once.
    checkpoints : path, optional
        A folder that is made; it holds the state after the last complete epoch. When it holds one of the same
        training, that is continued.
    identity : str
        Says which data and which network; settings, weights and numbers of events are added to it.
    progress : callable, optional
        Is told, as dicts with "event": "resume" ("epoch"); "step" at most twice a second ("epoch", "epochs",
        "done_events", "events"); "epoch" ("epoch", "epochs", "train_loss", "validation_loss", "events_per_second",
        "seconds", "learning_rate", "best_epoch").

    Returns
    -------
    History

    Raises
    ------
    JobError
        A loss that is not finite, a checkpoint that cannot be written, another training in the folder of checkpoints,
        or one whose identity is another. What was recorded stays valid.
    ArtefactError
        A checkpoint that is corrupt or hostile.
    KeyboardInterrupt
        Ctrl-C; the epochs that were complete are in `checkpoints`.
    MissingBackendError
        Without torch and Lightning.
    """
    if n_train < 1:
        raise ValueError(f"n_train: expected at least 1 event, got {n_train}")
    if weights is not None and weights.shape != (n_train,):
        raise ValueError(f"weights: expected shape ({n_train},), got {weights.shape}")
    torch = require("torch", extra="torch")
    require("lightning.pytorch", extra="torch")
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise JobError("device: no GPU is visible to torch; use 'cpu' or 'auto'")
    from evtok.detectors import lightning_loop

    return lightning_loop.run(
        lightning_loop.Task(module, batch_loss, n_train, n_validation, settings, weights, progress),
        checkpoints,
        _identity(identity, n_train, n_validation, settings, weights),
    )


def learning_rate(settings: TrainingSettings, step: int, n_steps: int) -> float:
    """Return the learning rate of a step, counted from 0, of a training of at most `n_steps`."""
    if step < settings.warm_up:
        return settings.learning_rate * (step + 1) / settings.warm_up
    if settings.decay == "constant":
        return settings.learning_rate
    share = (step - settings.warm_up) / max(n_steps - settings.warm_up, 1)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def _identity(
    given: str,
    n_train: int,
    n_validation: int,
    settings: TrainingSettings,
    weights: npt.NDArray[np.float64] | None,
) -> str:
    # The device is left out: a training may move to another machine, which does not promise the same bits.
    chosen = {name: value for name, value in asdict(settings).items() if name != "device"}
    digest = hashlib.sha256(canonical_json([given, n_train, n_validation, chosen]))
    if weights is not None:
        digest.update(np.ascontiguousarray(weights, "<f8").tobytes())
    return digest.hexdigest()
