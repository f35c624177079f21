"""How figures look: one style, a palette that colour-blind readers can tell apart, SVG as output."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evtok._optional import require
from evtok.report.page import Html, Picture

#: M. Petroff's sequence of ten colours, chosen for colour-blind readers; CMS recommends it.
PALETTE = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)

INK = "#1b2430"
MUTED = "#68717d"
RULE = "#d5dae0"
FILL = "#dfe5ec"
ORIGINAL = "#9fb6cf"
ACCENT = "#0b5394"

_SETTINGS = {
    "font.family": ["TeX Gyre Heros", "DejaVu Sans"],
    "mathtext.fontset": "custom",
    "mathtext.rm": "TeX Gyre Heros",
    "mathtext.it": "TeX Gyre Heros:italic",
    "mathtext.bf": "TeX Gyre Heros:bold",
    "mathtext.cal": "TeX Gyre Heros:italic",
    "font.size": 10.5,
    "axes.labelsize": 11,
    "axes.titlesize": 11,
    "legend.fontsize": 9.5,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.formatter.use_mathtext": True,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "xtick.major.size": 5,
    "ytick.major.size": 5,
    "xtick.minor.size": 2.5,
    "ytick.minor.size": 2.5,
    "xaxis.labellocation": "right",
    "yaxis.labellocation": "top",
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.labelspacing": 0.35,
    "lines.linewidth": 1.6,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "evtok",
}

WIDTH, HEIGHT = 5.6, 4.0  # inches; a figure fills half of a wide page, or all of a narrow one


@contextmanager
def canvas(width: float = WIDTH, height: float = HEIGHT) -> Iterator[Any]:
    """Give a matplotlib figure of this size in inches, in the style of the report."""
    matplotlib = require("matplotlib", extra="plot")
    require("matplotlib.figure", extra="plot")
    require("mplhep", extra="plot")  # registers its fonts
    with matplotlib.rc_context(_SETTINGS):
        yield matplotlib.figure.Figure(figsize=(width, height), layout="constrained")


def picture(figure: Any, description: str, caption: Html | str, *, wide: bool = False) -> Picture:
    """Save a figure, inside of its `canvas`, as SVG that is equal for equal content."""
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing)
    return Picture(buffer.getvalue(), description, caption, wide)


def colour(k: int) -> str:
    """Return the colour of the k-th process (or type)."""
    return PALETTE[k % len(PALETTE)]


def histogram(axes: Any, filled: Any, **options: Any) -> None:
    """Draw a `hist.Hist` of one axis, without errors."""
    require("mplhep", extra="plot").histplot(filled.values(), filled.axes[0].edges, ax=axes, **options)


def filled(edges: Any, values: Any, weights: Any = None) -> Any:
    """Return a `hist.Hist` of `values`."""
    hist = require("hist", extra="plot")
    result = hist.Hist(hist.axis.Variable(edges, flow=False), storage=hist.storage.Double())
    result.fill(values, weight=weights)
    return result


def legend(axes: Any, **options: Any) -> None:
    """Put a legend where there is room, above the curves if there is none."""
    low, high = axes.get_ylim()
    if axes.get_yscale() == "linear":
        axes.set_ylim(low, low + 1.18 * (high - low))
    axes.legend(**options)


def decimal(axis: Any) -> None:
    """Write the numbers of a logarithmic axis as 100 rather than 10², where they stay short."""
    ticker = require("matplotlib.ticker", extra="plot")
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    low, high = axis.get_view_interval()
    decades = math.log10(high / low) if low > 0 else 9
    labelled = (2, 5) if decades < 2.5 else ()
    axis.set_minor_formatter(
        ticker.FuncFormatter(lambda value, _: f"{value:g}" if _leading_digit(value) in labelled else "")
    )


def _leading_digit(value: float) -> int:
    return round(value / 10 ** math.floor(math.log10(value))) if value > 0 else 0


def angle(axes: Any, unit: str) -> None:
    """Mark the x axis at multiples of π/2, if it is an angle over a full turn."""
    low, high = axes.get_xlim()
    if unit == "rad" and math.isclose(high - low, 2 * math.pi, rel_tol=0.05):
        axes.set_xticks([-math.pi, -math.pi / 2, 0, math.pi / 2, math.pi], ["−π", "−π/2", "0", "π/2", "π"])


def whole_numbers(axis: Any) -> None:
    """Mark an axis at whole numbers only."""
    ticker = require("matplotlib.ticker", extra="plot")
    axis.set_major_locator(ticker.MaxNLocator(integer=True))
    axis.set_minor_locator(ticker.NullLocator())
