"""The fault table: what was broken on purpose, how often, and what came of it.

    python tests/faults/campaign.py --json faults.json            some of each, in minutes
    python tests/faults/campaign.py --json faults.json --full     the figures of docs/faults.md, in hours
    python tests/faults/campaign.py --json faults.json --only kills --only storage
    python tests/faults/campaign.py --render docs/faults.json docs/faults.md

Each row is written when it is done; rows that the JSON holds already stay in it until they are done again.
Exits with 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

PARTS = ("kills", "storage", "damage", "processes", "interrupts", "cluster")
BEGIN, END = "<!-- the table: campaign.py --render -->\n", "<!-- end of the table -->"


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--json", type=Path, help="where the table goes, and what is there of it")
    options.add_argument("--full", action="store_true", help="the full number of trials")
    options.add_argument("--only", action="append", choices=PARTS, help="one part; may be given again")
    options.add_argument(
        "--render", nargs=2, type=Path, metavar=("JSON", "PAGE"), help="put a table into a page"
    )
    chosen = options.parse_args()
    if chosen.render:
        table, page = chosen.render
        page.write_text(rendered(json.loads(table.read_text()), page.read_text()))
        return 0
    there: dict[str, Any] = {}
    if chosen.json and chosen.json.exists():
        there = {row["fault"]: row for row in json.loads(chosen.json.read_text())["rows"]}
    rows = []
    for name in chosen.only or PARTS:
        for row in run(name, full=chosen.full):
            rows.append(row)
            there[row["fault"]] = row
            print(f"{row['kept']:>7} of {row['trials']:<7} {row['fault']}", flush=True)
            for example in row["examples"]:
                print(f"        {example}")
            if chosen.json:
                document = {
                    "format": "evtok-faults",
                    "version": 1,
                    "rows": sorted(there.values(), key=_place),
                }
                chosen.json.write_text(json.dumps(document, indent=1) + "\n")
    return int(any(row["kept"] < row["trials"] for row in rows))


def _place(row: dict[str, Any]) -> int:
    return PARTS.index(row["part"])


def run(name: str, *, full: bool) -> Iterator[dict[str, Any]]:
    """Run one part in memory where the machine has a folder for that, as the disk is not what is tried."""
    import evtok
    from faults import imports  # noqa: F401

    shared = Path("/dev/shm")
    start = time.time()
    with tempfile.TemporaryDirectory(prefix="evtok-faults-", dir=shared if shared.is_dir() else None) as work:
        for row in import_module(f"faults.{name}").run(Path(work), full=full):
            yield {
                "part": name,
                **row.to_json(),
                "full": full,
                "date": time.strftime("%Y-%m-%d"),
                "seconds": round(time.time() - start),
                "evtok": evtok.__version__,
                "python": platform.python_version(),
            }
            start = time.time()


def rendered(document: dict[str, Any], page: str) -> str:
    """Return the page with the table of the document between its marks."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + table_of(document) + END + after


def table_of(document: dict[str, Any]) -> str:
    """Return the rows as Markdown: of each, what was done, what came of it how often, and how many as promised."""
    lines = ["| fault | outcomes | as promised |", "| --- | --- | --- |"]
    for row in document["rows"]:
        outcomes = ", ".join(f"{n} {outcome}" for outcome, n in row["outcomes"].items()) or "; ".join(
            row["notes"]
        )
        share = f"{row['kept']} of {row['trials']}" if row["trials"] else "not run"
        lines.append(f"| {row['fault']} | {outcomes} | {share} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
