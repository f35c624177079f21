"""What a page about scores is about, and the numbers that several sections need, each computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from evtok.report import style
from evtok.report.anomalies import Anomaly, highest, look_up
from evtok.report.figures_scores import DASHES
from evtok.report.labels import LABEL, Labels
from evtok.report.scored import Population, Scored
from evtok.report.scored_tokens import TokenSample, sample
from evtok.report.separation import Separation, separations

#: Colours of the palette that backgrounds and signals take, so that signals stand out.
_BACKGROUNDS = (0, 1, 3, 7, 9, 8)
_SIGNALS = (2, 4, 6, 5)

#: Kept fields that are no physical variables of an event.
_NOT_VARIABLES = {LABEL, "weight", "event", "run", "lumi", "luminosityBlock", "METphi"}
_MOST_VARIABLES = 4


@dataclass(frozen=True)
class ScoreContent:
    """Everything that a page about scores is made of.

    Attributes
    ----------
    scored : sequence of Scored
        One for each detector. The first is the one whose events are drawn.
    detector : Detector or None
        The first one, if its folder is there.
    no_detector : str
        Why it is not, or empty.
    """

    title: str
    introduction: str
    scored: Sequence[Scored]
    labels: Labels
    detector: Any
    no_detector: str
    schema: Any
    n_events: int
    max_events: int
    resamples: int
    seed: int

    @property
    def main(self) -> Scored:
        """The detector whose events are drawn."""
        return self.scored[0]

    @cached_property
    def populations(self) -> list[Population]:
        """Every process of every detector once, by its title, backgrounds first."""
        found = {one.title: one for scored in reversed(self.scored) for one in scored.populations}
        order = [one.title for scored in self.scored for one in scored.populations]
        listed = [found[title] for title in dict.fromkeys(order)]
        return sorted(listed, key=lambda one: -1 if one.signal is None else int(one.signal))

    @cached_property
    def colours(self) -> dict[str, str]:
        """Colour of each process."""
        chosen, counts = {}, {True: 0, False: 0}
        for one in self.populations:
            order = _SIGNALS if one.signal else _BACKGROUNDS
            chosen[one.title] = style.colour(order[counts[bool(one.signal)] % len(order)])
            counts[bool(one.signal)] += 1
        return chosen

    @cached_property
    def dashes(self) -> dict[str, Any]:
        """Line of each process: signals are dashed, each in its own way."""
        signals = [one.title for one in self.populations if one.signal]
        return {
            one.title: DASHES[signals.index(one.title) % len(DASHES)] if one.signal else "solid"
            for one in self.populations
        }

    @cached_property
    def separations(self) -> list[Separation]:
        """Each detector on each signal."""
        return separations(self.scored, resamples=self.resamples, seed=self.seed)

    @cached_property
    def variables(self) -> list[str]:
        """Kept fields of the main detector that a cut could sculpt: real numbers that differ, all finite."""
        found = []
        for name, values in self.main.fields.items():
            if name in _NOT_VARIABLES or np.asarray(values).dtype.kind != "f":
                continue
            mine = np.asarray(values)[self.main.of(signal=False)]
            if mine.size and np.isfinite(mine).all() and np.ptp(mine) > 0:
                found.append(name)
        return found[:_MOST_VARIABLES]

    @cached_property
    def anomalies(self) -> list[Anomaly]:
        """The most anomalous events."""
        return look_up(self.main, highest(self.main, self.n_events), self.detector, self.schema)

    @property
    def tokenizer(self) -> Any:
        """The detector's, or None."""
        return getattr(getattr(self.detector, "inputs", None), "tokenizer", None)

    @cached_property
    def samples(self) -> tuple[list[TokenSample], list[str]]:
        """Tokens of some events of each process, and why some are not there."""
        return sample(self.main, self.tokenizer, self.schema, self.max_events)
