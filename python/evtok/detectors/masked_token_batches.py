"""Batches of masked-token training: events by their indices, ragged, some of their tokens hidden.

Nothing here loops over events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from evtok.detectors.masked_token_model import Asked, Rectangle, place_within
from evtok.tokens import Tokens


@dataclass(frozen=True)
class Batch:
    """Events one after the other, and the tokens that are hidden.

    Attributes
    ----------
    ids : int64 (n_rows,)
        With the mask's id at hidden tokens.
    places : int64 (n_rows,)
        Of each row in its event.
    rectangle : Rectangle
    hidden : Asked
    targets : int64 (n_hidden,)
        What the hidden tokens are.
    """

    ids: Tensor
    places: Tensor
    rectangle: Rectangle
    hidden: Asked
    targets: Tensor


@dataclass(frozen=True)
class Corpus:
    """The tokens that batches are made of.

    Attributes
    ----------
    ids : int64 (n_tokens,)
    is_scored : bool (n_tokens,)
        Which of them may be hidden; at least one of each event.
    starts, lengths : int64 (n_events,)
    mask_id : int
    """

    ids: Tensor
    is_scored: Tensor
    starts: Tensor
    lengths: Tensor
    mask_id: int

    @classmethod
    def of(cls, tokens: Tokens, is_scored: npt.NDArray[np.bool_], mask_id: int) -> Self:
        """Take the tokens of events; `is_scored` is about ids (vocab_size,)."""
        return cls(
            torch.from_numpy(tokens.ids.astype(np.int64)),
            torch.from_numpy(is_scored[tokens.ids]),
            torch.from_numpy(tokens.offsets[:-1].copy()),
            torch.from_numpy(tokens.lengths),
            mask_id,
        )

    def batch(
        self,
        events: Tensor,
        masking: Literal["fraction", "one"],
        fraction: float,
        generator: torch.Generator,
        device: torch.device,
    ) -> Batch:
        """Return the batch of events (n,), int64.

        Parameters
        ----------
        events : int64 (n,)
        masking : {"fraction", "one"}
            "one" hides one token of each event; "fraction" each with this probability, and one where that hides none.
        fraction : float
        generator : torch.Generator
            Of the CPU.
        device : torch.device
            Where the batch is wanted.
        """
        lengths = self.lengths[events]
        places = place_within(lengths)
        rows = torch.repeat_interleave(self.starts[events], lengths) + places
        ids = self.ids[rows]
        rectangle = Rectangle.of(lengths)
        # In (0, 1], and 0 where nothing may be hidden; float64, so that no two of an event are equal.
        draws = 1.0 - torch.rand(len(ids), generator=generator, dtype=torch.float64)
        draws.masked_fill_(~self.is_scored[rows], 0.0)
        largest = rectangle.spread(draws).amax(1)
        hidden = draws == torch.repeat_interleave(largest, lengths)
        if masking == "fraction":
            hidden |= draws > 1.0 - fraction
        asked = hidden.nonzero()[:, 0]
        n_hidden = rectangle.spread(hidden.long()).sum(1)
        targets = ids[asked]
        return Batch(
            ids.masked_fill(hidden, self.mask_id).to(device),
            places.to(device),
            rectangle.to(device),
            Asked(asked.to(device), Rectangle.of(n_hidden).to(device)),
            targets.to(device),
        )
