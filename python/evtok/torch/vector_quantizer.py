"""`VectorQuantizer`: the quantization layer of a VQ-VAE, whose ids are those of `evtok.nearest`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
import torch
from torch import nn

from evtok.torch import operators, updates
from evtok.torch.define import computed_in
from evtok.torch.state_dicts import convert_state_dict

if TYPE_CHECKING:
    from torch import Tensor

    from evtok.codebook import Codebook


class Quantized(NamedTuple):
    """What a `VectorQuantizer` returns.

    Attributes
    ----------
    quantized : tensor (..., D) of the dtype of x
        The code of each row; zeros where the row has none. Its gradient goes unchanged to what was quantized: to x
        with "l2"; with "cosine" to x divided by its length, and through that division to x.
    ids : int64 tensor (...)
        Which code; -1 where the row was masked, or invalid and `on_invalid` is "sentinel".
    loss : tensor ()
        To be added to the loss of the model; 0 where no row has a code.
    """

    quantized: Tensor
    ids: Tensor
    loss: Tensor


# Lets torch.export.save write a graph that returns one; torch has no public name for it yet.
if hasattr(torch.utils._pytree, "_register_namedtuple"):
    torch.utils._pytree._register_namedtuple(Quantized, serialized_type_name="evtok.torch.Quantized")


class VectorQuantizer(nn.Module):  # type: ignore[misc]
    """Replace each vector by the nearest code of a codebook that is learned beside the model.

    Parameters
    ----------
    dim : int
        D, the length of a vector.
    n_codes : int
        K, the number of codes.
    metric : "l2" or "cosine"
        With "cosine", what is quantized is x divided by its length, and codes have length 1.
    codebook : "ema" or "learnable"
        How codes follow the vectors that chose them: by an exponential moving average of these, in `forward` of
        training mode; or as a parameter, through the gradient of the loss ("l2" alone).
    decay : float
        Of the moving average: the weight of the past.
    epsilon : float
        Smoothing of the counts that the moving average divides by.
    commitment_weight : float
        Of the mean squared distance between vectors and codes, in the loss.
    beta : float
        With "learnable", the share of the loss that moves codes to vectors; 1 - beta moves vectors to codes.
    dead_below : float
        A code that is chosen less often than this, in the moving average of its count per batch, is replaced by a
        vector of the batch ("ema" alone); 0 never replaces.
    kmeans_init : bool
        Start from k-means of the first training batch instead of random codes.
    on_invalid : "raise" or "sentinel"
        A row with NaN or infinity, one whose distances all overflow, or a zero row with "cosine": an error that names
        the row, or id -1.
    synchronise : bool
        Where torch.distributed runs, learn from the rows of all ranks.
    seed : int
        Of the first codes, k-means, and the choice of replacements.
    dtype : torch.dtype
        float32 or float64, of codes; x is of this dtype, or float16 or bfloat16 with float32 codes.

    Attributes
    ----------
    codes : buffer or parameter (K, D)
    cluster_size, code_sums : buffers (K,) and (K, D)
        The moving averages of the count and of the sum of the vectors that chose each code.
    n_updates : int64 buffer ()
    initialised : bool buffer ()

    Notes
    -----
    The ids are exact and have the bits of `evtok.nearest`, whatever the batch, the number of threads, or compilation.
    In training mode ids and `quantized` are those of the codes before the update of the same call.
    """

    def __init__(
        self,
        dim: int,
        n_codes: int,
        *,
        metric: Literal["l2", "cosine"] = "l2",
        codebook: Literal["ema", "learnable"] = "ema",
        decay: float = 0.8,
        epsilon: float = 1e-5,
        commitment_weight: float = 1.0,
        beta: float = 0.95,
        dead_below: float = 0.0,
        kmeans_init: bool = False,
        on_invalid: Literal["raise", "sentinel"] = "raise",
        synchronise: bool = True,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        _one_of("metric", metric, ("l2", "cosine"))
        _one_of("codebook", codebook, ("ema", "learnable"))
        _one_of("on_invalid", on_invalid, ("raise", "sentinel"))
        _one_of("dtype", dtype, (torch.float32, torch.float64))
        if dim < 1 or n_codes < 1:
            raise ValueError(f"dim, n_codes: expected at least 1 of each, got {dim} and {n_codes}")
        for name, value in (("decay", decay), ("beta", beta)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name}: expected 0 to 1, got {value}")
        if codebook == "learnable" and (metric != "l2" or dead_below > 0):
            raise ValueError(
                'codebook: "learnable" goes with metric="l2" and dead_below=0; use "ema" for others'
            )
        self.dim, self.n_codes, self.metric, self.learnable = dim, n_codes, metric, codebook == "learnable"
        self.decay, self.epsilon, self.dead_below = decay, epsilon, dead_below
        self.commitment_weight, self.beta = commitment_weight, beta
        self.kmeans_init, self.on_invalid = kmeans_init, on_invalid
        self.synchronise, self.seed = synchronise, seed

        # Uniform with variance 1, for such numbers are the same on every machine.
        values = np.random.default_rng(seed).random((n_codes, dim))
        codes = torch.from_numpy((2 * values - 1) * np.sqrt(3.0))
        codes = (operators.normalise_codes(codes) if metric == "cosine" else codes).to(dtype)
        if self.learnable:
            self.codes = nn.Parameter(codes)
        else:
            self.register_buffer("codes", codes)
        self.register_buffer("cluster_size", torch.ones(n_codes, dtype=dtype))
        self.register_buffer("code_sums", codes.clone())
        self.register_buffer("n_updates", torch.zeros((), dtype=torch.int64))
        self.register_buffer("initialised", torch.tensor(not kmeans_init))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Quantized:
        """Quantize the last dimension of `x`; in training mode, learn from it.

        Parameters
        ----------
        x : float tensor (..., D)
        mask : bool tensor (...), optional
            True marks real rows. Others, such as padding, get id -1 and zeros, have no gradient and no loss, and the
            codebook does not learn from them.

        Raises
        ------
        TypeError
            `x` is not of the dtype of the codes (or a shorter one), or `mask` is not bool.
        ValueError
            Shapes that do not fit, or an invalid row and `on_invalid` is "raise".
        """
        self._check(x, mask)
        codes = self.codes
        cosine = self.metric == "cosine"
        with torch.no_grad():
            constant = x.detach()
            if self.training and self.kmeans_init:
                updates.initialise(
                    codes.detach(), self.cluster_size, self.code_sums, self.initialised, constant, mask, self.metric,
                    self.seed, self.synchronise,
                )  # fmt: skip
            ids = operators.nearest(constant, codes.detach(), self.metric, mask, self.on_invalid)[0]
        rows = _unit_where_used(x, ids) if cosine else x
        chosen = self._decoded(ids)
        quantized = operators.straight_through(rows, chosen, ids).to(x.dtype)
        loss = operators.mean_squared_error(rows, chosen.detach(), ids)
        if self.learnable:
            to_codes = operators.mean_squared_error(rows.detach(), chosen, ids)
            loss = (1 - self.beta) * loss + self.beta * to_codes
        elif self.training:
            with torch.no_grad():
                updates.moving_average(
                    codes, self.cluster_size, self.code_sums, self.n_updates, rows.detach(), ids, self.decay,
                    self.epsilon, self.dead_below, self.seed, cosine, self.synchronise,
                )  # fmt: skip
        return Quantized(quantized, ids.long(), self.commitment_weight * loss)

    def _check(self, x: Tensor, mask: Tensor | None) -> None:
        if x.ndim < 1 or x.shape[-1] != self.dim:
            raise ValueError(f"x: expected shape (..., {self.dim}), got {tuple(x.shape)}")
        if computed_in(x) != computed_in(self.codes):
            raise TypeError(
                f"x: expected {self.codes.dtype}, as the codes are, got {x.dtype}; convert one of the two, for no "
                "digits are dropped silently"
            )
        if self.training and not self.learnable and self.codes.dtype not in (torch.float32, torch.float64):
            raise TypeError(
                f"codes: a moving average in {self.codes.dtype} loses counts; keep this module in float32, which "
                "takes x of shorter dtypes exactly"
            )
        if mask is not None:
            if mask.dtype != torch.bool:
                raise TypeError(f"mask: expected bool, True for real rows, got {mask.dtype}; use mask.bool()")
            if mask.shape != x.shape[:-1]:
                raise ValueError(f"mask: expected shape {tuple(x.shape[:-1])}, got {tuple(mask.shape)}")

    def decode(self, ids: Tensor) -> Tensor:
        """Return the codes (..., D) of ids (...), of length 1 for "cosine"; zeros for -1.

        Raises
        ------
        ValueError
            An id below -1, or not below the number of codes.
        """
        return self._decoded(ids)

    def _decoded(self, ids: Tensor) -> Tensor:
        codes = operators.normalise_codes(self.codes) if self.metric == "cosine" else self.codes
        result: Tensor = operators.look_up(codes, ids)
        return result

    def extra_repr(self) -> str:
        """Say what `print` shows between the parentheses."""
        kind = "learnable" if self.learnable else "ema"
        return f"dim={self.dim}, n_codes={self.n_codes}, metric={self.metric!r}, codebook={kind!r}"

    # ---- other codebooks -----------------------------------------------------------------------------------------

    def to_codebook(self) -> Codebook:
        """Copy the codes into an `evtok.Codebook`, which gives the ids that this module gives in eval mode."""
        from evtok.codebook import Codebook

        codes = self.codes.detach().to("cpu", computed_in(self.codes))
        return Codebook._quiet(codes.numpy().copy(), self.metric)

    @classmethod
    def from_codebook(cls, codebook: Codebook, **options: Any) -> Self:
        """Make a module with the codes and the metric of an `evtok.Codebook`, to be trained further or used as it is.

        Parameters
        ----------
        codebook : Codebook
        **options
            Of the constructor.
        """
        codes = torch.from_numpy(np.array(codebook.vectors))
        state = {"codes": codes, "cluster_size": torch.ones(codes.shape[0]), "code_sums": codes}
        return cls._from_state(state, {"metric": codebook.metric, "dtype": codes.dtype, **options})

    @classmethod
    def from_state_dict(
        cls, state: Mapping[str, Tensor], *, prefix: str = "", affine_lr: float | None = None, **options: Any
    ) -> Self:
        """Make a module from the state of this class, of vector-quantize-pytorch's, or of vqtorch's.

        Parameters
        ----------
        state : mapping of tensors
            A state dict, of the layer or of a model that has it.
        prefix : str
            What the layer's keys begin with in it, such as ``"vq."``.
        affine_lr : float, optional
            That of the vqtorch layer, which its state does not hold; needed where the layer has an affine transform.
        **options
            Of the constructor. ``metric="cosine"`` is needed for cosine codebooks: no state dict says so.

        Raises
        ------
        ValueError
            No codebook under `prefix`, or one that this class cannot reproduce.
        """
        found = convert_state_dict(state, affine_lr=affine_lr)
        names = ("codes", "cluster_size", "code_sums", "n_updates", "initialised")
        if prefix + "codes" not in found:
            layers = sorted(key.removesuffix("codes") for key in found if key.split(".")[-1] == "codes")
            raise ValueError(f"state: no codebook under the prefix {prefix!r}; those with one are {layers}")
        wanted = {name: found[prefix + name] for name in names if prefix + name in found}
        return cls._from_state(wanted, {"dtype": computed_in(wanted["codes"]), **options})

    @classmethod
    def _from_state(cls, state: Mapping[str, Tensor], options: Mapping[str, Any]) -> Self:
        n_codes, dim = state["codes"].shape
        module = cls(dim, n_codes, **options)
        module.initialised.fill_(True)
        module.load_state_dict(state, strict=False)
        return module


def _unit_where_used(x: Tensor, ids: Tensor) -> Tensor:
    """Divide rows that have a code by their length; what the others hold has no effect, on gradients either."""
    used = ids >= 0
    kept = torch.where(used.unsqueeze(-1), x, 0)
    squares = torch.where(used, operators.row_products(kept, kept), 1)
    return (kept / squares.sqrt().unsqueeze(-1)).to(computed_in(x))


def _one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, allowed))}, got {value!r}")
