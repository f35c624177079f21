"""A row of the fault table: what was done how often, what came of it, and whether that is what is promised."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Row:
    """One fault.

    Attributes
    ----------
    fault : what was done
    target : what is promised
    outcomes : how often each outcome was seen
    allowed : the outcomes that keep the promise
    notes : what else was seen, or why the row was not run
    examples : of outcomes that break the promise, a few
    """

    fault: str
    target: str
    allowed: tuple[str, ...]
    outcomes: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    def add(self, outcome: str, example: Any = None) -> None:
        """Count one trial."""
        self.outcomes[outcome] += 1
        if outcome not in self.allowed and len(self.examples) < 5:
            self.examples.append(f"{outcome}: {example}"[:600])

    @property
    def trials(self) -> int:
        return self.outcomes.total()

    @property
    def kept(self) -> int:
        """Trials that ended as promised."""
        return sum(n for outcome, n in self.outcomes.items() if outcome in self.allowed)

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "outcomes": dict(sorted(self.outcomes.items())),
            "allowed": list(self.allowed),
            "trials": self.trials,
            "kept": self.kept,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Row:
        """Read what `to_json` returned."""
        row = cls(content["fault"], content["target"], tuple(content["allowed"]))
        row.outcomes.update(content["outcomes"])
        row.notes, row.examples = list(content["notes"]), list(content["examples"])
        return row
