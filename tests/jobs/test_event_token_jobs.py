"""Jobs and commands with tokens of the event: multiplicities and sums from columns that only they need."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evtok
from evtok.event_quantities import EventQuantities
from evtok.tokenizers import (
    BinnedTokenizer,
    CodebookTokenizer,
    EqualFrequency,
    Explicit,
    Feature,
    NumericFeature,
    Uniform,
)

EVENT: dict[str, Any] = {
    "event_features": {
        "jets": Feature("count", Uniform(13, -0.5, 11.5), outside="clip"),
        "HT": Feature("sum_pt", EqualFrequency(9), "log1p"),
    },
    "sequence": ("jets", "HT", "objects"),
}

# No feature of an object needs pt: it is read for the sum alone.
KINDS: dict[str, Callable[[], Any]] = {
    "binned": lambda: BinnedTokenizer({"eta": Feature("eta", Uniform(30, -9, 9))}, **EVENT),
    "codes": lambda: CodebookTokenizer({"eta": NumericFeature("eta")}, n_codes=15, **EVENT),
}

kinds = pytest.mark.parametrize("kind", list(KINDS))


@kinds
@pytest.mark.parametrize("container", ["arrow", "parquet"])
def test_p1_shards_hold_the_tokens_of_encode(
    kind: str, container: Any, inputs: list[Path], jets_schema: Any, shas: Any, tmp_path: Path
) -> None:
    source = evtok.open_events(inputs, jets_schema)
    tokenizer = KINDS[kind]().fit(source)
    options: dict[str, Any] = {"schema": jets_schema, "format": container, "events_per_shard": 2000}
    reports = [
        evtok.tokenize_files(inputs, tokenizer, tmp_path / f"out{threads}", threads=threads, **options)
        for threads in (1, 3)
    ]
    assert all(report.complete for report in reports)
    found = evtok.TokenDataset(reports[0].folder)[:]
    events = evtok.Events.concatenate(list(source))
    expected = tokenizer.encode(events)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    jets = found.ids[found.offsets[:-1]].astype(np.int64) - tokenizer.vocabulary.event_bases["jets"]
    np.testing.assert_array_equal(jets, np.minimum(events.multiplicity, 11))
    assert shas(reports[0].folder) == shas(reports[1].folder)


@kinds
def test_p7_events_with_an_invalid_sum_go_to_quarantine_with_the_reason(
    kind: str, write: Any, jets_schema: Any, tmp_path: Path
) -> None:
    good, bad = (
        write(tmp_path / "good.parquet", 900, 1),
        write(tmp_path / "bad.parquet", 900, 2, nan=(5, 700)),
    )
    tokenizer = KINDS[kind]().fit(evtok.open_events(good, jets_schema))
    options: dict[str, Any] = {"schema": jets_schema, "allow_quarantine": True}
    report = evtok.tokenize_files([bad], tokenizer, tmp_path / "out", **options)
    assert (report.counts.quarantined, report.counts.written) == (2, 898)
    (written,) = (tmp_path / "out" / "quarantine").iterdir()
    lines = [json.loads(line) for line in written.read_text().splitlines()]
    assert [line["entry"] for line in lines] == [5, 700]
    assert all("quantity 'sum_pt' = nan" in line["reason"] for line in lines)


def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evtok.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


EXAMPLES = Path(__file__).parents[2] / "examples" / "data"


@pytest.mark.parametrize("options", [[], ["--codebook", 20]], ids=["bins", "codes"])
def test_p48_fit_tokenizer_takes_quantities(tmp_path: Path, options: list[Any]) -> None:
    pytest.importorskip("typer")
    path = EXAMPLES / "ttbar.parquet"
    wanted = "MET,METphi,count[j,b],sum_pt[j,b]"
    done = run(
        "fit-tokenizer",
        path,
        "--quantities",
        wanted,
        "--bins",
        "count[j,b]=7,MET=5",
        *options,
        "-o",
        tmp_path / "tok",
    )
    assert (done.returncode, done.stderr) == (0, "")
    tokenizer = evtok.load_tokenizer(tmp_path / "tok")
    assert tokenizer.vocabulary.event_digits == {"MET": 5, "METphi": 12, "count[j,b]": 7, "sum_pt[j,b]": 20}
    done = run("tokenize", path, "--tokenizer", tmp_path / "tok", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    events = evtok.open_events(path).read(0, 0, 300)
    decoded = tokenizer.decode(evtok.TokenDataset(tmp_path / "out")[:300])
    counts = EventQuantities(["count[j,b]"]).compute(events)["count[j,b]"]
    np.testing.assert_array_equal(decoded.fields["count[j,b]"], np.minimum(counts, 6))
    shown = run("inspect", tmp_path / "out", "--event", 3)
    assert shown.returncode == 0, shown.stderr
    assert "count[j,b]" in shown.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--quantities", "count[q]"], "quantity 'count[q]': the events have no type 'q'"),
        (["--quantities", "counts[j]"], "quantity 'counts[j]': expected a field, count[types]"),
        (["--quantities", "HT", "--codebook", 4], "quantity 'HT': the events have no such field"),
        (["--quantities", "count", "--bins", "HT=3"], "count, got 'HT'"),
        (
            ["--quantities", "count", "--bins", "pt=3", "--codebook", 4],
            "bins: expected names of count, got 'pt'",
        ),
        (
            ["--quantities", "count", "--preset", "finke"],
            "--quantities: a published scheme has its own tokens",
        ),
    ],
)
def test_quantities_that_are_none_are_refused(tmp_path: Path, options: list[Any], message: str) -> None:
    pytest.importorskip("typer")
    done = run("fit-tokenizer", EXAMPLES / "ttbar.parquet", *options, "-o", tmp_path / "tok")
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "tok").exists()


def test_explicit_edges_of_a_multiplicity_need_no_fit(
    inputs: list[Path], jets_schema: Any, tmp_path: Path
) -> None:
    """The first edge that a count reaches is its own: bins of ``numpy.digitize``."""
    few = Feature("count", Explicit((2.0, 4.0, 6.0)))
    tokenizer = BinnedTokenizer(
        {"eta": Feature("eta", Uniform(30, -9, 9))}, event_features={"few": few}, sequence=("few", "objects")
    )
    assert tokenizer.is_fitted
    report = evtok.tokenize_files(inputs, tokenizer, tmp_path / "out", schema=jets_schema)
    found = evtok.TokenDataset(report.folder)[:]
    events = evtok.Events.concatenate(list(evtok.open_events(inputs, jets_schema)))
    digits = found.ids[found.offsets[:-1]].astype(np.int64) - tokenizer.vocabulary.event_bases["few"]
    np.testing.assert_array_equal(digits, np.digitize(events.multiplicity, [2, 4, 6]))
