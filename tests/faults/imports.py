"""Imports whatever a forked child would otherwise import for itself, again in each trial."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.ipc
import pyarrow.parquet
import safetensors.numpy
import xxhash

import evtok.detectors.unigram
import evtok.io.parquet
import evtok.jobs.merge
import evtok.jobs.score
import evtok.jobs.tokenize
import evtok.scores
from evtok import TokenDataset, load_detector, load_tokenizer, open_events, verify
from faults import forks

__all__ = [
    "TokenDataset",
    "evtok",
    "load_detector",
    "load_tokenizer",
    "np",
    "open_events",
    "pyarrow",
    "safetensors",
]
__all__ += ["verify", "warm", "xxhash"]


def warm(function: Callable[..., Any], *arguments: Any) -> None:
    """Run `function` in a child, and import here what it imported there, such as what pyarrow imports when used."""
    before = set(sys.modules)
    for name in forks.require(_modules_of, function, *arguments):
        if name not in before:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def _modules_of(function: Callable[..., Any], *arguments: Any) -> list[str]:
    function(*arguments)
    return list(sys.modules)
