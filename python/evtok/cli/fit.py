"""``evtok fit-tokenizer``: from the options to a fitted tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from evtok.errors import EvtokError
from evtok.io import open_events
from evtok.tokenizers import BinnedTokenizer


def fit(
    inputs: Sequence[str], *, preset: str | None, bins: str | None, edges: str | None, schema: str | None
) -> BinnedTokenizer:
    """Fit a tokenizer to events: of a published scheme, or the default for the schema found.

    Parameters
    ----------
    inputs : sequence of str
        As for `evtok.open_events`.
    preset : str or None
        Name of a published scheme.
    bins : str or None
        Bins of features by name, ``pt=40,eta=30``.
    edges : str or None
        "uniform", "log-uniform" or "equal-frequency".
    schema : str or None
        As for `evtok.open_events`.
    """
    with open_events(inputs, schema) as found:
        if preset is not None:
            if bins is not None or edges is not None:
                raise EvtokError(
                    "--preset: a published scheme has its own bins; leave out --bins and --edges"
                )
            tokenizer = BinnedTokenizer.preset(preset)
        else:
            from evtok.tokenizers.defaults import default_tokenizer

            tokenizer = default_tokenizer(found.schema, bins=parse_bins(bins), edges=edges)
        if tokenizer.is_fitted:
            return tokenizer
        chosen = found.schema
    columns, fields = tokenizer.required_columns, tokenizer.required_fields
    with open_events(inputs, chosen, columns=columns, fields=fields) as source:
        return tokenizer.fit(source)


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
