"""Where a run works, and how it starts commands: each with a time limit of its own, so that a hang costs little."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

#: Kept from the end of the whole run, for the table.
_RESERVE = 10.0


@dataclass
class Runner:
    """The folders and settings of a run.

    Attributes
    ----------
    output : Path
        What is kept.
    folder : Path
        Of the build, and below it `site`, which holds the package.
    emulated : bool
        No GPU: the kernels as plain C++.
    architectures : str, optional
    wheels : Path, optional
    deadline : float
        Of `time.monotonic`.
    """

    output: Path
    folder: Path
    emulated: bool
    architectures: str | None
    wheels: Path | None
    deadline: float

    @property
    def site(self) -> Path:
        """The folder that Python imports evtok from."""
        return self.folder / "site"

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a command that uses the build."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EVTOK_")}
        environment |= {"PYTHONPATH": str(self.site), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        if self.emulated:
            environment["EVTOK_TEST_EMULATED_CUDA"] = str(next(self.folder.glob("cuda/_cuda*.so"), ""))
        return environment | more

    def run(
        self, command: Sequence[Any], seconds: float, environment: Mapping[str, str] | None = None
    ) -> tuple[str, str]:
        """Run a command in the checkout; returns "ok", "failed (code)" or "stopped after ... s", and its output.

        The output goes to log.txt too. A command that takes too long is killed, with all that it started.
        """
        seconds = min(seconds, self.deadline - _RESERVE - time.monotonic())
        if seconds <= 1:
            return "no time left", ""
        words = [str(word) for word in command]
        try:
            process = subprocess.Popen(
                words,
                cwd=ROOT,
                env=dict(environment or self.environment()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            return f"failed ({error})", ""
        try:
            text, _ = process.communicate(timeout=seconds)
            status = "ok" if process.returncode == 0 else f"failed ({process.returncode})"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            text, _ = process.communicate()
            status = f"stopped after {seconds:.0f} s"
        with (self.output / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"\n$ {' '.join(words)}\n{text}[{status}]\n")
        return status, text

    def python(self, *arguments: Any) -> list[Any]:
        """Return a command of this interpreter."""
        return [sys.executable, *arguments]
