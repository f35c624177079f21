"""The page about scores: its figures against `evtok.metrics`, its events against the files, and what it lacks."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evtok
from evtok.errors import EvtokError, FingerprintError, InvalidEventsError, ShardError
from evtok.metrics import summarise
from evtok.report import Process, score_report
from evtok.report.anomalies import highest, look_up
from evtok.report.labels import Labels
from evtok.report.scored import Part, gather
from evtok.report.scored_tokens import contrasts, sample
from evtok.tokenizers import BinnedTokenizer, Feature, Transform, Uniform
from html_page import Page

DATA = Path(__file__).parents[1] / "examples" / "data"
BACKGROUND = ["qcd.parquet", "znunu.parquet"]
SIGNAL = ["gluino_tttt.parquet", "gluino_qq.parquet"]
TYPES = ("j", "b", "e-", "e+", "m-", "m+", "g")
SECTIONS = ["separation", "scores", "anomalous", "tokens", "sculpting", "account", "run"]
QUICK: dict[str, Any] = {"resamples": 3, "max_events": 60, "n_events": 2}

pytest.importorskip("pyarrow")
pytest.importorskip("mplhep")


@dataclass(frozen=True)
class Made:
    """What `evtok.Scores` has, made up."""

    score: Any
    file_index: Any
    entry: Any
    fields: dict[str, Any]
    inputs: tuple[str, ...]
    model: dict[str, Any] = field(
        default_factory=lambda: {"kind": "unigram", "fingerprint": "ab" * 32, "folder": ""}
    )
    counts: Any = None


def made(
    n: int = 60, inputs: tuple[str, ...] = ("background.parquet", "signal.parquet"), **fields: Any
) -> Made:
    """Return n events of each input, those of later ones with higher scores."""
    random = np.random.default_rng(1)
    file = np.repeat(np.arange(len(inputs)), n)
    score = (random.normal(size=len(file)) + file).astype(np.float32)
    return Made(score, file, np.tile(np.arange(n), len(inputs)), fields, inputs)


def features() -> dict[str, Feature]:
    return {
        "pt": Feature("pt", Uniform(9, np.log(15), np.log(3000)), Transform("log")),
        "eta": Feature("eta", Uniform(7, -5, 5)),
        "phi": Feature("phi", Uniform(5, -np.pi, np.pi), outside="clip", wrap=True),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of tokens, its scores of four files, and the page."""
    from evtok.detectors import UnigramDetector

    path = tmp_path_factory.mktemp("report")
    events = evtok.open_events([DATA / name for name in BACKGROUND]).read(0)
    tokenizer = BinnedTokenizer(features(), types=TYPES).fit(events)
    UnigramDetector(tokenizer).fit(events[:500]).save(path / "model")
    evtok.score_files(
        [DATA / name for name in (*BACKGROUND, *SIGNAL)],
        path / "model",
        path / "scores.parquet",
        keep=["label", "weight", "MET"],
    )
    score_report(path / "scores.parquet", path / "report.html", **QUICK)
    return path


@pytest.fixture(scope="module")
def scores(folder: Path) -> Any:
    return evtok.Scores.read(folder / "scores.parquet")


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


# ---- the page of a real job ----------------------------------------------------------------------------------


def test_every_section_is_there_and_linked(page: Page) -> None:
    assert [identifier for identifier in page.ids if identifier in SECTIONS] == SECTIONS
    assert [link[1:] for link in page.links if link[1:] in SECTIONS] == SECTIONS
    assert len(page.ids) == len(set(page.ids))


def test_the_page_loads_nothing(folder: Path, page: Page) -> None:
    assert {link.split(":")[0] for link in page.links if not link.startswith("#")} == {"data"}
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "@import" not in text
    assert "url(" not in text
    assert "script" not in page.tags
    assert str(folder) not in page.words
    assert str(DATA) not in page.words


def test_figures_are_described(page: Page) -> None:
    # ROC and SIC, plain and weighted; two of the scores; two events; ranks; MET before and after
    assert len(page.images) == 4 + 2 + 2 + 1 + 1
    assert all(image["alt"] and image["src"].startswith("data:image/svg+xml") for image in page.images)
    assert page.tags.count("figcaption") == len(page.images)
    assert "nan" not in page.words.lower().split()


@pytest.mark.parametrize("weighted", [False, True])
def test_figures_are_those_of_the_metrics(page: Page, scores: Any, weighted: bool) -> None:
    caption = "weighted by their" if weighted else "every event counted once"
    (rows,) = [rows[1:] for name, rows in page.tables.items() if caption in name]
    assert [row[0] for row in rows] == ["gluino_tttt", "gluino_qq"]
    background = np.flatnonzero(scores.fields["label"] == 0)
    for row, name in zip(rows, SIGNAL, strict=True):
        mine = np.flatnonzero(np.array([path.endswith(name) for path in scores.inputs])[scores.file_index])
        chosen = np.r_[background, mine]
        found = summarise(
            scores.fields["label"][chosen],
            scores.score[chosen],
            scores.fields["weight"][chosen] if weighted else None,
            n_resamples=3,
        )
        assert row[1] == "1,000"
        told = [float(cell.split("†")[0][: len(f"{0:.{_digits(cell)}f}")]) for cell in row[2:]]
        figures = [found.auc, *found.signal_efficiency.values(), found.max_significance_improvement]
        for value, interval, cell in zip(told, figures, row[2:], strict=True):
            assert value == pytest.approx(interval.value, abs=0.51 * 10.0 ** -_digits(cell))
        assert ("†" in row[5]) or weighted  # 1e-4 of 2000 background events


def _digits(cell: str) -> int:
    """Count the digits after the first point of a figure that its interval follows, all of one length."""
    return len(cell.split(" – ")[1].split(".")[1])


def test_the_head_says_what_was_scored(page: Page, scores: Any) -> None:
    assert page.facts["events scored"] == "4,000"
    assert page.facts["of them background"] == "2,000"
    assert page.facts["of them signal"] == "2,000"
    assert scores.model["fingerprint"][:12] in page.words
    assert page.facts["fingerprint (sha256)"] == scores.model["fingerprint"]
    assert page.facts["scored with evtok"] == evtok.__version__


def test_every_event_is_accounted_for(page: Page) -> None:
    (row,) = page.table("Every event is accounted for")
    assert row == ["scores.parquet", "unigram", "4", "4,000", "4,000", "0", "0", "0"]
    assert [row[1] for row in page.table("Events of each input file")] == ["1,000"] * 4


def test_the_events_drawn_are_the_highest_and_their_tokens_give_the_score(folder: Path, scores: Any) -> None:
    (scored,) = gather([(None, Part("x", scores))], {}, Labels())
    rows = highest(scored, 5)
    assert scored.score[rows].tolist() == sorted(scores.score.tolist(), reverse=True)[:5]
    detector = evtok.detectors.load_detector(folder / "model")
    for one in look_up(scored, rows, detector, None):
        assert one.fault == ""
        surprises = [member.surprise for member in one.members]
        assert None not in surprises
        assert np.mean(surprises) == pytest.approx(scored.score[one.row], rel=1e-5)  # the unigram's reduction
        assert one.rescored == scored.score[one.row]
        event = evtok.open_events(scored.files[scored.file[one.row]].path).read(0)[int(scored.entry[one.row])]
        assert [member.pt for member in one.members] == event.columns["pt"].tolist()
        assert one.missing == (event.fields["MET"][0], event.fields["METphi"][0])


def test_cards_name_their_events(page: Page, scores: Any) -> None:
    order = np.argsort(-scores.score.astype(np.float64), kind="stable")[:2]
    for place, row in enumerate(order):
        name = Path(scores.inputs[scores.file_index[row]]).name
        assert f"{place + 1}. {name.split('.')[0]}, entry {scores.entry[row]:,} of {name}" in page.words


@pytest.mark.parametrize(
    "options",
    [
        {"sort_by": "pt", "max_length": 3, "too_long": "truncate"},
        {"factorised": True},
        {"sequence": ("cls", "objects", "eos"), "specials": ("pad", "cls", "eos")},
    ],
    ids=["sorted-truncated", "factorised", "specials"],
)
def test_surprises_belong_to_their_objects(options: dict[str, Any], scores: Any) -> None:
    """A detector that is as surprised as the id is high: decoding that id gives the object's own bin."""
    events = evtok.open_events(DATA / SIGNAL[0]).read(0)
    tokenizer = BinnedTokenizer(features(), types=TYPES, **options).fit(events)

    class Told:
        class inputs:
            pass

        def score(self, data: Any, **_: Any) -> Any:
            return np.zeros(len(data), np.float32)

        def token_surprise(self, tokens: Any) -> Any:
            return tokens.ids.astype(np.float32)

    Told.inputs.tokenizer = tokenizer  # type: ignore[attr-defined]
    (scored,) = gather([(None, Part("x", scores))], {}, Labels())
    width = len(tokenizer.digits) if options.get("factorised") else 1
    for one in look_up(scored, highest(scored, 3), Told(), None):
        assert one.fault == ""
        told = [member for member in one.members if member.surprise is not None]
        assert len(told) == min(len(one.members), options.get("max_length", 99))
        assert one.uncovered == len(one.members) - len(told)
        for member in told:
            alone = evtok.Events(
                [0, 1],
                {
                    **{name: np.array([getattr(member, name)]) for name in ("pt", "eta", "phi")},
                    "type": np.array([TYPES.index(member.kind)], np.uint8),
                },
                types=TYPES,
            )
            ids = tokenizer.encode(alone).ids
            objects = ids[1:-1] if "sequence" in options else ids
            assert len(objects) == width
            assert member.surprise == float(objects.sum())


def test_contents_of_anomalous_events_are_means_over_events(folder: Path, scores: Any) -> None:
    (scored,) = gather([(None, Part("x", scores))], {}, Labels())
    tokenizer = evtok.detectors.load_detector(folder / "model").inputs.tokenizer  # type: ignore[attr-defined]
    samples, faults = sample(scored, tokenizer, None, 300)
    assert faults == []
    assert [(one.population.title, len(one.tokens)) for one in samples] == [
        ("qcd", 300), ("znunu", 300), ("gluino_tttt", 300), ("gluino_qq", 300),
    ]  # fmt: skip
    qcd, znunu = (evtok.open_events(DATA / name).read(0, 0, 300) for name in BACKGROUND)
    score = np.concatenate([scored.score[one.rows] for one in samples[:2]])
    high = score > np.quantile(score, 0.95)
    counts = np.concatenate(
        [
            np.add.reduceat((e.columns["type"] == e.types.index("b")).astype(int), e.offsets[:-1])
            * (e.multiplicity > 0)
            for e in (qcd, znunu)
        ]
    )
    found = {name: (mean, other) for name, mean, other in contrasts(scored, samples)}
    assert found["count[b]"] == pytest.approx((counts[high].mean(), counts[~high].mean()))


def test_sculpting_is_of_background(page: Page) -> None:
    (row,) = page.table("Jensen-Shannon")
    assert row[1:3] == ["unigram", "2,000"]


# ---- what is signal ------------------------------------------------------------------------------------------


def test_without_labels_the_page_says_why_there_is_no_roc(tmp_path: Path) -> None:
    page = read(score_report(made(), tmp_path / "report.html", **QUICK))
    assert "nothing says which events are signal" in page.words
    assert not [name for name in page.tables if name.startswith("Each signal")]
    assert page.facts["processes"] == "2"


@pytest.mark.parametrize(
    "options", [{"signal": "sig*"}, {"background": ["back*"]}, {"signal": "sig*", "background": "back*"}]
)
def test_patterns_of_names_say_what_is_signal(tmp_path: Path, options: dict[str, Any]) -> None:
    page = read(score_report(made(), tmp_path / "report.html", **options, **QUICK))
    assert page.facts["of them signal"] == "60"
    assert len(page.table("Each signal")) == 1


def test_processes_name_files_and_say_what_is_signal(tmp_path: Path) -> None:
    told = {
        "background.parquet": Process("QCD", signal=False),
        "signal.parquet": Process("Stop", signal=True),
    }
    page = read(score_report(made(), tmp_path / "report.html", processes=told, **QUICK))
    assert page.table("Each signal")[0][0] == "Stop"
    assert "AUC for Stop" in page.facts


def test_one_file_may_hold_both(tmp_path: Path) -> None:
    one = made(inputs=("lhco.h5",), label=np.arange(60) % 2)
    page = read(score_report(one, tmp_path / "report.html", **QUICK))
    assert page.table("Each signal")[0][0] == "lhco, signal"


@pytest.mark.parametrize(
    ("options", "fields", "message"),
    [
        (
            {"signal": "stop*"},
            {},
            r"signal 'stop\*': matches none of the files that scores 1 scored: background",
        ),
        ({"signal": "*", "background": "back*"}, {}, r"background.parquet matches a pattern of each"),
        (
            {},
            {"label": np.full(120, 2)},
            r"field 'label': expected 0 \(background\) or 1 \(signal\), got 2 in row 0",
        ),
    ],
)
def test_labels_that_are_none_are_refused(
    tmp_path: Path, options: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidEventsError, match=message):
        score_report(made(**fields), tmp_path / "report.html", **options, **QUICK)
    assert not (tmp_path / "report.html").exists()


def test_no_signal_event_at_all(tmp_path: Path) -> None:
    page = read(score_report(made(label=np.zeros(120)), tmp_path / "report.html", **QUICK))
    assert "There are no ROC curves, because no event with a score is signal." in page.words


@pytest.mark.parametrize(
    ("weight", "why"),
    [
        (np.r_[np.nan, np.ones(119)], "some weights are not finite"),
        (np.r_[-np.ones(60), np.ones(60)], "the background events weigh -60 in total"),
        (np.ones(120), "all events of a class weigh the same"),
    ],
)
def test_weights_that_cannot_be_used_are_named(tmp_path: Path, weight: Any, why: str) -> None:
    one = made(label=np.repeat([0, 1], 60), weight=weight)
    page = read(score_report(one, tmp_path / "report.html", **QUICK))
    assert f"No weighted figures of unigram for signal: {why}" in page.words
    assert len(page.table("Each signal")) == 1


# ---- several detectors ---------------------------------------------------------------------------------------


def test_detectors_are_compared(tmp_path: Path) -> None:
    label = np.repeat([0, 1], 60)
    good, bad = made(label=label), replace(made(label=label), score=np.zeros(120, np.float32))
    page = read(score_report({"good": good, "bad <1>": bad}, tmp_path / "report.html", **QUICK))
    rows = page.table("Each signal")
    assert [row[1] for row in rows] == ["good", "bad <1>"]
    assert rows[1][3].startswith("0.500")
    assert "signal, best AUC: good" in page.facts
    assert "did not score the same events" not in page.words


def test_files_of_one_detector_belong_together(tmp_path: Path) -> None:
    first, second = made(inputs=("a.parquet",)), made(inputs=("b.parquet",))
    page = read(score_report([first, second], tmp_path / "report.html", signal="b*", **QUICK))
    assert page.facts["events scored"] == "120"
    assert len(page.table("Every event is accounted for")) == 2


def test_other_events_are_told(tmp_path: Path) -> None:
    fewer = replace(made(40), model={"kind": "hbos", "fingerprint": "cd" * 32})
    page = read(score_report([made(), fewer], tmp_path / "report.html", **QUICK))
    assert "The detectors did not score the same events" in page.words
    assert "HBOS" in page.words


def test_many_processes_are_drawn_together(tmp_path: Path) -> None:
    one = made(4, tuple(f"file{k}.parquet" for k in range(30)))
    page = read(score_report(one, tmp_path / "report.html", signal="file2*", **QUICK))
    assert [row[0] for row in page.table("The most anomalous event")] == ["background", "signal"]


# ---- bad input -----------------------------------------------------------------------------------------------


def test_events_without_a_score_are_counted_and_left_out(tmp_path: Path) -> None:
    one = made(label=np.repeat([0, 1], 60))
    one.score[[3, 70]] = np.nan, np.inf
    page = read(score_report(one, tmp_path / "report.html", **QUICK))
    assert "2 events of unigram have no score" in page.words
    assert page.facts["of them background"] == page.facts["of them signal"] == "59"
    one.score[:] = np.nan
    with pytest.raises(InvalidEventsError, match="none of the 120 scores is a finite number"):
        score_report(one, tmp_path / "report.html")


def test_events_that_occur_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidEventsError, match=r"120 events occur twice, the first is entry 0 of background\.parquet"
    ):
        score_report([made(), made()], tmp_path / "report.html")
    with pytest.raises(InvalidEventsError, match="expected scores of at least one event"):
        score_report(made(0), tmp_path / "report.html")
    with pytest.raises(InvalidEventsError, match="at least one file of scores"):
        score_report([], tmp_path / "report.html")
    with pytest.raises(TypeError, match="expected paths or Scores, got int"):
        score_report([1], tmp_path / "report.html")


def test_a_file_that_holds_no_scores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="expected a file of scores"):
        score_report(DATA / "qcd.parquet", tmp_path / "report.html")


def test_only_pages_are_replaced(tmp_path: Path) -> None:
    precious = tmp_path / "scores.parquet"
    precious.write_bytes(b"PAR1")
    with pytest.raises(EvtokError, match="is no HTML page, and will not be replaced"):
        score_report(made(), precious, **QUICK)
    assert precious.read_bytes() == b"PAR1"
    with pytest.raises(EvtokError, match="is a folder"):
        score_report(made(), tmp_path, **QUICK)
    score_report(made(), tmp_path / "a" / "report.html", title="first", **QUICK)
    assert (
        "second" in read(score_report(made(), tmp_path / "a" / "report.html", title="second", **QUICK)).words
    )
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["report.html"]


def test_inputs_and_a_model_that_are_gone_are_told(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "qcd.parquet"
    shutil.copy(DATA / "qcd.parquet", copied)
    shutil.copytree(folder / "model", tmp_path / "model")
    evtok.score_files(copied, tmp_path / "model", tmp_path / "scores.parquet")
    copied.unlink()
    page = read(score_report(tmp_path / "scores.parquet", tmp_path / "report.html", **QUICK))
    assert page.words.count("The event cannot be drawn: ") == 2
    assert "No event could be read" in page.words
    # Fewer events than were scored: another file has its name now.
    shutil.copy(DATA / "stop.dm.csv", copied)
    page = read(score_report(tmp_path / "scores.parquet", tmp_path / "report.html", n_events=1, max_events=5))
    assert "The event cannot be drawn: " in page.words or "is not what it was" in page.words
    shutil.rmtree(tmp_path / "model")
    shutil.rmtree(tmp_path / "scores.parquet.parts")
    page = read(score_report(tmp_path / "scores.parquet", tmp_path / "report.html", **QUICK))
    assert "The detector that scored cannot be read" in page.words


def test_an_event_that_is_another_now_is_told(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "events.parquet"
    shutil.copy(DATA / "qcd.parquet", moved)
    evtok.score_files(moved, folder / "model", tmp_path / "scores.parquet")
    shutil.copy(DATA / "znunu.parquet", moved)
    page = read(score_report(tmp_path / "scores.parquet", tmp_path / "report.html", **QUICK))
    assert page.words.count("the file or the detector is not what it was") == 2


def test_a_model_that_was_asked_for_must_be_the_right_one(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FingerprintError, match=r"is detector .*, and the scores are of abab"):
        score_report(made(), tmp_path / "report.html", model=folder / "model")
    with pytest.raises(EvtokError):
        score_report(made(), tmp_path / "report.html", model=tmp_path / "nothing")


def test_a_detector_of_features_has_events_without_tokens(tmp_path: Path) -> None:
    from evtok.detectors import HBOS

    events = evtok.open_events(DATA / "qcd.parquet").read(0)
    HBOS(["MET", "count"]).fit(events).save(tmp_path / "model")
    evtok.score_files(DATA / "qcd.parquet", tmp_path / "model", tmp_path / "scores.parquet")
    page = read(score_report(tmp_path / "scores.parquet", tmp_path / "report.html", **QUICK))
    assert "HBOS reads features of events, not tokens" in page.words
    assert len([name for name in page.tables if name.startswith("The objects of the event")]) == 1


@pytest.mark.parametrize(("name", "value"), [("n_events", -1), ("max_events", 0), ("resamples", 0)])
def test_numbers_out_of_range_are_refused(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected at least"):
        score_report(made(), tmp_path / "report.html", **{name: value})


def test_text_of_files_is_escaped(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)> $\\frac{1}$ & \"'"
    name = hostile.replace("/", "") + ".parquet"
    shutil.copy(DATA / "qcd.parquet", tmp_path / name)
    random = np.random.default_rng(2)
    one = made(
        60,
        (str(tmp_path / name), f"b {hostile}"),
        **{"label": np.repeat([0, 1], 60), hostile: random.random(120)},
    )
    model = {"kind": hostile, "fingerprint": hostile, "folder": hostile, hostile: {hostile: [hostile]}}
    path = score_report(
        replace(one, model=model), tmp_path / "report.html", title=hostile, introduction=hostile,
        processes={f"b {hostile}": Process(hostile)}, **QUICK,
    )  # fmt: skip
    page = read(path)
    assert all(set(image) == {"src", "alt"} and image["src"].startswith("data:") for image in page.images)
    assert page.words.count(hostile) > 10
    assert set(page.tags) <= {
        "html", "head", "meta", "title", "style", "body", "a", "header", "h1", "h2", "h3", "p", "dl", "div", "dt", "dd",
        "nav", "ol", "ul", "li", "main", "section", "span", "strong", "small", "table", "caption", "thead", "tbody",
        "tr", "th", "td", "i", "sub", "sup", "code", "figure", "img", "figcaption", "article", "details", "summary",
    }  # fmt: skip


# ---- the command, and a browser ------------------------------------------------------------------------------


def test_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("typer")
    from typer.testing import CliRunner

    from evtok.cli.app import app

    output = tmp_path / "page.html"
    command = [
        "report",
        str(folder / "scores.parquet"),
        "-o",
        str(output),
        "--title",
        "Told",
        "--events",
        "1",
    ]
    done = CliRunner().invoke(app, [*command, "--signal", "*qq*", "--background", "qcd*"])
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(output)
    page = read(output)
    assert "Told" in page.words
    assert page.facts["of them background"] == "1,000"
    assert len(page.table("Each signal")) == 1


@pytest.mark.parametrize("width", [1280, 480])
def test_a_browser_shows_the_page_without_sideways_scrolling(
    folder: Path, tmp_path: Path, width: int
) -> None:
    """In a window as wide as given, something is drawn, and nothing reaches the right border of the page."""
    browser = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium here")
    image = tmp_path / "page.png"
    subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={image}", f"--window-size={width},3000",
            (folder / "report.html").as_uri(),
        ],
        capture_output=True, timeout=240, check=True,
    )  # fmt: skip
    from matplotlib.image import imread

    shown = imread(image)[..., :3]
    assert shown.shape[:2] == (3000, width)
    assert (shown < 0.99).any(axis=2).mean() > 0.02  # text and curves
    assert (shown[:, -12:] > 0.99).all()
    colours = {tuple(np.round(255 * pixel).astype(int)) for pixel in shown.reshape(-1, 3)[::7]}
    assert (189, 31, 1) in colours  # the curve of the first signal: images are shown, not their descriptions
