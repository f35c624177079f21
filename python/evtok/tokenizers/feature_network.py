"""`FeatureNetwork`: the encoder of a codebook tokenizer, dense layers with the same bits on every machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _core
from evtok.errors import ArtefactError
from evtok.tokenizers.artefact import closed

Tensors = Mapping[str, npt.NDArray[Any]]

#: Activations, by the number that the kernel knows them by (``feature_network.hpp``).
ACTIVATIONS = {"identity": 0, "relu": 1, "leaky_relu": 2}

_MOST_LAYERS = 256


@dataclass(frozen=True, eq=False)
class Dense:
    """One layer: ``activation(weight @ x + bias)``.

    Parameters
    ----------
    weight : float32 (n_out, n_in)
    bias : float32 (n_out,)
    activation : {"identity", "relu", "leaky_relu"}
    slope : float
        Of ``leaky_relu`` below 0, rounded to float32; 0 for the others.

    Raises
    ------
    ValueError
        Other shapes or dtypes, or numbers that are not finite.
    """

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    activation: Literal["identity", "relu", "leaky_relu"] = "identity"
    slope: float = 0.0

    def __post_init__(self) -> None:
        for name, n_dims in (("weight", 2), ("bias", 1)):
            value = _arrays.to_numpy(getattr(self, name), name)
            if value.dtype != np.float32 or value.ndim != n_dims or not value.size:
                raise ValueError(
                    f"{name}: expected float32 with {n_dims} dimensions and no empty one, got {value.dtype} of shape "
                    f"{value.shape}"
                )
            if not np.isfinite(value).all():
                raise ValueError(f"{name}: expected finite numbers")
            copy = np.array(value, np.float32, order="C")  # a copy: the caller may change his
            object.__setattr__(self, name, _arrays.read_only(copy))
        if self.weight.shape[0] != self.bias.shape[0]:
            raise ValueError(
                f"bias: expected shape ({self.weight.shape[0]},) as weight has {self.weight.shape}, got "
                f"{self.bias.shape}"
            )
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {self.activation!r}")
        untrusted: object = self.slope
        if (
            isinstance(untrusted, bool)
            or not isinstance(untrusted, (int, float))
            or not np.isfinite(untrusted)
        ):
            raise ValueError(f"slope: expected a finite number, got {untrusted!r}")
        with _core.FloatEnvironment(), np.errstate(over="ignore"):
            rounded = float(np.float32(self.slope)) + 0.0
        if not np.isfinite(rounded) or (self.activation != "leaky_relu" and rounded != 0):
            raise ValueError(f"slope: expected a float32 for leaky_relu, and 0 for others; got {untrusted!r}")
        object.__setattr__(self, "slope", rounded)


class FeatureNetwork:
    """Dense layers one after the other, in float32.

    Parameters
    ----------
    layers : sequence of Dense
        Each takes what the one before gives.

    Notes
    -----
    An output is a chain of fused multiply-adds over the inputs in their order, beginning with the bias, and then the
    activation; see ``feature_network.hpp``. The bits of a row depend on nothing but the row. Other libraries add in
    another order: their last bits differ, and where two codes are that close, so may the token.
    """

    def __init__(self, layers: Sequence[Dense]) -> None:
        if not 1 <= len(layers) <= _MOST_LAYERS:
            raise ValueError(f"layers: expected 1 to {_MOST_LAYERS}, got {len(layers)}")
        for k, (before, after) in enumerate(pairwise(layers)):
            if before.weight.shape[0] != after.weight.shape[1]:
                raise ValueError(
                    f"layers: layer {k} gives {before.weight.shape[0]} numbers, and layer {k + 1} takes "
                    f"{after.weight.shape[1]}"
                )
        self.layers = tuple(layers)

    @property
    def n_in(self) -> int:
        """Numbers that a row has."""
        return int(self.layers[0].weight.shape[1])

    @property
    def n_out(self) -> int:
        """Numbers that it becomes."""
        return int(self.layers[-1].weight.shape[0])

    def __call__(self, x: npt.NDArray[np.float32], *, threads: int | None = None) -> npt.NDArray[np.float32]:
        """Return the outputs (n, n_out) of rows x (n, n_in); NaN for a row where a sum is not finite."""
        out = np.empty((len(x), self.n_out), np.float32)
        layers = [
            (layer.weight, layer.bias, ACTIVATIONS[layer.activation], layer.slope) for layer in self.layers
        ]
        _core.feature_network(x, layers, threads or 0, out)
        return out

    @classmethod
    def from_torch(cls, module: Any) -> FeatureNetwork:
        """Take the weights of a ``torch.nn.Sequential`` of Linear, ReLU, LeakyReLU, Identity and Dropout.

        Dropout does nothing after training; an Identity never does.

        Raises
        ------
        TypeError
            Another module, which evtok cannot compute with the same bits everywhere; or one of these that computes
            something else, by a hook, a parametrization or a forward of its own.
        """
        layers: list[Dense] = []
        for path, part in _flat(module, ""):
            kind = type(part).__name__
            if kind == "Linear":
                layers.append(_dense(part, path))
            elif kind in ("ReLU", "LeakyReLU"):
                if not layers or layers[-1].activation != "identity":
                    raise TypeError(f"module{path}: {kind} has to follow a Linear")
                last = layers.pop()
                slope = float(part.negative_slope) if kind == "LeakyReLU" else 0.0
                layers.append(
                    Dense(last.weight, last.bias, "leaky_relu" if kind == "LeakyReLU" else "relu", slope)
                )
            elif kind not in ("Identity", "Dropout"):
                raise TypeError(
                    f"module{path}: a {kind} cannot be kept in a tokenizer: expected a Sequential of Linear, ReLU, "
                    "LeakyReLU, Identity and Dropout. Compute the vectors with torch, and give them to Codebook.nearest"
                )
        if not layers:
            raise TypeError("module: expected at least one Linear")
        return cls(layers)

    # ---- files ------------------------------------------------------------------------------------------------

    def to_config(self) -> list[dict[str, Any]]:
        """Return the JSON form, without the numbers."""
        return [{"activation": layer.activation, "slope": layer.slope} for layer in self.layers]

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return the numbers by name."""
        return {
            f"network.{k}.{part}": getattr(layer, part)
            for k, layer in enumerate(self.layers)
            for part in ("weight", "bias")
        }

    @classmethod
    def from_config(cls, config: Any, tensors: Tensors) -> FeatureNetwork:
        """Read what `to_config` and `tensors` returned, trusting nothing."""
        where = "tokenizer config: network"
        if not isinstance(config, list) or len(config) > _MOST_LAYERS:
            raise ArtefactError(
                f"{where}: expected a list of at most {_MOST_LAYERS} layers, got {config!r:.80}"
            )
        layers = []
        for k, entry in enumerate(config):
            if not isinstance(entry, dict):
                raise ArtefactError(f"{where}[{k}]: expected an object, got {entry!r:.80}")
            closed(entry, {"activation", "slope"}, f"{where}[{k}]")
            parts = {}
            for part in ("weight", "bias"):
                name = f"network.{k}.{part}"
                if name not in tensors:
                    raise ArtefactError(f"tokenizer tensors: missing {name!r}")
                parts[part] = tensors[name]
            try:
                layers.append(Dense(parts["weight"], parts["bias"], entry["activation"], entry["slope"]))
            except (TypeError, ValueError, OverflowError) as error:
                raise ArtefactError(f"{where}[{k}]: {error}") from error
        try:
            return cls(layers)
        except ValueError as error:
            raise ArtefactError(f"{where}: {error}") from error

    def __repr__(self) -> str:
        widths = [self.n_in, *(layer.weight.shape[0] for layer in self.layers)]
        return f"<FeatureNetwork: {' -> '.join(map(str, widths))}>"


def _flat(module: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the modules in a nest of Sequentials, each with its place."""
    _check_forward(module, path)
    if type(module).__name__ != "Sequential":
        yield path, module
        return
    for k, part in enumerate(module):
        yield from _flat(part, f"{path}[{k}]")


def _check_forward(module: Any, path: str) -> None:
    """Refuse a module that may compute something else than the class of torch.nn whose name it has."""
    kind = type(module)
    if hasattr(module, "parametrizations"):
        raise TypeError(
            f"module{path}: parametrizations cannot be kept in a tokenizer; make their weights plain first, with "
            "torch.nn.utils.parametrize.remove_parametrizations"
        )
    if not kind.__module__.startswith("torch.nn.modules."):
        raise TypeError(
            f"module{path}: expected a module of torch.nn, got {kind.__module__}.{kind.__qualname__}, whose forward "
            "pass is not known"
        )
    if "forward" in vars(module):
        raise TypeError(f"module{path}: this {kind.__name__} has a forward of its own, which is not known")
    if module._forward_hooks or module._forward_pre_hooks:  # weight_norm and prune are hooks, too
        raise TypeError(
            f"module{path}: forward hooks cannot be kept in a tokenizer; remove them first, and weight_norm, "
            "spectral_norm or pruning with their functions in torch.nn.utils"
        )


def _dense(linear: Any, path: str) -> Dense:
    weight = _arrays.to_numpy(linear.weight.detach(), f"module{path}.weight")
    if weight.dtype != np.float32:
        raise TypeError(f"module{path}.weight: expected float32, got {weight.dtype}; use module.float()")
    if linear.bias is None:
        bias = np.zeros(len(weight), np.float32)
    else:
        bias = _arrays.to_numpy(linear.bias.detach(), f"module{path}.bias")
    return Dense(weight, bias)
