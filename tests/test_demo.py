"""The demo from end to end, as `make demo` runs it, on the bundled events."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import evtok
from html_page import Page

ROOT = Path(__file__).parents[1]
DATA = ROOT / "examples" / "data"

pytest.importorskip("mplhep")
pytest.importorskip("lightning")
pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "demo-output"
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / "demo.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.rstrip().endswith(f"report: {folder / 'report.html'}")
    return folder


@pytest.fixture(scope="module")
def page(output: Path) -> Page:
    """The page about tokens."""
    return Page((output / "tokens.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def report(output: Path) -> Page:
    """The page about scores."""
    return Page((output / "report.html").read_text(encoding="utf-8"))


def totals(output: Path) -> dict[str, int]:
    manifests = [json.loads(path.read_bytes()) for path in sorted(output.glob("tokens/*/manifest.json"))]
    assert len(manifests) == 2
    return {
        key: sum(m["totals"][key] for m in manifests)
        for key in ("read", "written", "filtered", "quarantined")
    }


def test_every_section_is_there_and_linked(page: Page) -> None:
    sections = ["events", "usage", "occupancy", "decoded", "event", "job", "run"]
    assert [identifier for identifier in page.ids if identifier in sections] == sections
    assert [f"#{identifier}" for identifier in sections] == [
        link for link in page.links if link[1:] in sections
    ]
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize("name", ["tokens.html", "report.html"])
def test_the_pages_load_nothing(output: Path, name: str) -> None:
    text = (output / name).read_text(encoding="utf-8")
    page = Page(text)
    assert {link.split(":")[0] for link in page.links if not link.startswith("#")} == {"data"}
    assert "@import" not in text
    assert "url(" not in text
    assert "script" not in page.tags
    assert str(output) not in page.words  # nor does it tell where it was made


def test_figures_are_described(page: Page) -> None:
    # multiplicity, composition; rank, coverage; 5 features and a plane; 5 features and positions
    assert len(page.images) == 2 + 2 + 6 + 6
    assert all(image["alt"] and image["src"].startswith("data:image/svg+xml") for image in page.images)
    assert page.tags.count("figcaption") == len(page.images)


def test_numbers_are_those_of_the_manifests(output: Path, page: Page) -> None:
    expected = totals(output)
    rows = page.table("Every event is accounted for")
    assert rows[-1] == ["all files", *(f"{expected[key]:,}" for key in expected)]
    for key, column in zip(expected, range(1, 5), strict=True):
        assert sum(int(row[column].replace(",", "")) for row in rows[:-1]) == expected[key]
    assert expected["read"] == 9000
    assert page.facts["events tokenized"] == "9,000"

    shards = [json.loads(p.read_bytes()) for p in sorted(output.glob("tokens/*/shard-*.json"))]
    tokens = sum(shard["ids"] for shard in shards)
    assert page.facts["tokens written"] == f"{tokens:,}"
    by_digest = {row[4]: int(row[2].replace(",", "")) for row in page.table("The shards.")}
    assert by_digest == {shard["sha256"][:16]: shard["ids"] for shard in shards}
    used = page.table("The vocabulary by blocks")
    assert sum(int(row[5].replace(",", "")) for row in used) == tokens


def test_numbers_are_those_of_the_tokens(output: Path, page: Page) -> None:
    datasets = [evtok.TokenDataset(folder) for folder in sorted(output.glob("tokens/*/"))]
    ids = np.concatenate([data[: len(data)].ids for data in datasets])
    assert page.facts["ids in the vocabulary"] == f"{datasets[0].vocab_size:,}"
    (in_use,) = [value for name, value in page.facts.items() if name.startswith("ids in use")]
    assert in_use == f"{len(np.unique(ids)):,}"
    first = page.table("The most used object tokens")[0]
    counts = np.bincount(ids)
    vocabulary = datasets[0].tokenizer.vocabulary
    counts = counts[: vocabulary.object_base + vocabulary.n_objects]
    assert [int(first[k].replace(",", "")) for k in (0, 2)] == [counts.argmax(), counts.max()]
    assert f"same token {len(ids):,} times of {len(ids):,}" in page.words
    assert page.facts["fingerprint (sha256)"] == datasets[0].fingerprint


def test_decoding_keeps_within_the_bins(page: Page) -> None:
    rows = page.table("Distance of decoded values")
    assert len(rows) == 5
    for row in rows:
        assert row[3] == "100.00 %"
        distance, allowed = (float(cell.split()[0]) for cell in row[4:6])
        # Where values are not uniform within a bin they crowd towards one side, or are whole numbers, and the centre
        # of the bin is nearer or farther than it would be.
        assert distance < 1.4 * allowed


def test_the_job_is_proven(output: Path, page: Page) -> None:
    assert page.facts["shards, read again and compared"] == "proven"
    assert all(evtok.verify(folder).ok for folder in output.glob("tokens/*/"))


def test_a_second_run_proves_the_shards_and_writes_none(output: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in output.glob("tokens/*/shard-*")}
    tokenizer = evtok.load_tokenizer(output / "tokenizer")
    report = evtok.tokenize_files(DATA / "stop.dm.csv", tokenizer, output / "tokens" / "darkmachines")
    assert (report.shards, report.proven) == (1, 1)
    assert {path: path.stat().st_mtime_ns for path in output.glob("tokens/*/shard-*")} == before


def test_scores_are_of_events_that_the_detector_has_not_seen(output: Path, report: Page) -> None:
    told = json.loads((DATA / "processes.json").read_text(encoding="utf-8"))
    n_background = sum(process["events"] for process in told if not process["signal"])
    n_signal = sum(process["events"] for process in told if process["signal"])
    assert report.facts["of them background"] == f"{n_background // 5:,}"
    assert report.facts["of them signal"] == f"{n_signal:,}"
    scores = [evtok.Scores.read(path) for path in sorted(output.glob("scores-*.parquet"))]
    assert sum(map(len, scores)) == n_background + n_signal


def test_the_detector_finds_four_tops(output: Path, report: Page) -> None:
    found = float(report.facts["AUC for gluinos → top quarks"].split()[0])
    assert found > 0.9
    detector = evtok.load_detector(output / "model")
    events = [evtok.open_events(DATA / name).read(0) for name in ("gluino_tttt.parquet", "ttbar.parquet")]
    signal, background = (detector.score(one[3::5]) for one in events)
    assert (signal[:, None] > background).mean() > 0.8  # top pairs are the background most like it


def test_the_kernels_score_and_the_page_says_so(output: Path, report: Page) -> None:
    assert "native backend" in report.words
    assert all(evtok.Scores.read(path).run["backend"] == "native" for path in output.glob("scores-*.parquet"))


def test_the_most_anomalous_events_are_drawn(report: Page) -> None:
    assert len([image for image in report.images if "eta and phi" in image["alt"]]) == 4
    assert {"separation", "scores", "anomalous", "tokens", "sculpting", "account", "run"} <= set(report.ids)


def test_bundled_events_are_what_their_readme_says() -> None:
    told = json.loads((DATA / "processes.json").read_text(encoding="utf-8"))
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 4_000_000
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    for process in told:
        path = DATA / process["file"]
        events = evtok.open_events(path).read(0)
        assert len(events) == process["events"]
        assert f"`{process['file']}`" in readme
        assert (events.fields["MET"] >= 99.9).all()
        weights = events.fields["weight"].sum() * process["events_of_full_sample"] / len(events)
        assert weights == pytest.approx(process["cross_section_pb"], rel=1e-4)
        assert process["seed"] > 0
        assert "Beams:eCM=13000." in process["settings"]


@pytest.mark.data
def test_bundled_events_can_be_made_again(test_data: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "tools" / "make_demo_data.py"),
        str(test_data / "pythia"),
        str(tmp_path),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    for made in sorted(tmp_path.iterdir()):
        kept = DATA / made.name
        if made.suffix in (".json", ".csv"):
            assert made.read_bytes() == kept.read_bytes()
            continue
        # Bytes of Parquet and ROOT files depend on the versions of their writers; the events do not.
        first, second = (evtok.open_events(path).read(0) for path in (made, kept))
        assert first.types == second.types
        np.testing.assert_array_equal(first.offsets, second.offsets)
        for name, column in first.columns.items():
            np.testing.assert_array_equal(column, second.columns[name])
        for name, field in first.fields.items():
            np.testing.assert_array_equal(field, second.fields[name])
