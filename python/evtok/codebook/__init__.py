"""Stage 3, codebook lookup: vectors to the index of their nearest code, and the quantizers built on it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from evtok.codebook.codebook import Codebook
from evtok.codebook.lookup import nearest

if TYPE_CHECKING:
    from evtok.codebook.fit import fit_codebook
    from evtok.codebook.fsq import FSQ
    from evtok.codebook.health import CodebookHealth
    from evtok.codebook.lfq import LFQ
    from evtok.codebook.residual import ResidualCodebook

# Imported when first used: a lookup needs none of them.
_HOMES = {
    "FSQ": "fsq",
    "LFQ": "lfq",
    "CodebookHealth": "health",
    "ResidualCodebook": "residual",
    "fit_codebook": "fit",
}

__all__ = ["FSQ", "LFQ", "Codebook", "CodebookHealth", "ResidualCodebook", "fit_codebook", "nearest"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'evtok.codebook' has no attribute {name!r}")
    value = getattr(import_module(f"evtok.codebook.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
