"""`token_report`: finished jobs in, one HTML page out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evtok._optional import require
from evtok.jobs import VerifyReport, verify
from evtok.report import sections
from evtok.report.content import Content, Step
from evtok.report.page import page
from evtok.report.samples import Process, read_jobs

__all__ = ["Step", "token_report"]


def token_report(
    jobs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    title: str = "From events to tokens",
    introduction: str = "",
    processes: Mapping[str, Process] | None = None,
    steps: Sequence[Step] = (),
    verified: Sequence[VerifyReport] | None = None,
    schema: Any = None,
    max_events: int = 100_000,
    seed: int = 0,
) -> Path:
    """Write a page about the tokens of one or more jobs: events, usage, bins, decoding, one event, and the account.

    Parameters
    ----------
    jobs : path or iterable of paths
        Folders that `evtok.tokenize_files` wrote with one tokenizer. Their input files are read again.
    output : path
        The HTML file. It holds everything and loads nothing.
    title : str
        Heading of the page.
    introduction : str
        A sentence about the events.
    processes : mapping of str to Process, optional
        What to say of an input file, by its name without folders; its stem by default.
    steps : sequence of Step
        What was done, on how many events, and how long it took.
    verified : sequence of VerifyReport, optional
        What `evtok.verify` said of each job; called here when not given.
    schema : optional
        As for `evtok.open_events`.
    max_events : int
        Read at most this many events of each input; tables and figures then say so.
    seed : int
        Of the draws within bins.

    Returns
    -------
    Path
        `output`.

    Raises
    ------
    MissingBackendError
        matplotlib, mplhep or hist is not installed.
    FingerprintError
        The jobs used different tokenizers.
    ShardError, InputFileError
        Shards that are not whole, or inputs that can no longer be read.
    """
    for module in ("matplotlib", "mplhep", "hist"):
        require(module, extra="plot")
    folders = [jobs] if isinstance(jobs, (str, os.PathLike)) else list(jobs)
    verdicts = [verify(folder) for folder in folders] if verified is None else list(verified)
    tokenizer, read = read_jobs(folders, processes or {}, schema=schema, max_events=max_events, seed=seed)
    content = Content(title, introduction, tokenizer, tuple(read), tuple(verdicts), tuple(steps))
    parts = [(key, name, make(content)) for key, name, make in sections.SECTIONS]
    text = page(
        title,
        sections.header(content),
        [(key, name) for key, name, _ in parts],
        [sections.section(key, name, *inner) for key, name, inner in parts],
    )
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
