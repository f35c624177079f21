"""Which tokens the scored events have, by process, and which ones the most anomalous events have more of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.event_quantities import EventQuantities
from evtok.events import TYPE_COLUMN, Events
from evtok.report import style
from evtok.report.anomalies import UNREADABLE, read_rows
from evtok.report.bins import bins_of, number
from evtok.report.page import Html, Picture, element, escape
from evtok.report.quantities import plain, quantity, type_name
from evtok.report.scored import Population, Rows, Scored
from evtok.report.usage import Block, meaning, ranked
from evtok.tokenizers import BinnedTokenizer
from evtok.tokenizers.sequence import OBJECTS
from evtok.tokens import Tokens

#: A token must occur so often among anomalous events to be listed.
_FEWEST = 10
ANOMALOUS_SHARE = 0.05


@dataclass(frozen=True)
class TokenSample:
    """The first scored events of one process: `rows` (k,) of the `Scored`, their `tokens`, and `contents` (k,) by name.

    The contents are the numbers of objects of each type, and the missing transverse momentum if it is known.
    """

    population: Population
    rows: Rows
    tokens: Tokens
    contents: dict[str, npt.NDArray[np.float64]]

    def objects(self, tokenizer: Any) -> Block:
        """Count the ids of objects."""
        return Block("objects", tokenizer.vocabulary.object_base, object_counts(tokenizer, self.tokens))


@dataclass(frozen=True)
class Excess:
    """A token of objects that anomalous events have more of: how often in them, and its share there and elsewhere."""

    token: int
    times: int
    share: float
    other_share: float


def sample(
    scored: Scored, tokenizer: Any, schema: Any, max_events: int
) -> tuple[list[TokenSample], list[str]]:
    """Encode at most `max_events` events of each process; what could not be read comes back as sentences."""
    found, faults = [], []
    for population in scored.populations:
        rows = population.rows[:max_events]
        try:
            parts = [
                _encode(scored, population, tokenizer, schema, rows[scored.file[rows] == file])
                for file in dict.fromkeys(scored.file[rows].tolist())
            ]
        except UNREADABLE as error:
            faults.append(f"{population.title}: {error}")
            continue
        kept = np.concatenate([one.rows for one in parts])
        names = [name for name in parts[0].contents if all(name in one.contents for one in parts)]
        contents = {name: np.concatenate([one.contents[name] for one in parts]) for name in names}
        found.append(
            TokenSample(population, kept, Tokens.concatenate([one.tokens for one in parts]), contents)
        )
    return found, faults


def object_counts(tokenizer: Any, tokens: Tokens) -> npt.NDArray[np.int64]:
    """Count each id of objects, (n_objects,)."""
    counts = np.bincount(tokens.ids, minlength=tokenizer.vocab_size)
    base = tokenizer.vocabulary.object_base
    return np.asarray(counts[base : base + tokenizer.vocabulary.n_objects], np.int64)


def contrasts(scored: Scored, samples: Sequence[TokenSample]) -> list[tuple[str, float, float]]:
    """Return the mean of each content in anomalous events and in all others: (name, mean, mean of others)."""
    chosen, anomalous = _split(scored, samples)
    names = (
        [name for name in chosen[0].contents if all(name in one.contents for one in chosen)] if chosen else []
    )
    found = []
    for name in names:
        values, high = np.concatenate([one.contents[name] for one in chosen]), np.concatenate(anomalous)
        if high.any() and not high.all():
            found.append((name, float(values[high].mean()), float(values[~high].mean())))
    return found


def excesses(scored: Scored, tokenizer: Any, samples: Sequence[TokenSample], n: int) -> list[Excess]:
    """Return the n tokens by which anomalous events differ most from others.

    Tokens come in the order of what they add to the Kullback-Leibler divergence between the two.
    """
    size = tokenizer.vocabulary.n_objects
    among, others = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for one, high in zip(*_split(scored, samples), strict=True):
        among += object_counts(tokenizer, one.tokens.select(high))
        others += object_counts(tokenizer, one.tokens.select(~high))
    share, other = among / max(1, among.sum()), others / max(1, others.sum())
    # Half a token for those that never occur among the others, so that the logarithm is finite.
    floor = np.maximum(others, 0.5) / max(1, others.sum())
    gain = np.full(size, -np.inf)
    enough = among >= _FEWEST
    gain[enough] = share[enough] * np.log(share[enough] / floor[enough])
    order = np.argsort(-gain, kind="stable")[:n]
    base = tokenizer.vocabulary.object_base
    return [
        Excess(base + int(k), int(among[k]), float(share[k]), float(other[k])) for k in order if gain[k] > 0
    ]


def _split(
    scored: Scored, samples: Sequence[TokenSample]
) -> tuple[list[TokenSample], list[npt.NDArray[np.bool_]]]:
    """Return the samples of background, or all without any, and which of their events are anomalous.

    These are the events with the highest scores, `ANOMALOUS_SHARE` of them.
    """
    chosen = [one for one in samples if one.population.signal is False] or list(samples)
    if not chosen:
        return [], []
    threshold = np.quantile(np.concatenate([scored.score[one.rows] for one in chosen]), 1 - ANOMALOUS_SHARE)
    return chosen, [np.asarray(scored.score[one.rows] > threshold, np.bool_) for one in chosen]


def words(tokenizer: Any, token: int, units: dict[str, str]) -> Html:
    """Say what a token of an object stands for: its ranges, or for a code what it decodes to."""
    if isinstance(tokenizer, BinnedTokenizer):
        return meaning(tokenizer, bins_of(tokenizer, units), token)
    try:
        decoded = tokenizer.decode(_alone(tokenizer, token))
    except UNREADABLE:
        return escape("a code")
    parts = []
    if decoded.types and "type" in decoded.columns:
        parts.append(escape(type_name(decoded.types[int(decoded.columns["type"][0])])))
    for name, values in decoded.columns.items():
        if name != "type" and np.isfinite(values[0]):
            written = quantity(name, units.get(name, ""))
            parts.append(
                element(
                    "span",
                    written.page,
                    f" ≈ {number(float(values[0]))} {written.unit}".rstrip(),
                    class_="range",
                )
            )
    return Html(", ".join(parts))


def rank_frequency(
    tokenizer: Any, samples: Sequence[TokenSample], colours: dict[str, str], lines: list[Any]
) -> Picture:
    """Draw the share of each object token by its rank, for each process."""
    with style.canvas() as figure:
        axes = figure.add_subplot()
        for one, dashes in zip(samples, lines, strict=True):
            counts = ranked(one.objects(tokenizer).counts)
            axes.loglog(
                np.arange(1, len(counts) + 1), counts / max(1, counts.sum()), color=colours[one.population.title],
                linestyle=dashes, label=plain(one.population.title),
            )  # fmt: skip
        axes.set(xlabel="rank of the token", ylabel="share of object tokens")
        axes.set_xlim(left=0.9)
        axes.legend(loc="lower left")
        return style.picture(
            figure,
            "Share of each object token against its rank on logarithmic axes, one line for each process.",
            "Share of each object token against its rank, for each process by itself.",
        )


def _encode(scored: Scored, population: Population, tokenizer: Any, schema: Any, rows: Rows) -> TokenSample:
    """Read and encode events of one file; those that have no token are left out."""
    rows = rows[np.argsort(scored.entry[rows], kind="stable")]
    events = read_rows(scored, int(scored.file[rows[0]]), scored.entry[rows], schema)
    tokens = tokenizer.encode(events, on_invalid="sentinel")
    wrong = np.searchsorted(tokens.offsets, np.flatnonzero(tokens.ids < 0), side="right") - 1
    valid = np.ones(len(tokens), np.bool_)
    valid[wrong] = False
    return TokenSample(population, rows[valid], tokens.select(valid), _contents(events[valid]))


def _contents(events: Events) -> dict[str, npt.NDArray[np.float64]]:
    names = [f"count[{kind}]" for kind in events.types] if TYPE_COLUMN in events.columns else ["count"]
    names += [name for name in ("MET",) if name in events.fields]
    return {
        name: values.astype(np.float64) for name, values in EventQuantities(names).compute(events).items()
    }


def _alone(tokenizer: Any, token: int) -> Tokens:
    """Return the sequence of an event with this one object."""
    vocabulary = tokenizer.vocabulary
    ids = [
        token
        if entry == OBJECTS
        else vocabulary.event_bases[entry]
        if entry in vocabulary.event_bases
        else vocabulary.special_ids[entry]
        for entry in tokenizer.settings.sequence
    ]
    return Tokens(
        np.array(ids, np.int32),
        [0, len(ids)],
        fingerprint=tokenizer.fingerprint,
        vocab_size=tokenizer.vocab_size,
    )
