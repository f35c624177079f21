"""Stage 5: logits, latents and token scores to one number an event, with the same bits on every machine.

Every function takes NumPy arrays or torch tensors on the CPU and returns the same kind; most take torch tensors and
CuPy arrays on a GPU too, with these bits (`token_nll` and `nll_from_logits`: within their tolerance). Higher means less
like what the parameters were made from. The contracts are in ``cpp/include/evtok/``: ``token_nll.hpp``,
``segments.hpp``, ``row_scores.hpp``, ``class_distances.hpp``, ``histogram_score.hpp``, ``encoder.hpp``. The readable
definitions are in ``evtok.reference_scoring*`` and ``evtok.reference_encoder``.
"""

from __future__ import annotations

from evtok.scoring.classes import GaussianClasses, mahalanobis
from evtok.scoring.distances import (
    negative_max_logit,
    neighbour_distance,
    reconstruction_error,
    squared_distance,
    squared_sum,
)
from evtok.scoring.encoder import Encoder
from evtok.scoring.histograms import histogram_score
from evtok.scoring.segments import segment_max, segment_mean, segment_sum, segment_top_mean
from evtok.scoring.token_nll import TokenHead, nll_from_logits, token_nll

__all__ = [
    "Encoder",
    "GaussianClasses",
    "TokenHead",
    "histogram_score",
    "mahalanobis",
    "negative_max_logit",
    "neighbour_distance",
    "nll_from_logits",
    "reconstruction_error",
    "segment_max",
    "segment_mean",
    "segment_sum",
    "segment_top_mean",
    "squared_distance",
    "squared_sum",
    "token_nll",
]
