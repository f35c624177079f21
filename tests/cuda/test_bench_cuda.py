"""`evtok bench --device cuda`: its code on an emulated GPU, timed by the host's clock, and on a real one."""

from __future__ import annotations

import numpy as np
import pytest

from evtok.bench import document, harness, machine, registry, shapes, text
from evtok.bench.gpu import facts, rows
from evtok.bench.gpu.device import TorchDevice
from evtok.bench.gpu.peers import Peers

SMALL = {
    "digitize": {"name": "tiny", "values": 3000, "edges": 41, "dtype": "float32", "gpu": {}},
    "tokenize": {
        **{"name": "tiny", "objects": 2000, "types": 3, "features": {"pt": 4, "eta": 3, "phi": 3}},
        **{"edges": ["log-uniform", "equal-frequency"], "gpu": {}},
    },
    "nearest": {"name": "tiny", "n": 200, "k": 30, "d": 3, "metric": "l2", "gpu": {"reach_gpu": {}}},
    "score": {"name": "tiny", "events": 15, "length": 4, "vocab": 50, "d": 16, "gpu": {"rows": 40}},
    "sums": {"name": "tiny-sums", "events": 15, "length": 4, "gpu": {}},
}


class EmulatedDevice:
    """`evtok.bench.gpu.device.Device`, on the host."""

    def __init__(self, gpu):
        self.gpu = gpu

    def put(self, x, dtype=None):
        return self.gpu.put(x if dtype != "bfloat16" else x.astype(np.float16))

    def get(self, x):
        return self.gpu.get(x)

    def clock(self):
        return harness.HostClock(1 << 12)

    def copy_limit(self, traffic):
        return harness.Contestant("copy", lambda: None, "limit", traffic=traffic)

    def product_limit(self, dtype):
        return harness.Contestant(f"{dtype} products", lambda: None, "limit", operations=1.0)

    def count_differences(self, got, expected):
        return harness.count_differences(self.gpu.get(got), expected)

    def peak_extra_bytes(self, run):
        return None

    def torch(self):
        return None


@pytest.fixture
def settings(gpu, monkeypatch):
    if gpu.name != "emulated":
        pytest.skip("a real device has the command")

    def load(benchmark, name=None, *, on_gpu=False):
        assert on_gpu
        return [SMALL[benchmark] | SMALL[benchmark]["gpu"]]

    monkeypatch.setattr(shapes, "load", load)
    # The other kind of shape of "score".
    monkeypatch.setitem(registry.ON_GPU, "sums", registry.ON_GPU["score"])
    return registry.Settings(1, device=EmulatedDevice(gpu))


@pytest.mark.parametrize("benchmark_name", ["digitize", "tokenize", "nearest", "score", "sums"])
def test_rows_are_verified_against_the_cpu(settings, benchmark_name):
    found = list(rows.measured(benchmark_name, settings, rounds=1))
    assert found
    for row in found:
        assert "failed" not in row, row
        assert {c["differences"] for c in row["contestants"] if c["role"] == "ours"} == {0}
        assert "on the GPU" in "\n".join(text.row_lines(row))
        assert row["limits"]


def test_p57_a_wrong_kernel_is_not_timed_and_costs_no_other_row(settings, monkeypatch):
    import evtok

    right = evtok.digitize

    def wrong(x, edges, **options):
        codes = right(x, edges, **options)
        if not isinstance(codes, np.ndarray):
            codes._host[7] += 1
        return codes

    monkeypatch.setattr(evtok, "digitize", wrong)
    (row,) = rows.measured("digitize", settings, rounds=3)
    assert "WrongResultError: digitize/tiny/float32, 41 edges: evtok: 1 values differ" in row["failed"]
    assert any("NOT MEASURED" in line for line in text.row_lines(row))
    assert document.row_name(row) == "digitize/tiny/float32, 41 edges"


def test_a_peer_that_fails_is_named(monkeypatch):
    peers = Peers(EmulatedDevice(None), True)

    def fails(_):
        raise RuntimeError("no kernel\nfor you")

    monkeypatch.setattr("evtok.bench.gpu.peers.version_of_any", lambda name: "1" if name == "torch" else None)
    peers.add("compiled", "torch", fails)
    peers.add("brute force", "cuvs", fails)
    assert peers.notes == ["compiled is not compared: RuntimeError: no kernel"]
    assert (peers.absent, peers.contestants) == (["cuvs"], [])


def test_what_a_gpu_runs_is_what_has_an_entry_of_its_own():
    for name in registry.ON_GPU:
        found = shapes.load(name, on_gpu=True)
        assert found
        assert all("gpu" in shape for shape in found)
    (column,) = shapes.load("digitize", on_gpu=True)
    assert column["values"] > shapes.load("digitize")[0]["values"]


@pytest.mark.gpu
def test_the_device_measures_itself(gpu):
    if gpu.name != "torch":
        pytest.skip("benchmarks use torch's clock")
    device = TorchDevice()
    measured = facts.rates(device, repeats=3)
    assert measured["copy"]["bytes_per_second"] > 1e11
    assert (
        measured["bfloat16"]["operations_per_second"]
        > measured["multiply_add"]["operations_per_second"]
        > 1e12
    )
    assert list(facts.lines(facts.facts(), measured))
    x = np.arange(1000)
    assert device.count_differences(device.put(x), x) == 0
    assert device.count_differences(device.put(x), x + (x == 9)) == 1
    assert device.count_differences(device.put(x), x.astype(np.float32)) == 1000
    device_copy = device.put(np.array([1.0, np.nan], np.float32))
    assert device.count_differences(device_copy, np.array([1.0, np.nan], np.float32)) == 1


def test_the_command_says_why_there_is_no_gpu():
    from evtok.cuda.module import why_off

    if why_off() is None:
        pytest.skip("there is one")
    testing = pytest.importorskip("typer.testing")
    pytest.importorskip("torch")
    from evtok.cli.app import app

    for arguments, expected in (
        (["bench", "digitize", "--device", "cuda"], "--device cuda: "),
        (["bench", "io", "--device", "cuda"], "expected one of tokenize"),
        (["bench", "--device", "tpu"], "expected cpu or cuda"),
    ):
        done = testing.CliRunner().invoke(app, arguments)
        assert done.exit_code != 0
        assert expected in done.output + str(done.exception)


def test_versions_name_every_peer():
    assert set(facts.versions()) == {"torch", "triton", "cupy", "cuvs"}
    assert facts.versions()["torch"] == machine.version_of("torch")
