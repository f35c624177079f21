"""Events on the host, encoded on a GPU: what jobs do with ``device="cuda"``."""

from __future__ import annotations

import contextlib
import re

import numpy as np
import numpy.typing as npt

from evtok.cuda.arrays import Package
from evtok.cuda.cupy_arrays import CupyArrays
from evtok.cuda.events import GpuEvents
from evtok.cuda.module import load, why_off
from evtok.cuda.torch_arrays import TorchArrays
from evtok.errors import InvalidEventsError, MissingBackendError
from evtok.events import TYPE_COLUMN, Events
from evtok.tokenizers import BinnedTokenizer, encoding, event_features
from evtok.tokens import Tokens

_DEVICE = re.compile(r"cuda(?::([0-9]+))?\Z")


class OnDevice:
    """A tokenizer that copies the columns it reads to a GPU, encodes them there, and copies the ids back.

    Parameters
    ----------
    tokenizer : BinnedTokenizer
        Fitted.
    device : str
        ``"cuda"`` (the first device) or ``"cuda:1"``.

    Raises
    ------
    TypeError
        Another tokenizer, whose `encode` runs on the CPU alone.
    ValueError
        No such device.
    MissingBackendError
        Evtok without CUDA, no device that can be used, or neither torch with CUDA nor CuPy to allocate memory there.
    """

    def __init__(self, tokenizer: object, device: str) -> None:
        if not isinstance(tokenizer, BinnedTokenizer):
            raise TypeError(
                f"device: expected a BinnedTokenizer for {device!r}, got {type(tokenizer).__name__}, which encodes on "
                "the CPU; leave the device out"
            )
        found = _DEVICE.match(device)
        if found is None:
            raise ValueError(f"device: expected 'cuda' or 'cuda:<number>', got {device!r}")
        index = int(found[1] or 0)
        cuda = load()
        why = why_off()
        if why is not None:
            raise MissingBackendError(f"device: {device}: {why}", name="evtok._cuda")
        if index >= cuda.device_count():
            raise ValueError(f"device: there is no {device}; there are {cuda.device_count()} devices")
        self._package = _package(index)
        self._tokenizer = tokenizer

    def encode(
        self, events: Events, *, threads: int | None = None, dtype: npt.DTypeLike = np.int32
    ) -> Tokens:
        """Encode as the tokenizer itself does; `threads` are of the CPU, and not used."""
        del threads
        tokenizer = self._tokenizer
        try:
            with self._package.current():
                return tokenizer.encode(self._copied(events), dtype=dtype).to_host()
        except InvalidEventsError:
            tokenizer.encode(
                events, dtype=dtype
            )  # raises in the same words as on the CPU, such as of quantities
            raise

    def _copied(self, events: Events) -> GpuEvents:
        """Copy what the tokenizer reads; quantities of events are computed here, and go as fields."""
        settings, put = self._tokenizer.settings, self._package.put
        of_event = event_features.values(settings.event_features, events, settings.types)
        columns = {f.column: encoding.column(events, f.column) for f in settings.features.values()}
        fields = {f.column: of_event[name] for name, f in settings.event_features.items()}
        for feature in settings.features.values():
            if feature.relative_to is not None:
                fields[feature.relative_to] = encoding.reference(events, feature.relative_to)
        if settings.sort_by is not None:
            columns[settings.sort_by] = encoding.column(events, settings.sort_by)
        if settings.types:
            columns[TYPE_COLUMN] = encoding.type_codes(events)
        return GpuEvents(
            put(events.offsets),
            {name: put(x) for name, x in columns.items()},
            {name: put(x) for name, x in fields.items()},
            types=events.types,
            max_per_event=max(1, int(events.multiplicity.max(initial=0))),
        )


def _package(index: int) -> Package:
    with contextlib.suppress(ImportError):
        import torch

        if torch.cuda.is_available():
            return TorchArrays(index)
    try:
        return CupyArrays(index)
    except ImportError as error:
        raise MissingBackendError(
            "device: evtok takes memory on a GPU from torch with CUDA or from CuPy, and found neither; install one: "
            "pip install torch, or pip install cupy-cuda13x",
            name="cupy",
        ) from error
