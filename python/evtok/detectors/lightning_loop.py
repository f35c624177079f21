"""The loop of `evtok.detectors.training`, which Lightning drives. Imported when something is trained."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment

from evtok.detectors.checkpoint_io import CHECKPOINT, TrainingCheckpointIO, TrainingCheckpoints
from evtok.detectors.process_state import interrupts_raised, lightning_silenced, torch_state_kept
from evtok.detectors.sampling import Batches, n_batches, training_batches, validation_batches
from evtok.detectors.training import BatchLoss, Epoch, History, TrainingSettings, learning_rate
from evtok.errors import JobError
from evtok.jobs.durable import OutputFolder

if TYPE_CHECKING:
    from torch import Tensor

_SECONDS_BETWEEN_STEPS = 0.5

# What Lightning takes for one batch: its own work between two batches takes as long as a step of a small network.
_STEPS_OF_A_STRETCH = 8


@dataclass(frozen=True)
class Task:
    """What `train` was given."""

    module: torch.nn.Module
    batch_loss: BatchLoss
    n_train: int
    n_validation: int
    settings: TrainingSettings
    weights: npt.NDArray[np.float64] | None
    progress: Callable[[dict[str, Any]], None] | None


def run(task: Task, folder: Path | None, identity: str) -> History:
    """Train, from the checkpoint in `folder` where there is one."""
    cuda = task.settings.device == "cuda" or (task.settings.device == "auto" and torch.cuda.is_available())
    loop = Loop(task, cuda)
    with contextlib.ExitStack() as stack:
        checkpoints = None
        if folder is not None:
            opened = stack.enter_context(OutputFolder(folder))
            opened.lock()
            opened.remove_temporaries()
            checkpoints = TrainingCheckpoints(
                opened, identity, task.module.state_dict(), loop.parameters_in_order
            )
        stack.enter_context(torch_state_kept(cuda))
        stack.enter_context(lightning_silenced())
        resumed = checkpoints is not None and checkpoints.exists()
        if checkpoints is not None and resumed:
            loop.go_on_from(checkpoints)
        try:
            if not loop.history.over(task.settings):
                loop.checkpoints = checkpoints
                with interrupts_raised():
                    _fit(loop, cuda, resumed)
        finally:
            task.module.cpu().eval()
    task.module.load_state_dict(loop.best)
    return loop.history


def _fit(loop: Loop, cuda: bool, resumed: bool) -> None:
    settings, task = loop.task.settings, loop.task
    plugins: list[Any] = [LightningEnvironment()]  # one process, also where a batch system offers more
    if loop.checkpoints is not None:
        plugins.append(TrainingCheckpointIO(loop.checkpoints))
    trainer = Trainer(
        accelerator="cuda" if cuda else "cpu",
        devices=[torch.cuda.current_device()] if cuda else 1,
        plugins=plugins,
        max_epochs=settings.epochs - len(loop.history.epochs),
        logger=False,
        enable_checkpointing=False,  # Lightning's own; the loop asks for them
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_autolog_hparams=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        inference_mode=False,
    )
    trainer.fit(
        loop,
        train_dataloaders=range(n_batches(task.n_train, settings.batch * _STEPS_OF_A_STRETCH)),
        val_dataloaders=range(n_batches(task.n_validation, settings.batch)) if task.n_validation else None,
        ckpt_path=CHECKPOINT if resumed else None,
    )


class Loop(LightningModule):  # type: ignore[misc]
    """What Lightning calls, with the number of a stretch of the epoch, or of a batch to validate on."""

    def __init__(self, task: Task, cuda: bool) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.task = task
        self.module = task.module
        self.history = History()
        self.best: dict[str, Tensor] = {}
        self.checkpoints: TrainingCheckpoints | None = None
        self.optimizer = _optimizer(task)
        self.parameters_in_order = [
            value for group in self.optimizer.param_groups for value in group["params"]
        ]
        self._cuda = cuda
        settings = task.settings
        self._steps_per_epoch = n_batches(task.n_train, settings.batch)
        self._validation = validation_batches(task.n_validation, settings.batch, settings.seed)
        self._generator = torch.Generator()

    def go_on_from(self, checkpoints: TrainingCheckpoints) -> None:
        """Take what a checkpoint holds beside what Lightning takes from it."""
        self.history, self.best = checkpoints.history(), checkpoints.best()
        self._tell({"event": "resume", "epoch": len(self.history.epochs)})

    # ---- called by Lightning ------------------------------------------------------------------------------------

    def configure_optimizers(self) -> torch.optim.Optimizer:  # noqa: D102
        return self.optimizer

    def on_train_epoch_start(self) -> None:  # noqa: D102
        settings = self.task.settings
        self._epoch = len(self.history.epochs)
        self._batches = training_batches(
            self.task.n_train, settings.batch, settings.seed, self._epoch, self.task.weights
        )
        self._train_loss = torch.zeros((), dtype=torch.float64, device=self.device)
        self._validation_loss = torch.zeros((), dtype=torch.float64, device=self.device)
        self._began = self._told = time.perf_counter()

    def training_step(self, stretch: int, _: int) -> None:  # noqa: D102
        first = stretch * _STEPS_OF_A_STRETCH
        for at in range(first, min(first + _STEPS_OF_A_STRETCH, self._steps_per_epoch)):
            self._step(at)
        self._tell_of_steps(at + 1)

    def _step(self, at: int) -> None:
        settings = self.task.settings
        step = self._epoch * self._steps_per_epoch + at
        rate = learning_rate(settings, step, settings.epochs * self._steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss, n_events = self._loss(self._batches, at, "train")
        loss.backward()
        if settings.gradient_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters_in_order, settings.gradient_norm)
        self.optimizer.step()
        self._train_loss += loss.detach() * n_events

    def _tell_of_steps(self, done: int) -> None:
        now = time.perf_counter()
        self._training_seconds = now - self._began
        if now - self._told >= _SECONDS_BETWEEN_STEPS:
            self._told = now
            self._tell(
                {
                    "event": "step",
                    "epoch": self._epoch + 1,
                    "epochs": self.task.settings.epochs,
                    "done_events": min(done * self.task.settings.batch, self.task.n_train),
                    "events": self.task.n_train,
                }
            )

    def validation_step(self, at: int, _: int) -> None:  # noqa: D102
        loss, n_events = self._loss(self._validation, at, "validation")
        self._validation_loss += loss * n_events

    def on_train_epoch_end(self) -> None:  # noqa: D102
        train_loss = self._train_loss.item() / self.task.n_train
        validation_loss = None
        if self.task.n_validation:
            validation_loss = self._validation_loss.item() / self.task.n_validation
        self._require_finite(train_loss, validation_loss)
        seconds = time.perf_counter() - self._began
        epoch = Epoch(self._epoch + 1, train_loss, validation_loss, seconds)
        self.history = History((*self.history.epochs, epoch))
        if self.history.best == epoch.epoch:
            self.best = {
                name: value.detach().cpu().clone() for name, value in self.module.state_dict().items()
            }
        if self.checkpoints is not None:
            self.trainer.save_checkpoint(CHECKPOINT)
        self._tell(
            {
                "event": "epoch",
                **asdict(epoch),
                "epochs": self.task.settings.epochs,
                "events_per_second": self.task.n_train / max(self._training_seconds, 1e-9),
                "learning_rate": self.optimizer.param_groups[0]["lr"],
                "best_epoch": self.history.best,
            }
        )
        self.trainer.should_stop = self.history.over(self.task.settings)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:  # noqa: D102
        checkpoint["history"], checkpoint["best"] = self.history, self.best

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:  # noqa: D102
        # The groups follow from the settings; a checkpoint holds moments alone.
        groups = self.optimizer.state_dict()["param_groups"]
        checkpoint["optimizer_states"][0]["param_groups"] = groups

    # ---- parts --------------------------------------------------------------------------------------------------

    def _loss(self, batches: Batches, at: int, which: Literal["train", "validation"]) -> tuple[Tensor, int]:
        indices, seed = torch.from_numpy(batches[at]), int(batches.seeds[at])
        self._generator.manual_seed(seed)
        torch.default_generator.manual_seed(seed)
        if self._cuda:
            torch.cuda.manual_seed(seed)
        return self.task.batch_loss(self.module, indices, which, self._generator), len(indices)

    def _require_finite(self, train_loss: float, validation_loss: float | None) -> None:
        for name, loss in (("training", train_loss), ("validation", validation_loss)):
            if loss is not None and not math.isfinite(loss):
                raise JobError(
                    f"the {name} loss became {loss} in epoch {self._epoch + 1}: lower learning_rate, or limit "
                    "gradients with gradient_norm; the epochs before stay recorded"
                )

    def _tell(self, event: dict[str, Any]) -> None:
        if self.task.progress is not None:
            self.task.progress(event)


def _optimizer(task: Task) -> torch.optim.Optimizer:
    learned = [value for value in task.module.parameters() if value.requires_grad]
    if not learned:
        raise ValueError("module: has no parameter to train")
    decay = task.settings.weight_decay
    if decay == 0:
        groups = [{"params": learned, "weight_decay": 0.0}]
    else:  # biases and norms do not decay
        matrices = [value for value in learned if value.ndim > 1]
        others = [value for value in learned if value.ndim <= 1]
        both = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
        groups = [group for group in both if group["params"]]
    return torch.optim.AdamW(groups, lr=task.settings.learning_rate, fused=True)
