"""Default tokenizers with more tokens of the event, and what they make of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import evtok
from event_tokenizers import make_events
from evtok import Events
from evtok.errors import InvalidEventsError
from evtok.event_quantities import EventQuantities
from evtok.tokenizers import Tokenizer, codebook_presets, defaults


def default_events() -> Events:
    events = make_events()
    return events.with_columns(phi=np.linspace(-3, 3, events.n_objects))


def test_default_tokenizers_have_more_event_tokens_only_when_asked() -> None:
    events = default_events()
    assert defaults.for_events(events).settings.sequence == ("objects", "MET", "METphi")
    assert codebook_presets.for_events(events, 9).settings.sequence == ("objects",)
    quantities = ("count[j,b]", "sum_pt[j,b]", "MET", "phi_1[j]")
    bins = {"count[j,b]": 6, "MET": 3}
    tokenizer = defaults.for_events(events, {**bins, "pt": 4}, quantities=quantities).fit(events)
    assert tokenizer.vocabulary.event_digits == {
        "MET": 3, "METphi": 12, "count[j,b]": 6, "sum_pt[j,b]": 20, "phi_1[j]": 20
    }  # fmt: skip
    other = codebook_presets.for_events(events, 9, quantities=quantities, bins=bins).fit(events)
    assert other.vocabulary.event_digits == {"count[j,b]": 6, "sum_pt[j,b]": 20, "MET": 3, "phi_1[j]": 20}
    same = ("count[j,b]", "sum_pt[j,b]", "MET", "phi_1[j]")
    for name in same:
        np.testing.assert_array_equal(tokenizer.fitted[name].edges, other.fitted.event_features[name].edges)
    counts = EventQuantities(["count[j,b]"]).compute(events)["count[j,b]"]
    for one in (tokenizer, other):
        np.testing.assert_array_equal(
            one.decode(one.encode(events)).fields["count[j,b]"], np.minimum(counts, 5)
        )


def test_defaults_refuse_what_is_not_there() -> None:
    events = default_events()
    with pytest.raises(InvalidEventsError, match="no type 'g'"):
        defaults.for_events(events, quantities=["count[g]"])
    with pytest.raises(InvalidEventsError, match="no such field"):
        codebook_presets.for_events(events, 9, quantities=["HT"])
    with pytest.raises(ValueError, match=r"bins: expected names of .*count, got 'HT'"):
        defaults.for_events(events, {"HT": 3}, quantities=["count"])
    with pytest.raises(ValueError, match="bins: expected names of count, got 'pt'"):
        codebook_presets.for_events(events, 9, quantities=["count"], bins={"pt": 3})


@pytest.mark.data
@pytest.mark.parametrize("codebook", [False, True])
def test_files_of_every_format_give_the_tokens_of_their_events(
    test_data: Path, tmp_path: Path, codebook: bool
) -> None:
    quantities = ("MET", "METphi", "count[j,b]", "sum_pt[j,b]")
    for name in ("ttbar.dm.csv", "ttbar.nano.root", "ttbar.parquet"):
        path = test_data / "pythia" / name
        sample = evtok.open_events(path).read(0, 0, 500)
        tokenizer: Tokenizer = (
            codebook_presets.for_events(sample, 16, quantities=quantities)
            if codebook
            else defaults.for_events(sample, quantities=quantities)
        )
        with evtok.open_events(
            path, columns=tokenizer.required_columns, fields=tokenizer.required_fields
        ) as source:
            tokenizer.fit(source)
            few = source.read(0, 0, 500)
        np.testing.assert_array_equal(tokenizer.encode(few).ids, tokenizer.encode(sample).ids)
        report = evtok.tokenize_files([path], tokenizer, tmp_path / name)
        assert report.complete
        written = evtok.TokenDataset(report.folder)[:500]
        np.testing.assert_array_equal(written.ids, tokenizer.encode(sample).ids)
