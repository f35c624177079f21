"""``evtok fit-tokenizer``: from the options to a fitted tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from evtok.errors import EvtokError, InputFileError
from evtok.events import Events
from evtok.io import EventSource, open_events
from evtok.tokenizers import BinnedTokenizer, defaults


def fit(
    inputs: Sequence[str], *, preset: str | None, bins: str | None, schema: str | None, skip_invalid: bool
) -> BinnedTokenizer:
    """Fit a tokenizer to events: that of a published scheme, or the default for the columns there are.

    Parameters
    ----------
    inputs : sequence of str
        As for `evtok.open_events`.
    preset : str or None
        Name of a published scheme.
    bins : str or None
        Bins of features by name, ``pt=40,eta=30``.
    schema : str or None
        As for `evtok.open_events`.
    skip_invalid : bool
        Leave invalid values out of the fit instead of refusing them.
    """
    if preset is not None and bins is not None:
        raise EvtokError("--bins: a published scheme has its own bins; leave out --bins or --preset")
    with open_events(inputs, schema) as found:
        if preset is not None:
            tokenizer = BinnedTokenizer.preset(preset)
        else:
            tokenizer = defaults.for_events(_sample(found), parse_bins(bins))
        chosen = found.schema
    if tokenizer.is_fitted:
        return tokenizer
    columns, fields = tokenizer.required_columns, tokenizer.required_fields
    with open_events(inputs, chosen, columns=columns, fields=fields) as source:
        return tokenizer.fit(source, on_invalid="skip" if skip_invalid else "raise")


def _sample(source: EventSource) -> Events:
    for k, file in enumerate(source.files):
        if file.n_events:
            return source.read(k, 0, 1)
    raise InputFileError(f"{', '.join(source.paths)}: no events at all, so there is nothing to fit to")


def parse_bins(text: str | None) -> dict[str, int]:
    """Read ``pt=40,eta=30`` as a mapping."""
    bins = {}
    for part in (text or "").split(","):
        if not part:
            continue
        name, equals, number = part.partition("=")
        if not equals or not number.isdecimal() or int(number) < 1:
            raise EvtokError(f"--bins: expected NAME=NUMBER, such as pt=40,eta=30; got {part!r}")
        bins[name.strip()] = int(number)
    return bins
