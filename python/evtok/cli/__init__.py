"""The command ``evtok``.

Exit codes: 0 done, 1 the data or the job failed (the reason is on stderr), 2 the command was wrong or a package is
missing, 130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import sys

from evtok._optional import require
from evtok.errors import EvtokError, MissingBackendError

_STOPPED: dict[object, str] = {
    130: "evtok: interrupted; what is recorded stays, run again to go on",
    143: "evtok: terminated; what is recorded stays, run again to go on",
}


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
    except (EvtokError, OSError, ValueError, IndexError) as error:
        print(f"evtok: error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(_STOPPED[130], file=sys.stderr)
        sys.exit(130)
    except SystemExit as end:  # typer makes one of Ctrl-C
        if end.code in _STOPPED:
            print(_STOPPED[end.code], file=sys.stderr)
        raise
