"""From event files to tokens and back, on the events in ``examples/data``.

    python examples/demo.py demo-output

Reads three formats, fits one tokenizer, writes shards, proves them, reads them back, and writes ``report.html``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import evtok
from evtok.report import Process, Step, token_report
from evtok.tokenizers.defaults import for_events

DATA = Path(__file__).parent / "data"
T = TypeVar("T")


def main(output: Path) -> Path:
    """Run every step into the folder `output`, and return the path of the page."""
    told = json.loads((DATA / "processes.json").read_text(encoding="utf-8"))
    files = [DATA / process["file"] for process in told]
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

    # The columns of the first events decide what is binned; all events decide where the edges lie.
    tokenizer = for_events(sources[0].read(0, 0, 1))
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
    page = token_report(
        folders,
        output / "report.html",
        title="From collision events to tokens",
        introduction="Simulated proton-proton collisions at 13 TeV with HT ≥ 600 GeV and missing transverse momentum "
        "≥ 100 GeV: top pairs, QCD dijets and bosons of the standard model, and three supersymmetric signals.",
        processes=processes,
        steps=steps,
        verified=verified,
    )
    print(f"\n{tokenizer}\nreport: {page.resolve()}")
    return page


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python examples/demo.py OUTPUT_FOLDER")
    main(Path(sys.argv[1]))
