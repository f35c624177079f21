"""The stated inputs of the disagreement report: rows and codes on which peers are known to differ, or not to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Input(NamedTuple):
    """Rows and codes of one kind.

    Attributes
    ----------
    name : str
    x : array (n, D), float32 or float16
    codes : array (K, D) of the same dtype
    """

    name: str
    x: npt.NDArray[Any]
    codes: npt.NDArray[Any]


def stated_inputs(n_rows: int, n_codes: int, seed: int = 0) -> Iterator[Input]:
    """Yield each input, the same bits on every machine with the same NumPy.

    Parameters
    ----------
    n_rows, n_codes : int
    seed : int
    """
    for name, make in _INPUTS.items():
        rng = np.random.default_rng([seed, n_rows, n_codes])
        yield Input(name, make(rng, n_rows), make(rng, n_codes))


def _gaussian(
    n_features: int, offset: float = 0, dtype: type[np.floating[Any]] = np.float32
) -> Callable[[np.random.Generator, int], npt.NDArray[Any]]:
    return lambda rng, n: (rng.normal(size=(n, n_features)) + offset).astype(dtype)


def _kinematics(rng: np.random.Generator, n: int) -> npt.NDArray[np.float32]:
    """Draw (pT in GeV around 100, eta, phi), neither scaled nor shifted."""
    columns = [rng.lognormal(np.log(100), 0.3, n), rng.normal(0, 1.5, n), rng.uniform(-np.pi, np.pi, n)]
    return np.stack(columns, axis=1).astype(np.float32)


def _grid(rng: np.random.Generator, n: int) -> npt.NDArray[np.float32]:
    return (rng.integers(-8, 9, size=(n, 4)) / 16).astype(np.float32)


_INPUTS: dict[str, Callable[[np.random.Generator, int], npt.NDArray[Any]]] = {
    "Gaussian, D=4": _gaussian(4),
    "Gaussian, D=8": _gaussian(8),
    "Gaussian at 20, D=8": _gaussian(8, 20),
    "Gaussian at 100, D=8": _gaussian(8, 100),
    "Gaussian at 1000, D=8": _gaussian(8, 1000),
    "pT ~ 100 GeV, eta, phi": _kinematics,
    "grid of 1/16 with ties, D=4": _grid,
    "Gaussian, D=8, float16": _gaussian(8, dtype=np.float16),
    "Gaussian at 20, D=8, float16": _gaussian(8, 20, np.float16),
}
