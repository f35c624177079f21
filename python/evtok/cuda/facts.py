"""What `evtok info` says about CUDA: the build, the devices, or why there are none."""

from __future__ import annotations

from typing import Any

from evtok.cuda import module
from evtok.errors import MissingBackendError


def build_facts() -> dict[str, Any]:
    """Return what is known of the build alone; neither driver nor device is touched.

    Returns
    -------
    dict
        ``toolkit``, the version of CUDA that compiled `evtok._cuda`, or None, and then ``why_off``.
    """
    try:
        return {"toolkit": module.imported().toolkit}
    except MissingBackendError as error:
        return {"toolkit": None, "why_off": str(error)}


def facts() -> dict[str, Any]:
    """Return `build_facts` and ``devices``: name, capability and multiprocessors of each.

    Where none can be used ``why_off`` says why. The driver is asked, so that children forked later cannot use CUDA.
    """
    found = build_facts()
    why = module.why_off()
    if why is not None:
        return found | {"devices": [], "why_off": why}
    cuda = module.imported()
    devices = []
    for index in range(cuda.device_count()):
        of = cuda.device_attributes(index)
        major, minor = of["capability"]
        devices.append(
            {
                "name": of["name"],
                "capability": f"{major}.{minor}",
                "multiprocessors": of["multiprocessors"],
            }
        )
    return found | {"devices": devices}
