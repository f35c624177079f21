"""`score_report`: scores of events in, one HTML page out."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evtok._optional import require
from evtok.errors import EvtokError, FingerprintError
from evtok.report.anomalies import UNREADABLE
from evtok.report.labels import Labels
from evtok.report.page import page, section
from evtok.report.samples import Process
from evtok.report.score_content import ScoreContent
from evtok.report.score_header import header
from evtok.report.score_sections import SECTIONS
from evtok.report.scored import Part, Scored, gather

if TYPE_CHECKING:
    from evtok.detectors import Detector

#: How every page of evtok begins: nothing else is replaced by one.
_BEGINNING = b"<!DOCTYPE html>"


def score_report(
    scores: Any,
    output: str | os.PathLike[str],
    *,
    title: str = "Anomaly scores",
    introduction: str = "",
    processes: Mapping[str, Process] | None = None,
    signal: str | Sequence[str] = (),
    background: str | Sequence[str] = (),
    model: Detector | str | os.PathLike[str] | None = None,
    schema: Any = None,
    n_events: int = 4,
    max_events: int = 5_000,
    resamples: int = 200,
    seed: int = 0,
) -> Path:
    """Write a page about the scores of one or more detectors.

    ROC and significance-improvement curves, figures with intervals, the scores of each process, what cuts do to other
    variables, the most anomalous events with the tokens that surprised the detector, the use of tokens, and the
    account.

    Parameters
    ----------
    scores : path or `Scores`, iterable of these, or mapping of str to these
        What `evtok.score_files` wrote. Files of one detector (by its fingerprint) belong together; several detectors
        are compared, and the events of the first are drawn. The keys of a mapping name the detectors.
    output : path
        The HTML file. It holds everything and loads nothing. A page that is there already is replaced, any other file
        is not.
    title : str
        Heading of the page.
    introduction : str
        A sentence about the events.
    processes : mapping of str to Process, optional
        What to say of an input file, by its name without folders; its stem by default. Files of one title are one
        process.
    signal, background : str or sequence of str
        Patterns of the shell on the names of input files, such as ``"*stop*"``. Without them the field ``label``
        decides; without that, `Process.signal`.
    model : path or Detector, optional
        The first detector or its folder, if that is not where it was.
    schema : optional
        As for `evtok.open_events`, to read events again.
    n_events : int
        Draw so many of the most anomalous events.
    max_events : int
        Look at the tokens of at most so many events of each process.
    resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    Path
        `output`.

    Raises
    ------
    MissingBackendError
        matplotlib, mplhep or hist is not installed.
    InvalidEventsError
        No finite score, an event twice, a label other than 0 and 1, or a pattern that matches nothing.
    FingerprintError
        `model` is another detector than the one that scored.
    EvtokError
        `output` is no page, or cannot be written.

    Notes
    -----
    Input files or a detector's folder that are no longer there are no error: the page says what it lacks.
    """
    for module in ("matplotlib", "mplhep"):
        require(module, extra="plot")
    for name, value, least in (
        ("n_events", n_events, 0),
        ("max_events", max_events, 1),
        ("resamples", resamples, 1),
    ):
        if value < least:
            raise ValueError(f"{name}: expected at least {least}, got {value}")
    path = Path(output)
    _require_replaceable(path)
    labels = Labels(_patterns(signal), _patterns(background))
    found = gather(_parts(scores), processes or {}, labels)
    detector, missing = _detector(found[0], model)
    content = ScoreContent(
        title, introduction, found, labels, detector, missing, schema, n_events, max_events, resamples, seed
    )
    sections = [(key, name, make(content)) for key, name, make in SECTIONS]
    text = page(
        title,
        header(content),
        [(key, name) for key, name, _ in sections],
        [section(key, name, *inner) for key, name, inner in sections],
    )
    _write(path, text)
    return path


def _parts(scores: Any) -> list[tuple[str | None, Part]]:
    def read(given: Any, k: int) -> Part:
        if isinstance(given, (str, os.PathLike)):
            from evtok.scores import Scores

            return Part(os.fspath(given), Scores.read(given))
        if hasattr(given, "score") and hasattr(given, "entry"):
            return Part(f"scores {k + 1}", given)
        raise TypeError(f"scores: expected paths or Scores, got {type(given).__name__}")

    if isinstance(scores, Mapping):
        return [(str(name), read(one, k)) for k, (name, one) in enumerate(scores.items())]
    single = (
        isinstance(scores, (str, os.PathLike)) or not isinstance(scores, Iterable) or hasattr(scores, "entry")
    )
    return [(None, read(one, k)) for k, one in enumerate([scores] if single else scores)]


def _patterns(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _detector(scored: Scored, model: Detector | str | os.PathLike[str] | None) -> tuple[Any, str]:
    """Read the detector that scored, or say why it is not there; one that was asked for must be the right one."""
    if model is not None:
        return _right_detector(scored, model), ""
    recorded = scored.model.get("folder")
    # A job keeps a copy beside its parts, which stays when the folder that was named is gone.
    folders = [*([recorded] if recorded else []), *(f"{part.origin}.parts/model" for part in scored.parts)]
    faults = []
    for folder in folders:
        try:
            return _right_detector(scored, folder), ""
        except UNREADABLE as error:
            faults.append(str(error))
    return None, f"The detector that scored cannot be read, so nothing is said of single tokens: {faults[0]}."


def _right_detector(scored: Scored, given: Detector | str | os.PathLike[str]) -> Any:
    from evtok.detectors import load_detector

    detector = load_detector(given) if isinstance(given, (str, os.PathLike)) else given
    expected = scored.model.get("fingerprint")
    if expected and detector.fingerprint != expected:
        raise FingerprintError(
            f"model {given}: is detector {detector.fingerprint[:16]}…, and the scores are of {str(expected)[:16]}…"
        )
    return detector


def _require_replaceable(path: Path) -> None:
    if path.is_dir():
        raise EvtokError(f"{path}: is a folder; name the file to write, such as {path / 'report.html'}")
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise EvtokError(f"{path}: is no regular file, and cannot be replaced by a page; write elsewhere")
    if path.exists():
        with path.open("rb") as file:
            beginning = file.read(len(_BEGINNING))
        if beginning not in (_BEGINNING, b""):
            raise EvtokError(f"{path}: is no HTML page, and will not be replaced by one; write elsewhere")


def _write(path: Path, text: str) -> None:
    """Write the page whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise EvtokError(f"{path}: cannot write the page: {error.strerror or error}") from error
