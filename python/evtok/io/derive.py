"""Columns that are computed from others: pt, eta, phi from momenta, missing energy from its components."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.io.schema import DERIVED

Array = npt.NDArray[Any]


def derive(wanted: Iterable[str], stored: dict[str, Array]) -> dict[str, Array]:
    """Return the columns `wanted`, in order; those that are not stored come from evtok's own kinematics."""
    result: dict[str, Array] = {}
    computed: dict[str, Array] = {}
    for name in wanted:
        if name in stored:
            result[name] = stored[name]
            continue
        if name not in computed:
            computed.update(_from_momenta(DERIVED[name], stored))
        result[name] = computed[name]
    return result


def _from_momenta(sources: tuple[str, ...], stored: dict[str, Array]) -> dict[str, Array]:
    from evtok import kinematics  # here, because the import of evtok must not pay for it

    if "METx" in sources:
        x, y = stored["METx"], stored["METy"]
        pt, _, phi = kinematics.pt_eta_phi(x, y, np.zeros_like(x))
        return {"MET": pt, "METphi": phi}
    pt, eta, phi = kinematics.pt_eta_phi(stored["px"], stored["py"], stored["pz"])
    return {"pt": pt, "eta": eta, "phi": phi}
