"""How close decoded values come to the original ones, against what the widths of the bins allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.report.bins import Bins, Values
from evtok.report.samples import Sample


@dataclass(frozen=True)
class Closure:
    """One feature of all samples: original and decoded values, and what follows from them.

    Attributes
    ----------
    original, decoded, drawn : float64 (k,)
        Value by value the same objects (or events); unknown ones are left out.
    low, high : float64 (k,)
        The bin of each value; infinite for open bins.
    unknown : int
        Objects that have no bin.
    """

    bins: Bins
    original: Values
    decoded: Values
    drawn: Values
    low: Values
    high: Values
    unknown: int

    @property
    def closed(self) -> npt.NDArray[np.bool_]:
        """True for values in bins that end on both sides (k,)."""
        return np.isfinite(self.low) & np.isfinite(self.high)

    @property
    def open_fraction(self) -> float:
        """Fraction of values in open bins, which are decoded at their edge."""
        return float(1 - self.closed.mean()) if self.closed.size else 0.0

    @property
    def inside_fraction(self) -> float:
        """Fraction of values that lie in the bin of their token; anything but 1 is an error."""
        inside = self.bins.digits(self.original) == self.bins.digits(self.decoded)
        return float(inside.mean()) if inside.size else 1.0

    @property
    def position(self) -> Values:
        """Where in its closed bin each original value lies: 0 at the lower edge, 1 at the upper."""
        low, high, closed = self.low, self.high, self.closed
        return (self.original[closed] - low[closed]) / (high[closed] - low[closed])

    @property
    def rms(self) -> float:
        """Root mean square of decoded minus original in closed bins; relative to the bin's centre where it says so."""
        scale = self._scale()
        distance = (self.decoded - self.original)[self.closed] / scale
        return float(np.sqrt(np.mean(distance**2))) if distance.size else 0.0

    @property
    def expected_rms(self) -> float:
        """The same for values uniform within each bin: width² / 12, and the distance of the centre to the middle."""
        low, high, centre = (part[self.closed] for part in (self.low, self.high, self.decoded))
        variance = (high - low) ** 2 / 12 + (centre - (low + high) / 2) ** 2
        return float(np.sqrt(np.mean(variance / self._scale() ** 2))) if variance.size else 0.0

    def _scale(self) -> Any:
        return self.decoded[self.closed] if self.bins.is_relative else 1.0


def closure(bins: Bins, samples: Sequence[Sample]) -> Closure:
    """Compare decoded with original values of one feature in all samples."""
    original = np.concatenate([bins.original(s.encoded) for s in samples])
    decoded = np.concatenate([bins.decoded(s.decoded) for s in samples])
    drawn = np.concatenate([bins.decoded(s.drawn) for s in samples])
    known = ~np.isnan(decoded)
    original, decoded, drawn = original[known], decoded[known], drawn[known]
    low, high = bins.span(bins.digits(decoded))
    return Closure(bins, original, decoded, drawn, low, high, int(np.count_nonzero(~known)))


def repeats_tokens(tokenizer: Any, samples: Sequence[Sample]) -> tuple[int, int] | None:
    """Encode the decoded events again, and count the tokens that come back and those there are.

    None where that cannot be: relative and wrapped features, and unknown objects, are not decoded to what they were;
    sorting may order decoded objects in another way.
    """
    settings = tokenizer.settings
    features = (*settings.features.values(), *settings.event_features.values())
    if settings.sort_by or any(feature.is_derived for feature in features):
        return None
    same = total = 0
    for sample in samples:
        if "unk" in sample.decoded.types or any(np.isnan(v).any() for v in sample.decoded.columns.values()):
            return None
        again = tokenizer.encode(sample.decoded)
        same += int(np.count_nonzero(again.ids == sample.tokens.ids))
        total += len(again.ids)
    return same, total
