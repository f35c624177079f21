"""Which detector finds what, on simulated events of the Dark Machines' channel 3: the physics table.

    python examples/channel3.py EVENTS OUTPUT [--signals stop] [--only NAME...] [--seeds 3]

EVENTS holds the files ``c3_<process>.parquet``. Background (top pairs, W, Z, QCD) is split by event into 60 % to train
on, 20 % to stop training by, 20 % to test on; signals are only tested on. Every detector is fitted with three seeds, on
background alone. Writes ``results.json`` (figures with bootstrap intervals, weighted ones beside them), ``table.md``
and, in the Dark Machines layout, ``dark_machines.csv``.

`stop` is the development signal: settings may be chosen on it, with ``--signals stop``. The other two are scored once
for each frozen setting.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import evtok
from evtok.detectors import (
    HBOS,
    VQVAE,
    DeepSVDD,
    Detector,
    FeatureInputs,
    IsolationForest,
    MaskedTokenDetector,
    UnigramDetector,
)
from evtok.detectors.object_inputs import ObjectInputs
from evtok.detectors.token_detector import TokenDetector
from evtok.event_quantities import EventQuantities
from evtok.metrics import WORKING_POINTS, DarkMachinesRow, summarise, write_dark_machines
from evtok.tokenizers import BinnedTokenizer, Explicit, Feature, NumericFeature, Tokenizer, log_uniform

BACKGROUNDS = ("ttbar", "wlnu", "znunu", "qcd")
SIGNALS = ("stop", "gluino_qq", "gluino_tttt")
TYPES = ("j", "b", "e-", "e+", "m-", "m+", "g")

HT, JETS = "sum_pt[j,b]", "count[j,b]"
#: What detectors of features see of an event.
QUANTITIES = (HT, "MET", *(f"pt_{k}[j,b]" for k in range(1, 5)), JETS, "count[b]", "count[e-,e+,m-,m+]")

#: Tokens of the event. Bins are equal in the logarithm, so that the rare tails are rare tokens.
EVENT_TOKENS = {
    "MET": Feature("MET", *log_uniform(21, 100.0, 1500.0), outside="clip"),
    "HT": Feature(HT, *log_uniform(21, 600.0, 3500.0), outside="clip"),
    "multiplicity": Feature("count", Explicit(np.arange(0.5, 17.0)), outside="clip"),
}
SEQUENCE = (*EVENT_TOKENS, "objects")

#: Scores of an event from the surprises of its tokens: their sum, and one in which those of the event count four times.
FORMS: dict[str, dict[str, Any]] = {
    "": {"reduction": "sum"},
    ", event tokens x 4": {"reduction": "sum", "type_weights": dict.fromkeys(EVENT_TOKENS, 4.0)},
}

Rows = npt.NDArray[np.float32]
Score = Callable[[evtok.Events], Rows]
#: Takes background and a seed; returns scores by what tells them apart.
Fit = Callable[["Background", int], dict[str, Score]]


class Background:
    """Background events of all processes together, for training, for choosing and for testing."""

    def __init__(self, samples: Sequence[evtok.Events], seed: int = 2026) -> None:
        random = np.random.default_rng(seed)
        parts: list[list[evtok.Events]] = [[], [], []]
        for events in samples:
            order = random.permutation(len(events))
            for part, chosen in zip(
                parts, np.split(order, [len(order) * 6 // 10, len(order) * 8 // 10]), strict=True
            ):
                part.append(events[np.sort(chosen)])
        self.train, self.validation, self.test = (evtok.Events.concatenate(part) for part in parts)


def read(folder: Path, process: str) -> evtok.Events:
    """Read the events of a process."""
    return evtok.Events.concatenate(list(evtok.open_events(folder / f"c3_{process}.parquet")))


# ---- what is compared: each takes background and a seed, and returns a score --------------------------------------


def quantity(name: str) -> Fit:
    """One quantity alone: nothing to fit."""
    return lambda background, seed: {"": lambda events: EventQuantities([name]).rows(events)[:, 0]}


def fitted(make: Callable[[Background, int], Detector]) -> Fit:
    """A detector, fitted to background; one of tokens with each form of its score."""

    def fit(background: Background, seed: int) -> dict[str, Score]:
        detector = make(background, seed).fit(background.train, background.validation)
        if not isinstance(detector, TokenDetector):
            return {"": detector.score}
        scores: dict[str, Score] = {
            form: detector.with_score(**settings).score for form, settings in FORMS.items()
        }
        if not isinstance(detector, UnigramDetector):
            scores[", and frequencies of event tokens x 4"] = _with_frequencies(detector, background)
        return scores

    return fit


def _with_frequencies(detector: TokenDetector, background: Background) -> Score:
    """Add what each token of the event says alone: from the others, a hidden multiplicity or HT is no surprise."""
    weights = dict.fromkeys(detector.groups.names, 0.0) | dict.fromkeys(EVENT_TOKENS, 4.0)
    alone = UnigramDetector(detector.inputs, reduction="sum", type_weights=weights).fit(background.train)
    together = detector.with_score(**FORMS[""])
    return lambda events: together.score(events) + alone.score(events)


def bins(background: Background) -> Tokenizer:
    """Tokens of an object's type and pT, in bins that are equal in log pT."""
    pt = Feature("pt", *log_uniform(13, 15.0, 1500.0), outside="clip")
    tokenizer = BinnedTokenizer({"pt": pt}, types=TYPES, event_features=EVENT_TOKENS, sequence=SEQUENCE)
    return tokenizer.fit(background.train)


def codes(background: Background, seed: int) -> Tokenizer:
    """Tokens of a codebook that a VQ-VAE learned on pT, η and type."""
    objects = ObjectInputs({"pt": NumericFeature("pt", "log"), "eta": NumericFeature("eta")}, TYPES)
    learned = VQVAE(objects, n_codes=48, seed=seed).fit(background.train, background.validation)
    return learned.tokenizer(event_features=EVENT_TOKENS, sequence=SEQUENCE)


COMPARED: dict[str, Fit] = {
    "MET": quantity("MET"),
    "HT": quantity(HT),
    "jet count": quantity(JETS),
    "unigram, bins": fitted(lambda background, seed: UnigramDetector(bins(background))),
    "HBOS": fitted(lambda background, seed: HBOS(QUANTITIES)),
    "isolation forest": fitted(lambda background, seed: IsolationForest(QUANTITIES, seed=seed)),
    "Deep SVDD": fitted(lambda background, seed: DeepSVDD(FeatureInputs(QUANTITIES), seed=seed)),
    "masked token, bins": fitted(lambda background, seed: MaskedTokenDetector(bins(background), seed=seed)),
    "masked token, VQ": fitted(
        lambda background, seed: MaskedTokenDetector(codes(background, seed), seed=seed)
    ),
}
#: These draw nothing: one seed says it all.
WITHOUT_SEED = ("MET", "HT", "jet count", "unigram, bins", "HBOS")


# ---- the table ----------------------------------------------------------------------------------------------------


def compare(
    background: Background, signals: Mapping[str, evtok.Events], names: Sequence[str], n_seeds: int
) -> list[dict[str, Any]]:
    """Return a row for each of `names`, seed and signal."""
    rows: list[dict[str, Any]] = []
    for name in names:
        for seed in range(1 if name in WITHOUT_SEED else n_seeds):
            begin = time.perf_counter()
            found = COMPARED[name](background, seed)
            seconds = time.perf_counter() - begin
            for (form, score), (signal, events) in product(found.items(), signals.items()):
                scores = np.concatenate([score(background.test), score(events)])
                labels = np.repeat([False, True], [len(background.test), len(events)])
                weights = np.concatenate([background.test.fields["weight"], events.fields["weight"]])
                row = {
                    "model": name + form,
                    "seed": seed,
                    "signal": signal,
                    "seconds_to_fit": seconds,
                    "unweighted": summarise(labels, scores).to_json(),
                    "weighted": summarise(labels, scores, weights).to_json(),
                }
                rows.append(row)
                print(line(row), flush=True)
    return rows


def line(row: Mapping[str, Any]) -> str:
    """Return a row as text."""
    found = row["unweighted"]
    return (
        f"{row['model']:57} seed {row['seed']}  {row['signal']:12} AUC {found['auc']['value']:.4f}  "
        f"eps_S(1e-2) {found['signal_efficiency']['0.01']['value']:.4f}  "
        f"max SIC {found['max_significance_improvement']['value']:.2f}  ({row['seconds_to_fit']:.0f} s)"
    )


def dark_machines(rows: Sequence[Mapping[str, Any]]) -> list[DarkMachinesRow]:
    """Return the rows in the layout in which the Dark Machines challenge was submitted."""
    found = []
    for row in rows:
        figures = row["unweighted"]
        at_1e2, at_1e3, at_1e4 = (figures["signal_efficiency"][str(at)]["value"] for at in WORKING_POINTS)
        model = f"{row['model']} {row['seed']}"
        found.append(
            DarkMachinesRow(row["signal"], model, "chan3", figures["auc"]["value"], (at_1e2, at_1e3, at_1e4))
        )
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, fit, score, write."""
    parser = argparse.ArgumentParser(description="The physics table of channel 3.")
    parser.add_argument("events", type=Path, help="folder of c3_<process>.parquet")
    parser.add_argument("output", type=Path)
    parser.add_argument("--signals", nargs="+", default=SIGNALS, choices=SIGNALS)
    parser.add_argument("--only", nargs="+", default=tuple(COMPARED), choices=tuple(COMPARED), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args(arguments)

    background = Background([read(given.events, process) for process in BACKGROUNDS])
    signals = {process: read(given.events, process) for process in given.signals}
    rows = compare(background, signals, given.only, given.seeds)
    given.output.mkdir(parents=True, exist_ok=True)
    document = {"evtok": evtok.__version__, "backgrounds": BACKGROUNDS, "rows": rows}
    (given.output / "results.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    write_dark_machines(given.output / "dark_machines.csv", dark_machines(rows))


if __name__ == "__main__":
    main()
