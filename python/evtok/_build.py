"""Facts about this build and this machine: what a bug report should carry."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from evtok import _core
from evtok.cuda import facts

#: Optional packages, by the extra that brings them.
OPTIONAL = {
    "io": ("uproot", "awkward", "pyarrow", "h5py", "hdf5plugin", "fsspec"),
    "torch": ("torch", "lightning"),
    "trees": ("scikit-learn",),
    "cuda": ("cupy-cuda13x",),
    "cluster": ("dask", "distributed"),
    "plot": ("matplotlib", "mplhep", "hist"),
    "cli": ("typer", "rich"),
}


def build_config() -> dict[str, Any]:
    """Return version, compiler, instruction sets, threads, and the optional packages present.

    Returns
    -------
    dict
        Plain values, for printing or JSON. Nothing optional is imported; versions come from package metadata. "cuda"
        tells of the build alone; ``evtok info`` asks the driver for devices too.
    """
    return {
        "version": _core.version,
        "numerics_version": _core.numerics_version,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "numpy": _version("numpy"),
        "compiler": _core.compiler,
        "compile_flags": _core.compile_flags,
        "build_type": _core.build_type,
        "sanitize": _core.sanitize,
        "isa": _core.active_isa(),
        "isas_available": _core.available_isas(),
        "threads": _core.default_threads(),
        "cpus": _core.available_cpus(),
        "cuda": facts.build_facts(),
        "optional": {extra: {name: _version(name) for name in names} for extra, names in OPTIONAL.items()},
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
