"""Training: the same bits after an interruption, checkpoints that are safe, and a process left as it was."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from evtok.detectors.sampling import training_batches, validation_batches  # noqa: E402
from evtok.detectors.training import Epoch, History, TrainingSettings, learning_rate, train  # noqa: E402
from evtok.errors import ArtefactError, JobError  # noqa: E402

X = torch.from_numpy(np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32))
N_TRAIN, N_VALIDATION = 300, 200
SETTINGS = TrainingSettings(epochs=4, batch=32, patience=None, device="cpu", weight_decay=0.01, warm_up=5)


def network() -> Any:
    torch.manual_seed(1)
    nn = torch.nn
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 1))


def loss(module: Any, indices: Any, which: str, generator: Any) -> Any:
    x = X[indices + (0 if which == "train" else N_TRAIN)]
    noise = torch.rand(x.shape, generator=generator)
    return ((module(x + 0.1 * noise) - x[:, :1]) ** 2).mean()


def run(
    module: Any, settings: TrainingSettings = SETTINGS, batch_loss: Any = loss, **options: Any
) -> History:
    return train(module, batch_loss, N_TRAIN, N_VALIDATION, settings, **options)


def same(one: Any, other: Any) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


class Stopped(Exception):
    pass


def stop_after(epoch: int, error: type[BaseException] = Stopped) -> Callable[[dict[str, Any]], None]:
    def progress(event: dict[str, Any]) -> None:
        if event["event"] == "epoch" and event["epoch"] == epoch:
            raise error

    return progress


def interrupted(folder: Path, epoch: int = 2) -> None:
    with pytest.raises(Stopped):
        run(network(), checkpoints=folder, progress=stop_after(epoch))


def test_it_learns_and_tells() -> None:
    told: list[dict[str, Any]] = []
    history = run(
        network(),
        TrainingSettings(epochs=8, batch=16, learning_rate=1e-2, device="cpu"),
        progress=told.append,
    )
    epochs = [event for event in told if event["event"] == "epoch"]
    assert [event["epoch"] for event in epochs] == list(range(1, len(history.epochs) + 1))
    assert epochs[-1]["train_loss"] < 0.5 * epochs[0]["train_loss"]
    assert epochs[-1]["validation_loss"] == history.epochs[-1].validation_loss
    assert all(event["events_per_second"] > 0 for event in epochs)
    json.dumps(told)


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_resumed_training_has_the_bits_of_one_that_was_not_interrupted(tmp_path: Path, epoch: int) -> None:
    whole, resumed = network(), network()
    expected = run(whole)
    interrupted(tmp_path, epoch)
    told: list[dict[str, Any]] = []
    history = run(resumed, checkpoints=tmp_path, progress=told.append)
    assert told[0] == {"event": "resume", "epoch": epoch}
    assert same(whole, resumed)
    losses = [[(e.train_loss, e.validation_loss) for e in h.epochs] for h in (expected, history)]
    assert losses[0] == losses[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".evtok-lock",
        "epoch-000004.safetensors",
        "training.json",
    ]


def test_a_training_that_is_over_is_not_repeated(tmp_path: Path) -> None:
    first, again = network(), network()
    history = run(first, checkpoints=tmp_path)

    def never(*_: Any) -> Any:
        raise AssertionError("trained again")

    assert run(again, batch_loss=never, checkpoints=tmp_path) == history
    assert same(first, again)


def test_the_same_seed_gives_the_same_bits_whatever_the_global_generator() -> None:
    one, other = network(), network()
    run(one)
    torch.manual_seed(12345)
    run(other)
    assert same(one, other)
    different = network()
    run(different, TrainingSettings(**{**vars(SETTINGS), "seed": 1}))
    assert not same(one, different)


def test_the_best_weights_come_back_and_patience_ends() -> None:
    module = network()
    states: list[dict[str, Any]] = []
    plan = [3.0, 1.0, 2.0, 2.0, 0.5]

    def scripted(given: Any, indices: Any, which: str, generator: Any) -> Any:
        if which == "train":
            return loss(given, indices, which, generator)
        return torch.tensor(plan[len(states)])

    def progress(event: dict[str, Any]) -> None:
        if event["event"] == "epoch":
            states.append({name: value.clone() for name, value in module.state_dict().items()})

    history = run(
        module, TrainingSettings(epochs=5, batch=64, patience=2, device="cpu"), scripted, progress=progress
    )
    assert [epoch.validation_loss for epoch in history.epochs] == plan[:4]
    assert history.best == 2
    assert all(torch.equal(value, states[1][name]) for name, value in module.state_dict().items())
    assert not module.training


def test_without_validation_the_last_epoch_counts() -> None:
    history = train(network(), loss, N_TRAIN, 0, SETTINGS)
    assert history.best == 4
    assert {epoch.validation_loss for epoch in history.epochs} == {None}


# ---- batches and learning rates --------------------------------------------------------------------------------------


def test_batches_are_a_function_of_seed_and_epoch() -> None:
    one, same_one = training_batches(10, 4, 3, 1, None), training_batches(10, 4, 3, 1, np.ones(10))
    assert np.array_equal(one.order, same_one.order)
    assert np.array_equal(one.seeds, same_one.seeds)
    assert sorted(one.order) == list(range(10))
    assert [len(one[at]) for at in range(len(one))] == [4, 4, 2]
    for other in (training_batches(10, 4, 3, 2, None), training_batches(10, 4, 4, 1, None)):
        assert not np.array_equal(one.seeds, other.seeds)
    assert np.array_equal(validation_batches(5, 2, 0).order, np.arange(5))
    assert len(validation_batches(0, 2, 0)) == 0


def test_events_are_drawn_in_proportion_to_their_weights() -> None:
    weights = np.array([0.0, 1.0, 3.0, 0.0])
    drawn = np.bincount(training_batches(4, 2, 0, 0, weights).order, minlength=4)
    assert drawn[0] == drawn[3] == 0
    many = np.repeat(weights, 5000)
    shares = np.bincount(training_batches(20_000, 100, 0, 0, many).order // 5000, minlength=4) / 20_000
    assert np.allclose(shares, [0, 0.25, 0.75, 0], atol=0.02)


def test_learning_rates() -> None:
    settings = TrainingSettings(learning_rate=0.1, warm_up=4, decay="cosine")
    rates = [learning_rate(settings, step, 104) for step in range(104)]
    assert rates[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert max(rates) == rates[4] == 0.1
    assert rates[54] == pytest.approx(0.05)
    assert rates[-1] < 1e-4
    assert {learning_rate(TrainingSettings(), step, 10) for step in range(10)} == {1e-3}


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"epochs": 0}, ValueError),
        ({"batch": 2.5}, TypeError),
        ({"learning_rate": float("nan")}, ValueError),
        ({"weight_decay": -1.0}, ValueError),
        ({"patience": 0}, ValueError),
        ({"decay": "linear"}, ValueError),
        ({"device": "tpu"}, ValueError),
        ({"seed": True}, TypeError),
        ({"seed": 1 << 63}, ValueError),
        ({"learning_rate": 10**400}, ValueError),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(settings))):
        TrainingSettings(**settings)


# ---- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"identity": "other data"}, {"settings": TrainingSettings(epochs=9, device="cpu")}]
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    interrupted(tmp_path)
    before = (tmp_path / "training.json").read_bytes()
    with pytest.raises(JobError, match="other data or settings"):
        run(network(), checkpoints=tmp_path, **options)
    assert (tmp_path / "training.json").read_bytes() == before


def edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        document = json.loads((folder / "training.json").read_text())
        change(document)
        (folder / "training.json").write_text(json.dumps(document))

    return apply


def hostile_tensors(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Tensors with a hash that is right."""

    def apply(folder: Path) -> None:
        import hashlib

        from safetensors.torch import load_file, save_file

        path = folder / "epoch-000002.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)
        data = path.read_bytes()
        edit(lambda d: d.update(size=len(data), sha256=hashlib.sha256(data).hexdigest()))(folder)

    return apply


def flip(folder: Path) -> None:
    path = folder / "epoch-000002.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def link(folder: Path) -> None:
    (folder / "training.json").rename(folder / "elsewhere.json")
    (folder / "training.json").symlink_to("elsewhere.json")


HOSTILE: dict[str, Callable[[Path], Any]] = {
    "a flipped bit": flip,
    "no tensors": lambda folder: (folder / "epoch-000002.safetensors").unlink(),
    "truncated tensors": lambda folder: os.truncate(folder / "epoch-000002.safetensors", 100),
    "truncated JSON": lambda folder: os.truncate(folder / "training.json", 50),
    "deep JSON": lambda folder: (folder / "training.json").write_text("[" * 100_000),
    "no object": lambda folder: (folder / "training.json").write_text("[]"),
    "a link": link,
    "an unknown key": edit(lambda d: d.update(callbacks={})),
    "a path": edit(lambda d: d.update(tensors="../epoch-000002.safetensors")),
    "a negative size": edit(lambda d: d.update(size=-1)),
    "a size that is text": edit(lambda d: d.update(size="9")),
    "another version": edit(lambda d: d.update(format_version=2)),
    "no epoch": edit(lambda d: d.update(epochs=[])),
    "epochs out of order": edit(lambda d: d["epochs"].reverse()),
    "a loss that is text": edit(lambda d: d["epochs"][0].update(train_loss="0")),
    "a NaN loss": edit(lambda d: d["epochs"][0].update(train_loss=float("nan"))),
    "NaN weights": hostile_tensors(lambda t: t["weights.0.weight"].fill_(float("nan"))),
    "infinite moments": hostile_tensors(lambda t: t["optimizer.0.exp_avg"].fill_(float("inf"))),
    "another shape": hostile_tensors(lambda t: t.update({"best.0.weight": torch.zeros(9)})),
    "another dtype": hostile_tensors(lambda t: t.update({"best.0.weight": torch.zeros(8, 4).double()})),
    "an unknown tensor": hostile_tensors(lambda t: t.update({"weights.9": torch.zeros(1)})),
    "a moment too few": hostile_tensors(lambda t: t.pop("optimizer.0.exp_avg_sq")),
    "a tensor too few": hostile_tensors(lambda t: t.pop("weights.0.weight")),
}


@pytest.mark.parametrize("harm", HOSTILE)
def test_a_corrupt_or_hostile_checkpoint_is_an_artefact_error(tmp_path: Path, harm: str) -> None:
    interrupted(tmp_path)
    HOSTILE[harm](tmp_path)
    with pytest.raises(ArtefactError, match=r"training\.json|epoch-000002\.safetensors"):
        run(network(), checkpoints=tmp_path)


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, resumed = network(), network()
    run(whole)
    real, written = os.write, [0]

    def full(fd: int, data: Any) -> int:
        if str(os.readlink(f"/proc/self/fd/{fd}")).startswith(str(tmp_path)):
            written[0] += 1
            if written[0] > 5:  # two files for each epoch
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(JobError, match=r"training\.json.*ENOSPC"):
            run(network(), checkpoints=tmp_path)
    assert len(json.loads((tmp_path / "training.json").read_text())["epochs"]) == 2
    run(resumed, checkpoints=tmp_path)
    assert same(whole, resumed)
    assert not list(tmp_path.glob("*.tmp"))
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    def progress(_: dict[str, Any]) -> None:
        run(network(), checkpoints=tmp_path)

    with pytest.raises(JobError, match="another job"):
        run(network(), checkpoints=tmp_path, progress=progress)


def test_nothing_goes_through_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("pickle")

    for module, name in (
        (torch, "save"),
        (torch, "load"),
        (pickle, "load"),
        (pickle, "loads"),
        (pickle, "dump"),
    ):
        monkeypatch.setattr(module, name, never)
    interrupted(tmp_path)
    run(network(), checkpoints=tmp_path)


# ---- the process -----------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_names_the_epoch(tmp_path: Path) -> None:
    def exploding(module: Any, indices: Any, which: str, generator: Any) -> Any:
        value = loss(module, indices, which, generator)
        return value * (float("nan") if (tmp_path / "training.json").exists() else 1.0)

    with pytest.raises(JobError, match="training loss became nan in epoch 2"):
        run(network(), batch_loss=exploding, checkpoints=tmp_path)
    assert len(json.loads((tmp_path / "training.json").read_text())["epochs"]) == 1


def test_control_c_is_raised_and_leaves_the_last_checkpoint(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # A shell that runs the tests in its background has it ignored.
    request.addfinalizer(partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    handler = signal.default_int_handler
    signal.signal(signal.SIGINT, handler)

    def progress(event: dict[str, Any]) -> None:
        if event["event"] == "epoch" and event["epoch"] == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(network(), checkpoints=tmp_path, progress=progress)
    assert signal.getsignal(signal.SIGINT) is handler
    assert len(json.loads((tmp_path / "training.json").read_text())["epochs"]) == 2


def test_sigterm_ends_with_its_exit_code(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGTERM)

    def progress(event: dict[str, Any]) -> None:
        if event["event"] == "epoch" and event["epoch"] == 2:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as caught:
        run(network(), checkpoints=tmp_path, progress=progress)
    assert caught.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is handler


def test_the_process_is_left_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    import lightning.pytorch  # noqa: F401  its import sets up its own loggers

    def state() -> Any:
        loggers = {name: logging.getLogger(name).level for name in ("", "lightning", "lightning.pytorch")}
        switches = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
        return loggers, switches, torch.get_num_threads(), torch.is_grad_enabled(), dict(os.environ)

    torch.manual_seed(7)
    generator, before = torch.get_rng_state(), state()
    numbers = np.random.get_state()[1].copy()  # noqa: NPY002  the global one is what must not move
    with torch.no_grad():
        run(network_without_seed())
    assert torch.equal(torch.get_rng_state(), generator)
    assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002
    assert state() == before
    assert list(tmp_path.iterdir()) == []
    said = capfd.readouterr()
    assert said.out == said.err == ""


def network_without_seed() -> Any:
    with torch.random.fork_rng([]):
        return network()


def test_history() -> None:
    history = History(tuple(Epoch(n, 0.0, loss, 0.0) for n, loss in enumerate([2.0, 1.0, 1.0], 1)))
    assert history.best == 2, "of equal ones the first"
    assert history.over(TrainingSettings(epochs=9, patience=1))
    assert not history.over(TrainingSettings(epochs=9, patience=2))
    assert History().best == 0
