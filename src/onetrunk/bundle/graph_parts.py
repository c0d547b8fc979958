"""The parts of an encoder, written into an ONNX graph: embeddings, attention, layers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from onetrunk.bundle.app import a_name, b_name
from onetrunk.errors import UserError, nearest
from onetrunk.model.encoder import Encoder

OPSET = 21
IR_VERSION = 10
RUNTIME_DOMAIN = "com.microsoft"
ATTENTION_INPUTS = ("query", "key", "value")
"""The linear maps that read what enters a layer."""
# ``hidden_act`` of a configuration -> operator and its attributes.
ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "gelu": ("Gelu", {"approximate": "none"}),
    "gelu_new": ("Gelu", {"approximate": "tanh"}),
    "gelu_pytorch_tanh": ("Gelu", {"approximate": "tanh"}),
    "relu": ("Relu", {}),
}


class Graph:
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
        """The graph, checked."""
        graph = helper.make_graph(self.nodes, name, inputs, outputs, [*self.weights.values()])
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(RUNTIME_DOMAIN, 1)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="onetrunk")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return model


@dataclass(frozen=True)
class Batch:
    """Names of what attention over several texts needs."""

    mask: str
    """1 for a token, 0 for padding: ``(rows, T)`` int32."""
    rows: str
    """The shape of its inputs, ``(rows, T, D)``."""
    like: str
    """The shape of the states around it, which its output gets."""


class Layers:
    """Writes an encoder's layers into a graph."""

    def __init__(self, graph: Graph, encoder: Encoder) -> None:
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
        self.grouped = True
        """Whether ``slots`` says which of the stacked adapters to add; else there is one."""
        self.given: dict[tuple[int, str], str] = {}
        """Places where x W + b is an input of the graph, of this name."""

    def norm(self, x: str, module: Any, name: str) -> str:
        """LayerNorm over the last axis."""
        graph = self.graph
        return graph.add(
            "LayerNormalization",
            x,
            graph.weight(f"{name}.weight", as_numpy(module.weight)),
            graph.weight(f"{name}.bias", as_numpy(module.bias)),
            epsilon=float(module.eps),
        )

    def linear(self, x: str, layer: int, target: str) -> str:
        """x W + b, plus x A B where a place is adapted."""
        graph = self.graph
        y = self.given.get((layer, target)) or self._without_adapter(x, layer, target)
        if (layer, target) not in self.adapted:
            return y
        a, b = a_name(layer, target), b_name(layer, target)
        if self.grouped:
            a, b = (graph.add("Gather", half, "slots") for half in (a, b))
        return graph.add("Add", y, graph.add("MatMul", graph.add("MatMul", x, a), b))

    def _without_adapter(self, x: str, layer: int, target: str) -> str:
        graph, module = self.graph, self.encoder.linear(layer, target)
        name = f"layer_{layer}.{target}"
        y = graph.add("MatMul", x, graph.weight(f"{name}.weight", as_numpy(module.weight).T))
        return graph.add("Add", y, graph.weight(f"{name}.bias", as_numpy(module.bias)))

    def attention(self, layer: int, x: str, batch: Batch | None) -> str:
        """Softmax attention over all tokens of each text."""
        graph = self.graph
        inputs = [self.linear(x, layer, target) for target in ATTENTION_INPUTS]
        more: dict[str, Any] = {"domain": RUNTIME_DOMAIN, "num_heads": self.heads}
        if batch is None:
            return graph.add("MultiHeadAttention", *inputs, **more)
        inputs = [graph.add("Reshape", states, batch.rows) for states in inputs]
        attended = graph.add(
            "MultiHeadAttention", *inputs, "", batch.mask, mask_filter_value=-1e9, **more
        )
        return graph.add("Reshape", attended, batch.like)

    def layer(self, layer: int, x: str, batch: Batch | None = None) -> str:
        """One transformer layer with its norms after the residuals; without ``batch``, of one
        text."""
        graph, module = self.graph, self.encoder.layers[layer]
        first, second = (module.get_submodule(name) for name in self.encoder.architecture.norms)
        attended = self.attention(layer, x, batch)
        out = self.linear(attended, layer, "attention_output")
        x = self.norm(graph.add("Add", out, x), first, f"layer_{layer}.attention_norm")
        operator, more = self.activation
        up = graph.add(operator, self.linear(x, layer, "ffn_up"), **more)
        down = self.linear(up, layer, "ffn_down")
        return self.norm(graph.add("Add", down, x), second, f"layer_{layer}.ffn_norm")


def embeddings(graph: Graph, layers: Layers, encoder: Encoder) -> str:
    """Word, position and segment embeddings, normalised."""
    module = encoder.model.embeddings
    words = graph.weight("word_embeddings", as_numpy(encoder.token_embedding.weight))
    fixed = as_numpy(module.position_embeddings.weight)
    if hasattr(module, "token_type_embeddings"):  # every text is segment 0
        fixed = fixed + as_numpy(module.token_type_embeddings.weight)[:1]
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
        x = graph.add("MatMul", x, graph.weight("project.weight", as_numpy(project.weight).T))
        x = graph.add("Add", x, graph.weight("project.bias", as_numpy(project.bias)))
    return x


def as_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Weights in float32. Raises :class:`UserError` if some are not finite."""
    array: np.ndarray = tensor.detach().float().cpu().numpy()
    if not math.isfinite(float(np.abs(array).max(initial=0.0))):
        raise UserError("the encoder has weights that are no numbers; it cannot be exported")
    return array
