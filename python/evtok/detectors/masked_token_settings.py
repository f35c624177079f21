"""The settings of a masked-token detector: its network, how it is trained, and how it scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evtok.tokenizers.edge_definitions import finite_number, whole_number

POSITIONS = ("learned", "sinusoidal", "none")
ACTIVATIONS = ("gelu", "relu")
MASKINGS = ("fraction", "one")
SCORE_FORMS = ("pseudo-likelihood", "random-masks", "single-pass")
PRECISIONS = ("float32", "bfloat16")

#: What either backend says of a network that overflows.
TOO_LARGE = (
    "model: its numbers are too large, it gives no probability for a token; train it again, more slowly"
)

#: The largest network that a file can ask for.
MOST = {"layers": 256, "width": 1 << 14, "heads": 1 << 10, "feed_forward": 1 << 17, "max_length": 1 << 17}

#: Passes over one event, which are held at a time.
MOST_MASKS = 1 << 12

# Numbers of sinusoidal positions: no tensor of a file has as many, so a small file could ask for much memory.
_MOST_WAVES = 1 << 24


@dataclass(frozen=True)
class NetworkSettings:
    """The shape of the network; see `MaskedTokenDetector`."""

    layers: int = 2
    width: int = 64
    heads: int = 4
    feed_forward: int = 256
    positions: Literal["learned", "sinusoidal", "none"] = "learned"
    max_length: int = 256
    norm_first: bool = True
    activation: Literal["gelu", "relu"] = "gelu"
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            value = whole_number(getattr(self, name), name)
            if value > most:
                raise ValueError(f"{name}: expected at most {most}, got {value}")
            object.__setattr__(self, name, value)
        if self.width % self.heads:
            raise ValueError(f"width: expected a multiple of the {self.heads} heads, got {self.width}")
        if self.positions == "sinusoidal" and self.width % 2:
            raise ValueError(f"width: sinusoidal positions need an even one, got {self.width}")
        if self.positions == "sinusoidal" and self.width * self.max_length > _MOST_WAVES:
            raise ValueError(
                f"max_length: sinusoidal positions need at most {_MOST_WAVES // self.width} at this width, got "
                f"{self.max_length}"
            )
        one_of(self.positions, "positions", POSITIONS)
        one_of(self.activation, "activation", ACTIVATIONS)
        if not isinstance(self.norm_first, bool):
            raise TypeError(f"norm_first: expected True or False, got {self.norm_first!r}")
        object.__setattr__(self, "dropout", finite_number(self.dropout, "dropout"))
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected at least 0 and below 1, got {self.dropout}")

    def shapes(self, n_ids: int, n_embeddings: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor of the network by its name in a state dict of torch."""
        d, inner = self.width, self.feed_forward
        shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (n_embeddings, d)}
        if self.positions == "learned":
            shapes["positions.weight"] = (self.max_length, d)
        for k in range(self.layers):
            layer = {
                "self_attn.in_proj_weight": (3 * d, d), "self_attn.in_proj_bias": (3 * d,),
                "self_attn.out_proj.weight": (d, d), "self_attn.out_proj.bias": (d,),
                "linear1.weight": (inner, d), "linear1.bias": (inner,),
                "linear2.weight": (d, inner), "linear2.bias": (d,),
                "norm1.weight": (d,), "norm1.bias": (d,), "norm2.weight": (d,), "norm2.bias": (d,),
            }  # fmt: skip
            shapes |= {f"encoder.layers.{k}.{name}": shape for name, shape in layer.items()}
        if self.norm_first:
            shapes |= {"encoder.norm.weight": (d,), "encoder.norm.bias": (d,)}
        return shapes | {"head.weight": (n_ids, d), "head.bias": (n_ids,)}


@dataclass(frozen=True)
class MaskingSettings:
    """Which tokens are hidden, in training and for a score; see `MaskedTokenDetector`."""

    masking: Literal["fraction", "one"] = "fraction"
    mask_fraction: float = 0.15
    score_form: Literal["pseudo-likelihood", "random-masks", "single-pass"] = "pseudo-likelihood"
    n_masks: int = 8
    mask_seed: int = 0

    def __post_init__(self) -> None:
        one_of(self.masking, "masking", MASKINGS)
        one_of(self.score_form, "score_form", SCORE_FORMS)
        object.__setattr__(self, "mask_fraction", finite_number(self.mask_fraction, "mask_fraction"))
        if not 0 < self.mask_fraction <= 1:
            raise ValueError(f"mask_fraction: expected above 0 and at most 1, got {self.mask_fraction}")
        object.__setattr__(self, "n_masks", whole_number(self.n_masks, "n_masks"))
        if self.n_masks > MOST_MASKS:
            raise ValueError(f"n_masks: expected at most {MOST_MASKS}, got {self.n_masks}")
        object.__setattr__(self, "mask_seed", whole_number(self.mask_seed, "mask_seed", lowest=0))
        if self.mask_seed >= 1 << 64:
            raise ValueError(f"mask_seed: expected a number below 2**64, got {self.mask_seed}")
        if self.score_form == "random-masks" and self.n_masks * self.mask_fraction < 1:
            raise ValueError(
                f"n_masks: {self.n_masks} masks of {self.mask_fraction} of the tokens do not hide every token once; "
                "expected at least 1 / mask_fraction"
            )


def one_of(value: object, name: str, known: tuple[str, ...]) -> None:
    """Refuse a value that is not among those that are known."""
    if value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r:.80}")
