"""What a torch module computes, read from it: the layers and settings of a native `Encoder`, or why it has none."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok._optional import require

_REMEDY = "; call the module itself, which always works"
_SETTINGS = ("heads", "activation", "norm_first", "eps")


def read_encoder(module: Any) -> dict[str, Any]:
    """Return the arguments of `Encoder` for a `torch.nn.TransformerEncoder`, a layer of it, or a `MaskedTokenModel`.

    Raises
    ------
    TypeError, ValueError
        Naming the part that the native encoder does not compute.
    """
    nn = require("torch", extra="torch").nn
    if type(module).__module__ == "evtok.detectors.masked_token_model":
        return read_encoder(module.encoder) | {"positions": _model_positions(module)}
    if type(module) is nn.TransformerEncoderLayer:
        layers, norm, name = [module], None, "module"
    elif type(module) is nn.TransformerEncoder:
        layers, norm, name = list(module.layers), module.norm, "module.layers"
    else:
        raise TypeError(
            f"module: expected a torch.nn.TransformerEncoder, a TransformerEncoderLayer or evtok's "
            f"MaskedTokenModel, got {type(module).__name__} (a subclass may compute something else)" + _REMEDY
        )
    _refuse_changed(module, "module")
    if not layers:
        raise ValueError("module: has no layers" + _REMEDY)
    names = [name] if layers == [module] else [f"{name}[{k}]" for k in range(len(layers))]
    found = [_read_layer(layer, of, nn) for layer, of in zip(layers, names, strict=True)]
    settings = {key: found[0][1][key] for key in _SETTINGS}
    for of, (_, other) in zip(names, found, strict=True):
        for key in _SETTINGS:
            if other[key] != settings[key]:
                raise ValueError(f"{of}: {key} is {other[key]}, but {settings[key]} in {names[0]}" + _REMEDY)
    end = None
    if norm is not None:
        end, eps = _read_norm(norm, "module.norm", nn)
        if eps != settings["eps"]:
            raise ValueError(f"module.norm: eps is {eps}, but {settings['eps']} in the layers" + _REMEDY)
    return {"layers": [arrays for arrays, _ in found], "norm": end, **settings}


def read_positions(positions: Any) -> Any:
    """Return the weights of an `nn.Embedding` as an array; anything else as it is."""
    if type(positions).__module__.split(".", 1)[0] == "torch" and hasattr(positions, "num_embeddings"):
        nn = require("torch", extra="torch").nn
        if type(positions) is not nn.Embedding or positions.max_norm is not None:
            raise TypeError("positions: expected a plain torch.nn.Embedding without max_norm" + _REMEDY)
        _refuse_changed(positions, "positions")
        return _array(positions.weight, "positions.weight")
    return positions


def _model_positions(model: Any) -> Any:
    if model.kind_of_positions == "learned":
        return read_positions(model.positions)
    return None if model.kind_of_positions == "none" else _array(model.waves, "module.waves")


def _refuse_changed(module: Any, name: str) -> None:
    """Refuse what changes the result of a module from outside."""
    for path, part in module.named_modules():
        full = f"{name}.{path}" if path else name
        if "forward" in vars(part) or part._forward_hooks or part._forward_pre_hooks:
            raise TypeError(f"{full}: has hooks, or a forward of its own" + _REMEDY)


def _read_norm(norm: Any, name: str, nn: Any) -> tuple[tuple[Any, Any], float]:
    if type(norm) is not nn.LayerNorm or len(norm.normalized_shape) != 1 or norm.weight is None:
        raise TypeError(f"{name}: expected a torch.nn.LayerNorm over one dimension with weights" + _REMEDY)
    return (_array(norm.weight, f"{name}.weight"), _array(norm.bias, f"{name}.bias")), norm.eps


def _read_layer(layer: Any, name: str, nn: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays of a layer by torch's names, and its settings."""
    if type(layer) is not nn.TransformerEncoderLayer:
        raise TypeError(
            f"{name}: expected a torch.nn.TransformerEncoderLayer, got {type(layer).__name__}" + _REMEDY
        )
    attention = layer.self_attn
    if type(attention) is not nn.MultiheadAttention or attention.in_proj_weight is None:
        raise TypeError(f"{name}.self_attn: expected a plain torch.nn.MultiheadAttention" + _REMEDY)
    if attention.bias_k is not None or attention.add_zero_attn:
        raise TypeError(f"{name}.self_attn: add_bias_kv and add_zero_attn are not computed" + _REMEDY)
    if not attention.batch_first:
        raise ValueError(
            f"{name}: batch_first is False, so its x is (S, B, d); this call takes (B, S, d): make the module with "
            "batch_first=True, which has the same weights, or transpose x and call the module itself"
        )
    for part in ("linear1", "linear2"):
        if type(getattr(layer, part)) is not nn.Linear:
            raise TypeError(
                f"{name}.{part}: expected a torch.nn.Linear, got {type(getattr(layer, part)).__name__}"
                + _REMEDY
            )
    if not isinstance(attention.out_proj, nn.Linear) or hasattr(attention.out_proj, "parametrizations"):
        raise TypeError(f"{name}.self_attn.out_proj: expected a torch.nn.Linear" + _REMEDY)
    drops = [(f"{name}.self_attn", attention.dropout, attention.training)]
    for part in ("dropout", "dropout1", "dropout2"):
        drop = getattr(layer, part)
        if type(drop) is not nn.Dropout:
            raise TypeError(f"{name}.{part}: expected a torch.nn.Dropout" + _REMEDY)
        drops.append((f"{name}.{part}", drop.p, drop.training))
    for of, p, training in drops:
        if training and p > 0:
            raise ValueError(f"{of}: is in training mode with dropout {p}; call module.eval() first")

    arrays: dict[str, Any] = {}
    for key, tensor in layer.named_parameters():
        arrays[key] = _array(tensor, f"{name}.{key}")
    (_, first), (_, second) = (_read_norm(getattr(layer, k), f"{name}.{k}", nn) for k in ("norm1", "norm2"))
    if first != second:
        raise ValueError(f"{name}: eps is {first} in norm1, but {second} in norm2" + _REMEDY)
    settings = {
        "heads": attention.num_heads,
        "activation": _activation(layer.activation, name, nn),
        "norm_first": bool(layer.norm_first),
        "eps": first,
    }
    return arrays, settings


def _activation(activation: Any, name: str, nn: Any) -> str:
    torch = require("torch", extra="torch")
    if type(activation) is nn.ReLU or activation in (nn.functional.relu, torch.relu):
        return "relu"
    options: dict[str, Any] = {}
    if type(activation) is functools.partial and not activation.args:
        activation, options = activation.func, activation.keywords
    if type(activation) is nn.GELU:
        options, activation = {"approximate": activation.approximate}, nn.functional.gelu
    if activation is nn.functional.gelu and set(options) <= {"approximate"}:
        return {"none": "gelu", "tanh": "gelu-tanh"}[options.get("approximate", "none")]
    raise TypeError(f"{name}: expected the activation relu or gelu, got {activation!r}" + _REMEDY)


def _array(tensor: Any, name: str) -> npt.NDArray[np.float32] | None:
    """Copy a float32 tensor on the CPU."""
    if tensor is None:
        return None
    if str(tensor.dtype) != "torch.float32" or tensor.is_quantized or str(tensor.layout) != "torch.strided":
        raise TypeError(f"{name}: expected float32, got {tensor.dtype}; use module.float()" + _REMEDY)
    if tensor.device.type == "meta":
        raise TypeError(f"{name}: has no values (device meta)")
    return np.array(tensor.detach().cpu().numpy(), np.float32, order="C")
