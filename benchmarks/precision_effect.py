"""What bfloat16 does to a masked-token detector: to AUC, and to which events a search would look at.

Usage: python benchmarks/precision_effect.py EVENTS MODEL [OUTPUT.json] [--signals stop ...]
EVENTS holds the files ``c3_<process>.parquet`` of channel 3. MODEL is the folder of a detector that
examples/channel3.py compares ("masked token, bins", seed 0); it is trained if it is not there, which takes minutes.
Then test events are scored in float32 and in bfloat16, with the backend "native".
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import evtok
from evtok.detectors import MaskedTokenDetector
from evtok.metrics import roc

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import channel3

#: Shares of background that pass a cut.
WORKING_POINTS = (1e-1, 1e-2, 1e-3)

Scores = npt.NDArray[np.float32]


def detector_in(folder: Path, background: channel3.Background) -> MaskedTokenDetector:
    """Read the detector, or train it and write it there."""
    if not folder.exists():
        made = MaskedTokenDetector(channel3.bins(background), seed=0)
        made.fit(background.train, background.validation).save(folder)
    return MaskedTokenDetector.load(folder)


def compared(exact: Scores, coarse: Scores, n_background: int) -> dict[str, Any]:
    """Return what differs between two scores of the same events, background first."""
    labels = np.arange(len(exact)) >= n_background
    areas = [float(roc(labels, scores).auc) for scores in (exact, coarse)]
    difference = np.abs(coarse.astype(np.float64) - exact)
    ranks = np.stack([np.argsort(np.argsort(scores[:n_background])) for scores in (exact, coarse)])
    return {
        "auc": {"float32": areas[0], "bfloat16": areas[1]},
        "difference": {
            "median": float(np.median(difference)),
            "largest": float(difference.max()),
            "deviation of the score": float(exact[:n_background].std()),
        },
        "rank correlation": float(np.corrcoef(ranks)[0, 1]),
        "overlap": {str(share): _overlap(exact, coarse, n_background, share) for share in WORKING_POINTS},
    }


def _overlap(exact: Scores, coarse: Scores, n_background: int, share: float) -> dict[str, float]:
    """Return how many of the events above a cut in float32 are above that in bfloat16, and what both cuts keep."""
    cuts = [np.quantile(scores[:n_background], 1 - share, method="higher") for scores in (exact, coarse)]
    above = [scores >= cut for scores, cut in zip((exact, coarse), cuts, strict=True)]
    both = above[0] & above[1]
    return {
        "background": float(both[:n_background].sum() / above[0][:n_background].sum()),
        "signal": float(both[n_background:].sum() / max(1, above[0][n_background:].sum())),
        "signal efficiency, float32": float(above[0][n_background:].mean()),
        "signal efficiency, bfloat16": float(above[1][n_background:].mean()),
    }


def rows(
    detector: MaskedTokenDetector, background: evtok.Events, signals: dict[str, evtok.Events]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each form of the score and each signal."""
    for form, settings in channel3.FORMS.items():
        scorers = [detector.with_score(**settings, precision=one) for one in ("float32", "bfloat16")]
        of_background = [scorer.score(background) for scorer in scorers]
        for name, events in signals.items():
            exact, coarse = (
                np.concatenate([scores, scorer.score(events)])
                for scores, scorer in zip(of_background, scorers, strict=True)
            )
            yield {
                "score": f"masked token, bins{form}",
                "signal": name,
                "events": {"background": len(background), "signal": len(events)},
                **compared(exact, coarse, len(background)),
            }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description="What bfloat16 does to a masked-token detector.")
    parser.add_argument("events", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path, nargs="?")
    parser.add_argument("--signals", nargs="+", default=channel3.SIGNALS, choices=channel3.SIGNALS)
    given = parser.parse_args(arguments)
    background = channel3.Background([channel3.read(given.events, name) for name in channel3.BACKGROUNDS])
    signals = {name: channel3.read(given.events, name) for name in given.signals}
    detector = detector_in(given.model, background)
    found = []
    for row in rows(detector, background.test, signals):
        print(json.dumps(row), flush=True)
        found.append(row)
    if given.output:
        config = evtok.build_config()
        document = {"evtok": evtok.__version__, "isa": config["isa"], "model": repr(detector), "rows": found}
        given.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
