"""The bins of a fitted tokenizer, seen from outside: which bin a value is in, and where that bin begins and ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.events import TYPE_COLUMN, Events
from evtok.report.quantities import Quantity, quantity
from evtok.tokenizers.binned_decode import decoded_names
from evtok.tokenizers.binned_rows import compared_values
from evtok.tokenizers.feature import FittedFeature

Values = npt.NDArray[np.float64]
Digits = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bins:
    """The bins of one feature, of the objects or of the event."""

    name: str
    decoded_name: str
    fitted: FittedFeature
    of_event: bool
    quantity: Quantity

    def original(self, events: Events) -> Values:
        """Return what was compared with the edges: (m,), or (n_events,) for a feature of the event."""
        return compared_values(self.fitted.feature, events, of_event=self.of_event).astype(np.float64)

    def decoded(self, events: Events) -> Values:
        """Return the same of decoded events; NaN where nothing is known."""
        values = events.fields if self.of_event else events.columns
        return np.asarray(values[self.decoded_name], np.float64)

    def digits(self, values: Values) -> Digits:
        """Return the digit of each value (m,); values must not be NaN."""
        feature = self.fitted.feature
        codes = np.digitize(values, self.borders, feature.right)
        digits = np.clip(codes, self.fitted.first, self.fitted.last) - self.fitted.origin
        return np.where((values == 0) & feature.zero_is_code_zero, 0, digits)

    @property
    def borders(self) -> Values:
        """Thresholds of the feature (n_edges,), in its own unit."""
        return self.fitted.thresholds64

    @property
    def n_digits(self) -> int:
        """Number of bins, open ones included."""
        return self.fitted.n_digits

    def span(self, digits: Digits) -> tuple[Values, Values]:
        """Return where each bin begins and ends (m,); the ends of open bins are infinite."""
        borders = np.r_[-np.inf, self.borders, np.inf]
        codes = digits + self.fitted.origin
        return borders[codes], borders[codes + 1]

    @property
    def is_relative(self) -> bool:
        """True where a distance is stated as a fraction of the value: energies and logarithmic features."""
        return self.quantity.unit == "GeV" or self.fitted.feature.transform.kind.startswith("log")

    def words(self, digit: int) -> str:
        """Return the range of one bin, such as ``31.6 to 36.2 GeV``."""
        low, high = (float(end[0]) for end in self.span(np.array([digit])))
        unit = f" {self.quantity.unit}" if self.quantity.unit else ""
        if np.isinf(low):
            return f"below {number(high)}{unit}"
        return f"above {number(low)}{unit}" if np.isinf(high) else f"{number(low)} to {number(high)}{unit}"


def number(value: float) -> str:
    """Write a number with three or four digits, and a true minus."""
    size = abs(value)
    text = f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 20 else f"{value:.2f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def bins_of(tokenizer: Any, units: dict[str, str]) -> list[Bins]:
    """Return the bins of every feature: of objects first, then of the event."""
    settings = tokenizer.settings
    decoded = {
        **decoded_names(settings.features, (TYPE_COLUMN,) if settings.types else ()),
        **decoded_names(settings.event_features),
    }
    return [
        Bins(
            name,
            decoded[name],
            tokenizer.fitted[name],
            of_event,
            quantity(feature.column, units.get(feature.column, "")),
        )
        for of_event, features in ((False, settings.features), (True, settings.event_features))
        for name, feature in features.items()
    ]
