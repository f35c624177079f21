"""Checkpoints of a training: safetensors for tensors, JSON for the rest, through Lightning's `CheckpointIO`.

A folder holds ``training.json``, which names one ``epoch-NNNNNN.safetensors`` and its sha256. The tensors are written
first; the JSON then takes the place of the one before, whole or not at all. So there is a good checkpoint at any time,
and nothing in it is executed. Lightning's own counters are not kept: the history says how far the training is.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import lightning.pytorch
import torch
from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from evtok.detectors.training import Epoch, History
from evtok.errors import ArtefactError, JobError, ShardError
from evtok.jobs.durable import OutputFolder
from evtok.tokenizers.artefact import closed

FORMAT, FORMAT_VERSION = "evtok-training", 1

#: The file that says what there is; also the path that Lightning knows.
CHECKPOINT = "training.json"

_TENSORS = re.compile(r"epoch-[0-9]{6}\.safetensors")
_MAX_JSON_BYTES = 64 << 20
_MOMENTS = ("exp_avg", "exp_avg_sq")


class TrainingCheckpoints:
    """The checkpoint of one training in one folder.

    Parameters
    ----------
    folder : OutputFolder
        Locked by the caller.
    identity : str
        Of the training; another one's checkpoint is refused.
    weights : mapping of tensors
        The state of the module: what a checkpoint must hold, no more and no less.
    parameters : sequence of tensors
        As the optimizer numbers them.
    """

    def __init__(
        self, folder: OutputFolder, identity: str, weights: Mapping[str, Tensor], parameters: Sequence[Tensor]
    ) -> None:
        self._folder, self._identity = folder, identity
        self._expected = {
            f"{part}.{name}": (value.dtype, value.shape)
            for name, value in weights.items()
            for part in ("weights", "best")
        }
        self._optional = {
            f"optimizer.{at}.{name}": (value.dtype, value.shape)
            for at, value in enumerate(parameters)
            for name in _MOMENTS
        }
        self._optional |= {
            f"optimizer.{at}.step": (torch.float32, torch.Size(())) for at in range(len(parameters))
        }

    def exists(self) -> bool:
        """Whether there is a checkpoint."""
        return CHECKPOINT in self._folder.names()

    # ---- writing ------------------------------------------------------------------------------------------------

    def write(self, history: History, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Write the state after the last epoch of `history`; `parts` are "weights", "best" and "optimizer".

        Raises
        ------
        JobError
            What the system refused, with the path; the checkpoint before stays.
        """
        data = tensors_to_bytes(
            {
                f"{part}.{name}": value.detach().cpu().contiguous().clone()  # shared memory is written twice
                for part, values in parts.items()
                for name, value in values.items()
            }
        )
        name = f"epoch-{len(history.epochs):06}.safetensors"
        document = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "identity": self._identity,
            "tensors": name,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "epochs": [asdict(epoch) for epoch in history.epochs],
        }
        self._folder.write(name, data)
        self._folder.write(CHECKPOINT, json.dumps(document, indent=2, allow_nan=False).encode() + b"\n")
        for other in self._folder.names():
            if _TENSORS.fullmatch(other) and other != name:
                self._folder.remove(other)

    # ---- reading ------------------------------------------------------------------------------------------------

    def history(self) -> History:
        """Return what was done.

        Raises
        ------
        JobError
            The checkpoint of another training.
        ArtefactError
            A corrupt or hostile one; so for all that follows.
        """
        return self._read()[1]

    def best(self) -> dict[str, Tensor]:
        """Return the weights of the best epoch."""
        return self.part("best")

    def part(self, part: str) -> dict[str, Tensor]:
        """Return the tensors of a part, as `write` was given them."""
        document, _ = self._read()
        tensors = self._tensors(document)
        return {
            name.split(".", 1)[1]: value for name, value in tensors.items() if name.startswith(f"{part}.")
        }

    def _read(self) -> tuple[dict[str, Any], History]:
        path = self._folder.path / CHECKPOINT
        try:
            document = json.loads(self._bytes(CHECKPOINT, _MAX_JSON_BYTES))
        except (ValueError, RecursionError) as error:
            if isinstance(error, ArtefactError):
                raise
            raise ArtefactError(f"{path}: not valid JSON: {error}") from error
        if not isinstance(document, dict):
            raise ArtefactError(f"{path}: expected a JSON object")
        wanted = {"format", "format_version", "identity", "tensors", "size", "sha256", "epochs"}
        closed(document, wanted, str(path))
        if document["format"] != FORMAT or document["format_version"] != FORMAT_VERSION:
            raise ArtefactError(
                f"{path}: format {document['format']!r:.80} version {document['format_version']!r:.80}; this evtok "
                f"reads {FORMAT!r} version {FORMAT_VERSION}"
            )
        if document["identity"] != self._identity:
            raise JobError(
                f"{path}: belongs to a training with other data or settings; choose another folder for checkpoints, "
                "or remove this one to begin anew"
            )
        if not isinstance(document["tensors"], str) or not _TENSORS.fullmatch(document["tensors"]):
            raise ArtefactError(
                f"{path}: tensors: expected the name of a file, got {document['tensors']!r:.80}"
            )
        return document, _history(document["epochs"], str(path))

    def _tensors(self, document: Mapping[str, Any]) -> dict[str, Tensor]:
        path = self._folder.path / document["tensors"]
        if not isinstance(document["size"], int):
            raise ArtefactError(f"{self._folder.path / CHECKPOINT}: size: expected an integer")
        data = self._bytes(document["tensors"], document["size"])
        if hashlib.sha256(data).hexdigest() != document["sha256"]:
            raise ArtefactError(
                f"{path}: not the bytes that {CHECKPOINT} promises; remove the folder to begin anew"
            )
        try:
            tensors: dict[str, Tensor] = tensors_from_bytes(data)
        except (SafetensorError, KeyError, ValueError, TypeError, OverflowError, RuntimeError) as error:
            raise ArtefactError(f"{path}: not a valid safetensors file: {error}") from error
        missing = sorted(self._expected.keys() - tensors.keys())
        if missing:
            raise ArtefactError(f"{path}: tensor {missing[0]!r} is missing")
        for moment in self._optional:  # a parameter has all of its moments or none
            together = moment.rpartition(".")[0]
            if moment not in tensors and any(name.startswith(f"{together}.") for name in tensors):
                raise ArtefactError(f"{path}: tensor {moment!r} is missing")
        allowed = self._expected | self._optional
        for name, value in tensors.items():
            if name not in allowed:
                raise ArtefactError(f"{path}: unknown tensor {name!r:.80}")
            if (value.dtype, value.shape) != allowed[name]:
                dtype, shape = allowed[name]
                raise ArtefactError(
                    f"{path}: tensor {name!r}: expected {dtype} {tuple(shape)}, got {value.dtype} {tuple(value.shape)}"
                )
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise ArtefactError(f"{path}: tensor {name!r} holds NaN or infinities")
        return tensors

    def _bytes(self, name: str, at_most: int) -> bytes:
        path = self._folder.path / name
        try:
            fd = self._folder.open(name)
        except ShardError as error:
            raise ArtefactError(str(error)) from error
        with open(fd, "rb") as file:  # noqa: PTH123  a descriptor
            if os.fstat(fd).st_size > at_most:
                raise ArtefactError(f"{path}: larger than {at_most} bytes")
            return file.read()


class TrainingCheckpointIO(CheckpointIO):  # type: ignore[misc]
    """How Lightning reads and writes `TrainingCheckpoints`."""

    def __init__(self, checkpoints: TrainingCheckpoints) -> None:
        self._checkpoints = checkpoints

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write what a loop put together: weights, moments of the optimizer, history, best weights."""
        state = checkpoint["optimizer_states"][0]["state"]
        moments = {f"{at}.{name}": value for at, values in state.items() for name, value in values.items()}
        weights = {name.removeprefix("module."): value for name, value in checkpoint["state_dict"].items()}
        parts = {"weights": weights, "best": checkpoint["best"], "optimizer": moments}
        self._checkpoints.write(checkpoint["history"], parts)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Return what Lightning restores; the loop adds the groups of the optimizer."""
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in self._checkpoints.part("optimizer").items():
            at, moment = name.split(".")
            state.setdefault(int(at), {})[moment] = value
        return {
            "pytorch-lightning_version": lightning.pytorch.__version__,
            "state_dict": {
                f"module.{name}": value for name, value in self._checkpoints.part("weights").items()
            },
            "optimizer_states": [{"state": state}],
            "lr_schedulers": [],
        }

    def remove_checkpoint(self, path: Any) -> None:
        """Nothing: a checkpoint is removed by the next."""


def _history(epochs: Any, path: str) -> History:
    if not isinstance(epochs, list) or not epochs:
        raise ArtefactError(f"{path}: epochs: expected a list")
    found = []
    for number, epoch in enumerate(epochs, 1):
        if not isinstance(epoch, dict):
            raise ArtefactError(f"{path}: epochs: expected objects")
        closed(epoch, {"epoch", "train_loss", "validation_loss", "seconds"}, f"{path}: epochs")
        numbers = [epoch["train_loss"], epoch["seconds"]]
        numbers += [] if epoch["validation_loss"] is None else [epoch["validation_loss"]]
        if epoch["epoch"] != number or not all(isinstance(x, float) and math.isfinite(x) for x in numbers):
            raise ArtefactError(f"{path}: epochs: not what a training writes for epoch {number}")
        found.append(Epoch(**epoch))
    return History(tuple(found))
