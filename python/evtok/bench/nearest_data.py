"""The vectors of the lookup benchmarks, the same for the same shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.bench.tokenize import SEED

#: Kinds of rows.
KINDS = ("Gaussian", "clustered")

Array = npt.NDArray[np.float32]


def codes(shape: dict[str, Any]) -> Array:
    """Draw the codes (K, D), Gaussian."""
    return np.random.default_rng(SEED).standard_normal((shape["k"], shape["d"]), np.float32)


def rows(shape: dict[str, Any], kind: str, codes: Array) -> Array:
    """Draw the rows (n, D).

    "Gaussian" rows are drawn as the codes are. "clustered" ones lie near a code each, as what an encoder gives after
    training does: at a fourth of the spacing of codes, which is about ``K ** (-1 / D)`` in each dimension.
    """
    rng = np.random.default_rng([SEED, 1 + KINDS.index(kind)])
    x = rng.standard_normal((shape["n"], shape["d"]), np.float32)
    if kind == "clustered":
        x *= np.float32(0.25 * len(codes) ** (-1 / codes.shape[1]))
        x += codes[rng.integers(0, len(codes), shape["n"])]
    return x
