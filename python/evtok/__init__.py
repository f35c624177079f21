"""evtok: collider events to tokens, exact, reproducible, and as fast as memory.

The stages, in the order in which data flow: `open_events` reads files into `Events`; a tokenizer turns events into
`Tokens`; `tokenize_files` does both over many files and writes shards that can be verified; `TokenDataset` reads them.
"""

from __future__ import annotations

from evtok._core import version as __version__
from evtok.events import Events

__all__ = ["Events", "__version__"]
