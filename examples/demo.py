"""From event files to anomalies, on the events in ``examples/data``.

    python examples/demo.py demo-output

Reads three formats, fits one tokenizer, writes shards, proves and reads them, trains a masked-token detector on
background, scores every event, and writes two pages: ``report.html`` about the scores, ``tokens.html`` about tokens.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import evtok
from evtok.detectors import MaskedTokenDetector
from evtok.report import Process, Step, score_report, token_report
from evtok.tokenizers import BinnedTokenizer, Explicit, Feature, Uniform, log_uniform

DATA = Path(__file__).parent / "data"
T = TypeVar("T")

TYPES = ("j", "b", "e-", "e+", "m-", "m+", "g")
#: The first of every five background events are for training, the next is for stopping it, the others are scored.
TRAINING, VALIDATION, EVERY = 3, 1, 5


def new_tokenizer() -> BinnedTokenizer:
    """Objects by type, pT and η, events by MET, HT and number of objects.

    Bins of energies are equal in the logarithm: so the tails, where new particles would be, are rare tokens.
    """
    event_features = {
        "MET": Feature("MET", *log_uniform(17, 100.0, 1500.0), outside="clip"),
        "HT": Feature("sum_pt[j,b]", *log_uniform(17, 600.0, 3500.0), outside="clip"),
        "multiplicity": Feature("count", Explicit([k + 0.5 for k in range(16)]), outside="clip"),
    }
    features = {
        "pt": Feature("pt", *log_uniform(13, 15.0, 1500.0), outside="clip"),
        "eta": Feature("eta", Uniform(5, -2.8, 2.8), outside="clip"),
    }
    return BinnedTokenizer(
        features, types=TYPES, event_features=event_features, sequence=(*event_features, "objects")
    )


def part_of(entry: Any) -> Any:
    """Return the place of events in the cycle of `EVERY`, by their row in the file."""
    return entry % EVERY


def main(output: Path) -> Path:
    """Run every step into the folder `output`, and return the path of the page about the scores."""
    told = json.loads((DATA / "processes.json").read_text(encoding="utf-8"))
    files = [DATA / process["file"] for process in told]
    background = {process["file"] for process in told if not process["signal"]}
    # A job reads its files with one schema, so files in the layout of NanoAOD and text files are two jobs.
    inputs = {
        "nanoaod": [file for file in files if file.suffix in (".parquet", ".root")],
        "darkmachines": [file for file in files if file.suffix == ".csv"],
    }
    steps: list[Step] = []

    def timed(name: str, events: int, work: Callable[[], T]) -> T:
        begin = time.perf_counter()
        result = work()
        steps.append(Step(name, events, time.perf_counter() - begin))
        print(f"{name:34} {events:7,} events {steps[-1].seconds:7.3f} s")
        return result

    sources = [evtok.open_events(paths) for paths in inputs.values()]
    n_events = sum(source.n_events for source in sources)
    for source in sources:
        for file in source.files:
            print(
                f"  {Path(file.path).name:20} {file.n_events:5} events  {file.format}, schema {file.schema.name}"
            )

    tokenizer = new_tokenizer()
    columns, fields = tokenizer.required_columns, tokenizer.required_fields
    events = timed(
        "read",
        n_events,
        lambda: [
            chunk
            for paths in inputs.values()
            for chunk in evtok.open_events(paths, columns=columns, fields=fields)
        ],
    )
    timed("fit the tokenizer", n_events, lambda: tokenizer.fit(events))
    tokenizer.save(output / "tokenizer")
    timed("encode, in memory", n_events, lambda: [tokenizer.encode(chunk) for chunk in events])

    folders = [output / "tokens" / name for name in inputs]
    timed(
        "read, encode and write shards",
        n_events,
        lambda: [
            evtok.tokenize_files(paths, tokenizer, folder)
            for paths, folder in zip(inputs.values(), folders, strict=True)
        ],
    )
    verified = timed("verify the shards", n_events, lambda: [evtok.verify(folder) for folder in folders])
    for report in verified:
        if not report.ok:
            raise SystemExit("\n".join(report.problems))
    datasets = [evtok.TokenDataset(folder) for folder in folders]
    timed("read the tokens back", n_events, lambda: [sum(len(ids) for ids in data) for data in datasets])

    # Background is in the files of one layout; `label` was kept beside the tokens.
    tokens, part = datasets[0][:], part_of(datasets[0].field("entry"))
    known = datasets[0].field("label") == 0
    train = tokens.select(known & (part < TRAINING))
    validation = tokens.select(known & (part >= TRAINING) & (part < TRAINING + VALIDATION))
    detector = MaskedTokenDetector(
        tokenizer,
        epochs=12,
        reduction="sum",
        type_weights={"MET": 2.0, "HT": 2.0, "multiplicity": 2.0},
        seed=1,
    )
    timed("train a masked-token detector", len(train), lambda: detector.fit(train, validation))
    detector.save(output / "model")

    # A detector trained anew gives other scores, and a job does not mix them with those that are there.
    paths = [output / f"scores-{name}.parquet" for name in inputs]
    for path in paths:
        path.unlink(missing_ok=True)
        shutil.rmtree(f"{path}.parts", ignore_errors=True)
    jobs = timed(
        "score every event",
        n_events,
        lambda: [
            evtok.score_files(files, output / "model", path)
            for files, path in zip(inputs.values(), paths, strict=True)
        ],
    )
    print(f"  by the {jobs[0].backend} backend")
    # No event that was learned from counts as found.
    scores = []
    for path in paths:
        every = evtok.Scores.read(path)
        learned = [Path(name).name in background for name in every.inputs]
        seen = [learned[k] for k in every.file_index] & (part_of(every.entry) < TRAINING + VALIDATION)
        scores.append(every.select(~seen))

    processes = {
        process["file"]: Process(
            title=process["title"],
            description=process["description"],
            signal=process["signal"],
            settings=process["settings"],
            generator=f"Pythia {process['generator']}",
            cross_section_pb=process["cross_section_pb"],
        )
        for process in told
    }
    simulated = (
        "Simulated proton-proton collisions at 13 TeV with HT ≥ 600 GeV and missing transverse momentum "
        "≥ 100 GeV: top pairs, QCD dijets and bosons of the standard model, and three supersymmetric signals."
    )
    token_page = token_report(
        folders,
        output / "tokens.html",
        title="From collision events to tokens",
        introduction=simulated,
        processes=processes,
        steps=steps,
        verified=verified,
    )
    page = score_report(
        scores,
        output / "report.html",
        title="Collisions that do not look like the standard model",
        introduction=f"{simulated} The detector has learned from {len(train):,} events of the standard model alone; "
        "what is shown here are events that it has not seen.",
        processes=processes,
        model=output / "model",
    )
    print(f"\n{tokenizer}\ntokens: {token_page.resolve()}\nreport: {page.resolve()}")
    return page


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python examples/demo.py OUTPUT_FOLDER")
    main(Path(sys.argv[1]))
