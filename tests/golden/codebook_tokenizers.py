"""Codebook tokenizers for the golden files: every function, one-hot types, limits, a network, a learnt codebook."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from events import TYPES, golden_events, unit

from evtok.tokenizers import CodebookTokenizer, FeatureNetwork, NumericFeature, Transform
from evtok.tokenizers.feature_network import Dense


def numbers(shape: tuple[int, ...], stream: int) -> npt.NDArray[np.float32]:
    """Numbers between -1 and 1, exact in float32."""
    n = int(np.prod(shape))
    return (np.floor(unit(n, stream) * 4096) / 2048 - 1).astype(np.float32).reshape(shape)


def golden_codebook_tokenizers() -> dict[str, CodebookTokenizer]:
    """Make the tokenizers; that with codes to be found is fitted to golden events."""
    features = {
        "pt": NumericFeature("pt", Transform("log", subtract=5.0)),
        "eta": NumericFeature("eta", "asinh", above=-4.75, below=4.75),
        "phi": NumericFeature("phi", Transform(multiply=0.5), relative_to="jet_phi", wrap=True),
    }
    network = FeatureNetwork(
        [
            Dense(numbers((19, 3), 21), numbers((19,), 22), "relu"),
            Dense(numbers((4, 19), 23), numbers((4,), 24), "leaky_relu", 0.125),
        ]
    )
    return {
        "features": CodebookTokenizer(features, 2 * numbers((101, 3), 25)),
        "types": CodebookTokenizer(
            {**features, "energy": NumericFeature("energy", Transform("sqrt", multiply=0.0625))},
            2 * numbers((64, 11), 26),
            types=TYPES,
            type_value=0.5,
            sort_by="pt",
            max_length=8,
            too_long="truncate",
        ),
        "network": CodebookTokenizer(
            features,
            numbers((257, 4), 27),
            network=network,
            specials=("bos",),
            specials_high=("eos",),
            sequence=("bos", "objects", "eos"),
        ),
        "learnt": CodebookTokenizer(
            {"pt": NumericFeature("pt", "log"), "eta": NumericFeature("eta")}, n_codes=37, types=TYPES, seed=5
        ).fit(golden_events(500, np.float32)),
    }
