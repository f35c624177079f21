"""Draw the AUC of every score in channel 3, from the JSON of ``examples/channel3.py``.

Usage: python benchmarks/channel3_figure.py benchmarks/results/RUN-channel3.json docs/images/channel3.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

COLOURS = {"stop": "#d95f02", "gluino_qq": "#7b3fb0", "gluino_tttt": "#b2182b"}


def main(source: Path, target: Path) -> None:
    """Draw a dot for each score and signal; bars are 68 % intervals of the seed with the median AUC."""
    mpl.rcParams.update({"font.family": "sans-serif", "font.size": 10, "svg.hashsalt": "evtok"})
    rows = json.loads(source.read_text(encoding="utf-8"))["rows"]
    models = list(dict.fromkeys(row["model"] for row in rows))
    figure, axes = plt.subplots(figsize=(8.2, 0.29 * len(models) + 1.1), layout="constrained")
    for signal, colour in COLOURS.items():
        for place, model in enumerate(models):
            found = [
                row["unweighted"]["auc"] for row in rows if (row["model"], row["signal"]) == (model, signal)
            ]
            middle = sorted(found, key=lambda one: one["value"])[len(found) // 2]
            axes.plot([middle["low"], middle["high"]], [place, place], color=colour, linewidth=2)
            label = signal if place == 0 else None
            axes.plot(middle["value"], place, "o", color=colour, markersize=6, label=label)
    axes.set_yticks(range(len(models)), models)
    axes.invert_yaxis()
    axes.set_xlim(0.5, 1.0)
    axes.set_xlabel("AUC, signal against the background of the standard model")
    axes.grid(axis="both", color="#e3e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower center", bbox_to_anchor=(0.35, 1.0), ncols=3, frameon=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
