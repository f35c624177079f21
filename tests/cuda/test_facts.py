"""What `evtok info` says of CUDA, and a child that was forked from a process that used it."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import evtok
from evtok.cuda import facts, module


def test_info_names_toolkit_and_devices(gpu):
    found = facts.facts()
    assert "why_off" not in found
    assert found["toolkit"] == gpu.cuda.toolkit == evtok.build_config()["cuda"]["toolkit"]
    assert len(found["devices"]) == gpu.cuda.device_count() >= 1
    for device in found["devices"]:
        assert device["name"]
        assert tuple(map(int, device["capability"].split("."))) >= (8, 0)
        assert device["multiprocessors"] > 0
    if gpu.name == "torch":
        import torch

        assert [d["name"] for d in found["devices"]] == [
            torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())
        ]


def test_info_prints_a_line_for_each_device(gpu):
    testing = pytest.importorskip("typer.testing")
    from evtok.cli.app import app

    runner = testing.CliRunner()
    text = runner.invoke(app, ["info"]).output
    assert sum(line.startswith("cuda ") and "multiprocessors" in line for line in text.splitlines()) >= 1
    assert json.loads(runner.invoke(app, ["info", "--json"]).output)["cuda"] == facts.facts()


def test_info_says_why_cuda_is_off(monkeypatch):
    def absent():
        raise evtok.errors.MissingBackendError("built without CUDA", name="evtok._cuda")

    monkeypatch.setattr(module, "imported", absent)
    off = {"toolkit": None, "why_off": "built without CUDA"}
    assert evtok.build_config()["cuda"] == off
    assert facts.facts() == off | {"devices": []}


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_p26_a_forked_child_is_told_that_it_cannot_use_cuda(gpu):
    """The driver's state does not survive a fork: a clear error, in the child alone."""
    x = gpu.put(np.zeros(3))
    evtok.digitize(x, [0.5])
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            evtok.digitize(x, [0.5])
            said = "nothing"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    assert said.startswith("RuntimeError: CUDA was used before this process was forked")
    assert gpu.get(evtok.digitize(x, [0.5])).tolist() == [0, 0, 0]
