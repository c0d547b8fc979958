"""The encoder as two ONNX graphs, with LoRA as inputs of the second.

    trunk   input_ids (B, T), attention_mask (B, T) ─► hidden (B, T, D)

    top     hidden (H, B, T, D), attention_mask (H, B, T)    H = 1: all groups read the same texts
            slots (G,), a/b of every place (n, …)            H = G: each group reads its own
                ─► state_1 … state_k (G, B, T, D), the output of each layer

A group is a set of rows that use one adapter: ``slots[g]`` is its number among the n stacked ones,
as in :mod:`onetrunk.model.lora_stack`. With H = 1, G apps read the same texts; with H = G and
B = 1, each row of a batch is read by another app. The groups share what is equal for all of them,
which is every linear map of the input to the top's first layer.

Attention is ONNX Runtime's fused operator; all other operators are standard ONNX.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from onetrunk.bundle.app import a_name, b_name
from onetrunk.errors import UserError, nearest
from onetrunk.model.encoder import Encoder

OPSET = 20
IR_VERSION = 10
RUNTIME_DOMAIN = "com.microsoft"
# ``hidden_act`` of a configuration -> operator and its attributes.
ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "gelu": ("Gelu", {"approximate": "none"}),
    "gelu_new": ("Gelu", {"approximate": "tanh"}),
    "gelu_pytorch_tanh": ("Gelu", {"approximate": "tanh"}),
    "relu": ("Relu", {}),
}


class _Graph:
    """Nodes and weights of a graph that is being written."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, onnx.TensorProto] = {}

    def weight(self, name: str, value: np.ndarray) -> str:
        """Add a constant, unless there is one of this name; returns the name."""
        if name not in self.weights:
            self.weights[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name

    def ints(self, *values: int) -> str:
        """A 1-D int64 constant."""
        name = "ints_" + "_".join(map(str, values)).replace("-", "m")
        return self.weight(name, np.array(values, np.int64))

    def add(self, operator: str, *inputs: str, out: str = "", domain: str = "", **more: Any) -> str:
        """Append a node with one output; returns the name of the output."""
        out = out or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [out], domain=domain, **more))
        return out

    def model(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, name, inputs, outputs, [*self.weights.values()])
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(RUNTIME_DOMAIN, 1)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="onetrunk")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return model


class _Layers:
    """Writes an encoder's layers into a graph."""

    def __init__(self, graph: _Graph, encoder: Encoder) -> None:
        self.graph, self.encoder = graph, encoder
        config = encoder.model.config
        self.heads = int(config.num_attention_heads)
        name = str(getattr(config, "hidden_act", None) or config.activation)
        if name not in ACTIVATIONS:
            hint = nearest(name, ACTIVATIONS)
            raise UserError(f"activation {name!r} of {encoder.source} cannot be exported; {hint}")
        self.activation = ACTIVATIONS[name]
        self.adapted: set[tuple[int, str]] = set()
        """Places to which an adapter is added; see :meth:`linear`."""

    def norm(self, x: str, module: Any, name: str, out: str = "") -> str:
        graph = self.graph
        return graph.add(
            "LayerNormalization",
            x,
            graph.weight(f"{name}.weight", _numpy(module.weight)),
            graph.weight(f"{name}.bias", _numpy(module.bias)),
            epsilon=float(module.eps),
            out=out,
        )

    def linear(self, x: str, layer: int, target: str) -> str:
        """x W + b, plus x A[slots] B[slots] where a place is adapted."""
        graph, module = self.graph, self.encoder.linear(layer, target)
        name = f"layer_{layer}.{target}"
        y = graph.add("MatMul", x, graph.weight(f"{name}.weight", _numpy(module.weight).T))
        y = graph.add("Add", y, graph.weight(f"{name}.bias", _numpy(module.bias)))
        if (layer, target) not in self.adapted:
            return y
        low = graph.add("MatMul", x, graph.add("Gather", a_name(layer, target), "slots"))
        high = graph.add("MatMul", low, graph.add("Gather", b_name(layer, target), "slots"))
        return graph.add("Add", y, high)

    def attention(self, layer: int, x: str, mask: str, rows: str, like: str) -> str:
        """Softmax attention: its inputs are reshaped to ``rows`` and its output to ``like``."""
        graph = self.graph
        inputs = [
            graph.add("Reshape", self.linear(x, layer, target), rows)
            for target in ("query", "key", "value")
        ]
        attended = graph.add(
            "MultiHeadAttention",
            *inputs,
            "",
            mask,
            domain=RUNTIME_DOMAIN,
            num_heads=self.heads,
            mask_filter_value=-1e9,
        )
        return graph.add("Reshape", attended, like)

    def layer(self, layer: int, x: str, mask: str, rows: str, like: str) -> str:
        """One transformer layer with its norms after the residuals."""
        graph, module = self.graph, self.encoder.layers[layer]
        first, second = (module.get_submodule(name) for name in self.encoder.architecture.norms)
        attended = self.attention(layer, x, mask, rows, like)
        out = self.linear(attended, layer, "attention_output")
        x = self.norm(graph.add("Add", out, x), first, f"layer_{layer}.attention_norm")
        operator, more = self.activation
        up = graph.add(operator, self.linear(x, layer, "ffn_up"), **more)
        down = self.linear(up, layer, "ffn_down")
        return self.norm(graph.add("Add", down, x), second, f"layer_{layer}.ffn_norm")


def trunk_graph(encoder: Encoder, k: int) -> onnx.ModelProto:
    """Embeddings and all layers below the last ``k``."""
    graph = _Graph()
    graph.add("Identity", _lowest_states(graph, encoder, encoder.depth - k)[-1], out="hidden")
    ids = [_int64(name, "B", "T") for name in ("input_ids", "attention_mask")]
    return graph.model("trunk", ids, [_float("hidden", "B", "T", encoder.width)])


def top_graph(encoder: Encoder, k: int, targets: Sequence[str]) -> onnx.ModelProto:
    """The last ``k`` layers; ``targets`` are the linear maps that adapters may change."""
    graph, width = _Graph(), encoder.width
    layers = _Layers(graph, encoder)
    start = encoder.depth - k
    places = [(layer, target) for layer in range(start, encoder.depth) for target in targets]
    layers.adapted = set(places)

    shape = graph.add("Shape", "hidden")
    of_text = graph.add("Slice", shape, graph.ints(1), graph.ints(3))  # (B, T)
    length = graph.add("Slice", shape, graph.ints(2), graph.ints(3))
    groups = graph.add("Shape", "slots")
    rows = graph.add("Concat", graph.ints(-1), length, graph.ints(width), axis=0)  # (G·B, T, D)
    like = graph.add("Concat", groups, graph.ints(-1, width), axis=0)  # (G, B·T, D)
    out = graph.add("Concat", groups, of_text, graph.ints(width), axis=0)  # (G, B, T, D)
    # Every group needs a mask, though all groups may read one text.
    masks = graph.add("Expand", "attention_mask", graph.add("Concat", groups, of_text, axis=0))
    masks = graph.add("Reshape", masks, graph.add("Concat", graph.ints(-1), length, axis=0))
    mask = graph.add("Cast", masks, to=TensorProto.INT32)

    # (H, B·T, D): with H = 1 the groups share their states up to the first adapter.
    shared = graph.add("Slice", shape, graph.ints(0), graph.ints(1))
    flat = graph.add("Concat", shared, graph.ints(-1, width), axis=0)
    hidden = graph.add("Reshape", "hidden", flat)
    if not places or not {"query", "key", "value"} <= set(targets):
        # Attention needs query, key and value of one size, for each of the G groups.
        hidden = graph.add("Expand", hidden, graph.add("Concat", groups, graph.ints(1, 1), axis=0))
    states = []
    for number, layer in enumerate(range(start, encoder.depth), start=1):
        hidden = layers.layer(layer, hidden, mask, rows, like)
        graph.add("Reshape", hidden, out, out=f"state_{number}")
        states.append(_float(f"state_{number}", "G", "B", "T", width))
    inputs = [
        _float("hidden", "H", "B", "T", width),
        _int64("attention_mask", "H", "B", "T"),
        _int64("slots", "G"),
    ]
    for layer, target in places:
        linear = encoder.linear(layer, target)
        inputs.append(_float(a_name(layer, target), "n", linear.in_features, "r"))
        inputs.append(_float(b_name(layer, target), "n", "r", linear.out_features))
    return graph.model("top", inputs, states)


def whole_graph(
    encoder: Encoder,
    pooling: str,
    weight: np.ndarray,
    bias: np.ndarray,
    per_token: bool,
    head_layers: int = 1,
) -> onnx.ModelProto:
    """The whole encoder and one head on its last ``head_layers`` states: ids and mask ``(B, T)`` ->
    ``logits``, ``(B, C)`` of the pooled texts or ``(B, T, C)`` of their tokens.

    For one app alone, whose LoRA is merged into the encoder's weights.
    """
    graph = _Graph()
    states = _lowest_states(graph, encoder, encoder.depth)[-head_layers:]
    hidden = graph.add("Concat", *states, axis=-1) if head_layers > 1 else states[0]
    if not per_token and pooling == "cls":
        first = graph.weight("first", np.array(0, np.int64))
        hidden = graph.add("Gather", hidden, first, axis=1)
    elif not per_token:
        real = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
        total = graph.add("ReduceSum", real, graph.ints(1), keepdims=1)
        share = graph.add("Unsqueeze", graph.add("Div", real, total), graph.ints(1))
        hidden = graph.add("Squeeze", graph.add("MatMul", share, hidden), graph.ints(1))
    logits = graph.add("MatMul", hidden, graph.weight("head.weight", weight.T))
    graph.add("Add", logits, graph.weight("head.bias", bias), out="logits")
    shape = ("B", "T", len(bias)) if per_token else ("B", len(bias))
    ids = [_int64(name, "B", "T") for name in ("input_ids", "attention_mask")]
    return graph.model("app", ids, [_float("logits", *shape)])


def _lowest_states(graph: _Graph, encoder: Encoder, count: int) -> list[str]:
    """Embeddings and the first ``count`` layers, without adapters: names of the embeddings and of
    the output of each layer, ``(B, T, D)``."""
    layers = _Layers(graph, encoder)
    states = [_embeddings(graph, layers, encoder)]
    mask = graph.add("Cast", "attention_mask", to=TensorProto.INT32)
    rows = graph.ints(0, 0, encoder.width)
    for layer in range(count):
        states.append(layers.layer(layer, states[-1], mask, rows, rows))
    return states


def _embeddings(graph: _Graph, layers: _Layers, encoder: Encoder) -> str:
    """Word, position and segment embeddings, normalised."""
    module = encoder.model.embeddings
    words = graph.weight("word_embeddings", _numpy(encoder.token_embedding.weight))
    fixed = _numpy(module.position_embeddings.weight)
    if hasattr(module, "token_type_embeddings"):  # every text is segment 0
        fixed = fixed + _numpy(module.token_type_embeddings.weight)[:1]
    if encoder.first_position:  # RoBERTa counts real tokens, from the padding id on
        pad = graph.weight("pad", np.array(encoder.model.config.pad_token_id, np.int64))
        real = graph.add("Not", graph.add("Equal", "input_ids", pad))
        real = graph.add("Cast", real, to=TensorProto.INT64)
        axis = graph.weight("axis", np.array(1, np.int64))
        counted = graph.add("Mul", graph.add("CumSum", real, axis), real)
        places = graph.add("Add", counted, pad)
    else:
        zero, one = (graph.weight(n, np.array(v, np.int64)) for n, v in (("zero", 0), ("one", 1)))
        shape = graph.add("Shape", "input_ids")
        places = graph.add("Range", zero, graph.add("Gather", shape, one), one)
    x = graph.add(
        "Add",
        graph.add("Gather", words, "input_ids"),
        graph.add("Gather", graph.weight("position_embeddings", fixed), places),
    )
    x = layers.norm(x, module.LayerNorm, "embeddings_norm")
    if hasattr(encoder.model, "embeddings_project"):  # ELECTRA with narrow embeddings
        project = encoder.model.embeddings_project
        x = graph.add("MatMul", x, graph.weight("project.weight", _numpy(project.weight).T))
        x = graph.add("Add", x, graph.weight("project.bias", _numpy(project.bias)))
    return x


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().float().cpu().numpy()
    if not math.isfinite(float(np.abs(array).max(initial=0.0))):
        raise UserError("the encoder has weights that are no numbers; it cannot be exported")
    return array


def _float(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _int64(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64, shape)
