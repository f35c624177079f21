"""The scoring kernels: the head of a model with its likelihoods, and the reductions and distances of detectors."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from evtok.bench import score_head
from evtok.bench.harness import Case
from evtok.bench.registry import Settings


def cases(shape: dict[str, Any], settings: Settings) -> Iterator[Case]:
    """Yield the cases of a shape: one with a vocabulary is a head, any other is a kernel of `score_kernels`."""
    if "vocab" in shape:
        yield from score_head.cases(shape, settings)
    else:
        yield from import_module("evtok.bench.score_kernels").cases(shape, settings)
