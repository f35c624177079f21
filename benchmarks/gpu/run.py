#!/usr/bin/env python3
"""Build evtok with CUDA, test it, prove its bits and measure it on this machine's GPU: one command, no network.

Usage: python3 benchmarks/gpu/run.py OUTPUT [--only SECTION,...] [--seconds 540]
See README.md beside this file. Needs Python's standard library alone to begin with; what a section needs is said there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sections import SECTIONS, Runner
from table import lines


def main() -> int:
    """Run the sections, write OUTPUT/summary.json after each, print the table."""
    options = parse()
    output: Path = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    kept = options.build is not None
    folder = options.build.resolve() if kept else Path(tempfile.mkdtemp(prefix="evtok-gpu-"))
    folder.mkdir(parents=True, exist_ok=True)
    runner = Runner(
        output=output,
        folder=folder,
        emulated=options.emulated,
        architectures=options.architectures,
        wheels=options.wheels,
        deadline=time.monotonic() + options.seconds,
    )
    summary: dict[str, Any] = {"format": "evtok-gpu-run", "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    results: dict[str, Any] = {}
    summary["sections"] = results
    try:
        for name, section in SECTIONS.items():
            if options.only and name not in options.only:
                continue
            print(f"==== {name}", flush=True)
            began = time.monotonic()
            try:
                found = section(runner)
            except Exception as error:  # costs no other section
                found = {"status": f"failed ({type(error).__name__}: {error})"}
            results[name] = found | {"seconds": round(time.monotonic() - began, 1)}
            text = json.dumps(summary, indent=1, default=str)
            (output / "summary.json").write_text(text + "\n", encoding="utf-8")
            print(f"     {results[name]['status']} after {results[name]['seconds']} s", flush=True)
            if name == "build" and results[name]["status"] != "ok":
                break  # nothing else can run
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    for line in lines(summary, output / "bench.json"):
        print(line)
    return int(any(one["status"] not in ("ok", "skipped") for one in results.values()))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "output", type=Path, help="folder for summary.json, bench.json, tests.xml and log.txt"
    )
    parser.add_argument(
        "--only", type=lambda text: text.split(","), help=f"some of {','.join(SECTIONS)}; build, or --build"
    )
    parser.add_argument("--seconds", type=float, default=540, help="for all sections together (540)")
    parser.add_argument("--build", type=Path, help="build here and keep it; a later run finds it")
    parser.add_argument("--architectures", help="of CMAKE_CUDA_ARCHITECTURES; by default this GPU's own")
    parser.add_argument(
        "--wheels",
        type=Path,
        default=os.environ.get("EVTOK_GPU_WHEELS"),
        help="folder of wheels that are missing here, such as pybind11",
    )
    parser.add_argument("--emulated", action="store_true", help="try this script where there is no GPU")
    options = parser.parse_args()
    unknown = set(options.only or ()) - set(SECTIONS)
    if unknown:
        parser.error(f"--only: expected some of {', '.join(SECTIONS)}, got {', '.join(sorted(unknown))}")
    if (
        options.only
        and options.build is None
        and not {"build"} & set(options.only)
        and options.only != ["facts"]
    ):
        parser.error("--only without build: name the folder of an earlier build (--build)")
    return options


if __name__ == "__main__":
    sys.exit(main())
