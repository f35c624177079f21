"""The sections of a page about scores: what is shown, in which order, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from evtok.report import figures_scores, scored_tokens
from evtok.report.anomaly_cards import card
from evtok.report.bins import number
from evtok.report.page import Html, Picture, element, escape, pictures, table
from evtok.report.quantities import quantity, type_name
from evtok.report.score_account import account, run
from evtok.report.score_content import ScoreContent
from evtok.report.score_separation import separation
from evtok.report.scored import Scored
from evtok.report.scored_tokens import TokenSample
from evtok.report.style import PALETTE

_EFFICIENCIES = (0.5, 0.1, 0.01)


def distributions(content: ScoreContent) -> list[Html]:
    """Show the scores of each process, for each detector."""
    words = element(
        "p",
        "A score says how little an event looks like those that the detector was fitted to: the higher, the more "
        "anomalous. It is no probability, and scores of two detectors cannot be compared by their size.",
    )
    figures: list[Picture | None] = []
    for scored in content.scored:
        figures.append(figures_scores.shapes(scored, content.colours, content.dashes))
        figures.append(figures_scores.stacked(scored, content.colours, content.dashes))
    return [words, _legend(content), pictures(figure for figure in figures if figure is not None)]


def sculpting(content: ScoreContent) -> list[Html]:
    """Show what cuts on the score do to other variables of background."""
    from evtok.metrics import jensen_shannon

    if not content.variables:
        return [
            element(
                "p",
                "No variable such as a mass was kept beside the scores of background, so nothing can be said of how a "
                "cut changes it. Score again with the field among those to keep.",
                class_="note",
            )
        ]
    rows, figures = [], []
    for name in content.variables:
        for scored in content.scored:
            values = scored.fields.get(name)
            background = scored.of(signal=False)
            if values is None or not len(background):
                continue
            mine, score = np.asarray(values, np.float64)[background], scored.score[background]
            if not np.isfinite(mine).all() or np.ptp(mine) == 0:
                continue
            try:
                found = jensen_shannon(mine, score, _EFFICIENCIES, seed=content.seed)
            except ValueError:  # nearly all events have one value
                continue
            cells = [f"{one.divergence:.3f} ({one.by_chance:.3f})" for one in found]
            rows.append([quantity(name).page, scored.name, f"{len(background):,}", *cells])
            if scored is content.main:
                cuts = np.quantile(score, [1 - e for e in _EFFICIENCIES])
                passing = [(e, score >= cut) for e, cut in zip(_EFFICIENCIES, cuts, strict=True)]
                figures.append(figures_scores.sculpting(name, mine, passing, scored.name))
    words = element(
        "p",
        "A cut that changes the shape of a mass in background makes bumps where there are none. The Jensen-Shannon "
        "divergence compares the variable before and after a cut: 0 bits is the same shape, 1 bit nothing in common. "
        "In brackets: what a blind choice of as many events gives by chance.",
    )
    headings: list[Any] = ["variable", "detector", "background events"]
    headings += [Html(f"<i>ε</i><sub>B</sub> = {e:g}") for e in _EFFICIENCIES]
    listed = table("Jensen-Shannon divergence in bits (by chance).", headings, rows, text_columns=(0, 1))
    return [words, listed, pictures(figures)]


def anomalous(content: ScoreContent) -> list[Html]:
    """Draw the events with the highest scores."""
    scored = content.main
    many = f" of {scored.name}" if len(content.scored) > 1 else ""
    words = [
        element(
            "p",
            f"The events with the highest scores{many}, whatever they are: a search would look at these first. They "
            "were read again from the files that were scored.",
        )
    ]
    if content.no_detector:
        words.append(element("p", content.no_detector, class_="note"))
    cards = [
        card(one, f"{place + 1}. {_which(scored, one.row)}", _score_words(content, one.row, one.rescored))
        for place, one in enumerate(content.anomalies)
    ]
    return [*words, *cards, _highest_of_each(content)]


def tokens(content: ScoreContent) -> list[Html]:
    """Say which tokens the events of each process have, and which ones anomalous events have more of."""
    tokenizer = content.tokenizer
    if tokenizer is None:
        why = content.no_detector or f"{content.main.name} reads features of events, not tokens."
        return [element("p", f"There is nothing to say of tokens. {why}", class_="note")]
    samples, faults = content.samples
    parts = [element("p", f"Not read: {fault}", class_="note") for fault in faults]
    samples = [one for one in samples if len(one.tokens)]
    if not samples:
        return [
            *parts,
            element("p", "No event could be read, so there is nothing to say of tokens.", class_="note"),
        ]
    known = sum(one.objects(tokenizer).counts for one in samples if one.population.signal is False)
    rows = []
    for one in samples:
        block = one.objects(tokenizer)
        new = 0 if isinstance(known, int) else int(block.counts[known == 0].sum())
        unseen = (
            f"{100 * new / max(1, block.total):.2f} %"
            if one.population.signal and not isinstance(known, int)
            else ""
        )
        rows.append(
            [
                _swatch(content, one.population.title),
                f"{len(one.tokens):,}",
                f"{len(one.tokens.ids) / len(one.tokens):.1f}",
                f"{block.used:,}",
                f"{100 * block.used / max(1, block.size):.1f} %",
                f"{block.perplexity:,.0f}",
                unseen,
            ]
        )
    parts.append(
        table(
            f"Tokens by process, of at most {content.max_events:,} events each. The vocabulary has "
            f"{tokenizer.vocab_size:,} ids. Perplexity is the number of equally frequent ids that would be as hard to "
            "guess.",
            [
                "process",
                "events",
                "tokens in an event",
                "ids of objects in use",
                "share of ids",
                "perplexity",
                "objects whose id no background has",
            ],
            rows,
        )
    )
    figure = scored_tokens.rank_frequency(
        tokenizer, samples, content.colours, [content.dashes[one.population.title] for one in samples]
    )
    parts.append(element("div", pictures([figure]), _contrast(content, samples), class_="beside"))
    excess = _excess(content, samples)
    return parts if excess is None else [*parts, excess]


def _contrast(content: ScoreContent, samples: list[TokenSample]) -> Html:
    rows = []
    for name, mean, other in scored_tokens.contrasts(content.main, samples):
        kind = name.removeprefix("count[").removesuffix("]")
        written = quantity(name).heading if kind == name and name != "count" else escape(type_name(kind))
        cells = ["objects" if name == "count" else written, number(mean), number(other)]
        rows.append([*cells, number(mean / other) if other > 0 else "–"])
    return table(
        f"What {_anomalous_share(samples)} have more of: means over events.",
        ["in an event", "anomalous", "others", "ratio"],
        rows,
    )


def _excess(content: ScoreContent, samples: list[TokenSample]) -> Html | None:
    rows = [
        [
            element("code", one.token),
            scored_tokens.words(content.tokenizer, one.token, {}),
            f"{one.times:,}",
            f"{one.share / one.other_share:.1f}" if one.other_share else "new",
        ]
        for one in scored_tokens.excesses(content.main, content.tokenizer, samples, 12)
    ]
    if not rows:
        return None
    return table(
        f"Tokens of objects that {_anomalous_share(samples)} have more of than all others, the most telling first.",
        ["id", "what it stands for", "times", "more often by"],
        rows,
        text_columns=(0, 1),
    )


def _anomalous_share(samples: list[TokenSample]) -> str:
    share = f"the {100 * scored_tokens.ANOMALOUS_SHARE:g} % most anomalous"
    return (
        f"{share} background events"
        if any(one.population.signal is False for one in samples)
        else f"{share} events"
    )


#: Identifier, title and content of each section, in order.
SECTIONS: tuple[tuple[str, str, Callable[[ScoreContent], list[Html]]], ...] = (
    ("separation", "Signal against background", separation),
    ("scores", "Score distributions", distributions),
    ("anomalous", "The most anomalous events", anomalous),
    ("tokens", "Token usage", tokens),
    ("sculpting", "Sculpting of other variables", sculpting),
    ("account", "Where every event went", account),
    ("run", "How this was made", run),
)


def _which(scored: Scored, row: int) -> str:
    title = next((one.title for one in scored.populations if row in one.rows), "event")
    return f"{title}, entry {scored.entry[row]:,} of {scored.files[scored.file[row]].name}"


def _score_words(content: ScoreContent, row: int, rescored: float | None) -> Html:
    scored = content.main
    score = float(scored.score[row])
    parts: list[Any] = ["Score ", element("strong", f"{score:.4g}")]
    background = scored.of(signal=False)
    if len(background):
        above = int(np.count_nonzero(scored.score[background] >= score)) - int(scored.signal[row] == 0)
        parts.append(f"; {above:,} of {len(background):,} background events score as high.")
    else:
        parts.append(".")
    if rescored is not None and not np.isclose(rescored, score, rtol=1e-3, atol=1e-5):
        parts.append(
            element(
                "span",
                f" Scored again for this page it gets {rescored:.4g}: the file or the detector is not what it was.",
                class_="bad",
            )
        )
    return element("p", *parts)


def _highest_of_each(content: ScoreContent) -> Html:
    scored = content.main
    background = scored.score[scored.of(signal=False)]
    rows = []
    for one in scored.populations:
        row = int(one.rows[scored.score[one.rows].argmax()])
        score = float(scored.score[row])
        cells: list[Any] = [
            _swatch(content, one.title),
            f"{len(one.rows):,}",
            f"{np.median(scored.score[one.rows]):.4g}",
            f"{score:.4g}",
            element("code", scored.files[scored.file[row]].name),
            f"{scored.entry[row]:,}",
        ]
        if len(background):
            cells.append(f"{np.count_nonzero(background > score):,}")
        rows.append(cells)
    headings = ["process", "events", "median score", "highest score", "file", "entry"]
    if len(background):
        headings.append("background events above it")
    return table("The most anomalous event of each process.", headings, rows, text_columns=(0, 4))


def _swatch(content: ScoreContent, title: str) -> Html:
    signal = any(one.signal for one in content.populations if one.title == title)
    known = f"swatch c{PALETTE.index(content.colours[title])}" + (" dashed" if signal else "")
    return element("span", element("span", class_=known, aria_hidden="true"), escape(title), class_="process")


def _legend(content: ScoreContent) -> Html:
    return element(
        "ul", *(element("li", _swatch(content, one.title)) for one in content.populations), class_="legend"
    )
