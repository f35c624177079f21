"""The network of a masked-token detector: `torch.nn.TransformerEncoder` between an embedding and a linear head.

Its parameters are those of these modules, by their names, and so is its result. But the sequences of a batch stay
ragged: rows, one for each token, go through the dense layers, and only attention sees a rectangle. In the last layer
only the rows are computed that somebody asks for, and what their attention looks at.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evtok.detectors.masked_token_settings import NetworkSettings
from evtok.detectors.sinusoids import sinusoids

_EMBEDDING_SPREAD = 0.02


@dataclass(frozen=True)
class Rectangle:
    """Where the rows of ragged sequences lie in a rectangle.

    Parameters
    ----------
    n_sequences, longest : int
        The sides.
    places : int64 (n_rows,), optional
        Of each row, ``sequence * longest + place``; None where every sequence has `longest` rows.
    """

    n_sequences: int
    longest: int
    places: Tensor | None = None

    @classmethod
    def of(cls, lengths: Tensor) -> Rectangle:
        """Make the smallest rectangle for sequences of `lengths` (n_sequences,) rows."""
        n, longest = len(lengths), int(lengths.max())
        if int(lengths.min()) == longest:
            return cls(n, longest)
        sequence = torch.repeat_interleave(torch.arange(n, device=lengths.device), lengths)
        return cls(n, longest, sequence * longest + place_within(lengths))

    def to(self, device: torch.device | str) -> Rectangle:
        """Return the same with its places on a device."""
        places = None if self.places is None else self.places.to(device)
        return Rectangle(self.n_sequences, self.longest, places)

    def spread(self, rows: Tensor) -> Tensor:
        """Return the rectangle (n_sequences, longest, ...) of rows (n_rows, ...), with zeros where there is none."""
        shape = (self.n_sequences * self.longest, *rows.shape[1:])
        flat = rows if self.places is None else rows.new_zeros(shape).index_copy(0, self.places, rows)
        return flat.view(self.n_sequences, self.longest, *rows.shape[1:])

    def gather(self, rectangle: Tensor) -> Tensor:
        """Return the rows (n_rows, ...) of a rectangle."""
        flat = rectangle.reshape(self.n_sequences * self.longest, *rectangle.shape[2:])
        return flat if self.places is None else flat.index_select(0, self.places)

    def mask(self) -> Tensor | None:
        """Return where there is a row, bool (n_sequences, longest); None: everywhere."""
        if self.places is None:
            return None
        found = torch.zeros(self.n_sequences * self.longest, dtype=torch.bool, device=self.places.device)
        found[self.places] = True
        return found.view(self.n_sequences, self.longest)


@dataclass(frozen=True)
class Asked:
    """The rows whose result is wanted.

    Attributes
    ----------
    rows : int64 (n_asked,)
        Which they are, sequence after sequence.
    rectangle : Rectangle
        Of these rows alone.
    """

    rows: Tensor
    rectangle: Rectangle


class MaskedTokenModel(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Ids to what the head makes logits of.

    Parameters
    ----------
    n_ids : int
        Ids that the head tells apart.
    n_embeddings : int
        Ids that it takes: those, and one more where the mask is not among them.
    settings : NetworkSettings
    """

    def __init__(self, n_ids: int, n_embeddings: int, settings: NetworkSettings) -> None:
        super().__init__()
        width = settings.width
        self.embedding = nn.Embedding(n_embeddings, width)
        nn.init.normal_(self.embedding.weight, std=_EMBEDDING_SPREAD)
        if settings.positions == "learned":
            self.positions = nn.Embedding(settings.max_length, width)
            nn.init.normal_(self.positions.weight, std=_EMBEDDING_SPREAD)
        elif settings.positions == "sinusoidal":
            self.register_buffer(
                "waves", torch.from_numpy(sinusoids(settings.max_length, width)), persistent=False
            )
        self.kind_of_positions = settings.positions
        layer = nn.TransformerEncoderLayer(
            width,
            settings.heads,
            settings.feed_forward,
            settings.dropout,
            settings.activation,
            batch_first=True,
            norm_first=settings.norm_first,
        )
        norm = nn.LayerNorm(width) if settings.norm_first else None
        self.encoder = nn.TransformerEncoder(layer, settings.layers, norm, enable_nested_tensor=False)
        for parameter in self.encoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)  # the encoder starts with copies of one layer
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(width, n_ids)

    def forward(self, ids: Tensor, places: Tensor, rectangle: Rectangle, asked: Asked) -> Tensor:
        """Return the hidden rows (n_asked, width) that are asked for.

        Parameters
        ----------
        ids : int64 (n_rows,)
            Sequence after sequence.
        places : int64 (n_rows,)
            Of each row in its sequence.
        rectangle : Rectangle
            Of the rows.
        asked : Asked
        """
        x = self.embedding(ids)
        if self.kind_of_positions == "learned":
            x = x + self.positions(places)
        elif self.kind_of_positions == "sinusoidal":
            x = x + self.waves[places]
        x = self.dropout(x)
        mask = rectangle.mask()
        *layers, last = self.encoder.layers
        for layer in layers:
            x = _layer(layer, x, rectangle, mask, None)
        x = _layer(last, x, rectangle, mask, asked)
        return x if self.encoder.norm is None else self.encoder.norm(x)


def place_within(lengths: Tensor) -> Tensor:
    """Return the place of each row in its sequence, int64 (n_rows,), for sequences of `lengths`."""
    starts = lengths.cumsum(0) - lengths
    n_rows = int(lengths.sum())
    return torch.arange(n_rows, device=lengths.device) - torch.repeat_interleave(starts, lengths)


def _layer(
    layer: nn.TransformerEncoderLayer,
    x: Tensor,
    rectangle: Rectangle,
    mask: Tensor | None,
    asked: Asked | None,
) -> Tensor:
    """Return what a layer makes of the rows x (n_rows, width): all of them, or those that are asked for."""
    before = layer.norm1(x) if layer.norm_first else x
    x = x if asked is None else x[asked.rows]
    x = x + layer.dropout1(_attention(layer.self_attn, before, rectangle, mask, asked))
    if layer.norm_first:
        return x + _feed_forward(layer, layer.norm2(x))
    x = layer.norm1(x)
    return layer.norm2(x + _feed_forward(layer, x))


def _feed_forward(layer: nn.TransformerEncoderLayer, x: Tensor) -> Tensor:
    return layer.dropout2(layer.linear2(layer.dropout(layer.activation(layer.linear1(x)))))


def _attention(
    attention: nn.MultiheadAttention,
    x: Tensor,
    rectangle: Rectangle,
    mask: Tensor | None,
    asked: Asked | None,
) -> Tensor:
    width = x.shape[1]
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    if asked is None:
        query, key, value = F.linear(x, weight, bias).chunk(3, dim=1)
    else:
        query = F.linear(x[asked.rows], weight[:width], bias[:width])
        key, value = F.linear(x, weight[width:], bias[width:]).chunk(2, dim=1)
    out = rectangle if asked is None else asked.rectangle

    def heads(rows: Tensor, of: Rectangle) -> Tensor:
        return of.spread(rows).unflatten(2, (attention.num_heads, -1)).transpose(1, 2)

    seen = F.scaled_dot_product_attention(
        heads(query, out),
        heads(key, rectangle),
        heads(value, rectangle),
        attn_mask=None if mask is None else mask[:, None, None, :],
        dropout_p=attention.dropout if attention.training else 0.0,
    )
    return attention.out_proj(out.gather(seen.transpose(1, 2).flatten(2)))
