"""What a user of ONNX Runtime runs: the encoder as a graph, with all optimisations of a session.

The graph is what torch.onnx.export gives, operator by operator, without what it adds to read shapes; or the same with
ONNX Runtime's own fused attention, which its tool for transformers puts in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from evtok.bench.encoder_data import EPSILON, Array, Network
from evtok.bench.encoder_ways import Way

#: What is imported.
PACKAGES = ("onnx", "onnxruntime")

KINDS = ("exported operators", "fused attention")

_OPSET, _OF_MICROSOFT, _IR = 20, 1, 10


def encode(network: Network, x: Array, threads: int) -> list[Way]:
    """Return ways to encode float32 sequences x (n, length, d) in one call."""
    return [Way(kind, _call(_session(network, kind, threads), x), threads) for kind in KINDS]


def each(network: Network, pieces: Sequence[Array], threads: int) -> list[Way]:
    """Return ways to encode one sequence (length, d) after the other, a call for each."""
    ways = []
    for kind in KINDS:
        for n in sorted({1, threads}):
            call = _encoder(_session(network, kind, n))
            ways.append(Way(f"{kind}, {n} threads", partial(_each, call, pieces), n))
    return ways


def each_pseudo_likelihood(
    network: Network, events: Sequence[Array], mask_id: int, threads: int
) -> list[Way]:
    """Return ways to score one event after the other: its masked copies are a batch, NumPy does the rest."""
    state = network.state
    weight = np.ascontiguousarray(state["head.weight"].T)

    def scores(call: Callable[[Array], Array]) -> Array:
        found = []
        for ids in events:
            own = np.arange(len(ids))
            passes = np.where(np.eye(len(ids), dtype=bool), mask_id, ids)
            hidden = call(state["embedding.weight"][passes] + state["positions.weight"][: len(ids)])[own, own]
            logits = hidden @ weight + state["head.bias"]
            most = logits.max(axis=1)
            total = np.log(np.exp(logits - most[:, None]).sum(axis=1)) + most
            found.append((total - logits[own, ids]).mean())
        return np.array(found)

    ways = []
    for kind in KINDS:
        for n in sorted({1, threads}):
            call = _encoder(_session(network, kind, n))
            ways.append(Way(f"{kind}, {n} threads", partial(scores, call), n))
    return ways


def _each(call: Callable[[Array], Array], pieces: Sequence[Array]) -> list[Array]:
    return [call(piece[None])[0] for piece in pieces]


def _call(session: Any, x: Array) -> Callable[[], Any]:
    return lambda: session.run(None, {"x": x})[0]


def _encoder(session: Any) -> Callable[[Array], Array]:
    return lambda x: np.asarray(session.run(None, {"x": x})[0])


def _session(network: Network, kind: str, threads: int) -> Any:
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(graph(network, kind), options, providers=["CPUExecutionProvider"])


def graph(network: Network, kind: str) -> bytes:
    """Return the encoder as an ONNX model: "x" (n, length, d) to "out", for any n and length."""
    onnx = import_module("onnx")
    made = _Graph(onnx, network.settings.heads, kind)
    x = "x"
    for k in range(network.settings.layers):
        x = made.layer(x, f"layer{k}.", network.layer(k))
    made.norm(x, "out", network.encoder(), "norm")
    edges = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", "length", network.width])
        for name in ("x", "out")
    ]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(made.nodes, "encoder", edges[:1], edges[1:], made.constants),
        opset_imports=[
            onnx.helper.make_opsetid("", _OPSET),
            onnx.helper.make_opsetid("com.microsoft", _OF_MICROSOFT),
        ],
        ir_version=_IR,
    )
    return bytes(model.SerializeToString())


class _Graph:
    """Nodes and constants of a pre-norm encoder with GELU."""

    def __init__(self, onnx: Any, heads: int, kind: str) -> None:
        self.onnx, self.heads, self.kind = onnx, heads, kind
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def layer(self, x: str, at: str, tensors: dict[str, Array]) -> str:
        """Add a layer; returns the name of its result."""
        before = self.norm(x, at + "before", tensors, "norm1")
        attention = self.fused if self.kind == KINDS[1] else self.plain
        seen = attention(before, at, tensors)
        x = self.add("Add", [x, self.linear(seen, at + "seen", tensors, "self_attn.out_proj.")], at + "x")
        inner = self.linear(self.norm(x, at + "after", tensors, "norm2"), at + "inner", tensors, "linear1.")
        inner = self.add("Gelu", [inner], at + "gelu")
        return self.add("Add", [x, self.linear(inner, at + "outer", tensors, "linear2.")], at + "out")

    def fused(self, x: str, at: str, tensors: dict[str, Array]) -> str:
        """Add attention as one operator of ONNX Runtime."""
        weight = self.constant(at + "joined", tensors["self_attn.in_proj_weight"].T)
        bias = self.constant(at + "joined.bias", tensors["self_attn.in_proj_bias"])
        heads = {"num_heads": self.heads, "domain": "com.microsoft"}
        return self.add("Attention", [x, weight, bias], at + "heads", **heads)

    def plain(self, x: str, at: str, tensors: dict[str, Array]) -> str:
        """Add attention by operators of the standard."""
        width = tensors["self_attn.in_proj_bias"].size // 3
        split = self.constant(at + "split", np.array([0, 0, self.heads, width // self.heads]))
        joined = self.linear(x, at + "joined", tensors, "self_attn.in_proj_")
        parts = [at + part for part in ("query", "key", "value")]
        self.nodes.append(self.onnx.helper.make_node("Split", [joined], parts, axis=2, num_outputs=3))
        query, key, value = (
            self.add(
                "Transpose", [self.add("Reshape", [part, split], part + ".split")], part + ".heads", perm=perm
            )
            for part, perm in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
        )
        scale = self.constant(at + "scale", np.float32((width // self.heads) ** -0.5))
        scores = self.add("Mul", [self.add("MatMul", [query, key], at + "scores"), scale], at + "scaled")
        weights = self.add("Softmax", [scores], at + "weights", axis=-1)
        seen = self.add("MatMul", [weights, value], at + "values")
        seen = self.add("Transpose", [seen], at + "rows", perm=[0, 2, 1, 3])
        return self.add("Reshape", [seen, self.constant(at + "join", np.array([0, 0, width]))], at + "heads")

    def linear(self, x: str, out: str, tensors: dict[str, Array], name: str) -> str:
        """Add a product with weights, and a bias."""
        weight = self.constant(out + ".weight", tensors[name + "weight"].T)
        bias = self.constant(out + ".bias", tensors[name + "bias"])
        return self.add("Add", [self.add("MatMul", [x, weight], out + ".product"), bias], out)

    def norm(self, x: str, out: str, tensors: dict[str, Array], name: str) -> str:
        """Add a layer normalisation."""
        weight = self.constant(out + ".weight", tensors[name + ".weight"])
        bias = self.constant(out + ".bias", tensors[name + ".bias"])
        return self.add("LayerNormalization", [x, weight, bias], out, axis=-1, epsilon=EPSILON)

    def constant(self, name: str, value: Any) -> str:
        """Add a constant."""
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, inputs: list[str], out: str, **options: Any) -> str:
        """Add a node of one result."""
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [out], **options))
        return out
