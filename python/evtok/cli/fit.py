"""``evtok fit-tokenizer``: from the options to a fitted tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from evtok.errors import EvtokError, InputFileError, SchemaError
from evtok.event_quantities import split_names
from evtok.events import Events
from evtok.io import EventSource, darkmachines, open_events
from evtok.io.presets import load_schema, preset_names
from evtok.tokenizers import (
    BinnedTokenizer,
    CodebookTokenizer,
    Tokenizer,
    codebook_presets,
    defaults,
    load_tokenizer,
)

#: More bins than this are a slip of the keyboard, and would fill the memory.
MAX_BINS = 1_000_000


def fit(
    inputs: Sequence[str],
    *,
    preset: str | None,
    bins: str | None,
    schema: str | None,
    skip_invalid: bool,
    quantities: str | None = None,
    codes: int | None = None,
    seed: int | None = None,
    batch: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    task_timeout: float | None = None,
) -> Tokenizer:
    """Fit a tokenizer to events: that of a published scheme, or the default for the columns there are.

    Parameters
    ----------
    inputs : sequence of str
        As for `evtok.open_events`.
    preset : str or None
        Name of a published scheme.
    bins : str or None
        Bins of features and quantities by name, ``pt=40,count[j,b]=12``.
    schema : str or None
        As for `evtok.open_events`.
    skip_invalid : bool
        Leave invalid values out of the fit instead of refusing them.
    quantities : str or None
        Tokens of the event beside those there are by default, ``count[j,b],sum_pt[j,b]``.
    codes : int or None
        Codes of a codebook tokenizer; None for bins, unless the preset is one of a codebook.
    seed, batch : int or None
        Of the fit of a codebook, see `evtok.fit_codebook`.
    workers, scheduler, task_timeout : int, str, float or None
        Processes of this machine, or the address of a Dask scheduler, whose workers read and count; and the seconds
        after which a part is given to another worker.
    """
    with_codebook = codes is not None or preset in codebook_presets.PRESETS
    _check(
        preset, bins, quantities, with_codebook=with_codebook, learning=seed is not None or batch is not None
    )
    if with_codebook and not (workers is None and scheduler is None and task_timeout is None):
        raise EvtokError(
            "--workers, --scheduler, --task-timeout: the codes of a codebook are learnt in one process, with "
            "all its threads; leave them out"
        )
    counts, names = parse_bins(bins), split_names(quantities or "")
    learning = {"seed": seed or 0, "batch": batch}
    tokenizer: Tokenizer
    with open_events(inputs, schema) as found:
        if preset is not None and with_codebook:
            tokenizer = CodebookTokenizer.preset(preset, n_codes=codes, **learning)
        elif preset is not None:
            tokenizer = BinnedTokenizer.preset(preset)
        elif codes is not None:
            tokenizer = codebook_presets.for_events(
                _sample(found), codes, quantities=names, bins=counts, **learning
            )
        else:
            tokenizer = defaults.for_events(_sample(found), counts, quantities=names)
        chosen = found.schema
        _require(found, tokenizer)
    if tokenizer.is_fitted:
        return tokenizer
    columns, fields = tokenizer.required_columns, tokenizer.required_fields
    policy: Literal["raise", "skip"] = "skip" if skip_invalid else "raise"
    with open_events(inputs, chosen, columns=columns, fields=fields) as source:
        if isinstance(tokenizer, BinnedTokenizer):
            return tokenizer.fit(
                source, on_invalid=policy, workers=workers, client=scheduler, task_timeout=task_timeout
            )
        return tokenizer.fit(source, on_invalid=policy)


def summary(tokenizer: Tokenizer) -> str:
    """Say in a line or two what was fitted, and how learning the codes went."""
    said = repr(tokenizer)
    report = tokenizer.fit_report if isinstance(tokenizer, CodebookTokenizer) else None
    if report is None:
        return said
    error = report.inertia[-1] / report.n_rows
    return (
        f"{said}\n{report.n_rows} objects, {report.iterations} passes, "
        f"{'converged' if report.converged else 'not converged'}, mean squared distance {error:.4g}, "
        f"{report.dead} codes without objects"
    )


def _check(
    preset: str | None, bins: str | None, quantities: str | None, *, with_codebook: bool, learning: bool
) -> None:
    """Refuse options that do not go together."""
    if preset is not None and quantities is not None:
        raise EvtokError(
            "--quantities: a published scheme has its own tokens; leave out --quantities or --preset"
        )
    if with_codebook:
        if bins is not None and quantities is None:
            raise EvtokError(
                "--bins: a codebook has codes instead of bins, but for the tokens of --quantities; leave out --bins or "
                "--codebook"
            )
        if preset is not None and preset not in codebook_presets.PRESETS:
            raise EvtokError(
                f"--codebook: the preset {preset!r} has bins; presets with a codebook: "
                f"{', '.join(codebook_presets.PRESETS)}"
            )
    elif learning:
        raise EvtokError("--seed, --batch: only a codebook is learnt with these; add --codebook K")
    elif preset is not None and bins is not None:
        raise EvtokError("--bins: a published scheme has its own bins; leave out --bins or --preset")


def write(tokenizer: Tokenizer, folder: Path, *, overwrite: bool) -> None:
    """Write a tokenizer, but not in place of another one unless `overwrite` says so.

    Raises
    ------
    EvtokError
        Another tokenizer is there, or the folder cannot be written.
    """
    if not overwrite and (folder / "config.json").exists():
        there = load_tokenizer(folder).fingerprint
        if there != tokenizer.fingerprint:
            raise EvtokError(
                f"{folder}: holds another tokenizer (fingerprint {there[:16]}…, not {tokenizer.fingerprint[:16]}…); "
                "tokens made with it need it: write elsewhere, or replace it with --overwrite"
            )
    try:
        tokenizer.save(folder)
    except OSError as error:
        raise EvtokError(f"{folder}: cannot write the tokenizer: {error.strerror or error}") from error


def _require(source: EventSource, tokenizer: Tokenizer) -> None:
    """Refuse files without the columns of a published scheme, and name the schemas that give them."""
    try:
        source.select(tokenizer.required_columns, tokenizer.required_fields)
    except SchemaError as error:
        needed = *tokenizer.required_columns, *tokenizer.required_fields
        able = [name for name in preset_names() if set(needed) <= _names_of(name)]
        raise EvtokError(
            f"{error}; this tokenizer needs {', '.join(needed)}. Schemas that give these: "
            f"{', '.join(able) or 'none; write one, or choose the columns in Python'}"
        ) from error


def _names_of(preset: str) -> set[str]:
    """Return the columns and fields that a schema gives."""
    schema = load_schema(preset)
    if schema.formats == ("darkmachines",):  # a fixed layout: its names are the reader's
        return {*darkmachines.COLUMNS, *darkmachines.FIELDS}
    return {*schema.column_names, *schema.field_names}


def _sample(source: EventSource) -> Events:
    for k, file in enumerate(source.files):
        if file.n_events:
            return source.read(k, 0, 1)
    raise InputFileError(f"{', '.join(source.paths)}: no events at all, so there is nothing to fit to")


def parse_bins(text: str | None) -> dict[str, int]:
    """Read ``pt=40,count[j,b]=12`` as a mapping."""
    bins = {}
    for part in split_names(text or ""):
        name, equals, number = part.partition("=")
        if not equals or not number.isdecimal() or not number.strip("0"):
            raise EvtokError(f"--bins: expected NAME=NUMBER, such as pt=40,eta=30; got {part!r}")
        if len(number) > 9 or int(number) > MAX_BINS:
            raise EvtokError(f"--bins: expected at most {MAX_BINS} bins, got {part!r}")
        bins[name.strip()] = int(number)
    return bins
