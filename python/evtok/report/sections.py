"""The sections of the page: what is shown, in which order, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from evtok.report import event_display, figures_decoded, figures_events, figures_tokens
from evtok.report.account import job, run
from evtok.report.closure import Closure, repeats_tokens
from evtok.report.content import Content
from evtok.report.page import Html, element, escape, pictures, section, table
from evtok.report.quantities import quantity
from evtok.report.samples import Sample
from evtok.report.style import PALETTE
from evtok.report.usage import meaning, most_used

__all__ = ["SECTIONS", "header", "section"]

_MOST_USED = 12


def header(content: Content) -> Html:
    """Say in one line and a few numbers what the page is about."""
    totals, verdict = content.totals, content.proven
    used = sum(block.used for block in content.blocks)
    facts = [
        ("events tokenized", f"{totals.written:,}"),
        ("tokens written", f"{content.n_tokens:,}"),
        ("tokens in an event, mean", f"{content.n_tokens / max(1, totals.written):.1f}"),
        ("ids in the vocabulary", f"{content.tokenizer.vocab_size:,}"),
        (f"ids in use ({used / content.tokenizer.vocab_size:.0%} of all)", f"{used:,}"),
        (
            "shards, read again and compared",
            element("span", "proven" if verdict else "not proven", class_="good" if verdict else "bad"),
        ),
    ]
    formats = sorted({sample.format for sample in content.samples})
    lead = (
        f"{len(content.samples)} event files ({', '.join(formats)}) read, tokenized into one vocabulary, written as "
        "shards, verified, and read back."
    )
    return element(
        "header",
        element("h1", content.title),
        element("p", lead),
        element("p", content.introduction) if content.introduction else "",
        element(
            "dl", *(element("div", element("dt", k), element("dd", v)) for k, v in facts), class_="facts"
        ),
    )


def events(content: Content) -> list[Html]:
    """List the input files and how their events were made."""
    rows = [
        [
            _named(k, sample),
            element("span", sample.process.description, class_="words"),
            {True: "signal", False: "background", None: ""}[sample.process.signal],
            _cross_section(sample.process.cross_section_pb),
            f"{sample.counts.read:,}",
            f"{sample.events.n_objects / len(sample.events):.1f}",
            element("code", sample.file),
            sample.format,
            f"{sample.size / 1e3:,.0f}",
        ]
        for k, sample in enumerate(content.samples)
    ]
    headings = [
        "process",
        "description",
        "kind",
        "cross section [fb]",
        "events",
        "objects an event",
        "file",
        "format",
    ]
    listed = table(
        "The input files. Cross sections are those of the generator, after its selection."
        if any(s.process.cross_section_pb is not None for s in content.samples)
        else "The input files.",
        [*headings, "size [kB]"],
        rows,
        text_columns=(0, 1, 2, 6, 7),
    )
    parts = [listed]
    settings = _settings(content.samples)
    if settings:
        parts.append(settings)
    if content.n_looked_at < content.totals.written:
        parts.append(
            element(
                "p", f"Figures show the first {content.n_looked_at:,} of {content.totals.written:,} events."
            )
        )
    figures = [figures_events.multiplicity(content.samples), figures_events.composition(content.samples)]
    return [*parts, pictures([figure for figure in figures if figure is not None])]


def usage(content: Content) -> list[Html]:
    """Say which tokens occur, how often, and what the most frequent ones mean."""
    rows = [
        [
            quantity(block.name).page if block.name not in ("special", "objects") else block.name,
            f"{block.base:,}" if block.name != "special" else ", ".join(content.tokenizer.special_ids),
            f"{block.size:,}",
            f"{block.used:,}",
            f"{100 * block.used / block.size:.1f} %",
            f"{block.total:,}",
            f"{block.perplexity:,.0f}" if block.total else "",
        ]
        for block in content.blocks
    ]
    vocabulary = table(
        "The vocabulary by blocks of ids. Perplexity is the number of equally frequent ids that would carry the same "
        "information.",
        ["tokens of", "first id, or names", "ids", "ids in use", "share in use", "tokens", "perplexity"],
        rows,
        text_columns=(0, 1),
    )
    objects = content.objects
    top = [
        [
            element("code", token),
            meaning(content.tokenizer, content.bins, token),
            f"{count:,}",
            f"{100 * count / objects.total:.2f} %",
        ]
        for token, count in most_used(objects, _MOST_USED)
    ]
    listed = table(
        "The most used object tokens.",
        ["id", "what it stands for", "times", "share of objects"],
        top,
        text_columns=(0, 1),
    )
    drawn = pictures(
        [
            figures_tokens.rank_frequency(content.samples, objects, content.tokenizer.vocab_size),
            figures_tokens.coverage(objects),
        ]
    )
    return [vocabulary, drawn, listed]


def occupancy(content: Content) -> list[Html]:
    """Show how full the bins of each feature are."""
    figures = [figures_tokens.occupancy(part, content.samples) for part in content.closures]
    pt, eta = _closure(content, "pt"), _closure(content, "eta")
    if pt is not None and eta is not None:
        figures.append(figures_tokens.plane(pt, eta))
    words = element(
        "p",
        "Filled: all events together, which is what the tokenizer was fitted to. Bins of equal frequency are flat for "
        "these by construction; what differs between processes is what the tokens can tell apart.",
    )
    return [words, _legend(content.samples), pictures(figures)]


def decoded(content: Content) -> list[Html]:
    """Compare decoded with original values."""
    words = element(
        "p",
        "Tokens keep the bin and forget the place within it. Decoded values are drawn uniformly within their bins; "
        "values in open bins come back at the last edge, where they pile up. The band is the statistical uncertainty "
        "of the original; it gives the scale, since both histograms hold the same events.",
    )
    rows = [
        [
            part.bins.quantity.page,
            f"{part.bins.n_digits}",
            f"{100 * part.open_fraction:.1f} %",
            f"{100 * part.inside_fraction:.2f} %",
            _with_unit(part, part.rms),
            _with_unit(part, part.expected_rms),
        ]
        for part in content.closures
    ]
    listed = table(
        "Distance of decoded values (centres of bins) from the original ones, root mean square over closed bins; "
        "relative for energies. The last column is what the widths of bins give for values uniform within them.",
        [
            "feature",
            "bins",
            "in open bins",
            "in the bin of their token",
            "distance",
            "width allows",
        ],
        rows,
    )
    parts = [
        words,
        pictures(
            [*map(figures_decoded.overlay, content.closures), figures_decoded.positions(content.closures)]
        ),
    ]
    parts.append(listed)
    repeated = repeats_tokens(content.tokenizer, content.samples)
    if repeated is not None:
        same, total = repeated
        parts.append(
            element(
                "p", f"Encoding the decoded events again gives the same token {same:,} times of {total:,}."
            )
        )
    return parts


def one_event(content: Content) -> list[Html]:
    """Show one event with its tokens."""
    sample, row = event_display.choose(content.samples)
    title = f"{sample.process.title}, entry {row} of {sample.file}"
    shown = event_display.display(sample.encoded[row], sample.decoded[row], content.bins, title)
    fields = event_display.of_event(sample, row, content.bins)
    ids = element("code", " ".join(str(i) for i in sample.tokens[row]))
    parts = [element("p", title, ". Its sequence of tokens: ", ids, ".")]
    if shown is not None:
        parts.append(pictures([shown]))
    parts.append(event_display.listing(sample, row, content.bins, content.tokenizer))
    if fields:
        parts.append(element("p", fields, "."))
    return parts


#: Identifier, title and content of each section, in order.
SECTIONS: tuple[tuple[str, str, Callable[[Content], list[Html]]], ...] = (
    ("events", "The events", events),
    ("usage", "Token usage", usage),
    ("occupancy", "Bin occupancy", occupancy),
    ("decoded", "Decoded against original", decoded),
    ("event", "One event and its tokens", one_event),
    ("job", "The job and its proof", job),
    ("run", "How this was made", run),
)


def _named(k: int, sample: Sample) -> Html:
    style = f"swatch c{k % len(PALETTE)}" + (" dashed" if sample.process.signal else "")
    return element(
        "span", element("span", class_=style, aria_hidden="true"), sample.process.title, class_="process"
    )


def _legend(samples: Sequence[Sample]) -> Html:
    everything = element("li", element("span", class_="swatch all", aria_hidden="true"), "all events")
    return element(
        "ul",
        everything,
        *(element("li", _named(k, sample)) for k, sample in enumerate(samples)),
        class_="legend",
    )


def _cross_section(value: float | None) -> str:
    return "" if value is None else f"{1000 * value:,.3g}" if 1000 * value < 1000 else f"{1000 * value:,.0f}"


def _settings(samples: Sequence[Sample]) -> Html | None:
    """Summarise the generator's settings: those of all samples, then what each has of its own."""
    told = [sample for sample in samples if sample.process.settings]
    if not told:
        return None
    common = [line for line in told[0].process.settings if all(line in s.process.settings for s in told)]
    generators = sorted({sample.process.generator for sample in told if sample.process.generator})
    rows = [
        [s.process.title, element("code", ", ".join(x for x in s.process.settings if x not in common))]
        for s in told
    ]
    own = table("Settings of each process.", ["process", "settings"], rows, text_columns=(0, 1))
    words: list[Any] = [
        f"Simulated with {', '.join(escape(g) for g in generators)}. " if generators else "",
        "Settings of all: ",
        element("code", ", ".join(common)),
        ".",
    ]
    return element(
        "details",
        element("summary", "Settings of the generator"),
        element("p", *map(Html, map(escape, words))),
        own,
    )


def _closure(content: Content, column: str) -> Closure | None:
    parts = (p for p in content.closures if p.bins.fitted.feature.column == column and not p.bins.of_event)
    return next(parts, None)


def _with_unit(part: Closure, value: float) -> str:
    if part.bins.is_relative:
        return f"{100 * value:.1f} %"
    return f"{value:.3f} {part.bins.quantity.unit}".strip()
