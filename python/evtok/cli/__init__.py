"""The command ``evtok``.

Exit codes: 0 done, 1 the data or the job failed (the reason is on stderr), 2 the command was wrong or a package is
missing, 130 Ctrl-C.
"""

from __future__ import annotations

import sys

from evtok._optional import require
from evtok.errors import EvtokError, MissingBackendError


def main() -> None:
    """Run the command line and exit."""
    try:
        for package in ("typer", "rich"):
            require(package, extra="cli")
        from evtok.cli.app import app

        app()
    except MissingBackendError as error:
        print(f"evtok: error: {error}", file=sys.stderr)
        sys.exit(2)
    except (EvtokError, OSError, ValueError) as error:
        print(f"evtok: error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(
            "evtok: interrupted; what was recorded stays valid, run the same command to go on",
            file=sys.stderr,
        )
        sys.exit(130)
