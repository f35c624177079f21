"""`python -m evtok.compat.disagreement`: print the report for the peers that are installed."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from evtok.compat.disagreement import PEERS, as_text, compare, stated_inputs


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 1 where rounding does not explain a disagreement."""
    parser = argparse.ArgumentParser(prog="python -m evtok.compat.disagreement", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="rows of each input (20000)")
    parser.add_argument("--codes", type=int, default=512, help="codes of each input (512)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the inputs (0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    if options.rows < 1 or options.codes < 1:
        parser.error("--rows and --codes: expected at least 1")
    rows = compare(stated_inputs(options.rows, options.codes, options.seed))
    if options.json:
        print(json.dumps([{**dataclasses.asdict(row), "rate": row.rate} for row in rows], indent=2))
    else:
        print(as_text(rows))
    for peer in PEERS:
        if peer.version is None:
            print(f"left out, not installed: {peer.name} (pip install {peer.package})", file=sys.stderr)
    return 0 if all(row.worst <= 1 for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
