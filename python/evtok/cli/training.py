"""What ``evtok train`` does: the detector that was asked for, fitted to the events that were asked for."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evtok import TokenDataset, load_tokenizer
from evtok.cli.training_data import Choice, Sample, read, split
from evtok.detectors import Detector, detector_class
from evtok.detectors.interface import Progress
from evtok.errors import EvtokError, InvalidEventsError
from evtok.event_quantities import split_names
from evtok.jobs.manifest import NAME as MANIFEST
from evtok.tokenizers import Tokenizer, artefact

_FRACTION = 0.2


@dataclass(frozen=True)
class Request:
    """The arguments and options of the command."""

    kind: str
    inputs: Sequence[str]
    tokenizer: Path | None = None
    features: str | None = None
    validation: Sequence[str] = ()
    validation_fraction: float | None = None
    settings: Sequence[str] = ()
    epochs: int | None = None
    seed: int | None = None
    background_label: str | None = None
    weights: str | None = None
    balance_files: bool = False
    skip_invalid: bool = False
    checkpoints: Path | None = None
    threads: int | None = None
    schema: str | None = None


@dataclass(frozen=True)
class Trained:
    """A fitted detector, and what to say of it."""

    detector: Detector
    summary: str

    def save(self, folder: Path) -> None:
        """Write the detector.

        Raises
        ------
        EvtokError
            The folder cannot be written.
        """
        try:
            self.detector.save(folder)
        except OSError as error:
            raise EvtokError(f"{folder}: cannot write the detector: {error.strerror or error}") from error


def require_free(output: Path, *, overwrite: bool) -> None:
    """Refuse, before anything is trained, a folder that the detector cannot be written to.

    Raises
    ------
    EvtokError
        Something is there that is not to be replaced.
    """
    if not output.exists():
        return
    if not overwrite:
        raise EvtokError(f"{output}: is there already; train elsewhere, or replace it with --overwrite")
    artefact.load(output)


def run(request: Request, progress: Progress | None = None) -> Trained:
    """Fit a detector.

    Raises
    ------
    EvtokError
        Options that do not go together, or events that cannot be trained on.
    """
    begin = time.monotonic()
    if request.validation and request.validation_fraction is not None:
        raise EvtokError(
            "--validation, --validation-fraction: one of them says what to validate on, not both"
        )
    detector = make_detector(request)
    choice = Choice(
        schema=request.schema,
        background_label=request.background_label,
        weights=request.weights,
        skip_invalid=request.skip_invalid,
    )
    with _threads(request.threads):
        train = read(request.inputs, detector.inputs, choice)
        validation: Sample | None = None
        if request.validation:
            validation = read(request.validation, detector.inputs, replace(choice, weights=None))
        elif fraction := _fraction(request):
            train, validation = split(train, fraction, request.seed or 0)
        _fit(detector, train, validation, request, progress)
    seen = "none" if validation is None else str(len(validation))
    lost = [
        f"{sum(getattr(one, name) for one in (train, validation) if one is not None)} {why}"
        for name, why in (
            ("other", "with another label left out"),
            ("invalid", "that cannot be used left out"),
        )
    ]
    return Trained(
        detector,
        f"{request.kind} detector {detector.fingerprint[:16]}…, {len(train)} events to train on, {seen} to validate "
        f"on, {', '.join(lost)}, {time.monotonic() - begin:.1f} s",
    )


def _fit(
    detector: Detector, train: Sample, validation: Sample | None, request: Request, progress: Progress | None
) -> None:
    try:
        detector.fit(
            train.data,
            None if validation is None else validation.data,
            weights=train.weights,
            classes=train.files if request.balance_files else None,
            on_invalid="skip" if request.skip_invalid else "raise",
            checkpoints=request.checkpoints,
            progress=progress,
        )
    except InvalidEventsError as error:  # such as those that are too long for a network
        raise EvtokError(f"{error}; --skip-invalid leaves such events out") from error


def _fraction(request: Request) -> float:
    """Return the share to validate on; without being asked, only what trains in epochs needs any."""
    if request.validation_fraction is not None:
        return request.validation_fraction
    return _FRACTION if "epochs" in settings_of(detector_class(request.kind)) else 0.0


# ---- the detector -----------------------------------------------------------------------------------------------


def make_detector(request: Request) -> Detector:
    """Return the detector that was asked for, unfitted.

    Raises
    ------
    EvtokError
        An unknown kind or setting, a value that it refuses, or inputs of another sort than it takes.
    """
    try:
        kind = detector_class(request.kind)
    except ValueError as error:
        raise EvtokError(str(error)) from error
    settings = parse_settings(request.settings)
    for name, value in (("epochs", request.epochs), ("seed", request.seed)):
        if value is None:
            continue
        if name in settings:
            raise EvtokError(f"--{name}, --set {name}: one of them is enough")
        if name == "epochs" or name in settings_of(kind):  # a seed also draws the validation
            settings[name] = value
    known = settings_of(kind)
    for name in settings:
        if name not in known:
            listed = ", ".join(f"{key}={json.dumps(value, default=str)}" for key, value in known.items())
            raise EvtokError(f"--set: {request.kind} has no setting {name!r}; it has {listed or 'none'}")
    given, build = _inputs(request), _builder(kind)
    try:
        build(given)
    except TypeError as error:
        other = "--features" if isinstance(given, Tokenizer) else "--tokenizer"
        raise EvtokError(f"{request.kind}: {error}; it may need {other} instead") from error
    try:
        return build(given, **settings)
    except (TypeError, ValueError) as error:
        raise EvtokError(f"--set: {error}") from error


def _builder(kind: type[Detector]) -> Callable[..., Detector]:
    return kind


def settings_of(kind: type[Detector]) -> Mapping[str, Any]:
    """Return the settings of a kind of detector with their defaults."""
    parameters = list(inspect.signature(kind).parameters.values())[1:]
    return {one.name: one.default for one in parameters if one.kind is not inspect.Parameter.VAR_KEYWORD}


def parse_settings(given: Sequence[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE``; values are JSON where they can be read as such, else text.

    Raises
    ------
    EvtokError
        No NAME=VALUE, or a name that is there twice.
    """
    settings: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise EvtokError(f"--set: expected NAME=VALUE, such as width=64; got {text!r}")
        if name in settings:
            raise EvtokError(f"--set: {name!r} is there twice")
        try:
            settings[name] = json.loads(value)
        except (ValueError, RecursionError):
            settings[name] = value
    return settings


def _inputs(request: Request) -> Tokenizer | list[str]:
    """Return what a detector is to read: a tokenizer, or names of features."""
    shards = [Path(one) for one in request.inputs if (Path(one) / MANIFEST).is_file()]
    if request.features is not None:
        if request.tokenizer is not None:
            raise EvtokError("--tokenizer, --features: a detector reads one of them, not both")
        names = split_names(request.features)
        if not names:
            raise EvtokError("--features: expected names, such as MET,count[j,b]; got none")
        return names
    if request.tokenizer is not None:
        return load_tokenizer(request.tokenizer)
    if shards:
        return TokenDataset(shards[0]).tokenizer
    raise EvtokError(
        f"{request.kind}: say what it is to read: the tokens of --tokenizer FOLDER, or --features such as "
        "MET,count[j,b],sum_pt[j,b]"
    )


@contextlib.contextmanager
def _threads(n_threads: int | None) -> Iterator[None]:
    """Let evtok's kernels and torch use so many threads, and as many as before afterwards."""
    if n_threads is None:
        yield
        return
    name = "EVTOK_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = str(n_threads)
    try:
        import torch
    except ModuleNotFoundError:
        torch = None
    had = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(had)
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
