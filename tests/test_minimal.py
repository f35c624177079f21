"""The least that an installed wheel must do with NumPy alone.

Also a plain script: CI runs ``python test_minimal.py`` in a bare environment that holds the wheel and NumPy.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

import evtok
from evtok import _core


def test_p53_versions() -> None:
    assert sys.version_info >= (3, 11)
    assert int(np.__version__.split(".")[0]) >= 2
    assert evtok.__version__ == _core.version


def test_p53_the_package_is_typed() -> None:
    package = Path(evtok.__file__).parent
    assert (package / "py.typed").exists()
    assert (package / "_core.pyi").exists()


def test_bins_are_those_of_numpy() -> None:
    edges = np.linspace(-3, 3, 41).astype(np.float32)
    x = np.concatenate([np.random.default_rng(0).normal(size=10_000).astype(np.float32), edges])
    x[:5] = [np.nan, np.inf, -np.inf, -0.0, 1e-40]
    for isa in _core.available_isas():
        _core.force_isa(isa)
        for right in (False, True):
            codes = np.full(x.size, -1, np.int64)
            _core.digitize(x, edges, right, False, 2, codes)
            assert np.array_equal(codes, np.digitize(x, edges, right=right)), (isa, right)
    _core.unforce_isa()


def test_events_hold_ragged_columns() -> None:
    pt = np.array([50, 40, 30], np.float32)
    events = evtok.Events([0, 2, 2, 3], {"pt": pt}, {"MET": [10.0, 20.0, 30.0]}, units={"pt": "GeV"})
    assert (len(events), events.n_objects, events.multiplicity.tolist()) == (3, 3, [2, 0, 1])
    assert events[2].columns["pt"].tolist() == [30]
    message = ""
    try:
        evtok.Events([0, 2, 1, 3], {"pt": pt})
    except ValueError as error:
        message = str(error)
    assert "event 1" in message


def test_p25_free_threaded_python_stays_free_threaded() -> None:
    code = "import sys, evtok; print(getattr(sys, '_is_gil_enabled', lambda: None)())"
    with_evtok = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    without = code.replace(", evtok", "")
    assert (
        with_evtok.stdout
        == subprocess.run([sys.executable, "-c", without], capture_output=True, text=True).stdout
    )


def main() -> None:
    """Run every test of this file."""
    tests = [value for name, value in globals().items() if name.startswith("test_")]
    for test in tests:
        test()
    print(f"{len(tests)} minimal tests passed with evtok {evtok.__version__}, NumPy {np.__version__}")


if __name__ == "__main__":
    main()
