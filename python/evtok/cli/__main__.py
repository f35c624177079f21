"""``python -m evtok.cli`` is the command ``evtok``."""

from __future__ import annotations

from evtok.cli import main

main()
