"""Codebooks out of the state dicts of vector-quantize-pytorch and of vqtorch, by the names of their tensors.

Only tensors are taken, never a file: load one with ``safetensors`` or ``torch.load(..., weights_only=True)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    State = Mapping[str, Tensor]

_LUCIDRAINS_AFFINE = ("codebook_mean", "codebook_variance", "batch_mean", "batch_variance")
_LUCIDRAINS = {
    "embed", "embed_avg", "cluster_size", "initted", *_LUCIDRAINS_AFFINE,
    "codebook_mean_needs_init", "codebook_variance_needs_init",
}  # fmt: skip
_VQTORCH_RUNNING = ("running_ze_mean", "running_ze_var", "running_c_mean", "running_c_var")
_VQTORCH_AFFINE = ("scale", "bias", *_VQTORCH_RUNNING, "running_statistics_initialized")
_VQTORCH = {
    "codebook.weight", "_counts", "data_initialized", *(f"affine_transform.{name}" for name in _VQTORCH_AFFINE)
}  # fmt: skip


def convert_state_dict(state: State, *, affine_lr: float | None = None) -> dict[str, Tensor]:
    """Rename and reshape every codebook in a state dict to what `VectorQuantizer` loads; the rest stays as it is.

    Parameters
    ----------
    state : mapping of tensors
        A state dict of a layer, or of a whole model, in which the layers were `VectorQuantize` of
        vector-quantize-pytorch (or the `Codebook` within), or `VectorQuant` of vqtorch.
    affine_lr : float, optional
        That of the vqtorch layers, which their state does not hold; needed where they have an affine transform.

    Returns
    -------
    dict of tensors
        With the same prefixes, and everything that a strict ``load_state_dict`` asks for. Affine transforms
        have been applied to the codes, in the arithmetic of the peer.

    Raises
    ------
    ValueError
        A layer that does more than look codes up: several heads, projections, a norm layer; or one that has not been
        initialised yet; or `affine_lr` is missing.
    """
    result = dict(state)
    for key in state:
        head, _, last = key.rpartition(".")
        base = f"{head}." if head else ""
        if last == "embed" and f"{base}embed_avg" in state:
            found = _lucidrains(state, base)
            layer, known = base.removesuffix("_codebook."), {base + name for name in _LUCIDRAINS}
        elif last == "weight" and head.split(".")[-1] == "codebook":
            layer = base.removesuffix("codebook.")
            found, known = _vqtorch(state, layer, affine_lr), {layer + name for name in _VQTORCH}
        else:
            continue
        result = {name: value for name, value in result.items() if name not in known}
        result |= {layer + name: value for name, value in found.items()}
    return result


def _tensors(state: State, prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _layer(codes: Tensor, cluster_size: Tensor, code_sums: Tensor) -> dict[str, Tensor]:
    """Return everything that a `VectorQuantizer` keeps, so that it loads strictly."""
    return {
        "codes": codes,
        "cluster_size": cluster_size,
        "code_sums": code_sums,
        "n_updates": torch.zeros((), dtype=torch.int64),  # no peer counts them
        "initialised": torch.tensor(True),
    }


def _refuse(state: State, prefix: str, parts: tuple[str, ...]) -> None:
    for key in _tensors(state, prefix):
        if key.startswith(parts):
            raise ValueError(
                f"state: {prefix + key!r} belongs to a part of the layer that VectorQuantizer does not have; make that "
                "part a module of your own, and remove its tensors from the state"
            )


# ---- vector-quantize-pytorch ----------------------------------------------------------------------------------------


def _lucidrains(state: State, base: str) -> dict[str, Tensor]:
    if base.endswith("_codebook."):
        _refuse(state, base.removesuffix("_codebook."), ("project_in.", "project_out."))
    _refuse(state, base, ("vq_bridge.",))
    tensors = _tensors(state, base)
    if "initted" in tensors and not bool(tensors["initted"].all()):
        raise ValueError(
            f"state: the codebook {base!r} waits for its k-means initialisation, and has no codes yet"
        )
    if tensors["embed"].ndim == 3 and tensors["embed"].shape[0] != 1:
        raise ValueError(
            f"state: {base + 'embed'!r} holds {tensors['embed'].shape[0]} codebooks, one for each head; load each into "
            "a VectorQuantizer of its own"
        )
    n_codes, dim = tensors["embed"].shape[-2:]
    codes = tensors["embed"].detach().reshape(n_codes, dim)
    sizes = tensors.get("cluster_size", torch.ones(n_codes)).detach().reshape(n_codes)
    sums = tensors["embed_avg"].detach().reshape(n_codes, dim)
    if "codebook_mean" in tensors:
        missing = [name for name in _LUCIDRAINS_AFFINE if name not in tensors]
        if missing:
            raise ValueError(
                f"state: {base + missing[0]!r} is missing, without which codes cannot be transformed"
            )
        mean, variance, batch_mean, batch_variance = (
            tensors[name].detach().reshape(1, dim) for name in _LUCIDRAINS_AFFINE
        )
        scale = batch_variance.clamp(min=1e-5).sqrt() / variance.clamp(min=1e-5).sqrt()
        codes = (codes - mean) * scale + batch_mean
        sums = codes * sizes.unsqueeze(1)
    return _layer(codes, sizes, sums)


# ---- vqtorch --------------------------------------------------------------------------------------------------------


def _vqtorch(state: State, layer: str, affine_lr: float | None) -> dict[str, Tensor]:
    _refuse(state, layer, ("norm_layer.",))
    tensors = _tensors(state, layer)
    if "data_initialized" in tensors and not bool(tensors["data_initialized"].all()):
        raise ValueError(
            f"state: the codebook {layer!r} waits for its k-means initialisation, and has no codes yet"
        )
    codes = tensors["codebook.weight"].detach()
    affine = _tensors(tensors, "affine_transform.")
    if affine:
        scale, bias = (part.unsqueeze(1) for part in _vqtorch_affine(affine, layer, affine_lr))
        groups = codes.view(scale.shape[0], -1, codes.shape[1])
        codes = (scale * groups + bias).reshape(codes.shape)
    return _layer(codes, torch.ones(codes.shape[0], dtype=codes.dtype), codes.clone())


def _vqtorch_affine(affine: State, layer: str, affine_lr: float | None) -> tuple[Tensor, Tensor]:
    """Return scale and bias (n_groups, D), as vqtorch's `AffineTransform` makes them."""
    if "scale" in affine:
        if affine_lr is None:
            raise ValueError(
                f"affine_lr: the layer {layer!r} has an affine transform, whose strength is not in its state; give the "
                "affine_lr it was made with"
            )
        return 1.0 + affine_lr * affine["scale"].detach(), affine_lr * affine["bias"].detach()
    vectors_mean, vectors_variance, codes_mean, codes_variance = (
        affine[name].detach() for name in _VQTORCH_RUNNING
    )
    scale = (vectors_variance / (codes_variance + 1e-8)).sqrt()
    return scale, -scale * codes_mean + vectors_mean
