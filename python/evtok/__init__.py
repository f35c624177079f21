"""evtok: collider events to tokens, exact, reproducible, and as fast as memory.

The stages, in the order in which data flow: `open_events` reads files into `Events`; a tokenizer turns events into
`Tokens`; `tokenize_files` does both over many files and writes shards that `verify` proves; `TokenDataset` reads them.
`nearest` and `Codebook` turn vectors into the index of their nearest code, `FSQ`, `LFQ` and `ResidualCodebook` quantize
by other rules, `fit_codebook` learns codes. A detector, of `evtok.detectors` or by `load_detector`, scores events;
`score_files` does so over many files, and `Scores` reads what it wrote. `digitize` is the kernel alone, as a drop-in
for NumPy's.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from evtok import _forks  # noqa: F401  # imported now, as a child that is forked later is to know that it is one
from evtok._core import version as __version__

if TYPE_CHECKING:
    from evtok._backend import last_backend
    from evtok._build import build_config
    from evtok.binning import digitize
    from evtok.codebook import FSQ, LFQ, Codebook, ResidualCodebook, fit_codebook, nearest
    from evtok.cuda.events import GpuEvents
    from evtok.cuda.tokens import GpuTokens
    from evtok.dataset import TokenDataset
    from evtok.detectors import load_detector
    from evtok.events import Events
    from evtok.io import open_events
    from evtok.jobs import tokenize_files, verify
    from evtok.jobs.score import score_files
    from evtok.scores import Scores
    from evtok.tokenizers import BinnedTokenizer, CodebookTokenizer, load_tokenizer
    from evtok.tokens import Tokens

# Where each public name lives. Modules are imported when a name is first used, so that `import evtok` costs little.
_HOMES = {
    "BinnedTokenizer": "evtok.tokenizers",
    "Codebook": "evtok.codebook",
    "CodebookTokenizer": "evtok.tokenizers",
    "Events": "evtok.events",
    "FSQ": "evtok.codebook",
    "GpuEvents": "evtok.cuda.events",
    "GpuTokens": "evtok.cuda.tokens",
    "LFQ": "evtok.codebook",
    "ResidualCodebook": "evtok.codebook",
    "Scores": "evtok.scores",
    "TokenDataset": "evtok.dataset",
    "Tokens": "evtok.tokens",
    "build_config": "evtok._build",
    "digitize": "evtok.binning",
    "fit_codebook": "evtok.codebook",
    "last_backend": "evtok._backend",
    "load_detector": "evtok.detectors",
    "load_tokenizer": "evtok.tokenizers",
    "nearest": "evtok.codebook",
    "open_events": "evtok.io",
    "score_files": "evtok.jobs.score",
    "tokenize_files": "evtok.jobs",
    "verify": "evtok.jobs",
}

__all__ = [
    "FSQ",
    "LFQ",
    "BinnedTokenizer",
    "Codebook",
    "CodebookTokenizer",
    "Events",
    "GpuEvents",
    "GpuTokens",
    "ResidualCodebook",
    "Scores",
    "TokenDataset",
    "Tokens",
    "__version__",
    "build_config",
    "digitize",
    "fit_codebook",
    "last_backend",
    "load_detector",
    "load_tokenizer",
    "nearest",
    "open_events",
    "score_files",
    "tokenize_files",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'evtok' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
