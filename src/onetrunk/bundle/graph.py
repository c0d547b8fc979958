"""The encoder as two ONNX graphs, with LoRA as inputs of the second.

    trunk   input_ids (B, T), attention_mask (B, T) ─► hidden (B, T, D)

    top     hidden (H, B, T, D), attention_mask (H, B, T)    H = 1: all groups read the same texts
            slots (G,), a/b of every place (n, …)            H = G: each group reads its own
                ─► state_1 … state_k (G, B, T, D), the output of each layer

A group is a set of rows that use one adapter: ``slots[g]`` is its number among the n stacked ones,
as in :mod:`onetrunk.model.lora_stack`. With H = 1, G apps read the same texts; with H = G and
B = 1, each row of a batch is read by another app. The groups share what is equal for all of them,
which is every linear map of the input to the top's first layer.

The same two graphs for one text and one LoRA at a time need neither mask nor slots. There the trunk
also computes what the top's first layer makes of its states before any adapter, so that several
LoRAs share it:

    trunk   input_ids (1, T) ─► hidden, query, key, value (1, T, D)
    top     hidden, query, key, value (1, T, D), a/b of every place (1, …)
                ─► state_1 … state_k (1, T, D)

Attention is ONNX Runtime's fused operator; all other operators are standard ONNX.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from onetrunk.bundle.app import a_name, b_name
from onetrunk.bundle.graph_parts import ATTENTION_INPUTS, Batch, Graph, Layers, embeddings
from onetrunk.model.encoder import Encoder


def trunk_graph(encoder: Encoder, k: int, of_one: bool = False) -> onnx.ModelProto:
    """Embeddings and all layers below the last ``k``; with ``of_one``, for one text at a time."""
    graph, start = Graph(), encoder.depth - k
    states = _lowest_states(graph, encoder, start, of_one)
    graph.add("Identity", states[-1], out="hidden")
    if of_one:
        layers = Layers(graph, encoder)
        for target in ATTENTION_INPUTS if k else ():
            graph.add("Identity", layers.linear(states[-1], start, target), out=target)
        return graph.model("trunk", [_int64("input_ids", 1, "T")], _entering(encoder, k))
    ids = [_int64(name, "B", "T") for name in ("input_ids", "attention_mask")]
    return graph.model("trunk", ids, [_float("hidden", "B", "T", encoder.width)])


def top_graph(encoder: Encoder, k: int, targets: Sequence[str]) -> onnx.ModelProto:
    """The last ``k`` layers, for any number of texts and LoRAs; ``targets`` are the linear maps
    that adapters may change."""
    graph, width = Graph(), encoder.width
    layers = Layers(graph, encoder)
    start = encoder.depth - k
    places = _places(encoder, k, targets)
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
    if not places or not {*ATTENTION_INPUTS} <= set(targets):
        # Attention needs query, key and value of one size, for each of the G groups.
        hidden = graph.add("Expand", hidden, graph.add("Concat", groups, graph.ints(1, 1), axis=0))
    batch, states = Batch(mask, rows, like), []
    for number, layer in enumerate(range(start, encoder.depth), start=1):
        hidden = layers.layer(layer, hidden, batch)
        graph.add("Reshape", hidden, out, out=f"state_{number}")
        states.append(_float(f"state_{number}", "G", "B", "T", width))
    inputs = [
        _float("hidden", "H", "B", "T", width),
        _int64("attention_mask", "H", "B", "T"),
        _int64("slots", "G"),
        *_lora_inputs(encoder, places, "n"),
    ]
    return graph.model("top", inputs, states)


def top_graph_of_one(encoder: Encoder, k: int, targets: Sequence[str]) -> onnx.ModelProto:
    """:func:`top_graph` for one text and one LoRA at a time."""
    graph = Graph()
    layers = Layers(graph, encoder)
    places = _places(encoder, k, targets)
    layers.adapted, layers.grouped = set(places), False
    hidden, states, start = "hidden", [], encoder.depth - k
    layers.given = {(start, target): target for target in ATTENTION_INPUTS}
    for number, layer in enumerate(range(start, encoder.depth), start=1):
        hidden = layers.layer(layer, hidden)
        graph.add("Identity", hidden, out=f"state_{number}")
        states.append(_float(f"state_{number}", 1, "T", encoder.width))
    inputs = [*_entering(encoder, k), *_lora_inputs(encoder, places, 1)]
    return graph.model("top", inputs, states)


def _entering(encoder: Encoder, k: int) -> list[onnx.ValueInfoProto]:
    """What the trunk of one text gives to its top: its states and, of a top with layers, what the
    first one's attention makes of them without an adapter."""
    names = ("hidden", *(ATTENTION_INPUTS if k else ()))
    return [_float(name, 1, "T", encoder.width) for name in names]


def _places(encoder: Encoder, k: int, targets: Sequence[str]) -> list[tuple[int, str]]:
    layers = range(encoder.depth - k, encoder.depth)
    return [(layer, target) for layer in layers for target in targets]


def _lora_inputs(
    encoder: Encoder, places: Sequence[tuple[int, str]], count: int | str
) -> Iterator[onnx.ValueInfoProto]:
    for layer, target in places:
        linear = encoder.linear(layer, target)
        yield _float(a_name(layer, target), count, linear.in_features, "r")
        yield _float(b_name(layer, target), count, "r", linear.out_features)


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
    graph = Graph()
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


def _lowest_states(graph: Graph, encoder: Encoder, count: int, of_one: bool = False) -> list[str]:
    """Embeddings and the first ``count`` layers, without adapters: names of the embeddings and of
    the output of each layer, ``(B, T, D)``."""
    layers, batch = Layers(graph, encoder), None
    states = [embeddings(graph, layers, encoder)]
    if not of_one:
        rows = graph.ints(0, 0, encoder.width)
        mask = graph.add("Cast", "attention_mask", to=TensorProto.INT32)
        batch = Batch(mask, rows, rows)
    for layer in range(count):
        states.append(layers.layer(layer, states[-1], batch))
    return states


def _float(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _int64(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64, shape)
