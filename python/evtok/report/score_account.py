"""The last sections of a page about scores: where every event went, and how the scores were made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from evtok._build import build_config
from evtok.report.page import Html, element, table
from evtok.report.score_content import ScoreContent
from evtok.report.scored import Part, Scored, file_name

_COUNTS = ("read", "written", "filtered", "quarantined")
_RUN = {
    "evtok": "scored with evtok",
    "numerics": "numerics version",
    "torch": "torch",
    "events_per_call": "events in a call",
}
_MOST_SETTINGS = 60
_LONGEST = 200


def account(content: ScoreContent) -> list[Html]:
    """Show how many events were read, scored and set aside, for each file of scores."""
    rows = [_counted(scored, part) for scored in content.scored for part in scored.parts]
    parts = [
        table(
            "Every event is accounted for: read = written + filtered + quarantined.",
            ["scores", "detector", "input files", *_COUNTS, "without a score"],
            rows,
            text_columns=(0, 1),
        )
    ]
    lost = [(one, int(np.count_nonzero(~one.scorable))) for one in content.scored]
    parts += [
        element(
            "p",
            element("strong", f"{n:,} events of {one.name} have no score "),
            element("span", "(NaN or infinite). They are in no figure of this page."),
            class_="verdict bad",
        )
        for one, n in lost
        if n
    ]
    if not all(_same_events(content.main, other) for other in content.scored[1:]):
        parts.append(
            element(
                "p",
                "The detectors did not score the same events, so their figures differ for that reason as well.",
                class_="note",
            )
        )
    rows = [
        [element("code", file.name), f"{np.count_nonzero(content.main.file == k):,}"]
        for k, file in enumerate(content.main.files)
    ]
    parts.append(
        table(f"Events of each input file, scored by {content.main.name}.", ["file", "events"], rows)
    )
    return parts


def run(content: ScoreContent) -> list[Html]:
    """Say which software and which detectors made the scores."""
    parts = []
    for scored in content.scored:
        facts = [("detector", scored.name), *_model_facts(scored)]
        parts.append(_listed(facts))
    settings = list(_flat(_settings(content)))[:_MOST_SETTINGS]
    if settings:
        rows = [[element("code", key), value] for key, value in settings]
        listed = table(f"Settings of {content.main.name}.", ["setting", "value"], rows, text_columns=(0, 1))
        parts.append(element("details", element("summary", f"Settings of {content.main.name}"), listed))
    config = build_config()
    parts.append(
        _listed(
            [
                (
                    "page made with evtok",
                    f"{config['version']}, numerics version {config['numerics_version']}",
                ),
                ("instruction set", f"{config['isa']} (of {', '.join(config['isas_available'])})"),
                ("Python, NumPy", f"{config['python']}, {config['numpy']}"),
                ("intervals", f"{content.resamples} resamples of the events, seed {content.seed}"),
                ("page made", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
            ]
        )
    )
    words = element(
        "p",
        "The same events and the same detector give the same scores. The fingerprint covers all that decides them. The "
        "intervals say how far the figures would move with other events of the same kinds, not with another training.",
    )
    return [words, *parts]


def _counted(scored: Scored, part: Part) -> list[Any]:
    counts = counts_of(part)
    lost = int(np.count_nonzero(~np.isfinite(np.asarray(part.scores.score, np.float64))))
    known = [f"{counts[name]:,}" if name in counts else "–" for name in _COUNTS]
    return [
        element("code", file_name(part.origin)),
        scored.name,
        f"{len(part.scores.inputs):,}",
        *known,
        f"{lost:,}",
    ]


def counts_of(part: Part) -> dict[str, int]:
    """Return what is known of the account of a scores file: read, written, filtered, quarantined."""
    counts = part.scores.counts
    found = {name: getattr(counts, name, None) for name in _COUNTS}
    return {name: value for name, value in found.items() if isinstance(value, int)}


def _same_events(one: Scored, other: Scored) -> bool:
    """Tell whether two detectors gave scores to the same events, in whatever order."""

    def entries(scored: Scored) -> dict[str, Any]:
        found = {}
        for k, file in enumerate(scored.files):
            mine = np.sort(scored.entry[(scored.file == k) & scored.scorable])
            if mine.size:
                found[f"{file.path}:{file.tree}"] = mine
        return found

    first, second = entries(one), entries(other)
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


def _model_facts(scored: Scored) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = []
    for key, name in (("kind", "kind"), ("fingerprint", "fingerprint (sha256)"), ("folder", "folder")):
        value = scored.model.get(key)
        if value:
            facts.append((name, element("code", _short(file_name(str(value)) if key == "folder" else value))))
    for key, value in _flat(getattr(scored.parts[0].scores, "run", None) or {}):
        facts.append((_RUN.get(key, key), value))
    return facts


def _settings(content: ScoreContent) -> Any:
    """Return the detector's own settings: from its folder, or from what the scores say."""
    if content.detector is not None:
        config = dict(content.detector.to_artefact()[0])
        inputs = config.get("inputs")
        if isinstance(inputs, Mapping) and "tokenizer" in inputs:  # its own page tells of it
            config["inputs"] = {**inputs, "tokenizer": f"fingerprint {content.tokenizer.fingerprint}"}
        return config
    return {key: v for key, v in content.main.model.items() if key not in ("kind", "fingerprint", "folder")}


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of nested objects as (path, text)."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix and value not in (None, ""):
        yield prefix, _short(value)


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _listed(facts: list[tuple[str, Any]]) -> Html:
    return element(
        "dl", *(part for k, v in facts for part in (element("dt", k), element("dd", v))), class_="run"
    )
