"""What detectors of features find in the LHC Olympics: jet masses and substructure, in real tables of the challenge.

    python examples/lhco_features.py FEATURES OUTPUT [--only NAME...] [--seeds 3]

FEATURES holds ``features_train.npy``, ``features_val.npy`` and ``features_signal.npy`` of CATHODE: dijet events with
3.3 < mjj < 3.7 TeV. Every detector is fitted on the background of the first, and tested on the background of the second
and the signal of the third, W' -> X Y; neither sees mjj, in which a search would look for the bump, so how far cuts
sculpt it is measured too. Writes ``results.json`` and ``dark_machines.csv``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import evtok
from evtok.detectors import HBOS, DeepSVDD, Detector, FeatureInputs, IsolationForest, KNearestDetector
from evtok.metrics import DarkMachinesRow, jensen_shannon, summarise, write_dark_machines

#: Columns of the files, in order: TeV; the mass of the lighter jet, and how much heavier the other is.
COLUMNS = ("mjj", "mJ1", "dmJ", "tau21 of J1", "tau21 of J2", "label")
#: What detectors see.
FEATURES = COLUMNS[1:5]

COMPARED: dict[str, Callable[[int], Detector]] = {
    "HBOS": lambda seed: HBOS(FEATURES),
    "isolation forest": lambda seed: IsolationForest(FEATURES, seed=seed),
    "k nearest": lambda seed: KNearestDetector(FEATURES, seed=seed),
    "Deep SVDD": lambda seed: DeepSVDD(FeatureInputs(FEATURES), seed=seed),
}
#: These draw nothing: one seed says it all.
WITHOUT_SEED = ("HBOS",)

Columns = Mapping[str, npt.NDArray[np.float64]]


def read(path: Path, label: int) -> dict[str, npt.NDArray[np.float64]]:
    """Read the events of one class, by column."""
    events = np.load(path)
    if events.ndim != 2 or events.shape[1] != len(COLUMNS):
        raise ValueError(f"{path}: expected the columns {', '.join(COLUMNS)}, got shape {events.shape}")
    chosen = events[events[:, -1] == label]
    return {name: chosen[:, k] for k, name in enumerate(COLUMNS)}


def features(events: Columns) -> npt.NDArray[np.float32]:
    """Return what detectors see (n, n_features)."""
    return np.stack([events[name] for name in FEATURES], axis=1).astype(np.float32)


def compare(
    train: Columns, background: Columns, signal: Columns, names: Sequence[str], n_seeds: int
) -> list[dict[str, Any]]:
    """Return a row for each of `names` and seeds."""
    rows: list[dict[str, Any]] = []
    labels = np.repeat([False, True], [len(background["mjj"]), len(signal["mjj"])])
    for name in names:
        for seed in range(1 if name in WITHOUT_SEED else n_seeds):
            begin = time.perf_counter()
            detector = COMPARED[name](seed).fit(features(train))
            fitted = time.perf_counter()
            scores = [detector.score(features(events)) for events in (background, signal)]
            row = {
                "model": name,
                "seed": seed,
                "settings": detector.to_artefact()[0],
                "seconds_to_fit": fitted - begin,
                "seconds_to_score": time.perf_counter() - fitted,
                **summarise(labels, np.concatenate(scores)).to_json(),
                "sculpting": [vars(cut) for cut in jensen_shannon(background["mjj"], scores[0], (0.1, 0.01))],
            }
            rows.append(row)
            print(line(row), flush=True)
    return rows


def line(row: Mapping[str, Any]) -> str:
    """Return a row as text."""

    def text(figure: Mapping[str, float], digits: int) -> str:
        value, low, high = (f"{figure[name]:.{digits}f}" for name in ("value", "low", "high"))
        return f"{value} [{low}, {high}]"

    tight = row["sculpting"][-1]
    return (
        f"{row['model']:17} seed {row['seed']}  AUC {text(row['auc'], 4)}  "
        f"eps_S(1e-2) {text(row['signal_efficiency']['0.01'], 4)}  "
        f"max SIC {text(row['max_significance_improvement'], 2)}  "
        f"JSD(mjj) {tight['divergence']:.4f} (by chance {tight['by_chance']:.4f})"
    )


def dark_machines(rows: Sequence[Mapping[str, Any]]) -> list[DarkMachinesRow]:
    """Return the rows in the layout of the Dark Machines challenge."""
    return [
        DarkMachinesRow(
            "W' -> X Y",
            f"{row['model']} {row['seed']}",
            "LHCO",
            row["auc"]["value"],
            tuple(row["signal_efficiency"][at]["value"] for at in ("0.01", "0.001", "0.0001")),
        )
        for row in rows
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, fit, score, write."""
    parser = argparse.ArgumentParser(description="The table of the LHC Olympics.")
    parser.add_argument("features", type=Path, help="folder of features_{train,val,signal}.npy")
    parser.add_argument("output", type=Path)
    parser.add_argument("--only", nargs="+", default=tuple(COMPARED), choices=tuple(COMPARED), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args(arguments)

    train, background, signal = (
        read(given.features / f"features_{part}.npy", label)
        for part, label in (("train", 0), ("val", 0), ("signal", 1))
    )
    counts = {
        name: len(part["mjj"])
        for name, part in (("train", train), ("background", background), ("signal", signal))
    }
    print(", ".join(f"{name}: {n} events" for name, n in counts.items()), flush=True)
    rows = compare(train, background, signal, given.only, given.seeds)
    given.output.mkdir(parents=True, exist_ok=True)
    document = {"evtok": evtok.__version__, "features": FEATURES, "events": counts, "rows": rows}
    (given.output / "results.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    write_dark_machines(given.output / "dark_machines.csv", dark_machines(rows))


if __name__ == "__main__":
    main()
