"""Events from integers alone: the same bits on every machine and with every version of NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import Events
from evtok.tokenizers import BinnedTokenizer, EqualFrequency, Feature, Uniform, log_uniform

TYPES = ("j", "b", "e-", "e+", "m-", "m+", "g")


def unit(n: int, stream: int) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1) by SplitMix64 (n,)."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, n + 1, dtype=np.uint64) + np.uint64(stream << 32)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def golden_events(n: int, dtype: type) -> Events:
    """Make n events of 0 to 12 objects; only exact operations are used before the last rounding."""
    counts = (unit(n, 1) * 13).astype(np.int64)
    m = int(counts.sum())
    u = unit(m, 2)
    pt = 15 + 2000 * (u * u) * (u * u)
    eta = 5 * (2 * unit(m, 3) - 1)
    columns: dict[str, Any] = {
        "pt": pt.astype(dtype),
        "eta": eta.astype(dtype),
        "phi": (np.pi * (2 * unit(m, 4) - 1)).astype(dtype),
        "energy": (pt * (1 + eta * eta)).astype(dtype),
        "type": (unit(m, 5) * 7).astype(np.uint8),
    }
    fields = {
        "MET": (5 + 500 * unit(n, 6)).astype(dtype),
        "METphi": (np.pi * (2 * unit(n, 7) - 1)).astype(dtype),
        "jet_eta": 4 * unit(n, 8) - 2,
        "jet_phi": np.pi * (2 * unit(n, 9) - 1),
    }
    return Events(np.r_[0, np.cumsum(counts)], columns, fields, types=TYPES)


def golden_tokenizers() -> dict[str, BinnedTokenizer]:
    """Every path through the kernel; those with edges to be fitted are fitted to golden events."""
    sample = golden_events(5000, np.float32)
    angles = {"eta": Feature("eta", Uniform(30, -4, 4)), "phi": Feature("phi", Uniform(30, -3.2, 3.2))}
    return {
        "log_uniform": BinnedTokenizer(
            {"pt": Feature("pt", *log_uniform(40, 20, 1500)), **angles}, types=TYPES
        ),
        "equal_frequency": BinnedTokenizer(
            {
                "pt": Feature("pt", EqualFrequency(41)),
                "eta": Feature("eta", EqualFrequency(31), right=True),
                "phi": Feature("phi", EqualFrequency(31, outer=True), outside="clip"),
            },
            types=TYPES,
            order="first-fastest",
        ).fit(sample),
        "finke": BinnedTokenizer.preset(
            "finke", columns=("pt", "eta", "phi"), relative_to=("jet_eta", "jet_phi"), variant="jetsequences"
        ),
        "lut": BinnedTokenizer.preset("lut", n_bins=5, met=True).fit(sample),
        "factorised": BinnedTokenizer(
            {"pt": Feature("pt", *log_uniform(12, 20, 800), outside="unknown"), **angles},
            types=TYPES,
            factorised=True,
            specials=("pad", "unk", "bos", "eos"),
            event_features={"MET": Feature("MET", *log_uniform(9, 10, 400))},
            sequence=("bos", "MET", "objects", "eos"),
            sort_by="pt",
            max_length=30,
            too_long="truncate",
        ),
    }
