"""Where the tests of this folder run: on an emulated GPU, and on a real one, with CuPy and with torch.

The emulated `evtok._cuda` is named by EVTOK_TEST_EMULATED_CUDA (`make test` builds it).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import emulated_cupy
import emulated_torch
import numpy as np
import pytest

from evtok import _arrays
from evtok.cuda import module


@dataclass
class Gpu:
    """A GPU for a test, real or emulated: `put` copies to it, `get` back."""

    name: str
    put: Callable[[np.ndarray], Any]
    get: Callable[[Any], np.ndarray]
    cuda: Any  # evtok._cuda


def emulated_module() -> ModuleType:
    path = os.environ.get("EVTOK_TEST_EMULATED_CUDA")
    if not path:
        pytest.skip("EVTOK_TEST_EMULATED_CUDA is not set: `make test` builds that module")
    found = sys.modules.get("emulated_evtok_cuda")
    if found is None:
        spec = importlib.util.spec_from_file_location("evtok._cuda", Path(path))
        assert spec is not None
        assert spec.loader is not None
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        assert found.emulated
        sys.modules["emulated_evtok_cuda"] = found  # loaded once a process
    return found


def real(package: str) -> Gpu:
    why = module.why_off()
    if why is not None:
        pytest.skip(f"no GPU: {why}")
    library = pytest.importorskip(package)
    if package == "cupy":
        if os.environ.get("EVTOK_TEST_UNPOOLED") == "1":  # a checker of accesses knows each array's own size
            library.cuda.set_allocator(None)
        return Gpu(package, library.asarray, library.asnumpy, module.load())
    return Gpu(
        package,
        lambda x: library.from_numpy(
            np.require(x, requirements=("C", "W"))
        ).cuda(),  # W: torch warns otherwise
        lambda x: x.cpu().numpy(),
        module.load(),
    )


@pytest.fixture(
    params=[
        "emulated",
        pytest.param("cupy", marks=pytest.mark.gpu),
        pytest.param("torch", marks=pytest.mark.gpu),
    ]
)
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Gpu:
    """Each GPU that there is."""
    if request.param != "emulated":
        return real(request.param)
    cuda = emulated_module()
    cupy = emulated_cupy.module()
    monkeypatch.setitem(sys.modules, "evtok._cuda", cuda)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return Gpu("emulated", cupy.asarray, cupy.asnumpy, cuda)


@pytest.fixture(params=["emulated", pytest.param("torch", marks=pytest.mark.gpu)])
def torch_device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where tensors of a test lie: on a real GPU, or on the host, where all are taken for those of an emulated GPU."""
    if request.param == "torch":
        real("torch")
        return "cuda"
    monkeypatch.setitem(sys.modules, "evtok._cuda", emulated_module())
    monkeypatch.setattr("evtok.cuda.arrays.TorchArrays", emulated_torch.HostTensors)
    monkeypatch.setattr(_arrays, "on_gpu", lambda x: _arrays.kind(x) == "torch")
    return "cpu"
