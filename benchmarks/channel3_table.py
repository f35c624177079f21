"""Write the physics table of channel 3 into a Markdown file, from the JSON of ``examples/channel3.py``.

Usage: python benchmarks/channel3_table.py benchmarks/results/RUN-channel3.json FILE.md
Replaces what lies between `<!-- channel3:begin -->` and `<!-- channel3:end -->`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- channel3:begin -->", "<!-- channel3:end -->"


def table(run: dict[str, Any]) -> str:
    """Return a table for each signal, unweighted figures and the weighted AUC beside them."""
    signals = list(dict.fromkeys(row["signal"] for row in run["rows"]))
    return "\n".join(line for signal in signals for line in _of_signal(run["rows"], signal))


def _of_signal(rows: list[dict[str, Any]], signal: str) -> Iterator[str]:
    yield f"**{signal}**"
    yield ""
    yield "| score | AUC | seeds | ε_S at ε_B = 1e-2 | max SIC | AUC, weighted |"
    yield "| --- | --- | --- | --- | --- | --- |"
    models = list(dict.fromkeys(row["model"] for row in rows))
    for model in models:
        found = [row for row in rows if row["model"] == model and row["signal"] == signal]
        found.sort(key=lambda row: row["unweighted"]["auc"]["value"])
        middle = found[len(found) // 2]  # the median of an odd number of seeds
        plain, weighted = middle["unweighted"], middle["weighted"]
        areas = [row["unweighted"]["auc"]["value"] for row in found]
        cells = [
            model,
            _interval(plain["auc"], 3),
            f"{areas[0]:.3f} to {areas[-1]:.3f}" if len(areas) > 1 else "",
            _interval(plain["signal_efficiency"]["0.01"], 3),
            _interval(plain["max_significance_improvement"], 2),
            _interval(weighted["auc"], 3),
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _interval(figure: dict[str, Any], digits: int) -> str:
    return f"{figure['value']:.{digits}f} ({figure['low']:.{digits}f} to {figure['high']:.{digits}f})"


def main(arguments: list[str]) -> None:
    """Run the script."""
    source, target = (Path(argument) for argument in arguments)
    text = target.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"{target}: expected one {BEGIN}, and after it one {END}")
    head, rest = text.split(BEGIN)
    content = table(json.loads(source.read_text(encoding="utf-8")))
    target.write_text(f"{head}{BEGIN}\n{content}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
