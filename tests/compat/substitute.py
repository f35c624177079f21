"""A pytest plugin that puts evtok's drop-ins in the place of a peer's calls while the peer's own tests run.

Loaded in a process of its own by test_peer_suites.py (`-p substitute`). EVTOK_SUBSTITUTE says which peer, EVTOK_OUTCOME
where to write, as JSON, the outcome of every test and how many calls reached evtok, its kernel, and the peer.
"""

from __future__ import annotations

import collections
import functools
import importlib
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import evtok

PEER = os.environ["EVTOK_SUBSTITUTE"]
outcomes: dict[str, str] = {}
backends: collections.Counter[str] = collections.Counter()


def counted(function: Any) -> Any:
    """Wrap a drop-in so that each call is counted by what did its work."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        backends[evtok.last_backend().split(":")[0]] += 1
        return result

    return call


def drop_ins(*names: str) -> dict[str, Any]:
    module = importlib.import_module(f"evtok.compat.{PEER}")
    return {name: counted(getattr(module, name)) for name in names}


def keep_peer(**originals: Any) -> None:
    """Hand what evtok leaves to the peer to the original functions: their names are ours now."""
    module: Any = importlib.import_module(f"evtok.compat.{PEER}")

    def peer(name: str, package: str) -> types.SimpleNamespace:
        evtok._backend.used_peer(PEER)
        return types.SimpleNamespace(**originals)

    module.peer = peer


def replace_everywhere(replacements: dict[str, Any], package: str) -> None:
    """Replace functions in every module of the package that has imported them."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == package:
            for function, replacement in replacements.items():
                if getattr(module, function, None) is not None:
                    setattr(module, function, replacement)


def substitute_scipy(module: Any) -> None:
    import scipy.cluster.vq

    originals = {"vq": scipy.cluster.vq.vq}
    keep_peer(**originals)
    ours = drop_ins("vq")["vq"]
    scipy.cluster.vq.vq = module.vq = ours  # kmeans and kmeans2 call it too
    kernel = module._vq
    # Tests of the compiled function underneath: it has the same answers, and takes only arrays of one dtype.
    module._vq = types.SimpleNamespace(
        vq=lambda obs, code_book: (
            ours if obs.dtype == code_book.dtype and obs.dtype.kind == "f" else kernel.vq
        )(obs, code_book),
        update_cluster_means=kernel.update_cluster_means,
    )


def substitute_sklearn() -> None:
    import sklearn.cluster
    import sklearn.metrics.pairwise as pairwise

    names = ("pairwise_distances_argmin", "pairwise_distances_argmin_min")
    keep_peer(**{name: getattr(pairwise, name) for name in names})
    replace_everywhere(drop_ins(*names), "sklearn")
    assert sklearn.cluster._birch.pairwise_distances_argmin is pairwise.pairwise_distances_argmin


# ---- hooks --------------------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    if PEER == "sklearn":  # before its tests take the functions as parameters
        substitute_sklearn()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for module in {item.getparent(pytest.Module).obj for item in items}:
        if PEER == "scipy":
            substitute_scipy(module)
        elif PEER == "numpy":
            for name, ours in drop_ins("digitize", "searchsorted").items():
                setattr(module, name, ours)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    name = report.nodeid.split("::", 1)[1]
    if report.when == "call" or report.outcome != "passed":
        outcomes[name] = "xfailed" if hasattr(report, "wasxfail") else report.outcome


def pytest_deselected(items: list[pytest.Item]) -> None:
    outcomes.update({item.nodeid.split("::", 1)[1]: "deselected" for item in items})


def pytest_sessionfinish() -> None:
    Path(os.environ["EVTOK_OUTCOME"]).write_text(json.dumps({"tests": outcomes, "calls": backends}))
