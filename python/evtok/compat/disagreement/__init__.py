"""How often the drop-ins and their peers disagree, and why: `python -m evtok.compat.disagreement`."""

from __future__ import annotations

from evtok.compat.disagreement.inputs import Input, stated_inputs
from evtok.compat.disagreement.peers import PEERS, Peer
from evtok.compat.disagreement.report import Disagreement, as_text, compare, disagreement

__all__ = ["PEERS", "Disagreement", "Input", "Peer", "as_text", "compare", "disagreement", "stated_inputs"]
