"""What holds for every kind of detector: scores, files, processes, bad data, hostile folders, detectors of others."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import detector_cases
from detector_cases import N_EVENTS, NOT_LEARNED, OF_EVENTS, OF_TOKENS, SETTINGS, case, fitted
from evtok import Events, Tokens
from evtok.detectors import Detector, FeatureInputs, detector_class, kinds, load_detector, registry
from evtok.errors import ArtefactError, FingerprintError, InvalidEventsError, MissingBackendError
from evtok.tokenizers import artefact

every_case = pytest.mark.parametrize("name", sorted(SETTINGS))
ROOT = Path(__file__).parents[2]


def test_no_kind_is_left_out() -> None:
    assert {name.split()[0] for name in SETTINGS} == set(registry.BUILT_IN)
    assert all(kind == detector_class(kind).KIND for kind in registry.BUILT_IN)


# ---- scores ---------------------------------------------------------------------------------------------------


@every_case
def test_scores_are_one_float32_an_event(name: str) -> None:
    found = fitted(name).score(case(name).test)
    assert (found.dtype, found.shape) == (np.float32, (100,))
    assert np.isfinite(found).all()
    assert fitted(name).score(case(name).test[:0]).shape == (0,)


@pytest.mark.parametrize("name", sorted(set(SETTINGS) - set(NOT_LEARNED)))
def test_higher_is_more_anomalous(name: str) -> None:
    """Others learn nothing in one epoch of a tiny network; their own tests train them longer."""
    background = fitted(name).score(case(name).test)
    assert fitted(name).score(case(name).outlier)[0] > np.quantile(background, 0.95)


@every_case
def test_p12_a_score_depends_on_its_event_alone(name: str) -> None:
    detector, test = fitted(name), case(name).test
    whole = detector.score(test)
    parts = {
        "one by one": np.concatenate([detector.score(test[k : k + 1]) for k in range(len(test))]),
        "in sevens": np.concatenate([detector.score(test[k : k + 7]) for k in range(0, len(test), 7)]),
        "one thread": detector.score(test, threads=1),
        "three threads": detector.score(test, threads=3),
        "an iterable of chunks": detector.score([test[:40], test[40:]]),
    }
    for how, found in parts.items():
        np.testing.assert_array_equal(found, whole, err_msg=how)


@every_case
def test_seeds_and_data_decide_the_bits(name: str) -> None:
    again = case(name).fitted()
    assert again.fingerprint == fitted(name).fingerprint
    np.testing.assert_array_equal(again.score(case(name).test), fitted(name).score(case(name).test))


@every_case
def test_fitting_twice_forgets_the_first(name: str) -> None:
    detector = case(name).make().fit(case(name).test)
    detector.score(case(name).test)
    assert detector.fit(case(name).train) is detector
    np.testing.assert_array_equal(detector.score(case(name).test), fitted(name).score(case(name).test))


@every_case
def test_what_is_not_fitted_is_refused(name: str, tmp_path: Path) -> None:
    detector = case(name).make()
    assert not detector.is_fitted
    assert "not fitted" in repr(detector)
    for call in (
        lambda: detector.score(case(name).test),
        lambda: detector.save(tmp_path / "model"),
        lambda: pickle.dumps(detector),
        lambda: detector.fingerprint,
    ):
        with pytest.raises(ValueError, match="fit"):
            call()
    assert list(tmp_path.iterdir()) == []


@every_case
def test_backends_that_a_kind_lacks_are_named(name: str) -> None:
    detector = fitted(name)
    lacks = {"native", "torch"} - set(detector.BACKENDS)
    for backend in lacks:
        with pytest.raises(MissingBackendError, match=f"a {case(name).kind} detector scores with"):
            detector.score(case(name).test, backend=backend)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="backend: expected"):
        detector.score(case(name).test, backend="cuda")  # type: ignore[arg-type]


# ---- weights --------------------------------------------------------------------------------------------------


@every_case
def test_classes_are_weights_that_balance(name: str) -> None:
    """128 events of one process and 256 of another: each event of the first counts twice."""
    names = np.repeat(["ttbar", "qcd"], [128, 256])
    balanced = case(name).fitted(classes=names)
    by_hand = case(name).fitted(weights=np.repeat([2.0, 1.0], [128, 256]))
    assert balanced.fingerprint == by_hand.fingerprint != fitted(name).fingerprint
    assert case(name).fitted(weights=np.full(N_EVENTS, 4.0)).fingerprint == fitted(name).fingerprint


@pytest.mark.parametrize("name", ["hbos", "unigram"])
def test_only_ratios_of_weights_matter(name: str) -> None:
    """Not even their sum need be a number."""
    weights = np.repeat([1.0, 2.0], N_EVENTS // 2)
    expected = case(name).fitted(weights=weights).fingerprint
    for scale in (2.0**1022, 2.0**-1074):
        assert case(name).fitted(weights=weights * scale).fingerprint == expected


def test_classes_are_balanced_among_events_that_can_be_used() -> None:
    x = detector_cases.rows()
    x[:64, 0] = np.nan  # half of the first process
    names = np.repeat(["ttbar", "qcd"], [128, 256])
    made = case("hbos").make
    skipped = made().fit(x, classes=names, on_invalid="skip")
    assert skipped.fingerprint == made().fit(x[64:], classes=names[64:]).fingerprint
    x[:128, 0] = np.nan
    with pytest.raises(ValueError, match="'ttbar' that can be used weigh nothing"):
        made().fit(x, classes=names, on_invalid="skip")


def test_policies_are_words_that_are_known() -> None:
    """A misspelt "raise" would leave out events."""
    with pytest.raises(ValueError, match="on_invalid: expected"):
        case("hbos").make().fit(case("hbos").train, on_invalid="sentinel")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="on_invalid: expected"):
        fitted("hbos").score(case("hbos").test, on_invalid="skip")  # type: ignore[arg-type]


def test_one_name_is_no_sequence_of_names() -> None:
    with pytest.raises(TypeError, match="names: expected a sequence"):
        FeatureInputs("MET")


@every_case
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"weights": np.r_[np.nan, np.ones(N_EVENTS - 1)]},
            "weights: expected finite numbers.*got nan for event 0",
        ),
        ({"weights": np.r_[np.ones(N_EVENTS - 1), -1.0]}, "not negative, got -1.0 for event 383"),
        ({"weights": np.full(N_EVENTS, np.inf)}, "weights: expected finite"),
        ({"weights": np.zeros(N_EVENTS)}, "weigh nothing"),
        ({"weights": np.ones(3)}, "weights: expected shape"),
        ({"classes": ["ttbar"]}, "classes: expected shape"),
        (
            {"classes": np.arange(N_EVENTS) < 9, "weights": (np.arange(N_EVENTS) >= 9).astype(float)},
            "classes: the events of .*True.* weigh nothing",
        ),
    ],
)
def test_weights_that_cannot_be_drawn_are_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        case(name).fitted(**arguments)


@every_case
def test_no_event_is_too_few(name: str) -> None:
    with pytest.raises(ValueError, match="train: expected events to learn from"):
        case(name).make().fit(case(name).train[:0])


# ---- events that have no score --------------------------------------------------------------------------------


def with_bad_events(name: str) -> tuple[Any, npt.NDArray[np.bool_]]:
    """The test events with some that have no score, and which these are."""
    test = case(name).test
    bad = np.zeros(100, np.bool_)
    bad[[3, 50, 99]] = True
    if name in OF_EVENTS:
        columns = {column: values.copy() for column, values in test.columns.items()}
        columns["pt"][test.offsets[3]], columns["eta"][test.offsets[50]] = np.nan, np.inf
        columns["pt"][test.offsets[100] - 1] = -1
        return Events(test.offsets, columns, types=test.types), bad
    if name not in OF_TOKENS:
        x = test.copy()
        x[3, 0], x[50, 1], x[99] = np.nan, np.inf, -np.inf
        return x, bad
    ids = test.ids.astype(np.int32)
    ids[test.offsets[3]] = -1
    ids[test.offsets[50]] = test.vocab_size
    lengths = test.lengths.copy()
    kept = np.arange(len(ids)) < test.offsets[99]
    lengths[99] = 0
    return (
        Tokens(
            ids[kept],
            np.r_[0, np.cumsum(lengths)],
            fingerprint=test.fingerprint,
            vocab_size=test.vocab_size + 1,
        ),
        bad,
    )


@every_case
def test_events_without_a_score_raise_or_are_nan(name: str) -> None:
    data, bad = with_bad_events(name)
    with pytest.raises(InvalidEventsError, match="event 3 "):
        fitted(name).score(data)
    found = fitted(name).score(data, on_invalid="sentinel")
    np.testing.assert_array_equal(np.isnan(found), bad)
    expected = fitted(name).score(case(name).test)[~bad]
    np.testing.assert_array_equal(found[~bad], expected)


@every_case
def test_events_without_a_score_teach_nothing(name: str) -> None:
    data, bad = with_bad_events(name)
    with pytest.raises(InvalidEventsError, match="event 3 "):
        case(name).make().fit(data)
    skipped = case(name).make().fit(data, on_invalid="skip", weights=np.where(bad, 1e9, 1.0))
    if name not in OF_TOKENS:  # tokens keep the size of the vocabulary that they were read with
        assert skipped.fingerprint == case(name).make().fit(case(name).test[~bad]).fingerprint
    assert np.isfinite(skipped.score(case(name).test)).all()


@every_case
def test_other_data_is_refused(name: str) -> None:
    detector = fitted(name)
    with pytest.raises(TypeError, match="data: expected"):
        detector.score("events.parquet")
    with pytest.raises(TypeError, match="data: expected"):
        detector.score(3)
    if name in OF_EVENTS:
        for other in (np.zeros((5, 2)), detector_cases.tokens(5)):
            with pytest.raises(TypeError, match="data: expected"):
                detector.score(other)
        return
    if name not in OF_TOKENS:
        with pytest.raises(ValueError, match=r"data: expected shape \(n, 3\), got \(5, 2\)"):
            detector.score(np.zeros((5, 2)))
        with pytest.raises(TypeError, match="data: expected"):
            detector.score(detector_cases.tokens(5))
        return
    other = detector_cases.tokenizer(9).encode(detector_cases.events(5))
    with pytest.raises(FingerprintError):
        detector.score(other)
    with pytest.raises(FingerprintError, match="do not say which tokenizer"):
        detector.score(Tokens(np.zeros(3, np.int32), [0, 3], vocab_size=10))
    with pytest.raises(FingerprintError):
        detector.fit(other)
    with pytest.raises(TypeError, match="data: expected"):
        detector.score(np.zeros((5, 3)))


@pytest.mark.parametrize("name", OF_TOKENS)
def test_events_are_scored_as_their_tokens(name: str) -> None:
    events = detector_cases.events(100, 1)
    np.testing.assert_array_equal(fitted(name).score(events), fitted(name).score(case(name).test))
    assert fitted(name).inputs.required_columns == detector_cases.tokenizer().required_columns


@pytest.mark.parametrize("name", sorted({*SETTINGS} - {*OF_TOKENS, *OF_EVENTS}))
def test_events_are_scored_as_their_quantities(name: str) -> None:
    case(name)  # skips where a package is missing
    names = ["count", "sum_pt[j,b]", "pt_1"]
    events = detector_cases.events()
    detector = detector_class(name)(names, **SETTINGS[name]).fit(events)  # type: ignore[call-arg]
    assert isinstance(detector.inputs, FeatureInputs)
    assert set(detector.inputs.required_columns) == {"pt", "type"}
    found = detector.score(events)
    assert found.shape == (N_EVENTS,)
    rows = np.zeros((N_EVENTS, 3), np.float32)
    for event in range(N_EVENTS):
        pt = events.columns["pt"][events.offsets[event] : events.offsets[event + 1]]
        rows[event] = len(pt), np.cumsum(pt.astype(np.float64))[-1], pt.max()
    np.testing.assert_array_equal(detector.score(rows), found)


# ---- files and processes --------------------------------------------------------------------------------------


@every_case
def test_save_load_and_pickle_keep_every_bit(name: str, tmp_path: Path) -> None:
    detector = fitted(name)
    detector.save(tmp_path / "model")
    detector.save(tmp_path / "model")  # replacing its own kind is fine
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json",
        "tensors.safetensors",
    ]
    expected = detector.score(case(name).test)
    for loaded in (
        load_detector(tmp_path / "model"),
        type(detector).load(tmp_path / "model"),
        pickle.loads(pickle.dumps(detector)),
    ):
        assert type(loaded) is type(detector)
        assert repr(loaded) == repr(detector)
        assert loaded.fingerprint == detector.fingerprint
        np.testing.assert_array_equal(loaded.score(case(name).test), expected)


def test_p43_a_fresh_process_scores_the_same(tmp_path: Path) -> None:
    """As a worker of a cluster does: it unpickles the detectors, and knows nothing else."""
    there = [name for name in SETTINGS if _can_be_made(name)]
    jobs = {name: (fitted(name), case(name).test) for name in there}
    (tmp_path / "jobs.pickle").write_bytes(pickle.dumps(jobs))
    program = (
        "import pickle, sys, numpy as np\n"
        "jobs = pickle.load(open(sys.argv[1], 'rb'))\n"
        "np.savez(sys.argv[2], **{kind: detector.score(data) for kind, (detector, data) in jobs.items()})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "jobs.pickle"), str(tmp_path / "scores.npz")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "scores.npz") as scores:
        for name in there:
            np.testing.assert_array_equal(scores[name], fitted(name).score(case(name).test), err_msg=name)


def _can_be_made(name: str) -> bool:
    try:
        case(name)
    except pytest.skip.Exception:
        return False
    return True


@every_case
def test_p43_loading_executes_nothing(name: str, tmp_path: Path) -> None:
    """An audit hook sees every compile, exec, subprocess, socket and opened file while a folder is loaded."""
    fitted(name).save(tmp_path / "model")
    program = f"""
import sys
from evtok.detectors import load_detector
assert load_detector(sys.argv[1]).KIND == {case(name).kind!r}    # whatever is imported, is imported now
seen = []
def audit(event, arguments):
    seen.append((event, str(arguments[0]) if arguments else ""))
sys.addaudithook(audit)
load_detector(sys.argv[1])
found = list(seen)
forbidden = (
    "compile", "exec", "import", "code.__new__", "marshal.loads", "pickle.find_class", "ctypes.dlopen",
    "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "socket.connect", "socket.__new__",
)
bad = [one for one in found if one[0] in forbidden]
assert not bad, bad
opened = [name for event, name in found if event == "open" and not name.startswith(sys.argv[1])]
opened = [name for name in opened if not name.endswith(("entry_points.txt", ".zip"))]  # which kinds packages bring
assert not opened, opened
assert any(event == "open" for event, _ in found)     # the hook does see
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "model")], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


# ---- hostile folders ------------------------------------------------------------------------------------------


def content(name: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    config, tensors = fitted(name).to_artefact()
    return pickle.loads(pickle.dumps(config)), {name: np.array(value) for name, value in tensors.items()}


def loaded_from(config: dict[str, Any], tensors: dict[str, npt.NDArray[Any]]) -> Detector:
    """Load a folder of this content, with the right fingerprint, as anybody can compute it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artefact, "load", lambda folder: (config, tensors))
        return load_detector("folder")


def assert_refused(config: dict[str, Any], tensors: dict[str, npt.NDArray[Any]], what: str) -> None:
    try:
        made = loaded_from(config, tensors)
    except ArtefactError:
        return
    pytest.fail(f"{what}: made {made!r}")


@every_case
def test_p37_other_tensors_are_refused(name: str) -> None:
    config, tensors = content(name)
    assert loaded_from(config, tensors).fingerprint == fitted(name).fingerprint
    assert_refused(config, {**tensors, "extra": np.zeros(3, np.float32)}, "extra")
    for name, value in tensors.items():
        assert_refused(config, {k: v for k, v in tensors.items() if k != name}, f"{name}, missing")
        for how, changed in altered(value).items():
            if name in ANY_LENGTH and how in ("truncated", "longer"):
                continue
            assert_refused(config, {**tensors, name: changed}, f"{name}, {how}")


#: Tensors of which a fit can make more or less: rows of a reference, lengths of events.
ANY_LENGTH = ("reference", "length_surprise")


def altered(value: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Arrays of other shapes, dtypes and numbers, none of which a fit makes."""
    found = {
        "truncated": value[:-1] if value.ndim else value[None],
        "longer": np.concatenate([value, value[-1:]]) if value.ndim else value[None],
        "of one more dimension": value[None],
        "of another dtype": value.astype(np.float16 if value.dtype.kind == "f" else np.float64),
        "empty": np.zeros((0, *value.shape[1:]), value.dtype),
    }
    if value.dtype.kind == "f" and value.size:
        infinite = value.copy()
        infinite.flat[value.size // 2] = np.inf
        found["infinite"] = infinite
    return {how: array for how, array in found.items() if not _same(array, value)}


def _same(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one, other)


@every_case
def test_p37_other_keys_are_refused(name: str) -> None:
    config, tensors = content(name)
    for path in key_paths(config):
        without, more = content(name)[0], content(name)[0]
        del place_of(without, path)[path[-1]]
        assert_refused(without, tensors, f"{path}, missing")
        place_of(more, path)["_target_"] = "os.system"
        assert_refused(more, tensors, f"{path}, extra")


@every_case
def test_p37_other_values_are_refused_or_mean_what_they_say(name: str) -> None:
    """A setting of another type or size never gives another error, nor a detector that is not what the folder says."""
    config, tensors = content(name)
    for path in key_paths(config):
        for value in (None, "x", "", -1, 0, 2**70, 1e300, 0.5, True, [], ["x"], {}, {"x": 1}):
            changed = content(name)[0]
            place_of(changed, path)[path[-1]] = value
            try:
                made = loaded_from(changed, tensors)
            except ArtefactError:
                continue
            assert made.fingerprint == artefact.fingerprint(changed, tensors), (path, value)


def place_of(config: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    for step in path[:-1]:
        config = config[step]
    return config


def key_paths(config: dict[str, Any], above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key of the config but those of the tokenizer, which has tests of its own."""
    found = []
    for key, value in config.items():
        if key == "tokenizer":
            continue
        found.append((*above, key))
        if isinstance(value, dict):
            found += key_paths(value, (*above, key))
    return found


@every_case
def test_p37_damaged_folders_are_refused(name: str, tmp_path: Path) -> None:
    fitted(name).save(tmp_path / "model")
    random = np.random.default_rng(0)
    for file in ("config.json", "tensors.safetensors"):
        path = tmp_path / "model" / file
        good = path.read_bytes()
        for _ in range(40):
            bit = int(random.integers(len(good) * 8))
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << (bit % 8)
            path.write_bytes(bad)
            try:
                same = load_detector(tmp_path / "model")
            except ArtefactError:
                continue
            assert same.fingerprint == fitted(name).fingerprint  # such as a changed version of evtok
        for size in (0, 1, len(good) // 2, len(good) - 2):
            path.write_bytes(good[:size])
            with pytest.raises(ArtefactError):
                load_detector(tmp_path / "model")
        path.unlink()
        with pytest.raises(ArtefactError, match="missing"):
            load_detector(tmp_path / "model")
        path.write_bytes(good)


@every_case
def test_a_detector_of_another_kind_is_refused(name: str, tmp_path: Path) -> None:
    fitted(name).save(tmp_path / "model")
    kind = case(name).kind
    for other in registry.BUILT_IN:
        if other != kind:
            with pytest.raises(ArtefactError, match=f"expected an artefact of kind '{other}', got '{kind}'"):
                detector_class(other).load(tmp_path / "model")
    config, tensors = content(name)
    for unknown in ("os.system", "hboss", None, 3, ["hbos"], "../hbos"):
        artefact.save(tmp_path / "other", {**config, "kind": unknown}, tensors)
        with pytest.raises(ArtefactError, match="expected a detector"):
            load_detector(tmp_path / "other")


def test_a_tokenizer_is_no_detector(tmp_path: Path) -> None:
    detector_cases.tokenizer().save(tmp_path / "tok")
    with pytest.raises(ArtefactError, match="expected a detector"):
        load_detector(tmp_path / "tok")


# ---- detectors of other packages ------------------------------------------------------------------------------

OTHERS = """
from __future__ import annotations
import numpy as np
from evtok.detectors.feature_detector import FeatureDetector, checked_tensor

class FarFromMean(FeatureDetector):
    KIND = "far-from-mean"
    SETTINGS = ("power",)

    def __init__(self, inputs, *, power=1):
        super().__init__(inputs)
        self.power = int(power)

    def _fit(self, train, validation, *, weights, checkpoints, progress):
        self._tensors = {"mean": np.average(train, axis=0, weights=weights)}

    def _score(self, data, backend, threads):
        return (np.abs(data - self._tensors["mean"]) ** self.power).sum(axis=1).astype(np.float32)

    def _checked(self, tensors):
        return {"mean": checked_tensor(tensors, "mean", np.float64, (len(self.inputs.names),))}

class NoDetector:
    KIND = "no-detector"
"""


def test_another_package_brings_a_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "somebodys_package.py").write_text(OTHERS)
    monkeypatch.syspath_prepend(tmp_path)
    points = [
        EntryPoint("far-from-mean", "somebodys_package:FarFromMean", registry.ENTRY_POINTS),
        EntryPoint("no-detector", "somebodys_package:NoDetector", registry.ENTRY_POINTS),
        EntryPoint("other-name", "somebodys_package:FarFromMean", registry.ENTRY_POINTS),
        EntryPoint("hbos", "somebodys_package:FarFromMean", registry.ENTRY_POINTS),
    ]
    monkeypatch.setattr(
        registry, "entry_points", lambda group: points if group == registry.ENTRY_POINTS else []
    )
    assert set(kinds()) == {*registry.BUILT_IN, "far-from-mean", "no-detector", "other-name"}
    of = detector_class("far-from-mean")
    detector = of(["a", "b"]).fit(np.zeros((4, 2)), weights=[1, 0, 1, 1])  # type: ignore[call-arg]
    np.testing.assert_array_equal(detector.score(np.float32([[1, -2]])), [3])
    detector.save(tmp_path / "model")
    loaded = load_detector(tmp_path / "model")
    assert isinstance(loaded, of)
    assert isinstance(loaded, Detector)
    assert detector_class("hbos").__name__ == "HBOS"  # nobody takes the place of a kind that evtok has
    for wrong in ("no-detector", "other-name"):
        with pytest.raises(TypeError, match="expected a Detector of KIND"):
            detector_class(wrong)
    with pytest.raises(ValueError, match="kind: expected a detector"):
        detector_class("unheard-of")
    monkeypatch.undo()
    with pytest.raises(ArtefactError, match="expected a detector"):  # the package is gone
        load_detector(tmp_path / "model")
