"""The waves of sinusoidal positions, one table for every backend."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def sinusoids(n_places: int, width: int) -> npt.NDArray[np.float32]:
    """Return the waves of Vaswani et al., float32 (n_places, width): sines and cosines in turn; `width` is even.

    They are computed in long double and rounded once: libraries whose sines differ in the last bit give one table.
    """
    place = np.arange(n_places, dtype=np.longdouble)[:, None]
    column = np.arange(0, width, 2, dtype=np.longdouble)
    angle = place * np.exp(column * (-np.log(np.longdouble(10_000)) / width))
    waves = np.empty((n_places, width), np.float32)
    waves[:, 0::2] = np.sin(angle)
    waves[:, 1::2] = np.cos(angle)
    return waves
