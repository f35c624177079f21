"""The report: its numbers on small samples, other kinds of tokenizers, and text that must be escaped."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evtok
from evtok import Events
from evtok.errors import FingerprintError, MissingBackendError
from evtok.report import Process, Step, token_report
from evtok.report.bins import bins_of, number
from evtok.report.closure import closure
from evtok.report.page import Html, element, escape
from evtok.report.samples import Sample, read_jobs
from evtok.report.usage import Block, blocks, count_ids, meaning, most_used
from evtok.tokenizers import BinnedTokenizer, EqualFrequency, Explicit, Feature, Transform, Uniform
from html_page import Page

DATA = Path(__file__).parents[1] / "examples" / "data"
TYPES = ("j", "b", "e-", "e+", "m-", "m+", "g")

pytest.importorskip("pyarrow")


def features(**options: Any) -> dict[str, Feature]:
    return {
        "pt": Feature("pt", Uniform(9, np.log(15), np.log(3000)), Transform("log"), **options),
        "eta": Feature("eta", Uniform(9, -5, 5), **options),
        "phi": Feature("phi", Uniform(9, -np.pi, np.pi), outside="clip", wrap=True),
    }


def tokenize(tmp_path: Path, tokenizer: BinnedTokenizer, name: str = "qcd.parquet") -> Path:
    path = DATA / name
    if not tokenizer.is_fitted:
        tokenizer.fit(evtok.open_events(path, columns=tokenizer.required_columns))
    evtok.tokenize_files(path, tokenizer, tmp_path / "tokens", events_per_shard=400)
    return tmp_path / "tokens"


def sample_of(folder: Path, max_events: int = 10_000) -> tuple[BinnedTokenizer, Sample]:
    tokenizer, jobs = read_jobs([folder], {}, schema=None, max_events=max_events, seed=1)
    (sample,) = jobs[0].samples
    return tokenizer, sample


# ---- numbers -------------------------------------------------------------------------------------------------


def test_samples_pair_each_event_with_its_tokens(tmp_path: Path) -> None:
    folder = tokenize(tmp_path, BinnedTokenizer(features(), types=TYPES))
    tokenizer, sample = sample_of(folder, max_events=450)  # into the second shard
    assert len(sample.events) == len(sample.tokens) == len(sample.decoded) == 450
    np.testing.assert_array_equal(tokenizer.encode(sample.events).ids, sample.tokens.ids)
    np.testing.assert_array_equal(tokenizer.encode(sample.drawn).ids, sample.tokens.ids)


def test_sorted_and_truncated_objects_stay_paired(tmp_path: Path) -> None:
    tokenizer = BinnedTokenizer(features(), types=TYPES, sort_by="pt", max_length=3, too_long="truncate")
    fitted, sample = sample_of(tokenize(tmp_path, tokenizer))
    assert sample.decoded.multiplicity.max() == 3
    assert sample.events.multiplicity.max() > 3
    for part in bins_of(fitted, {}):
        assert closure(part, [sample]).inside_fraction == 1.0


def test_quantities_of_truncated_events_are_those_of_whole_ones(tmp_path: Path) -> None:
    event_features = {
        "jets": Feature("count[j,b]", Uniform(13, -0.5, 11.5), outside="clip"),
        "HT": Feature("sum_pt[j,b]", Uniform(9, 0, 2000), outside="clip"),
    }
    options: dict[str, Any] = {"sort_by": "pt", "max_length": 4, "too_long": "truncate"}
    tokenizer = BinnedTokenizer(
        features(), types=TYPES, event_features=event_features, sequence=("jets", "objects", "HT"), **options
    )
    fitted, sample = sample_of(tokenize(tmp_path, tokenizer))
    assert sample.decoded.multiplicity.max() == 2
    assert sample.events.units["sum_pt[j,b]"] == "GeV"
    for part in bins_of(fitted, {}):
        assert closure(part, [sample]).inside_fraction == 1.0


def test_closure_of_values_that_are_known(tmp_path: Path) -> None:
    """Values at 1/4 of the width of bins of 0.5: centres lie 0.125 away, uniform values would 0.5 / sqrt(12)."""
    edges = np.arange(0, 4.5, 0.5)
    tokenizer = BinnedTokenizer({"eta": Feature("eta", Explicit(tuple(edges)))}, specials=())
    values = np.r_[edges[:-1] + 0.125, -3.0, 99.0]
    events = Events([0, len(values)], {"eta": values})
    tokens = tokenizer.encode(events)
    decoded = tokenizer.decode(tokens)
    sample = Sample(Process("x"), "x", "x", 0, None, events, tokens, events, decoded, decoded)  # type: ignore[arg-type]
    found = closure(bins_of(tokenizer, {})[0], [sample])
    assert found.rms == pytest.approx(0.125)
    assert found.expected_rms == pytest.approx(0.5 / np.sqrt(12))
    assert found.open_fraction == pytest.approx(2 / len(values))
    np.testing.assert_allclose(found.position, 0.25)
    assert found.inside_fraction == 1.0
    # A value that is not in the bin of its token shows.
    moved = Events([0, len(values)], {"eta": values + np.r_[np.zeros(9), -60.0]})
    wrong = Sample(Process("x"), "x", "x", 0, None, moved, tokens, moved, decoded, decoded)  # type: ignore[arg-type]
    assert (
        closure(bins_of(tokenizer, {})[0], [wrong]).inside_fraction == 1.0
    )  # 39 is above the last edge as well
    moved = Events([0, len(values)], {"eta": values + np.r_[np.full(1, 0.5), np.zeros(9)]})
    wrong = Sample(Process("x"), "x", "x", 0, None, moved, tokens, moved, decoded, decoded)  # type: ignore[arg-type]
    assert closure(bins_of(tokenizer, {})[0], [wrong]).inside_fraction == pytest.approx(0.9)


def test_bins_give_back_the_digits_of_their_centres(tmp_path: Path) -> None:
    tokenizer = BinnedTokenizer(features(), types=TYPES)
    for part in bins_of(tokenizer, {}):
        digits = np.arange(part.n_digits)
        low, high = part.span(digits)
        inner = np.isfinite(low) & np.isfinite(high)
        centres = (low[inner] + high[inner]) / 2
        np.testing.assert_array_equal(part.digits(centres), digits[inner])
        np.testing.assert_array_equal(high[:-1], low[1:])


def test_usage_counts_blocks_and_names_tokens() -> None:
    tokenizer = BinnedTokenizer(
        features(),
        types=TYPES,
        event_features={"MET": Feature("MET", Explicit((100.0, 200.0)))},
        sequence=("cls", "objects", "MET"),
    )
    events = Events(
        [0, 2, 3],
        {
            "pt": np.array([50.0, 50.0, 20.0]),
            "eta": np.array([0.1, 0.1, -9.0]),
            "phi": np.zeros(3),
            "type": np.array([1, 1, 6], np.uint8),
        },
        {"MET": np.array([150.0, 300.0])},
        types=TYPES,
        units={"MET": "GeV"},
    )
    tokens = tokenizer.encode(events)
    found = {block.name: block for block in blocks(tokenizer, count_ids([tokens], tokenizer.vocab_size))}
    assert {name: (block.total, block.used) for name, block in found.items()} == {
        "special": (2, 1),
        "objects": (3, 2),
        "MET": (2, 2),
    }
    (first, times), (second, _) = most_used(found["objects"], 5)
    assert times == 2
    bins = bins_of(tokenizer, dict(events.units))
    said = [Page(element("p", meaning(tokenizer, bins, token))).words for token in (first, second)]
    low, high = np.exp(np.linspace(np.log(15), np.log(3000), 9))[1:3]
    assert said[0] == f"b jet, pT {number(low)} to {number(high)} GeV, η 0.00 to 1.25, φ 0.00 to 0.79 rad"
    assert said[1].startswith("photon, pT 15.00 to ")
    assert "η below −5.00" in said[1]
    met = [Page(element("p", meaning(tokenizer, bins, int(tokens[k][-1])))).words for k in (0, 1)]
    assert met == ["pTmiss 100 to 200 GeV", "pTmiss above 200 GeV"]


def test_perplexity_of_equal_counts_is_their_number() -> None:
    assert Block("x", 0, np.array([3, 3, 0, 3])).perplexity == pytest.approx(3)
    assert Block("x", 0, np.array([0, 0])).perplexity == 0


def test_numbers_are_written_with_a_true_minus() -> None:
    assert [number(x) for x in (-1.234, 31.62, 123.4, -0.001)] == ["−1.23", "31.6", "123", "0.00"]


# ---- pages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"factorised": True},
        {"vocabulary": "seen", "specials": ("pad", "unk")},
        {"sort_by": "pt", "max_length": 4, "too_long": "truncate"},
        {"sequence": ("bos", "objects", "eos"), "specials": ("pad", "bos", "eos")},
    ],
    ids=["factorised", "seen", "truncated", "bos-eos"],
)
def test_every_kind_of_tokenizer_has_a_page(tmp_path: Path, options: dict[str, Any]) -> None:
    pytest.importorskip("mplhep")
    folder = tokenize(tmp_path, BinnedTokenizer(features(), types=TYPES, **options))
    page = Page(token_report(folder, tmp_path / "report.html", max_events=300).read_text(encoding="utf-8"))
    assert "first 300 of 1,000 events" in page.words
    assert all(row[3] == "100.00 %" for row in page.table("Distance of decoded values"))
    assert "nan" not in page.words.lower().split()


def test_constituents_without_types_have_a_page(tmp_path: Path) -> None:
    pytest.importorskip("mplhep")
    rng = np.random.default_rng(0)
    jets = np.zeros((60, 12, 3), np.float32)
    jets[:, :9] = rng.uniform(0.5, 3, (60, 9, 3))
    np.save(tmp_path / "jets.npy", jets)
    tokenizer = BinnedTokenizer(
        {
            name: Feature(name, EqualFrequency(5, outer=True), outside="unknown")
            for name in ("pt", "eta", "phi")
        }
    )
    tokenizer.fit(evtok.open_events(tmp_path / "jets.npy", "padded"))
    evtok.tokenize_files(tmp_path / "jets.npy", tokenizer, tmp_path / "tokens", schema="padded")
    path = token_report(tmp_path / "tokens", tmp_path / "report.html", schema="padded")
    page = Page(path.read_text(encoding="utf-8"))
    assert "special" in {row[0] for row in page.table("The vocabulary by blocks")}
    assert len(page.images) > 5


def test_text_of_files_is_escaped(tmp_path: Path) -> None:
    pytest.importorskip("mplhep")
    hostile = "<img src=x onerror=alert(1)> $\\frac{1}$ & \"'.parquet"
    shutil.copy(DATA / "qcd.parquet", tmp_path / hostile.replace("/", ""))
    tokenizer = BinnedTokenizer(features(), types=TYPES)
    evtok.tokenize_files(tmp_path / hostile, tokenizer, tmp_path / "tokens")
    processes = {hostile: Process(hostile, hostile, True, (hostile,), hostile, 1.0)}
    path = token_report(
        tmp_path / "tokens", tmp_path / "report.html", title=hostile, introduction=hostile, processes=processes,
        steps=[Step(hostile, 1, 1.0)], max_events=50,
    )  # fmt: skip
    page = Page(path.read_text(encoding="utf-8"))
    assert all(set(image) == {"src", "alt"} and image["src"].startswith("data:") for image in page.images)
    assert page.words.count(hostile) > 5


def test_problems_are_shown(tmp_path: Path) -> None:
    pytest.importorskip("mplhep")
    folder = tokenize(tmp_path, BinnedTokenizer(features(), types=TYPES))
    verdict = evtok.verify(folder)
    verdict.problems.append("shard-000001.arrow: <altered>")
    path = token_report(folder, tmp_path / "report.html", verified=[verdict], max_events=50)
    page = Page(path.read_text(encoding="utf-8"))
    assert page.facts["shards, read again and compared"] == "not proven"
    assert "shard-000001.arrow: <altered>" in page.words


def test_jobs_of_two_tokenizers_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("mplhep")
    folders = []
    for name, n in (("a", 5), ("b", 6)):
        tokenizer = BinnedTokenizer({"pt": Feature("pt", Uniform(n, 0, 1000))})
        evtok.tokenize_files(DATA / "qcd.parquet", tokenizer, tmp_path / name)
        folders.append(tmp_path / name)
    with pytest.raises(FingerprintError, match="shards of one tokenizer, got 2"):
        token_report(folders, tmp_path / "report.html")


def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingBackendError, match=r"matplotlib.*evtok\[plot\]"):
        token_report(tmp_path, tmp_path / "report.html")


def test_elements_escape_what_is_not_html() -> None:
    assert escape("<a & b>") == "&lt;a &amp; b&gt;"
    assert element("p", "<", Html("<b>x</b>"), title='"') == '<p title="&quot;">&lt;<b>x</b></p>'
